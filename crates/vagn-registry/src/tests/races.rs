//! Writers at the same time.

use std::thread;

use super::{NOW, in_memory};
use crate::{DeviceOf, Kind, PutError};

/// Runs `work` on four threads at once and returns what they gave.
fn at_once<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn one_of_several_writers_of_a_revision_wins() {
    let registry = in_memory();
    for revision in 0..20 {
        let done = at_once(|number| {
            registry.put_if(Kind::Token, "t", revision, Some(format!("{{\"n\":{number}}}").as_bytes()))
        });
        let won: Vec<_> = done.iter().filter_map(|done| done.as_ref().ok()).collect();
        assert_eq!(won, [&(revision + 1)]);
        assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(PutError::Conflict(_)))));
    }
}

#[test]
fn one_of_several_keys_of_a_name_wins() {
    let registry = in_memory();
    let done = at_once(|_| registry.add_device(DeviceOf::Vehicle("TAXI1".into()), NOW));
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(done.iter().all(|done| matches!(done, Ok(_) | Err(PutError::NameTaken { .. }))));
    assert_eq!(registry.devices().unwrap().len(), 1);
}

#[test]
fn no_change_of_an_object_is_lost() {
    let registry = in_memory();
    let digest = [3; 32];
    at_once(|number| {
        for _ in 0..10 {
            let session = crate::Session {
                digest,
                token: "t".into(),
                is_of_settings: false,
                expires_ms: number as i64,
            };
            registry.put_session(&digest, Some(&session)).unwrap();
        }
    });
    assert_eq!(registry.revision(), 40);
    assert_eq!(registry.sessions().unwrap().len(), 1);
}
