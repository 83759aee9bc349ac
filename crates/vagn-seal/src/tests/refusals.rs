//! Whatever was changed on the way is refused, under its reason.

use proptest::prelude::*;

use super::{DATAGRAM, REPORT, SEQUENCE, bytes, epoch, key_id, open, put, sealed, secret, table, vehicle};
use crate::{KeyId, KeyTable, Lane, NotOpened, OVERHEAD, Secret, SenderKey};

proptest! {
    #[test]
    fn what_is_sealed_is_opened(sequence: u64, reports in proptest::collection::vec(any::<u8>(), 1..300), calls: bool) {
        let sender = SenderKey::new(key_id(), epoch(1), &secret());
        let lane = if calls { Lane::Call } else { Lane::Ordinary };
        let datagram = sealed(&sender, sequence, &reports, lane);
        prop_assert_eq!(datagram.len(), reports.len() + OVERHEAD);
        let table = table();
        let mut buffer = Vec::new();
        let opened = table.open(&datagram, &mut buffer).unwrap();
        prop_assert_eq!((opened.sequence, opened.lane, opened.reports), (sequence, lane, &reports[..]));
    }

    #[test]
    fn another_secret_opens_nothing(other: [u8; 32], sequence: u64) {
        prop_assume!(Secret(other) != secret());
        let sender = SenderKey::new(key_id(), epoch(1), &Secret(other));
        prop_assert_eq!(open(&table(), &sealed(&sender, sequence, b"\x80", Lane::Ordinary)), Err(NotOpened::BadTag));
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let table = table();
    let datagram = bytes(DATAGRAM);
    assert_eq!(open(&table, &datagram), Ok(bytes(REPORT)));
    for bit in 0..datagram.len() * 8 {
        let mut changed = datagram.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let want = match bit / 8 {
            1 if bit % 8 < 4 => NotOpened::UnknownKey,
            2..10 => NotOpened::UnknownKey,
            _ => NotOpened::BadTag,
        };
        assert_eq!(open(&table, &changed), Err(want), "bit {bit}");
    }
}

#[test]
fn every_shorter_or_longer_one_is_refused() {
    let table = table();
    let datagram = bytes(DATAGRAM);
    for len in 0..datagram.len() {
        assert_eq!(open(&table, &datagram[..len]), Err(NotOpened::BadTag), "{len} bytes");
    }
    for byte in [0x00, 0xc2, 0xc3] {
        assert_eq!(open(&table, &[&datagram[..], &[byte]].concat()), Err(NotOpened::BadTag));
    }
}

#[test]
fn an_envelope_without_a_report_is_none() {
    let sender = SenderKey::new(key_id(), epoch(1), &secret());
    assert_eq!(open(&table(), &sealed(&sender, 1, b"", Lane::Ordinary)), Err(NotOpened::BadTag));
}

#[test]
fn a_refused_envelope_leaves_nothing_in_the_buffer() {
    let mut datagram = bytes(DATAGRAM);
    datagram[30] ^= 1;
    let mut buffer = Vec::new();
    assert!(table().open(&datagram, &mut buffer).is_err());
    assert!(buffer.is_empty());
}

#[test]
fn an_answer_is_opened_by_the_device_it_was_sealed_for_alone() {
    let table = table();
    let mut answer = Vec::new();
    assert!(table.seal_answer(key_id(), epoch(1), 77, b"\x80", &mut answer));
    let check = |key_id, epoch, secret, want| {
        let opened = SenderKey::new(key_id, epoch, &secret).open_answer(&answer);
        assert_eq!(opened.ok(), want);
    };
    check(key_id(), epoch(1), secret(), Some((77, b"\x80".to_vec())));
    check(key_id(), epoch(2), secret(), None);
    check(KeyId([9; 8]), epoch(1), secret(), None);
    check(key_id(), epoch(1), Secret([9; 32]), None);
    // The keys of the two directions differ: a report that comes back is no answer, and an answer is no report.
    let sender = SenderKey::new(key_id(), epoch(1), &secret());
    assert!(sender.open_answer(&bytes(DATAGRAM)).is_err());
    assert_eq!(open(&table, &answer), Err(NotOpened::BadTag));
    for bit in 0..answer.len() * 8 {
        let mut changed = answer.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(sender.open_answer(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn a_revoked_key_opens_and_answers_nothing_until_it_is_put_again() {
    let table = table();
    let datagram = bytes(DATAGRAM);
    table.revoke(key_id());
    assert_eq!(open(&table, &datagram), Err(NotOpened::Revoked));
    assert!(!table.seal_answer(key_id(), epoch(1), 1, b"\x80", &mut Vec::new()));
    assert!(table.is_empty());
    assert!(put(&table, key_id(), vehicle("bus-1"), &[(epoch(1), secret())]));
    assert_eq!(open(&table, &datagram), Ok(bytes(REPORT)));
}

#[test]
fn a_key_that_was_revoked_before_the_start_is_known_as_such() {
    let table = KeyTable::default();
    table.revoke(key_id());
    assert_eq!(open(&table, &bytes(DATAGRAM)), Err(NotOpened::Revoked));
    assert_eq!(table.len(), 0);
}

#[test]
fn a_key_without_an_epoch_is_not_put() {
    let table = table();
    assert!(!put(&table, key_id(), vehicle("bus-1"), &[]));
    assert_eq!(open(&table, &bytes(DATAGRAM)), Ok(bytes(REPORT)));
    let sender = SenderKey::new(key_id(), epoch(1), &secret());
    assert_eq!(open(&table, &sealed(&sender, SEQUENCE, b"\x80", Lane::Ordinary)), Ok(b"\x80".to_vec()));
}
