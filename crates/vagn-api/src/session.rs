//! `/api/v1/session`: a browser signs in with a token, sees who it is, and signs out.
//!
//! A page gets a cookie in place of the token, which its scripts cannot read. It ends with the token, or when it is not used.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Api;
use vagn_http::answer;
use vagn_http::params::NoParams;
use vagn_http::principal::{Naming, Principal};
use vagn_http::problem::Problem;

pub(crate) const ROUTE: &str = "/api/v1/session";

/// The principal, for the pages.
#[derive(Serialize)]
struct SessionJson<'a> {
    name: &'a str,
    role: &'static str,
    person: bool,
    /// Meaning of a name in the body of a deed.
    by: &'static str,
}

pub(crate) async fn begin(
    State(api): State<Api>,
    principal: Principal,
    _: NoParams,
) -> Result<Response, Problem> {
    let cookie = api.entry.credentials.begin_session(&principal).await?;
    Ok(done(cookie))
}

pub(crate) async fn show(principal: Principal, _: NoParams) -> Response {
    let session = SessionJson {
        name: principal.name(),
        role: principal.role().word(),
        person: principal.is_person(),
        by: match principal.naming() {
            Naming::Needed => "needed",
            Naming::OnBehalf => "on_behalf",
            Naming::Ignored => "ignored",
        },
    };
    answer::json("application/json", &session)
}

pub(crate) async fn end(
    State(api): State<Api>,
    principal: Principal,
    _: NoParams,
) -> Result<Response, Problem> {
    let cookie = api.entry.credentials.leave(&principal).await?;
    Ok(done(Some(cookie)))
}

fn done(cookie: Option<String>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
