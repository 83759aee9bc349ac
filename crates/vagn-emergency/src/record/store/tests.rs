//! The store, from saving to setting aside.

use std::fs;

use super::open::UNFINISHED;
use super::schema::{INCIDENTS, LIVE};
use super::*;
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::Decision;

const RESERVED: u64 = 1 << 20;

impl Store {
    /// Writes a record that makes no sense, of an incident that is owed a notice.
    pub(crate) fn save_nonsense(&self, id: IncidentId) {
        let txn = self.db.begin_write().unwrap();
        txn.open_table(INCIDENTS).unwrap().insert(id.as_u128(), &b"{}"[..]).unwrap();
        txn.open_table(LIVE).unwrap().insert(id.as_u128(), ()).unwrap();
        txn.commit().unwrap();
    }
}

fn incident(number: u128) -> Incident {
    Incident::example(IncidentId::from_u128(number), &format!("bus {number}"))
}

fn ended(number: u128) -> Incident {
    let mut incident = incident(number);
    incident.resolve(Decision { by: "Anna".into(), at_ms: 1, note: "".into() });
    incident
}

fn save(store: &Store, incidents: impl IntoIterator<Item = Incident>) {
    let drafts: Vec<_> = incidents.into_iter().map(Draft::from).collect();
    store.save(&drafts).unwrap();
}

fn numbers(incidents: &[Incident]) -> Vec<u128> {
    incidents.iter().map(|incident| incident.id.as_u128()).collect()
}

fn before(store: &Store, id: Option<u128>) -> Vec<u128> {
    let mut found = Vec::new();
    let each = |incident: Incident| {
        found.push(incident.id.as_u128());
        found.len() < 3
    };
    store.newest_first(id.map(IncidentId::from_u128), each).unwrap();
    found
}

#[test]
fn has_after_a_restart_what_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, [incident(3), incident(1), ended(2)]);
    drop(store);
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    assert_eq!(numbers(&store.live().unwrap()), [1, 3], "oldest first");
    assert_eq!(store.get(IncidentId::from_u128(2)).unwrap(), Some(ended(2)));
    assert_eq!(store.get(IncidentId::from_u128(9)).unwrap(), None);
}

#[test]
fn gives_signs_of_life_while_it_reads_what_is_live() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, (1..=1_100).map(incident));
    let beats = std::cell::Cell::new(0);
    let live = store.read_live(&|| beats.set(beats.get() + 1)).unwrap();
    assert_eq!((live.len(), beats.get()), (1_100, 3));
}

#[test]
fn a_record_that_makes_no_sense_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, [incident(1), incident(3)]);
    store.save_nonsense(IncidentId::from_u128(2));
    for _ in 0..2 {
        assert_eq!(numbers(&store.live().unwrap()), [1, 3]);
        assert_eq!(before(&store, None), [3, 1]);
        assert_eq!(store.get(IncidentId::from_u128(2)).unwrap(), None);
        assert_eq!(store.unreadable(), 1);
    }
}

#[test]
fn is_read_backwards_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, (1..=5).map(incident));
    assert_eq!(before(&store, None), [5, 4, 3]);
    assert_eq!(before(&store, Some(3)), [2, 1]);
    assert_eq!(before(&store, Some(1)), [0; 0]);
}

#[test]
fn forgets_the_oldest_of_those_that_have_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 2).unwrap();
    save(&store, [incident(1), ended(2), ended(3), incident(4), ended(5)]);
    save(&store, [ended(6)]);
    assert_eq!(numbers(&store.live().unwrap()), [1, 4]);
    let kept = (1..=6).filter(|id| store.get(IncidentId::from_u128(*id)).unwrap().is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [1, 4, 5, 6]);
}

#[test]
fn forgets_later_while_the_clock_is_doubted_but_keeps_no_more_than_twice_as_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 2).unwrap();
    store.doubt_clock(true);
    save(&store, (10..=13).map(ended));
    // Under a clock that is far behind.
    save(&store, [ended(3)]);
    assert_eq!(before(&store, None), [13, 12, 11]);
    assert_eq!(before(&store, Some(11)), [10], "one is beyond twice as many");
    store.doubt_clock(false);
    save(&store, []);
    assert_eq!(before(&store, None), [13, 12]);
}

#[test]
fn drills_displace_no_real_incident() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 20).unwrap();
    save(&store, [ended(1)]);
    for number in 2..40 {
        save(&store, [Incident { drill: true, ..ended(number) }]);
    }
    let kept = (1..=40).filter(|id| store.get(IncidentId::from_u128(*id)).unwrap().is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [1, 39]);
}

#[test]
fn is_not_held_up_by_one_that_was_cut_off_in_the_making() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(UNFINISHED), [7; 4096]).unwrap();
    let store = Store::open(dir.path(), RESERVED, 1).unwrap();
    save(&store, [incident(1)]);
    assert!(!dir.path().join(UNFINISHED).exists());
}

#[test]
fn a_flipped_bit_is_found_or_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, (1..=30).map(incident));
    save(&store, (20..=40).map(incident));
    let saved = store.live().unwrap();
    drop(store);
    let path = dir.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut found = 0;
    for _ in 0..60 {
        let mut flipped = whole.clone();
        flipped[rng.usize(..whole.len().min(256 << 10))] ^= 1 << rng.u8(..8);
        fs::write(&path, flipped).unwrap();
        match Store::open(dir.path(), RESERVED, 100).and_then(|store| store.live()) {
            Ok(live) => assert_eq!(live, saved, "seed {seed}"),
            Err(_) => found += 1,
        }
    }
    assert!(found > 0, "seed {seed}");
}

#[test]
fn a_damaged_store_is_set_aside_and_a_sound_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(set_aside(dir.path()).unwrap(), None, "there is none");
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    assert!(set_aside(dir.path()).is_err(), "it is in use");
    save(&store, [incident(1)]);
    drop(store);
    assert_eq!(set_aside(dir.path()).unwrap(), None);
    for name in ["incidents.redb.1.damaged", "incidents.redb.2.damaged"] {
        fs::write(dir.path().join(FILE), b"not a store").unwrap();
        assert_eq!(set_aside(dir.path()).unwrap(), Some(dir.path().join(name)));
    }
    assert_eq!(rebuild(dir.path(), 0).unwrap(), Some(1));
    assert_eq!(numbers(&Store::open(dir.path(), RESERVED, 100).unwrap().live().unwrap()), [1]);
}

#[test]
fn a_look_at_a_store_changes_nothing_in_it_also_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = Store::open(dir.path(), RESERVED, 100).unwrap();
    save(&store, [incident(1)]);
    // As after `kill -9`: the file as it is while the store is open.
    let killed = fs::read(&path).unwrap();
    drop(store);
    for image in [killed, fs::read(&path).unwrap()] {
        fs::write(&path, &image).unwrap();
        assert!(!is_damaged(dir.path()).unwrap());
        assert!(fs::read(&path).unwrap() == image, "it was written to");
    }
}

#[test]
fn says_which_file_it_could_not_open() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(FILE), b"this is not a database at all").unwrap();
    let said = Store::open(dir.path(), RESERVED, 1).unwrap_err().to_string();
    assert!(said.contains("cannot be opened"), "{said}");
}
