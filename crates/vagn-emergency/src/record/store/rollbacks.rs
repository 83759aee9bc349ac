//! A store that has rolled back: what was answered as on disk is there again, and is named.

use std::fs;
use std::path::Path;

use super::recall::recall;
use super::*;
use crate::disk::forgetful::Forgetful;
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::journal::{FILES, JournalContent, JournalFile};
use crate::tests::gated::Gated;
use crate::trail::{ClosedStore, Event, EventKind, Head, SubjectId};

const NOW_MS: i64 = 1_700_000_000_000;

fn incident(number: u128) -> Incident {
    Incident::example(IncidentId::from_u128(number), &format!("bus {number}"))
}

/// A draft of an incident that was just opened.
fn opened(number: u128) -> Draft {
    let subject = SubjectId::Incident(IncidentId::from_u128(number));
    let event =
        Event { at_ms: NOW_MS, subject, action: EventKind::Opened, by: "bus".into(), reason: "".into() };
    Draft { events: vec![event], last_event: 1, ..Draft::from(incident(number)) }
}

fn open(dir: &Path, recall: Recall) -> Result<Store, StoreError> {
    Store::open_as(dir, Opening { reserved: 4096, ended_kept: 100, recall, now_ms: NOW_MS })
}

fn numbers(store: &Store) -> Vec<u128> {
    store.live().unwrap().iter().map(|incident| incident.id.as_u128()).collect()
}

fn verify(dir: &Path, known: &[Head]) -> (u64, u64) {
    let verified = ClosedStore::open(&dir.join(FILE)).unwrap().verify(known).unwrap();
    (verified.entries, verified.restored)
}

/// Saves incidents 1 to 3, then 4 and 5 after a copy of the store was made. Returns the copy and the heads.
fn two_saves_ahead(dir: &Path) -> (Vec<u8>, Vec<Head>) {
    let store = open(dir, Recall::All).unwrap();
    let mut heads: Vec<_> = (1..=3).map(|number| store.save(&[opened(number)]).unwrap()).collect();
    drop(store);
    let older = fs::read(dir.join(FILE)).unwrap();
    let store = open(dir, Recall::All).unwrap();
    heads.extend((4..=5).map(|number| store.save(&[opened(number)]).unwrap()));
    drop(store);
    (older, heads)
}

#[test]
fn saves_that_the_store_has_lost_are_made_again_with_the_same_hashes() {
    let dir = tempfile::tempdir().unwrap();
    let (older, heads) = two_saves_ahead(dir.path());
    fs::write(dir.path().join(FILE), older).unwrap();
    let closed = ClosedStore::open(&dir.path().join(FILE)).unwrap();
    let check = compare_with_journal(&closed, dir.path()).unwrap();
    assert_eq!(check, JournalCheck::Ahead { saves: 2, head: Some(heads[4]) });
    drop(closed);
    let store = open(dir.path(), Recall::All).unwrap();
    assert_eq!(numbers(&store), [1, 2, 3, 4, 5]);
    let recalled = store.recalled().clone();
    assert_eq!((recalled.restored, recalled.lost, recalled.finished), (2, 0, 0));
    assert!(!recalled.is_another_trail && recalled.journal.is_none(), "{recalled:?}");
    assert!(recalled.warning().unwrap().contains("2 of them, of 2 incidents, were restored"));
    let trail = store.trail_of(IncidentId::from_u128(5)).unwrap();
    let actions: Vec<_> = trail.iter().map(|entry| entry.action).collect();
    assert_eq!(actions, [EventKind::Opened, EventKind::Restored]);
    store.save(&[opened(6)]).unwrap();
    drop(store);
    assert_eq!(verify(dir.path(), &heads), (8, 2));
    let closed = ClosedStore::open(&dir.path().join(FILE)).unwrap();
    assert_eq!(compare_with_journal(&closed, dir.path()).unwrap(), JournalCheck::Agrees);
    drop(closed);
    assert_eq!(open(dir.path(), Recall::All).unwrap().recalled(), &Recalled::default(), "once is enough");
}

