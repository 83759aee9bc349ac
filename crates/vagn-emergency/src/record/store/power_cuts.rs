//! The store on a disk that loses its power: cut at every write and every sync, all that a save has put on disk must be
//! there again, whichever of the unsynced sectors are.

use super::{Before, Store};
use crate::disk::forgetful::Forgetful;
use crate::id::IncidentId;
use crate::record::alarms::AlarmState;
use crate::record::draft::Draft;
use crate::record::group::Group;
use crate::record::incident::Incident;
use crate::trail::{Event, EventKind, SubjectId};

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

/// Most groups that are applied.
const GROUPS: u64 = 8;

/// The group at a place in the trail of a cluster. Each after the first resolves an incident of the one before.
fn group(number: u64) -> Group {
    let changed = |id: u128, action| {
        let mut draft = Draft::from(incident(id));
        let subject = SubjectId::Incident(draft.incident.id);
        let (by, reason) = ("vagn".into(), "a test".into());
        draft.events.push(Event { at_ms: number as i64, subject, action, by, reason });
        draft
    };
    let first = 1 + u128::from(number) * 4;
    let mut drafts: Vec<Draft> = (first..first + 4).map(|id| changed(id, EventKind::Opened)).collect();
    if number > 1 {
        let mut over = changed(first - 1, EventKind::Resolved);
        let by = "Anna".into();
        over.incident.resolve(crate::record::progress::Decision { by, at_ms: 5, note: "".into() });
        drafts.push(over);
    }
    let mut state = AlarmState::new(IncidentId::from_u128(first));
    state.note(number, 1);
    Group {
        salt: u128::from(number) * 77,
        is_clock_doubted: false,
        drafts,
        alarms: vec![(IncidentId::from_u128(first), state)],
        deeds: vec![u128::from(number)],
        results: Vec::new(),
    }
}

/// Applies groups until the power goes. Returns the place of the last that was applied.
fn apply(disk: &Forgetful) -> u64 {
    let Ok(store) = Store::on(disk.clone(), 2) else { return 0 };
    let is_applied = |number: &u64| store.apply(&[group(*number)], &number.to_be_bytes()).is_ok();
    (1..=GROUPS).take_while(is_applied).last().unwrap_or(0)
}

/// All that a store has.
fn all(store: &Store) -> String {
    let mut incidents = Vec::new();
    let note = |incident| {
        incidents.push(incident);
        true
    };
    store.newest_first(None, note).unwrap();
    let (trail, applied) = (store.trail(0, 1_000).unwrap(), store.applied().unwrap());
    format!("{incidents:?} {:?} {trail:?} {applied:?}", store.live().unwrap())
}

