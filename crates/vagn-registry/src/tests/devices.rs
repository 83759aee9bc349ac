//! Keys of vehicles and gateways.

use vagn_seal::{Epoch, KeyId, Secret};

use super::{NOW, in_memory};
use crate::{DeviceOf, ImportRow, Imported, PutError, Registry};

fn vehicle(name: &str) -> DeviceOf {
    DeviceOf::Vehicle(name.into())
}

fn epochs(registry: &Registry, name: &str) -> Vec<u8> {
    let device = registry.device_of(name).unwrap().unwrap();
    device.epochs.iter().map(|(epoch, _)| epoch.get()).collect()
}

#[test]
fn gives_a_name_one_key() {
    let registry = in_memory();
    let device = registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    assert_eq!(registry.device_of("TAXI1").unwrap().as_ref(), Some(&device));
    assert_eq!(registry.device(device.key_id).unwrap(), Some(device));
    let gateway = DeviceOf::Gateway { name: "TAXI1".into(), prefix: "".into() };
    assert!(matches!(registry.add_device(gateway, NOW), Err(PutError::NameTaken { .. })));
    registry.revoke_device("TAXI1", NOW + 1).unwrap();
    registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    assert_eq!(registry.devices().unwrap().len(), 2, "the revoked one stays");
}

#[test]
fn refuses_names_that_no_report_can_have() {
    let registry = in_memory();
    let gateway = |prefix: &str| DeviceOf::Gateway { name: "G".into(), prefix: prefix.into() };
    for of in [vehicle(""), vehicle("a\nb"), vehicle(&"v".repeat(65)), gateway("a\tb")] {
        assert!(matches!(registry.add_device(of, NOW), Err(PutError::Invalid(_))));
    }
    registry.add_device(gateway(""), NOW).unwrap();
}

#[test]
fn forgets_the_secrets_of_a_revoked_key() {
    let registry = in_memory();
    registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    registry.rotate_device("TAXI1", NOW).unwrap();
    let device = registry.revoke_device("TAXI1", NOW + 1).unwrap();
    assert_eq!((device.revoked_ms, device.epochs.len()), (Some(NOW + 1), 0));
    let key_id: Box<str> = device.key_id.to_string().into();
    for err in [
        registry.revoke_device("TAXI1", NOW).unwrap_err(),
        registry.rotate_device("TAXI1", NOW).map(drop).unwrap_err(),
    ] {
        assert!(matches!(&err, PutError::Revoked { key, .. } if *key == key_id), "{err}");
    }
    assert!(matches!(registry.revoke_device("TAXI2", NOW), Err(PutError::NotFound { .. })));
}

#[test]
fn keeps_the_epoch_in_use_until_the_next_one_is_used() {
    let registry = in_memory();
    let device = registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    let rotated = registry.rotate_device("TAXI1", NOW).unwrap();
    assert_eq!((rotated.device.key_id, rotated.ended, rotated.is_new_key), (device.key_id, None, false));
    assert_ne!(rotated.device.newest().unwrap().1, device.newest().unwrap().1);
    assert_eq!(epochs(&registry, "TAXI1"), [0, 1]);
    let again = registry.rotate_device("TAXI1", NOW).unwrap();
    assert_eq!(again.ended, Epoch::new(1), "a rotation that was never used ends");
    assert_eq!(epochs(&registry, "TAXI1"), [0, 2]);
    registry.end_epochs_before(device.key_id, Epoch::new(2).unwrap(), NOW).unwrap();
    assert_eq!(epochs(&registry, "TAXI1"), [2]);
}

#[test]
fn takes_a_new_key_id_after_the_last_epoch() {
    let registry = in_memory();
    let old = registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    for _ in 0..15 {
        registry.rotate_device("TAXI1", NOW).unwrap();
    }
    assert_eq!(epochs(&registry, "TAXI1"), [0, 15]);
    let new = registry.rotate_device("TAXI1", NOW).unwrap();
    assert!(new.is_new_key && new.device.key_id != old.key_id);
    assert_eq!(epochs(&registry, "TAXI1"), [0]);
    let open = |id| registry.device(id).unwrap().unwrap().revoked_ms.is_none();
    assert!(open(old.key_id), "the old one is open until the new one is used");
    registry.end_epochs_before(new.device.key_id, Epoch::FIRST, NOW).unwrap();
    assert!(!open(old.key_id) && open(new.device.key_id));
}

#[test]
fn the_last_epoch_ends_those_before_it_and_only_the_new_key_ends_it() {
    let registry = in_memory();
    let old = registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    for _ in 0..15 {
        registry.rotate_device("TAXI1", NOW).unwrap();
    }
    let last = Epoch::new(15).unwrap();
    registry.end_epochs_before(old.key_id, last, NOW).unwrap();
    assert_eq!(epochs(&registry, "TAXI1"), [15]);
    let new = registry.rotate_device("TAXI1", NOW).unwrap().device;
    assert_eq!((new.replaces, epochs(&registry, "TAXI1")), (Some(old.key_id), vec![0]));
    let open = |id| registry.device(id).unwrap().unwrap().newest().map(|newest| newest.0);
    // The device goes on with what it has.
    registry.end_epochs_before(old.key_id, last, NOW).unwrap();
    assert_eq!((open(old.key_id), open(new.key_id)), (Some(last), Some(Epoch::FIRST)));
    for _ in 0..2 {
        registry.end_epochs_before(new.key_id, Epoch::FIRST, NOW).unwrap();
        assert_eq!((open(old.key_id), open(new.key_id)), (None, Some(Epoch::FIRST)));
    }
}

