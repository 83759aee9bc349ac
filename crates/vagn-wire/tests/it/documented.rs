//! `docs/wire.md` is right.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vagn_wire::{Fate, Kind, Reject, Report, StoredAck, ack, decode, encode};

const DOCUMENT: &str = include_str!("../../../../docs/wire.md");

/// The examples in hex, in the order of the document: the part of each line before the remark.
fn examples() -> Vec<Vec<u8>> {
    let blocks = DOCUMENT.split("```hex\n").skip(1).map(|rest| rest.split("```").next().unwrap_or(rest));
    blocks.map(|block| block.lines().flat_map(line).collect()).collect()
}

fn line(line: &str) -> Vec<u8> {
    let code = line.split("  ").next().unwrap_or(line).replace(' ', "");
    let digits = code.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("hex is ascii"));
    digits.map(|pair| u8::from_str_radix(pair, 16).expect("an example in hex")).collect()
}

#[test]
fn its_report_is_the_one_in_base64_and_reads_as_it_says() {
    let base64 =
        DOCUMENT.split("echo '").nth(1).and_then(|rest| rest.split('\'').next()).expect("the netcat line");
    let bytes = BASE64_STANDARD.decode(base64).expect("base64");
    assert_eq!(examples()[0], bytes);
    let report = decode(&bytes).expect("a report");
    let position = report.position.expect("a position");
    for number in [position.lat(), position.lon()] {
        assert!(DOCUMENT.contains(&format!("float 64, {number}\n")), "{number}");
    }
    let mut written = Vec::new();
    encode(&report, &mut written);
    assert_eq!(written, bytes);
}

#[test]
fn its_alarm_is_one() {
    let example = &examples()[1];
    let report = decode(example).expect("a report");
    let id = report.vehicle_id.as_str();
    assert_eq!((id, report.seq, report.kind), ("bus 7", Some(42), Some(Kind::Test)));
    assert!(report.emergency);
    assert_eq!(report.position, Err(Reject::NoLatitude));
}

#[test]
fn its_answer_is_one() {
    let example = &examples()[3];
    let (answer, len) = ack::decode(example).expect("an answer").expect("a whole one");
    assert_eq!((answer.seq, answer.fate, answer.incident, len), (42, Fate::Stored, None, example.len()));
    let mut written = Vec::new();
    ack::encode(&answer, &mut written);
    assert_eq!(&written, example);
}

#[test]
fn its_answer_over_udp_is_the_one_to_its_alarm() {
    let (alarm, example) = (&examples()[1], &examples()[2]);
    let asked = StoredAck::asked_by(&decode(alarm).expect("a report")).expect("it asks for an answer");
    assert_eq!(StoredAck::decode(example), Ok(asked));
    let mut written = Vec::new();
    StoredAck { incident: Some("019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071"), ..asked }
        .encode(alarm.len(), &mut written);
    assert_eq!(&written, example);
}

#[test]
fn every_key_is_in_it() {
    for key in Report::KEYS {
        assert!(DOCUMENT.contains(&format!("\n| `{key}` | ")), "{key}");
    }
}

#[test]
fn every_reason_and_every_fate_is_in_it() {
    let words = Reject::ALL.map(Reject::reason).into_iter().chain(Fate::ALL.map(Fate::as_str));
    for word in words {
        assert!(DOCUMENT.contains(&format!("`{word}`")), "{word}");
    }
}
