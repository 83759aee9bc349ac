//! Keys of a registry, as the doors have them after a start.

use vagn_seal::{Lane, NotOpened, SenderKey};

use super::*;

const NOW_MS: i64 = 1_795_860_000_000;

/// Returns what the doors make of an envelope under the newest epoch of this device.
fn open(loaded: &LoadedKeys, device: &Device) -> Result<bool, NotOpened> {
    let (epoch, secret) = device.newest().expect("it was made with one");
    let mut envelope = Vec::new();
    SenderKey::new(device.key_id, *epoch, secret).seal(1, b"\x80", Lane::Ordinary, &mut envelope);
    loaded.table.open(&envelope, &mut Vec::new()).map(|opened| opened.is_first_of_epoch)
}

#[test]
fn after_the_last_epoch_a_new_key_opens_beside_the_old_one_until_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let first = registry.add_device(DeviceOf::Vehicle("bus 7".into()), NOW_MS).unwrap();
    let mut rotated = Vec::new();
    for _ in 0..15 {
        rotated.push(registry.rotate_device("bus 7", NOW_MS).unwrap().device);
    }
    let last = rotated.pop().unwrap();
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &first), open(&loaded, &last)), (Ok(false), Ok(true)));
    assert_eq!(open(&loaded, &rotated[13]), Err(NotOpened::UnknownKey), "it was never used");

    registry.end_epochs_before(last.key_id, Epoch::new(15).unwrap(), NOW_MS).unwrap();
    let new = registry.rotate_device("bus 7", NOW_MS).unwrap().device;
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &last), open(&loaded, &new)), (Ok(false), Ok(false)));
    assert_eq!(open(&loaded, &first), Err(NotOpened::UnknownKey));
    assert_eq!(loaded.replacing, [new.key_id], "its first envelope is waited for");

    registry.end_epochs_before(new.key_id, Epoch::FIRST, NOW_MS).unwrap();
    let loaded = LoadedKeys::read(&registry).unwrap();
    assert_eq!((open(&loaded, &last), open(&loaded, &new)), (Err(NotOpened::Revoked), Ok(false)));
}

#[test]
fn a_thousand_keys_that_are_revoked_one_after_the_other_are_forgotten_in_few_rounds() {
    let mut revoked = RevokedKeys::default();
    let keys: Vec<_> = (0..1_000_u64).map(|number| KeyId(number.to_be_bytes())).collect();
    let mut rounds = Vec::new();
    for (after_ms, key_id) in (0..).step_by(2).zip(&keys) {
        revoked.add(*key_id);
        rounds.push(revoked.take_due(Duration::from_millis(after_ms)));
    }
    rounds.push(revoked.take_due(Duration::from_secs(9)));
    rounds.retain(|round| !round.is_empty());
    assert!(revoked.take_due(Duration::from_secs(99)).is_empty());
    assert_eq!((rounds.len(), rounds.concat()), (3, keys));
}
