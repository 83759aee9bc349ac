//! Reports in forms that libraries and trackers write, and bodies and datagrams with faults, through every door.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vagn_flow::clock::{Clock, SystemClock};

use crate::stored_acks::{hear, say, vehicle};
use crate::tcp::TcpVehicle;
use crate::vagn::{Vagn, client, eventually, report};

/// Key and value of a report, as msgpack.
pub(crate) type Entry<'a> = (&'a str, Vec<u8>);

/// Returns bytes that are given in hex.
fn hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn text(text: &str) -> Vec<u8> {
    [&[0xd9, text.len() as u8], text.as_bytes()].concat()
}

fn float(number: f64) -> Vec<u8> {
    [&[0xcb][..], &number.to_be_bytes()].concat()
}

/// Returns a report at (50, 10) with one entry more.
fn with(id: &str, (key, value): &Entry<'_>) -> Vec<u8> {
    let entries: [Entry<'_>; 4] =
        [("ID", text(id)), ("Lat", float(50.0)), ("Lon", float(10.0)), (key, value.clone())];
    let entries = entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat());
    std::iter::once(0x84).chain(entries).collect()
}

/// Posts a body, and returns the answer's entries, one for each report.
pub(crate) async fn post(vagn: &Vagn, content_type: &str, body: impl Into<Vec<u8>>) -> Vec<Value> {
    let url = vagn.url("/api/v1/positions");
    let request = client().post(url).header("content-type", content_type).body(body.into());
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer["reports"].as_array().unwrap().clone()
}

/// Checks fate and reason of each entry.
fn check(entries: &[Value], want: &[(&str, Option<&str>)]) {
    let got: Vec<_> =
        entries.iter().map(|entry| (entry["fate"].as_str().unwrap(), entry["reason"].as_str())).collect();
    assert_eq!(got, want, "{entries:?}");
}

/// Sends a report with this entry through every door that takes msgpack, from a vehicle of its own for each; gives their ids.
pub(crate) async fn everywhere(vagn: &Vagn, name: &str, entry: &Entry<'_>) -> Vec<String> {
    let id = |door: &str| format!("{name} over {door}");
    let before = vagn.metric("vagn_reports_received_total").await as u64;
    vagn.send(&with(&id("udp"), entry));
    let mut tcp = TcpVehicle::connect(vagn.address("tcp")).await.unwrap();
    tcp.raw(&with(&id("tcp"), entry));
    tcp.flush().await.unwrap();
    check(&post(vagn, "application/msgpack", with(&id("https"), entry)).await, &[("stored", None)]);
    vagn.wait_settled(before + 3).await;
    ["udp", "tcp", "https"].map(id).to_vec()
}

