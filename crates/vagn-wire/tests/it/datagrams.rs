//! Several reports in one datagram.

use vagn_fuzz::{rounds, seeded};
use vagn_wire::{MAX_DATAGRAM, decode, pieces};

use crate::bodies;
use crate::inputs::input;
use crate::msgpack::{Object, map};

const ROUNDS: usize = 200_000;

fn report(id: &str) -> Vec<u8> {
    map([("ID", id.into()), ("Lon", 2.0.into()), ("Lat", 1.0.into()), ("Emergency", false.into())]).bytes()
}

fn alarm(id: &str) -> Vec<u8> {
    map([("ID", id.into()), ("Emergency", true.into())]).bytes()
}

/// Checks the reports of a datagram: the id of each, with an exclamation mark for an alarm; `?` for one that is refused.
fn check(parts: &[&[u8]], want: &[&str]) {
    let datagram = parts.concat();
    let got: Vec<_> = pieces(&datagram)
        .map(|piece| match decode(piece.bytes) {
            Err(_) => "?".to_owned(),
            Ok(report) if piece.is_alarm => format!("{}!", report.vehicle_id.as_str()),
            Ok(report) => report.vehicle_id.as_str().to_owned(),
        })
        .collect();
    assert_eq!(got, want, "{datagram:02x?}");
    bodies::datagram(&datagram);
}

#[test]
fn what_follows_a_report_is_another() {
    let (a, b, c) = (report("a"), alarm("b"), report("c"));
    check(&[&a], &["a"]);
    check(&[&a, &b], &["a", "b!"]);
    check(&[&b, &a, &b, &c], &["b!", "a", "b!", "c"]);
    let array = Object::Array(vec!["d".into(), 1.into(), 2.into(), true.into()]);
    for wider in 0..4 {
        check(
            &[&array.bytes_widened(&mut || wider), &a, &array.bytes_widened(&mut || wider)],
            &["d!", "a", "d!"],
        );
    }
    let further = map([
        ("Ts", 5.into()),
        ("ID", "e".into()),
        ("Lat", 1.into()),
        ("Lon", 2.into()),
        ("x", Object::Bin(a.clone())),
    ]);
    for wider in 0..4 {
        check(&[&further.bytes_widened(&mut || wider), &b], &["e", "b!"]);
    }
}

#[test]
fn what_begins_no_report_ends_the_datagram_in_silence() {
    let (a, b) = (report("a"), alarm("b"));
    for padding in [
        &b"\0"[..],
        b"\0\0\0\0",
        b"\xff",
        b"\r\n",
        b"  ",
        b"\xc1",
        b"\x93",
        b"\xdc\0\x05",
        b"\xdc\0",
        b"\xdd\0\0\0",
    ] {
        check(&[&a, padding], &["a"]);
        check(&[&a, &b, padding], &["a", "b!"]);
        check(&[&a, padding, &b], &["a"]);
        check(&[&b, padding, &a], &["b!"]);
    }
}

#[test]
fn behind_a_report_that_is_refused_or_breaks_off_nothing_is_read() {
    let (a, b) = (report("a"), alarm("b"));
    check(&[&report(""), &b], &["?"]);
    check(&[&a, &report(""), &b], &["a", "?"]);
    check(&[&a, b"\x80", &b], &["a", "?"]);
    check(&[&a, &a[..20]], &["a", "?"]);
    check(&[&a[..20], &b], &["?"]);
    // An alarm counts although it breaks off, but its end is not known.
    let broken = b"\x83\xa9Emergency\xc3\xa2ID\xa1c\xc1";
    check(&[&a, broken, &a], &["a", "c!"]);
}

#[test]
fn an_alarm_without_a_position_is_taken_whole() {
    check(&[&alarm("b"), &report("a"), &alarm("c")], &["b!", "a", "c!"]);
}

#[test]
fn a_datagram_holds_as_many_as_fit() {
    let short = b"\x94\xa1a\x01\x02\xc2";
    let datagram = short.repeat(MAX_DATAGRAM / short.len());
    assert_eq!(pieces(&datagram).count(), 341);
    bodies::datagram(&datagram);
}

#[test]
fn all_reports_together_are_the_datagram_read_one_by_one() {
    let mut chance = seeded();
    let mut came_up = [0; 4];
    for _ in 0..rounds(ROUNDS) {
        let mut datagram = Vec::new();
        while datagram.len() < MAX_DATAGRAM && chance.u8(..3) > 0 {
            datagram.extend(input(&mut chance));
        }
        datagram.truncate(MAX_DATAGRAM);
        bodies::datagram(&datagram);
        came_up[pieces(&datagram).count().min(3)] += 1;
    }
    assert!(came_up[1..].iter().all(|count| *count > 1_000), "{came_up:?}");
}
