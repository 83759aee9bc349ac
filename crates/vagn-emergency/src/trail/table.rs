//! Tables of the trail in the incident store, and how entries are added.
//!
//! To add to it nothing needs to be read but the two ends: an entry that cannot be read holds up no incident.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};
use sha2::{Digest, Sha256};

use super::chain::digest;
use super::head::Hash;
use super::salts::Salts;
use super::subject::{Meaning, Subject, SubjectId};
use super::{Entry, Event, Head};
use crate::disk::raw::{RawTable, raw};
use crate::disk::rows::Rows;

/// Entries by number, each as its stored line of JSON.
pub(super) const TRAIL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("trail");

/// Entries of each subject, as its number and theirs.
pub(super) const LISTS: TableDefinition<'_, (u128, u64), ()> = TableDefinition::new("trail_lists");

/// Salt and id behind the number of a subject. To erase a row makes the number meaningless; no hash covers the row.
pub(super) const MEANINGS: TableDefinition<'_, u128, (u128, &str)> = TableDefinition::new("trail_meanings");

/// Number of the subject that stands for a kind and an id.
pub(super) const NUMBERS: TableDefinition<'_, (&str, &str), u128> = TableDefinition::new("trail_numbers");

/// Head before the first entry that is kept, and head at the end.
pub(super) const ENDS: TableDefinition<'_, &str, (u64, Hash)> = TableDefinition::new("trail_ends");

pub(super) const BASE: &str = "base";
pub(super) const HEAD: &str = "head";

/// Entries that one append removes at most, so that none takes long; twice as many as it adds, if that is more.
pub(super) const REMOVED_AT_ONCE: u64 = 256;

/// Makes the tables, if they are not there yet.
///
/// # Errors
/// When the store cannot be written.
pub fn create(txn: &WriteTransaction) -> Result<(), redb::Error> {
    TrailTables::open(txn)?;
    Ok(())
}

/// Copies the tables.
pub(crate) fn copy(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    rows.copy(TRAIL)?;
    rows.copy(LISTS)?;
    rows.copy(MEANINGS)?;
    rows.copy(NUMBERS)?;
    rows.copy(ENDS)
}

/// Returns the tables as those whose rows are copied between nodes.
pub(crate) fn raw_tables() -> Vec<Box<dyn RawTable>> {
    vec![raw(TRAIL), raw(LISTS), raw(MEANINGS), raw(NUMBERS), raw(ENDS)]
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
    append_with(txn, events, kept, &mut Salts::default())
}

/// Returns the head that the next append goes on from.
///
/// # Errors
/// When the store cannot be read.
pub fn head(txn: &WriteTransaction) -> Result<Head, redb::Error> {
    TrailTables::open(txn)?.head()
}

/// Like [`append`], with the salts of an earlier append of the same events, which then gives the same head. Salts that
/// are missing are drawn and added.
///
/// # Errors
/// When the store cannot be written.
pub fn append_with<'a>(
    txn: &WriteTransaction,
    events: impl IntoIterator<Item = &'a Event>,
    kept: u64,
    salts: &mut Salts,
) -> Result<Head, redb::Error> {
    append_salted(txn, events, kept, |id| salts.salt_of(id))
}

/// Like [`append`], with the salts of new subjects handed in.
pub(super) fn append_salted<'a>(
    txn: &WriteTransaction,
    events: impl IntoIterator<Item = &'a Event>,
    kept: u64,
    mut salt: impl FnMut(SubjectId) -> u128,
) -> Result<Head, redb::Error> {
    let mut tables = TrailTables::open(txn)?;
    let first = tables.head()?;
    let mut head = first;
    for event in events {
        let meaning = tables.meaning_of(event.subject, &mut salt)?;
        let entry = Entry::behind(head, event, meaning);
        tables.trail.insert(entry.seq, entry.to_stored_line().as_bytes())?;
        tables.lists.insert((entry.subject.number, entry.seq), ())?;
        head = entry.head();
    }
    tables.ends.insert(HEAD, (head.seq, head.hash))?;
    tables.prune(kept, REMOVED_AT_ONCE.max((head.seq - first.seq) * 2))?;
    Ok(head)
}

