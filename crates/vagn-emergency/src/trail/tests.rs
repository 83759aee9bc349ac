//! The trail in a store: added to, read, pruned, damaged.

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, WriteTransaction};

use super::chain::tests::{event, salt, trail};
use super::subject::SubjectId;
use super::table::{BASE, ENDS, LISTS, MEANINGS, NUMBERS, REMOVED_AT_ONCE, TRAIL, append_salted};
use super::*;
use crate::id::IncidentId;

fn store() -> Database {
    let db = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
    change(&db, |txn| create(txn).unwrap());
    db
}

fn change<T>(db: &Database, work: impl FnOnce(&WriteTransaction) -> T) -> T {
    let txn = db.begin_write().unwrap();
    let done = work(&txn);
    txn.commit().unwrap();
    done
}

fn add(db: &Database, numbers: impl IntoIterator<Item = u64>, kept: u64) -> Head {
    let events: Vec<_> = numbers.into_iter().map(event).collect();
    change(db, |txn| append_salted(txn, &events, kept, salt).unwrap())
}

fn check(db: &Database, known: &[Head]) -> Result<Verified, Broken> {
    verify(&db.begin_read().unwrap(), known).map_err(|fault| match fault {
        Fault::Broken(broken) => broken,
        Fault::Failed(err) => panic!("{err}"),
    })
}

fn put(db: &Database, seq: u64, line: &[u8]) {
    change(db, |txn| {
        txn.open_table(TRAIL).unwrap().insert(seq, line).unwrap();
    });
}

fn remove(db: &Database, seq: u64) {
    change(db, |txn| {
        txn.open_table(TRAIL).unwrap().remove(seq).unwrap();
    });
}

#[test]
fn goes_on_where_it_was() {
    let db = store();
    assert_eq!(check(&db, &[]).unwrap().head, Head::EMPTY);
    add(&db, 0..4, 100);
    assert_eq!(add(&db, [], 100), trail(4)[3].head());
    assert_eq!(add(&db, 4..10, 100), trail(10)[9].head());
    let txn = db.begin_read().unwrap();
    assert_eq!(ends(&txn).unwrap(), Ends { base: Head::EMPTY, head: trail(10)[9].head() });
    assert_eq!(after(&txn, 0, 100).unwrap(), trail(10));
    assert_eq!(after(&txn, 3, 2).unwrap(), trail(10)[3..5]);
    assert_eq!(after(&txn, u64::MAX, 2).unwrap(), []);
}

#[test]
fn tells_the_latest_of_one_incident() {
    let db = store();
    add(&db, 0..10, 100);
    let found = |incident, max| {
        let txn = db.begin_read().unwrap();
        let entries = of(&txn, SubjectId::Incident(IncidentId::from_u128(incident)), max).unwrap();
        entries.iter().map(|entry| entry.seq).collect::<Vec<_>>()
    };
    assert_eq!(found(0, 100), [1, 4, 7, 10]);
    assert_eq!(found(2, 2), [6, 9]);
    assert_eq!(found(3, 2), [0; 0]);
}

#[test]
fn keeps_the_latest_and_remembers_what_came_before() {
    let db = store();
    for number in 0..50 {
        add(&db, [number], 10);
    }
    let whole = trail(50);
    let found = check(&db, &[whole[3].head(), whole[39].head(), whole[44].head()]).unwrap();
    assert_eq!((found.base, found.head), (whole[39].head(), whole[49].head()));
    assert_eq!((found.entries, found.too_old), (10, vec![whole[3].head()]));
    assert_eq!(check(&db, &[Head { hash: [1; 32], ..whole[39].head() }]).map_err(|_| ()), Err(()));
}

#[test]
fn lets_go_of_a_few_at_a_time() {
    let db = store();
    add(&db, 0..1000, 2000);
    add(&db, [1000], 10);
    assert_eq!(check(&db, &[]).unwrap().entries, 1001 - REMOVED_AT_ONCE);
    add(&db, 1001..1301, 10);
    assert_eq!(check(&db, &[]).unwrap().entries, 1301 - REMOVED_AT_ONCE - 600);
}

#[test]
fn finds_a_beginning_that_was_cut_off_with_a_base_that_hides_it() {
    let db = store();
    add(&db, 0..10, 10);
    assert_eq!(check(&db, &[]).unwrap().check_begin(10), Ok(()));
    add(&db, 10..13, 10);
    assert_eq!(check(&db, &[]).unwrap().check_begin(10), Ok(()), "three have left as they should");
    let (whole, base) = (trail(13), trail(13)[5].head());
    change(&db, |txn| {
        for entry in &whole[3..6] {
            txn.open_table(TRAIL).unwrap().remove(entry.seq).unwrap();
            txn.open_table(LISTS).unwrap().remove((entry.subject.number, entry.seq)).unwrap();
        }
        txn.open_table(ENDS).unwrap().insert(BASE, (base.seq, base.hash)).unwrap();
    });
    let forged = check(&db, &[]).expect("by itself it is whole");
    assert_eq!(forged.check_begin(10), Err(Broken::BeginCut { base, entries: 7, kept: 10 }));
}

#[test]
fn finds_what_was_done_to_it() {
    let broken = |damage: &dyn Fn(&Database), want: Broken| {
        let db = store();
        add(&db, 0..10, 100);
        damage(&db);
        assert_eq!(check(&db, &[]), Err(want));
    };
    let whole = trail(10);
    let third = whole[2].to_stored_line();
    let last = whole[9].head();
    broken(&|db| remove(db, 3), Broken::Missing { seq: 3, found: 4 });
    broken(&|db| remove(db, 10), Broken::CutOff { end: 9, known: last });
    broken(&|db| put(db, 3, third.replace("reason 2", "reason 3").as_bytes()), Broken::Changed { seq: 3 });
    let why = "it says that it is entry 3".to_owned();
    broken(&|db| put(db, 4, third.as_bytes()), Broken::Unreadable { seq: 4, why });
}

