//! `GET /api/v1/vehicles/nearby`: the nearest vehicles to a point, with their distances.

use axum::extract::State;
use axum::response::Response;
use vagn_store::{Hit, Nearby};

use super::geojson;
use super::params::FleetParams;
use crate::Api;
use crate::sight::Seeing;
use vagn_http::caller::Caller;
use vagn_http::params::Params;
use vagn_http::problem::Problem;

pub(crate) const ROUTE: &str = "/api/v1/vehicles/nearby";

pub(crate) async fn get(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["lat", "lon", "k", "radius_m", "max_age_s"])?;
    let question = question(&params, api.clock.now_ms())?;
    let room = caller.room(question.k * size_of::<Hit>())?;
    let asked = api.vehicles.nearest(sight, question);
    let hits = api.ask(ROUTE, |hits| hits.value.len(), asked).await?;
    Ok(geojson::hits(hits, sight, api.clock.now_ms(), room))
}

fn question(params: &Params, now_ms: i64) -> Result<Nearby, Problem> {
    Ok(Nearby {
        center: params.point()?,
        k: params.k()?,
        max_m: params.radius_m()?.unwrap_or(f64::INFINITY),
        newer_than_ms: params.max_age_s()?.map(|age_s| now_ms - (age_s * 1e3) as i64),
    })
}
