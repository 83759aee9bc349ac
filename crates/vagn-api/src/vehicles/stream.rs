//! `GET /api/v1/positions/stream`: what changes in a box as server-sent events, at most once per vehicle and second.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::params::FleetParams;
use super::{bbox, geojson, json};
use crate::Api;
use crate::sight::Seeing;
use crate::sse::{self, HEARTBEAT, LAST_EVENT_ID, PieceSource, RETRY_MS};
use vagn_http::caller::Caller;
use vagn_http::params::Params;
use vagn_http::principal::Principal;
use vagn_http::problem::{Kind, Problem};
use vagn_http::server::Liveness;
use vagn_http::streams::{StreamPlace, StreamPlaces};
use vagn_live::stream::{EventId, EventWriter, PositionStreams, StreamEvent, StreamFollower, StreamView};
use vagn_store::Sight;

pub(crate) const ROUTE: &str = "/api/v1/positions/stream";

/// Most streams for one address and for one token, of 2 000 in all.
const ADDRESS_MAX: usize = 500;
const TOKEN_MAX: usize = 1_000;

/// The streams, and the pause between their heartbeats.
pub struct LiveStreams {
    streams: PositionStreams,
    /// Counts those of each address and token; how many there are in all, the streams themselves count.
    places: Arc<StreamPlaces>,
    heartbeat: Duration,
    exact: Arc<dyn EventWriter>,
    coarse: Arc<dyn EventWriter>,
}

impl LiveStreams {
    /// Lets clients follow these streams.
    pub fn new(streams: PositionStreams) -> Self {
        let places = StreamPlaces::new(usize::MAX, ADDRESS_MAX, TOKEN_MAX);
        let [exact, coarse] = [Sight::Exact, Sight::Coarse].map(|sight| Arc::new(Events(sight)));
        Self { streams, places, heartbeat: HEARTBEAT, exact, coarse }
    }

    fn writer(&self, sight: Sight) -> Arc<dyn EventWriter> {
        match sight {
            Sight::Exact => self.exact.clone(),
            Sight::Coarse => self.coarse.clone(),
        }
    }
}

pub(crate) async fn get(
    State(api): State<Api>,
    Seeing(sight): Seeing,
    caller: Caller,
    principal: Principal,
    liveness: Option<Extension<Liveness>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    params.only(&["bbox", LAST_EVENT_ID])?;
    let bbox = params.bbox()?;
    let form = "<run>-<channel>-<number>.<number>…";
    let last = sse::last_event_id(&headers, &params, EventId::unknown(), form)?;
    let LiveStreams { streams, places, heartbeat, .. } = &api.positions;
    let place = places.take(&caller, principal.holder())?;
    let view = StreamView { bbox, sight, writer: api.positions.writer(sight) };
    let follower =
        streams.follow(view, last).map_err(|full| Problem::new(Kind::Overloaded, full.to_string()))?;
    Ok(sse::answer(
        Following { follower, _place: place },
        *heartbeat,
        liveness.map(|Extension(liveness)| liveness),
    ))
}

/// Events for one client.
struct Following {
    follower: StreamFollower,
    _place: StreamPlace,
}

impl PieceSource for Following {
    async fn next(&mut self) -> Option<Bytes> {
        self.follower.next().await
    }
}

/// Events with the features of `/api/v1/vehicles`, as they are seen.
struct Events(Sight);

