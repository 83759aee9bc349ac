//! A notice as it arrived at the emergency service.

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use serde_json::Value;

use crate::visible::quoted;

/// The three headers of Standard Webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) id: String,
    pub(super) timestamp_s: i64,
    pub(super) signature: String,
}

/// Notice as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) is_post: bool,
    pub(super) key: Option<String>,
    pub(super) signed: Option<Signed>,
    pub(super) raw: Vec<u8>,
    pub(super) body: Option<Value>,
}

impl Notice {
    pub(super) fn read(head: &Parts, raw: &[u8]) -> Self {
        Self {
            is_post: head.method == Method::POST,
            key: header(&head.headers, "idempotency-key"),
            signed: Signed::read(&head.headers),
            raw: raw.to_vec(),
            body: serde_json::from_slice(raw).ok().filter(Value::is_object),
        }
    }

    /// Returns a field of the body that is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.as_ref()?.get(name)?.as_str()
    }

    pub(super) fn is_drill(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.get("test") == Some(&Value::Bool(true)))
    }

    /// Returns one field of the body for a line; `-` when it is missing.
    pub(super) fn field(&self, name: &str) -> String {
        match self.body.as_ref().and_then(|body| body.get(name)) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => quoted(text).into_owned(),
            Some(other) => other.to_string(),
        }
    }
}

impl Signed {
    fn read(headers: &HeaderMap) -> Option<Self> {
        Some(Self {
            id: header(headers, "webhook-id")?,
            timestamp_s: header(headers, "webhook-timestamp")?.parse().ok()?,
            signature: header(headers, "webhook-signature")?,
        })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
