//! `/api/v1/vehicles/{id}`, and `/api/v1/vehicle?id=…` for any id: one vehicle.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tracing::info;
use vagn_store::{Sight, VehicleIdBuf};
use vagn_wire::VehicleId;

use super::geojson;
use super::partial::{marked, unknown_for_now};
use crate::Api;
use crate::sight::Seeing;
use vagn_http::params::{InPath, NoParams, Params, missing};
use vagn_http::principal::Principal;
use vagn_http::problem::{Kind, Problem};

pub(crate) const ROUTE: &str = "/api/v1/vehicles/{id}";
/// Path for every id, also for those that cannot stand in a path: clients change `..`, and `nearby` is another resource.
pub(crate) const BY_PARAM_ROUTE: &str = "/api/v1/vehicle";

pub(crate) async fn get(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    InPath(text): InPath,
    _: NoParams,
) -> Result<Response, Problem> {
    find(&api, ROUTE, sight, id(&text)?).await
}

pub(crate) async fn get_by_param(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    params: Params,
) -> Result<Response, Problem> {
    find(&api, BY_PARAM_ROUTE, sight, param(&params)?).await
}

async fn find(api: &Api, route: &'static str, sight: Sight, id: VehicleIdBuf) -> Result<Response, Problem> {
    let asked = api.vehicles.one(sight, id);
    let found = api.ask(route, |found| usize::from(found.value.is_some()), asked).await?;
    let (vehicle, extent) = found.split();
    let vehicle = match vehicle {
        Some(vehicle) => vehicle,
        None if extent.is_partial() => return Err(unknown_for_now(&id, &extent.missing_shards)),
        None => return Err(unknown(&id)),
    };
    let now_ms = api.clock.now_ms();
    let response = match sight {
        Sight::Exact => geojson::vehicle(&vehicle, &api.vehicles.odd(&id), now_ms),
        Sight::Coarse => geojson::coarse_vehicle(&vehicle, now_ms),
    };
    Ok(marked(response, &extent))
}

/// Forgets one vehicle. Its next report makes it known again.
pub(crate) async fn delete(
    State(api): State<Api>,
    principal: Principal,
    InPath(text): InPath,
    _: NoParams,
) -> Result<Response, Problem> {
    forget(&api, ROUTE, id(&text)?, &principal).await
}

pub(crate) async fn delete_by_param(
    State(api): State<Api>,
    principal: Principal,
    params: Params,
) -> Result<Response, Problem> {
    forget(&api, BY_PARAM_ROUTE, param(&params)?, &principal).await
}

async fn forget(
    api: &Api,
    route: &'static str,
    id: VehicleIdBuf,
    by: &Principal,
) -> Result<Response, Problem> {
    let known = api.ask(route, |known| usize::from(*known), api.vehicles.delete(id)).await?;
    if !known {
        return Err(unknown(&id));
    }
    info!(vehicle = &*id, by = by.name(), "a vehicle is forgotten, as was asked for");
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn param(params: &Params) -> Result<VehicleIdBuf, Problem> {
    params.only(&["id"])?;
    id(params.one("id")?.ok_or_else(|| missing("id"))?)
}

fn id(text: &str) -> Result<VehicleIdBuf, Problem> {
    let id = VehicleId::new(text).map_err(|reject| Problem::parameter("id", reject.to_string()))?;
    Ok(VehicleIdBuf::from(id))
}

fn unknown(id: &str) -> Problem {
    Problem::new(Kind::NotFound, format!("no vehicle {id:?} is known"))
}
