//! Tokens and sessions as requests show them, and their ends.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, header};
use axum::response::IntoResponse;
use futures_util::FutureExt;
use vagn_flow::clock::ManualClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_registry::{Appended, Bucket, Kind as RegistryKind, NewSecret, Put, Role, Session, Token};

use super::*;

pub(super) const NOW_MS: i64 = 1_790_000_000_000;

pub(super) fn token(secret: &str, name: &str) -> Token {
    Token {
        name: name.into(),
        digest: NewSecret::digest_of(secret),
        role: Role::Read,
        is_person: true,
        is_on_behalf: false,
        added_ms: NOW_MS,
        expires_ms: None,
        revoked_ms: None,
    }
}

fn credentials(of_settings: &[&str], tokens: Vec<Token>) -> (Credentials, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW_MS));
    (Credentials::of(clock.clone(), None, of_settings, tokens), clock)
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

fn find(credentials: &Credentials, lines: &[(&str, &str)]) -> Result<String, Refusal> {
    credentials.find(&headers(lines), None).map(|found| found.principal.name().to_owned())
}

fn by(credentials: &Credentials, authorization: &str) -> Result<String, Refusal> {
    find(credentials, &[("authorization", authorization)])
}

/// Puts a session into memory, as one that was read from the registry.
fn put_session(credentials: &Credentials, cookie: &str, token: &str, expires_ms: i64) {
    let session = session(cookie, token, expires_ms);
    credentials.0.known.write().sessions.insert(session.digest, session);
}

pub(super) fn session(cookie: &str, token: &str, expires_ms: i64) -> Session {
    Session { digest: NewSecret::digest_of(cookie), token: token.into(), is_of_settings: false, expires_ms }
}

/// The same for a session of a token of the settings.
fn put_session_of_settings(credentials: &Credentials, cookie: &str, token: &str, expires_ms: i64) {
    let digest = NewSecret::digest_of(cookie);
    let token = known::name_of_setting(&NewSecret::digest_of(token));
    let session = Session { digest, token, is_of_settings: true, expires_ms };
    credentials.0.known.write().sessions.insert(digest, session);
}

#[test]
fn every_local_caller_is_let_in_until_there_is_a_token_and_never_again() {
    let (credentials, _) = credentials(&[], Vec::new());
    assert_eq!(find(&credentials, &[]), Ok("local".into()));
    assert_eq!(by(&credentials, "Bearer whatever"), Ok("local".into()));
    credentials.set_tokens(vec![token("s3cret", "anna")]);
    assert_eq!(find(&credentials, &[]), Err(Refusal::Missing));
    credentials.set_tokens(Vec::new());
    assert_eq!(find(&credentials, &[]), Err(Refusal::Missing), "it stays closed");
    credentials.set_of_settings(&["first".into()]);
    assert_eq!(by(&credentials, "Bearer first"), Ok("http.tokens".into()));
    credentials.set_of_settings(&[]);
    assert_eq!(by(&credentials, "Bearer first"), Err(Refusal::Wrong));
}

/// A bucket that nobody writes to.
struct Away;

