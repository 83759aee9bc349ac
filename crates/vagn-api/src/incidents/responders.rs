//! `GET /api/v1/incidents/{id}/responders`: the nearest vehicles that could go there.

use axum::extract::State;
use axum::response::Response;
use vagn_store::{Hit, Nearby, Sight, Vehicle, Whole};
use vagn_wire::Position;

use super::{id, one};
use crate::Api;
use crate::vehicles::geojson;
use crate::vehicles::params::FleetParams;
use vagn_emergency::IncidentView;
use vagn_http::caller::Caller;
use vagn_http::params::{InPath, Params};
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/incidents/{id}/responders";

/// Most vehicles in one answer.
const K_MAX: u64 = 100;
/// Vehicles in an answer unless `k` is given.
const K_DEFAULT: u64 = 5;

/// Highest age of a position unless `max_age_s` is given, in seconds.
const AGE_MAX_S: f64 = 300.0;

/// Vehicles beyond those wanted that the first search takes in, for those that cannot go.
const SPARE: usize = 8;
/// Factor by which each further search takes in more.
const FURTHER: usize = 8;

/// Most vehicles that a search takes in: as many as an answer about a box. That bounds the searches to five.
const SEARCHED_MAX: usize = 10_000;

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    InPath(text): InPath,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["k", "max_age_s", "radius_m"])?;
    let id = id("id", &text)?;
    let k = params.count("k", K_MAX, K_DEFAULT)?;
    let max_m = params.radius_m()?.unwrap_or(f64::INFINITY);
    let age_max_s = params.max_age_s()?.unwrap_or(AGE_MAX_S);
    let incident = one(&api, ROUTE, id).await?.incident;
    let newer_than_ms = Some(api.clock.now_ms() - (age_max_s * 1e3) as i64);
    let question = Nearby { center: position(&incident)?, k, max_m, newer_than_ms };
    let (hits, truncated) = nearest(&api, &caller, question, &incident).await?;
    Ok(geojson::responders(hits, truncated, api.clock.now_ms()))
}

/// Returns true if a vehicle could go there. Further conditions, such as tags and status, belong here.
fn may_go(api: &Api, incident: &IncidentView, vehicle: &Vehicle) -> bool {
    *vehicle.id != *incident.vehicle_id && !api.incidents.has_open_incident(&vehicle.id)
}

fn position(incident: &IncidentView) -> Result<Position, Problem> {
    let known = incident.position.as_ref().and_then(|fix| Position::new(fix.lat, fix.lon).ok());
    known.ok_or_else(|| {
        let why = "the position of this vehicle is not known, so no vehicle can be said to be near";
        Problem::new(Kind::NoPosition, why)
    })
}

/// Finds the nearest `question.k` vehicles that may go, and tells whether the search ended before it had so many and had
/// seen all. Searches among more and more vehicles, because a crowd of those that cannot go may stand nearer.
async fn nearest(
    api: &Api,
    caller: &Caller,
    question: Nearby,
    incident: &IncidentView,
) -> Result<(Whole<Vec<Hit>>, bool), Problem> {
    let mut searched = question.k + SPARE;
    loop {
        let _room = caller.room(searched * size_of::<Hit>())?;
        let wider = Nearby { k: searched, ..question };
        let asked = api.vehicles.nearest(Sight::Exact, wider);
        let (mut hits, extent) = api.ask(ROUTE, |hits| hits.value.len(), asked).await?.split();
        let all_seen = hits.len() < searched;
        hits.retain(|hit| may_go(api, incident, &hit.vehicle));
        hits.truncate(question.k);
        let enough = hits.len() == question.k || all_seen;
        if enough || searched == SEARCHED_MAX {
            return Ok((extent.map(|()| hits), !enough));
        }
        searched = (searched * FURTHER).min(SEARCHED_MAX);
    }
}
