//! The trail in the incident store.
//!
//! To add to it nothing needs to be read but the two ends: an entry that cannot be read holds up no incident.

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError, Table,
    TableDefinition, TableError, WriteTransaction,
};
use sha2::{Digest, Sha256};

use super::chain::{Checker, Hash, digest};
use super::{Broken, Entry, Event, Head, Verified};
use crate::id::IncidentId;

/// Entries by number, each as its line of JSON.
const TRAIL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("trail");

/// Which entries are an incident's.
const TRAIL_OF: TableDefinition<'_, (u128, u64), ()> = TableDefinition::new("trail_of");

/// What came before the first entry that is kept, and the last entry, as number and hash.
const TRAIL_ENDS: TableDefinition<'_, &str, (u64, Hash)> = TableDefinition::new("trail_ends");

const BASE: &str = "base";
const HEAD: &str = "head";

/// Entries that one append removes at most, so that none takes long; twice as many as it adds, if that is more.
const REMOVED_AT_ONCE: u64 = 256;

/// Why a trail was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The store cannot be read.
    #[error("the trail cannot be read: {0}")]
    Failed(#[source] redb::Error),
}

impl From<redb::Error> for Fault {
    fn from(err: redb::Error) -> Self {
        Self::Failed(err)
    }
}

impl From<StorageError> for Fault {
    fn from(err: StorageError) -> Self {
        Self::Failed(err.into())
    }
}

/// Makes the tables, if they are not there yet.
///
/// # Errors
/// When the store cannot be written.
pub fn create(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(TRAIL)?;
    txn.open_table(TRAIL_OF)?;
    txn.open_table(TRAIL_ENDS)?;
    Ok(())
}

/// Adds `events` in this order, removes the oldest of more than `kept` entries, and returns the new head.
///
/// # Errors
/// When the store cannot be written.
pub fn append<'a>(
    txn: &WriteTransaction,
    events: impl IntoIterator<Item = &'a Event>,
    kept: u64,
) -> Result<Head, redb::Error> {
    let mut tables = Tables::open(txn)?;
    let mut head = tables.head()?;
    let first = head.seq;
    for event in events {
        let entry = Entry::behind(head, event.clone());
        tables.trail.insert(entry.seq, entry.to_line().as_bytes())?;
        tables.of.insert((entry.note.incident.as_u128(), entry.seq), ())?;
        head = entry.head();
    }
    tables.ends.insert(HEAD, (head.seq, head.hash))?;
    tables.prune(kept, REMOVED_AT_ONCE.max((head.seq - first) * 2))?;
    Ok(head)
}

struct Tables<'txn> {
    trail: Table<'txn, u64, &'static [u8]>,
    of: Table<'txn, (u128, u64), ()>,
    ends: Table<'txn, &'static str, (u64, Hash)>,
}

impl<'txn> Tables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            trail: txn.open_table(TRAIL)?,
            of: txn.open_table(TRAIL_OF)?,
            ends: txn.open_table(TRAIL_ENDS)?,
        })
    }

    /// Where to go on. An entry behind the noted head, which nobody here has put there, is not written over.
    fn head(&self) -> Result<Head, redb::Error> {
        let head = end(&self.ends, HEAD)?;
        let last = self.trail.last()?.map_or(0, |(seq, _)| seq.value());
        Ok(Head { seq: head.seq.max(last), ..head })
    }

    fn prune(&mut self, kept: u64, most: u64) -> Result<(), redb::Error> {
        let surplus = self.trail.len()?.saturating_sub(kept).min(most);
        if surplus == 0 {
            return Ok(());
        }
        let mut base = end(&self.ends, BASE)?;
        for _ in 0..surplus {
            let Some((seq, record)) = self.trail.pop_first()? else { break };
            let (seq, entry) = (seq.value(), Entry::from_line(record.value()));
            if let Ok(entry) = &entry {
                self.of.remove((entry.note.incident.as_u128(), seq))?;
            }
            let hash = entry.map_or_else(
                |_| Sha256::new_with_prefix(base.hash).chain_update(record.value()).finalize().into(),
                |entry| digest(&base.hash, seq, &entry.note),
            );
            base = Head { seq, hash };
        }
        // Worked out, not copied: a trail that was broken in what has left it stays broken.
        self.ends.insert(BASE, (base.seq, base.hash))?;
        Ok(())
    }
}

/// How far the trail goes.
///
/// # Errors
/// When the store cannot be read.
pub fn head(txn: &ReadTransaction) -> Result<Head, redb::Error> {
    noted(txn, HEAD)
}

