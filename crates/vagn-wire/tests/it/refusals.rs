//! Reports that are refused, and the reason of each.

use vagn_wire::{MAX_DATAGRAM, Reject, decode};

use crate::bodies;
use crate::msgpack::{Object, map};

fn check(bytes: &[u8], want: Reject) {
    assert_eq!(decode(bytes), Err(want), "{bytes:02x?}");
    bodies::decode(bytes);
}

fn check_map<const N: usize>(pairs: [(&str, Object); N], want: Reject) {
    check(&map(pairs).bytes(), want);
}

#[test]
fn an_object_that_is_no_report() {
    check(b"", Reject::Empty);
    check(b"\xc1", Reject::NotMsgpack);
    check(b"GET / HTTP/1.1\r\n", Reject::NotAReport);
    check(b"\xc0", Reject::NotAReport);
    check(b"\x90", Reject::NotAReport);
    check(b"\x93\xa1a\x01\x02", Reject::NotAReport);
    check(b"\x95\xa1a\x01\x02\xc3\xc0", Reject::NotAReport);
    check(&"a text of some length".repeat(10).into_bytes(), Reject::NotAReport);
}

#[test]
fn an_object_that_announces_more_than_it_holds() {
    check(b"\xdf\xff\xff\xff\xff", Reject::Truncated);
    check(b"\xde", Reject::Truncated);
    check(b"\x81\xdb\xff\xff\xff\xffID", Reject::Truncated);
    let whole =
        map([("ID", "a".into()), ("Lon", 1.0.into()), ("Lat", 2.0.into()), ("Emergency", false.into())]);
    let bytes = whole.bytes();
    for cut in 1..bytes.len() {
        check(&bytes[..cut], Reject::Truncated);
    }
}

#[test]
fn the_byte_that_begins_nothing() {
    check(b"\x81\xc1", Reject::NotMsgpack);
    check(b"\x81\xa1x\x92\x01\xc1", Reject::NotMsgpack);
}

#[test]
fn a_report_longer_than_a_datagram_may_be() {
    let mut bytes = map([("ID", "a".into()), ("Lon", 1.0.into()), ("Lat", 2.0.into())]).bytes();
    bytes.resize(MAX_DATAGRAM, 0);
    assert!(decode(&bytes).is_ok());
    bytes.push(0);
    check(&bytes, Reject::TooLong);
    check(&vec![0x91; 65_536], Reject::TooLong);
}

#[test]
fn a_report_without_a_vehicle_id_or_a_coordinate() {
    check_map([], Reject::NoId);
    check_map([("id", "a".into()), ("Lat", 1.into()), ("Lon", 1.into())], Reject::NoId);
    check_map([("ID", Object::Nil), ("Lat", 1.into()), ("Lon", 1.into())], Reject::NoId);
    check_map([("ID", "a".into()), ("ID", Object::Nil)], Reject::NoId);
    check_map([("ID", "a".into()), ("lat", 1.into()), ("Lon", 1.into())], Reject::NoLatitude);
    check_map([("ID", "a".into()), ("Lat", Object::Nil), ("Lon", 1.into())], Reject::NoLatitude);
    check_map([("ID", "a".into()), ("Lat", 1.into())], Reject::NoLongitude);
    check_map(
        [("ID", "a".into()), ("Lat", 1.into()), ("Lon", 1.into()), ("Lon", Object::Nil)],
        Reject::NoLongitude,
    );
}

#[test]
fn an_id_that_breaks_the_rule() {
    for id in ["", "x\0", "line\nfeed", &"x".repeat(65), &"é".repeat(33), &"x".repeat(300)] {
        check_map([("ID", id.into()), ("Lat", 1.into()), ("Lon", 1.into())], Reject::BadId);
        check_map([("ID", id.into()), ("Lat", 1.into()), ("Emergency", true.into())], Reject::BadId);
    }
    check_map([("ID", Object::Str(vec![0xff]))], Reject::BadId);
}

#[test]
fn a_position_that_is_off_the_globe() {
    for lat in
        [90.000_01.into(), f64::NAN.into(), f64::INFINITY.into(), Object::Int(-91), Object::Uint(u64::MAX)]
    {
        check_map([("ID", "a".into()), ("Lat", lat), ("Lon", 500.into())], Reject::Latitude);
    }
    for lon in [(-180.000_01).into(), f64::NAN.into(), f32::NEG_INFINITY.into(), Object::Int(181)] {
        check_map([("ID", "a".into()), ("Lat", 0.into()), ("Lon", lon)], Reject::Longitude);
    }
    // In the original's own layout, where another decoder takes it.
    for (lon, lat, want) in [(0.0, f64::NAN, Reject::Latitude), (180.5, 0.0, Reject::Longitude)] {
        let pairs =
            [("ID", "a".into()), ("Lon", lon.into()), ("Lat", lat.into()), ("Emergency", false.into())];
        check_map(pairs, want);
    }
}

#[test]
fn a_required_field_of_a_wrong_type() {
    let good = [("ID", Object::from("a")), ("Lat", 1.into()), ("Lon", 1.into()), ("Emergency", false.into())];
    for (key, wrong) in [
        ("ID", Object::Int(7)),
        ("ID", true.into()),
        ("ID", Object::Array(vec!["a".into()])),
        ("Lat", "36.5".into()),
        ("Lat", Object::Ext(5, vec![0; 4])),
        ("Lon", Object::Bin(vec![1])),
        ("Lon", Object::Bool(true)),
    ] {
        let pairs = good.clone().map(|(name, value)| (name, if name == key { wrong.clone() } else { value }));
        check_map(pairs, Reject::BadType);
    }
}

#[test]
fn the_first_thing_found_wrong_is_the_reason() {
    check_map([("Lat", "x".into()), ("ID", "".into())], Reject::BadType);
    check_map([("ID", "".into()), ("Lat", "x".into())], Reject::BadId);
    check(b"\x82\xa2ID\xa0\xa3Lat", Reject::BadId);
    check(b"\x82\xa2ID\xa1a\xa3Lat\xcb\x00", Reject::Truncated);
}
