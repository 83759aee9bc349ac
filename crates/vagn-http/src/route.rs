//! The table of routes: method, path, role and handler of each endpoint, and the router made of it.

use std::fmt;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::{self, MethodRouter};
use vagn_registry::Role;

use super::access::Access;
pub use super::gate::Entry;
use super::gate::{Data, Gate, Traits, admit};
use super::token_guard::class;

/// One endpoint.
pub struct Route<S> {
    method: Option<Method>,
    path: &'static str,
    access: Access,
    traits: Traits,
    handler: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Route<S> {
    /// Answers `GET` and `HEAD` at `path`.
    pub fn get<H: Handler<T, S>, T: 'static>(
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
    ) -> Self {
        Self::new(Some(Method::GET), path, access.into(), routing::get(handler))
    }

    /// Answers `POST` at `path`.
    pub fn post<H: Handler<T, S>, T: 'static>(
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
    ) -> Self {
        Self::new(Some(Method::POST), path, access.into(), routing::post(handler))
    }

    /// Answers `DELETE` at `path`.
    pub fn delete<H: Handler<T, S>, T: 'static>(
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
    ) -> Self {
        Self::new(Some(Method::DELETE), path, access.into(), routing::delete(handler))
    }

    /// Answers every method at `path` that is in common use, except `TRACE`, which asks for the request itself.
    pub fn any<H: Handler<T, S>, T: 'static>(
        path: &'static str,
        access: impl Into<Access>,
        handler: H,
    ) -> Self {
        Self::new(None, path, access.into(), routing::any(handler))
    }

    fn new(method: Option<Method>, path: &'static str, access: Access, handler: MethodRouter<S>) -> Self {
        let traits = Traits { is_noted: changes(method.as_ref()), ..Traits::default() };
        Self { method, path, access, traits, handler }
    }

    /// Lets a connection on which it is asked give way to all others, for the rest of its time, but for answers that
    /// [come first](super::server::Liveness::come_first). For pictures, which may be late.
    pub fn gives_way(mut self) -> Self {
        self.traits.gives_way = true;
        self
    }

    /// Takes it from persons only, and from trusted consoles, of which the handler sees to it that they name one.
    pub fn by_person(mut self) -> Self {
        self.traits.by_person = true;
        self
    }

    /// Notes its requests in the access log, as is done for all that change something.
    pub fn noted(mut self) -> Self {
        self.traits.is_noted = true;
        self
    }

    /// Leaves it out of the rates and the access log: what it takes are reports, which are many, and one may be a call for help.
    pub fn for_reports(mut self) -> Self {
        self.traits.has_no_rate = true;
        self.traits.is_noted = false;
        self
    }

    /// Says that a route for all has data too, which is for this role, and which a query with one of these parameters asks for: its
    /// handler finds a principal, or the reason why there is none.
    pub fn with_data_for(mut self, role: Role, asked_by: &'static [&'static str]) -> Self {
        self.traits.data = Some(Data { role, asked_by });
        self
    }

    /// Returns the method that is answered; `None` for all of [`Route::any`].
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Returns the path, with names in braces for its variable parts.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the access that it gives.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Returns true where only persons are let in.
    pub fn is_by_person(&self) -> bool {
        self.traits.by_person
    }

    /// Returns true where the access log has its requests.
    pub fn is_noted(&self) -> bool {
        self.traits.is_noted
    }

    /// Returns the role that the data of a route for all is for.
    pub fn data_role(&self) -> Option<Role> {
        self.traits.data.map(|data| data.role)
    }
}

impl<S> fmt::Debug for Route<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("any", Method::as_str);
        write!(f, "{method} {} for {}", self.path, self.access)
    }
}

/// Returns true for a route that may change something.
fn changes(method: Option<&Method>) -> bool {
    method.is_some_and(|method| *method != Method::GET)
}