#[test]
fn a_store_that_is_older_than_the_journal_reaches_says_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Recall::All).unwrap();
    store.save(&[opened(1)]).unwrap();
    drop(store);
    let older = fs::read(dir.path().join(FILE)).unwrap();
    let store = open(dir.path(), Recall::All).unwrap();
    let large = Draft { events: (0..300).flat_map(|_| opened(2).events).collect(), ..opened(2) };
    for number in 2..=60 {
        let drafts: Vec<_> = (0..2).map(|_| Draft { incident: incident(number), ..large.clone() }).collect();
        store.save(&drafts).unwrap();
    }
    drop(store);
    fs::write(dir.path().join(FILE), older).unwrap();
    let store = open(dir.path(), Recall::All).unwrap();
    let recalled = store.recalled();
    assert!(recalled.lost > 0 && recalled.lost + recalled.restored == 59, "{recalled:?}");
    assert!(recalled.is_another_trail && recalled.warning().unwrap().contains("saves before these are lost"));
    assert!(numbers(&store).ends_with(&[59, 60]));
}

#[test]
fn a_store_that_has_lost_what_a_journal_begun_anew_does_not_have_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (older, _) = two_saves_ahead(dir.path());
    FILES.iter().for_each(|name| fs::remove_file(dir.path().join(name)).unwrap());
    drop(open(dir.path(), Recall::All).unwrap());
    fs::write(dir.path().join(FILE), older).unwrap();
    let store = open(dir.path(), Recall::All).unwrap();
    let recalled = store.recalled().clone();
    assert_eq!((recalled.lost, recalled.restored, numbers(&store)), (2, 0, vec![1, 2, 3]));
    assert!(recalled.warning().unwrap().contains("has lost 2 saves"), "{recalled:?}");
    store.save(&[opened(6)]).unwrap();
    drop(store);
    assert_eq!(open(dir.path(), Recall::All).unwrap().recalled(), &Recalled::default(), "once is enough");
}

#[test]
fn a_save_that_was_not_confirmed_is_finished_without_alarm_and_not_twice_in_one_run() {
    let dir = tempfile::tempdir().unwrap();
    let (older, _) = two_saves_ahead(dir.path());
    // As after an end between the two: the journal has the save, but not the mark behind it.
    let journal = dir.path().join(FILES[0]);
    let mut bytes = fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // The last mark has 17 bytes; its number ends in seven zeros.
    bytes[end - 9..end + 8].fill(0);
    fs::write(&journal, &bytes).unwrap();
    let put_back = || fs::write(dir.path().join(FILE), &older).unwrap();
    put_back();
    let again = open(dir.path(), Recall::Confirmed).unwrap();
    assert_eq!((numbers(&again), again.recalled().finished), (vec![1, 2, 3, 4], 0), "the desk has it");
    drop(again);
    put_back();
    fs::write(&journal, &bytes).unwrap();
    let store = open(dir.path(), Recall::All).unwrap();
    assert_eq!(numbers(&store), [1, 2, 3, 4, 5]);
    assert_eq!((store.recalled().restored, store.recalled().finished), (1, 1));
}

#[test]
fn a_journal_that_is_missing_damaged_or_of_another_store_is_named_and_begun_anew() {
    let check = |harm: &dyn Fn(&Path), said: &str| {
        let dir = tempfile::tempdir().unwrap();
        two_saves_ahead(dir.path());
        harm(dir.path());
        let store = open(dir.path(), Recall::All).unwrap();
        let found = store.recalled().journal.clone().unwrap_or_default();
        assert!(found.contains(said), "{said}: {found}");
        assert_eq!((numbers(&store), store.recalled().warning()), (vec![1, 2, 3, 4, 5], None), "{said}");
        store.save(&[opened(6)]).unwrap();
        drop(store);
        let store = open(dir.path(), Recall::All).unwrap();
        assert_eq!((store.recalled(), numbers(&store).len()), (&Recalled::default(), 6), "{said}");
    };
    let write =
        |dir: &Path, bytes: &[u8]| FILES.iter().for_each(|name| fs::write(dir.join(name), bytes).unwrap());
    check(&|dir| FILES.iter().for_each(|name| fs::remove_file(dir.join(name)).unwrap()), "missing or empty");
    check(&|dir| write(dir, b""), "missing or empty");
    check(&|dir| write(dir, b"a journal of another kind, and longer than a head"), "neither of its files");
    check(
        &|dir| {
            let path = dir.join(FILES[0]);
            let mut bytes = fs::read(&path).unwrap();
            bytes[2_000] ^= 4;
            fs::write(path, bytes).unwrap();
        },
        "it ends with save",
    );
    check(
        &|dir| {
            let other = tempfile::tempdir().unwrap();
            two_saves_ahead(other.path());
            FILES.iter().for_each(|name| assert!(fs::copy(other.path().join(name), dir.join(name)).is_ok()));
        },
        "another store",
    );
}