impl EventWriter for Events {
    fn name(&self) -> &'static str {
        match self.0 {
            Sight::Exact => "exact",
            Sight::Coarse => "coarse",
        }
    }

    fn write(&self, out: &mut Vec<u8>, event: &StreamEvent<'_>, id: Option<&EventId>) {
        if let StreamEvent::Begin = event {
            write(out, format_args!("retry: {RETRY_MS}\n"));
        }
        if let Some(id) = id {
            write(out, format_args!("id: {id}\n"));
        }
        match event {
            StreamEvent::Begin | StreamEvent::Quiet => {}
            StreamEvent::Position { vehicle, now_ms } => {
                out.extend_from_slice(b"event: position\ndata: ");
                match self.0 {
                    Sight::Exact => geojson::feature(out, vehicle, None, &[], *now_ms),
                    Sight::Coarse => geojson::coarse_feature(out, vehicle, None, *now_ms),
                }
                out.push(b'\n');
            }
            StreamEvent::Left(vehicle_id) => departure(out, "left", vehicle_id),
            StreamEvent::Gone(vehicle_id) => departure(out, "gone", vehicle_id),
            StreamEvent::Gap(reason) => {
                let (reason, reload) = (reason.as_str(), bbox::ROUTE);
                write(
                    out,
                    format_args!("event: gap\ndata: {{\"reason\":\"{reason}\",\"reload\":\"{reload}\"}}\n"),
                );
            }
        }
        out.push(b'\n');
    }
}

fn departure(out: &mut Vec<u8>, event: &str, vehicle_id: &str) {
    write(out, format_args!("event: {event}\ndata: {{\"id\":"));
    json::string(out, vehicle_id);
    out.extend_from_slice(b"}\n");
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a Vec takes everything that is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_live::stream::GapReason;
    use vagn_store::{Sighting, Vehicle, VehicleIdBuf};
    use vagn_wire::{Position, VehicleId};

    fn written(event: &StreamEvent<'_>, id: Option<&str>) -> String {
        let mut out = Vec::new();
        Events(Sight::Exact).write(&mut out, event, id.map(|id| id.parse().unwrap()).as_ref());
        String::from_utf8(out).unwrap()
    }

    fn id(text: &str) -> VehicleIdBuf {
        VehicleId::new(text).unwrap().into()
    }

    #[test]
    fn events_have_the_words_of_the_description() {
        assert_eq!(written(&StreamEvent::Begin, Some("1-2-3")), "retry: 1000\nid: 1-2-3\n\n");
        assert_eq!(written(&StreamEvent::Quiet, Some("1-2-3")), "id: 1-2-3\n\n");
        let left = written(&StreamEvent::Left(&id("a \"b\"")), None);
        assert_eq!(left, "event: left\ndata: {\"id\":\"a \\\"b\\\"\"}\n\n");
        let gone = written(&StreamEvent::Gone(&id("bus 7")), Some("1-2-3.ff"));
        assert_eq!(gone, "id: 1-2-3.ff\nevent: gone\ndata: {\"id\":\"bus 7\"}\n\n");
        let gap = written(&StreamEvent::Gap(GapReason::SlowClient), None);
        let data = r#"{"reason":"slow_client","reload":"/api/v1/vehicles"}"#;
        assert_eq!(gap, format!("event: gap\ndata: {data}\n\n"));
    }

    #[test]
    fn a_position_is_the_feature_that_a_question_about_the_fleet_gives() {
        let sighting = Sighting {
            position: Position::new(59.33, 18.05).unwrap(),
            event_time_ms: 1_790_000_000_000,
            receive_time_ms: 1_790_000_000_000,
            receive_seq: 1,
            seq: None,
            speed_mps: Some(12.5),
            heading_deg: None,
            emergency: true,
            own_time: true,
            unsure: false,
        };
        let vehicle = Vehicle { id: id("bus 7"), sighting };
        let now_ms = 1_790_000_001_500;
        let mut feature = Vec::new();
        geojson::feature(&mut feature, &vehicle, None, &[], now_ms);
        let feature = String::from_utf8(feature).unwrap();
        let event = written(&StreamEvent::Position { vehicle: &vehicle, now_ms }, None);
        assert_eq!(event, format!("event: position\ndata: {feature}\n\n"));
        assert!(!feature.contains('\n'), "an event has one line of data");
        let mut coarse = Vec::new();
        Events(Sight::Coarse).write(&mut coarse, &StreamEvent::Position { vehicle: &vehicle, now_ms }, None);
        let coarse = String::from_utf8(coarse).unwrap();
        let data = coarse.strip_prefix("event: position\ndata: ").unwrap();
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        let told: Vec<_> = data["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(told, ["age_s", "time"]);
    }
}