/// Sends a report with this JSON entry as JSON and as a line; gives the ids of the two vehicles.
pub(crate) async fn in_json(vagn: &Vagn, name: &str, key: &str, value: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for content_type in ["application/json", "application/x-ndjson"] {
        let id = format!("{name} as {}", content_type.trim_start_matches("application/"));
        let body = format!(r#"{{"ID":"{id}","Lat":50,"Lon":10,"{key}":{value}}}"#);
        check(&post(vagn, content_type, body).await, &[("stored", None)]);
        ids.push(id);
    }
    ids
}

async fn properties(vagn: &Vagn, id: &str) -> Value {
    vagn.json(&format!("/api/v1/vehicles/{}", id.replace(' ', "%20"))).await["properties"].clone()
}

/// Vehicles that have an incident.
async fn callers(vagn: &Vagn) -> BTreeSet<String> {
    let incidents = vagn.json("/api/v1/incidents?limit=1000").await["incidents"].clone();
    let ids = incidents.as_array().unwrap().iter();
    ids.map(|incident| incident["vehicle_id"].as_str().unwrap().to_owned()).collect()
}

/// An hour ago, in whole seconds: so it is not the time of arrival.
fn an_hour_ago() -> u32 {
    u32::try_from(SystemClock::new().now_ms() / 1_000 - 3_600).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_is_read_in_every_form_through_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let at = an_hour_ago();
    let time = jiff::Timestamp::from_second(at.into()).unwrap();
    // As a library wrote it: a map of four with a timestamp of four bytes.
    let written = [
        &hex("84a24944a178a34c6174cb4049000000000000a34c6f6ecb4024000000000000a25473d6ff")[..],
        &at.to_be_bytes(),
    ];
    vagn.send(&written.concat());
    vagn.wait_settled(1).await;
    let mut ids = vec!["x".to_owned()];
    let seconds = [&[0xce][..], &at.to_be_bytes()].concat();
    let nanoseconds = [&[0xcf][..], &(u64::from(at) * 1_000_000_000).to_be_bytes()].concat();
    for (name, value) in [
        ("timestamp", [&[0xd6, 0xff][..], &at.to_be_bytes()].concat()),
        ("timestamp 64", [&[0xd7, 0xff][..], &u64::from(at).to_be_bytes()].concat()),
        ("timestamp 96", [&[0xc7, 12, 0xff, 0, 0, 0, 0][..], &i64::from(at).to_be_bytes()].concat()),
        ("seconds", seconds),
        ("float", float(f64::from(at))),
        ("nanoseconds", nanoseconds),
        ("text", text(&time.to_string())),
    ] {
        ids.extend(everywhere(&vagn, name, &("Ts", value)).await);
    }
    let later = format!("\"{}\"", time.to_string().replace('Z', "+00:00").replace('T', "t"));
    for (name, value) in [("text", format!("\"{time}\"")), ("offset", later), ("seconds", format!("{at}.0"))]
    {
        ids.extend(in_json(&vagn, name, "Ts", &value).await);
    }
    for id in ids {
        let shown: jiff::Timestamp = properties(&vagn, &id).await["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(shown, time, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_time_that_cannot_be_read_the_arrival_stands_in() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let before = jiff::Timestamp::now();
    let mut ids = everywhere(&vagn, "yesterday", &("Ts", text("yesterday"))).await;
    ids.extend(everywhere(&vagn, "true", &("Ts", vec![0xc3])).await);
    ids.extend(everywhere(&vagn, "extension", &("Ts", hex("d405ff"))).await);
    ids.extend(in_json(&vagn, "list", "Ts", "[1]").await);
    ids.extend(in_json(&vagn, "nan", "Ts", "nan").await);
    for id in ids {
        let shown: jiff::Timestamp = properties(&vagn, &id).await["time"].as_str().unwrap().parse().unwrap();
        assert!(shown.as_millisecond() >= before.as_millisecond(), "{id} at {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_is_set_in_every_usual_form_through_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    vagn.send(&hex("84a24944a166a34c6174cb403e000000000000a34c6f6ecb4024000000000000a9456d657267656e637901"));
    let mut set = vec!["f".to_owned()];
    let mut not_set = Vec::new();
    for (name, value) in
        [("one", vec![1]), ("float", float(1.0)), ("text", text("true")), ("upper", text("YES"))]
    {
        set.extend(everywhere(&vagn, name, &("Emergency", value)).await);
    }
    for (name, value) in [("1", "1"), ("word", "\"on\""), ("Python", "True")] {
        set.extend(in_json(&vagn, name, "Emergency", value).await);
    }
    for (name, value) in [("zero", vec![0]), ("no", text("no")), ("map", vec![0x80]), ("nil", vec![0xc0])] {
        not_set.extend(everywhere(&vagn, name, &("Emergency", value)).await);
    }
    for (name, value) in [("0", "0"), ("empty", "\"\""), ("list", "[true]")] {
        not_set.extend(in_json(&vagn, name, "Emergency", value).await);
    }
    let want: BTreeSet<String> = set.iter().cloned().collect();
    eventually("an incident of each call for help", async || callers(&vagn).await.is_superset(&want)).await;
    assert_eq!(callers(&vagn).await, want);
    // Set or not, none costs its position.
    for id in set.iter().chain(&not_set) {
        assert_eq!(properties(&vagn, id).await["emergency_flag"], want.contains(id), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_report_of_a_datagram_has_a_fate_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    vagn.send(&hex(concat!(
        "83a24944a26731a34c6174cb3ff0000000000000a34c6f6ecb3ff0000000000000",
        "84a24944a26732a34c6174cb4000000000000000a34c6f6ecb4000000000000000a9456d657267656e6379c3"
    )));
    vagn.wait_settled(2).await;
    properties(&vagn, "g1").await;
    assert_eq!(properties(&vagn, "g2").await["emergency_flag"], true);
    eventually("the call for help", async || callers(&vagn).await.contains("g2")).await;
    let (a, b, c) =
        (report("a", 1.0, 2.0, false), report("b", 1.0, 2.0, false), report("c", 91.0 - 1.0, 2.0, true));
    // Padding, and what is behind it, is silence; a report that is refused is one, and ends the datagram too.
    vagn.send(&[&a[..], &c, &b, b"\0\0\0", &a].concat());
    vagn.send(&[&b[..], b"\x80", &a].concat());
    vagn.wait_settled(2 + 3 + 2).await;
    assert_eq!(vagn.metric("vagn_reports_received_total").await as u64, 7);
    assert_eq!(vagn.metric("vagn_reports_invalid_total{reason=\"no_id\"}").await as u64, 1);
    eventually("the call between", async || callers(&vagn).await.contains("c")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alarm_of_a_datagram_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let vehicle = vehicle(&vagn);
    let (one, other) = (say("one", Some(1), true), say("other", Some(2), true));
    vehicle.send(&[&one[..], &say("quiet", Some(3), false), &other].concat()).unwrap();
    let heard: BTreeSet<_> =
        [hear(&vehicle), hear(&vehicle)].map(|heard| heard.map(|(id, seq, _)| (id, seq))).into();
    assert_eq!(heard, [Some(("one".to_owned(), 1)), Some(("other".to_owned(), 2))].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_line_costs_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let bad: [&[u8]; 13] = [
        b"{\"ID\":\"\xe5ngb\xe5t\",\"Lat\":1,\"Lon\":2}",
        b"{\"ID\":\"a\",\"Lat\":1",
        b"{\"ID\":\"a",
        b"{\"ID\":\"a\",\"Lat\":1,\"Lon\":2,}",
        b"{\"ID\":\"a\" \"Lat\":1}",
        b"{'ID':'a','Lat':1,'Lon':2}",
        b"{\"ID\":\"a\",\"Lat\":nan,\"Lon\":2}",
        b"{\"ID\":\"\\ud800\",\"Lat\":1,\"Lon\":2}",
        b"null",
        b"7",
        b"hello",
        b"<html>",
        b"[1]",
    ];
    for (at, bad) in bad.iter().enumerate() {
        let (ok, help) = (format!("ok {at}"), format!("help {at}"));
        let first = format!("{{\"ID\":\"{ok}\",\"Lat\":1,\"Lon\":2}}\r\n");
        let last = format!("\n\n{{\"ID\":\"{help}\",\"Lat\":1,\"Lon\":2,\"Emergency\":true}}\n");
        let body = [b"\xef\xbb\xbf", first.as_bytes(), bad, last.as_bytes()].concat();
        let entries = post(&vagn, "application/x-ndjson", body).await;
        let fates: Vec<_> = entries.iter().map(|entry| entry["fate"].as_str().unwrap()).collect();
        assert_eq!(fates, ["stored", "invalid", "stored"], "{}", String::from_utf8_lossy(bad));
        assert!(entries[2]["incident_id"].is_string());
        assert!(callers(&vagn).await.contains(&help));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_keeps_what_is_before_and_behind_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    for bad in ["nan", "-nan", "inf", ".5", "5.", "+5", "0x10", "NaN", "1e999"] {
        let id = format!("bad {bad}");
        let body = format!(
            r#"[{{"ID":"{bad} ok","Lat":1,"Lon":1}},{{"ID":"{id}","Lat":{bad},"Lon":2,"Emergency":true}}]"#
        );
        let entries = post(&vagn, "application/json", body).await;
        check(&entries, &[("stored", None), ("invalid", Some("bad_type"))]);
        assert!(entries[1]["incident_id"].is_string() && callers(&vagn).await.contains(&id));
    }
    let cases: [(&[u8], _, _); 4] = [
        (b"null", "invalid", Some("not_a_report")),
        (b"{\"ID\":\"\\ud800\",\"Lat\":1,\"Lon\":2}", "invalid", Some("bad_id")),
        (b"{\"ID\":\"\xff\",\"Lat\":1,\"Lon\":2}", "invalid", Some("bad_id")),
        (b"{\"ID\":\"note\",\"Lat\":1,\"Lon\":2,\"Note\":\"\xff\\udc00\"}", "stored", None),
    ];
    for (at, (element, fate, reason)) in cases.into_iter().enumerate() {
        let behind = format!(r#"{{"ID":"behind {at}","Lat":1,"Lon":2}}"#);
        let around = format!(r#"{{"ID":"around {at}","Lat":1,"Lon":2}}"#);
        let body = [b"[", around.as_bytes(), b",", element, b",", behind.as_bytes(), b"]"];
        check(
            &post(&vagn, "application/json", body.concat()).await,
            &[("stored", None), (fate, reason), ("stored", None)],
        );
    }
    // Broken off behind the flag of a call for help.
    let body = r#"[{"ID":"before","Lat":1,"Lon":2},{"ID":"cut","Emergency":true,"Lat":1,"#;
    let entries = post(&vagn, "application/json", body).await;
    check(&entries, &[("stored", None), ("invalid", Some("truncated"))]);
    assert!(entries[1]["incident_id"].is_string() && callers(&vagn).await.contains("cut"));
    let (status, _) = vagn.post("/api/v1/positions", "[7, \"{}\"]".into()).await;
    assert_eq!(status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_behind_a_fault_in_json_is_a_call_for_help() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let faults = [
        r#""Lat":30,27,"Lon":-97,74"#,
        r#""Lat":,"Lon":"#,
        r#""Lat":1,"Lon":1,"#,
        r#""Lat":1;"Lon":1"#,
        "\"Inc\":\"a\tb\"",
        "\"Note\":\"a\nb\"",
    ];
    for (at, fault) in faults.iter().enumerate() {
        let id = format!("help {at}");
        let object = format!(r#"{{"ID":"{id}",{fault},"Emergency":true}}"#);
        for body in [format!("[{object}]"), format!("[[{object}]]"), object] {
            let entries = post(&vagn, "application/json", body.clone()).await;
            assert!(entries.len() == 1 && entries[0]["incident_id"].is_string(), "{body}: {entries:?}");
        }
        assert!(callers(&vagn).await.contains(&id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_vehicle_does_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    let mut seen = Vec::new();
    for (name, key, number) in [
        ("south", "Heading", -0.0),
        ("around", "Heading", 400.0),
        ("standing", "Speed", -0.0),
        ("light", "Speed", 1e30),
        ("orbit", "Speed", 12_000.5),
        ("train", "Speed", 113.995),
    ] {
        seen.extend(everywhere(&vagn, name, &(key, float(number))).await.into_iter().map(|id| (id, key)));
        seen.extend(in_json(&vagn, name, key, &format!("{number:?}")).await.into_iter().map(|id| (id, key)));
    }
    for (id, key) in seen {
        let shown =
            properties(&vagn, &id).await[if key == "Speed" { "speed_mps" } else { "heading_deg" }].clone();
        let want = match id.split(' ').next().unwrap() {
            "south" | "standing" => json!(0.0),
            "train" => json!(113.995),
            _ => Value::Null,
        };
        assert_eq!(shown.to_string(), want.to_string(), "{id}");
    }
}
