//! How reports are judged: counters, times and places as trackers send them, through every door. The rule is in
//! `docs/judging.md`.

use serde_json::{Value, json};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_wire::Fate;

use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, command};

const MIN_MS: i64 = 60_000;

fn now_ms() -> i64 {
    SystemClock::new().now_ms()
}

/// Returns bytes that are given in hex, without the spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

/// Returns the place of a vehicle, latitude first.
async fn place(vagn: &Vagn, id: &str) -> (f64, f64) {
    let vehicle = vagn.json(&format!("/api/v1/vehicles/{id}")).await;
    let at = |index: usize| vehicle["geometry"]["coordinates"][index].as_f64().unwrap();
    (at(1), at(0))
}

/// Returns the oddities of a vehicle, each with its number of reports.
async fn odd(vagn: &Vagn, id: &str) -> Vec<(String, u64)> {
    let vehicle = vagn.json(&format!("/api/v1/vehicles/{id}")).await;
    let odd = vehicle["properties"]["odd"].as_array().cloned().unwrap_or_default();
    let counted = |odd: &Value| (odd["what"].as_str().unwrap().to_owned(), odd["reports"].as_u64().unwrap());
    odd.iter().map(counted).collect()
}

async fn oddities(vagn: &Vagn, reason: &str) -> u64 {
    vagn.metric(&format!("vagn_report_oddities_total{{reason=\"{reason}\"}}")).await as u64
}