#[test]
fn what_is_not_understood_is_moved_aside_and_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    two_saves_ahead(dir.path());
    fs::write(dir.path().join(FILES[0]), b"something that is no journal but may be needed").unwrap();
    drop(open(dir.path(), Recall::All).unwrap());
    let aside = fs::read(dir.path().join(format!("{}.1.damaged", FILES[0]))).unwrap();
    assert_eq!(aside, b"something that is no journal but may be needed");
}

#[test]
fn a_store_that_is_gone_is_not_made_anew_but_by_repair_of_what_the_journal_has() {
    let check = |harm: &dyn Fn(&Path), said: &str, moved: bool| {
        let dir = tempfile::tempdir().unwrap();
        two_saves_ahead(dir.path());
        let path = dir.path().join(FILE);
        harm(&path);
        for recall in [Recall::All, Recall::Confirmed] {
            let found = open(dir.path(), recall).unwrap_err().to_string();
            assert!(found.contains(said) && found.contains(FILE) && found.contains("vagn repair"), "{found}");
        }
        assert_eq!(set_aside(dir.path()).unwrap().is_some(), moved, "{said}");
        assert_eq!(rebuild(dir.path(), NOW_MS).unwrap(), Some(5), "{said}");
        assert_eq!(rebuild(dir.path(), NOW_MS).unwrap(), None, "{said}");
        let store = open(dir.path(), Recall::All).unwrap();
        assert_eq!(
            (numbers(&store), store.recalled()),
            (vec![1, 2, 3, 4, 5], &Recalled::default()),
            "{said}"
        );
        let trail = store.trail_of(IncidentId::from_u128(5)).unwrap();
        assert_eq!(trail.last().unwrap().action, EventKind::Restored);
    };
    check(&|path| fs::remove_file(path).unwrap(), "is missing, and its journal shows", false);
    check(&|path| fs::write(path, b"").unwrap(), "the file is empty", true);
    check(&|path| fs::write(path, b"this is not a database at all").unwrap(), "restore the file", true);
    check(
        &|path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("nowhere/at all", path).unwrap();
        },
        "the link leads nowhere",
        true,
    );
}

#[test]
fn without_a_journal_an_empty_store_or_a_link_to_nowhere_is_no_new_store_either() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    fs::write(&path, b"").unwrap();
    assert!(open(dir.path(), Recall::All).unwrap_err().to_string().contains("the file is empty"));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert!(open(dir.path(), Recall::All).unwrap_err().to_string().contains("the link leads nowhere"));
    assert!(!dir.path().join("nowhere").exists());
}

#[test]
fn any_bit_of_the_head_of_the_file_may_flip_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let store = open(dir.path(), Recall::All).unwrap();
    let heads: Vec<_> = (1..=5).map(|number| store.save(&[opened(number)]).unwrap()).collect();
    // As after `kill -9`: the files as they are while the store is open.
    let killed = fs::read(&path).unwrap();
    let journal = FILES.map(|name| fs::read(dir.path().join(name)).unwrap());
    drop(store);
    let (mut refused, mut restored) = (0, 0);
    // The head has some hundred bytes that count; of the rest of the page every 128th.
    let places = (0..320).chain((320..4096).step_by(128));
    for (at, bit) in places.zip((0..8).cycle()) {
        let mut flipped = killed.clone();
        flipped[at] ^= 1 << bit;
        fs::write(&path, flipped).unwrap();
        FILES.iter().zip(&journal).for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
        let store = match open(dir.path(), Recall::All) {
            Ok(store) => store,
            Err(err) => {
                assert!(err.to_string().contains(FILE), "{err}");
                refused += 1;
                continue;
            }
        };
        assert_eq!(numbers(&store), [1, 2, 3, 4, 5], "byte {at}, bit {bit}");
        restored += usize::from(store.recalled().restored > 0);
        drop(store);
        verify(dir.path(), &heads);
    }
    assert!(refused > 0 && restored > 0, "{refused} were refused, {restored} restored");
}

