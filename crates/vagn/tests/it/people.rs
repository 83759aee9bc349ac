//! People and programs before a running service: tokens that come and go, what is local, and what every answer carries.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::vagn::{Vagn, client, eventually, settings};

/// Asks the control socket, and returns what it answers at last.
fn control(data_dir: &Path, request: &Value) -> Value {
    let mut socket = UnixStream::connect(data_dir.join("control")).unwrap();
    writeln!(socket, "{request}").unwrap();
    let last = BufReader::new(socket).lines().last().unwrap().unwrap();
    let mut last: Value = serde_json::from_str(&last).unwrap();
    last["ok"].take()
}

/// Makes a token, and returns its secret.
fn add_token(data_dir: &Path, name: &str, role: &str) -> String {
    let made = control(data_dir, &json!({"token_add": {"name": name, "role": role, "is_person": true}}));
    made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

fn revoke_token(data_dir: &Path, name: &str) {
    control(data_dir, &json!({"token_revoke": {"name": name}}));
}

async fn ask(vagn: &Vagn, path: &str, token: Option<&str>) -> Response {
    let request = client().get(vagn.url(path));
    let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
    request.send().await.unwrap()
}

#[tokio::test]
async fn a_token_opens_and_closes_while_the_service_runs_and_the_api_stays_closed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &[]);
    let events = "/api/v1/incidents/events";
    let mut open = ask(&vagn, events, None).await;
    assert_eq!(open.status(), StatusCode::OK, "there is no token yet");

    let token = add_token(&data, "anna", "read");
    eventually("the open API to be closed", async || {
        ask(&vagn, "/api/v1/targets", None).await.status() == 401
    })
    .await;
    // The stream that was opened without a token ends; it would be silent for ever otherwise.
    while open.chunk().await.unwrap().is_some() {}
    let mut stream = ask(&vagn, events, Some(&token)).await;
    assert_eq!(stream.status(), StatusCode::OK);
    let forbidden = client().delete(vagn.url("/api/v1/vehicles/x")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(forbidden.status(), StatusCode::FORBIDDEN);

    revoke_token(&data, "anna");
    while stream.chunk().await.unwrap().is_some() {}
    let refused = ask(&vagn, "/api/v1/targets", Some(&token)).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.text().await.unwrap().contains("was revoked"));

    let vagn = vagn.restart();
    assert_eq!(ask(&vagn, "/api/v1/targets", None).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_api_whose_tokens_of_the_settings_are_taken_away_stays_closed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = settings(dir.path(), "[http]\ntokens = [\"nobody guesses this\"]\n");
    let vagn = Vagn::start(&data, &["--config", &config]);
    assert_eq!(ask(&vagn, "/api/v1/targets", Some("nobody guesses this")).await.status(), StatusCode::OK);
    let (_, log) = vagn.stop();
    assert!(log.contains("each token of `http.tokens` may do everything"), "{log}");
    let vagn = Vagn::start(&data, &[]);
    assert_eq!(ask(&vagn, "/api/v1/targets", None).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_reload_ends_a_token_of_the_settings_and_its_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        settings(dir.path(), "[http]\ntokens = [\"a leaked secret of one\", \"another one to stay\"]\n");
    let vagn = Vagn::start_heeding(&dir.path().join("data"), &["--config", &config]);
    let begun = client()
        .post(vagn.url("/api/v1/session"))
        .bearer_auth("a leaked secret of one")
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), StatusCode::NO_CONTENT);
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let by_session = async || {
        let asked = client().get(vagn.url("/api/v1/targets")).header("cookie", &cookie);
        asked.send().await.unwrap().status()
    };
    let by_token = async |token| ask(&vagn, "/api/v1/targets", Some(token)).await.status();
    assert_eq!(by_session().await, StatusCode::OK);
    assert_eq!(by_token("a leaked secret of one").await, StatusCode::OK);

    settings(dir.path(), "[http]\ntokens = [\"another one to stay\", \"one that is quite new\"]\n");
    vagn.signal("HUP");
    eventually("the end of the token", async || by_token("a leaked secret of one").await != StatusCode::OK)
        .await;
    assert_eq!(by_session().await, StatusCode::UNAUTHORIZED);
    for token in ["another one to stay", "one that is quite new"] {
        assert_eq!(by_token(token).await, StatusCode::OK, "{token}");
    }
}

