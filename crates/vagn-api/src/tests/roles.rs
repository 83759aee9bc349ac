//! Every route of the table, asked by everyone: the outcome is a table in docs/api.md.

use std::fmt::Write;
use std::fs;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use vagn_flow::clock::ManualClock;
use vagn_http::access::{Access, may};
use vagn_http::route::{Entry, Route};
use vagn_http::testing::{entry, entry_with};
use vagn_registry::{NewSecret, Registry, Role, Token};

use super::super::routes::routes;
use super::super::{Api, positions, router, shares};
use super::fleet::SmallFleet;
use super::lane::{ID, SmallLane};
use super::positions::Judge;
use super::{NOW_MS, Reply, concrete, pages, send, services};

/// Secret of the share that is there.
const LINK: &str = "a-link-to-bus-1";

/// One who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    None,
    /// A person with this role.
    Person(Role),
    /// A program that may operate.
    Program,
    /// A trusted console that may operate, and names a person.
    OnBehalf,
    /// A token of the settings.
    Setting,
    Expired,
    Revoked,
    /// The secret of a share in place of a token.
    Share,
    /// The cookie of a session of who may operate, with proof that a page of the service asks.
    Session,
    /// The same without proof.
    CrossSite,
}

use Asker::{
    CrossSite, Expired, None as Nobody, OnBehalf, Person, Program, Revoked, Session, Setting, Share,
};

/// The askers with the heads of their columns.
const ASKERS: [(Asker, &str); 14] = [
    (Nobody, "no token"),
    (Person(Role::Ingest), "`ingest`"),
    (Person(Role::Latest), "`latest`"),
    (Person(Role::Read), "`read`"),
    (Person(Role::Operate), "`operate`, person"),
    (Program, "`operate`, program"),
    (OnBehalf, "`operate`, on behalf"),
    (Person(Role::Admin), "`admin`"),
    (Setting, "`http.tokens`"),
    (Expired, "expired"),
    (Revoked, "revoked"),
    (Share, "secret of a share"),
    (Session, "session of `operate`"),
    (CrossSite, "the same, from another site"),
];

impl Asker {
    /// The role that it has; none for those who are not let in.
    fn role(self) -> Option<Role> {
        match self {
            Self::Person(role) => Some(role),
            Self::Setting => Some(Role::Admin),
            Self::Program | Self::OnBehalf | Self::Session | Self::CrossSite => Some(Role::Operate),
            Self::None | Self::Expired | Self::Revoked | Self::Share => None,
        }
    }

    fn secret(self) -> Option<String> {
        match self {
            Self::None | Self::Session | Self::CrossSite => None,
            Self::Share => Some(LINK.to_owned()),
            asker => Some(format!("{asker:?}")),
        }
    }

    fn token(self) -> Option<Token> {
        let role = match self {
            Self::Person(role) => role,
            Self::Program | Self::OnBehalf => Role::Operate,
            Self::Expired | Self::Revoked => Role::Admin,
            _ => return None,
        };
        let secret = self.secret()?;
        Some(Token {
            digest: NewSecret::digest_of(&secret),
            name: secret.into(),
            role,
            is_person: matches!(self, Self::Person(_)),
            is_on_behalf: self == Self::OnBehalf,
            added_ms: 0,
            expires_ms: (self == Self::Expired).then_some(NOW_MS),
            revoked_ms: (self == Self::Revoked).then_some(NOW_MS),
        })
    }
}

fn with(entry: Entry) -> Router {
    let mut services = services(SmallFleet::austin());
    services.incidents = Arc::new(SmallLane::new());
    services.entry = entry;
    drop(services.intake.traffic().subscribe("judge", Judge));
    router(services)
}

fn guarded() -> Router {
    with(entry(&["s3cret"]))
}

fn method(route: &Route<Api>) -> Method {
    route.method().cloned().unwrap_or(Method::GET)
}

/// A question that is answered with 2xx to whoever may ask it.
fn question(route: &Route<Api>, share: u64, with_data: bool) -> (String, &'static str) {
    let id = if route.path().contains("vehicles") { "bus%201" } else { ID };
    let path = route.path().replace("{number}", &share.to_string()).replace("{secret}", LINK);
    let path = concrete(&path, id).replace("{name}", pages::asset());
    let query = match route.path() {
        "/" if with_data => "?lat=30&lon=-97",
        "/api/v1/vehicles/nearby" => "?lat=30&lon=-97",
        "/api/v1/vehicles" | "/api/v1/positions/stream" => "?bbox=-98,30,-97,31",
        "/api/v1/vehicle" => "?id=bus%201",
        _ => "",
    };
    let body = match route.path() {
        "/api/v1/incidents/resolve" => r#"{"by":"Bo","state":"open"}"#,
        "/api/v1/incidents/{id}/comments" => r#"{"by":"Bo","text":"on our way"}"#,
        shares::ROUTE => r#"{"vehicle":"bus 1","expires":"1h"}"#,
        positions::ROUTE => r#"{"ID":"bus 1","Lat":"?"}"#,
        _ => r#"{"by":"Bo"}"#,
    };
    (format!("{path}{query}"), body)
}

