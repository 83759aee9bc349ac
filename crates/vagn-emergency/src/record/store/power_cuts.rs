//! The store on a disk that loses its power: cut at every write and every sync, all that a save has put on disk must be
//! there again, whichever of the unsynced sectors are.

use super::Store;
use crate::disk::forgetful::Forgetful;
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;

/// Saves incidents in groups until the power goes. Returns those whose save returned.
fn work(disk: &Forgetful) -> Vec<Incident> {
    let mut safe = Vec::new();
    let Ok(store) = Store::on(disk.clone(), 8) else { return safe };
    for group in 0..10_u128 {
        let mut saved: Vec<Incident> = (0..4).map(|number| incident(1 + group * 4 + number)).collect();
        // Every group also changes an earlier incident.
        saved.extend(safe.last().cloned().map(with_an_attempt));
        let drafts: Vec<_> = saved.iter().cloned().map(Draft::from).collect();
        if store.save(&drafts).is_err() {
            break;
        }
        safe.retain(|old: &Incident| saved.iter().all(|new| new.id != old.id));
        safe.extend(saved);
    }
    safe
}

fn incident(number: u128) -> Incident {
    Incident::example(IncidentId::from_u128(number), &format!("vehicle {number}"))
}

fn with_an_attempt(mut incident: Incident) -> Incident {
    incident.notices.attempts = 1;
    incident
}

/// A disk with an empty store on it, with power for `left` more steps.
fn made(left: usize) -> Forgetful {
    let disk = Forgetful::with_power_for(usize::MAX, Vec::new());
    drop(Store::on(disk.clone(), 8).unwrap());
    Forgetful::with_power_for(left, disk.image())
}

#[test]
fn a_save_that_returned_survives_a_cut_anywhere() {
    let untouched = made(usize::MAX);
    assert_eq!(work(&untouched).len(), 40);
    let steps = untouched.done();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..steps {
        let disk = made(cut);
        let safe = work(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let store = Store::on(found, 8).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        for incident in safe {
            let again = store.get(incident.id).unwrap();
            let again =
                again.unwrap_or_else(|| panic!("{} is gone; cut at {cut}, seed {seed}", incident.vehicle_id));
            assert_eq!(again.vehicle_id, incident.vehicle_id, "cut at {cut}, seed {seed}");
            assert!(again.notices.attempts >= incident.notices.attempts, "cut at {cut}, seed {seed}");
        }
    }
}

#[test]
fn a_failed_sync_is_not_forgotten() {
    let disk = made(usize::MAX);
    let store = Store::on(disk.clone(), 8).unwrap();
    assert!(!store.sync_failed());
    disk.fail_syncs(true);
    assert!(store.save(&[incident(1).into()]).is_err());
    disk.fail_syncs(false);
    assert!(store.sync_failed());
}