#[tokio::test]
async fn without_a_token_only_this_machine_is_let_in_under_its_own_names() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "[http]\npublic_url = \"https://vagn.example\"\n");
    let vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    let path = "/api/v1/targets";
    for (header, value, status) in [
        ("x-forwarded-for", "127.0.0.1", 401),
        ("forwarded", "for=127.0.0.1", 401),
        ("host", "evil.example", 421),
        ("host", "vagn.example", 200),
        ("host", "localhost:9090", 200),
    ] {
        let answer = client().get(vagn.url(path)).header(header, value).send().await.unwrap();
        assert_eq!(answer.status(), status, "{header}: {value}");
    }
    for (host, status) in [("evil.example", 421), ("vagn.example", 200)] {
        let url = format!("http://{}/healthz", vagn.address("ops"));
        assert_eq!(client().get(url).header("host", host).send().await.unwrap().status(), status, "{host}");
    }
}

/// Headers that no answer lacks.
const STRICT: [&str; 4] =
    ["content-security-policy", "x-content-type-options", "referrer-policy", "x-frame-options"];

#[tokio::test]
async fn every_answer_of_every_port_is_strict() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(&dir.path().join("data"), &[]);
    let ops = |path: &str| format!("http://{}{path}", vagn.address("ops"));
    let urls = [
        vagn.url("/"),
        vagn.url("/incidents"),
        vagn.url("/api/v1/targets"),
        vagn.url("/nothing"),
        vagn.url("/tiles/0/0/0.mvt"),
        vagn.url("/api/v1/incidents/events"),
        ops("/metrics"),
        ops("/readyz"),
        ops("/nothing"),
    ];
    for url in urls {
        let answer = client().get(&url).send().await.unwrap();
        for name in STRICT {
            assert!(answer.headers().contains_key(name), "{url} {} lacks {name}", answer.status());
        }
    }
    let mut plain = TcpStream::connect(vagn.address("http")).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut said = String::new();
    plain.shutdown(std::net::Shutdown::Write).unwrap();
    plain.read_to_string(&mut said).unwrap();
    assert!(STRICT.iter().all(|name| said.contains(&format!("\r\n{name}: "))), "{said}");
}

#[tokio::test]
async fn who_reads_incidents_is_noted_apart_from_the_trail() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let vagn = Vagn::start(&data, &[]);
    let token = add_token(&data, "anna", "read");
    // Until then a reader is any caller of this machine.
    let is_closed = async || ask(&vagn, "/api/v1/targets", None).await.status() == 401;
    eventually("the open API to be closed", is_closed).await;
    assert_eq!(ask(&vagn, "/api/v1/incidents", Some(&token)).await.status(), StatusCode::OK);
    ask(&vagn, "/api/v1/targets", Some(&token)).await;
    let noted = || std::fs::read_to_string(data.join("access.log")).unwrap_or_default();
    eventually("the read to be noted", async || !noted().is_empty()).await;
    let lines: Vec<Value> = noted().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        assert_eq!(
            (&line["principal"], &line["subject"]),
            (&json!("anna"), &json!("/api/v1/incidents")),
            "{line}"
        );
        assert_eq!((&line["role"], &line["address"]), (&json!("read"), &json!("127.0.0.1")), "{line}");
    }
}

#[tokio::test]
async fn an_api_that_is_open_to_all_is_warned_of_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let warning = "the api is open to everyone";
    let open = ["--http", "0.0.0.0:0", "--insecure-open"];
    let vagn = Vagn::start(dir.path(), &open);
    add_token(dir.path(), "eva", "admin");
    let log = vagn.stop().1;
    assert!(log.contains(warning) && log.contains("vagn token add"), "{log}");
    let log = Vagn::start(dir.path(), &open).stop().1;
    assert!(!log.contains(warning), "{log}");
}
