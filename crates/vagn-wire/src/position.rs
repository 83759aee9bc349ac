//! A position on the globe, checked once.

use crate::Reject;

/// A pair of WGS 84 coordinates in degrees that lies on the globe: finite, latitude within -90..=90, longitude
/// within -180..=180. Both ways to write the antimeridian are kept as they came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    lat: f64,
    lon: f64,
}

impl Position {
    /// Accepts a coordinate pair, in degrees, that lies on the globe.
    ///
    /// # Errors
    /// [`Reject::Latitude`] or [`Reject::Longitude`], the former first, for a coordinate out of range or not finite.
    #[inline]
    pub fn new(lat: f64, lon: f64) -> Result<Self, Reject> {
        // Written as `contains`, which is false for NaN.
        if !(-90.0..=90.0).contains(&lat) {
            return Err(Reject::Latitude);
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(Reject::Longitude);
        }
        Ok(Self { lat, lon })
    }

    /// Degrees north of the equator.
    #[inline]
    pub fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east of Greenwich.
    #[inline]
    pub fn lon(self) -> f64 {
        self.lon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lat: f64, lon: f64, want: Result<(), Reject>) {
        let got = Position::new(lat, lon);
        assert_eq!(got.map(|_| ()), want, "{lat} {lon}");
        if let Ok(position) = got {
            assert_eq!(position.lat().to_bits(), lat.to_bits());
            assert_eq!(position.lon().to_bits(), lon.to_bits());
        }
    }

    #[test]
    fn takes_the_whole_globe_with_its_edges() {
        for (lat, lon) in [(0.0, 0.0), (-0.0, -0.0), (90.0, 180.0), (-90.0, -180.0), (1e-320, 179.999_999)] {
            check(lat, lon, Ok(()));
        }
    }

    #[test]
    fn rejects_what_is_off_the_map() {
        check(90.1, 0.0, Err(Reject::Latitude));
        check(-90.000_000_000_000_02, 0.0, Err(Reject::Latitude));
        check(f64::NAN, 0.0, Err(Reject::Latitude));
        check(f64::INFINITY, f64::NAN, Err(Reject::Latitude));
        check(0.0, 180.000_000_000_000_03, Err(Reject::Longitude));
        check(0.0, f64::NAN, Err(Reject::Longitude));
        check(0.0, f64::NEG_INFINITY, Err(Reject::Longitude));
    }
}
