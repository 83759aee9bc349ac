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
fn a_flag_is_set_in_any_usual_form() {
    let forms: [Object; 16] = [
        true.into(),
        1.into(),
        (-1).into(),
        Object::Uint(u64::MAX),
        1.0.into(),
        Object::F32(0.5),
        f64::INFINITY.into(),
        "true".into(),
        "True".into(),
        "TRUE".into(),
        "yes".into(),
        "Yes".into(),
        "on".into(),
        "ON".into(),
        "1".into(),
        Object::Bin(b"true".to_vec()),
    ];
    for form in forms {
        let (lat, lon, id) = (Object::from(1.5), Object::from(2.5), Object::from("a"));
        for wider in 0..4 {
            let pairs =
                [("ID", id.clone()), ("Lon", lon.clone()), ("Lat", lat.clone()), ("Emergency", form.clone())];
            check(&map(pairs).bytes_widened(&mut || wider), Position::new(1.5, 2.5));
            let array = Object::Array(vec![id.clone(), lat.clone(), lon.clone(), form.clone()]);
            check(&array.bytes_widened(&mut || wider), Position::new(1.5, 2.5));
        }
        let pairs = [("Emergency", form), ("x", "y".into()), ("Lat", "z".into()), ("ID", id)];
        check_map(pairs, Err(Reject::BadType));
    }
}

#[test]
fn a_flag_that_is_not_set_costs_no_position() {
    for form in [
        Object::Nil,
        0.into(),
        0.0.into(),
        "0".into(),
        "false".into(),
        "help".into(),
        Object::Ext(5, vec![1]),
        Object::Array(vec![]),
        map([("set", true.into())]),
    ] {
        let pairs = [("ID", "a".into()), ("Lon", 2.5.into()), ("Lat", 1.5.into()), ("Emergency", form)];
        let bytes = map(pairs).bytes();
        assert_eq!(decode(&bytes).and_then(|report| report.position), Position::new(1.5, 2.5));
        check_missed(&bytes);
    }
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
    check_map([id.clone(), flag.clone(), ("Emergency", "?".into())], Err(Reject::NoLatitude));
    check_map([id.clone(), flag.clone(), ("ID", 7.into())], Err(Reject::BadType));
    check_map([id, flag, ("ID", "".into())], Err(Reject::BadId));
}

#[test]
fn no_flag_or_no_id_is_no_alarm() {
    for object in [
        map([("ID", "a".into()), ("Emergency", false.into())]),
        map([("ID", "a".into()), ("Emergency", Object::Nil)]),
        map([("ID", "a".into()), ("Emergency", 0.into())]),
        map([("ID", "a".into()), ("Emergency", (-0.0).into())]),
        map([("ID", "a".into()), ("Emergency", f64::NAN.into())]),
        map([("ID", "a".into()), ("Emergency", "false".into())]),
        map([("ID", "a".into()), ("Emergency", "Emergency".into())]),
        map([("ID", "a".into()), ("Emergency", Object::Array(vec![true.into()]))]),
        map([("ID", "a".into()), ("Emergency", true.into()), ("Emergency", 0.into())]),
        map([("ID", "Emergency".into()), ("x", "Emergency".into()), ("Emergencyx", true.into())]),
        map([("ID", "a".into()), ("x", map([("Emergency", true.into())]))]),
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
