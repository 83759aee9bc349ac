//! Reports over HTTP, with a stand-in behind the topic that gives out fates by a simple rule.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use vagn_otp::{Offer, Policy, Queue, QueueSubscriber, Subscriber};
use vagn_wire::{Fate, Position, Report, VehicleId};

use super::super::router;
use super::fleet::SmallFleet;
use super::{Reply, client, send, services};
use vagn_flow::batch::{Batch, Pressure};
use vagn_flow::receipt::ReceiptPart;
use vagn_http::server::Limits;
use vagn_http::testing::{beside, start_tls};

/// Settles every report at once: `late …` is stale, an emergency gets an incident unless it is `refused`, `full …` is shed.
pub(super) struct Judge;

impl Subscriber<Arc<Batch>> for Judge {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        assert_eq!(batch.origin().pressure, Pressure::Wait);
        assert!(batch.len() <= 256);
        let mut part = batch.answer_for_reports().unwrap();
        let share = batch.take_share().unwrap();
        for (index, _, bytes) in batch.reports() {
            match vagn_wire::decode(bytes) {
                Err(reject) => part.reject(index, reject),
                Ok(report) => part.settle([(index, fate(&report))]),
            }
            if vagn_wire::is_emergency(bytes) {
                let alarm = batch.answer_for_alarm(index).unwrap();
                match vagn_wire::decode(bytes).is_ok_and(|report| report.vehicle_id.as_str() == "refused") {
                    true => alarm.fail(),
                    false => alarm.record(format!("incident {index}")),
                }
            }
        }
        share.settle_rest(Fate::Stored);
        Offer::Taken
    }
}

fn fate(report: &Report<'_>) -> Fate {
    let id = report.vehicle_id.as_str();
    let rules = [("late", Fate::Stale), ("full", Fate::Shed), ("broken", Fate::Failed)];
    rules.into_iter().find(|(start, _)| id.starts_with(start)).map_or(Fate::Stored, |(_, fate)| fate)
}

fn judged() -> Router {
    let services = services(SmallFleet::empty());
    drop(services.intake.traffic().subscribe("judge", Judge));
    router(services)
}

/// Keeps every batch as long as the topic lives.
#[derive(Default)]
struct Keeper(Mutex<Vec<Arc<Batch>>>);

impl Subscriber<Arc<Batch>> for Keeper {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        self.0.lock().push(batch.clone());
        Offer::Taken
    }
}

async fn post(router: &Router, media_type: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post("/api/v1/positions").header(header::CONTENT_TYPE, media_type);
    send(router, request.body(body.into()).unwrap()).await
}

fn fates(reply: &Reply) -> Vec<String> {
    let reports = reply.json()["reports"].as_array().unwrap().clone();
    reports.iter().map(|report| report["fate"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn names_the_fate_of_each_report() {
    let body = r#"[{"ID":"bus 1","Lat":1,"Lon":2},{"ID":"late 1","Lat":1,"Lon":2},{"ID":"bus 2","Lat":91,"Lon":2},
        {"ID":"bus 3","Lat":1,"Lon":2,"Emergency":true}]"#;
    let reply = post(&judged(), "application/json; charset=utf-8", body).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.json(),
        json!({
            "received": 4,
            "fates": {"stored": 2, "stale": 1, "invalid": 1},
            "reports": [
                {"fate": "stored"},
                {"fate": "stale"},
                {"fate": "invalid", "reason": "latitude", "detail": "latitude is not within -90..=90"},
                {"fate": "stored", "incident_id": "incident 3"},
            ],
        })
    );
}

#[tokio::test]
async fn names_the_fates_of_many_reports_too() {
    let body: String =
        (0..3_000).map(|number| format!("{{\"ID\":\"bus {number}\",\"Lat\":1,\"Lon\":2}}\n")).collect();
    let reply = post(&judged(), "application/x-ndjson", body).await;
    assert_eq!(
        (&reply.json()["received"], &reply.json()["fates"]),
        (&json!(3_000), &json!({"stored": 3_000}))
    );
    assert_eq!(fates(&reply), vec!["stored"; 3_000]);
}

#[tokio::test]
async fn a_coded_body_is_refused_before_it_is_read() {
    let request = Request::post("/api/v1/positions").header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::CONTENT_ENCODING, "gzip").body(Body::from("\u{1f}")).unwrap();
    let reply = send(&judged(), request).await;
    assert_eq!(
        (reply.status, reply.problem()),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-encoding".into())
    );
    assert_eq!(reply.header("accept-encoding"), "identity");
    let detail = "Content-Encoding is \"gzip\"; send the body as it is, without this header";
    assert_eq!(reply.json()["detail"], detail);
}