struct Office {
    entry: Entry,
    _dir: tempfile::TempDir,
}

impl Office {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), None).unwrap();
        let tokens = ASKERS.iter().filter_map(|(asker, _)| asker.token()).collect();
        let settings = Asker::Setting.secret().unwrap();
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let entry = entry_with(clock, Some(registry), &[&settings], tokens);
        entry.credentials.insert_share(LINK, 0, "bus 1", NOW_MS + 1_000);
        Self { entry, _dir: dir }
    }

    /// Signs in, and returns the cookie.
    async fn cookie(&self) -> String {
        let secret = Person(Role::Operate).secret().unwrap();
        let request = Request::post("/api/v1/session").header("authorization", format!("Bearer {secret}"));
        let reply = send(&with(self.entry.clone()), request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
        reply.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// Makes the share that a route asks for by its number.
    async fn share_for(&self, route: &Route<Api>) -> u64 {
        if !route.path().contains("{number}") {
            return 0;
        }
        self.entry.credentials.add_share("bus 1", "test", NOW_MS + 1_000).await.unwrap().share.number
    }

    async fn ask(&self, route: &Route<Api>, asker: Asker, with_data: bool) -> Reply {
        let (path, body) = question(route, self.share_for(route).await, with_data);
        let mut request = Request::builder().method(method(route)).uri(path);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(secret) = asker.secret() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        if matches!(asker, Session | CrossSite) {
            let site = if asker == Session { "same-origin" } else { "same-site" };
            request = request.header(header::COOKIE, self.cookie().await).header("sec-fetch-site", site);
        }
        send(&with(self.entry.clone()), request.body(Body::from(body)).unwrap()).await
    }
}

/// True for an answer with what was asked for, or with where that is.
fn is_let_in(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The status that an asker must get: `None` for one that lets in.
fn expected(route: &Route<Api>, asker: Asker, asked: Access) -> Option<StatusCode> {
    let Access::Role(needed) = asked else { return None };
    let Some(role) = asker.role() else { return Some(StatusCode::UNAUTHORIZED) };
    let begins = route.path() == "/api/v1/session" && method(route) == Method::POST;
    let is_forbidden = !may(role, needed)
        || (route.is_by_person() && asker == Program)
        || (asker == CrossSite && method(route) != Method::GET);
    match is_forbidden {
        true => Some(StatusCode::FORBIDDEN),
        // A session is no token to begin another one with.
        false => (begins && asker == Session).then_some(StatusCode::UNAUTHORIZED),
    }
}

/// Asks a route by everyone, and writes its row.
async fn row(office: &Office, route: &Route<Api>, asked: Access, shown: &str, table: &mut String) {
    write!(table, "| {shown} | {asked} |").unwrap();
    for (asker, _) in ASKERS {
        let reply = office.ask(route, asker, shown.contains("?lat")).await;
        match expected(route, asker, asked) {
            Some(status) => assert_eq!(reply.status, status, "{route:?} {asker:?}: {}", reply.body),
            None => {
                assert!(is_let_in(reply.status), "{route:?} {asker:?}: {} {}", reply.status, reply.body)
            }
        }
        let shown =
            if reply.status.is_success() { "2xx".to_owned() } else { reply.status.as_str().to_owned() };
        write!(table, " {shown} |").unwrap();
    }
    table.push('\n');
}

const BEGIN: &str = "<!-- table of roles: made by a test of vagn-api; BLESS=1 writes it anew -->\n";
const END: &str = "<!-- end of the table of roles -->";

#[tokio::test]
async fn every_route_answers_every_asker_as_the_document_says() {
    let office = Office::new();
    let heads: Vec<&str> = ASKERS.iter().map(|(_, head)| *head).collect();
    let mut table =
        format!("| route | role | {} |\n|---|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for route in routes() {
        let shown = format!("`{} {}`", route.method().map_or("any", Method::as_str), route.path());
        row(&office, &route, route.access(), &shown, &mut table).await;
        if let Some(role) = route.data_role() {
            row(&office, &route, role.into(), "`any /?lat&lon`", &mut table).await;
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("docs/api.md has the table");
    let (kept, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("BLESS").is_some() {
        fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(kept, table, "the table in docs/api.md is an old one; BLESS=1 cargo test -p vagn-api roles");
}

#[tokio::test]
async fn what_is_refused_does_nothing_and_says_what_is_missing() {
    let office = Office::new();
    let lane = Arc::new(SmallLane::new());
    for route in routes().iter().filter(|route| route.access() != Access::Anyone) {
        for (asker, detail) in
            [(Nobody, "send the header"), (Expired, "has expired"), (Revoked, "was revoked")]
        {
            let reply = office.ask(route, asker, true).await;
            let refused = (StatusCode::UNAUTHORIZED, "unauthorized");
            assert_eq!((reply.status, reply.problem().as_str()), refused, "{route:?} {asker:?}");
            assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"vagn\"", "{route:?}");
            assert!(reply.body.contains(detail), "{route:?}: {}", reply.body);
        }
    }
    let mut services = services(SmallFleet::austin());
    services.incidents = lane.clone();
    services.entry = office.entry.clone();
    let router = router(services);
    for asker in [Nobody, Person(Role::Read), Program, Expired] {
        let mut request = Request::post(format!("/api/v1/incidents/{ID}/resolve"));
        if let Some(secret) = asker.secret() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        let request =
            request.header(header::CONTENT_TYPE, "application/json").body(Body::from(r#"{"by":"Bo"}"#));
        assert!(!send(&router, request.unwrap()).await.status.is_success(), "{asker:?}");
    }
    assert_eq!(*lane.done.lock(), []);
}

#[tokio::test]
async fn a_role_is_judged_before_existence_body_and_state() {
    let office = Office::new();
    let router = with(office.entry.clone());
    let secret = Person(Role::Latest).secret().unwrap();
    for (method, path) in [
        (Method::GET, "/api/v1/incidents/no-id"),
        (Method::DELETE, "/api/v1/vehicles/nobody%20knows"),
        (Method::POST, "/api/v1/incidents/no-id/acknowledge"),
        (Method::POST, "/api/v1/positions"),
        (Method::DELETE, "/api/v1/shares/999"),
    ] {
        let request = Request::builder().method(&method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        let reply = send(&router, request.body(Body::from("no json")).unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn where_no_token_was_ever_made_everything_is_open() {
    let open = entry(&[]);
    for route in routes() {
        // A share needs a registry, which this one has not.
        if route.path().starts_with(shares::ROUTE) || route.path().starts_with("/s/") {
            continue;
        }
        let (path, body) = question(&route, 0, true);
        let mut request = Request::builder().method(method(&route)).uri(path);
        request = request.header(header::CONTENT_TYPE, "application/json");
        let reply = send(&with(open.clone()), request.body(Body::from(body)).unwrap()).await;
        assert!(is_let_in(reply.status), "{route:?}: {} {}", reply.status, reply.body);
        // One that is sent all the same does no harm.
        let (path, body) = question(&route, 0, true);
        let request = Request::builder().method(method(&route)).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.header(header::AUTHORIZATION, "Bearer whatever");
        let reply = send(&with(open.clone()), request.body(Body::from(body)).unwrap()).await;
        assert!(is_let_in(reply.status), "{route:?}: {} {}", reply.status, reply.body);
    }
}

#[tokio::test]
async fn through_a_proxy_only_pages_are_open_while_there_is_no_token() {
    for route in routes() {
        let (path, body) = question(&route, 0, false);
        let request = Request::builder().method(method(&route)).uri(path);
        let request =
            request.header("x-forwarded-for", "192.0.2.7").header("content-type", "application/json");
        let reply = send(&with(entry(&[])), request.body(Body::from(body)).unwrap()).await;
        let is_data = route.access() != Access::Anyone;
        assert_eq!(reply.status == StatusCode::UNAUTHORIZED, is_data, "{route:?} {}", reply.status);
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_refused_before_the_token_is_looked_at() {
    let router = guarded();
    for route in routes().iter().filter(|route| route.method().is_some()) {
        let known: Vec<_> =
            routes().iter().filter(|other| other.path() == route.path()).map(method).collect();
        for other in [Method::PATCH, Method::PUT, Method::OPTIONS] {
            let request = Request::builder().method(&other).uri(question(route, 0, false).0);
            let reply = send(&router, request.body(Body::empty()).unwrap()).await;
            let refused = (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed");
            assert_eq!((reply.status, reply.problem().as_str()), refused, "{other} {route:?}");
            let allowed =
                known.iter().map(Method::as_str).collect::<Vec<_>>().join(",").replace("GET", "GET,HEAD");
            assert_eq!(reply.header("allow"), allowed, "{other} {route:?}");
        }
    }
}
