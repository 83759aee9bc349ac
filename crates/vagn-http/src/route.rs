//! The table of routes: method, path, role and handler of each endpoint, and the router made of it.

use std::fmt;

use axum::Router;
use axum::extract::{Request, State};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use super::caller::Caller;
use super::cors::Preflight;
use super::principal::{TokenCheck, Tokens};
use super::problem::{Kind, Problem};
use super::server::Liveness;
use super::token_guard::{Refusal, class};

/// The role that a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Open to every caller, with or without a token.
    Anyone,
    /// Open to holders of a token; to every caller where no tokens are set.
    TokenHolder,
}

/// One endpoint.
pub struct Route<S> {
    method: Option<Method>,
    path: &'static str,
    role: Role,
    gives_way: bool,
    handler: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    /// Answers `GET` and `HEAD` at `path`.
    pub fn get<H: Handler<T, S>, T: 'static>(path: &'static str, role: Role, handler: H) -> Self {
        Self::new(Some(Method::GET), path, role, routing::get(handler))
    }

    /// Answers `POST` at `path`.
    pub fn post<H: Handler<T, S>, T: 'static>(path: &'static str, role: Role, handler: H) -> Self {
        Self::new(Some(Method::POST), path, role, routing::post(handler))
    }

    /// Answers `DELETE` at `path`.
    pub fn delete<H: Handler<T, S>, T: 'static>(path: &'static str, role: Role, handler: H) -> Self {
        Self::new(Some(Method::DELETE), path, role, routing::delete(handler))
    }

    /// Answers every method at `path`, except `TRACE`: what that asks for is the request itself.
    pub fn any<H: Handler<T, S>, T: 'static>(path: &'static str, role: Role, handler: H) -> Self {
        Self::new(None, path, role, routing::any(handler))
    }

    fn new(method: Option<Method>, path: &'static str, role: Role, handler: MethodRouter<S>) -> Self {
        Self { method, path, role, gives_way: false, handler }
    }

    /// Lets a connection on which it is asked give way to all others, for the rest of its time. For pictures, which may be late.
    pub fn gives_way(mut self) -> Self {
        self.gives_way = true;
        self
    }

    /// The method that is answered; `None` for all of [`Route::any`].
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// The path, with names in braces for its variable parts.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The role that a caller needs.
    pub fn role(&self) -> Role {
        self.role
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("any", Method::as_str);
        write!(f, "{method} {} for {:?}", self.path, self.role)
    }
}

/// Makes a router of `routes`. Each handler runs with the principal of its request, and only if that has the route's role;
/// a path or method that is not in the table is refused before any token is looked at.
pub fn router<S>(routes: impl IntoIterator<Item = Route<S>>, tokens: &Tokens) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = Router::new();
    for route in routes {
        let gate = Gate {
            role: route.role,
            gives_way: route.gives_way,
            takes_all: route.method.is_none(),
            class: class(route.path),
            tokens: tokens.clone(),
        };
        let layer = from_fn_with_state(gate, admit);
        let handler = match route.method {
            Some(_) => route.handler.route_layer(layer),
            // To axum a handler of every method is a fallback, which `route_layer` leaves out.
            None => route.handler.layer(layer),
        };
        router = router.route(route.path, handler);
    }
    router
}

/// The check in front of one handler.
#[derive(Debug, Clone)]
struct Gate {
    role: Role,
    gives_way: bool,
    takes_all: bool,
    class: &'static str,
    tokens: Tokens,
}

/// Answers 401 or 429 itself, or passes the request on with its principal.
async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Preflight>().is_some() {
        return every_method();
    }
    if gate.takes_all && request.method() == Method::TRACE {
        return no_trace();
    }
    let caller = request.extensions().get::<Caller>();
    let found = gate.tokens.principal(request.headers(), caller);
    if let Err(refusal) = found {
        // A page is asked for without a token; one that is sent all the same counts as anywhere.
        if gate.role == Role::TokenHolder || refusal != Refusal::Missing {
            gate.tokens.count(gate.class, refusal);
        }
        if gate.role == Role::TokenHolder {
            return Problem::from(refusal).into_response();
        }
    }
    if let (true, Some(liveness)) = (gate.gives_way, request.extensions().get::<Liveness>()) {
        liveness.give_way();
    }
    request.extensions_mut().insert(TokenCheck(found.map_err(Problem::from)));
    next.run(request).await
}

/// Methods that a route of every method names.
const METHODS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS");

/// Answers a preflight request for a route of every method; all others refuse its method before they get here.
fn every_method() -> Response {
    [(header::ALLOW, METHODS)].into_response()
}