#[test]
fn groups_of_a_cluster_are_there_up_to_the_mark_and_no_others_after_a_cut_anywhere() {
    let untouched = made(usize::MAX);
    assert_eq!(apply(&untouched), GROUPS);
    let expected: Vec<String> = (0..=GROUPS)
        .map(|count| {
            let store = Store::on(made(usize::MAX), 2).unwrap();
            (1..=count).for_each(|number| {
                store.apply(&[group(number)], &number.to_be_bytes()).unwrap();
            });
            all(&store)
        })
        .collect();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..untouched.done() {
        let disk = made(cut);
        let applied = apply(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let store = Store::on(found, 2).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        let mark = store.applied().unwrap().mark;
        let at = mark.map_or(0, |mark| u64::from_be_bytes(mark.try_into().unwrap()));
        assert!(at == applied || at == applied + 1, "{at} of {applied}; cut at {cut}, seed {seed}");
        assert_eq!(all(&store), expected[at as usize], "cut at {cut}, seed {seed}");
        // It goes on as the others did.
        (at + 1..=GROUPS).for_each(|number| {
            store.apply(&[group(number)], &number.to_be_bytes()).unwrap();
        });
        assert_eq!(all(&store), expected[GROUPS as usize], "cut at {cut}, seed {seed}");
    }
}

#[test]
fn groups_that_are_applied_twice_with_their_mark_change_a_store_once() {
    let store = Store::on(made(usize::MAX), 100).unwrap();
    let groups = [group(1), group(2)];
    let head = store.apply(&groups, b"2").unwrap();
    let once = all(&store);
    // An earlier life of the writer comes back from the disk, and the next one has not heard of it.
    assert_eq!(store.apply(&groups, b"2").unwrap(), head);
    assert_eq!(all(&store), once);
    assert_ne!(store.apply(&[group(3)], b"3").unwrap(), head);
}

/// The bytes of a copy of a store, and its mark.
fn copy_of(store: &Store) -> (Vec<u8>, Vec<u8>) {
    let mut picture = store.picture().unwrap().unwrap();
    let (mut stream, mut from) = (Vec::new(), Vec::new());
    loop {
        let (bytes, next) = picture.piece(&from, 1_000).unwrap().unwrap();
        stream.extend(bytes);
        match next {
            Some(next) => from = next,
            None => return (stream, picture.mark),
        }
    }
}

#[test]
fn a_copy_takes_the_place_of_all_or_of_nothing_after_a_cut_anywhere() {
    let put = |store: &Store, number: u64| {
        store.apply(&[group(number)], &number.to_be_bytes()).unwrap();
    };
    let giver = Store::on(made(usize::MAX), 100).unwrap();
    (1..=GROUPS).for_each(|number| put(&giver, number));
    let (stream, mark) = copy_of(&giver);
    // The taker went on alone after two groups.
    let disk = made(usize::MAX);
    let taker = Store::on(disk.clone(), 100).unwrap();
    [1, 2, 103].into_iter().for_each(|number| put(&taker, number));
    let old = all(&taker);
    drop(taker);
    let image = disk.image();
    let take = |disk: &Forgetful| {
        let store = Store::on(disk.clone(), 100).ok();
        store.is_some_and(|store| store.take_copy(&mut stream.as_slice(), &mark).is_ok())
    };
    let untouched = Forgetful::with_power_for(usize::MAX, image.clone());
    assert!(take(&untouched));
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut seen = [0, 0];
    for cut in 0..=untouched.done() {
        let disk = Forgetful::with_power_for(cut, image.clone());
        let is_taken = take(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let store = Store::on(found, 100).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        let (has, rest) = (all(&store), store.rest(100).unwrap().0.len());
        let is_new = has == all(&giver);
        assert!(is_new || (!is_taken && has == old), "cut at {cut}, seed {seed}");
        // Four incidents that it alone had, the one that it alone resolved, and one that the giver had resolved since.
        assert_eq!(rest, if is_new { 6 } else { 0 }, "cut at {cut}, seed {seed}");
        seen[usize::from(is_new)] += 1;
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

#[test]
fn what_a_single_machine_had_open_is_taken_over_once_after_a_cut_anywhere() {
    let machine = tempfile::tempdir().unwrap();
    let old = Store::open(machine.path(), 0, 100).unwrap();
    let drafts: Vec<Draft> = (1..=9).map(|number| incident(number).into()).collect();
    old.save(&drafts).unwrap();
    drop(old);
    let before = Before::read(machine.path(), None).unwrap();
    let take = |disk: &Forgetful| {
        let store = Store::on(disk.clone(), 100).ok();
        store.is_some_and(|store| store.take_over(&before).is_ok())
    };
    let untouched = made(usize::MAX);
    assert!(take(&untouched));
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut seen = [0, 0];
    for cut in 0..=untouched.done() {
        let disk = made(cut);
        let is_taken = take(&disk);
        let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
        let store = Store::on(found, 100).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        let rest = |store: &Store| store.rest(100).unwrap().0.len();
        let again = Before::read(machine.path(), store.taken_over().unwrap());
        let is_noted = again.is_none();
        assert_eq!(rest(&store), if is_noted { 9 } else { 0 }, "cut at {cut}, seed {seed}");
        assert!(is_noted || !is_taken, "cut at {cut}, seed {seed}");
        seen[usize::from(is_noted)] += 1;
        if let Some(again) = again {
            store.take_over(&again).unwrap();
        }
        assert_eq!(rest(&store), 9, "cut at {cut}, seed {seed}");
        assert!(Before::read(machine.path(), store.taken_over().unwrap()).is_none());
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}
