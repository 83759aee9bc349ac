//! Reading the trail in the incident store, and following all of it.

use redb::{
    Key, ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError, TableDefinition,
    TableError, Value,
};

use super::chain::Checker;
use super::subject::{Meaning, Subject, SubjectId};
use super::table::{BASE, ENDS, HEAD, LISTS, MEANINGS, NUMBERS, TRAIL, read_end};
use super::{Broken, Entry, Head, Verified};

/// The reason for which a trail was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not whole.
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

/// Both ends of the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Head before the first entry that is kept.
    pub base: Head,
    /// Head at the end.
    pub head: Head,
}

/// Returns both ends of the trail.
///
/// # Errors
/// When the store cannot be read.
pub fn ends(txn: &ReadTransaction) -> Result<Ends, redb::Error> {
    match open(txn, ENDS)? {
        Some(ends) => Ok(Ends { base: read_end(&ends, BASE)?, head: read_end(&ends, HEAD)? }),
        None => Ok(Ends { base: Head::EMPTY, head: Head::EMPTY }),
    }
}

/// Returns the latest entries about a subject, at most `max` of them, oldest first. One that cannot be read is left out.
///
/// # Errors
/// When the store cannot be read.
pub fn of(txn: &ReadTransaction, id: SubjectId, max: usize) -> Result<Vec<Entry>, redb::Error> {
    let (Some(reader), Some(lists)) = (TrailReader::open(txn)?, open(txn, LISTS)?) else {
        return Ok(Vec::new());
    };
    let Some(number) = reader.number_of(id)? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for listed in lists.range((number, 0)..=(number, u64::MAX))?.rev().take(max) {
        let seq = listed?.0.value().1;
        if let Some(line) = reader.trail.get(seq)? {
            entries.extend(reader.entry(line.value())?);
        }
    }
    entries.reverse();
    Ok(entries)
}

/// Returns at most `max` entries behind number `seq`, oldest first. One that cannot be read is left out.
///
/// # Errors
/// When the store cannot be read.
pub fn after(txn: &ReadTransaction, seq: u64, max: usize) -> Result<Vec<Entry>, redb::Error> {
    let Some(reader) = TrailReader::open(txn)? else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for row in reader.trail.range(seq.saturating_add(1)..)?.take(max) {
        entries.extend(reader.entry(row?.1.value())?);
    }
    Ok(entries)
}

/// Follows the whole trail. `known` are heads from elsewhere, such as those in notices and exports.
///
/// # Errors
/// [`Fault::Broken`] names the first thing that is wrong.
pub fn verify(txn: &ReadTransaction, known: &[Head]) -> Result<Verified, Fault> {
    let Ends { base, head } = ends(txn)?;
    let mut checker = Checker::new(base, known)?;
    let Some(reader) = TrailReader::open(txn)? else { return Ok(checker.finish()?) };
    let lists = open(txn, LISTS)?;
    for row in reader.trail.iter()? {
        let (seq, line) = row?;
        let entry = read_at(seq.value(), line.value())?;
        let entry = reader.with_meaning(entry)?;
        checker.link(&entry)?;
        let listed = lists.as_ref().map(|lists| lists.get((entry.subject.number, entry.seq))).transpose()?;
        if listed.flatten().is_none() || !reader.is_found(&entry)? {
            return Err(Broken::Unlisted { seq: entry.seq, subject: entry.subject }.into());
        }
    }
    checker.ends_with(head)?;
    let verified = checker.finish()?;
    let listed = lists.map_or(Ok(0), |lists| lists.len())?;
    // Each entry was found in a list above, so the lists can only have more than there are entries.
    match listed.saturating_sub(verified.entries) {
        0 => Ok(verified),
        surplus => Err(Broken::Surplus { surplus }.into()),
    }
}

/// Reads the entry that stands under number `seq`.
fn read_at(seq: u64, line: &[u8]) -> Result<Entry, Broken> {
    let entry = Entry::from_line(line).map_err(|err| Broken::Unreadable { seq, why: err.to_string() })?;
    if entry.seq == seq {
        return Ok(entry);
    }
    Err(Broken::Unreadable { seq, why: format!("it says that it is entry {}", entry.seq) })
}

/// Entries, and what their subjects stand for.
pub(super) struct TrailReader {
    pub(super) trail: ReadOnlyTable<u64, &'static [u8]>,
    meanings: ReadOnlyTable<u128, (u128, &'static str)>,
    numbers: ReadOnlyTable<(&'static str, &'static str), u128>,
}

impl TrailReader {
    /// Opens the tables; `None` for a store in which they were never made.
    pub(super) fn open(txn: &ReadTransaction) -> Result<Option<Self>, redb::Error> {
        let (Some(trail), Some(meanings), Some(numbers)) =
            (open(txn, TRAIL)?, open(txn, MEANINGS)?, open(txn, NUMBERS)?)
        else {
            return Ok(None);
        };
        Ok(Some(Self { trail, meanings, numbers }))
    }

    /// Reads a stored line, and adds the meaning of its subject; `None` for a line that cannot be read.
    pub(super) fn entry(&self, line: &[u8]) -> Result<Option<Entry>, redb::Error> {
        match Entry::from_line(line) {
            Ok(entry) => self.with_meaning(entry).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn with_meaning(&self, entry: Entry) -> Result<Entry, redb::Error> {
        let meaning = self.meaning_of(entry.subject)?;
        Ok(Entry { meaning, ..entry })
    }

    fn meaning_of(&self, subject: Subject) -> Result<Option<Meaning>, redb::Error> {
        let Some(row) = self.meanings.get(subject.number)? else { return Ok(None) };
        let (salt, text) = row.value();
        Ok(SubjectId::read(subject.kind, text).map(|id| Meaning { id, salt }))
    }

    fn number_of(&self, id: SubjectId) -> Result<Option<u128>, redb::Error> {
        let number = self.numbers.get((id.kind().as_str(), &*id.text()))?;
        Ok(number.map(|number| number.value()))
    }

    /// Returns true when the id of the entry's subject leads to the entry; one that was erased leads nowhere.
    fn is_found(&self, entry: &Entry) -> Result<bool, redb::Error> {
        match entry.meaning {
            Some(meaning) => Ok(self.number_of(meaning.id)? == Some(entry.subject.number)),
            None => Ok(true),
        }
    }
}

/// Opens a table; `None` for a store in which it was never made.
fn open<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, redb::Error> {
    match txn.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}
