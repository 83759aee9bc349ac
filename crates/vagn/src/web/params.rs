//! The parameters of a query, checked: who holds the result need not ask whether a point is on Earth.
//!
//! Every refusal names the parameter and says why. A name that the resource does not know is refused as well, because a
//! mistyped `max_age_s` would otherwise quietly answer with vehicles of any age.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use vagn_store::BBox;
use vagn_wire::Position;

use super::problem::{Kind, Problem};

/// Most vehicles in one answer about what is near.
pub const K_MAX: u64 = 1_000;
/// Vehicles in such an answer when the caller does not say; the original's number.
pub const K_DEFAULT: u64 = 10;
/// No two points on Earth are further apart than this, in metres.
const FARTHEST_M: f64 = 20_037_509.0;

/// Most characters of an unknown name that a refusal repeats.
const NAME_SHOWN_MAX: usize = 80;

/// The names and values after the `?`, decoded, in the order given.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        pairs.map(|Query(pairs)| Self(pairs)).map_err(|rejection: QueryRejection| {
            Problem::new(Kind::InvalidParameter, format!("the query string cannot be read: {rejection}"))
        })
    }
}

/// Says that a path knows no parameter: a request with one is refused before anything is done.
#[derive(Debug, Clone, Copy)]
pub struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Params::from_request_parts(parts, state).await?.only(&[]).map(|()| Self)
    }
}

/// The one variable part of a path, decoded.
#[derive(Debug, Clone)]
pub struct InPath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text))
            .map_err(|err| Problem::parameter("id", format!("the path cannot be read: {err}")))
    }
}

impl Params {
    /// Refuses every name that is not in `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.0.iter().find(|(name, _)| !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| {
            let name: String = name.chars().take(NAME_SHOWN_MAX).collect();
            let why = match known {
                [] => format!("`{name}` is unknown here, where no parameter is known"),
                _ => format!("`{name}` is unknown here; known are {}", known.join(", ")),
            };
            Err(Problem::parameter(name, why))
        })
    }

    /// Whether `name` was given at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    /// The point of `lat` and `lon`.
    pub fn point(&self) -> Result<Position, Problem> {
        let lat = self.degrees("lat", 90.0)?.ok_or_else(|| missing("lat"))?;
        let lon = self.degrees("lon", 180.0)?.ok_or_else(|| missing("lon"))?;
        Ok(Position::new(lat, lon).expect("both have just been checked"))
    }

    /// How many vehicles are wanted: `k`, 1..=1000, 10 unless given.
    pub fn k(&self) -> Result<usize, Problem> {
        self.count("k", K_MAX, K_DEFAULT)
    }

    /// A whole number from 1 to `most`, or `otherwise` when it is not given.
    pub fn count(&self, name: &'static str, most: u64, otherwise: u64) -> Result<usize, Problem> {
        self.whole(name, 1, most, otherwise).map(|count| count as usize)
    }

    /// A whole number from `least` to `most`, or `otherwise` when it is not given.
    pub fn whole(&self, name: &'static str, least: u64, most: u64, otherwise: u64) -> Result<u64, Problem> {
        let Some(text) = self.one(name)? else { return Ok(otherwise) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| bad(name, text, &format!("a whole number within {least}..={most}")))
    }

    /// `radius_m`: how far away a vehicle may be, in metres.
    pub fn radius_m(&self) -> Result<Option<f64>, Problem> {
        self.amount("radius_m", FARTHEST_M)
    }

    /// `max_age_s`: how old a position may be, in seconds.
    pub fn max_age_s(&self) -> Result<Option<f64>, Problem> {
        self.amount("max_age_s", 1e9)
    }

    /// `bbox=west,south,east,north` in degrees; `west > east` crosses the antimeridian.
    pub fn bbox(&self) -> Result<BBox, Problem> {
        let text = self.one("bbox")?.ok_or_else(|| missing("bbox"))?;
        let edges: Result<Vec<f64>, _> = text.split(',').map(|edge| edge.trim().parse()).collect();
        let Ok(&[west, south, east, north]) = edges.as_deref() else {
            return Err(bad("bbox", text, "four numbers: west,south,east,north in degrees"));
        };
        BBox::new(west, south, east, north)
            .map_err(|err| Problem::parameter("bbox", format!("`bbox` is not a box: {err}")))
    }

    /// What the word of `name` stands for, by this list of words.
    pub fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let meant = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" or ");
        meant.ok_or_else(|| bad(name, text, &known())).map(Some)
    }

    /// The text of `name`, if it is given; twice is once too often.
    pub fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::parameter(name, format!("`{name}` is given more than once")));
        }
        Ok(first)
    }

    fn degrees(&self, name: &'static str, most: f64) -> Result<Option<f64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let degrees: f64 = text.parse().map_err(|_| bad(name, text, "a decimal number of degrees"))?;
        if degrees.abs() <= most {
            return Ok(Some(degrees));
        }
        Err(bad(name, text, &format!("within -{most}..={most} degrees")))
    }

    fn amount(&self, name: &'static str, most: f64) -> Result<Option<f64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        let amount = text.parse().ok().filter(|amount| (0.0..=most).contains(amount));
        amount.ok_or_else(|| bad(name, text, &format!("a number within 0..={most}"))).map(Some)
    }
}

fn missing(name: &'static str) -> Problem {
    Problem::parameter(name, format!("`{name}` is missing"))
}

fn bad(name: &'static str, text: &str, wanted: &str) -> Problem {
    let shown: String = text.chars().take(80).collect();
    Problem::parameter(name, format!("`{name}` is {shown:?}, but must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn params(query: &str) -> Params {
        let (mut parts, ()) = Request::get(format!("/?{query}")).body(()).unwrap().into_parts();
        let extract = Params::from_request_parts(&mut parts, &());
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(extract).unwrap()
    }

    /// One refusal: the query, the parameter it blames and a piece of the reason.
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
    fn refuses_what_is_not_a_point_and_says_why() {
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

    #[test]
    fn refuses_a_name_that_nobody_knows() {
        let problem = params("lat=1&max_age=5").only(&["lat", "lon", "max_age_s"]).unwrap_err();
        assert!(
            problem.detail.contains("`max_age` is unknown here; known are lat, lon, max_age_s"),
            "{problem:?}"
        );
    }

    #[test]
    fn shows_no_more_than_a_line_of_what_was_sent() {
        let problem = params(&format!("lat={}&lon=1", "9".repeat(5_000))).point().unwrap_err();
        assert!(problem.detail.len() < 200, "{problem:?}");
        let problem = params(&"x".repeat(5_000)).only(&["lat"]).unwrap_err();
        assert!(problem.detail.len() < 200, "{problem:?}");
    }
}
