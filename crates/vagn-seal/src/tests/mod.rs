//! The test vector of the format, to which others hold their encoders.

mod fuzz;
mod keys;
mod memory;
mod refusals;
mod vectors;

use vagn_wire::VehicleId;

use crate::cipher::{Direction, DirectionKey};
use crate::{Epoch, KeyId, KeyInForce, KeyTable, Lane, NotOpened, Secret, SenderKey, Speaker};

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

    let table = table();
    let mut buffer = Vec::new();
    let opened = table.open(&datagram, &mut buffer).unwrap();
    assert_eq!(opened.reports, bytes(REPORT));
    assert_eq!((opened.key_id, opened.epoch, opened.sequence), (key_id(), epoch(1), SEQUENCE));
    assert_eq!((opened.lane, opened.is_first_of_epoch), (Lane::Call, false));
    table.speaker(key_id(), |speaker| assert_eq!(speaker, vehicle("bus-1"))).unwrap();
}

/// A table with one key of a vehicle, `bus-1`, that of the test vector.
fn table() -> KeyTable {
    let table = KeyTable::default();
    assert!(put(&table, key_id(), vehicle("bus-1"), &[(epoch(1), secret())]));
    table
}

fn put(table: &KeyTable, key_id: KeyId, speaker: Speaker<'_>, epochs: &[(Epoch, Secret)]) -> bool {
    table.put(&KeyInForce { key_id, speaker, epochs })
}

fn vehicle(id: &str) -> Speaker<'_> {
    Speaker::Vehicle(VehicleId::new(id).unwrap())
}

fn sealed(sender: &SenderKey, sequence: u64, reports: &[u8], lane: Lane) -> Vec<u8> {
    let mut out = Vec::new();
    sender.seal(sequence, reports, lane, &mut out);
    out
}

/// Outcome of opening, and the reports.
fn open(table: &KeyTable, datagram: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let mut buffer = b"what was before".to_vec();
    table.open(datagram, &mut buffer).map(|opened| opened.reports.to_vec())
}