#[test]
fn finds_what_was_done_to_its_tables() {
    let broken = |damage: &dyn Fn(&WriteTransaction), want: Broken| {
        let db = store();
        add(&db, 0..10, 100);
        change(&db, |txn| damage(txn));
        assert_eq!(check(&db, &[]), Err(want));
    };
    let whole = trail(10);
    let subject = whole[4].subject;
    let unlisted = |txn: &WriteTransaction| {
        txn.open_table(LISTS).unwrap().remove((subject.number, 5)).unwrap();
    };
    broken(&unlisted, Broken::Unlisted { seq: 5, subject });
    let surplus = |txn: &WriteTransaction| {
        txn.open_table(LISTS).unwrap().insert((7, 11), ()).unwrap();
    };
    broken(&surplus, Broken::Surplus { surplus: 1 });
    let base = |txn: &WriteTransaction| {
        txn.open_table(ENDS).unwrap().insert(BASE, (0, [3; 32])).unwrap();
    };
    broken(&base, Broken::Changed { seq: 1 });
    let subject = whole[0].subject;
    let other = whole[1].meaning.unwrap();
    let exchanged = |txn: &WriteTransaction| {
        let id = other.id.text();
        txn.open_table(MEANINGS).unwrap().insert(subject.number, (other.salt, &*id)).unwrap();
    };
    broken(&exchanged, Broken::Subject { seq: 1, subject, id: other.id });
    let hidden = |txn: &WriteTransaction| {
        let id = whole[0].meaning.unwrap().id.text();
        txn.open_table(NUMBERS).unwrap().insert(("incident", &*id), 7).unwrap();
    };
    broken(&hidden, Broken::Unlisted { seq: 1, subject });
}

#[test]
fn a_subject_that_was_erased_leaves_the_trail_whole() {
    let db = store();
    let known = add(&db, 0..10, 100);
    let meaning = trail(1)[0].meaning.unwrap();
    change(&db, |txn| {
        txn.open_table(MEANINGS).unwrap().remove(meaning.subject().number).unwrap();
        txn.open_table(NUMBERS).unwrap().remove(("incident", &*meaning.id.text())).unwrap();
    });
    assert_eq!(check(&db, &[known]).unwrap().entries, 10);
    let txn = db.begin_read().unwrap();
    assert_eq!(of(&txn, meaning.id, 100).unwrap(), []);
    let lines: Vec<_> = after(&txn, 0, 100).unwrap().iter().map(Entry::to_line).collect();
    let id = meaning.id.text();
    assert_eq!(lines.iter().filter(|line| line.contains(&id)).count(), 0);
    assert_eq!(lines.iter().filter(|line| line.contains("incident_id")).count(), 6);
}

#[test]
fn a_subject_is_forgotten_with_its_last_entry() {
    let db = store();
    add(&db, [0, 1, 2, 2, 2], 100);
    add(&db, [2], 2);
    let txn = db.begin_read().unwrap();
    assert_eq!(txn.open_table(MEANINGS).unwrap().len().unwrap(), 1);
    assert_eq!(txn.open_table(NUMBERS).unwrap().len().unwrap(), 1);
    assert!(check(&db, &[]).is_ok());
}

#[test]
fn an_entry_that_cannot_be_read_holds_nothing_up_and_is_never_forgotten() {
    let db = store();
    add(&db, 0..5, 100);
    put(&db, 2, b"{}");
    add(&db, 5..10, 100);
    assert!(matches!(check(&db, &[]), Err(Broken::Unreadable { seq: 2, .. })));
    assert_eq!(after(&db.begin_read().unwrap(), 0, 100).unwrap().len(), 9);
    add(&db, 10..12, 3);
    let base = check(&db, &[]).unwrap_err();
    assert!(matches!(base, Broken::Base { base } if base.seq == 9), "{base}");
}

#[test]
fn writes_over_nothing_that_stands_behind_the_end() {
    let db = store();
    add(&db, 0..5, 100);
    put(&db, 9, trail(9)[8].to_stored_line().as_bytes());
    assert_eq!(add(&db, [9], 100).seq, 10);
    assert_eq!(check(&db, &[]), Err(Broken::Missing { seq: 6, found: 9 }));
}

#[test]
fn an_action_has_one_word() {
    for action in EventKind::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
    }
}

proptest! {
    #[test]
    fn a_flipped_byte_is_found_or_means_the_same(seq in 1..=10_u64, at: prop::sample::Index, mask in 1_u8..) {
        let db = store();
        add(&db, 0..10, 100);
        let written = trail(10)[seq as usize - 1].clone();
        let mut line = written.to_stored_line().into_bytes();
        let at = at.index(line.len());
        line[at] ^= mask;
        put(&db, seq, &line);
        if check(&db, &[]).is_ok() {
            prop_assert_eq!(Entry::from_line(&line).unwrap(), Entry { meaning: None, ..written });
        }
    }

    #[test]
    fn an_end_that_was_cut_off_is_found_by_a_known_head(left in 0..10_u64) {
        let db = store();
        let known = add(&db, 0..10, 100);
        // An attacker who can write the store can write its ends too.
        let db = store();
        add(&db, 0..left, 100);
        prop_assert!(check(&db, &[]).is_ok());
        prop_assert_eq!(check(&db, &[known]), Err(Broken::CutOff { end: left, known }));
    }
}
