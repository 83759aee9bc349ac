//! Bodies in every dialect: no bytes may cause a panic, and JSON says what msgpack says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use vagn_fuzz::{mutate, rounds, seeded};
use vagn_wire::dialect::{REPORTS_MAX, Reports, json, msgpack};
use vagn_wire::{Kind, MAX_DATAGRAM, Position, Report, VehicleId, decode, encode, is_emergency};

use crate::agreement::same;
use crate::msgpack::Object;
use crate::{bodies, inputs};

const REPORTS: usize = 20_000;

/// How often each key must have come up in both dialects.
const EACH_AT_LEAST: usize = 200;

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

/// The report as its encoding says it, translated to JSON by libraries that know no fields.
fn as_json(report: &Report<'_>) -> String {
    let mut bytes = Vec::new();
    encode(report, &mut bytes);
    rmp_serde::from_slice::<Value>(&bytes).expect("an encoded report is msgpack").to_string()
}

/// The object in JSON, keys in order and repeated keys kept; `None` for an object that JSON has no words for.
fn in_json(object: &Object) -> Option<String> {
    Some(match object {
        Object::Nil => "null".into(),
        Object::Bool(flag) => flag.to_string(),
        Object::Int(number) => number.to_string(),
        Object::Uint(number) => number.to_string(),
        Object::F32(number) => return in_json(&Object::F64((*number).into())),
        Object::F64(number) => number.is_finite().then(|| format!("{number:?}"))?,
        Object::Str(bytes) => serde_json::to_string(str::from_utf8(bytes).ok()?).expect("a text is json"),
        Object::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(in_json).collect();
            format!("[{}]", items?.join(","))
        }
        Object::Map(pairs) => {
            let pairs: Option<Vec<_>> = pairs.iter().map(pair_in_json).collect();
            format!("{{{}}}", pairs?.join(","))
        }
        Object::Bin(_) | Object::Ext(..) | Object::Raw(_) => return None,
    })
}

fn pair_in_json((key, value): &(Object, Object)) -> Option<String> {
    matches!(key, Object::Str(_)).then_some(())?;
    Some(format!("{}:{}", in_json(key)?, in_json(value)?))
}

#[test]
fn every_key_means_the_same_in_json_and_in_msgpack() {
    let mut chance = seeded();
    let mut came_up = BTreeMap::new();
    for _ in 0..rounds(REPORTS) {
        let object = inputs::report(&mut chance);
        let Some(body) = in_json(&object) else { continue };
        let reports = json::split(body.as_bytes()).unwrap();
        bodies::json(body.as_bytes());
        let from_json = decode(reports.iter().next().unwrap());
        let bytes = object.bytes();
        let from_msgpack = decode(&bytes);
        assert!(same(&from_json, &from_msgpack), "{body}\n{from_json:?}\n{from_msgpack:?}");
        for key in Report::KEYS.iter().filter(|key| body.contains(&format!("\"{key}\":"))) {
            *came_up.entry(*key).or_insert(0) += 1;
        }
    }
    for key in Report::KEYS {
        let count = came_up.get(key).copied().unwrap_or(0);
        assert!(count >= EACH_AT_LEAST, "{key} came up {count} times only");
    }
}

#[test]
fn a_damaged_body_harms_only_the_reports_that_are_damaged() {
    let mut chance = seeded();
    let mut kept = 0;
    for _ in 0..rounds(REPORTS) {
        let mut bodies: Vec<String> = Vec::new();
        while bodies.len() < 3 {
            bodies.extend(in_json(&inputs::report(&mut chance)).filter(|body| !body.contains('\n')));
        }
        let mut damaged = bodies[1].clone().into_bytes();
        mutate(&mut damaged, &mut chance);
        let is_one_line = !damaged.contains(&b'\n');
        let lines = [bodies[0].as_bytes(), &damaged, bodies[2].as_bytes()].join(&b'\n');
        crate::bodies::json(&lines);
        let reports = json::split_lines(&lines).unwrap();
        let (first, last) =
            (json::split(bodies[0].as_bytes()).unwrap(), json::split(bodies[2].as_bytes()).unwrap());
        let count = reports.len();
        assert_eq!(reports.iter().next(), first.iter().next());
        if is_one_line {
            assert_eq!(reports.iter().nth(count - 1), last.iter().next());
            kept += 1;
        }
    }
    assert!(kept > REPORTS / 2);
}

proptest! {
    #[test]
    fn any_msgpack_body_is_cut_into_reports(body: Vec<u8>) {
        check(&msgpack::split(&body).unwrap());
    }

    #[test]
    fn any_text_is_read_or_refused(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        bodies::json(pieces.concat().as_bytes());
    }

    #[test]
    fn any_bytes_are_read_or_refused(body: Vec<u8>) {
        bodies::json(&body);
    }

    #[test]
    fn json_says_what_msgpack_says(
        (id, inc) in ("[ -~å🚌]{1,16}", prop::option::of("[a-z0-9-]{1,36}")),
        (lat, lon) in (-90.0..=90.0f64, -180.0..=180.0f64),
        emergency: bool,
        // In JSON there is no timestamp, as which other times are written.
        event_time_ms in prop::option::of(10_000_000_000..1_000_000_000_000_000_i64),
        seq: Option<u64>,
        speed_mps in prop::option::of(0.0..100.0f32),
        heading_deg in prop::option::of(0.0..360.0f32),
        kind in prop::option::of(prop::sample::select(vec![Kind::Auto, Kind::Manual, Kind::Test])),
    ) {
        let position = Position::new(lat, lon).unwrap();
        let plain = Report::new(VehicleId::new(&id).unwrap(), position);
        let incident = inc.as_deref();
        let report = Report { emergency, event_time_ms, seq, speed_mps, heading_deg, kind, incident, ..plain };
        let reports = json::split(as_json(&report).as_bytes()).unwrap();
        prop_assert_eq!(decode(reports.iter().next().unwrap()), Ok(report));
    }
}
