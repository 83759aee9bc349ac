//! JetStream's requests and answers: JSON over subjects below `$JS.API`, and the meaning of its errors here.
//!
//! They are written here and not by the client's own module for them, whose requests keep memory when they are not answered and whose consumers
//! stop silently. The forms are NATS' own: <https://docs.nats.io/reference/reference-protocols/nats_api_reference>.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::brokers::Brokers;
use crate::link::Link;

/// Answer of brokers to a request.
#[derive(Debug)]
pub(crate) enum Said<T> {
    /// The value that was asked for.
    Is(T),
    /// An error.
    Refused(Refusal),
    /// No answer in time, or none that can be read.
    Nothing,
}

/// An error of JetStream.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Refusal {
    /// Number of the error. The server's file `server/errors.json` lists them.
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

/// Meaning of an error to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// There is no such stream.
    NoStream,
    /// There is no such message.
    NoMessage,
    /// Another sequence or revision was expected.
    WrongLast,
    /// There is no room.
    NoRoom,
    /// A stream of that name is there, and is set up in another way.
    Exists,
    /// Something else.
    Other,
}

impl Refusal {
    pub(crate) fn meaning(&self) -> Meaning {
        match self.err_code {
            10059 | 10060 => Meaning::NoStream,
            10037 => Meaning::NoMessage,
            10071 | 10164 => Meaning::WrongLast,
            // No peers, memory or storage for a new stream; a stream that is full.
            10005 | 10023 | 10028 | 10047 | 10077 => Meaning::NoRoom,
            10058 => Meaning::Exists,
            _ => Meaning::Other,
        }
    }

    /// Returns the last sequence that a refusal for the wrong one names.
    pub(crate) fn last(&self) -> Option<u64> {
        self.description.rsplit(' ').next()?.parse().ok()
    }
}

/// Acknowledgement of a message that was written to a stream.
#[derive(Deserialize)]
pub(crate) struct Ack {
    pub(crate) seq: u64,
    /// The stream has it from before.
    #[serde(default)]
    pub(crate) duplicate: bool,
}

#[derive(Deserialize)]
struct Envelope {
    error: Option<Refusal>,
}

/// Reads an answer.
pub(crate) fn read<T: DeserializeOwned>(payload: &[u8]) -> Said<T> {
    match serde_json::from_slice::<Envelope>(payload) {
        Ok(Envelope { error: Some(refusal) }) => Said::Refused(refusal),
        Ok(Envelope { error: None }) => serde_json::from_slice(payload).map_or(Said::Nothing, Said::Is),
        Err(_) => Said::Nothing,
    }
}

impl Brokers {
    /// Asks the API over a connection that stands.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        prefer: u64,
        subject: String,
        body: &impl Serialize,
        until: Instant,
    ) -> Said<T> {
        let answer = self.request(prefer, subject, None, json(body), until).await;
        answer.map_or(Said::Nothing, |answer| read(&answer.payload))
    }
}

/// Asks the API over this connection and no other.
pub(crate) async fn ask_over<T: DeserializeOwned>(
    link: &Link,
    subject: String,
    body: &impl Serialize,
    until: Instant,
) -> Said<T> {
    let answer = link.request(subject, None, json(body), until).await;
    answer.map_or(Said::Nothing, |answer| read(&answer.payload))
}

/// Writes a request. `()` is an empty one.
pub(crate) fn json(body: &impl Serialize) -> Bytes {
    // Forms of this crate: maps with texts for keys.
    let bytes = serde_json::to_vec(body).expect("a form of a request can be written");
    if bytes == b"null" { Bytes::new() } else { bytes.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Form {
        seq: u64,
    }

    fn refusal(text: &str) -> Refusal {
        match read::<Form>(text.as_bytes()) {
            Said::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_and_errors_are_told_apart() {
        assert!(matches!(read::<Form>(br#"{"stream":"a","seq":4}"#), Said::Is(Form { seq: 4 })));
        for text in ["", "{", "{}", "[]", r#"{"seq":"x"}"#] {
            assert!(matches!(read::<Form>(text.as_bytes()), Said::Nothing), "{text}");
        }
        let wrong = refusal(
            r#"{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 17"},"seq":0}"#,
        );
        assert_eq!((wrong.meaning(), wrong.last()), (Meaning::WrongLast, Some(17)));
        let other = refusal(r#"{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}}"#);
        assert_eq!((other.meaning(), other.last()), (Meaning::WrongLast, None));
    }

    #[test]
    fn an_empty_request_has_no_bytes() {
        assert!(json(&()).is_empty());
    }
}
