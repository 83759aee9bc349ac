//! `GET /api/v1/incidents/{id}/responders`: the nearest vehicles that could go there.

use axum::extract::State;
use axum::response::Response;
use vagn_store::{Hit, Nearby, Vehicle};
use vagn_wire::Position;

use super::{id, one};
use crate::Web;
use crate::vehicles::geojson;
use crate::vehicles::params::FleetParams;
use vagn_emergency::IncidentView;
use vagn_http::params::{InPath, Params};
use vagn_http::problem::{Kind, Problem};

/// The route.
pub const ROUTE: &str = "/api/v1/incidents/{id}/responders";

/// Vehicles in one answer: at most, and when the caller does not say.
const K_MAX: u64 = 100;
const K_DEFAULT: u64 = 5;

/// How old a position may be when the caller does not say, in seconds.
const AGE_MAX_S: f64 = 300.0;

/// Vehicles that the first look takes in beyond those wanted, and how many times as many each further look takes in.
const SPARE: usize = 8;
const FURTHER: usize = 8;

/// Most vehicles that a look takes in: as many as an answer about a box. That bounds the looks to five.
const LOOKED_AT_MAX: usize = 10_000;

/// Answers it.
pub async fn get(State(web): State<Web>, InPath(text): InPath, params: Params) -> Result<Response, Problem> {
    params.only(&["k", "max_age_s", "radius_m"])?;
    let id = id("id", &text)?;
    let k = params.count("k", K_MAX, K_DEFAULT)?;
    let max_m = params.radius_m()?.unwrap_or(f64::INFINITY);
    let age_max_s = params.max_age_s()?.unwrap_or(AGE_MAX_S);
    let incident = one(&web, ROUTE, id).await?.incident;
    let newer_than_ms = Some(web.clock.now_ms() - (age_max_s * 1e3) as i64);
    let question = Nearby { center: place(&incident)?, k, max_m, newer_than_ms };
    let (hits, truncated) = nearest(&web, question, |vehicle| may_go(&web, &incident, vehicle)).await?;
    Ok(geojson::nearby(&hits, truncated, web.clock.now_ms()))
}

/// Whether a vehicle could go there. What it is and what it does, as tags and status will tell, belongs here.
fn may_go(web: &Web, incident: &IncidentView, vehicle: &Vehicle) -> bool {
    *vehicle.id != *incident.vehicle_id && !web.incidents.is_calling_for_help(&vehicle.id)
}

fn place(incident: &IncidentView) -> Result<Position, Problem> {
    let known = incident.position.as_ref().and_then(|place| Position::new(place.lat, place.lon).ok());
    known.ok_or_else(|| {
        Problem::new(Kind::NoPosition, "it is not known where this vehicle is, so nobody is near")
    })
}

/// The nearest `question.k` vehicles that are `suitable`, and whether the search ended before it had so many and had seen
/// all. Looks at more and more vehicles, because a crowd of those that are not may stand nearer.
async fn nearest(
    web: &Web,
    question: Nearby,
    suitable: impl Fn(&Vehicle) -> bool,
) -> Result<(Vec<Hit>, bool), Problem> {
    let mut looked_at = question.k + SPARE;
    loop {
        let asked = web.vehicles.nearby(Nearby { k: looked_at, ..question });
        let mut hits = web.ask(ROUTE, Vec::len, asked).await?;
        let all_seen = hits.len() < looked_at;
        hits.retain(|hit| suitable(&hit.vehicle));
        hits.truncate(question.k);
        let enough = hits.len() == question.k || all_seen;
        if enough || looked_at == LOOKED_AT_MAX {
            return Ok((hits, !enough));
        }
        looked_at = (looked_at * FURTHER).min(LOOKED_AT_MAX);
    }
}
