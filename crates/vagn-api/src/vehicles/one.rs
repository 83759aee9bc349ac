//! `/api/v1/vehicles/{id}`: one vehicle.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vagn_store::VehicleIdBuf;
use vagn_wire::VehicleId;

use super::geojson;
use crate::Api;
use vagn_http::params::{InPath, NoParams};
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/vehicles/{id}";

pub(crate) async fn get(State(api): State<Api>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let asked = api.vehicles.ask("one", move |fleet| fleet.get(id.key()));
    let found = api.ask(ROUTE, |found| usize::from(found.is_some()), asked).await?;
    let vehicle = found.ok_or_else(|| unknown(&id))?;
    Ok(geojson::vehicle(&vehicle, &api.vehicles.odd(&id), api.clock.now_ms()))
}

/// Forgets one vehicle. Its next report makes it known again.
pub(crate) async fn delete(State(api): State<Api>, path: InPath, _: NoParams) -> Result<Response, Problem> {
    let id = id(path)?;
    let known = api.ask(ROUTE, |known| usize::from(*known), api.vehicles.delete(id)).await?;
    if known { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(unknown(&id)) }
}

fn id(InPath(text): InPath) -> Result<VehicleIdBuf, Problem> {
    let id = VehicleId::new(&text).map_err(|reject| Problem::parameter("id", reject.to_string()))?;
    Ok(VehicleIdBuf::from(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no vehicle {id:?} is known"))
}
