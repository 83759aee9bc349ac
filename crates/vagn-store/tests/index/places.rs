//! Positions and questions where indexes go wrong.

use proptest::prelude::*;
use vagn_store::{BBox, Nearby, distance_m};
use vagn_wire::Position;

use crate::model::at;

const LATS: [f64; 12] =
    [-90.0, -89.999_999_999, -45.0, -1e-12, -0.0, 0.0, 1e-310, 1e-12, 30.27, 59.33, 89.999_999_999, 90.0];
const LONS: [f64; 12] = [
    -180.0,
    -179.999_999_999,
    -97.74,
    -90.0,
    -1e-12,
    -0.0,
    0.0,
    5e-324,
    90.0,
    179.999_999_999_99,
    179.999_999,
    180.0,
];

/// A position anywhere, with a love for edges, poles, ends of the map, and for what is almost or exactly
/// somewhere else.
pub(crate) fn place() -> impl Strategy<Value = Position> {
    prop_oneof![
        3 => (-90.0..=90.0, -180.0..=180.0).prop_map(|(lat, lon)| at(lat, lon)),
        3 => edge(),
        4 => (edge(), -17..0_i32, -1.0..=1.0, -1.0..=1.0).prop_map(|(around, exponent, north, east)| {
            near(around, 10_f64.powi(exponent) * north, 10_f64.powi(exponent) * east)
        }),
        2 => Just(at(30.27, -97.74)),
    ]
}

fn edge() -> impl Strategy<Value = Position> {
    (prop::sample::select(&LATS[..]), prop::sample::select(&LONS[..])).prop_map(|(lat, lon)| at(lat, lon))
}

/// A position some degrees away, on the globe.
fn near(around: Position, north: f64, east: f64) -> Position {
    let lon = around.lon() + east;
    let round = if lon > 180.0 {
        -360.0
    } else if lon < -180.0 {
        360.0
    } else {
        0.0
    };
    at((around.lat() + north).clamp(-90.0, 90.0), (lon + round).clamp(-180.0, 180.0))
}

/// The position on the other side of the globe.
fn antipode(of: Position) -> Position {
    at(-of.lat(), if of.lon() > 0.0 { of.lon() - 180.0 } else { of.lon() + 180.0 })
}

/// A question about the surroundings of a place; some ask how far it is to another place, and for what is
/// exactly that far.
pub(crate) fn nearby() -> impl Strategy<Value = Nearby> {
    let center = prop_oneof![4 => place(), 1 => place().prop_map(antipode)];
    let k = prop_oneof![Just(1_usize), Just(10), 0..80_usize, Just(2000)];
    let radius = prop_oneof![
        3 => Just(None),
        2 => prop::sample::select(vec![0.0, 1e-9, 1.0, 1_000.0, 1e6, 2.0015e7, 3e7]).prop_map(Some),
        1 => (0.0..1e5).prop_map(Some),
    ];
    let newer = prop::option::weighted(0.3, -100_000..400_000_i64);
    (center, k, radius, prop::option::weighted(0.2, place()), newer).prop_map(
        |(center, k, radius, exactly_to, newer_than_ms)| {
            let exactly = exactly_to.map(|place| distance_m(center, place));
            Nearby { center, k, max_m: exactly.or(radius).unwrap_or(f64::INFINITY), newer_than_ms }
        },
    )
}

/// A box between two places, one time in two over the antimeridian.
pub(crate) fn bbox() -> impl Strategy<Value = BBox> {
    (place(), place()).prop_map(|(a, b)| {
        BBox::new(a.lon(), a.lat().min(b.lat()), b.lon(), a.lat().max(b.lat()))
            .expect("places are on the globe")
    })
}
