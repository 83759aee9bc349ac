//! `/oddities`: vehicles whose clock, counter or position is odd, counted by part, and the latest of them by name.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Ops;
use crate::odd::{OddSince, OddSummary};
use vagn_flow::rfc3339::rfc3339;
use vagn_http::answer;

/// Vehicles that are named.
const NAMED_MAX: usize = 100;

#[derive(Debug, Serialize)]
struct Summary {
    /// Number of vehicles by part.
    vehicles: serde_json::Map<String, serde_json::Value>,
    latest: Vec<Vehicle>,
}

#[derive(Debug, Serialize)]
struct Vehicle {
    vehicle_id: String,
    odd: Vec<Odd>,
}

#[derive(Debug, Serialize)]
struct Odd {
    part: &'static str,
    what: &'static str,
    since: String,
    last: String,
    reports: u64,
}

pub(super) async fn summary(State(ops): State<Ops>) -> Response {
    let OddSummary { by_part, latest } = ops.odd.summary(NAMED_MAX, ops.clock.now_ms());
    let vehicles = by_part.iter().map(|(part, count)| (part.as_str().to_owned(), (*count).into()));
    let latest = latest
        .iter()
        .map(|(id, odd)| Vehicle { vehicle_id: id.to_string(), odd: odd.iter().map(Odd::of).collect() });
    answer::json("application/json", &Summary { vehicles: vehicles.collect(), latest: latest.collect() })
}

impl Odd {
    fn of(since: &OddSince) -> Self {
        let OddSince { oddity, since_ms, last_ms, reports } = *since;
        Self {
            part: oddity.part().as_str(),
            what: oddity.as_str(),
            since: rfc3339(since_ms),
            last: rfc3339(last_ms),
            reports,
        }
    }
}