/// Keys of a vehicle that was rotated so often, without ever using a new one.
fn never_used(rotations: usize) -> Registry {
    let registry = in_memory();
    registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    for _ in 0..rotations {
        registry.rotate_device("TAXI1", NOW).unwrap();
    }
    registry
}

fn in_force(registry: &Registry) -> usize {
    registry.devices().unwrap().iter().filter(|device| device.revoked_ms.is_none()).count()
}

#[test]
fn revokes_replaced_keys_with_their_successor() {
    for (rotations, keys) in [(16, 2), (48, 4)] {
        let registry = never_used(rotations);
        assert_eq!(in_force(&registry), keys);
        registry.revoke_device("TAXI1", NOW).unwrap();
        assert_eq!(in_force(&registry), 0, "{keys} keys");
    }
}

#[test]
fn revokes_the_oldest_key_first_so_that_a_break_leaves_none_that_cannot_be_found() {
    let registry = never_used(48);
    let mut device = registry.device_of("TAXI1").unwrap();
    let mut newest_first = Vec::new();
    while let Some(found) = device {
        newest_first.push(found.key_id.to_string());
        device = found.replaces.and_then(|older| registry.device(older).unwrap());
    }
    registry.revoke_device("TAXI1", NOW).unwrap();
    let mut revoked = registry.list(crate::Kind::Device).unwrap();
    revoked.sort_unstable_by_key(|(_, object)| std::cmp::Reverse(object.revision));
    assert_eq!(revoked.into_iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>(), newest_first);
}

#[test]
fn the_use_of_a_key_ends_all_that_it_was_to_replace() {
    let registry = never_used(48);
    let newest = registry.device_of("TAXI1").unwrap().unwrap().key_id;
    registry.end_epochs_before(newest, Epoch::FIRST, NOW).unwrap();
    assert_eq!(in_force(&registry), 1);
}

fn row(vehicle_id: &str, number: u8) -> ImportRow {
    ImportRow { vehicle_id: vehicle_id.into(), key_id: KeyId([number; 8]), secret: Secret([number; 32]) }
}

#[test]
fn imports_a_block_twice_without_harm() {
    let registry = in_memory();
    let rows = [row("B", 2), row("A", 1)];
    assert_eq!(registry.import_devices(&rows, NOW).unwrap(), Imported { added: 2, ..Imported::default() });
    let more = [row("A", 1), row("C", 3)];
    assert_eq!(
        registry.import_devices(&more, NOW).unwrap(),
        Imported { added: 1, unchanged: 1, ..Imported::default() }
    );
    assert_eq!(registry.devices_in_force().unwrap(), 3);
}

#[test]
fn an_import_passes_over_what_was_rotated_or_revoked_since() {
    let registry = in_memory();
    let rows = [row("A", 1), row("B", 2), row("C", 3), row("D", 4), row("E", 5)];
    registry.import_devices(&rows[..4], NOW).unwrap();
    // Of one rotation the new epoch was used, of the other not yet.
    for name in ["A", "B"] {
        registry.rotate_device(name, NOW).unwrap();
    }
    registry.end_epochs_before(rows[0].key_id, Epoch::new(1).unwrap(), NOW).unwrap();
    registry.revoke_device("C", NOW).unwrap();
    let again = Imported { added: 1, unchanged: 1, rotated: 2, revoked: 1 };
    assert_eq!(registry.import_devices(&rows, NOW).unwrap(), again);
    let device = |at: usize| registry.device(rows[at].key_id).unwrap().unwrap();
    assert!(device(2).revoked_ms.is_some() && device(2).epochs.is_empty(), "it stays revoked");
    assert_eq!((device(0).epochs.len(), device(1).epochs.len()), (1, 2));
    // Its vehicle may have another key by now, and another vehicle may not have its key id.
    registry.add_device(vehicle("C"), NOW).unwrap();
    assert_eq!(registry.import_devices(&rows[2..3], NOW).unwrap().revoked, 1);
    for at in [0, 1, 2] {
        let other = ImportRow { vehicle_id: "X".into(), ..rows[at].clone() };
        assert!(matches!(registry.import_devices(&[other], NOW), Err(PutError::Exists { .. })));
    }
    let other_secret = ImportRow { secret: Secret([9; 32]), ..rows[1].clone() };
    assert!(matches!(registry.import_devices(&[other_secret], NOW), Err(PutError::Exists { .. })));
}

#[test]
fn imports_nothing_of_a_block_with_a_contradiction() {
    let other_secret = ImportRow { secret: Secret([9; 32]), ..row("A", 1) };
    for wrong in [row("A", 2), row("X", 1), other_secret] {
        let registry = in_memory();
        registry.import_devices(&[row("A", 1)], NOW).unwrap();
        let refused = registry.import_devices(&[row("B", 7), wrong], NOW);
        assert!(matches!(refused, Err(PutError::NameTaken { .. } | PutError::Exists { .. })), "{refused:?}");
        assert_eq!(registry.devices_in_force().unwrap(), 1);
    }
    let registry = in_memory();
    assert!(registry.import_devices(&[row("A", 1), row("B", 1)], NOW).is_err(), "one key id twice");
    assert!(registry.import_devices(&[row("A", 1), row("A", 2)], NOW).is_err(), "one vehicle twice");
    assert_eq!(registry.revision(), 0);
}

#[test]
fn shows_no_secret_to_a_log() {
    let registry = in_memory();
    let device = registry.add_device(vehicle("TAXI1"), NOW).unwrap();
    let object = registry.list(crate::Kind::Device).unwrap();
    let texts = format!("{device:?} {object:?} {registry:?}");
    let secret = device.newest().unwrap().1.0;
    assert!(
        !texts.contains(&format!("{secret:?}")) && !texts.contains(&secret[0..4].escape_ascii().to_string())
    );
    assert!(format!("{object:?}").contains("bytes"));
}
