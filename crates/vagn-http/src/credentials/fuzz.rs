//! The headers of a request with any content: only a whole secret lets anybody in, and a share is found by its own alone.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use vagn_flow::clock::ManualClock;
use vagn_fuzz::Target;

use super::tests::{NOW_MS, session, token};
use super::*;

const TOKEN: &str = "rD2Yx0p1cWQ3h6mJ8vZb5nTf7LsKgE9aUo4iXyBtHwM";
const COOKIE_SECRET: &str = "c7Fq2VtLwN9xZ0bRk5Jm8YsPd1HgUa3EoTi6QyWvXnB";
const SHARE: &str = "s4Gh8KjLpQ1wZxN7vTb2RcYm5DfUa0EoXi9SqHtWnJk";

const WORDS: &[&str] = &[
    "authorization: Bearer ",
    "cookie: ",
    "__Host-vagn=",
    "; ",
    "=",
    "\n",
    " ",
    "\t",
    "Basic ",
    "forwarded: for=",
    "x-forwarded-for: ",
    "127.0.0.1",
    "%41",
    "\"",
    TOKEN,
    COOKIE_SECRET,
    SHARE,
];

static CREDENTIALS: LazyLock<Credentials> = LazyLock::new(|| {
    let clock = Arc::new(ManualClock::at(NOW_MS));
    let credentials = Credentials::of(clock, None, &[], vec![token(TOKEN, "anna")]);
    let session = session(COOKIE_SECRET, "anna", NOW_MS + 3_600_000);
    credentials.0.known.write().sessions.insert(session.digest, session);
    credentials.insert_share(SHARE, 1, "bus 7", NOW_MS + 3_600_000);
    credentials
});

fn body(bytes: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..at]);
        let value = HeaderValue::from_bytes(line[at + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    if let Ok(found) = CREDENTIALS.find(&headers, None) {
        let shown = |secret: &str| has(bytes, secret.as_bytes());
        assert!(shown(TOKEN) || shown(COOKIE) && shown(COOKIE_SECRET), "let in without a secret");
        assert_eq!(found.principal.name(), "anna");
        assert!(found.cookie.is_none_or(|cookie| HeaderValue::from_str(&cookie).is_ok()));
    }
    let text = String::from_utf8_lossy(bytes);
    for word in text.split_ascii_whitespace() {
        assert_eq!(CREDENTIALS.share(word).is_some(), word == SHARE, "{word}");
    }
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn any_headers_let_nobody_in_who_does_not_show_a_secret() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "headers", words: WORDS, body }.check();
}

#[test]
fn the_corpus_of_headers_shows_each_secret() {
    let share = SHARE.to_owned();
    for (name, text) in [
        ("token", format!("authorization: Bearer {TOKEN}\naccept: */*")),
        ("cookie", format!("cookie: a=b; __Host-vagn={COOKIE_SECRET}; c=d\norigin: https://localhost")),
        ("both", format!("authorization: bearer {TOKEN}\ncookie: __Host-vagn=x\nforwarded: for=192.0.2.1")),
        ("share", share),
    ] {
        vagn_fuzz::keep(env!("CARGO_MANIFEST_DIR"), "headers", name, text.as_bytes());
    }
}
