//! Parameters of questions about the fleet: points, distances, ages and boxes.

use vagn_http::params::{Params, bad, missing};
use vagn_http::problem::Problem;
use vagn_store::BBox;
use vagn_wire::Position;

/// Most vehicles in one answer about a point.
const K_MAX: u64 = 1_000;
/// Vehicles in such an answer unless `k` is given; the original's number.
const K_DEFAULT: u64 = 10;
/// Half the circumference of the Earth in metres: no two points are further apart.
const FARTHEST_M: f64 = 20_037_509.0;

/// Reads the parameters that several questions about the fleet have.
pub(crate) trait FleetParams {
    /// Reads the point of `lat` and `lon`.
    fn point(&self) -> Result<Position, Problem>;
    /// Reads `k`, the count of vehicles wanted: 1..=1000, 10 unless given.
    fn k(&self) -> Result<usize, Problem>;
    /// Reads `radius_m`, the largest distance of a vehicle, in metres.
    fn radius_m(&self) -> Result<Option<f64>, Problem>;
    /// Reads `max_age_s`, the highest age of a position, in seconds.
    fn max_age_s(&self) -> Result<Option<f64>, Problem>;
    /// Reads `bbox=west,south,east,north` in degrees; with `west > east` the box crosses the antimeridian.
    fn bbox(&self) -> Result<BBox, Problem>;
}

impl FleetParams for Params {
    fn point(&self) -> Result<Position, Problem> {
        let lat = self.degrees("lat", 90.0)?.ok_or_else(|| missing("lat"))?;
        let lon = self.degrees("lon", 180.0)?.ok_or_else(|| missing("lon"))?;
        Ok(Position::new(lat, lon).expect("both have just been checked"))
    }

    fn k(&self) -> Result<usize, Problem> {
        self.count("k", K_MAX, K_DEFAULT)
    }

    fn radius_m(&self) -> Result<Option<f64>, Problem> {
        self.amount("radius_m", FARTHEST_M)
    }

    fn max_age_s(&self) -> Result<Option<f64>, Problem> {
        self.amount("max_age_s", 1e9)
    }

    fn bbox(&self) -> Result<BBox, Problem> {
        let text = self.one("bbox")?.ok_or_else(|| missing("bbox"))?;
        let edges: Result<Vec<f64>, _> = text.split(',').map(|edge| edge.trim().parse()).collect();
        let Ok(&[west, south, east, north]) = edges.as_deref() else {
            return Err(bad("bbox", text, "four numbers: west,south,east,north in degrees"));
        };
        BBox::new(west, south, east, north)
            .map_err(|err| Problem::parameter("bbox", format!("`bbox` is not a box: {err}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/?{query}").parse().unwrap()).unwrap()
    }

    /// Checks a refusal of `query`: the parameter that it names, and a piece of the reason.
    fn refused<T: std::fmt::Debug>(
        query: &str,
        name: &str,
        why: &str,
        read: impl Fn(&Params) -> Result<T, Problem>,
    ) {
        let problem = read(&params(query)).unwrap_err();
        assert_eq!(problem.parameter.as_deref(), Some(name), "{query}: {problem:?}");
        assert!(problem.detail.contains(why), "{query}: {problem:?}");
    }

    #[test]
    fn takes_a_point_on_the_globe() {
        for (query, lat, lon) in [
            ("lat=30.27&lon=-97.74", 30.27, -97.74),
            ("lon=180&lat=90", 90.0, 180.0),
            ("lat=-90.0&lon=-180.0", -90.0, -180.0),
            ("lat=1e1&lon=%2B5", 10.0, 5.0),
        ] {
            let point = params(query).point().unwrap();
            assert_eq!((point.lat(), point.lon()), (lat, lon), "{query}");
        }
    }

    #[test]
    fn refuses_a_point_that_is_not_on_the_globe_and_says_why() {
        for (query, name, why) in [
            ("lon=1", "lat", "missing"),
            ("lat=1", "lon", "missing"),
            ("lat=&lon=1", "lat", "decimal number"),
            ("lat=north&lon=1", "lat", "\"north\""),
            ("lat=90.0001&lon=1", "lat", "within -90..=90"),
            ("lat=1&lon=-180.1", "lon", "within -180..=180"),
            ("lat=NaN&lon=1", "lat", "within"),
            ("lat=1&lon=inf", "lon", "within"),
            ("lat=0x1p-2&lon=1", "lat", "decimal number"),
            ("lat=1&lat=2&lon=1", "lat", "more than once"),
        ] {
            refused(query, name, why, Params::point);
        }
    }

    #[test]
    fn takes_counts_and_amounts_within_their_bounds() {
        assert_eq!(params("").k().unwrap(), 10);
        assert_eq!(params("k=1").k().unwrap(), 1);
        assert_eq!(params("k=1000").k().unwrap(), 1000);
        assert_eq!(params("").radius_m().unwrap(), None);
        assert_eq!(params("radius_m=0").radius_m().unwrap(), Some(0.0));
        assert_eq!(params("max_age_s=2.5").max_age_s().unwrap(), Some(2.5));
        for k in ["0", "1001", "-1", "ten", "1.5", "", "99999999999999999999"] {
            refused(&format!("k={k}"), "k", "1..=1000", Params::k);
        }
        for amount in ["-1", "NaN", "inf", "far", "", "1e12"] {
            refused(&format!("radius_m={amount}"), "radius_m", "number within 0..=", Params::radius_m);
            refused(&format!("max_age_s={amount}"), "max_age_s", "number within 0..=", Params::max_age_s);
        }
    }

    #[test]
    fn takes_a_box_also_across_the_antimeridian() {
        let fiji = BBox::new(177.0, -20.0, -178.0, -12.5);
        assert_eq!(params("bbox=177,-20,-178,-12.5").bbox().ok(), fiji.ok());
        assert_eq!(params("bbox=177,%20-20,-178,-12.5").bbox().ok(), fiji.ok());
        for (query, why) in [
            ("", "missing"),
            ("bbox=1,2,3", "four numbers"),
            ("bbox=1,2,3,4,5", "four numbers"),
            ("bbox=a,2,3,4", "four numbers"),
            ("bbox=-181,0,1,1", "within -180..=180"),
            ("bbox=0,-91,1,1", "within -90..=90"),
            ("bbox=0,0,1,91", "within -90..=90"),
            ("bbox=NaN,0,1,1", "within -180..=180"),
            ("bbox=0,2,1,1", "south is greater than north"),
        ] {
            refused(query, "bbox", why, Params::bbox);
        }
    }
}