impl Bucket for Away {
    fn append(&self, _: u64, _: &[Put<'_>]) -> Appended {
        Appended::NoAnswer
    }
}

/// A node of a new cluster, which is closed before it has a copy, or not; then the first copy comes, without any token.
fn has_first_copy_without_tokens(is_noted: bool) -> Result<String, Refusal> {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open_copy(dir.path(), None, Arc::new(Away)).unwrap();
    if is_noted {
        registry.close().unwrap();
    }
    let credentials = Credentials::new(CredentialParts {
        clock: Arc::new(ManualClock::at(NOW_MS)),
        registry: Some(registry.clone()),
        of_settings: Vec::new(),
        is_open_to_all: true,
        trust: None,
        guard: None,
    });
    credentials.load().unwrap();
    assert_eq!(
        find(&credentials, &[]),
        Err(Refusal::Missing),
        "it is not known yet whether there are tokens"
    );
    let copy = registry.begin_copy().unwrap();
    registry.finish_copy(&copy, 1, 0, NOW_MS).unwrap();
    registry.note_copy();
    find(&credentials, &[])
}

#[test]
fn what_was_noted_closed_stays_so_when_the_first_copy_brings_no_token() {
    assert_eq!(has_first_copy_without_tokens(true), Err(Refusal::Missing));
    assert_eq!(has_first_copy_without_tokens(false), Ok("local".into()));
}

#[tokio::test]
async fn a_node_that_cannot_write_says_so_and_what_may_be_written_is_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open_copy(dir.path(), None, Arc::new(Away)).unwrap();
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let credentials = Credentials::of(clock, Some(registry), &[], Vec::new());
    let refused = credentials.add_share("bus 7", "anna", NOW_MS + 1_000).await.unwrap_err();
    assert_eq!(refused.kind, Kind::Overloaded);
    assert!(refused.detail.contains("another node may take it"), "{}", refused.detail);
    // Another node would make it twice.
    let doubtful = not_written(&PutError::Doubtful(String::new()));
    assert_eq!(doubtful.kind, Kind::InDoubt);
    assert!(doubtful.detail.contains("look whether it is there"), "{}", doubtful.detail);
    assert_eq!(doubtful.into_response().headers().get(header::RETRY_AFTER), None);
}

#[test]
fn what_comes_through_a_proxy_is_not_local() {
    for name in ["forwarded", "x-forwarded-for", "x-forwarded-ssl", "x-real-ip", "via", "cf-connecting-ip"] {
        let (credentials, _) = credentials(&[], Vec::new());
        assert_eq!(find(&credentials, &[(name, "for=127.0.0.1")]), Err(Refusal::NotLocal), "{name}");
    }
    let open = Credentials::new(CredentialParts {
        clock: Arc::new(ManualClock::at(NOW_MS)),
        registry: None,
        of_settings: Vec::new(),
        is_open_to_all: true,
        trust: None,
        guard: None,
    });
    assert_eq!(find(&open, &[("x-forwarded-for", "192.0.2.1")]), Ok("local".into()));
}

#[test]
fn only_a_known_token_opens() {
    let (credentials, _) = credentials(&["first", "second"], vec![token("third", "anna")]);
    for (authorization, expected) in [
        ("Bearer first", Ok("http.tokens")),
        ("bearer second", Ok("http.tokens")),
        ("Bearer  third ", Ok("anna")),
        ("Bearer", Err(Refusal::Missing)),
        ("Bearer ", Err(Refusal::Missing)),
        ("Bearer firs", Err(Refusal::Wrong)),
        ("Bearer firstx", Err(Refusal::Wrong)),
        ("Basic first", Err(Refusal::Missing)),
        ("first", Err(Refusal::Missing)),
    ] {
        assert_eq!(by(&credentials, authorization), expected.map(str::to_owned), "{authorization}");
    }
}

