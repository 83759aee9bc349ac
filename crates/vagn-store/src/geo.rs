//! The globe as the store sees it: a sphere, distances along it, and boxes on it.

mod unit_vector;

use thiserror::Error;
use vagn_wire::Position;

pub(crate) use unit_vector::unit_vector;

/// Mean radius of the Earth (IUGG R1), in metres; all distances are on a sphere of this radius.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Returns the great-circle distance in metres.
///
/// The haversine formula, with the haversine to the antipode of `b` beside it: the one is exact for small
/// distances, the other for those near half the globe, and the arc tangent of both is right everywhere. The
/// two spellings of the antimeridian are one position, and so is a pole under any longitude.
pub fn distance_m(a: Position, b: Position) -> f64 {
    Origin::new(a).distance_m(b)
}

/// A position that several distances are measured from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    position: Position,
    cos_lat: f64,
}

impl Origin {
    pub(crate) fn new(position: Position) -> Origin {
        Origin { position, cos_lat: cos_lat(position) }
    }

    /// As [`distance_m`] from here.
    pub(crate) fn distance_m(&self, to: Position) -> f64 {
        let from = self.position;
        let near = square(sin_deg((from.lat() - to.lat()) / 2.0));
        let far = square(sin_deg((from.lat() + to.lat()) / 2.0));
        let across = self.cos_lat * cos_lat(to);
        let half_turn = lon_between(from, to) / 2.0;
        let to_there = near + across * square(sin_deg(half_turn));
        let to_antipode = far + across * square(sin_deg(90.0 - half_turn));
        2.0 * EARTH_RADIUS_M * to_there.sqrt().atan2(to_antipode.sqrt())
    }
}

/// Returns the one spelling of a position: a pole has longitude 0, the antimeridian is -180, zero has no sign.
pub(crate) fn canonical(position: Position) -> Position {
    // Adding zero turns -0.0 into 0.0 and nothing else into anything else.
    let lat = position.lat() + 0.0;
    let lon = canonical_lon(position) + 0.0;
    Position::new(lat, lon).expect("stays within the ranges of the position it was")
}

/// Returns the longitude of [`canonical`], but for the sign of a zero.
#[inline]
pub(crate) fn canonical_lon(position: Position) -> f64 {
    // Among vehicles on one point under both names the nearest must be the one that a search through all finds.
    let lon = if position.lon() == 180.0 { -180.0 } else { position.lon() };
    if position.lat().abs() == 90.0 { 0.0 } else { lon }
}

/// Returns the degrees between two meridians, 0..=180. To the antimeridian it is the same number by either of its
/// names, to the last bit.
fn lon_between(a: Position, b: Position) -> f64 {
    let a = a.lon();
    let b = b.lon();
    let apart = (a - b).abs();
    match () {
        // One expression for 180 and -180: two would differ in their last bits, and with them the order of the nearest.
        () if a.abs() == 180.0 => 180.0 - b.abs(),
        () if b.abs() == 180.0 => 180.0 - a.abs(),
        () if apart > 180.0 => 360.0 - apart,
        () => apart,
    }
}

/// Returns the cosine of the latitude: exactly 0 at the poles, where that of the latitude in radians, which is
/// rounded, is not.
fn cos_lat(position: Position) -> f64 {
    sin_deg(90.0 - position.lat().abs())
}

fn sin_deg(degrees: f64) -> f64 {
    degrees.to_radians().sin()
}

fn square(value: f64) -> f64 {
    value * value
}

/// A box between two parallels and two meridians, edges included. It runs eastwards from `west` to `east`, so
/// that `west > east` crosses the antimeridian. A pole lies on every meridian, and -180° is the same meridian
/// as 180°.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BBox {
    pub(crate) west: f64,
    pub(crate) south: f64,
    pub(crate) east: f64,
    pub(crate) north: f64,
}

/// Reason why four numbers are not a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BBoxError {
    /// West or east is not a number within -180..=180.
    #[error("west and east are not both within -180..=180")]
    Longitude,
    /// South or north is not a number within -90..=90.
    #[error("south and north are not both within -90..=90")]
    Latitude,
    /// South is north of north.
    #[error("south is greater than north")]
    UpsideDown,
}

impl BBox {
    /// Returns the box between edges in degrees, in the order of GeoJSON.
    ///
    /// # Errors
    /// [`BBoxError`] for edges that are off the globe or upside down.
    pub fn new(west: f64, south: f64, east: f64, north: f64) -> Result<BBox, BBoxError> {
        let lon = -180.0..=180.0;
        let lat = -90.0..=90.0;
        if !lon.contains(&west) || !lon.contains(&east) {
            return Err(BBoxError::Longitude);
        }
        if !lat.contains(&south) || !lat.contains(&north) {
            return Err(BBoxError::Latitude);
        }
        if south > north {
            return Err(BBoxError::UpsideDown);
        }
        Ok(BBox { west, south, east, north })
    }

    /// Returns the edges in degrees: west, south, east, north.
    pub fn edges(&self) -> [f64; 4] {
        [self.west, self.south, self.east, self.north]
    }