#[tokio::test]
async fn takes_lines_and_msgpack_too() {
    let lines = "{\"ID\":\"a\",\"Lat\":1,\"Lon\":2}\n{\"ID\":\"late\",\"Lat\":1,\"Lon\":2}\n";
    assert_eq!(fates(&post(&judged(), "application/x-ndjson", lines).await), ["stored", "stale"]);
    let mut objects = Vec::new();
    for id in ["a", "late"] {
        let place = Position::new(1.0, 2.0).unwrap();
        vagn_wire::encode(&Report::new(VehicleId::new(id).unwrap(), place), &mut objects);
    }
    objects.push(0xc1);
    let reply = post(&judged(), "application/msgpack", objects).await;
    assert_eq!(fates(&reply), ["stored", "stale", "invalid"]);
}

#[tokio::test]
async fn a_fault_costs_no_other_report() {
    let (ok, call) = (r#"{"ID":"a","Lat":1,"Lon":2}"#, r#"{"ID":"b","Emergency":true,"Lat":1"#);
    let lines = format!("\u{feff}{ok}\nhello\n\n{call}\n{ok}\n");
    let reply = post(&judged(), "application/x-ndjson", lines).await;
    assert_eq!(
        (reply.status, fates(&reply).as_slice()),
        (StatusCode::OK, &["stored", "invalid", "stored", "stored"].map(String::from)[..])
    );
    assert_eq!(reply.json()["reports"][2]["incident_id"], "incident 2");
    let list = format!(r#"[{ok},null,{{"ID":"c","Lat":nan,"Lon":.5}},{ok},{call}"#);
    let reply = post(&judged(), "application/json", list).await;
    assert_eq!(fates(&reply), ["stored", "invalid", "invalid", "stored", "stored"]);
    assert_eq!(reply.json()["reports"][1]["reason"], "not_a_report");
    assert_eq!(reply.json()["reports"][2]["reason"], "bad_type");
}

#[tokio::test]
async fn keeps_the_order_over_many_batches() {
    let reports: Vec<Value> = (0..1_000)
        .map(|number| json!({"ID": if number % 7 == 0 { "late" } else { "bus" }, "Lat": 1, "Lon": number % 180}))
        .collect();
    let reply = post(&judged(), "application/json", serde_json::to_vec(&reports).unwrap()).await;
    let expected: Vec<_> =
        (0..1_000).map(|number| if number % 7 == 0 { "stale" } else { "stored" }).collect();
    assert_eq!(fates(&reply), expected);
}

#[tokio::test]
async fn a_body_in_which_no_report_begins_is_refused() {
    for (media_type, body, status, problem) in [
        ("application/json", "7", StatusCode::BAD_REQUEST, "invalid-body"),
        ("application/x-ndjson", "hello\n\n[]\n", StatusCode::BAD_REQUEST, "invalid-body"),
        ("application/json", "", StatusCode::BAD_REQUEST, "invalid-body"),
        ("application/json", "[]", StatusCode::BAD_REQUEST, "invalid-body"),
        ("application/msgpack", "", StatusCode::BAD_REQUEST, "invalid-body"),
        ("text/plain", "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
        ("", "{}", StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
    ] {
        let reply = post(&judged(), media_type, body).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{media_type} {body}");
    }
    let reply = post(&judged(), "application/json", " ".repeat((1 << 20) + 1)).await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::PAYLOAD_TOO_LARGE, "too-large"));
}

#[tokio::test]
async fn a_status_says_so_when_nothing_was_taken() {
    let shed = post(&judged(), "application/json", r#"{"ID":"full","Lat":1,"Lon":2}"#).await;
    assert_eq!((shed.status, shed.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    assert_eq!(shed.header("retry-after"), "1");
    let broken = post(&judged(), "application/json", r#"{"ID":"broken","Lat":1,"Lon":2}"#).await;
    assert_eq!((broken.status, broken.problem().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
    // An incident was opened: that must not be hidden behind the fate of the position.
    let call = post(&judged(), "application/json", r#"{"ID":"full","Lat":1,"Lon":2,"Emergency":true}"#).await;
    assert_eq!((call.status, fates(&call)), (StatusCode::OK, vec!["shed".to_owned()]));
}

#[tokio::test]
async fn a_call_for_help_that_was_not_taken_is_to_be_sent_again() {
    let (ok, call) =
        (r#"{"ID":"a","Lat":1,"Lon":2}"#, r#"{"ID":"refused","Lat":1,"Lon":2,"Emergency":true}"#);
    let alone = post(&judged(), "application/json", call).await;
    assert_eq!((alone.status, alone.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "in-doubt"));
    assert_eq!(alone.header("retry-after"), "1");
    let beside_another = post(&judged(), "application/json", format!("[{call},{ok}]")).await;
    assert_eq!(
        (beside_another.status, fates(&beside_another).join(" ")),
        (StatusCode::OK, "failed stored".into())
    );
}

#[tokio::test]
async fn without_a_subscriber_reports_have_failed() {
    let reply =
        post(&router(services(SmallFleet::empty())), "application/json", r#"{"ID":"a","Lat":1,"Lon":2}"#)
            .await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "internal"));
}

/// Takes over the duty to answer for every batch, and stands still.
struct Hoard(Mutex<Vec<ReceiptPart>>);

impl Subscriber<Arc<Batch>> for Hoard {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        self.0.lock().extend(batch.answer_for_reports());
        Offer::Taken
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_for_help_at_the_end_does_not_wait_for_room_for_the_rest() {
    let services = services(SmallFleet::empty());
    let (full, calls) = (Queue::new(1), Queue::new(1));
    let wait = QueueSubscriber::new(&full, Policy::Wait, |batch: &Arc<Batch>| Some(batch.clone()));
    let call =
        |batch: &Arc<Batch>| batch.reports().any(|(.., bytes)| vagn_wire::is_emergency(bytes)).then_some(());
    drop(services.intake.traffic().subscribe("ingest", wait));
    drop(
        services
            .intake
            .traffic()
            .subscribe("emergency", QueueSubscriber::new(&calls, Policy::DropNewest, call)),
    );
    let positions = r#"{"ID":"a","Lat":1,"Lon":2},"#.repeat(600);
    let body = format!(r#"[{positions}{{"ID":"a","Lat":1,"Lon":2,"Emergency":true}}]"#);
    let (router, begun) = (router(services), Instant::now());
    tokio::select! {
        _ = post(&router, "application/json", body) => panic!("no subscriber settles the first batch"),
        called = calls.pop() => assert_eq!(called, Some(())),
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_ever_for_a_fate() {
    let services = services(SmallFleet::empty());
    drop(services.intake.traffic().subscribe("hoard", Hoard(Mutex::default())));
    let reply = post(&router(services), "application/json", r#"{"ID":"a","Lat":1,"Lon":2}"#).await;
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "deadline-passed")
    );
}

#[tokio::test]
async fn a_subscriber_that_keeps_every_batch_delays_no_answer() {
    let services = services(SmallFleet::empty());
    drop(services.intake.traffic().subscribe("judge", Judge));
    drop(services.intake.traffic().subscribe("keeper", Keeper::default()));
    beside(async {
        let server = start_tls(router(services), Limits::default()).await;
        let url = format!("https://{}/api/v1/positions", server.address);
        let request = client(true).post(url).header(header::CONTENT_TYPE, "application/json");
        let response = request.body(r#"{"ID":"bus 1","Lat":1,"Lon":2}"#).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    })
    .await;
}
