//! `/healthz`: the process answers. `/readyz`: it can be used, or what is missing; and what to worry about.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::Ops;
use crate::web::answer;

/// As long as this answers there is no reason to kill the process.
pub async fn alive() -> Response {
    answer::live("text/plain; charset=utf-8", b"ok\n".to_vec())
}

/// 200 when nothing is missing, else 503; the body is the same kind of JSON in both cases.
pub async fn ready(State(ops): State<Ops>) -> Response {
    let report = ops.readiness.report();
    let mut response = answer::json("application/json", &report);
    if !report.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
