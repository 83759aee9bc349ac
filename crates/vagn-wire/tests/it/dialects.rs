//! Bodies of any bytes: nothing in them may panic, and JSON says what msgpack says.

use proptest::prelude::*;
use serde_json::{Value, json};
use vagn_wire::dialect::{REPORTS_MAX, Reports, json, msgpack};
use vagn_wire::{Kind, MAX_DATAGRAM, Position, Report, VehicleId, decode, is_emergency};

/// Pieces of which a JSON body may be made, rightly or wrongly.
const PIECES: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"ID\"",
    "\"Lat\"",
    "\"Emergency\"",
    "\"a\"",
    "\"\\\"",
    "\\",
    "true",
    "null",
    "1",
    "-1e999",
    "0.5",
    "NaN",
    "-Infinity",
    "\n",
    " ",
    "\"\\ud800\"",
    "\u{1f68c}",
    "\u{0}",
];

fn check(reports: &Reports) {
    assert!(reports.len() <= REPORTS_MAX);
    for report in reports.iter() {
        assert!(report.len() <= MAX_DATAGRAM);
        assert!(decode(report).is_ok() || !is_emergency(report));
    }
}

fn as_json(report: &Report<'_>, position: Position) -> Value {
    let mut object = json!({
        "ID": report.vehicle_id.as_str(), "Lat": position.lat(), "Lon": position.lon(), "Emergency": report.emergency,
        "Ts": report.event_time_ms, "Seq": report.seq, "Speed": report.speed_mps, "Heading": report.heading_deg,
        "Kind": report.kind.map(Kind::as_str), "Inc": report.incident,
    });
    let fields = object.as_object_mut().unwrap();
    fields.retain(|_, value| !value.is_null());
    object
}

proptest! {
    #[test]
    fn any_msgpack_body_is_cut_into_reports(body: Vec<u8>) {
        check(&msgpack::split(&body).unwrap());
    }

    #[test]
    fn any_text_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        if let Ok(reports) = json::split(pieces.concat().as_bytes()) {
            check(&reports);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body: Vec<u8>) {
        if let Ok(reports) = json::split(&body) {
            check(&reports);
        }
    }

    #[test]
    fn json_says_what_msgpack_says(
        (id, inc) in ("[ -~å🚌]{1,16}", prop::option::of("[a-z0-9-]{1,36}")),
        (lat, lon) in (-90.0..=90.0f64, -180.0..=180.0f64),
        emergency: bool,
        (event_time_ms, seq) in any::<(Option<i64>, Option<u64>)>(),
        speed_mps in prop::option::of(0.0..100.0f32),
        heading_deg in prop::option::of(0.0..360.0f32),
        kind in prop::option::of(prop::sample::select(vec![Kind::Auto, Kind::Manual, Kind::Test])),
    ) {
        let position = Position::new(lat, lon).unwrap();
        let plain = Report::new(VehicleId::new(&id).unwrap(), position);
        let incident = inc.as_deref();
        let report = Report { emergency, event_time_ms, seq, speed_mps, heading_deg, kind, incident, ..plain };
        let reports = json::split(as_json(&report, position).to_string().as_bytes()).unwrap();
        prop_assert_eq!(decode(reports.iter().next().unwrap()), Ok(report));
    }
}
