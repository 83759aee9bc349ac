//! Any bytes that a client writes in the headers of proxies: what the last proxy adds behind them is understood all the same.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use vagn_fuzz::{Meter, Target};

use super::{TrustedProxies, Word};

/// Shows all targets of the crate what an input takes.
#[global_allocator]
static METER: Meter = Meter;

const WORDS: &[&str] = &[
    "for=",
    "For=",
    "by=",
    "proto=",
    "host=",
    "https",
    "unknown",
    "_hidden",
    "192.0.2.1",
    "198.51.100.7:4711",
    "\"[2001:db8::1]:4711\"",
    "[",
    "]",
    ":",
    ";",
    ",",
    " , ",
    "\"",
    "\\\"",
    "=",
    "\u{ff}",
];

/// Words that the last proxy adds, in each of the headers.
const ADDED: [(&str, &[u8]); 2] =
    [("forwarded", b"for=198.51.100.7;proto=https;host=vagn.example"), ("x-forwarded-for", b"198.51.100.7")];

fn body(bytes: &[u8]) {
    let Ok(sent) = HeaderValue::from_bytes(bytes) else { return };
    for (name, added) in ADDED {
        is_bounded(&word(name, &[&sent]), bytes);
        let own = HeaderValue::from_bytes(added).unwrap();
        let joined = HeaderValue::from_bytes(&[bytes, b", ", added].concat()).unwrap();
        for word in [word(name, &[&sent, &own]), word(name, &[&joined])] {
            assert_eq!(word.client, "198.51.100.7".parse().ok(), "{name}");
            let is_told = name == "forwarded";
            assert_eq!(word.scheme, is_told.then_some("https"));
            assert_eq!(word.host.as_deref(), is_told.then_some("vagn.example"));
        }
    }
}

fn word(name: &'static str, values: &[&HeaderValue]) -> Word {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(HeaderName::from_static(name), (*value).clone());
    }
    TrustedProxies::new(["192.0.2.1".parse().unwrap()]).word(&headers)
}

/// Each byte that is no text may take three as one that stands for it.
fn is_bounded(word: &Word, bytes: &[u8]) {
    assert!(word.host.as_ref().is_none_or(|host| host.len() <= 3 * bytes.len()), "{word:?}");
}

#[test]
fn no_word_of_a_client_hides_that_of_the_last_proxy() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "forwarded", words: WORDS, body }.check();
}
