//! `GET /api/v1/vehicles`: vehicles in a box.

use axum::extract::State;
use axum::response::Response;

use super::geojson;
use super::params::FleetParams;
use crate::Web;
use vagn_http::params::Params;
use vagn_http::problem::Problem;

/// The route of a box.
pub const ROUTE: &str = "/api/v1/vehicles";

/// Most vehicles in one answer about a box.
const LIMIT_MAX: u64 = 10_000;
/// Vehicles in such an answer when the caller does not say.
const LIMIT_DEFAULT: u64 = 1_000;

/// Vehicles in a box.
pub async fn get(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["bbox", "limit"])?;
    let bbox = params.bbox()?;
    let limit = params.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    // One more than is shown tells whether there are more.
    let vehicles = web.ask(ROUTE, Vec::len, web.vehicles.inside(bbox, limit + 1)).await?;
    Ok(geojson::vehicles(&vehicles, limit, web.clock.now_ms()))
}
