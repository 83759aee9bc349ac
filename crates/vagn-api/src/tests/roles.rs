//! Every route of the table, asked with and without a token.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use vagn_http::route::{Role, Route};

use super::super::routes::routes;
use super::super::{Api, Tokens, router};
use super::fleet::SmallFleet;
use super::lane::{ID, SmallLane};
use super::{Reply, concrete, pages, send, services};

const TOKENS: [&str; 1] = ["s3cret"];

/// The token that a request carries.
#[derive(Debug, Clone, Copy)]
enum Sent {
    None,
    Wrong,
    Right,
}

fn guarded(tokens: &[&str]) -> (Router, Arc<SmallLane>) {
    let lane = Arc::new(SmallLane::new());
    let mut services = services(SmallFleet::austin());
    services.incidents = lane.clone();
    services.tokens = Tokens::new(tokens);
    (router(services), lane)
}

async fn ask(router: &Router, method: Method, route: &Route<Api>, sent: Sent) -> Reply {
    let path = concrete(route.path(), ID).replace("{name}", pages::asset());
    let mut request = Request::builder().method(method).uri(path);
    request = match sent {
        Sent::None => request,
        Sent::Wrong => request.header(header::AUTHORIZATION, "Bearer s3cre"),
        Sent::Right => request.header(header::AUTHORIZATION, "Bearer s3cret"),
    };
    let request = request.header(header::CONTENT_TYPE, "application/json");
    send(router, request.body(Body::from(r#"{"by":"Bo"}"#)).unwrap()).await
}

fn method(route: &Route<Api>) -> Method {
    route.method().cloned().unwrap_or(Method::GET)
}

#[tokio::test]
async fn a_route_for_holders_refuses_a_missing_and_an_unknown_token_and_does_nothing() {
    let (router, lane) = guarded(&TOKENS);
    for route in routes().iter().filter(|route| route.role() == Role::TokenHolder) {
        for (sent, detail) in [(Sent::None, "send the header"), (Sent::Wrong, "is not one of those")] {
            let reply = ask(&router, method(route), route, sent).await;
            let refused = (StatusCode::UNAUTHORIZED, "unauthorized");
            assert_eq!((reply.status, reply.problem().as_str()), refused, "{route:?} {sent:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"vagn\"", "{route:?}");
            assert!(reply.body.contains(detail), "{route:?}: {}", reply.body);
        }
    }
    assert_eq!(*lane.done.lock(), []);
}

#[tokio::test]
async fn a_holder_gets_what_every_caller_gets_where_no_tokens_are_set() {
    for route in routes() {
        let (open, _) = guarded(&[]);
        let (closed, _) = guarded(&TOKENS);
        let expected = ask(&open, method(&route), &route, Sent::None).await;
        assert_ne!(expected.status, StatusCode::UNAUTHORIZED, "{route:?}");
        let reply = ask(&closed, method(&route), &route, Sent::Right).await;
        assert_eq!((reply.status, &reply.body), (expected.status, &expected.body), "{route:?}");
        // Where no tokens are set, one that is sent all the same does no harm.
        let reply = ask(&guarded(&[]).0, method(&route), &route, Sent::Wrong).await;
        assert_eq!((reply.status, &reply.body), (expected.status, &expected.body), "{route:?}");
    }
}

#[tokio::test]
async fn a_route_for_anyone_is_answered_without_a_token() {
    let (router, _) = guarded(&TOKENS);
    for route in routes().iter().filter(|route| route.role() == Role::Anyone) {
        for sent in [Sent::None, Sent::Wrong] {
            assert_eq!(ask(&router, method(route), route, sent).await.status, StatusCode::OK, "{route:?}");
        }
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_refused_before_the_token_is_looked_at() {
    let (router, _) = guarded(&TOKENS);
    for route in routes().iter().filter(|route| route.method().is_some()) {
        let known: Vec<_> =
            routes().iter().filter(|other| other.path() == route.path()).map(method).collect();
        for other in [Method::PATCH, Method::PUT, Method::OPTIONS] {
            let reply = ask(&router, other.clone(), route, Sent::None).await;
            let refused = (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed");
            assert_eq!((reply.status, reply.problem().as_str()), refused, "{other} {route:?}");
            let allowed =
                known.iter().map(Method::as_str).collect::<Vec<_>>().join(",").replace("GET", "GET,HEAD");
            assert_eq!(reply.header("allow"), allowed, "{other} {route:?}");
        }
    }
}
