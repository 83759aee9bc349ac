//! Server-sent events: what all streams of the API have in common.
//!
//! A stream is asked for its next piece only when its reader has taken the one before. A reader that stalls so costs a place
//! among the streams and nothing else, until the server finds its connection idle and cuts it off.

use std::convert::Infallible;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use tokio::time::timeout;

use vagn_http::params::Params;
use vagn_http::problem::Problem;
use vagn_http::server::Liveness;

/// Longest silence of a stream. Proxies tend to end a silent connection after 30 s; the server does after 75 s.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// Pause of a client before it connects again, in ms.
pub(crate) const RETRY_MS: u64 = 1_000;

/// Name of the parameter for clients that cannot set headers.
pub(crate) const LAST_EVENT_ID: &str = "last_event_id";

/// Returns the id of the last event that the client has seen. A client that comes back by itself sets the header, which
/// therefore counts for more than the parameter it was started with. `unknown` is an id that no run gives out, and `form` the
/// form of ids.
pub(crate) fn last_event_id<T: FromStr>(
    headers: &HeaderMap,
    params: &Params,
    unknown: T,
    form: &str,
) -> Result<Option<T>, Problem> {
    let param = params.one(LAST_EVENT_ID)?.map(|text| text.parse().map_err(|_| not_an_event(text, form)));
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return param.transpose();
    };
    // A refusal here would make a browser give up for good.
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    Ok(Some(parsed.unwrap_or(unknown)))
}

fn not_an_event(text: &str, form: &str) -> Problem {
    let why = format!("`{LAST_EVENT_ID}` is {text:?}, but must be the id of an event, {form}");
    Problem::parameter(LAST_EVENT_ID, why)
}

/// Pieces of a stream, each of whole events.
pub(crate) trait PieceSource: Send + 'static {
    /// Waits for the next piece; `None` at the end. Nothing may be lost when this is dropped before it is done.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// Answers with a stream, with a comment after every `heartbeat` without a piece. `liveness` is `None` where no server is
/// around the router, as in tests.
pub(crate) fn answer(pieces: impl PieceSource, heartbeat: Duration, liveness: Option<Liveness>) -> Response {
    let stream = EventStream { pieces, heartbeat, liveness };
    let pieces = stream::unfold(stream, |mut stream| async {
        let piece = stream.next().await?;
        Some((Ok::<_, Infallible>(piece), stream))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Some proxies otherwise hold events back until they have a page of them.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One open stream.
struct EventStream<P> {
    pieces: P,
    heartbeat: Duration,
    liveness: Option<Liveness>,
}

impl<P: PieceSource> EventStream<P> {
    /// Waits for the next piece; `None` when the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(liveness) = &self.liveness {
            liveness.sign();
        }
        tokio::select! {
            // A busy stream must not hide the stop.
            biased;
            () = stopping(&mut self.liveness) => None,
            next = timeout(self.heartbeat, self.pieces.next()) => match next {
                Ok(piece) => piece,
                Err(_) => Some(Bytes::from_static(b":\n\n")),
            }
        }
    }
}

async fn stopping(liveness: &mut Option<Liveness>) {
    match liveness {
        Some(liveness) => liveness.stopping().await,
        None => std::future::pending().await,
    }
}