/// Where the trail begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// What came before the first entry that is kept.
    pub base: Head,
    /// The last entry.
    pub head: Head,
}

/// Where the trail begins and ends.
///
/// # Errors
/// When the store cannot be read.
pub fn ends(txn: &ReadTransaction) -> Result<Ends, redb::Error> {
    Ok(Ends { base: base(txn)?, head: head(txn)? })
}

/// What came before the first entry that is kept.
pub(super) fn base(txn: &ReadTransaction) -> Result<Head, redb::Error> {
    noted(txn, BASE)
}

/// The latest entries of an incident, at most `max` of them, oldest first. One that cannot be read is left out.
///
/// # Errors
/// When the store cannot be read.
pub fn of(txn: &ReadTransaction, incident: IncidentId, max: usize) -> Result<Vec<Entry>, redb::Error> {
    let (Some(of), Some(trail)) = (open(txn, TRAIL_OF)?, open(txn, TRAIL)?) else { return Ok(Vec::new()) };
    let incident = incident.as_u128();
    let mut entries = Vec::new();
    for listed in of.range((incident, 0)..=(incident, u64::MAX))?.rev().take(max) {
        let record = trail.get(listed?.0.value().1)?;
        entries.extend(record.and_then(|record| Entry::from_line(record.value()).ok()));
    }
    entries.reverse();
    Ok(entries)
}

/// At most `max` entries behind number `seq`, oldest first. One that cannot be read is left out.
///
/// # Errors
/// When the store cannot be read.
pub fn after(txn: &ReadTransaction, seq: u64, max: usize) -> Result<Vec<Entry>, redb::Error> {
    let Some(trail) = open(txn, TRAIL)? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for record in trail.range(seq.saturating_add(1)..)?.take(max) {
        entries.extend(Entry::from_line(record?.1.value()).ok());
    }
    Ok(entries)
}

/// Hands number and line of every entry to `each`, oldest first.
pub(super) fn each<E: From<redb::Error>>(
    txn: &ReadTransaction,
    mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let Some(trail) = open(txn, TRAIL)? else { return Ok(()) };
    for record in trail.iter().map_err(redb::Error::from)? {
        let (seq, line) = record.map_err(redb::Error::from)?;
        each(seq.value(), line.value())?;
    }
    Ok(())
}

/// Follows the whole trail. `known` are heads from outside: what their webhooks and exports have told others.
///
/// # Errors
/// [`Fault::Broken`] names the first thing that is wrong.
pub fn verify(txn: &ReadTransaction, known: &[Head]) -> Result<Verified, Fault> {
    let lists = open(txn, TRAIL_OF)?;
    let mut checker = Checker::new(base(txn)?, known)?;
    each(txn, |seq, line| {
        let entry = Entry::from_line(line).map_err(|err| Broken::Unreadable { seq, why: err.to_string() })?;
        if entry.seq != seq {
            let why = format!("it says that it is entry {}", entry.seq);
            return Err(Broken::Unreadable { seq, why }.into());
        }
        checker.link(&entry)?;
        let incident = entry.note.incident;
        let listed = lists.as_ref().map(|lists| lists.get((incident.as_u128(), seq))).transpose()?;
        if listed.flatten().is_none() {
            return Err(Broken::Unlisted { seq, incident }.into());
        }
        Ok::<(), Fault>(())
    })?;
    checker.ends_with(head(txn)?)?;
    let verified = checker.finish()?;
    let listed = lists.map_or(Ok(0), |lists| lists.len())?;
    match listed.saturating_sub(verified.entries) {
        0 => Ok(verified),
        surplus => Err(Broken::Surplus { surplus }.into()),
    }
}

fn noted(txn: &ReadTransaction, which: &'static str) -> Result<Head, redb::Error> {
    open(txn, TRAIL_ENDS)?.map_or(Ok(Head::EMPTY), |ends| end(&ends, which))
}

fn end(
    ends: &impl ReadableTable<&'static str, (u64, Hash)>,
    which: &'static str,
) -> Result<Head, redb::Error> {
    let noted = ends.get(which)?.map(|end| end.value());
    Ok(noted.map_or(Head::EMPTY, |(seq, hash)| Head { seq, hash }))
}