#[test]
fn a_token_that_has_ended_is_told_so() {
    let revoked = Token { revoked_ms: Some(NOW_MS - 1), ..token("gone", "bo") };
    let ends = Token { expires_ms: Some(NOW_MS + 1_000), ..token("ends", "cy") };
    let (credentials, clock) = credentials(&[], vec![revoked, ends]);
    assert_eq!(by(&credentials, "Bearer gone"), Err(Refusal::Revoked(NOW_MS - 1)));
    assert_eq!(by(&credentials, "Bearer ends"), Ok("cy".into()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(by(&credentials, "Bearer ends"), Err(Refusal::Expired(NOW_MS + 1_000)));
}

#[test]
fn only_a_short_token_of_the_settings_waits_for_wrong_ones_from_its_address() {
    let long = "x".repeat(SURE_LENGTH);
    let short = &long[1..];
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let credentials = Credentials::new(CredentialParts {
        clock: clock.clone(),
        registry: None,
        of_settings: vec![short.into(), long.clone()],
        is_open_to_all: false,
        trust: None,
        guard: Some(TokenGuard::new(clock, &MetricRegistry::new(), 7)),
    });
    credentials.set_tokens(vec![token("made", "importer")]);
    let caller = Caller::new(Arc::default(), "192.0.2.1".parse().unwrap());
    let ask = |token: &str| {
        let headers = headers(&[("authorization", &format!("Bearer {token}"))]);
        credentials.find(&headers, Some(&caller)).map(|found| found.principal.name().to_owned())
    };
    while ask("wrong") == Err(Refusal::Wrong) {}
    assert_eq!(ask("made"), Ok("importer".into()));
    assert_eq!(ask(&long), Ok("http.tokens".into()));
    assert!(matches!(ask(short), Err(Refusal::Slowed(_))));
}

#[test]
fn a_session_lasts_as_long_as_its_token_and_no_longer_than_it_is_used() {
    let (credentials, clock) = credentials(&["set"], vec![token("s3cret", "anna")]);
    put_session(&credentials, "c1", "anna", NOW_MS + 3_600_000);
    put_session_of_settings(&credentials, "c2", "set", NOW_MS + 3_600_000);
    let cookie = |cookie: &str| find(&credentials, &[("cookie", &format!("a=b; __Host-vagn={cookie}; c=d"))]);
    assert_eq!((cookie("c1"), cookie("c2")), (Ok("anna".into()), Ok("http.tokens".into())));
    assert_eq!(cookie("c3"), Err(Refusal::SessionEnded));
    // By use it lasts for twelve hours more.
    clock.advance(Duration::from_secs(11 * 3600));
    assert_eq!(cookie("c1"), Ok("anna".into()));
    clock.advance(Duration::from_secs(12 * 3600 + 1));
    assert_eq!(cookie("c1"), Err(Refusal::SessionEnded));
    let later_ms = credentials.0.clock.now_ms() + 3_600_000;
    put_session(&credentials, "c1", "anna", later_ms);
    put_session_of_settings(&credentials, "c2", "set", later_ms);
    assert_eq!((cookie("c1"), cookie("c2")), (Ok("anna".into()), Ok("http.tokens".into())));
    credentials.set_of_settings(&[]);
    credentials.set_tokens(vec![Token { revoked_ms: Some(NOW_MS), ..token("s3cret", "anna") }]);
    assert_eq!((cookie("c1"), cookie("c2")), (Err(Refusal::SessionEnded), Err(Refusal::SessionEnded)));
}

#[test]
fn a_session_counts_as_its_token() {
    let (credentials, _) = credentials(&["set", "other"], vec![token("s3cret", "anna")]);
    put_session(&credentials, "c1", "anna", NOW_MS + 3_600_000);
    put_session_of_settings(&credentials, "c2", "set", NOW_MS + 3_600_000);
    for (cookie, token) in [("c1", "s3cret"), ("c2", "set")] {
        let by_cookie = credentials.find(&headers(&[("cookie", &format!("__Host-vagn={cookie}"))]), None);
        let by_token = credentials.find(&headers(&[("authorization", &format!("Bearer {token}"))]), None);
        assert_eq!(by_cookie.unwrap().principal.token(), by_token.unwrap().principal.token());
    }
}

#[test]
fn a_token_with_the_name_of_one_of_the_settings_gets_no_session_of_that_one() {
    let digest = NewSecret::digest_of("set");
    let names = [known::name_of_setting(&digest), format!("http.tokens:{}", hex(&digest[..8])).into()];
    for name in names {
        let (credentials, _) = credentials(&["set"], vec![token("s3cret", &name)]);
        put_session(&credentials, "c1", &name, NOW_MS + 3_600_000);
        let found = credentials.find(&headers(&[("cookie", "__Host-vagn=c1")]), None).unwrap();
        assert_eq!((found.principal.role(), found.principal.name()), (Role::Read, &*name));
    }
}

#[test]
fn the_cookie_is_sent_anew_when_its_session_is_renewed() {
    let (credentials, clock) = credentials(&[], vec![token("s3cret", "anna")]);
    put_session(&credentials, "c1", "anna", NOW_MS + 3_600_000);
    let headers = headers(&[("cookie", "__Host-vagn=c1")]);
    let cookie = || credentials.find(&headers, None).unwrap().cookie;
    let expected = "__Host-vagn=c1; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=43200";
    assert_eq!(cookie().as_deref(), Some(expected));
    assert_eq!(cookie(), None, "one that is fresh is not");
    assert_eq!(credentials.take_renewed().len(), 1);
    clock.advance(Duration::from_secs(601));
    assert!(cookie().is_some());
}

#[tokio::test]
async fn whoever_waits_for_an_end_is_told() {
    let (credentials, clock) = credentials(&[], vec![token("s3cret", "anna")]);
    let headers = headers(&[(header::AUTHORIZATION.as_str(), "Bearer s3cret")]);
    let principal = credentials.find(&headers, None).unwrap().principal;
    let mut ending = Box::pin(credentials.ending(&principal));
    assert!((&mut ending).now_or_never().is_none());
    credentials.set_tokens(vec![token("s3cret", "anna"), token("other", "bo")]);
    assert!((&mut ending).now_or_never().is_none(), "another one was made");
    credentials.set_tokens(vec![Token { revoked_ms: Some(NOW_MS), ..token("s3cret", "anna") }]);
    ending.await;

    credentials.insert_share("link", 7, "bus 7", NOW_MS + 1_000);
    let share = credentials.share("link").unwrap();
    let ending = credentials.share_ending(&share);
    clock.advance(Duration::from_secs(1));
    assert!(credentials.share("link").is_none());
    ending.await;
}

#[tokio::test]
async fn who_was_let_in_without_a_token_is_not_once_there_is_one() {
    let (credentials, _) = credentials(&[], Vec::new());
    let principal = credentials.find(&HeaderMap::new(), None).unwrap().principal;
    let mut ending = Box::pin(credentials.ending(&principal));
    assert!((&mut ending).now_or_never().is_none());
    credentials.set_tokens(vec![token("s3cret", "anna")]);
    ending.await;
}

#[tokio::test]
async fn a_full_registry_is_busy_and_says_what_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    // All of them have ended: none is known in memory, and each takes a place until it is removed.
    let session = serde_json::json!({ "token": "anna", "expires_ms": 1 });
    let share = serde_json::json!({ "vehicle_id": "bus 7", "by": "anna", "added_ms": 0, "expires_ms": 1 });
    for (kind, value) in [(RegistryKind::Session, session), (RegistryKind::Share, share)] {
        let value = value.to_string();
        let keys: Vec<_> = (0..kind.most()).map(|number| format!("{number:064x}")).collect();
        let put = |key| Put { kind, key, revision: 0, value: Some(value.as_bytes()) };
        registry.put_all(&keys.iter().map(|key| put(key)).collect::<Vec<_>>()).unwrap();
    }
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let credentials = Credentials::of(clock, Some(registry.clone()), &[], vec![token("s3cret", "anna")]);
    let anna = credentials.find(&headers(&[("authorization", "Bearer s3cret")]), None).unwrap().principal;
    let check = |refused: Problem, remedy: &str| {
        assert_eq!((refused.kind, refused.again_after), (Kind::Overloaded, Some(ROOM_AFTER)));
        assert!(refused.detail.contains(remedy), "{}", refused.detail);
    };
    check(
        credentials.begin_session(&anna).await.unwrap_err(),
        "100000 sessions, which is all it can; sign out",
    );
    let share = credentials.add_share("bus 7", "anna", NOW_MS + 1_000).await;
    check(share.unwrap_err(), "10000 shares, which is all it can; revoke some");
    // With room again both are made.
    registry.remove_ended(2).unwrap();
    assert!(credentials.begin_session(&anna).await.unwrap().is_some());
    assert!(credentials.add_share("bus 7", "anna", NOW_MS + 1_000).await.is_ok());
}
