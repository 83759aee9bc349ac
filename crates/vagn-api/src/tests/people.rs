//! Names, persons, sessions and shares over the router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use futures_util::StreamExt;
use serde_json::json;
use vagn_emergency::{Request as Deed, RequestKind};
use vagn_flow::clock::ManualClock;
use vagn_http::credentials::Credentials;
use vagn_http::server::Limits;
use vagn_http::testing::{beside, entry_with, start};
use vagn_registry::{NewSecret, NewToken, Registry, Role, Token};

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::{ID, SmallLane};
use super::{NOW_MS, Reply, client, follow, send, services};

/// A service with a registry and three tokens, whose secrets are their names.
struct Office {
    router: Router,
    lane: Arc<SmallLane>,
    credentials: Credentials,
    clock: Arc<ManualClock>,
    registry: Registry,
    _dir: tempfile::TempDir,
}

fn token(name: &str, is_person: bool, is_on_behalf: bool) -> Token {
    Token {
        name: name.into(),
        digest: NewSecret::digest_of(name),
        role: Role::Operate,
        is_person,
        is_on_behalf,
        added_ms: 0,
        expires_ms: None,
        revoked_ms: None,
    }
}

fn office() -> Office {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let tokens = vec![token("anna", true, false), token("robot", false, false), token("desk 3", false, true)];
    let entry = entry_with(clock.clone(), Some(registry.clone()), &["set"], tokens);
    let lane = Arc::new(SmallLane::new());
    let credentials = entry.credentials.clone();
    let mut services = services(SmallFleet::austin());
    services.incidents = lane.clone();
    services.entry = entry;
    Office { router: router(services), lane, credentials, clock, registry, _dir: dir }
}

async fn ask(office: &Office, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(&office.router, request.body(Body::from(body.to_owned())).unwrap()).await
}

async fn deed(office: &Office, token: &str, action: &str, body: &str) -> StatusCode {
    let bearer = format!("Bearer {token}");
    let path = format!("/api/v1/incidents/{ID}/{action}");
    ask(office, Method::POST, &path, &[("authorization", &bearer)], body).await.status
}