/// The store and its journal on a disk with power for `left` more steps.
struct Machine {
    store: Forgetful,
    journal: [Forgetful; 2],
}

impl Machine {
    fn new(left: usize, [store, a, b]: [Vec<u8>; 3]) -> Self {
        let store = Forgetful::with_power_for(left, store);
        let journal = [store.beside(a), store.beside(b)];
        Self { store, journal }
    }

    fn open(&self) -> Result<Store, StoreError> {
        let files = self.journal.each_ref().map(|file| Box::new(file.clone()) as JournalFile);
        recall(Store::on(self.store.clone(), 8)?, files, Recall::All, NOW_MS, Ok)
    }

    /// Saves incidents one by one until the power goes. Returns how many were answered.
    fn work(&self) -> u128 {
        let Ok(store) = self.open() else { return 0 };
        (1..=6).find(|number| store.save(&[opened(*number)]).is_err()).unwrap_or(7) - 1
    }

    fn found_later(&self, rng: &mut fastrand::Rng) -> [Vec<u8>; 3] {
        [&self.store, &self.journal[0], &self.journal[1]].map(|file| file.found_later(rng))
    }
}

/// A machine on which store and journal are made already.
fn made() -> [Vec<u8>; 3] {
    let machine = Machine::new(usize::MAX, Default::default());
    drop(machine.open().unwrap());
    [&machine.store, &machine.journal[0], &machine.journal[1]].map(Forgetful::image)
}

#[test]
fn a_cut_anywhere_loses_nothing_that_was_answered_even_if_a_second_one_ends_the_recall() {
    let made = made();
    let untouched = Machine::new(usize::MAX, made.clone());
    assert_eq!(untouched.work(), 6);
    let steps = untouched.store.done();
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for cut in 0..steps {
        let machine = Machine::new(cut, made.clone());
        let answered = machine.work();
        let mut image = machine.found_later(&mut rng);
        for _ in 0..rng.usize(..3) {
            let again = Machine::new(rng.usize(..30), image);
            drop(again.open());
            image = again.found_later(&mut rng);
        }
        let store = Machine::new(usize::MAX, image).open();
        let store = store.unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
        let live = numbers(&store);
        assert!(live.len() as u128 >= answered, "cut at {cut}, seed {seed}: {answered} answered, {live:?}");
        assert!(store.recalled().lost == 0, "cut at {cut}, seed {seed}");
    }
}

#[test]
fn a_cut_anywhere_leaves_no_incident_that_was_restored_without_a_note_of_it() {
    let machine = Machine::new(usize::MAX, made());
    let store = machine.open().unwrap();
    store.save(&[opened(1)]).unwrap();
    let older = machine.store.image();
    (2..=5).for_each(|number| assert!(store.save(&[opened(number)]).is_ok()));
    let [a, b] = machine.journal.each_ref().map(Forgetful::image);
    let rolled_back = [older, a, b];
    let untouched = Machine::new(usize::MAX, rolled_back.clone());
    assert_eq!(untouched.open().unwrap().recalled().restored, 4);
    let steps = untouched.store.done();
    for cut in 0..steps {
        let machine = Machine::new(cut, rolled_back.clone());
        drop(machine.open());
        let found = Forgetful::with_power_for(usize::MAX, machine.store.image());
        let store = Store::on(found, 8).unwrap();
        for id in store.live().unwrap().iter().map(|incident| incident.id).filter(|id| id.as_u128() > 1) {
            let trail = store.trail_of(id).unwrap();
            let is_noted = trail.iter().any(|entry| entry.action == EventKind::Restored);
            assert!(is_noted, "cut at {cut}: {id} was restored without a word");
        }
    }
}

