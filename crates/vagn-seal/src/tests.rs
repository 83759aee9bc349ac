//! What others can hold Vagn to: the test vector of the format.

use vagn_wire::VehicleId;

use crate::cipher::{Direction, DirectionKey};
use crate::{Epoch, KeyId, KeyInForce, KeyTable, Lane, Secret, SenderKey, Speaker};

const REPORT: &str = "82a34c6174cb403e451eb851eb85a9456d657267656e6379c3";
const DATAGRAM: &str = "c1110001020304050607000001a22198ed00f1e742a502a7e920aa582de6f62a7e282e34fe55114dfd2080ee2d2e527f54cd923e630b40b32a3b28c3";
const SEQUENCE: u64 = 1_795_860_000_000;

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key_id() -> KeyId {
    "0001020304050607".parse().unwrap()
}

fn secret() -> Secret {
    Secret(std::array::from_fn(|at| 0x20 + at as u8))
}

fn epoch(number: u8) -> Epoch {
    Epoch::new(number).unwrap()
}

#[test]
fn derives_the_keys_of_the_test_vector() {
    let check = |direction, key: &str, salt: &str| {
        let derived = DirectionKey::derive(key_id(), epoch(1), &secret(), direction);
        assert_eq!((derived.key.to_vec(), derived.salt.to_vec()), (bytes(key), bytes(salt)), "{direction:?}");
    };
    check(Direction::Up, "4f79ebfa19b47aac08f3370e957eb975cb7ecd46af61f363aa2bfbd79a8157fa", "5e2b5f16");
    check(Direction::Down, "2c78b6784b2e29bcdbd0c3a0e08f292c64eb3bf4d438da220bdb04fec8bead38", "e56660b0");
}

#[test]
fn seals_and_opens_the_test_vector() {
    let mut datagram = Vec::new();
    SenderKey::new(key_id(), epoch(1), &secret()).seal(SEQUENCE, &bytes(REPORT), Lane::Call, &mut datagram);
    assert_eq!(datagram, bytes(DATAGRAM));

    let table = KeyTable::default();
    let vehicle = Speaker::Vehicle(VehicleId::new("bus-1").unwrap());
    assert!(table.put(&KeyInForce { key_id: key_id(), speaker: vehicle, epochs: &[(epoch(1), secret())] }));
    let mut buffer = Vec::new();
    let opened = table.open(&datagram, &mut buffer).unwrap();
    assert_eq!(opened.reports, bytes(REPORT));
    assert_eq!((opened.key_id, opened.epoch, opened.sequence), (key_id(), epoch(1), SEQUENCE));
    assert_eq!((opened.lane, opened.is_first_of_epoch), (Lane::Call, false));
    table.speaker(key_id(), |speaker| assert_eq!(speaker, vehicle)).unwrap();
}

#[test]
fn a_device_opens_a_sealed_answer() {
    let table = KeyTable::default();
    let vehicle = Speaker::Vehicle(VehicleId::new("bus-1").unwrap());
    table.put(&KeyInForce { key_id: key_id(), speaker: vehicle, epochs: &[(epoch(1), secret())] });
    let mut answer = Vec::new();
    assert!(table.seal_answer(key_id(), epoch(1), 77, b"\x80", &mut answer));
    let sender = SenderKey::new(key_id(), epoch(1), &secret());
    assert_eq!(sender.open_answer(&answer), Ok((77, b"\x80".to_vec())));
}