/// Makes a router of `routes`. Each handler runs with the principal of its request, and only if that has the route's role;
/// a path or method that is not in the table is refused before any token is looked at.
pub fn router<S>(routes: impl IntoIterator<Item = Route<S>>, entry: &Entry) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = Router::new();
    for route in routes {
        let gate = Gate {
            access: route.access,
            traits: route.traits,
            takes_all: route.method.is_none(),
            class: class(route.path),
            entry: entry.clone(),
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

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::body::{Body, to_bytes};
    use axum::extract::Request;
    use axum::http::{StatusCode, header};
    use futures_util::FutureExt;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use std::sync::Arc;

    use crate::access_log;
    use crate::caller::Caller;
    use crate::credentials::{CredentialParts, Credentials};
    use crate::params::Params;
    use crate::principal::Principal;
    use crate::problem::Problem;
    use crate::rates::Rates;
    use crate::testing::entry;
    use crate::token_guard::{TokenGuard, WRONG_TOKENS};
    use vagn_flow::clock::ManualClock;
    use vagn_flow::metrics::MetricRegistry;

    async fn name(principal: Principal) -> String {
        principal.name().to_owned()
    }

    async fn name_if_known(principal: Result<Principal, Problem>) -> String {
        principal.map_or_else(|_| "-".to_owned(), |principal| principal.name().to_owned())
    }

    fn table() -> [Route<()>; 4] {
        [
            Route::get("/data", Role::Read, name),
            Route::delete("/data", Role::Read, name),
            Route::any("/page", Access::Anyone, name_if_known),
            Route::post("/open", Access::Anyone, name),
        ]
    }

    async fn ask(tokens: &[&str], method: Method, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let router = router(table(), &entry(tokens)).with_state(());
        let response =
            TowerToHyperService::new(router).call(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_handler_knows_the_principal_of_its_request() {
        for (tokens, token, path, expected) in [
            (&[][..], None, "/data", "local"),
            (&[], Some("any"), "/data", "local"),
            (&["s3cret"], Some("s3cret"), "/data", "http.tokens"),
            (&[], None, "/page", "local"),
            (&["s3cret"], Some("s3cret"), "/page", "http.tokens"),
            (&["s3cret"], Some("wrong"), "/page", "-"),
            (&["s3cret"], None, "/page", "-"),
        ] {
            let said = ask(tokens, Method::GET, path, token).await;
            assert_eq!(said, (StatusCode::OK, expected.to_owned()), "{path} {tokens:?} {token:?}");
        }
    }

    /// Credentials of one token that count what they refuse.
    fn counting(clock: Arc<ManualClock>, registry: &MetricRegistry) -> Credentials {
        Credentials::new(CredentialParts {
            clock: clock.clone(),
            registry: None,
            of_settings: vec!["s3cret".into()],
            is_open_to_all: false,
            trust: None,
            guard: Some(TokenGuard::new(clock, registry, 7)),
        })
    }

    #[tokio::test]
    async fn data_of_a_page_for_all_has_the_role_and_the_rate_of_any_data() {
        let registry = MetricRegistry::new();
        let clock = Arc::new(ManualClock::at(0));
        let rates = Rates::new(clock.clone(), 1, 0, 7);
        let page =
            Route::any("/", Access::Anyone, name_if_known).with_data_for(Role::Latest, &["lat", "lon"]);
        let entry = Entry { rates, credentials: counting(clock, &registry), ..entry(&[]) };
        let router = TowerToHyperService::new(router([page], &entry).with_state(()));
        let mut found = Vec::new();
        // The page alone asks for no data, so it takes nothing from the rate, also where that is used up.
        for query in ["", "?zoom=3", "?lat=1", "?l%61t=1&lon=2", "?lon=2", ""] {
            let uri = format!("/{query}");
            let request = Request::get(&uri).header(header::AUTHORIZATION, "Bearer s3cret");
            let response = router.call(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "the page is for all");
            found.push(to_bytes(response.into_body(), usize::MAX).await.unwrap());
        }
        let (known, unknown) = ("http.tokens", "-");
        assert_eq!(found, [known, known, known, unknown, unknown, known]);
        let refused = r#"vagn_tokens_refused_total{route="nearest",reason="rate"} 2"#;
        assert!(registry.page().contains(refused), "{}", registry.page());
    }

    #[tokio::test]
    async fn the_parameters_that_the_gate_has_read_are_there_for_the_handler() {
        let read = async |Extension(params): Extension<Params>| params.has("lat").to_string();
        let page = Route::get("/", Access::Anyone, read).with_data_for(Role::Latest, &["lat"]);
        let router = TowerToHyperService::new(router([page], &entry(&[])).with_state(()));
        let answer = router.call(Request::get("/?l%61t=1").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(to_bytes(answer.into_body(), usize::MAX).await.unwrap(), "true");
    }

    #[tokio::test]
    async fn refused_tokens_are_counted_by_route_and_slowed_by_address() {
        let registry = MetricRegistry::new();
        let clock = Arc::new(ManualClock::at(0));
        let credentials = counting(clock, &registry);
        let router = router(table(), &Entry { credentials, ..entry(&[]) }).with_state(());
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
        let slowed = (429, Some("12".to_owned()));
        assert_eq!(ask("/data", "wrong", "192.0.2.1").await, slowed);
        assert_eq!(ask("/data", "s3cret", "192.0.2.1").await, slowed);
        assert_eq!(ask("/data", "s3cret", "192.0.2.2").await, (200, None));
        assert_eq!(ask("/data", "wrong", "192.0.2.2").await.0, 401);
        let missing = Request::get("/data").body(Body::empty()).unwrap();
        TowerToHyperService::new(router.clone()).call(missing).await.unwrap();
        let page = registry.page();
        for (route, reason, count) in
            [("data", "wrong", 4), ("page", "wrong", 2), ("data", "slowed", 2), ("data", "missing", 1)]
        {
            let line = format!("vagn_tokens_refused_total{{route=\"{route}\",reason=\"{reason}\"}} {count}");
            assert!(page.contains(&line), "{line} is not in\n{page}");
        }
    }

    #[tokio::test]
    async fn a_deed_is_noted_with_its_principal_also_when_its_client_does_not_wait() {
        let (access_log, lines) = access_log::open(Arc::new(ManualClock::at(0)), &MetricRegistry::new());
        let slow = Route::delete("/slow/{id}", Role::Read, async || std::future::pending::<String>().await);
        let mut table = Vec::from(table());
        table.push(slow);
        let router = router(table, &Entry { access_log, ..entry(&["s3cret"]) }).with_state(());
        let ask = async |method: Method, path: &str| {
            let request =
                Request::builder().method(method).uri(path).header("authorization", "Bearer s3cret");
            TowerToHyperService::new(router.clone()).call(request.body(Body::empty()).unwrap()).await
        };
        for (method, path) in
            [(Method::GET, "/data"), (Method::DELETE, "/data?id=7"), (Method::POST, "/open")]
        {
            ask(method, path).await.unwrap();
        }
        assert!(ask(Method::DELETE, "/slow/7").now_or_never().is_none());
        let noted: Vec<serde_json::Value> =
            lines.take().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said: Vec<_> =
            noted.iter().map(|line| (line["method"].as_str(), line["subject"].as_str())).collect();
        let (delete, post) = (Some("DELETE"), Some("POST"));
        assert_eq!(said, [(delete, Some("/data?id=7")), (post, Some("/open")), (delete, Some("/slow/7"))]);
        assert!(noted.iter().all(|line| line["principal"] == "http.tokens"));
        assert_eq!((&noted[0]["status"], noted[2]["status"].is_null()), (&200.into(), true));
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
            (Method::OPTIONS, "/page", StatusCode::OK),
            (Method::TRACE, "/page", StatusCode::METHOD_NOT_ALLOWED),
            (Method::QUERY, "/page", StatusCode::METHOD_NOT_ALLOWED),
            (Method::from_bytes(b"PROPFIND").unwrap(), "/page", StatusCode::METHOD_NOT_ALLOWED),
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
