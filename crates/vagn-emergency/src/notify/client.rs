//! One call: a request to the target, and what came of it. Nothing that a target does takes longer than its time-out or
//! more memory than a few kilobytes.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::time::timeout;

use crate::notify::notice::Notice;
use crate::notify::payload::Payload;
use crate::notify::target::Target;
use crate::record::attempt::{Attempt, Outcome};
use crate::trail::Head;
use vagn_flow::clock::Clock;

/// Longest wait for a connection. Well below the time-out, so that a dead host costs a line less than a slow one.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What is read of an answer's body, only so that its connection can be used again.
const BODY_READ: usize = 16 << 10;

/// How long to wait for that.
const BODY_WITHIN: Duration = Duration::from_millis(250);

/// How long an idle connection is kept. Shorter than servers keep theirs: a call that goes out while the other side hangs
/// up costs a retry.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// Longest reason that is kept of a failure, in bytes.
const REASON_MAX: usize = 200;

/// A client for calls to `target`.
///
/// HTTP/1.1 with a connection per call under way: no call can be stuck behind another on a shared one. Redirects are not
/// followed, since a 2xx from elsewhere would not be the target's. The proxies that the environment may name are not used.
///
/// # Errors
/// When the system's certificates cannot be read, for a target that needs them.
pub fn client(target: &Target) -> Result<Client, NoClient> {
    let builder = Client::builder()
        .user_agent(concat!("vagn/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(IDLE_MAX)
        .connect_timeout(CONNECT_WITHIN.min(target.timeout));
    let provider = rustls::crypto::ring::default_provider();
    // Somebody may have installed it before; it is the same one.
    drop(provider.install_default());
    let built = match target.url().scheme() {
        "http" => builder.tls_certs_only([]).build(),
        _ => builder.build(),
    };
    built.map_err(|err| NoClient(reason(err)))
}

/// No call can be made at all.
#[derive(Debug, thiserror::Error)]
#[error("emergency calls cannot be made: {0}")]
pub struct NoClient(String);

/// Makes `call` once, while the trail goes as far as `head`.
pub async fn attempt(
    client: &Client,
    target: &Target,
    call: &Notice,
    head: Option<Head>,
    clock: &dyn Clock,
) -> Attempt {
    let (at_ms, began) = (clock.now_ms(), clock.monotonic());
    let body = Payload::new(call, at_ms, head).to_json();
    let headers = target.headers(call.key, at_ms, &body);
    let request = client.post(target.url().clone()).headers(headers).body(body);
    let outcome = match timeout(target.timeout, request.send()).await {
        Err(_) => Outcome::Failed { reason: "no answer in time".into() },
        Ok(Err(err)) => Outcome::Failed { reason: reason(err) },
        Ok(Ok(response)) => judge(response).await,
    };
    let took = clock.monotonic().saturating_sub(began);
    ended(call, at_ms, took, outcome)
}

/// The attempt that `call` was.
pub fn ended(call: &Notice, at_ms: i64, took: Duration, outcome: Outcome) -> Attempt {
    Attempt {
        number: call.number,
        target: call.target.clone(),
        message: call.message,
        at_ms,
        took_ms: took.as_millis() as u64,
        outcome,
        next_ms: None,
    }
}

async fn judge(mut response: Response) -> Outcome {
    let status = response.status();
    let retry_after_s = retry_after_s(response.headers());
    drop(timeout(BODY_WITHIN, skip(&mut response)).await);
    let accepted = status.is_success();
    let status = status.as_u16();
    if accepted { Outcome::Accepted { status } } else { Outcome::Refused { status, retry_after_s } }
}

/// The seconds of a `Retry-After` (RFC 9110, 10.2.3), which may also be a date: then by the clock of who answers.
fn retry_after_s(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp().as_second());
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    u64::try_from(date(text)? - now).ok()
}

async fn skip(response: &mut Response) {
    let mut left = BODY_READ;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// The innermost cause, without the URL: its path may hold a token.
fn reason(err: reqwest::Error) -> String {
    let err = err.without_url();
    let mut cause: &dyn std::error::Error = &err;
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
    fn reads_how_long_a_target_wants_to_be_left_alone() {
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
}
