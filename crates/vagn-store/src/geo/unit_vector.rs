//! Positions as points on the unit sphere, for the f32 space that the index searches.
//!
//! The system's sines are right to the last bits of an f64, at some 270 instructions per point. What is rounded to
//! f32 next, by up to 2^-25, does not show an error of 2e-11, which two short series keep to.

use std::f64::consts::PI;

use vagn_wire::Position;

/// Greatest error of a coordinate: 7e-12 from either factor, and far less from rounding.
#[cfg(test)]
const ERROR: f64 = 2e-11;

/// Returns the position as a point on the unit sphere, to within 2e-11 along each axis: x towards (0° N, 0° E), y
/// towards (0° N, 90° E), z towards the north pole. A pole is one point under every longitude.
#[inline]
pub(crate) fn unit_vector(position: Position) -> [f64; 3] {
    let [sin_lat, cos_lat] = sin_cos(position.lat());
    let [sin_lon, cos_lon] = sin_cos(position.lon());
    [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
}

/// An f64 this large has no digits behind the point: adding it rounds a small number to the nearest whole one,
/// and leaves that in the lowest bits.
const ROUNDS: f64 = 1.5 * (1_u64 << 52) as f64;

/// Returns sine and cosine of an angle in degrees, within -180..=180: exact at whole quarters of a turn, else to 7e-12.
#[inline]
fn sin_cos(degrees: f64) -> [f64; 2] {
    // Adding the constant rounds in one instruction; `round` is a call on processors without SSE 4.1.
    let rounded = degrees * (1.0 / 90.0) + ROUNDS;
    let quarters = rounded.to_bits();
    let rest = (degrees - (rounded - ROUNDS) * 90.0) * (PI / 180.0);
    let series = [short_sin(rest), short_cos(rest)];
    // An odd number of quarters changes the two over.
    let [sin, cos] = if quarters & 1 == 0 { series } else { [series[1], series[0]] };
    [negate_if(quarters & 2, sin), negate_if((quarters + 1) & 2, cos)]
}

/// The sine of at most an eighth of a turn by its Taylor series. It alternates, so it is off by less than the
/// first term left out, x^13 / 13! < 7e-12.
#[inline]
fn short_sin(x: f64) -> f64 {
    let y = x * x;
    let tail = y * (-1.0 / 5_040.0 + y * (1.0 / 362_880.0 + y * (-1.0 / 39_916_800.0)));
    x + x * y * (-1.0 / 6.0 + y * (1.0 / 120.0 + tail))
}

/// The cosine in the same way: off by less than x^14 / 14! < 4e-13.
#[inline]
fn short_cos(x: f64) -> f64 {
    let y = x * x;
    let tail = y * (1.0 / 40_320.0 + y * (-1.0 / 3_628_800.0 + y * (1.0 / 479_001_600.0)));
    1.0 + y * (-1.0 / 2.0 + y * (1.0 / 24.0 + y * (-1.0 / 720.0 + tail)))
}

/// Returns the number, with the other sign when `two` is 2 and not 0.
#[inline]
fn negate_if(two: u64, number: f64) -> f64 {
    f64::from_bits(number.to_bits() ^ two << 62)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lat: f64, lon: f64) -> Position {
        Position::new(lat, lon).unwrap()
    }

    /// The same by the system's sines.
    fn by_libm(position: Position) -> [f64; 3] {
        let (sin_lon, cos_lon) = position.lon().to_radians().sin_cos();
        let (sin_lat, cos_lat) = position.lat().to_radians().sin_cos();
        [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat]
    }

    fn check(position: Position) {
        let (got, want) = (unit_vector(position), by_libm(position));
        for axis in 0..3 {
            let error = (got[axis] - want[axis]).abs();
            assert!(error <= ERROR, "{position:?}: {got:?} instead of {want:?}");
            // What `BOX_MARGIN` of the index and the `ERROR` of its searches build on.
            assert!((f64::from(got[axis] as f32) - want[axis]).abs() <= 3e-8, "{position:?} as f32");
        }
    }

    #[test]
    fn is_as_near_as_it_says_all_over_the_globe() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..300_000 {
            check(at(random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0));
        }
    }

    #[test]
    fn is_as_near_where_the_quarters_meet_at_the_poles_and_at_the_antimeridian() {
        let around = |degrees: f64| {
            let steps = [0.0, f64::MIN_POSITIVE, 1e-14, 1e-9, 1e-4];
            [degrees, degrees.next_up(), degrees.next_down()]
                .into_iter()
                .chain(steps.into_iter().flat_map(move |step| [degrees + step, degrees - step]))
        };
        let angles: Vec<f64> = (-8..=8).flat_map(|eighth| around(f64::from(eighth) * 22.5)).collect();
        for &lon in angles.iter().filter(|lon| lon.abs() <= 180.0) {
            angles.iter().filter(|lat| lat.abs() <= 90.0).for_each(|&lat| check(at(lat, lon)));
        }
    }

    #[test]
    fn the_axes_are_exact_and_a_pole_is_one_point() {
        let expect = |lat, lon, want: [f64; 3]| assert_eq!(unit_vector(at(lat, lon)), want, "{lat} {lon}");
        expect(0.0, 0.0, [1.0, 0.0, 0.0]);
        expect(-0.0, -90.0, [0.0, -1.0, 0.0]);
        expect(0.0, 90.0, [0.0, 1.0, 0.0]);
        expect(0.0, 180.0, [-1.0, 0.0, 0.0]);
        expect(0.0, -180.0, [-1.0, 0.0, 0.0]);
        for lon in [0.0, 17.3, -101.0, 180.0] {
            expect(90.0, lon, [0.0, 0.0, 1.0]);
            expect(-90.0, lon, [0.0, 0.0, -1.0]);
        }
    }
}
