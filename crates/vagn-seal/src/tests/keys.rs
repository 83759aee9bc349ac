//! Keys come, change and go: epochs, speakers, and a table that says the same as a plain map.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use vagn_wire::VehicleId;

use super::{epoch, key_id, open, put, sealed, secret, table, vehicle};
use crate::{Epoch, KeyId, KeyTable, Lane, NotAKey, NotOpened, Secret, Secrets, SenderKey, Speaker};

fn id(text: &str) -> VehicleId<'_> {
    VehicleId::new(text).unwrap()
}

fn gateway(prefix: &str) -> Speaker<'_> {
    Speaker::Gateway { name: "depot", prefix }
}

fn numbered(number: u64) -> KeyId {
    KeyId(number.to_be_bytes())
}

#[test]
fn both_epochs_open_until_the_first_datagram_of_the_new_one() {
    let table = KeyTable::default();
    let secrets = [Secret([1; 32]), Secret([2; 32])];
    let epochs = [(epoch(4), secrets[0].clone()), (epoch(5), secrets[1].clone())];
    assert!(put(&table, key_id(), vehicle("bus-1"), &epochs));
    let [old, new] = [0, 1].map(|at| SenderKey::new(key_id(), epochs[at].0, &secrets[at]));
    let check = |sender: &SenderKey, want| {
        let mut buffer = Vec::new();
        let datagram = sealed(sender, 1, b"\x80", Lane::Ordinary);
        assert_eq!(table.open(&datagram, &mut buffer).map(|opened| opened.is_first_of_epoch), want);
    };
    check(&old, Ok(false));
    check(&SenderKey::new(key_id(), epoch(5), &secrets[0]), Err(NotOpened::BadTag));
    check(&old, Ok(false));
    check(&new, Ok(true));
    check(&new, Ok(false));
    check(&old, Err(NotOpened::UnknownKey));
    assert!(!table.seal_answer(key_id(), epoch(4), 1, b"\x80", &mut Vec::new()));
    // The registry may not have heard of it yet, and puts both again.
    assert!(put(&table, key_id(), vehicle("bus-1"), &epochs));
    check(&new, Ok(true));
    assert!(put(&table, key_id(), vehicle("bus-1"), &epochs[1..]));
    check(&new, Ok(false));
}

#[test]
fn of_three_epochs_the_later_ones_stay() {
    let table = KeyTable::default();
    let epochs = [1, 2, 3].map(|number| (epoch(number), Secret([number; 32])));
    assert!(put(&table, key_id(), vehicle("bus-1"), &epochs));
    let opens = |at: usize| {
        let sender = SenderKey::new(key_id(), epochs[at].0, &epochs[at].1);
        open(&table, &sealed(&sender, 1, b"\x80", Lane::Ordinary)).is_ok()
    };
    assert!(opens(1) && !opens(0) && opens(1) && opens(2) && !opens(1) && opens(2));
}

#[test]
fn a_key_speaks_for_its_own_vehicle_only() {
    let table = table();
    let check = |text, want| assert_eq!(table.may_speak(key_id(), id(text)), want, "{text}");
    check("bus-1", true);
    check("bus-10", false);
    check("bus", false);
    check("BUS-1", false);
    assert!(!table.may_speak(KeyId([9; 8]), id("bus-1")));
}

#[test]
fn a_gateway_speaks_for_its_prefix_and_never_for_a_vehicle_with_a_key_of_its_own() {
    let table = table();
    let gateway_key = numbered(77);
    assert!(put(&table, gateway_key, gateway("bus-"), &[(epoch(0), secret())]));
    let check = |text, want| assert_eq!(table.may_speak(gateway_key, id(text)), want, "{text}");
    check("bus-2", true);
    check("bus-", true);
    check("bus-1", false);
    check("tram-2", false);
    check("bus", false);
    table.revoke(key_id());
    check("bus-1", true);
    assert!(put(&table, gateway_key, gateway(""), &[(epoch(0), secret())]));
    check("tram-2", true);
    let seen = table.speaker(gateway_key, |speaker| assert_eq!(speaker, gateway("")));
    assert!(seen.is_some() && table.speaker(key_id(), |_| ()).is_none());
}

#[test]
fn ids_of_every_length_are_kept_as_they_are() {
    let table = KeyTable::default();
    let uuid = "4e091396-62ae-4f3b-8715-7b4fc9c64d14";
    let mut ids: Vec<String> = (1..=64).map(|len| "å".repeat(len / 2) + &"x".repeat(len % 2)).collect();
    ids.extend([uuid.to_owned(), uuid.to_uppercase(), uuid.replace('-', ""), format!("{{{uuid}}}")]);
    for (number, text) in ids.iter().enumerate() {
        assert!(put(&table, numbered(number as u64), vehicle(text), &[(epoch(0), secret())]));
    }
    for (number, text) in ids.iter().enumerate() {
        let seen = table.speaker(numbered(number as u64), |speaker| assert_eq!(speaker, vehicle(text)));
        assert!(seen.is_some() && table.has_own_key(id(text)), "{text}");
    }
    assert!(!table.has_own_key(id("4e091396-62ae-4f3b-8715-7b4fc9c64d15")));
    assert_eq!(table.len(), ids.len());
}

