//! `GET /api/v1/vehicles`: vehicles in a box.

use axum::extract::State;
use axum::response::Response;
use vagn_store::Vehicle;

use super::geojson;
use super::params::FleetParams;
use crate::Api;
use crate::sight::Seeing;
use vagn_http::caller::Caller;
use vagn_http::params::Params;
use vagn_http::problem::Problem;

pub(crate) const ROUTE: &str = "/api/v1/vehicles";

/// Most vehicles in one answer: some 3 MB.
const LIMIT_MAX: u64 = 10_000;
/// Vehicles in an answer unless `limit` is given.
const LIMIT_DEFAULT: u64 = 1_000;

pub(crate) async fn get(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    caller: Caller,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["bbox", "limit"])?;
    let bbox = params.bbox()?;
    let limit = params.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    let room = caller.room(limit * size_of::<Vehicle>())?;
    // One more than is shown tells whether there are more.
    let asked = api.vehicles.inside(sight, bbox, limit + 1);
    let vehicles = api.ask(ROUTE, |vehicles| vehicles.value.len(), asked).await?;
    Ok(geojson::vehicles(vehicles, limit, sight, api.clock.now_ms(), room))
}
