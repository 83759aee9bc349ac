//! The file: its mode, its owner, and the wrapping key.

use std::fs;
use std::os::unix::fs::MetadataExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::NOW;
use crate::file;
use crate::{DeviceOf, Registry, RegistryError};

const KEY: [u8; 32] = [7; 32];

fn vehicle() -> DeviceOf {
    DeviceOf::Vehicle("TAXI1".into())
}

#[test]
fn keeps_everything_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let device = registry.add_device(vehicle(), NOW).unwrap();
    let revision = registry.revision();
    assert!(matches!(Registry::open(dir.path(), None), Err(RegistryError::InUse)));
    drop(registry);
    let registry = Registry::open(dir.path(), None).unwrap();
    assert_eq!((registry.devices().unwrap(), registry.revision()), (vec![device], revision));
    let mode = fs::metadata(dir.path().join(Registry::FILE)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn opens_wrapped_secrets_with_their_key_only() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), Some(&KEY)).unwrap();
    let device = registry.add_device(vehicle(), NOW).unwrap();
    drop(registry);
    assert!(matches!(Registry::open(dir.path(), None), Err(RegistryError::KeyMissing)));
    assert!(matches!(Registry::open(dir.path(), Some(&[8; 32])), Err(RegistryError::WrongKey)));
    assert_eq!(Registry::open(dir.path(), Some(&KEY)).unwrap().devices().unwrap(), [device]);
}

#[test]
fn wraps_what_was_in_clear_and_leaves_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), None).unwrap();
    let device = registry.add_device(vehicle(), NOW).unwrap();
    let revoked = registry.add_device(DeviceOf::Vehicle("TAXI2".into()), NOW).unwrap();
    registry.revoke_device("TAXI2", NOW).unwrap();
    let revision = registry.revision();
    drop(registry);
    let path = dir.path().join(Registry::FILE);
    let text = STANDARD.encode(device.newest().unwrap().1.0);
    let in_file =
        |text: &str| fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes());
    assert!(in_file(&text), "without a key it is in clear");
    let registry = Registry::open(dir.path(), Some(&KEY)).unwrap();
    assert_eq!(registry.revision(), revision);
    assert_eq!(registry.device_of("TAXI1").unwrap().as_ref(), Some(&device));
    assert_eq!(registry.devices().unwrap().len(), 2);
    assert!(!in_file(&text));
    assert!(!in_file(&STANDARD.encode(revoked.newest().unwrap().1.0)));
    drop(registry);
    assert!(matches!(Registry::open(dir.path(), None), Err(RegistryError::KeyMissing)));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn wraps_nothing_in_a_form_that_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let device = Registry::open(dir.path(), None).unwrap().add_device(vehicle(), NOW).unwrap();
    let path = dir.path().join(Registry::FILE);
    file::set_number(&redb::Database::open(&path).unwrap(), "form", 2).unwrap();
    for key in [Some(&KEY), None] {
        assert!(matches!(Registry::open(dir.path(), key), Err(RegistryError::Form { found: 2, known: 1 })));
    }
    let text = STANDARD.encode(device.newest().unwrap().1.0);
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.windows(text.len()).any(|window| window == text.as_bytes()), "it is as it was");
}

#[test]
fn a_look_wraps_nothing_and_makes_no_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Registry::open_to_read(dir.path(), Some(&KEY)).is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let device = Registry::open(dir.path(), None).unwrap().add_device(vehicle(), NOW).unwrap();
    let read =
        |key: Option<&[u8; 32]>| Registry::open_to_read(dir.path(), key).map(|it| it.devices().unwrap());
    assert_eq!(read(Some(&KEY)).unwrap(), std::slice::from_ref(&device));
    assert_eq!(Registry::open(dir.path(), None).unwrap().devices().unwrap(), std::slice::from_ref(&device));
    drop(Registry::open(dir.path(), Some(&KEY)).unwrap());
    assert_eq!(read(Some(&KEY)).unwrap(), [device]);
    assert!(matches!(read(None), Err(RegistryError::KeyMissing)));
    assert!(matches!(read(Some(&[8; 32])), Err(RegistryError::WrongKey)));
}

#[test]
fn begins_again_after_it_was_cut_off_while_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("registry.redb.new"), b"half").unwrap();
    Registry::open(dir.path(), None).unwrap();
    assert!(!dir.path().join("registry.redb.new").exists());
}

#[test]
fn never_replaces_a_file_that_is_there() {
    for content in [&b""[..], b"not a registry"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(Registry::FILE);
        fs::write(&path, content).unwrap();
        let err = Registry::open(dir.path(), None).unwrap_err();
        assert!(err.to_string().contains("restore"), "{err}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join(Registry::FILE)).unwrap();
    assert!(Registry::open(dir.path(), None).unwrap_err().to_string().contains("leads nowhere"));
}
