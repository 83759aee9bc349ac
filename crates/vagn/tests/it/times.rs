//! Times of vehicles that no calendar has: the arrival stands in for them, in what is stored, in answers and in notices.

use serde_json::Value;

use crate::emergencies::Sink;
use crate::forms::{everywhere, in_json, post};
use crate::vagn::{Vagn, eventually};

/// Times far outside of what can be, as numbers of JSON. In msgpack those that fit are whole numbers.
const OUTSIDE: [&str; 8] = [
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "253402300800000",
    "-62167219200001",
    "1e300",
    "\"9999-12-31T23:59:59.999Z\"",
    "\"+020000-01-01T00:00:00Z\"",
];

/// Checks that a text is a time as RFC 3339 writes it, of the day of this test.
fn check_today(time: &Value, of: &str) {
    let text = time.as_str().unwrap_or_else(|| panic!("{of} has no time: {time}"));
    assert_eq!(text.len(), "2026-11-22T07:10:00.000Z".len(), "{of}: {text}");
    let time: jiff::Timestamp = text.parse().unwrap_or_else(|err| panic!("{of}: {text}: {err}"));
    let away = (jiff::Timestamp::now() - time).total(jiff::Unit::Hour).unwrap();
    assert!(away.abs() < 24.0, "{of}: {text}");
}

/// A whole number in msgpack, if it is one.
fn packed(number: &str) -> Option<Vec<u8>> {
    let signed = number.parse::<i64>().map(|number| [&[0xd3][..], &number.to_be_bytes()].concat());
    signed.or_else(|_| number.parse::<u64>().map(|number| [&[0xcf][..], &number.to_be_bytes()].concat())).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_no_calendar_has_is_the_arrival_through_every_door() {
    let dir = tempfile::tempdir().unwrap();
    let vagn = Vagn::start(dir.path(), &[]);
    for (at, time) in OUTSIDE.iter().enumerate() {
        let mut ids = in_json(&vagn, &format!("{at}"), "Ts", time).await;
        if let Some(packed) = packed(time) {
            ids.extend(everywhere(&vagn, &format!("{at}"), &("Ts", packed)).await);
        }
        for id in ids {
            let answer = vagn.json(&format!("/api/v1/vehicles/{}", id.replace(' ', "%20"))).await;
            check_today(&answer["properties"]["time"], &format!("{id}, Ts {time}"));
            assert_eq!(answer["properties"]["odd"][0]["part"], "clock", "{id}, Ts {time}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_for_help_with_a_time_that_no_calendar_has_tells_the_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let sink = Sink::start(&[]);
    let vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    for (at, time) in OUTSIDE.iter().enumerate() {
        let body = format!(r#"{{"ID":"help {at}","Lat":50,"Lon":10,"Emergency":true,"Ts":{time}}}"#);
        let entries = post(&vagn, "application/json", body).await;
        let id = entries[0]["incident_id"].as_str().unwrap();
        let incident = vagn.json(&format!("/api/v1/incidents/{id}")).await;
        check_today(&incident["position"]["time"], time);
        check_today(&incident["opened_at"], time);
    }
    eventually("the notices", async || sink.openings().len() == OUTSIDE.len()).await;
    for call in sink.heard() {
        let call = &call["call"];
        let times = call
            .as_object()
            .unwrap()
            .iter()
            .filter(|(key, value)| (key.ends_with("_at") || key.ends_with("_time")) && value.is_string());
        let times: Vec<_> = times.collect();
        assert!(!times.is_empty(), "{call}");
        times.into_iter().for_each(|(key, time)| check_today(time, &format!("{key} of {call}")));
    }
}
