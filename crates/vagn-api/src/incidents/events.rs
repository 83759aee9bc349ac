//! `GET /api/v1/incidents/events`: changes of incidents as server-sent events, from any event on that is still kept.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;

use crate::Api;
use crate::sse::{self, HEARTBEAT, LAST_EVENT_ID, PieceSource, RETRY_MS};
use vagn_emergency::show::feed::{EventId, FeedItem, Follower, GapReason};
use vagn_flow::metrics::MetricRegistry;
use vagn_http::account::AccountGauges;
use vagn_http::caller::Caller;
use vagn_http::params::Params;
use vagn_http::principal::Principal;
use vagn_http::problem::Problem;
use vagn_http::server::{First, Liveness};
use vagn_http::streams::{self, StreamPlace, StreamPlaces};

pub(crate) const ROUTE: &str = "/api/v1/incidents/events";

/// Most streams open at a time: far more than there are desks in a dispatch centre, and far fewer than connections.
const STREAMS_MAX: usize = 256;

/// An id that no run gives out: a client that sends an unreadable one is told of a gap, and so starts afresh.
const NO_EVENT: EventId = EventId { run: 0, number: 0 };

/// Limits of the event streams: their number, and the pause between their heartbeats.
pub struct Streams {
    places: Arc<StreamPlaces>,
    heartbeat: Duration,
}

impl Streams {
    /// Allows `max` streams at a time, a quarter of them for one address and half for one token, each with a comment after every
    /// `heartbeat` without an event.
    pub fn new(max: usize, heartbeat: Duration) -> Self {
        Self::with(max, heartbeat, AccountGauges::default())
    }

    /// Allows as many as one service has, and shows how many are open.
    pub fn shown(registry: &MetricRegistry) -> Self {
        let gauges = streams::gauges(registry, "incident_streams", "incidents", STREAMS_MAX);
        Self::with(STREAMS_MAX, HEARTBEAT, gauges)
    }

    fn with(max: usize, heartbeat: Duration, gauges: AccountGauges) -> Self {
        Self { places: StreamPlaces::shown(max, max.div_ceil(4), max.div_ceil(2), gauges), heartbeat }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(STREAMS_MAX, HEARTBEAT)
    }
}

pub(crate) async fn get(
    State(api): State<Api>,
    caller: Caller,
    principal: Principal,
    liveness: Option<Extension<Liveness>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&[LAST_EVENT_ID])?;
    let last = sse::last_event_id(&headers, &params, NO_EVENT, "<run>-<number>")?;
    // Before the feed is asked, so that a refused client costs nothing.
    let place = api.streams.places.take(&caller, principal.holder())?;
    let follower = api.incidents.feed().since(last);
    let liveness = liveness.map(|Extension(liveness)| liveness);
    let changes = Changes {
        greeting: Some(greeting(last.is_none().then(|| follower.last()))),
        follower,
        _place: place,
        _first: liveness.as_ref().map(Liveness::come_first),
    };
    Ok(sse::answer(changes, api.streams.heartbeat, liveness))
}

/// Changes for one client.
struct Changes {
    greeting: Option<Bytes>,
    follower: Follower,
    _place: StreamPlace,
    /// The person who answers calls may look at the map, too.
    _first: Option<First>,
}

impl PieceSource for Changes {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        self.follower.next().await.as_ref().map(write)
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