/// Posts reports, and returns the fates.
async fn post(vagn: &Vagn, reports: Value) -> Vec<String> {
    let (status, answer) = vagn.post("/api/v1/positions", reports.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let fates = answer["reports"].as_array().unwrap().iter();
    fates.map(|report| report["fate"].as_str().unwrap().to_owned()).collect()
}

/// Sends datagrams one after the other, each once the one before is settled.
async fn send_each(vagn: &Vagn, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        let before = vagn.metric("vagn_reports_received_total").await as u64;
        vagn.send(datagram);
        vagn.wait_settled(before + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_never_moves_freezes_no_vehicle() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let at = |time_ms: i64, place: &str| {
        let time = format!("a25473cf{:016x}", time_ms);
        hex(&format!("85a24944a177a353657100{time}{place}"))
    };
    let (first, second) = (now_ms() - 5 * MIN_MS, now_ms() - 4 * MIN_MS);
    let reports = [
        at(first, "a34c6174cb3ff0000000000000a34c6f6ecb4000000000000000"),
        at(second, "a34c6174cb3ff8000000000000a34c6f6ecb4004000000000000"),
    ];
    send_each(&vagn, &reports).await;
    assert_eq!((vagn.fate("stored").await, vagn.fate("duplicate").await), (2, 0));
    assert_eq!(place(&vagn, "w").await, (1.5, 2.5));
    send_each(&vagn, &reports[1..]).await;
    assert_eq!((vagn.fate("stored").await, vagn.fate("duplicate").await), (2, 1), "the same report again");
    assert_eq!(odd(&vagn, "w").await, [("counter_stuck".to_owned(), 1)]);
    assert_eq!(oddities(&vagn, "counter_stuck").await, 1);
    // The same over HTTPS, with a counter that begins anew.
    let restarted =
        |seq: u64, time_ms: i64| json!({"ID": "r", "Lat": 1, "Lon": 1, "Seq": seq, "Ts": time_ms});
    let reports = json!([restarted(1_000, first), restarted(1, second), restarted(2, second + 1)]);
    assert_eq!(post(&vagn, reports).await, ["stored"; 3]);
    assert_eq!(odd(&vagn, "r").await, [("counter_restarted".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_a_duplicate_through_every_door_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut vagn = Vagn::start(dir.path(), &[]);
    let reports = json!([{"ID":"r","Lat":1,"Lon":1,"Seq":1},{"ID":"r","Lat":2,"Lon":2,"Seq":2}]);
    assert_eq!(post(&vagn, reports.clone()).await, ["stored"; 2]);
    assert_eq!(post(&vagn, reports.clone()).await, ["duplicate"; 2]);
    assert_eq!(place(&vagn, "r").await, (2.0, 2.0));

    for fate in [Fate::Stored, Fate::Duplicate] {
        let mut vehicle = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
        vehicle.report("t", 1.0, 1.0, 1);
        vehicle.report("t", 2.0, 2.0, 2);
        vehicle.flush().await.unwrap();
        for seq in [1, 2] {
            assert_eq!(vehicle.ack().await, Some(("t".into(), seq, fate)));
        }
    }

    let numbered =
        |number: u8| hex(&format!("84a24944a175a3536571{number:02x}a34c6174{number:02x}a34c6f6e01"));
    let duplicates = vagn.fate("duplicate").await;
    send_each(&vagn, &[numbered(5), numbered(6), numbered(5)]).await;
    assert_eq!(vagn.fate("duplicate").await, duplicates + 1);
    assert_eq!(place(&vagn, "u").await, (6.0, 1.0));

    vagn.kill();
    let vagn = vagn.restart();
    assert_eq!(post(&vagn, reports).await, ["duplicate"; 2], "what was seen is in the log");
    send_each(&vagn, &[numbered(5)]).await;
    assert_eq!((vagn.fate("duplicate").await, place(&vagn, "u").await), (3, (6.0, 1.0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_ahead_of_its_arrival_outranks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let ahead = json!([{"ID": "v", "Lat": 1, "Lon": 1, "Ts": now_ms() + 50 * MIN_MS}]);
    assert_eq!(post(&vagn, ahead).await, ["stored"]);
    let right = json!([{"ID": "v", "Lat": 2, "Lon": 2, "Ts": now_ms()}, {"ID": "v", "Lat": 3, "Lon": 3}]);
    assert_eq!(post(&vagn, right).await, ["stored"; 2]);
    assert_eq!(place(&vagn, "v").await, (3.0, 3.0));
    assert_eq!(odd(&vagn, "v").await, [("time_ahead".to_owned(), 1)]);
    assert_eq!(oddities(&vagn, "time_ahead").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_cannot_be_is_mended_or_replaced_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    // In seconds, as a 32-bit number.
    let seconds = now_ms() / 1_000;
    let datagram =
        format!("84a24944a173a34c6174cb4049000000000000a34c6f6ecb4024000000000000a25473ce{seconds:08x}");
    send_each(&vagn, &[hex(&datagram)]).await;
    let cases = [
        ("rollover", now_ms() - 619_315_200_000, "week_rollover"),
        ("microseconds", now_ms() * 1_000, "time_in_microseconds"),
        ("never-set", 5_000, "time_near_1970"),
    ];
    for (id, time, _) in cases {
        assert_eq!(post(&vagn, json!([{"ID": id, "Lat": 1, "Lon": 1, "Ts": time}])).await, ["stored"]);
    }
    // A clock that was reset, among right ones.
    for time_ms in [now_ms() - 1_000, 946_684_800_000, now_ms()] {
        let report = json!([{"ID": "reset", "Lat": 1, "Lon": time_ms % 100, "Ts": time_ms}]);
        assert_eq!(post(&vagn, report).await, ["stored"]);
    }
    let named = [("s", 0, "time_in_seconds"), ("reset", 0, "time_year_behind")];
    for (id, _, what) in cases.into_iter().chain(named) {
        let vehicle = vagn.json(&format!("/api/v1/vehicles/{id}")).await;
        let age_s = vehicle["properties"]["age_s"].as_f64().unwrap();
        assert!((0.0..60.0).contains(&age_s), "{id}: {vehicle}");
        assert_eq!(odd(&vagn, id).await, [(what.to_owned(), 1)], "{id}");
        assert_eq!(oddities(&vagn, what).await, 1, "{what}");
    }
    // A real old recording keeps its time.
    let old = json!([{"ID": "old", "Lat": 1, "Lon": 1, "Ts": -389_232_000_000_i64}]);
    assert_eq!(post(&vagn, old).await, ["stored"]);
    let old = vagn.json("/api/v1/vehicles/old").await;
    assert_eq!(old["properties"]["time"], "1957-09-01T00:00:00.000Z");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fix_is_refused_by_its_reason_and_believed_near_the_origin() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let reports = json!([
        {"ID": "bus", "Lat": 30.27, "Lon": -97.74}, {"ID": "bus", "Lat": 0, "Lon": 0},
        {"ID": "new", "Lat": 0, "Lon": 0}, {"ID": "ship", "Lat": 0.5, "Lon": 0.5}, {"ID": "ship", "Lat": 0, "Lon": 0},
    ]);
    let (_, answer) = vagn.post("/api/v1/positions", reports.to_string()).await;
    let outcomes = answer["reports"].as_array().unwrap().iter();
    let got: Vec<_> = outcomes.map(|one| (one["fate"].as_str().unwrap(), one["reason"].as_str())).collect();
    let (stored, no_fix) = (("stored", None), ("invalid", Some("no_fix")));
    assert_eq!(got, [stored, no_fix, no_fix, stored, stored], "{answer}");
    assert_eq!(vagn.metric("vagn_reports_invalid_total{reason=\"no_fix\"}").await, 2.0);
    assert_eq!(place(&vagn, "bus").await, (30.27, -97.74));
    assert_eq!(odd(&vagn, "bus").await, [("no_fix".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vehicles_that_behave_oddly_are_named_to_the_operator() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    for _ in 0..2 {
        post(&vagn, json!([{"ID": "bus 7", "Lat": 1, "Lon": 1, "Ts": now_ms() + 50 * MIN_MS}])).await;
    }
    post(&vagn, json!([{"ID": "tram", "Lat": 0, "Lon": 0}])).await;
    let (status, page) = vagn.ops("/oddities").await;
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!((status, &page["vehicles"]), (200, &json!({"clock": 1, "counter": 0, "position": 1})));
    let named: Vec<_> = page["latest"].as_array().unwrap().iter().map(|one| &one["vehicle_id"]).collect();
    assert_eq!(named, ["tram", "bus 7"]);
    let ops = format!("http://{}", vagn.address("ops"));
    let said =
        tokio::task::spawn_blocking(move || command().args(["status", "--ops", &ops]).output().unwrap());
    let said = String::from_utf8(said.await.unwrap().stdout).unwrap();
    assert!(said.contains("odd         1 by clock, 1 by position\n"), "{said}");
    assert!(said.contains("  \"bus 7\": clock time_ahead in 2 reports since "), "{said}");
}
