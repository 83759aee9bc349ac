//! `GET /api/v1/openapi.json`: the API described for machines. A test asks every operation in it of the router.

use axum::response::Response;

use vagn_http::answer;
use vagn_http::params::NoParams;

/// The route.
pub const ROUTE: &str = "/api/v1/openapi.json";

/// The description, OpenAPI 3.1.
pub const TEXT: &str = include_str!("openapi.json");

/// Answers it.
pub async fn get(_: NoParams) -> Response {
    answer::fixed("application/json", TEXT)
}
