//! The stream of positions over the router: what is refused, how a stream begins, and what its events look like.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::json;
use vagn_flow::clock::SystemClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_live::stream::{StreamMetrics, StreamParts};
use vagn_otp::{Root, Strategy, Supervisor, Topic};
use vagn_store::Fleet;

use super::super::{LiveStreams, router};
use super::fleet::SmallFleet;
use super::{follow, get, services};

const ROUTE: &str = "/api/v1/positions/stream";

/// A router with streams that run.
async fn running() -> (Router, Root) {
    let (streams, child) = vagn_live::stream::streams(StreamParts {
        positions: Topic::new("positions"),
        fleet: Arc::new(Fleet::new(2)),
        clock: Arc::new(SystemClock::new()),
        metrics: StreamMetrics::new(&MetricRegistry::new()),
    });
    let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
    let mut services = services(SmallFleet::empty());
    services.positions = LiveStreams::new(streams);
    (router(services), root)
}

/// Returns the first pieces of a stream.
async fn begin(router: &Router, query: &str, last: Option<&str>, count: usize) -> Vec<String> {
    let pieces = follow(router, &format!("{ROUTE}{query}"), last).await.take(count);
    pieces.map(|piece| String::from_utf8(piece.unwrap().into()).unwrap()).collect().await
}

#[tokio::test]
async fn a_stream_begins_with_an_id_to_come_back_with() {
    let (router, _root) = running().await;
    let pieces = begin(&router, "?bbox=17.9,59.2,18.2,59.4", None, 1).await;
    let id = pieces[0].strip_prefix("retry: 1000\nid: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
    assert_eq!(begin(&router, "?bbox=17.9,59.2,18.2,59.4", Some(id), 1).await, ["retry: 1000\n\n"]);
}

#[tokio::test]
async fn an_id_that_is_not_known_is_a_gap_whether_it_can_be_read_or_not() {
    let (router, _root) = running().await;
    for (param, header) in [("", Some("1-1-0.0")), ("", Some("nonsense")), ("&last_event_id=1-1-0.0", None)] {
        let pieces = begin(&router, &format!("?bbox=177,-20,-178,-12.5{param}"), header, 2).await;
        let (first, gap) = (&pieces[0], &pieces[1]);
        assert_eq!(first, "retry: 1000\n\n");
        let (id, rest) = gap.split_once('\n').unwrap();
        assert!(id.starts_with("id: "), "{gap}");
        let data = r#"{"reason":"unknown_event","reload":"/api/v1/vehicles"}"#;
        assert_eq!(rest, format!("event: gap\ndata: {data}\n\n"));
    }
}

#[tokio::test]
async fn refuses_what_is_no_box_no_id_and_no_parameter_of_its_own() {
    let (router, _root) = running().await;
    for (query, parameter) in [
        ("", "bbox"),
        ("?bbox=1,2,3", "bbox"),
        ("?bbox=0,0,1,91", "bbox"),
        ("?bbox=0,0,1,1&limit=3", "limit"),
        ("?bbox=0,0,1,1&last_event_id=yesterday", "last_event_id"),
    ] {
        let reply = get(&router, &format!("{ROUTE}{query}")).await;
        assert_eq!((reply.status, &reply.json()["parameter"]), (StatusCode::BAD_REQUEST, &json!(parameter)));
    }
}

#[tokio::test]
async fn streams_end_with_the_hub() {
    let (router, root) = running().await;
    let mut pieces = follow(&router, &format!("{ROUTE}?bbox=-180,-90,180,90"), None).await;
    assert!(pieces.next().await.is_some());
    root.stop().await;
    while pieces.next().await.is_some() {}
}