#[test]
fn secrets_may_be_kept_elsewhere() {
    struct Vault;
    impl Secrets for Vault {
        fn secret(&self, asked: KeyId, epoch: Epoch) -> Option<Secret> {
            (asked == key_id() && epoch.get() == 1).then(secret)
        }
    }
    let table = KeyTable::with_secrets(Arc::new(Vault));
    assert!(put(&table, key_id(), vehicle("bus-1"), &[(epoch(1), secret())]));
    assert!(put(&table, numbered(5), vehicle("bus-5"), &[(epoch(1), secret())]));
    let mut answer = Vec::new();
    assert!(table.seal_answer(key_id(), epoch(1), 7, b"\x80", &mut answer));
    let sender = SenderKey::new(key_id(), epoch(1), &secret());
    assert_eq!(sender.open_answer(&answer), Ok((7, b"\x80".to_vec())));
    assert!(!table.seal_answer(numbered(5), epoch(1), 7, b"\x80", &mut answer));
}

#[test]
fn nothing_shows_a_secret() {
    let shown = format!("{:?} {:?}", Secret([0x41; 32]), SenderKey::new(key_id(), epoch(1), &secret()));
    assert!(!shown.contains("65") && !shown.contains("41") && !shown.contains("79"), "{shown}");
    assert_eq!(format!("{:?}", table()), "KeyTable { len: 1, .. }");
}

#[test]
fn keys_are_read_as_they_are_written() {
    let check = |text: &str, want: Result<KeyId, NotAKey>| assert_eq!(text.parse(), want, "{text}");
    let refused = Err(NotAKey("a key id has 16 hexadecimal digits"));
    check("0001020304050607", Ok(key_id()));
    check("00010203040506AF", Ok(KeyId([0, 1, 2, 3, 4, 5, 6, 0xaf])));
    for text in ["", "000102030405060", "00010203040506070", "+001020304050607", "000102030405060g", "００"]
    {
        check(text, refused);
    }
    assert_eq!(key_id().to_string(), "0001020304050607");
    assert_eq!(Secret::from_base64(&secret().to_base64()), Ok(secret()));
    for text in ["", "AAAA", "not base64", &"A".repeat(44)] {
        assert!(Secret::from_base64(text).is_err(), "{text}");
    }
    assert_eq!((epoch(14).next(), epoch(15).next(), Epoch::new(16)), (Epoch::new(15), None, None));
}

/// A change of the table.
#[derive(Debug, Clone)]
enum Change {
    Vehicle(u64, u8),
    Gateway(u64),
    Revoke(u64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0..200_u64, 0..150_u8).prop_map(|(key, vehicle)| Change::Vehicle(key, vehicle)),
        1 => (0..200_u64).prop_map(Change::Gateway),
        3 => (0..200_u64).prop_map(Change::Revoke),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn says_the_same_as_a_plain_map(changes in proptest::collection::vec(change(), 1..600)) {
        let table = KeyTable::default();
        // The vehicle of a key; none for a gateway.
        let mut model: HashMap<u64, Option<u8>> = HashMap::new();
        let epochs = [(epoch(0), secret())];
        for change in changes {
            match change {
                Change::Vehicle(key, bus) => {
                    put(&table, numbered(key), vehicle(&format!("bus-{bus}")), &epochs);
                    model.insert(key, Some(bus));
                }
                Change::Gateway(key) => {
                    put(&table, numbered(key), gateway("bus-"), &epochs);
                    model.insert(key, None);
                }
                Change::Revoke(key) => {
                    table.revoke(numbered(key));
                    model.remove(&key);
                }
            }
        }
        prop_assert_eq!(table.len(), model.len());
        for key in 0..200 {
            let spoken = table.speaker(numbered(key), |speaker| match speaker {
                Speaker::Vehicle(own) => Some(own.as_str().to_owned()),
                Speaker::Gateway { .. } => None,
            });
            let want = model.get(&key).map(|bus| bus.map(|bus| format!("bus-{bus}")));
            prop_assert_eq!(spoken, want);
        }
        for bus in 0..150 {
            let want = model.values().any(|own| *own == Some(bus));
            prop_assert_eq!(table.has_own_key(id(&format!("bus-{bus}"))), want, "bus-{}", bus);
        }
    }
}

/// A key that is put again, for example with a new prefix elsewhere in the table, is in force at every moment.
#[test]
fn a_reader_never_misses_a_key_while_others_change() {
    let (table, stop) = (table(), AtomicBool::new(false));
    let datagram = sealed(&SenderKey::new(key_id(), epoch(1), &secret()), 1, b"\x80", Lane::Ordinary);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut looks = 0;
            while !stop.load(Ordering::Relaxed) || looks == 0 {
                assert!(open(&table, &datagram).is_ok() && table.has_own_key(id("bus-1")));
                looks += 1;
            }
        });
        for round in 0..2_000 {
            put(&table, key_id(), vehicle("bus-1"), &[(epoch(1), secret())]);
            put(&table, numbered(round), vehicle("tram"), &[(epoch(1), secret())]);
            if round % 3 == 0 {
                table.revoke(numbered(round / 2));
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().is_ok());
    });
}
