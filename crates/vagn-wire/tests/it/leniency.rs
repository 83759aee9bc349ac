//! Reports that are understood although the original's vehicles do not write them so.

use vagn_wire::{Kind, Oddities, Oddity, Position, Report, VehicleId, decode};

use crate::bodies;
use crate::msgpack::{Object, map};

const ID: &str = "4e091396-62ae-4f3b-8715-7b4fc9c64d14";

fn plain() -> Report<'static> {
    let vehicle_id = VehicleId::new(ID).expect("a name");
    Report::new(vehicle_id, Position::new(-36.5, -77.25).expect("a place"))
}

fn check(object: &Object, want: Report<'_>) {
    let bytes = object.bytes();
    assert_eq!(decode(&bytes), Ok(want), "{object:?}");
    bodies::decode(&bytes);
}

fn check_value(key: &str, value: Object, want: Report<'_>) {
    let object =
        map([("ID", ID.into()), ("Lat", Object::F64(-36.5)), ("Lon", Object::F64(-77.25)), (key, value)]);
    check(&object, want);
}

#[test]
fn keys_may_come_in_any_order_among_others() {
    let (lat, lon) = (Object::F64(-36.5), Object::F64(-77.25));
    let deep = map([("a", Object::Array(vec![Object::Nil, map([("b", Object::Ext(5, vec![1, 2, 3]))])]))]);
    let of = |pairs| Object::Map(pairs);
    check(&map([("Lat", lat.clone()), ("ID", ID.into()), ("Lon", lon.clone())]), plain());
    check(
        &of(vec![
            ("Emergency".into(), false.into()),
            ("Fuel".into(), deep.clone()),
            ("Lon".into(), lon.clone()),
            (Object::Int(7), deep.clone()),
            (deep, Object::Nil),
            (Object::Bin(b"Lat".to_vec()), lat),
            ("ID".into(), ID.into()),
        ]),
        plain(),
    );
}

#[test]
fn four_values_without_keys_are_id_lat_lon_flag() {
    let array = |flag| Object::Array(vec![ID.into(), Object::F64(-36.5), Object::F64(-77.25), flag]);
    check(&array(false.into()), plain());
    check(&array(Object::Nil), plain());
    check(&array(true.into()), Report { emergency: true, ..plain() });
}

#[test]
fn lengths_and_numbers_may_be_wider_than_need_be() {
    let object =
        map([("ID", ID.into()), ("Lat", 10.into()), ("Lon", Object::Int(-7)), ("Seq", Object::Uint(3))]);
    let want = Report { position: Position::new(10.0, -7.0), seq: Some(3), ..plain() };
    for wider in 0..5 {
        assert_eq!(decode(&object.bytes_widened(&mut || wider)), Ok(want), "{wider} steps wider");
    }
}

#[test]
fn coordinates_may_be_any_number() {
    for (lat, lon) in [(Object::F32(-36.5), Object::F32(-77.25)), (Object::F64(-36.5), Object::F32(-77.25))] {
        check(&map([("ID", ID.into()), ("Lat", lat), ("Lon", lon)]), plain());
    }
    let edge = Report { position: Position::new(90.0, -180.0), ..plain() };
    check(&map([("ID", ID.into()), ("Lat", Object::Uint(90)), ("Lon", Object::Int(-180))]), edge);
}

#[test]
fn an_id_may_be_sent_as_bytes() {
    let object =
        map([("Lon", Object::F64(-77.25)), ("Lat", Object::F64(-36.5)), ("ID", Object::Bin(ID.into()))]);
    check(&object, plain());
}

#[test]
fn the_last_of_repeated_keys_counts() {
    check_value("Lat", 1.into(), Report { position: Position::new(1.0, -77.25), ..plain() });
    check_value("ID", "b".into(), Report { vehicle_id: VehicleId::new("b").unwrap(), ..plain() });
    let twice = map([
        ("Emergency", true.into()),
        ("ID", ID.into()),
        ("Lat", Object::F64(-36.5)),
        ("Lon", Object::F64(-77.25)),
        ("Emergency", false.into()),
    ]);
    check(&twice, plain());
}

#[test]
fn bytes_after_the_object_do_not_matter() {
    let object = map([("ID", ID.into()), ("Lat", Object::F64(-36.5)), ("Lon", Object::F64(-77.25))]);
    let mut bytes = object.bytes();
    bytes.extend_from_slice(b"\xc1 and more");
    assert_eq!(decode(&bytes), Ok(plain()));
}

#[test]
fn nesting_costs_neither_stack_nor_memory() {
    let nested = Object::Raw([vec![0x91; 1900], vec![0xc0]].concat());
    check_value("Fuel", nested, plain());
}

#[test]
fn times_and_counts_are_read_from_any_integer() {
    let time = |event_time_ms| Report { event_time_ms, ..plain() };
    check_value("Ts", Object::Int(1_700_000_000_123), time(Some(1_700_000_000_123)));
    check_value("Ts", Object::Int(-5), time(Some(-5)));
    check_value("Ts", Object::Nil, time(None));
    check_value("Seq", Object::Uint(u64::MAX), Report { seq: Some(u64::MAX), ..plain() });
}