struct TrailTables<'txn> {
    trail: Table<'txn, u64, &'static [u8]>,
    lists: Table<'txn, (u128, u64), ()>,
    meanings: Table<'txn, u128, (u128, &'static str)>,
    numbers: Table<'txn, (&'static str, &'static str), u128>,
    ends: Table<'txn, &'static str, (u64, Hash)>,
}

impl<'txn> TrailTables<'txn> {
    fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            trail: txn.open_table(TRAIL)?,
            lists: txn.open_table(LISTS)?,
            meanings: txn.open_table(MEANINGS)?,
            numbers: txn.open_table(NUMBERS)?,
            ends: txn.open_table(ENDS)?,
        })
    }

    /// Returns the head to go on from. An entry behind the noted head, which this service has not put there, is not
    /// written over.
    fn head(&self) -> Result<Head, redb::Error> {
        let head = read_end(&self.ends, HEAD)?;
        let last = self.trail.last()?.map_or(0, |(seq, _)| seq.value());
        Ok(Head { seq: head.seq.max(last), ..head })
    }

    /// Returns the meaning that stands for `id`, a new one if there is none.
    fn meaning_of(
        &mut self,
        id: SubjectId,
        salt: impl FnOnce(SubjectId) -> u128,
    ) -> Result<Meaning, redb::Error> {
        let text = id.text();
        let key = (id.kind().as_str(), &*text);
        let number = self.numbers.get(key)?.map(|number| number.value());
        // A number whose meaning was erased is not used again: entries after it must not say what it meant.
        if let Some(number) = number
            && let Some(row) = self.meanings.get(number)?
        {
            return Ok(Meaning { id, salt: row.value().0 });
        }
        let meaning = Meaning { id, salt: salt(id) };
        let number = meaning.subject().number;
        self.numbers.insert(key, number)?;
        self.meanings.insert(number, (meaning.salt, &*text))?;
        Ok(meaning)
    }

    fn prune(&mut self, kept: u64, most: u64) -> Result<(), redb::Error> {
        let surplus = self.trail.len()?.saturating_sub(kept).min(most);
        if surplus == 0 {
            return Ok(());
        }
        let mut base = read_end(&self.ends, BASE)?;
        for _ in 0..surplus {
            base = match self.remove_first(base)? {
                Some(base) => base,
                None => break,
            };
        }
        self.ends.insert(BASE, (base.seq, base.hash))?;
        Ok(())
    }

    /// Removes the first entry, and returns the base that is left. Its hash is worked out, not copied: a trail that was
    /// broken in a removed entry stays broken.
    fn remove_first(&mut self, base: Head) -> Result<Option<Head>, redb::Error> {
        let first = self.trail.pop_first()?.map(|(seq, line)| (seq.value(), line.value().to_vec()));
        let Some((seq, line)) = first else { return Ok(None) };
        let Ok(entry) = Entry::from_line(&line) else {
            let hash = Sha256::new_with_prefix(base.hash).chain_update(&line).finalize().into();
            return Ok(Some(Head { seq, hash }));
        };
        self.lists.remove((entry.subject.number, seq))?;
        self.forget_unlisted(entry.subject)?;
        let hash = digest(&base.hash, &Entry { seq, ..entry });
        Ok(Some(Head { seq, hash }))
    }

    /// Removes the meaning of a subject that has no entries any more.
    fn forget_unlisted(&mut self, subject: Subject) -> Result<(), redb::Error> {
        let number = subject.number;
        if self.lists.range((number, 0)..=(number, u64::MAX))?.next().is_some() {
            return Ok(());
        }
        let Some(row) = self.meanings.remove(number)? else { return Ok(()) };
        self.numbers.remove((subject.kind.as_str(), row.value().1))?;
        Ok(())
    }
}

/// Reads one of the two ends.
pub(super) fn read_end(
    ends: &impl ReadableTable<&'static str, (u64, Hash)>,
    which: &'static str,
) -> Result<Head, redb::Error> {
    let noted = ends.get(which)?.map(|end| end.value());
    Ok(noted.map_or(Head::EMPTY, |(seq, hash)| Head { seq, hash }))
}