/// A table, unless the store is from before there was a trail.
fn open<K: redb::Key + 'static, V: redb::Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, redb::Error> {
    match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::super::chain::tests::{note, trail};
    use super::*;

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

    fn add(db: &Database, notes: impl IntoIterator<Item = u64>, kept: u64) -> Head {
        let notes: Vec<_> = notes.into_iter().map(note).collect();
        change(db, |txn| append(txn, &notes, kept).unwrap())
    }

    fn check(db: &Database, known: &[Head]) -> Result<Verified, Broken> {
        verify(&db.begin_read().unwrap(), known).map_err(|fault| match fault {
            Fault::Broken(broken) => broken,
            Fault::Failed(err) => panic!("{err}"),
        })
    }

    fn put(db: &Database, seq: u64, line: &[u8]) {
        change(db, |txn| drop(txn.open_table(TRAIL).unwrap().insert(seq, line).unwrap()));
    }

    fn remove(db: &Database, seq: u64) {
        change(db, |txn| drop(txn.open_table(TRAIL).unwrap().remove(seq).unwrap()));
    }

    #[test]
    fn goes_on_where_it_was() {
        let db = store();
        assert_eq!(check(&db, &[]).unwrap().head, Head::EMPTY);
        add(&db, 0..4, 100);
        assert_eq!(add(&db, [], 100), trail(4)[3].head());
        assert_eq!(add(&db, 4..10, 100), trail(10)[9].head());
        let txn = db.begin_read().unwrap();
        assert_eq!(head(&txn).unwrap(), trail(10)[9].head());
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
            let entries = of(&txn, IncidentId::from_u128(incident), max).unwrap();
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
    fn finds_what_somebody_has_done_to_it() {
        let broken = |request: &dyn Fn(&Database), want: Broken| {
            let db = store();
            add(&db, 0..10, 100);
            request(&db);
            assert_eq!(check(&db, &[]), Err(want));
        };
        let whole = trail(10);
        let (third, last) = (whole[2].to_line(), whole[9].head());
        broken(&|db| remove(db, 3), Broken::Missing { seq: 3, found: 4 });
        broken(&|db| remove(db, 10), Broken::CutOff { end: 9, known: last });
        broken(
            &|db| put(db, 3, third.replace("reason 2", "reason 3").as_bytes()),
            Broken::Changed { seq: 3 },
        );
        let why = "it says that it is entry 3".to_owned();
        broken(&|db| put(db, 4, third.as_bytes()), Broken::Unreadable { seq: 4, why });
        let unlist = |db: &Database, incident: u128, seq: u64| {
            change(db, |txn| drop(txn.open_table(TRAIL_OF).unwrap().remove((incident, seq)).unwrap()));
        };
        let incident = whole[4].note.incident;
        broken(&|db| unlist(db, incident.as_u128(), 5), Broken::Unlisted { seq: 5, incident });
        let list = |db: &Database| {
            change(db, |txn| drop(txn.open_table(TRAIL_OF).unwrap().insert((7, 11), ()).unwrap()));
        };
        broken(&list, Broken::Surplus { surplus: 1 });
        let base = Head { seq: 0, hash: [3; 32] };
        let set_base = |db: &Database| {
            let ends = |txn: &WriteTransaction| {
                drop(txn.open_table(TRAIL_ENDS).unwrap().insert(BASE, (base.seq, base.hash)).unwrap());
            };
            change(db, ends);
        };
        broken(&set_base, Broken::Changed { seq: 1 });
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
        put(&db, 9, trail(9)[8].to_line().as_bytes());
        assert_eq!(add(&db, [9], 100).seq, 10);
        assert_eq!(check(&db, &[]), Err(Broken::Missing { seq: 6, found: 9 }));
    }

    proptest! {
        #[test]
        fn a_flipped_byte_is_found_or_means_the_same(seq in 1..=10_u64, at: prop::sample::Index, mask in 1_u8..) {
            let db = store();
            add(&db, 0..10, 100);
            let written = trail(10)[seq as usize - 1].clone();
            let mut line = written.to_line().into_bytes();
            let at = at.index(line.len());
            line[at] ^= mask;
            put(&db, seq, &line);
            if check(&db, &[]).is_ok() {
                prop_assert_eq!(Entry::from_line(&line).unwrap(), written);
            }
        }

        #[test]
        fn an_end_that_was_cut_off_is_found_by_a_known_head(left in 0..10_u64) {
            let db = store();
            let known = add(&db, 0..10, 100);
            // Somebody who can write the store can write its own ends too.
            let db = store();
            add(&db, 0..left, 100);
            prop_assert!(check(&db, &[]).is_ok());
            prop_assert_eq!(check(&db, &[known]), Err(Broken::CutOff { end: left, known }));
        }
    }
}
