//! `GET /api/v1/vehicles/nearby`: the nearest vehicles to a point, with their distances.

use axum::extract::State;
use axum::response::Response;
use vagn_store::Nearby;

use super::geojson;
use super::params::FleetParams;
use crate::Web;
use vagn_http::params::Params;
use vagn_http::problem::Problem;

/// The route.
pub const ROUTE: &str = "/api/v1/vehicles/nearby";

/// Answers it.
pub async fn get(State(web): State<Web>, params: Params) -> Result<Response, Problem> {
    params.only(&["lat", "lon", "k", "radius_m", "max_age_s"])?;
    let question = question(&params, web.clock.now_ms())?;
    let hits = web.ask(ROUTE, Vec::len, web.vehicles.nearby(question)).await?;
    Ok(geojson::nearby(&hits, false, web.clock.now_ms()))
}

fn question(params: &Params, now_ms: i64) -> Result<Nearby, Problem> {
    Ok(Nearby {
        center: params.point()?,
        k: params.k()?,
        max_m: params.radius_m()?.unwrap_or(f64::INFINITY),
        newer_than_ms: params.max_age_s()?.map(|age_s| now_ms - (age_s * 1e3) as i64),
    })
}
