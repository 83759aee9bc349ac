//! Client: sends one notice to a target and reads the answer. A target can cost no more time than its time-out, and no more
//! memory than a few kilobytes.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, redirect};
use tokio::time::timeout;

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

/// Returns a client for notices to `target`.
///
/// # Errors
/// When the system's certificates cannot be read, for a target that needs them.
pub(crate) fn client(target: &Target) -> Result<Client, NoClient> {
    // HTTP/1.1 has a connection per notice under way: none can be stuck behind another on a shared one. A redirect is not
    // followed, since a 2xx from elsewhere would not be the target's. Proxies that the environment names are not used.
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
    // It fails if a provider is installed already, which is the same one.
    let _installed = provider.install_default();
    let built = match target.url().scheme() {
        // Without this, a machine that has no certificates could not notify a plain target.
        "http" => builder.tls_certs_only([]).build(),
        _ => builder.build(),
    };
    built.map_err(|err| NoClient(reason(err)))
}

/// A client that cannot be made, so no notice can be sent.
#[derive(Debug, thiserror::Error)]
#[error("notices cannot be sent: {0}")]
pub(crate) struct NoClient(String);

/// Sends `notice` once, with `head` as the head of the trail.
pub(crate) async fn send(
    client: &Client,
    target: &Target,
    notice: &Notice,
    head: Option<Head>,
    clock: &dyn Clock,
) -> EndedNotice {
    let at_ms = clock.now_ms();
    let began = clock.monotonic();
    let body = Payload::new(notice, at_ms, head).to_json();
    let headers = target.headers(notice.key, at_ms, &body);
    let request = client.post(target.url().clone()).headers(headers).body(body);
    let outcome = match timeout(target.timeout, request.send()).await {
        Err(_) => Outcome::Failed { reason: "no answer in time".into() },
        Ok(Err(err)) => Outcome::Failed { reason: reason(err) },
        Ok(Ok(response)) => judge(response).await,
    };
    notice.end(at_ms, clock.monotonic().saturating_sub(began), outcome)
}

async fn judge(mut response: Response) -> Outcome {
    let status = response.status().as_u16();
    let accepted = response.status().is_success();
    let retry_after_s = retry_after_s(response.headers());
    // The status says it all. A body that is late or endless costs its connection and nothing else.
    let _read_in_time = timeout(BODY_WITHIN, skip(&mut response)).await;
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

async fn skip(response: &mut Response) {
    let mut left = BODY_READ;
    while let Ok(Some(chunk)) = response.chunk().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => break,
        }
    }
}

/// Returns the innermost cause, without the URL: its path may hold a token.
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
}
