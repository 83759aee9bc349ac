//! `/api/v1/vehicles`: vehicles in a box, and one vehicle by its id.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vagn_store::VehicleIdBuf;
use vagn_wire::VehicleId;

use super::{Web, geojson};
use crate::params::FleetParams;
use vagn_http::params::{InPath, NoParams, Params};
use vagn_http::problem::{Kind, Problem};

/// The route of a box.
pub const ROUTE: &str = "/api/v1/vehicles";
/// The route of one vehicle.
pub const ONE_ROUTE: &str = "/api/v1/vehicles/{id}";

/// Most vehicles in one answer about a box.
const LIMIT_MAX: u64 = 10_000;
/// Vehicles in such an answer when the caller does not say.
const LIMIT_DEFAULT: u64 = 1_000;

/// Vehicles in a box.
pub async fn inside(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["bbox", "limit"])?;
    let bbox = params.bbox()?;
    let limit = params.count("limit", LIMIT_MAX, LIMIT_DEFAULT)?;
    // One more than is shown tells whether there are more.
    let vehicles = web.ask(ROUTE, Vec::len, web.vehicles.inside(bbox, limit + 1)).await?;
    Ok(geojson::vehicles(&vehicles, limit, web.clock.now_ms()))
}

/// One vehicle.
pub async fn get(State(web): State<Web>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let found = web.ask(ONE_ROUTE, |found| usize::from(found.is_some()), web.vehicles.one(id)).await?;
    let vehicle = found.ok_or_else(|| unknown(&id))?;
    Ok(geojson::vehicle(&vehicle, web.clock.now_ms()))
}

/// Forgets one vehicle. Its next report makes it known again.
pub async fn delete(State(web): State<Web>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let known = web.ask(ONE_ROUTE, |known| usize::from(*known), web.vehicles.delete(id)).await?;
    if known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown(&id)) }
}

fn id(InPath(text): InPath) -> Result<VehicleIdBuf, Problem> {
    let id = VehicleId::new(&text).map_err(|reject| Problem::parameter("id", reject.to_string()))?;
    Ok(VehicleIdBuf::from(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no vehicle {id:?} is known"))
}
