//! The bytes that a vehicle client of this crate sends.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use vagn_wire::{Kind, Position, Reject, Report, VehicleId, decode, encode};

/// A datagram of the original's, as its own generator printed it.
const SAMPLE: &str = "hKJJRNkkNGUwOTEzOTYtNjJhZS00ZjNiLTg3MTUtN2I0ZmM5YzY0ZDE0o0xvbsvAU1R+Qxkx1qNMYXTLwEI9Ghs6ciCpRW1lcmdlbmN5wg==";

fn sample() -> Report<'static> {
    let vehicle_id = VehicleId::new("4e091396-62ae-4f3b-8715-7b4fc9c64d14").expect("an id");
    let position = Position::new(-36.477_359_202_898_015, -77.320_206_427_196_67).expect("a position");
    Report::new(vehicle_id, position)
}

fn check(report: Report<'_>, len: usize) -> Vec<u8> {
    let mut bytes = b"before".to_vec();
    encode(&report, &mut bytes);
    let bytes = bytes.split_off("before".len());
    assert_eq!(decode(&bytes), Ok(report));
    assert_eq!(bytes.len(), len, "{bytes:02x?}");
    bytes
}

#[test]
fn the_originals_datagram_is_read_and_written_byte_for_byte() {
    let bytes = BASE64_STANDARD.decode(SAMPLE).unwrap();
    assert_eq!(decode(&bytes), Ok(sample()));
    assert_eq!(check(sample(), 79), bytes);
}

#[test]
fn a_short_id_takes_one_byte_less() {
    check(Report { vehicle_id: VehicleId::new("bus 1").unwrap(), ..sample() }, 79 - 36 + 5 - 1);
    check(Report { vehicle_id: VehicleId::new(&"x".repeat(31)).unwrap(), ..sample() }, 79 - 5 - 1);
    check(Report { vehicle_id: VehicleId::new(&"x".repeat(32)).unwrap(), ..sample() }, 79 - 4);
    check(Report { vehicle_id: VehicleId::new(&"x".repeat(64)).unwrap(), ..sample() }, 79 + 28);
}

#[test]
fn fields_beyond_the_four_are_added() {
    check(Report { event_time_ms: Some(-1), ..sample() }, 79 + 3 + 9);
    // Such a number of ms would be read as seconds.
    check(Report { event_time_ms: Some(1_795_860_000), ..sample() }, 79 + 3 + 15);
    check(Report { seq: Some(u64::MAX), ..sample() }, 79 + 4 + 9);
    check(Report { speed_mps: Some(13.9), ..sample() }, 79 + 6 + 5);
    check(Report { heading_deg: Some(0.0), ..sample() }, 79 + 8 + 5);
    check(Report { kind: Some(Kind::Test), ..sample() }, 79 + 5 + 5);
    check(Report { incident: Some("i"), ..sample() }, 79 + 4 + 2);
    let incident = "x".repeat(64);
    let all = Report {
        emergency: true,
        event_time_ms: Some(i64::MAX),
        seq: Some(0),
        speed_mps: Some(12_000.0),
        heading_deg: Some(359.5),
        kind: Some(Kind::Manual),
        incident: Some(&incident),
        ..sample()
    };
    check(all, 79 + 18 + 13 + 11 + 13 + 12 + 70);
}

#[test]
fn the_flag_is_the_last_byte_by_which_the_kernel_steers() {
    for emergency in [false, true] {
        let bytes = check(Report { emergency, seq: Some(7), ..sample() }, 79 + 13);
        assert_eq!(bytes.last(), Some(&if emergency { 0xc3 } else { 0xc2 }));
    }
}

#[test]
fn an_alarm_without_a_position_is_sent_without_one() {
    check(Report { emergency: true, position: Err(Reject::NoLatitude), ..sample() }, 79 - 2 * 13);
}
