//! The registry on a disk that loses its power: cut at every write and every sync, all that a put has put on disk is there
//! again, whichever of the unsynced sectors are.

use std::collections::BTreeMap;

use super::forgetful::Forgetful;
use crate::{Kind, Put, Registry};

/// Writes until the power goes. Returns the values whose put returned, and the revision of the last one.
fn work(disk: &Forgetful) -> (BTreeMap<String, String>, u64) {
    let (mut safe, mut last) = (BTreeMap::new(), 0);
    let Ok(registry) = Registry::open_on(disk.clone(), None) else { return (safe, last) };
    for round in 0..12 {
        let texts: Vec<_> =
            (0..3).map(|at| (format!("t{}", (round + at) % 5), format!("{{\"n\":{round}}}"))).collect();
        let revisions: Vec<_> = texts
            .iter()
            .map(|(key, _)| registry.get(Kind::Token, key).map(|object| object.map_or(0, |it| it.revision)))
            .collect();
        let puts: Option<Vec<_>> = texts
            .iter()
            .zip(&revisions)
            .map(|((key, value), revision)| {
                let revision = *revision.as_ref().ok()?;
                Some(Put { kind: Kind::Token, key, revision, value: Some(value.as_bytes()) })
            })
            .collect();
        match puts.and_then(|puts| registry.put_all(&puts).ok()) {
            Some(revision) => last = revision,
            None => break,
        }
        safe.extend(texts);
    }
    (safe, last)
}

/// A disk with an empty registry on it, with power for `left` more steps.
fn made(left: usize) -> Forgetful {
    let disk = Forgetful::with_power_for(usize::MAX, Vec::new());
    drop(Registry::open_on(disk.clone(), None).unwrap());
    Forgetful::with_power_for(left, disk.image())
}

#[test]
fn a_put_that_returned_survives_a_cut_anywhere() {
    let untouched = made(usize::MAX);
    assert_eq!(work(&untouched).1, 36);
    let steps = untouched.done();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..steps {
        let disk = made(cut);
        let (safe, last) = work(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let registry =
            Registry::open_on(found, None).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        // The put under which the power went may be whole on disk, but never a part of it.
        assert!([last, last + 3].contains(&registry.revision()), "cut at {cut}, seed {seed}");
        for (key, value) in safe {
            let again = registry.get(Kind::Token, &key).unwrap();
            let again = again.unwrap_or_else(|| panic!("{key} is gone; cut at {cut}, seed {seed}"));
            let is_kept = again.value == value.as_bytes() || again.revision > last;
            assert!(is_kept, "{key}; cut at {cut}, seed {seed}");
        }
    }
}

#[test]
fn counts_writes_that_failed() {
    let disk = made(usize::MAX);
    let registry = Registry::open_on(disk, None).unwrap();
    assert_eq!(registry.write_errors(), 0);
    let without_power = Registry::open_on(made(40), None).unwrap();
    let failed =
        (0..100).find(|at| without_power.put_if(Kind::Token, &format!("t{at}"), 0, Some(b"{}")).is_err());
    assert!(failed.is_some());
    assert_eq!(without_power.write_errors(), 1);
    let last = without_power.revision();
    assert_eq!(last, failed.unwrap(), "what failed is told to no watcher");
}
