//! An object of any bytes: it is read, and the same when it is written and read again, or it is passed over; its name is held by it alone.

use vagn_fuzz::{Meter, Target, keep};
use vagn_seal::{Epoch, KeyId, Secret};

use super::NOW;
use crate::devices::{active_name, rewrapped};
use crate::entry::Entry;
use crate::wrapping::Wrapping;
use crate::{Device, DeviceOf, Object, Role, Session, Share, Token};

#[global_allocator]
static METER: Meter = Meter;

/// Keys of the objects: of a device, and of what is kept by a digest.
const KEY: &str = "0707070707070707";
const DIGEST: &str = "0909090909090909090909090909090909090909090909090909090909090909";

const WORDS: &[&str] = &[
    "{\"",
    "\":",
    "\",\"",
    "}",
    "[",
    "]",
    ",",
    "null",
    "true",
    "false",
    "vehicle_id",
    "gateway",
    "prefix",
    "epochs",
    "epoch",
    "secret",
    "wrapped",
    "replaces",
    "is_replaced",
    "revoked_ms",
    "token",
    "role",
    "admin",
    "expires_ms",
    "is_of_settings",
    "15",
    "16",
    "-1",
    "1e400",
    "9223372036854775808",
    "0707070707070707",
    "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
    "\\u0000",
];

fn wrapping() -> Wrapping {
    Wrapping::new(&[5; 32])
}

fn body(bytes: &[u8]) {
    for wrapping in [None, Some(&wrapping())] {
        check::<Device>(KEY, bytes, wrapping);
        check::<Token>("anna", bytes, wrapping);
        check::<Session>(DIGEST, bytes, wrapping);
        check::<Share>(DIGEST, bytes, wrapping);
    }
    if let Some(device) = read::<Device>(KEY, bytes, None) {
        let holds_name = device.revoked_ms.is_none() && !device.is_replaced;
        assert_eq!(active_name(bytes).as_deref(), holds_name.then(|| device.of.name()));
        let wrapped = rewrapped(KEY, bytes, Some(&wrapping())).expect("it was read");
        assert_eq!(read(KEY, &wrapped, Some(&wrapping())), Some(device));
    }
}

fn check<E: Entry + PartialEq + std::fmt::Debug>(key: &str, bytes: &[u8], wrapping: Option<&Wrapping>) {
    let Some(entry) = read::<E>(key, bytes, wrapping) else { return };
    assert_eq!(entry.key(), key);
    assert_eq!(read(key, &entry.to_json(wrapping), wrapping), Some(entry));
}

fn read<E: Entry>(key: &str, bytes: &[u8], wrapping: Option<&Wrapping>) -> Option<E> {
    E::from_json(key, &Object { value: bytes.to_vec(), revision: 3 }, wrapping)
}

#[test]
fn any_object_is_read_as_it_was_written_or_passed_over() {
    Target { crate_dir: env!("CARGO_MANIFEST_DIR"), name: "object", words: WORDS, body }.check();
}

fn device(of: DeviceOf) -> Device {
    Device {
        key_id: KeyId([7; 8]),
        of,
        epochs: vec![(Epoch::FIRST, Secret([7; 32]))],
        added_ms: NOW,
        replaces: None,
        is_replaced: false,
        revoked_ms: None,
    }
}

#[test]
fn the_corpus_of_objects_is_of_this_format() {
    let kept = |name, value: Vec<u8>| keep(env!("CARGO_MANIFEST_DIR"), "object", name, &value);
    let bus = device(DeviceOf::Vehicle("bus 7".into()));
    let last = Epoch::new(15).expect("it is the last one");
    let rotated = vec![(Epoch::FIRST, Secret([7; 32])), (last, Secret([8; 32]))];
    kept("device", bus.to_json(None));
    kept("gateway", device(DeviceOf::Gateway { name: "depot".into(), prefix: "BUS-".into() }).to_json(None));
    kept("rotated", Device { epochs: rotated, replaces: Some(KeyId([6; 8])), ..bus.clone() }.to_json(None));
    kept("replaced", Device { is_replaced: true, ..bus.clone() }.to_json(None));
    kept("revoked", Device { epochs: Vec::new(), revoked_ms: Some(NOW), ..bus }.to_json(None));
    let anna = Token {
        name: "anna".into(),
        digest: [9; 32],
        role: Role::Operate,
        is_person: true,
        is_on_behalf: true,
        added_ms: NOW,
        expires_ms: Some(NOW + 1),
        revoked_ms: Some(NOW),
    };
    kept("token", anna.to_json(None));
    let session = Session { digest: [9; 32], token: "anna".into(), is_of_settings: true, expires_ms: NOW };
    kept("session", session.to_json(None));
    let (vehicle_id, by) = ("bus 7".into(), "anna".into());
    let share = Share { digest: [9; 32], number: 3, vehicle_id, by, added_ms: NOW, expires_ms: NOW + 1 };
    kept("share", share.to_json(None));
    // A nonce by chance is in it, so it is not made anew.
    let wrapped = include_bytes!("../../fuzz/corpus/object/wrapped");
    assert!(
        read::<Device>(KEY, wrapped, Some(&wrapping())).is_some()
            && read::<Device>(KEY, wrapped, None).is_none()
    );
}
