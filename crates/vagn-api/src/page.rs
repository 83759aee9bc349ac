//! The first page: the nearest vehicles to a typed point, in a table that keeps itself fresh. It holds no data of the fleet,
//! which it asks the API for like any other client.

use axum::http::{HeaderValue, header};
use axum::response::Response;

use vagn_http::answer;
use vagn_http::params::NoParams;

/// Only what this server sends is loaded, run or asked.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths of its style and its script.
pub const STYLE_ROUTE: &str = "/page.css";
pub const SCRIPT_ROUTE: &str = "/page.js";

/// The page itself.
pub fn index() -> Response {
    let mut response = answer::fixed("text/html; charset=utf-8", include_str!("page/index.html"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Its look.
pub async fn style(_: NoParams) -> Response {
    answer::fixed("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// What it does.
pub async fn script(_: NoParams) -> Response {
    answer::fixed("text/javascript; charset=utf-8", include_str!("page/page.js"))
}
