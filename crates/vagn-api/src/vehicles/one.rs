//! `/api/v1/vehicles/{id}`: one vehicle.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vagn_store::VehicleIdBuf;
use vagn_wire::VehicleId;

use super::geojson;
use crate::Web;
use vagn_http::params::{InPath, NoParams};
use vagn_http::problem::{Kind, Problem};

/// The route of one vehicle.
pub const ROUTE: &str = "/api/v1/vehicles/{id}";

/// One vehicle.
pub async fn get(State(web): State<Web>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let found = web.ask(ROUTE, |found| usize::from(found.is_some()), web.vehicles.one(id)).await?;
    let vehicle = found.ok_or_else(|| unknown(&id))?;
    Ok(geojson::vehicle(&vehicle, web.clock.now_ms()))
}

/// Forgets one vehicle. Its next report makes it known again.
pub async fn delete(State(web): State<Web>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let known = web.ask(ROUTE, |known| usize::from(*known), web.vehicles.delete(id)).await?;
    if known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown(&id)) }
}

fn id(InPath(text): InPath) -> Result<VehicleIdBuf, Problem> {
    let id = VehicleId::new(&text).map_err(|reject| Problem::parameter("id", reject.to_string()))?;
    Ok(VehicleIdBuf::from(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no vehicle {id:?} is known"))
}
