//! The stream of changes: over the router alone, and over a real socket, where a reader may stall.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::BodyDataStream;
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::super::{Streams, router};
use super::fleet::SmallFleet;
use super::lane::{KEPT, SmallLane};
use super::{NOW_MS, client, follow, get, services};
use vagn_http::server::Limits;
use vagn_http::testing::{beside, start, start_tls};

const ROUTE: &str = "/api/v1/incidents/events";

fn followed(streams: Streams) -> (Router, Arc<SmallLane>) {
    let lane = Arc::new(SmallLane::new());
    let mut services = services(SmallFleet::empty());
    services.incidents = lane.clone();
    services.streams = streams;
    (router(services), lane)
}

/// A reader of a stream, over the router alone.
struct Reader(BodyDataStream);

impl Reader {
    async fn new(router: &Router, path: &str, last: Option<&str>) -> Self {
        Self(follow(router, path, last).await)
    }

    async fn next(&mut self) -> String {
        String::from_utf8(self.0.next().await.unwrap().unwrap().into()).unwrap()
    }
}

fn event(number: u64) -> String {
    let data =
        json!({"change": "updated", "time": "2026-09-21T14:13:20.000Z", "incident": {"number": number}});
    // The order of the fields is that of the type.
    let data = format!(r#"{{"change":"updated","time":{},"incident":{}}}"#, data["time"], data["incident"]);
    format!("id: {NOW_MS}-{number}\nevent: incident\ndata: {data}\n\n")
}

fn gap(number: u64, reason: &str) -> String {
    let data = format!(r#"{{"reason":"{reason}","reload":"/api/v1/incidents"}}"#);
    format!("id: {NOW_MS}-{number}\nevent: gap\ndata: {data}\n\n")
}

fn publish(lane: &SmallLane, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| lane.feed.publish("updated", &json!({"number": number})));
}

#[tokio::test]
async fn a_stream_begins_with_an_id_to_come_back_with_and_goes_on_with_the_changes() {
    let (router, lane) = followed(Streams::default());
    publish(&lane, 1..=2);
    let mut reader = Reader::new(&router, ROUTE, None).await;
    assert_eq!(reader.next().await, format!("retry: 1000\nid: {NOW_MS}-2\n\n"));
    publish(&lane, 3..=4);
    assert_eq!([reader.next().await, reader.next().await], [event(3), event(4)]);
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_event_of_the_header_or_else_of_the_parameter() {
    let (router, lane) = followed(Streams::default());
    publish(&lane, 1..=3);
    let (first, second) = (format!("{NOW_MS}-1"), format!("{NOW_MS}-2"));
    for (param, header, expected) in [
        ("", Some(&*first), event(2)),
        (&*format!("?last_event_id={second}"), None, event(3)),
        (&format!("?last_event_id={first}"), Some(&*second), event(3)),
    ] {
        let mut reader = Reader::new(&router, &format!("{ROUTE}{param}"), header).await;
        assert_eq!(reader.next().await, "retry: 1000\n\n");
        assert_eq!(reader.next().await, expected, "{param} {header:?}");
    }
    let reply = get(&router, &format!("{ROUTE}?last_event_id=yesterday")).await;
    assert_eq!(
        (reply.status, &reply.json()["parameter"]),
        (StatusCode::BAD_REQUEST, &json!("last_event_id"))
    );
}

#[tokio::test]
async fn a_reader_that_missed_events_is_told_of_the_gap_and_goes_on() {
    let (router, lane) = followed(Streams::default());
    let latest = KEPT as u64 + 2;
    publish(&lane, 1..=latest);
    for (last, reason) in [
        (format!("{NOW_MS}-1"), "missed_events"),
        (format!("{}-3", NOW_MS - 1), "unknown_event"),
        (format!("{NOW_MS}-99"), "unknown_event"),
        ("nonsense".to_owned(), "unknown_event"),
    ] {
        let mut reader = Reader::new(&router, ROUTE, Some(&last)).await;
        reader.next().await;
        assert_eq!(reader.next().await, gap(latest, reason), "{last}");
        let mut again = Reader::new(&router, ROUTE, Some(&format!("{NOW_MS}-{latest}"))).await;
        again.next().await;
        let heartbeat = tokio::time::timeout(Duration::from_millis(1), again.next()).await;
        assert!(heartbeat.is_err(), "the id of a gap is one to go on from: {heartbeat:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_events_has_heartbeats() {
    let (router, _lane) = followed(Streams::default());
    let mut reader = Reader::new(&router, ROUTE, None).await;
    reader.next().await;
    let begun = Instant::now();
    assert_eq!((reader.next().await.as_str(), begun.elapsed()), (":\n\n", Duration::from_secs(15)));
}

#[tokio::test]
async fn the_number_of_open_streams_is_bounded() {
    let (router, _lane) = followed(Streams::new(1, Duration::from_secs(15)));
    let first = Reader::new(&router, ROUTE, None).await;
    let reply = get(&router, ROUTE).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    drop(first);
    Reader::new(&router, ROUTE, None).await;
}

/// Reads on until `count` events have come, and returns their numbers.
async fn read(response: &mut reqwest::Response, rest: &mut String, count: usize) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let Some((piece, after)) = rest.split_once("\n\n") else {
            let chunk = response.chunk().await.unwrap().expect("the stream goes on");
            rest.push_str(std::str::from_utf8(&chunk).unwrap());
            continue;
        };
        if let Some((_, data)) = piece.split_once("event: incident\ndata: ") {
            let data: Value = serde_json::from_str(data).unwrap();
            numbers.push(data["incident"][0].as_u64().unwrap());
        }
        assert!(!piece.contains("event: gap"), "{piece}");
        *rest = after.to_owned();
    }
    numbers
}

#[tokio::test]
async fn a_reader_that_stalls_holds_up_no_other_and_is_cut_off() {
    beside(async {
        // A heartbeat well within the idle limit, and both short enough for a test.
        let (router, lane) = followed(Streams::new(2, Duration::from_millis(20)));
        let limits = Limits { idle: Duration::from_millis(400), ..Limits::default() };
        let server = start(None, router, limits, None).await;
        let mut stalled = TcpStream::connect(server.address).await.unwrap();
        let request = format!("GET {ROUTE} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stalled.write_all(request.as_bytes()).await.unwrap();
        stalled.read_exact(&mut [0; 15]).await.unwrap();

        let url = format!("http://{}{ROUTE}", server.address);
        let mut reading = client(false).get(&url).send().await.unwrap();
        let mut rest = String::new();
        // More than the buffers on the way to the stalled reader can take.
        let large = "x".repeat(128 << 10);
        for number in 1..=200 {
            lane.feed.publish("updated", &(number, &large));
            assert_eq!(read(&mut reading, &mut rest, 1).await, [number]);
        }
        // Its place is free again as soon as it is cut off. Meanwhile the other one reads its heartbeats, and stays.
        let follows = async || client(false).get(&url).send().await.unwrap().status().is_success();
        let freed = async {
            while !follows().await {
                reading.chunk().await.unwrap();
            }
        };
        timeout(Duration::from_secs(60), freed).await.expect("the stalled reader is cut off");
        lane.feed.publish("updated", &(201, "small"));
        assert_eq!(read(&mut reading, &mut rest, 1).await, [201]);
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    beside(async {
        let (router, lane) = followed(Streams::default());
        let limits = Limits { stop: Duration::from_secs(3_600), ..Limits::default() };
        let server = start_tls(router, limits).await;
        let url = format!("https://{}{ROUTE}", server.address);
        let (one, two) = (client(false), client(true));
        let mut streams = [one.get(&url).send().await.unwrap(), two.get(&url).send().await.unwrap()];
        lane.feed.publish("updated", &[7]);
        for stream in &mut streams {
            assert_eq!(read(stream, &mut String::new(), 1).await, [7]);
        }
        server.stop.send(()).unwrap();
        for stream in &mut streams {
            while stream.chunk().await.unwrap().is_some() {}
        }
        timeout(Duration::from_secs(60), server.task).await.expect("no stream holds up the stop").unwrap();
    })
    .await;
}