#[test]
fn a_journal_that_fails_holds_up_no_save_and_is_mended() {
    let machine = Machine::new(usize::MAX, made());
    let store = machine.open().unwrap();
    store.save(&[opened(1)]).unwrap();
    machine.journal[0].fail_syncs(true);
    store.save(&[opened(2)]).unwrap();
    assert!(store.journal_fault().unwrap().contains("sync failed"));
    store.mend_journal();
    assert!(store.journal_fault().is_some(), "it fails still");
    // Each try that fails doubles the rounds to the next.
    let tried_in: Vec<_> = (0..20).filter(|_| steps_of(&machine, || store.mend_journal()) > 0).collect();
    assert_eq!(tried_in, [1, 5, 13]);
    machine.journal[0].fail_syncs(false);
    let rounds = (1..).find(|_| {
        store.mend_journal();
        store.journal_fault().is_none()
    });
    assert_eq!(rounds, Some(10), "after 15 rounds without a try");
    store.save(&[opened(3)]).unwrap();
    drop(store);
    let store = machine.open().unwrap();
    assert_eq!((numbers(&store), store.recalled()), (vec![1, 2, 3], &Recalled::default()));
}

fn steps_of(machine: &Machine, work: impl FnOnce()) -> usize {
    let before = machine.store.done();
    work();
    machine.store.done() - before
}

#[test]
fn a_journal_whose_disk_hangs_holds_up_no_save_for_ever_and_is_mended() {
    let disk = Gated::default();
    let files = || [Box::new(disk.clone()) as JournalFile, Box::new(Gated::default())];
    let store = Store::on(redb::backends::InMemoryBackend::new(), 8).unwrap();
    let store = recall(store, files(), Recall::All, NOW_MS, Ok).unwrap();
    store.save(&[opened(1)]).unwrap();
    disk.close();
    store.save(&[opened(2)]).unwrap();
    assert!(store.journal_fault().unwrap().contains("the disk has not answered within"));
    store.mend_journal();
    store.save(&[opened(3)]).unwrap();
    assert!(store.journal_fault().is_some(), "it hangs still");
    disk.open();
    while store.journal_fault().is_some() {
        store.mend_journal();
        std::thread::yield_now();
    }
    store.save(&[opened(4)]).unwrap();
    assert_eq!(numbers(&store), [1, 2, 3, 4]);
    let content = JournalContent::read(&files()).unwrap();
    assert_eq!((content.first(), content.last(), content.confirmed), (3, 4, 4));
}

#[test]
fn a_journal_that_cannot_be_begun_holds_up_no_store() {
    let machine = Machine::new(usize::MAX, Default::default());
    machine.journal[0].fail_syncs(true);
    let store = machine.open().unwrap();
    assert!(store.journal_fault().unwrap().contains("sync failed"));
    store.save(&[opened(1)]).unwrap();
    machine.journal[0].fail_syncs(false);
    store.mend_journal();
    assert_eq!(store.journal_fault(), None);
    store.save(&[opened(2)]).unwrap();
    drop(store);
    let store = machine.open().unwrap();
    assert_eq!((numbers(&store), store.recalled()), (vec![1, 2], &Recalled::default()));
}

#[test]
fn a_journal_that_was_mended_has_the_last_save_although_it_was_made_before() {
    let machine = Machine::new(usize::MAX, made());
    let store = machine.open().unwrap();
    store.save(&[opened(1)]).unwrap();
    let older = machine.store.image();
    machine.journal[0].fail_syncs(true);
    store.save(&[opened(2)]).unwrap();
    machine.journal[0].fail_syncs(false);
    store.mend_journal();
    assert_eq!(store.journal_fault(), None);
    let [a, b] = machine.journal.each_ref().map(Forgetful::image);
    let store = Machine::new(usize::MAX, [older, a, b]).open().unwrap();
    let recalled = store.recalled();
    assert_eq!((numbers(&store), recalled.restored, recalled.lost), (vec![1, 2], 1, 0), "{recalled:?}");
}
