//! An alarm is recognised whatever else is wrong.

use vagn_wire::{MAX_DATAGRAM, Position, Reject, decode, is_emergency};

use crate::bodies;
use crate::msgpack::{Object, map};

/// Checks that the alarm of vehicle `a` is recognised, and its position.
fn check(bytes: &[u8], position: Result<Position, Reject>) {
    let report = decode(bytes).unwrap_or_else(|reject| panic!("{reject}: {bytes:02x?}"));
    assert!(report.emergency);
    assert!(is_emergency(bytes));
    assert_eq!(report.vehicle_id.as_str(), "a");
    assert_eq!(report.position, position, "{bytes:02x?}");
    bodies::decode(bytes);
}

fn check_map<const N: usize>(pairs: [(&str, Object); N], position: Result<Position, Reject>) {
    check(&map(pairs).bytes(), position);
}

fn check_missed(bytes: &[u8]) {
    assert!(!is_emergency(bytes), "{bytes:02x?}");
    bodies::decode(bytes);
}

#[test]
fn with_a_position_both_are_there() {
    let pairs = [("ID", "a".into()), ("Lon", 2.5.into()), ("Lat", 1.5.into()), ("Emergency", true.into())];
    check_map(pairs.clone(), Position::new(1.5, 2.5));
    let [id, lon, lat, flag] = pairs;
    check_map([flag, lat, lon, id], Position::new(1.5, 2.5));
}

#[test]
fn without_a_usable_position_the_alarm_stays() {
    let (id, flag) = (("ID", Object::from("a")), ("Emergency", Object::from(true)));
    check_map([id.clone(), flag.clone()], Err(Reject::NoLatitude));
    check_map([flag.clone(), id.clone(), ("Lat", 1.into())], Err(Reject::NoLongitude));
    let off = [id.clone(), ("Lon", f64::NAN.into()), ("Lat", 91.0.into()), flag.clone()];
    check_map(off, Err(Reject::Latitude));
    check_map([id.clone(), ("Lat", "here".into()), flag.clone()], Err(Reject::BadType));
    check_map([flag, id, ("Lat", Object::Array(vec![1.into()]))], Err(Reject::BadType));
    let array = [Object::from("a"), Object::Nil, "x".into(), true.into()];
    check(&Object::Array(array.into()).bytes(), Err(Reject::BadType));
}

#[test]
fn cut_off_after_id_and_flag_the_alarm_stays() {
    let pairs = [("Emergency", true.into()), ("ID", "a".into()), ("Lat", 1.5.into()), ("Lon", 2.5.into())];
    let bytes = map(pairs).bytes();
    let heard_from = 1 + 10 + 1 + 3 + 2;
    (0..heard_from).for_each(|cut| check_missed(&bytes[..cut]));
    (heard_from..bytes.len()).for_each(|cut| check(&bytes[..cut], Err(Reject::Truncated)));
    check(&bytes, Position::new(1.5, 2.5));
}

#[test]
fn followed_by_noise_within_the_object_the_alarm_stays() {
    check(b"\x83\xa9Emergency\xc3\xa2ID\xa1a\xc1\xc1", Err(Reject::NotMsgpack));
    check(
        b"\xdf\xff\xff\xff\xff\xa9Emergency\xc3\xa2ID\xa1a\xa1x\xdd\xff\xff\xff\xff",
        Err(Reject::Truncated),
    );
}

#[test]
fn at_the_head_of_something_over_long_the_call_stays() {
    let pairs = [("ID", "a".into()), ("Lon", 2.5.into()), ("Lat", 1.5.into()), ("Emergency", true.into())];
    let mut bytes = map(pairs).bytes();
    bytes.resize(MAX_DATAGRAM, 0);
    check(&bytes, Position::new(1.5, 2.5));
    bytes.resize(MAX_DATAGRAM + 1, 0);
    check(&bytes, Err(Reject::TooLong));
}

#[test]
fn beyond_the_longest_datagram_nothing_is_read() {
    let padding = Object::Bin(vec![0; MAX_DATAGRAM]);
    let bytes = map([("ID", "a".into()), ("x", padding), ("Emergency", true.into())]).bytes();
    assert_eq!(decode(&bytes), Err(Reject::TooLong));
    check_missed(&bytes);
}

#[test]
fn a_later_unreadable_value_does_not_undo_what_was_read() {
    let (id, flag) = (("ID", Object::from("a")), ("Emergency", Object::from(true)));
    check_map([id.clone(), flag.clone(), ("Emergency", 0.into())], Err(Reject::BadType));
    check_map([id.clone(), flag.clone(), ("ID", 7.into())], Err(Reject::BadType));
    check_map([id, flag, ("ID", "".into())], Err(Reject::BadId));
}

#[test]
fn no_flag_or_no_id_is_no_alarm() {
    for object in [
        map([("ID", "a".into()), ("Emergency", false.into())]),
        map([("ID", "a".into()), ("Emergency", Object::Nil)]),
        map([("ID", "a".into()), ("Emergency", 1.into())]),
        map([("ID", "a".into()), ("emergency", true.into())]),
        map([("ID", "a".into()), ("Emergency", true.into()), ("Emergency", false.into())]),
        map([("ID", "\u{7}".into()), ("Lon", 1.0.into()), ("Lat", 1.0.into()), ("Emergency", true.into())]),
        map([("Emergency", true.into())]),
        Object::Array(vec!["a".into(), 1.into(), 1.into(), false.into(), true.into()]),
        true.into(),
    ] {
        check_missed(&object.bytes());
    }
}
