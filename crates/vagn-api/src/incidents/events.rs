//! `GET /api/v1/incidents/events`: what changes, as server-sent events, from any event on that is still kept.
//!
//! A stream is asked for its next piece only when its reader has taken the one before, so who does not read costs a place
//! among the streams and nothing else, until the server finds the connection idle and cuts it off.

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

use crate::Web;
use vagn_emergency::show::feed::{EventId, FeedItem, Follower, GapReason};
use vagn_http::params::Params;
use vagn_http::problem::{Kind, Problem};
use vagn_http::server::Liveness;

/// The route.
pub const ROUTE: &str = "/api/v1/incidents/events";

/// Streams that may be open at a time. Far more than there are desks in a dispatch centre, and far fewer than connections.
const STREAMS_MAX: usize = 256;

/// How often a stream says that it is alive. Proxies tend to end what is silent for 30 s; the server for 75 s.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client should wait before it comes back, in ms.
const RETRY_MS: u64 = 1_000;

/// An id that no run gives out: a client that names something else hears of a gap, and so is told to start afresh.
const NO_EVENT: EventId = EventId { run: 0, number: 0 };

/// How many follow at a time, and how often they hear that nothing happens.
pub struct Streams {
    max: usize,
    places: Arc<Semaphore>,
    heartbeat: Duration,
}

impl Streams {
    /// At most `max` at a time, each with a comment when nothing happens for `heartbeat`.
    pub fn new(max: usize, heartbeat: Duration) -> Self {
        Self { max, places: Arc::new(Semaphore::new(max)), heartbeat }
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.places.clone().try_acquire_owned().map_err(|_| {
            Problem::new(Kind::Overloaded, format!("{} follow already, which is all that may", self.max))
        })
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(STREAMS_MAX, HEARTBEAT)
    }
}

/// Follows what changes.
pub async fn get(
    State(web): State<Web>,
    liveness: Option<Extension<Liveness>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["last_event_id"])?;
    let last = last_event_id(&headers, &params)?;
    let place = web.streams.place()?;
    let follower = web.incidents.feed().since(last);
    let stream = Stream {
        greeting: Some(greeting(last.is_none().then(|| follower.last()))),
        follower,
        heartbeat: web.streams.heartbeat,
        liveness: liveness.map(|Extension(liveness)| liveness),
        _place: place,
    };
    Ok(answer(stream))
}

/// The header, which a client that comes back by itself sets, counts for more than the parameter it was started with.
fn last_event_id(headers: &HeaderMap, params: &Params) -> Result<Option<EventId>, Problem> {
    let param = params.one("last_event_id")?.map(|text| {
        let wrong = || format!("`last_event_id` is {text:?}, but must be the id of an event, <run>-<number>");
        text.parse().map_err(|_| Problem::parameter("last_event_id", wrong()))
    });
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return param.transpose();
    };
    // A refusal here would make a browser give up for good.
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    Ok(Some(parsed.unwrap_or(NO_EVENT)))
}

fn answer(stream: Stream) -> Response {
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

/// One who follows.
struct Stream {
    greeting: Option<Bytes>,
    follower: Follower,
    heartbeat: Duration,
    liveness: Option<Liveness>,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next piece; `None` at a stop.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(liveness) = &self.liveness {
            liveness.sign();
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        tokio::select! {
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

/// Who starts here and loses the connection before the first event comes back with this id, and misses nothing.
fn greeting(start: Option<EventId>) -> Bytes {
    let id = start.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("retry: {RETRY_MS}\n{id}\n").into()
}

#[derive(Serialize)]
struct Gap {
    reason: GapReason,
    /// Where to read how things stand now.
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
