//! The first page: the nearest vehicles to a typed point, in a table that keeps itself fresh. The page holds no data of the
//! fleet; its script asks the API like any other client.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use vagn_http::answer;
use vagn_http::params::NoParams;

pub(crate) const STYLE_ROUTE: &str = "/page.css";
pub(crate) const SCRIPT_ROUTE: &str = "/page.js";

/// Content security policy: the browser loads, runs and asks only what this server sends.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers with the page, for the handler of `/`.
pub(crate) fn index() -> Response {
    let mut response = answer::fixed("text/html; charset=utf-8", include_str!("page/index.html"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // The address of the page may hold the place that was asked for.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

pub(crate) async fn style(_: NoParams) -> Response {
    answer::fixed("text/css; charset=utf-8", include_str!("page/page.css"))
}

pub(crate) async fn script(_: NoParams) -> Response {
    answer::fixed("text/javascript; charset=utf-8", include_str!("page/page.js"))
}