#[test]
fn a_time_is_read_from_any_form() {
    let time = |event_time_ms| Report { event_time_ms: Some(event_time_ms), ..plain() };
    let at = 0x6b0a_a620_u32;
    let at_ms = 1_795_860_000_000;
    check_value("Ts", Object::Ext(-1, at.to_be_bytes().to_vec()), time(at_ms));
    let eight = (250_000_000_u64 << 34) | u64::from(at);
    check_value("Ts", Object::Ext(-1, eight.to_be_bytes().to_vec()), time(at_ms + 250));
    let twelve = |seconds: i64| [&250_000_000_u32.to_be_bytes()[..], &seconds.to_be_bytes()].concat();
    check_value("Ts", Object::Ext(-1, twelve(at.into())), time(at_ms + 250));
    check_value("Ts", Object::Ext(-1, twelve(-386_310_686)), time(-386_310_685_750));
    check_value("Ts", Object::Ext(-1, twelve(i64::MAX)), time(i64::MAX));
    check_value("Ts", "2026-11-28T11:00:00.25+01:00".into(), time(at_ms + 250));
    check_value("Ts", Object::Bin(b"2026-11-28t10:00:00z".to_vec()), time(at_ms));
    check_value("Ts", Object::F64(1_795_860_000_123.75), time(at_ms + 123));
}

#[test]
fn a_time_in_another_unit_is_read_and_named() {
    let time = |ms, oddity| Report { event_time_ms: Some(ms), odd: Oddities::of(oddity), ..plain() };
    check_value("Ts", 1_795_860_000.into(), time(1_795_860_000_000, Oddity::TimeInSeconds));
    check_value("Ts", Object::F64(1_795_860_000.25), time(1_795_860_000_250, Oddity::TimeInSeconds));
    check_value("Ts", 1_795_860_000_250_999.into(), time(1_795_860_000_250, Oddity::TimeInMicroseconds));
    check_value("Ts", Object::Uint(u64::MAX), time(18_446_744_073_709, Oddity::TimeInNanoseconds));
    // The last of repeated keys counts, its oddity too.
    let twice = map([
        ("Ts", "now".into()),
        ("ID", ID.into()),
        ("Lat", Object::F64(-36.5)),
        ("Lon", Object::F64(-77.25)),
        ("Ts", 5.into()),
    ]);
    check(&twice, Report { event_time_ms: Some(5), ..plain() });
}

#[test]
fn a_time_that_cannot_be_read_is_named() {
    for form in [
        "now".into(),
        "1795860000".into(),
        "2026-11-28T10:00:00".into(),
        Object::F64(f64::NAN),
        Object::F64(1e300),
        true.into(),
        Object::Array(vec![]),
        map([]),
        Object::Ext(-1, vec![0; 5]),
        Object::Ext(1, vec![0; 4]),
    ] {
        check_value("Ts", form, Report { odd: Oddities::of(Oddity::TimeUnreadable), ..plain() });
    }
}

#[test]
fn what_no_vehicle_does_is_as_if_not_sent_and_named() {
    let speed = Report { odd: Oddities::of(Oddity::SpeedImpossible), ..plain() };
    for value in [f64::NAN, f64::INFINITY, 1e30, 1e300, 12_000.1, -0.5] {
        check_value("Speed", Object::F64(value), speed);
    }
    let heading = Report { odd: Oddities::of(Oddity::HeadingImpossible), ..plain() };
    for value in [f64::NAN, f64::NEG_INFINITY, 360.5, -1.5] {
        check_value("Heading", Object::F64(value), heading);
    }
}

#[test]
fn minus_one_is_an_unknown_speed_or_heading_and_nothing_odd() {
    for key in ["Speed", "Heading"] {
        check_value(key, Object::F64(-1.0), plain());
        check_value(key, (-1).into(), plain());
    }
}

#[test]
fn a_zero_has_no_sign() {
    for zero in [Object::F64(-0.0), Object::F32(-0.0), Object::F64(-1e-300)] {
        for key in ["Speed", "Heading"] {
            let object = map([("ID", ID.into()), ("Lat", 1.into()), ("Lon", 1.into()), (key, zero.clone())]);
            let bytes = object.bytes();
            let report = decode(&bytes).unwrap();
            let number = report.speed_mps.or(report.heading_deg);
            assert_eq!(number.map(f32::to_bits), Some(0), "{key} {zero:?}");
        }
    }
}

#[test]
fn speed_and_heading_are_kept_when_they_make_sense() {
    let speed = |speed_mps| Report { speed_mps, ..plain() };
    check_value("Speed", Object::F64(13.5), speed(Some(13.5)));
    check_value("Speed", 0.into(), speed(Some(0.0)));
    check_value("Speed", 12_000.into(), speed(Some(12_000.0)));
    check_value("Speed", Object::F32(113.995), speed(Some(113.995)));
    let heading = |heading_deg| Report { heading_deg, ..plain() };
    check_value("Heading", Object::F32(359.5), heading(Some(359.5)));
    check_value("Heading", 360.into(), heading(Some(0.0)));
    check_value("Heading", Object::F64(359.999_999_999), heading(Some(0.0)));
}

#[test]
fn kind_and_incident_are_words() {
    check_value("Kind", "manual".into(), Report { kind: Some(Kind::Manual), ..plain() });
    check_value("Inc", "crash 7".into(), Report { incident: Some("crash 7"), ..plain() });
    check_value("Inc", Object::Bin("Å".into()), Report { incident: Some("Å"), ..plain() });
}

#[test]
fn an_extra_that_makes_no_sense_is_as_if_not_sent() {
    let array = Object::Array(vec![Object::Nil; 3]);
    for (key, value) in [
        ("Seq", (-1).into()),
        ("Seq", Object::F64(3.0)),
        ("Speed", "fast".into()),
        ("Speed", true.into()),
        ("Heading", array.clone()),
        ("Kind", "Test".into()),
        ("Kind", true.into()),
        ("Inc", "".into()),
        ("Inc", "x".repeat(65).as_str().into()),
        ("Inc", Object::Bin(vec![0xff])),
        ("Seq", array),
    ] {
        check_value(key, value, plain());
    }
}