#[tokio::test]
async fn a_deed_is_recorded_under_the_name_of_its_token() {
    let office = office();
    let text = r#"{"text":"seen"}"#;
    let by = r#"{"by":"Mallory","text":"seen"}"#;
    let nonsense = r#"{"by":7,"text":"seen"}"#;
    for (token, body, expected) in [
        ("anna", by, Ok("anna")),
        ("anna", nonsense, Ok("anna")),
        ("robot", text, Ok("robot")),
        ("desk 3", r#"{"by":"Bo","text":"seen"}"#, Ok("Bo via desk 3")),
        ("desk 3", text, Ok("desk 3")),
        ("desk 3", nonsense, Err(StatusCode::UNPROCESSABLE_ENTITY)),
        ("set", by, Ok("Mallory")),
        ("set", text, Err(StatusCode::UNPROCESSABLE_ENTITY)),
    ] {
        let status = deed(&office, token, "comments", body).await;
        assert_eq!(status, expected.map_or_else(|status| status, |_| StatusCode::OK), "{token} {body}");
        if let Ok(name) = expected {
            let action = RequestKind::Comment;
            let done = Deed { action, by: name.into(), note: "seen".into() };
            assert_eq!(office.lane.done.lock().last(), Some(&done), "{token} {body}");
        }
    }
}

#[tokio::test]
async fn only_a_person_ends_an_escalation() {
    let all = r#"{"by":"Bo","state":"open"}"#;
    for (token, body, fine) in [
        ("anna", "{}", true),
        ("robot", r#"{"by":"Anna"}"#, false),
        ("desk 3", "{}", false),
        ("desk 3", r#"{"by":"Anna"}"#, true),
        ("set", r#"{"by":"Anna"}"#, true),
    ] {
        for action in ["acknowledge", "resolve"] {
            let office = office();
            let expected = if fine { StatusCode::OK } else { StatusCode::FORBIDDEN };
            assert_eq!(deed(&office, token, action, body).await, expected, "{token} {action} {body}");
            assert_eq!(office.lane.done.lock().len(), usize::from(fine), "{token} {action} {body}");
        }
        let office = office();
        let bearer = [("authorization", &*format!("Bearer {token}"))];
        let many = ask(&office, Method::POST, "/api/v1/incidents/resolve", &bearer, all).await;
        assert_eq!(many.status == StatusCode::FORBIDDEN, token == "robot", "{token}");
    }
}

async fn sign_in(office: &Office, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let reply = ask(office, Method::POST, "/api/v1/session", &[("authorization", &bearer)], "").await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT, "{}", reply.body);
    let cookie = reply.header("set-cookie").to_owned();
    for part in ["__Host-vagn=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"]
    {
        assert!(cookie.contains(part), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_session_says_who_it_is_and_ends_when_it_is_left() {
    let office = office();
    let cookie = sign_in(&office, "anna").await;
    let own = [("cookie", &*cookie), ("sec-fetch-site", "same-origin")];
    let shown = ask(&office, Method::GET, "/api/v1/session", &own, "").await;
    let expected = json!({"name": "anna", "role": "operate", "person": true, "by": "ignored"});
    assert_eq!((shown.status, shown.json()), (StatusCode::OK, expected));
    let left = ask(&office, Method::DELETE, "/api/v1/session", &own, "").await;
    assert_eq!(left.status, StatusCode::NO_CONTENT);
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{}", left.header("set-cookie"));
    let after = ask(&office, Method::GET, "/api/v1/session", &own, "").await;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert!(after.body.contains("session has ended"), "{}", after.body);
    assert_eq!(office.registry.sessions().unwrap(), []);
}

#[tokio::test]
async fn no_cache_keeps_an_answer_that_renews_a_cookie() {
    let office = office();
    let cookie = sign_in(&office, "anna").await;
    office.clock.advance(Duration::from_secs(3_600));
    for is_renewed in [true, false] {
        let page = ask(&office, Method::GET, "/incidents", &[("cookie", &cookie)], "").await;
        assert_eq!(page.headers.contains_key("set-cookie"), is_renewed);
        assert_eq!(
            page.header("cache-control") == "no-store",
            is_renewed,
            "{}",
            page.header("cache-control")
        );
    }
}

#[tokio::test]
async fn a_cookie_acts_only_for_a_page_of_the_service() {
    let office = office();
    let cookie = sign_in(&office, "anna").await;
    let path = format!("/api/v1/incidents/{ID}/comments");
    for (headers, fine) in [
        (&[("sec-fetch-site", "same-origin")][..], true),
        (&[("host", "vagn.example"), ("origin", "https://vagn.example")], true),
        (&[], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("sec-fetch-site", "cross-site"), ("host", "a"), ("origin", "https://evil.example")], false),
        (&[("host", "vagn.example"), ("origin", "http://vagn.example")], false),
        (&[("host", "vagn.example"), ("origin", "https://vagn.example:8443")], false),
        (&[("host", "vagn.example"), ("origin", "null")], false),
    ] {
        let headers: Vec<_> = headers.iter().copied().chain([("cookie", &*cookie)]).collect();
        let reply = ask(&office, Method::POST, &path, &headers, r#"{"text":"seen"}"#).await;
        let expected = if fine { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(reply.status, expected, "{headers:?}: {}", reply.body);
    }
    let read = ask(&office, Method::GET, "/api/v1/incidents", &[("cookie", &cookie)], "").await;
    assert_eq!(read.status, StatusCode::OK, "reading needs no proof");
}

#[tokio::test]
async fn sessions_outlast_a_restart_and_end_with_their_token() {
    let office = office();
    let made = NewToken {
        name: "cy".into(),
        role: Role::Read,
        is_person: true,
        is_on_behalf: false,
        expires_ms: None,
    };
    let (_, secret) = office.registry.add_token(made, NOW_MS).unwrap();
    office.credentials.load().unwrap();
    let cookie = sign_in(&office, secret.text()).await;
    let who = async |office: &Office| {
        ask(office, Method::GET, "/api/v1/session", &[("cookie", &cookie)], "").await.status
    };
    // All that is known is read anew, as at a start.
    office.credentials.load().unwrap();
    assert_eq!(who(&office).await, StatusCode::OK);
    office.registry.revoke_token("cy", NOW_MS).unwrap();
    office.credentials.load().unwrap();
    assert_eq!(who(&office).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_opened_it() {
    let office = office();
    let request = Request::get("/api/v1/incidents/events").header("authorization", "Bearer anna");
    let service = hyper_util::service::TowerToHyperService::new(office.router.clone());
    let answer = hyper::service::Service::call(&service, request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let mut pieces = answer.into_body().into_data_stream();
    assert!(pieces.next().await.is_some());
    office.credentials.set_tokens(vec![Token { revoked_ms: Some(NOW_MS), ..token("anna", true, false) }]);
    // Would wait for ever otherwise.
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_share_shows_where_its_vehicle_is_until_it_ends() {
    let office = office();
    let bearer = [("authorization", "Bearer anna")];
    let body = r#"{"vehicle":"bus 1","expires":"2h"}"#;
    let made = ask(&office, Method::POST, "/api/v1/shares", &bearer, body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let made = made.json();
    assert_eq!((&made["vehicle"], &made["by"]), (&json!("bus 1"), &json!("anna")));
    let url = made["url"].as_str().unwrap();
    let secret = &url[url.find("/s/").unwrap() + 3..];
    let listed = ask(&office, Method::GET, "/api/v1/shares", &bearer, "").await;
    assert_eq!(listed.json()["shares"][0]["number"], made["number"]);
    assert!(!listed.body.contains(secret) && !listed.body.contains("url"), "{}", listed.body);

    let events = format!("/s/{secret}/events");
    let mut pieces = follow(&office.router, &events, None).await;
    let mut next =
        async || pieces.next().await.map(|piece| String::from_utf8(piece.unwrap().into()).unwrap());
    assert_eq!(next().await.unwrap(), "retry: 1000\n\n");
    let place = next().await.unwrap();
    let data = place.strip_prefix("event: position\ndata: ").unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let fields: Vec<_> = data.as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["heading_deg", "lat", "lon", "time"], "nothing else of the vehicle");
    let one = format!("/api/v1/shares/{}", made["number"]);
    assert_eq!(ask(&office, Method::DELETE, &one, &bearer, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(next().await.unwrap(), "event: ended\ndata: {}\n\n");
    assert_eq!(next().await, None);
    assert_eq!(ask(&office, Method::GET, &events, &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&office, Method::DELETE, &one, &bearer, "").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_link_of_a_share_begins_as_its_maker_reached_the_service() {
    beside(async {
        let office = office();
        let server = start(None, office.router.clone(), Limits::default(), None).await;
        let asked =
            client(false).post(format!("http://{}/api/v1/shares", server.address)).bearer_auth("anna");
        let body = r#"{"vehicle":"bus 1","expires":"2h"}"#;
        let made = asked.header("content-type", "application/json").body(body).send().await.unwrap();
        let made = made.text().await.unwrap();
        assert!(made.contains(&format!("\"url\":\"http://{}/s/", server.address)), "{made}");
    })
    .await;
}

#[tokio::test]
async fn one_share_that_many_follow_leaves_places_to_others() {
    let office = office();
    for (secret, number) in [("link", 7), ("other", 8)] {
        office.credentials.insert_share(secret, number, "bus 1", NOW_MS + 3_600_000);
    }
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(follow(&office.router, "/s/link/events", None).await);
    }
    let events = async |secret| ask(&office, Method::GET, &format!("/s/{secret}/events"), &[], "").await;
    assert_eq!(events("link").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(events("other").await.status, StatusCode::OK);
    open.pop();
    assert_eq!(events("link").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_share_ends_at_its_time_and_lasts_thirty_days_at_most() {
    let office = office();
    office.credentials.insert_share("link", 7, "bus 1", NOW_MS + 1_000);
    let events = "/s/link/events";
    assert_eq!(ask(&office, Method::GET, events, &[], "").await.status, StatusCode::OK);
    office.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(ask(&office, Method::GET, events, &[], "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&office, Method::GET, "/s/other/events", &[], "").await.status, StatusCode::NOT_FOUND);
    for (vehicle, expires, pointer) in [
        ("bus 1", "31d", "/expires"),
        ("bus 1", "0m", "/expires"),
        ("bus 1", "2020-01-01T00:00:00Z", "/expires"),
        ("bus 1", "soon", "/expires"),
        ("", "1h", "/vehicle"),
    ] {
        let body = json!({"vehicle": vehicle, "expires": expires}).to_string();
        let reply =
            ask(&office, Method::POST, "/api/v1/shares", &[("authorization", "Bearer anna")], &body).await;
        assert_eq!(
            (reply.status, &reply.json()["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)),
            "{body}"
        );
    }
}
