//! `GET /api/v1/incidents/events`: changes of incidents as server-sent events, from any event on that is still kept.
//!
//! A stream is asked for its next piece only when its reader has taken the one before. A reader that stalls so costs a place
//! among the streams and nothing else, until the server finds its connection idle and cuts it off.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::Api;
use vagn_emergency::show::feed::{EventId, FeedItem, Follower, GapReason};
use vagn_http::params::Params;
use vagn_http::problem::{Kind, Problem};
use vagn_http::server::Liveness;

pub(crate) const ROUTE: &str = "/api/v1/incidents/events";

/// Most streams open at a time: far more than there are desks in a dispatch centre, and far fewer than connections.
const STREAMS_MAX: usize = 256;

/// Longest silence of a stream. Proxies tend to end a silent connection after 30 s; the server does after 75 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Pause of a client before it connects again, in ms.
const RETRY_MS: u64 = 1_000;

/// An id that no run gives out: a client that sends an unreadable one is told of a gap, and so starts afresh.
const NO_EVENT: EventId = EventId { run: 0, number: 0 };

/// Limits of the event streams: their number, and the pause between their heartbeats.
pub struct Streams {
    max: usize,
    places: Arc<Semaphore>,
    heartbeat: Duration,
}

impl Streams {
    /// Allows `max` streams at a time, each with a comment after every `heartbeat` without an event.
    pub fn new(max: usize, heartbeat: Duration) -> Self {
        Self { max, places: Arc::new(Semaphore::new(max)), heartbeat }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.places
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::new(Kind::Overloaded, format!("all {} event streams are in use", self.max)))
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(STREAMS_MAX, HEARTBEAT)
    }
}

pub(crate) async fn get(
    State(api): State<Api>,
    liveness: Option<Extension<Liveness>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["last_event_id"])?;
    let last = last_event_id(&headers, &params)?;
    // Before the feed is asked, so that a refused client costs nothing.
    let place = api.streams.place()?;
    let follower = api.incidents.feed().since(last);
    let stream = EventStream {
        greeting: Some(greeting(last.is_none().then(|| follower.last()))),
        follower,
        heartbeat: api.streams.heartbeat,
        liveness: liveness.map(|Extension(liveness)| liveness),
        _place: place,
    };
    Ok(answer(stream))
}

/// Returns the id of the last event that the client has seen. A client that comes back by itself sets the header, which
/// therefore counts for more than the parameter it was started with.
fn last_event_id(headers: &HeaderMap, params: &Params) -> Result<Option<EventId>, Problem> {
    let param = params.one("last_event_id")?.map(|text| text.parse().map_err(|_| not_an_event(text)));
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return param.transpose();
    };
    // A refusal here would make a browser give up for good.
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    Ok(Some(parsed.unwrap_or(NO_EVENT)))
}

fn not_an_event(text: &str) -> Problem {
    let why = format!("`last_event_id` is {text:?}, but must be the id of an event, <run>-<number>");
    Problem::parameter("last_event_id", why)
}

fn answer(stream: EventStream) -> Response {
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
struct EventStream {
    greeting: Option<Bytes>,
    follower: Follower,
    heartbeat: Duration,
    /// `None` where no server is around the router, as in tests.
    liveness: Option<Liveness>,
    _place: OwnedSemaphorePermit,
}

impl EventStream {
    /// Waits for the next piece; `None` when the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(liveness) = &self.liveness {
            liveness.sign();
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        tokio::select! {
            // A busy feed must not hide the stop.
            biased;
            () = stopping(&mut self.liveness) => None,
            next = timeout(self.heartbeat, self.follower.next()) => match next {
                Ok(item) => item.as_ref().map(write),
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

/// Writes the first piece. Its id lets a client that loses the connection before the first event come back and miss nothing.
fn greeting(start: Option<EventId>) -> Bytes {
    let id = start.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("retry: {RETRY_MS}\n{id}\n").into()
}

/// Data of an event that says that others are missing.
#[derive(Serialize)]
struct Gap {
    reason: GapReason,
    /// Path where the incidents can be read afresh.
    reload: &'static str,
}

fn write(item: &FeedItem) -> Bytes {
    match item {
        FeedItem::Event(event) => {
            format!("id: {}\nevent: incident\ndata: {}\n\n", event.id, event.data).into()
        }
        FeedItem::Gap { id, reason } => {
            let gap = Gap { reason: *reason, reload: super::ROUTE };
            let data = serde_json::to_string(&gap).expect("words can always be written");
            format!("id: {id}\nevent: gap\ndata: {data}\n\n").into()
        }
    }
}
