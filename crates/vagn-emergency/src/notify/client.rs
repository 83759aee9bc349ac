//! Client: sends one notice to a target and reads the answer. A target can cost no more time than its time-out, and no more
//! memory than a few kilobytes.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use crate::notify::connector::Connector;
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::payload::Payload;
use crate::notify::target::Target;
use crate::record::attempt::Outcome;
use crate::trail::Head;
use vagn_flow::clock::Clock;

/// Longest wait for a connection. Well below the time-out, so that a dead host holds a slot for a shorter time than a slow one.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Bytes that are read of an answer's body, only so that its connection can be used again.
const BODY_READ: usize = 16 << 10;

/// Longest wait for these.
const BODY_WITHIN: Duration = Duration::from_millis(250);

/// Longest life of an idle connection. Shorter than servers keep theirs: a notice that goes out while the other side hangs
/// up costs a retry.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Longest reason of a failure that is kept, in bytes.
const REASON_MAX: usize = 200;

/// Client for notices to one target.
pub(crate) struct NoticeClient {
    http: Client<Connector, Full<Bytes>>,
    uri: Uri,
    /// Headers that every notice has.
    headers: HeaderMap,
}

impl NoticeClient {
    /// Returns a client for notices to `target`.
    ///
    /// # Errors
    /// When the system's certificates cannot be read, for a target that needs them.
    pub(crate) fn new(target: &Target) -> Result<Self, NoClient> {
        // HTTP/1.1 has a connection per notice under way: none can be stuck behind another on a shared one. A redirect is not
        // followed, since a 2xx from elsewhere would not be the target's. Proxies that the environment names are not used.
        // A machine without certificates can notify a plain target all the same.
        let is_tls = target.url().scheme() == "https";
        let connector = Connector::new(is_tls, CONNECT_WITHIN.min(target.timeout));
        let connector = connector.map_err(|err| NoClient(err.to_string()))?;
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector);
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("vagn/", env!("CARGO_PKG_VERSION"))));
        headers.extend(authorization(target).map(|value| (AUTHORIZATION, value)));
        let uri = uri(target).map_err(|err| NoClient(err.to_string()))?;
        Ok(Self { http, uri, headers })
    }

    fn request(&self, headers: HeaderMap, body: Vec<u8>) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().extend(headers);
        request
    }
}

/// Returns the address without what only the client may know: user, password and the part behind `#`.
fn uri(target: &Target) -> Result<Uri, hyper::http::uri::InvalidUri> {
    let mut url = target.url().clone();
    // Fails only for a URL without a host, which makes no target.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.set_fragment(None);
    url.as_str().parse()
}

/// Returns the header for user and password in the URL, if there are any (RFC 7617).
fn authorization(target: &Target) -> Option<HeaderValue> {
    let url = target.url();
    let user = decoded(url.username());
    let password = url.password().map(decoded);
    if user.is_empty() && password.is_none() {
        return None;
    }
    let pair = [user, b":".to_vec(), password.unwrap_or_default()].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Decodes `%41` and the like, as they stand in a URL.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escaped.unwrap_or(bytes[at]));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

/// A client that cannot be made, so no notice can be sent.
#[derive(Debug, thiserror::Error)]
#[error("notices cannot be sent: {0}")]
pub(crate) struct NoClient(String);

/// Sends `notice` once, with `head` as the head of the trail.
pub(crate) async fn send(
    client: &NoticeClient,
    target: &Target,
    notice: &Notice,
    head: Option<Head>,
    clock: &dyn Clock,
) -> EndedNotice {
    let at_ms = clock.now_ms();
    let began = clock.monotonic();
    let body = Payload::new(notice, at_ms, head).to_json();
    let headers = target.headers(notice.key, at_ms, &body);
    let answer = client.http.request(client.request(headers, body));
    let outcome = match timeout(target.timeout, answer).await {
        Err(_) => Outcome::Failed { reason: "no answer in time".into() },
        Ok(Err(err)) => Outcome::Failed { reason: reason(&err) },
        Ok(Ok(response)) => judge(response).await,
    };
    notice.end(at_ms, clock.monotonic().saturating_sub(began), outcome)
}

async fn judge(response: Response<Incoming>) -> Outcome {
    let status = response.status().as_u16();
    let accepted = response.status().is_success();
    let retry_after_s = retry_after_s(response.headers());
    // The status says it all. A body that is late or endless costs its connection and nothing else.
    let _read_in_time = timeout(BODY_WITHIN, skip(response.into_body())).await;
    if accepted { Outcome::Accepted { status } } else { Outcome::Refused { status, retry_after_s } }
}

/// Returns the seconds of a `Retry-After` (RFC 9110, 10.2.3). It may be a date, which counts by the clock of the target.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let now_s = date_s(headers.get(DATE)?.to_str().ok()?)?;
    u64::try_from(date_s(text)? - now_s).ok()
}

fn date_s(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second())
}

async fn skip(mut body: Incoming) {
    let mut left = BODY_READ;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// Returns the innermost cause. None of them names the URL, whose path may hold a token.
fn reason(err: &dyn std::error::Error) -> String {
    let mut cause = err;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let mut reason = cause.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_MAX));
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_wait_that_a_target_asks_for() {
        let check = |retry_after: &str, expected| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
            headers.insert(DATE, "Sun, 22 Nov 2026 08:00:00 GMT".parse().unwrap());
            assert_eq!(retry_after_s(&headers), expected, "{retry_after}");
        };
        check("120", Some(120));
        check("Sun, 22 Nov 2026 08:00:30 GMT", Some(30));
        check("Sun, 22 Nov 2026 07:00:00 GMT", None);
        check("soon", None);
        check("-1", None);
    }

    #[test]
    fn user_and_password_of_the_url_go_into_a_header_and_nowhere_else() {
        let check = |url: &str, sent: &str, expected: Option<&str>| {
            let second = Duration::from_secs(1);
            let target = Target::new("primary", url, "", second, 1, second).unwrap();
            assert_eq!(uri(&target).unwrap().to_string(), sent, "{url}");
            let header = authorization(&target);
            let decoded = header.as_ref().map(|value| {
                let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
                String::from_utf8(BASE64_STANDARD.decode(pair).unwrap()).unwrap()
            });
            assert_eq!(decoded.as_deref(), expected, "{url}");
        };
        check("http://a.example/calls?x=1#y", "http://a.example/calls?x=1", None);
        check("https://anna:p%40ss@a.example:444/", "https://a.example:444/", Some("anna:p@ss"));
        check("https://token@[::1]/", "https://[::1]/", Some("token:"));
        check("https://a%zz:%C3%A5@a.example/", "https://a.example/", Some("a%zz:\u{e5}"));
    }
}
