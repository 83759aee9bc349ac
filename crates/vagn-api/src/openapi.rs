//! `GET /api/v1/openapi.json`: the description of the API for machines. A test compares it with the table of routes.

use axum::response::Response;

use vagn_http::answer;
use vagn_http::params::NoParams;

pub(crate) const ROUTE: &str = "/api/v1/openapi.json";

/// Text of the description, OpenAPI 3.1.
pub(crate) const TEXT: &str = include_str!("openapi.json");

pub(crate) async fn get(_: NoParams) -> Response {
    answer::fixed("application/json", TEXT)
}
