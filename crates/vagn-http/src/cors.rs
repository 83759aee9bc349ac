//! Pages of other origins: which of them a browser lets use the API (the CORS protocol of the Fetch standard).
//!
//! Never with credentials of the browser's own: a page that wants in has to hold a token.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

/// Request headers that a page may set.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type");
/// Response headers that a page may read, beyond those that it always may.
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("Retry-After, ETag, Link, Vagn-Partial, Vagn-Missing-Shards, Vagn-Shard-Age-Ms");
/// Time for which a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// The word for all origins.
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Mark of a preflight request: a browser's question whether a page may send what it wants to send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preflight;

/// Puts the check of origins around `router`. `origins` has the origins that are let in, as browsers send them
/// (`https://host:port`), or `*` for all; without any, the router stays as it is.
///
/// All answers carry the headers, refusals too, so that a page can read why it was refused.
pub fn around<T: AsRef<str>>(router: Router, origins: impl IntoIterator<Item = T>) -> Router {
    let origins: Arc<[HeaderValue]> =
        origins.into_iter().filter_map(|origin| HeaderValue::from_str(origin.as_ref()).ok()).collect();
    if origins.is_empty() {
        return router;
    }
    // Outside of the router, because the header `Allow` of a refusal is written by its outermost part.
    Router::new().fallback_service(router).layer(from_fn_with_state(Origins(origins), check))
}

#[derive(Debug, Clone)]
struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// Returns the value of `Access-Control-Allow-Origin`, if the request comes from a page that is let in.
    fn admitted(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.iter().find(|known| *known == ANY || *known == origin).cloned()
    }
}

async fn check(State(origins): State<Origins>, mut request: Request, next: Next) -> Response {
    let admitted = origins.admitted(request.headers());
    let is_preflight = admitted.is_some() && is_preflight(&request);
    if is_preflight {
        request.extensions_mut().insert(Preflight);
    }
    let mut response = next.run(request).await;
    if let Some(origin) = admitted {
        // The router itself says which methods the path knows, by refusing the one that it does not: OPTIONS.
        let methods = response.headers().get(header::ALLOW).filter(|_| is_preflight).cloned();
        match methods {
            Some(methods) => response = permission(methods),
            None => set(&mut response, header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS),
        }
        set(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    // Also where the header is missing: a cache must not give that answer to a page that is let in.
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn permission(methods: HeaderValue) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    set(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    set(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    set(&mut response, header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

fn set(response: &mut Response, name: HeaderName, value: HeaderValue) {
    response.headers_mut().insert(name, value);
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use vagn_registry::Role;

    use crate::principal::Principal;
    use crate::route::{Route, router};
    use crate::testing::entry;

    const PAGE: &str = "https://map.example";
    const EXPOSED: &str = "Retry-After, ETag, Link, Vagn-Partial, Vagn-Missing-Shards, Vagn-Shard-Age-Ms";

    async fn nothing(_: Principal) {}

    fn table() -> Router {
        let routes = [
            Route::get("/data", Role::Read, nothing),
            Route::delete("/data", Role::Read, nothing),
            Route::any("/", Role::Read, nothing),
        ];
        router(routes, &entry(&["s3cret"])).with_state(())
    }

    async fn ask(origins: &[&str], method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let router = TowerToHyperService::new(around(table(), origins));
        router.call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    fn value<'a>(response: &'a Response, name: &str) -> &'a str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn preflight(origins: &[&str], path: &str) -> Response {
        let headers = [("origin", PAGE), ("access-control-request-method", "GET")];
        ask(origins, Method::OPTIONS, path, &headers).await
    }

    #[tokio::test]
    async fn a_preflight_names_the_methods_of_the_path_and_needs_no_token() {
        for (origins, shown) in [(&[PAGE][..], PAGE), (&["*"], "*"), (&["https://b.example", PAGE], PAGE)] {
            for (path, methods) in
                [("/data", "GET,HEAD,DELETE"), ("/", "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS")]
            {
                let response = preflight(origins, path).await;
                assert_eq!(response.status(), StatusCode::NO_CONTENT, "{origins:?} {path}");
                assert_eq!(value(&response, "access-control-allow-methods"), methods);
                assert_eq!(value(&response, "access-control-allow-headers"), "Authorization, Content-Type");
                assert_eq!(value(&response, "access-control-max-age"), "3600");
                assert_eq!(value(&response, "access-control-allow-origin"), shown);
                assert_eq!(value(&response, "vary"), "Origin");
                assert_eq!(value(&response, "access-control-allow-credentials"), "");
            }
        }
    }

    #[tokio::test]
    async fn a_page_may_read_every_answer_refusals_too() {
        for (method, path, token, status) in [
            (Method::GET, "/data", "Bearer s3cret", StatusCode::OK),
            (Method::GET, "/data", "Bearer wrong", StatusCode::UNAUTHORIZED),
            (Method::POST, "/data", "", StatusCode::METHOD_NOT_ALLOWED),
            (Method::OPTIONS, "/data", "", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/elsewhere", "", StatusCode::NOT_FOUND),
        ] {
            let headers = [("origin", PAGE), ("authorization", token)];
            let response = ask(&[PAGE], method, path, &headers).await;
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(value(&response, "access-control-allow-origin"), PAGE);
            assert_eq!(value(&response, "access-control-expose-headers"), EXPOSED);
            assert_eq!(value(&response, "vary"), "Origin");
        }
    }

    #[tokio::test]
    async fn other_pages_and_other_clients_are_answered_as_before() {
        let token = ("authorization", "Bearer s3cret");
        for origin in ["https://map.example.evil", "http://map.example", "https://map.example:8443", "null"] {
            let response = ask(&[PAGE], Method::GET, "/data", &[("origin", origin), token]).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(value(&response, "access-control-allow-origin"), "", "{origin}");
        }
        let response = ask(&[PAGE], Method::GET, "/data", &[token]).await;
        assert_eq!(value(&response, "access-control-allow-origin"), "");
        assert_eq!(value(&response, "vary"), "Origin");
    }

    #[tokio::test]
    async fn without_origins_nothing_is_added() {
        let response = preflight(&[], "/data").await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        let headers: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        assert!(
            !headers.iter().any(|name| name.starts_with("access-control") || *name == "vary"),
            "{headers:?}"
        );
    }
}
