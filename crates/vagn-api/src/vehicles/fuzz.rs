//! A query string of any bytes: what is taken lies within its bounds, and what is refused is refused with a short reason.

use axum::http::Uri;
use vagn_fuzz::{Meter, Target};
use vagn_http::params::Params;
use vagn_http::problem::{Kind, Problem};

use super::params::FleetParams;

/// Shows all targets of the crate what an input takes.
#[global_allocator]
static METER: Meter = Meter;

const WORDS: &[&str] = &[
    "lat=",
    "lon=",
    "k=",
    "radius_m=",
    "max_age_s=",
    "bbox=",
    "cursor=",
    "limit=",
    "&",
    "=",
    ",",
    "%",
    "%00",
    "%2B",
    "%E2%82%AC",
    "+",
    "NaN",
    "inf",
    "-0",
    "1e308",
    "1e-400",
    "180",
    "-180.0000001",
    "90",
    "0x10",
    "18446744073709551616",
];

fn body(bytes: &[u8]) {
    let Ok(uri) = Uri::builder().path_and_query([&b"/?"[..], bytes].concat()).build() else { return };
    match Params::of(&uri) {
        Ok(params) => check(&params),
        Err(refused) => is_short(&refused),
    }
}

fn check(params: &Params) {
    if let Some(point) = taken(params.point()) {
        assert!(point.lat().abs() <= 90.0 && point.lon().abs() <= 180.0, "{point:?}");
    }
    assert!(taken(params.k()).is_none_or(|k| (1..=1000).contains(&k)));
    for amount in [params.radius_m(), params.max_age_s()] {
        assert!(taken(amount).flatten().is_none_or(|amount| amount >= 0.0 && amount.is_finite()));
    }
    taken(params.bbox());
    taken(params.only(&["lat", "lon", "k"]));
    taken(params.word("sort", &[("near", 1), ("far", 2)]));
}

fn taken<T>(result: Result<T, Problem>) -> Option<T> {
    result.inspect_err(is_short).ok()
}

fn is_short(refused: &Problem) {
    assert!(matches!(refused.kind, Kind::InvalidParameter));
    // Each character that is shown may take ten in its escaped form.
    assert!((1..2_000).contains(&refused.detail.len()), "{} bytes", refused.detail.len());
}

#[test]
fn any_query_is_within_bounds_or_refused() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "query", words: WORDS, body }.check();
}