/// Refuses `TRACE` at a route of every method, as all others do by not knowing it.
fn no_trace() -> Response {
    let why = "TRACE is known nowhere here; the header Allow lists the methods that are known";
    ([(header::ALLOW, METHODS)], Problem::new(Kind::MethodNotAllowed, why)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{StatusCode, header};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::principal::Principal;
    use crate::problem::Problem;
    use crate::token_guard::{TokenGuard, WRONG_TOKENS};
    use vagn_flow::clock::ManualClock;
    use vagn_flow::metrics::MetricRegistry;

    async fn name(principal: Principal) -> String {
        format!("{principal:?}")
    }

    async fn name_if_known(principal: Result<Principal, Problem>) -> String {
        format!("{:?}", principal.ok())
    }

    fn table() -> [Route<()>; 4] {
        [
            Route::get("/data", Role::TokenHolder, name),
            Route::delete("/data", Role::TokenHolder, name),
            Route::any("/page", Role::Anyone, name_if_known),
            Route::post("/open", Role::Anyone, name),
        ]
    }

    async fn ask(tokens: &[&str], method: Method, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let router = router(table(), &Tokens::new(tokens)).with_state(());
        let response =
            TowerToHyperService::new(router).call(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_handler_knows_the_principal_of_its_request() {
        for (tokens, token, path, expected) in [
            (&[][..], None, "/data", "Anonymous"),
            (&[], Some("any"), "/data", "Anonymous"),
            (&["s3cret"], Some("s3cret"), "/data", "TokenHolder"),
            (&[], None, "/page", "Some(Anonymous)"),
            (&["s3cret"], Some("s3cret"), "/page", "Some(TokenHolder)"),
            (&["s3cret"], Some("wrong"), "/page", "None"),
            (&["s3cret"], None, "/page", "None"),
        ] {
            let said = ask(tokens, Method::GET, path, token).await;
            assert_eq!(said, (StatusCode::OK, expected.to_owned()), "{path} {tokens:?} {token:?}");
        }
    }

    #[tokio::test]
    async fn refused_tokens_are_counted_by_route_and_slowed_by_address() {
        let registry = MetricRegistry::new();
        let guard = TokenGuard::new(std::sync::Arc::new(ManualClock::at(0)), &registry, 7);
        let router = router(table(), &Tokens::new(["s3cret"]).guarded(guard)).with_state(());
        let ask = async |path: &str, token: &str, address: &str| {
            let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
            let caller = Caller::new(Default::default(), address.parse().unwrap());
            let request = request.extension(caller).body(Body::empty()).unwrap();
            let answer = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
            let wait =
                answer.headers().get(header::RETRY_AFTER).map(|wait| wait.to_str().unwrap().to_owned());
            (answer.status().as_u16(), wait)
        };
        for number in 0..WRONG_TOKENS.burst {
            // An open page tells no more about a token than data does.
            let path = if number % 2 == 0 { "/data" } else { "/page" };
            ask(path, "wrong", "192.0.2.1").await;
        }
        let slowed = (429, Some("10".to_owned()));
        assert_eq!(ask("/data", "wrong", "192.0.2.1").await, slowed);
        assert_eq!(ask("/data", "s3cret", "192.0.2.1").await, slowed);
        assert_eq!(ask("/data", "s3cret", "192.0.2.2").await, (200, None));
        assert_eq!(ask("/data", "wrong", "192.0.2.2").await.0, 401);
        let missing = Request::get("/data").body(Body::empty()).unwrap();
        TowerToHyperService::new(router.clone()).call(missing).await.unwrap();
        let page = registry.page();
        for (route, reason, count) in
            [("data", "wrong", 11), ("page", "wrong", 10), ("data", "slowed", 2), ("data", "missing", 1)]
        {
            let line = format!("vagn_tokens_refused_total{{route=\"{route}\",reason=\"{reason}\"}} {count}");
            assert!(page.contains(&line), "{line} is not in\n{page}");
        }
    }

    #[tokio::test]
    async fn a_role_is_judged_after_path_and_method() {
        for (method, path, expected) in [
            (Method::GET, "/data", StatusCode::UNAUTHORIZED),
            (Method::HEAD, "/data", StatusCode::UNAUTHORIZED),
            (Method::DELETE, "/data", StatusCode::UNAUTHORIZED),
            (Method::POST, "/data", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/elsewhere", StatusCode::NOT_FOUND),
            (Method::PATCH, "/page", StatusCode::OK),
            (Method::TRACE, "/page", StatusCode::METHOD_NOT_ALLOWED),
            (Method::TRACE, "/data", StatusCode::METHOD_NOT_ALLOWED),
        ] {
            assert_eq!(ask(&["s3cret"], method.clone(), path, None).await.0, expected, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn an_open_route_that_insists_on_a_principal_refuses_a_request_without_one() {
        assert_eq!(ask(&["s3cret"], Method::POST, "/open", None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&["s3cret"], Method::POST, "/open", Some("s3cret")).await.0, StatusCode::OK);
    }
}