    /// Returns true when the position lies in the box or on its edge.
    pub fn contains(&self, position: Position) -> bool {
        let lat = position.lat();
        let at_pole = lat.abs() == 90.0;
        (self.south..=self.north).contains(&lat) && (at_pole || self.spans(position.lon()))
    }

    /// Returns true when the meridian, by either of its names, is within west..east.
    fn spans(&self, lon: f64) -> bool {
        self.spans_as_written(lon) || (lon.abs() == 180.0 && self.spans_as_written(-lon))
    }

    fn spans_as_written(&self, lon: f64) -> bool {
        if self.west <= self.east {
            (self.west..=self.east).contains(&lon)
        } else {
            lon >= self.west || lon <= self.east
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position::new(lat, lon).unwrap()
    }

    fn check_distance(a: Position, b: Position, want_m: f64, within_m: f64) {
        let got = distance_m(a, b);
        assert!((got - want_m).abs() <= within_m, "{a:?} {b:?}: {got} instead of {want_m}");
        assert_eq!(got.to_bits(), distance_m(b, a).to_bits(), "{a:?} {b:?} is not the same both ways");
    }

    #[test]
    fn distances_are_right_everywhere() {
        let half = std::f64::consts::PI * EARTH_RADIUS_M;
        let degree = half / 180.0;
        check_distance(at(0.0, 0.0), at(0.0, 1.0), degree, 1e-6);
        check_distance(at(0.0, 179.5), at(0.0, -179.5), degree, 1e-6);
        check_distance(at(89.5, 0.0), at(89.5, 180.0), degree, 1e-6);
        check_distance(at(90.0, 0.0), at(-90.0, 77.0), half, 1e-6);
        check_distance(at(37.0, 20.0), at(-37.0, -160.0), half, 1e-6);
        check_distance(
            at(37.0, 20.0),
            at(-37.0, -160.000_000_1),
            half - 1e-7 * degree * 37_f64.to_radians().cos(),
            1e-6,
        );
        check_distance(at(59.3293, 18.0686), at(57.7089, 11.9746), 396_892.966, 0.01);
    }

    #[test]
    fn one_position_under_two_names_is_no_distance_apart() {
        check_distance(at(12.5, 180.0), at(12.5, -180.0), 0.0, 0.0);
        check_distance(at(90.0, 17.0), at(90.0, -101.0), 0.0, 0.0);
        check_distance(at(-90.0, 180.0), at(-90.0, 3.0), 0.0, 0.0);
        check_distance(at(0.0, -0.0), at(-0.0, 0.0), 0.0, 0.0);
    }

    #[test]
    fn the_name_of_a_position_does_not_show_in_distances() {
        let names = [
            [at(-0.0, -180.0), at(0.0, 180.0)],
            [at(12.5, 180.0), at(12.5, -180.0)],
            [at(90.0, 33.3), at(90.0, -180.0)],
        ];
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..10_000 {
            let near = |random: &mut fastrand::Rng| 10_f64.powi(random.i32(-16..2)) * random.f64();
            let lon =
                random.choice([-180.0, 180.0]).map_or(0.0, |lon: f64| lon - near(&mut random).copysign(lon));
            let other = at(near(&mut random), lon);
            for [one, same] in names {
                assert_eq!(
                    distance_m(one, other).to_bits(),
                    distance_m(same, other).to_bits(),
                    "{one:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn tells_apart_what_is_a_nanometre_apart() {
        let apart_m = distance_m(at(0.0, 1e-14), at(0.0, 2e-14));
        assert!((1.0e-9..1.3e-9).contains(&apart_m), "{apart_m}");
    }

    #[test]
    fn boxes_include_their_edges_the_antimeridian_and_the_poles() {
        let check = |edges: [f64; 4], lat, lon, inside| {
            let bbox = BBox::new(edges[0], edges[1], edges[2], edges[3]).unwrap();
            assert_eq!(bbox.contains(at(lat, lon)), inside, "{edges:?} {lat} {lon}");
        };
        check([10.0, 50.0, 20.0, 60.0], 50.0, 20.0, true);
        check([10.0, 50.0, 20.0, 60.0], 49.999, 15.0, false);
        check([170.0, -10.0, -170.0, 10.0], 0.0, 175.0, true);
        check([170.0, -10.0, -170.0, 10.0], 0.0, -175.0, true);
        check([170.0, -10.0, -170.0, 10.0], 0.0, 0.0, false);
        check([170.0, -10.0, 180.0, 10.0], 0.0, -180.0, true);
        check([-180.0, -10.0, -170.0, 10.0], 0.0, 180.0, true);
        check([0.0, 80.0, 10.0, 90.0], 90.0, -120.0, true);
        check([0.0, 80.0, 10.0, 89.0], 90.0, 5.0, false);
        check([180.0, -1.0, -180.0, 1.0], 0.0, 179.0, false);
    }

    #[test]
    fn refuses_what_is_not_a_box() {
        assert_eq!(BBox::new(f64::NAN, 0.0, 0.0, 0.0), Err(BBoxError::Longitude));
        assert_eq!(BBox::new(0.0, -91.0, 0.0, 0.0), Err(BBoxError::Latitude));
        assert_eq!(BBox::new(0.0, 1.0, 0.0, 0.0), Err(BBoxError::UpsideDown));
    }
}
