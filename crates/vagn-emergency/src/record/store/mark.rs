//! Marks of the store: the number of its format, its id, which its journal shares, and the number of its last save, which is part of that save.

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};
use uuid::Uuid;

use crate::disk::rows::Rows;

/// The id and the number, each under its name.
const MARKS: TableDefinition<'_, &str, u128> = TableDefinition::new("marks");

/// Number of the format: of the tables, and of what is in them. Another number means another meaning.
pub(crate) const FORMAT: u64 = 1;

const FORMAT_MARK: &str = "format";
const STORE_ID: &str = "store_id";
const LAST_SAVE: &str = "last_save";
const TAKEN_OVER: &str = "taken_over";

/// Id of a store, and number of its last save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreMark {
    /// Random id of the store.
    pub(crate) id: u128,
    /// Number of the last save; 0 before the first.
    pub(crate) last: u64,
}

/// Marks a store that has no mark yet: with `mark`, or with a new id.
pub(super) fn create(txn: &WriteTransaction, mark: Option<StoreMark>) -> Result<(), redb::Error> {
    let mut marks = txn.open_table(MARKS)?;
    if marks.get(FORMAT_MARK)?.is_none() {
        marks.insert(FORMAT_MARK, u128::from(FORMAT))?;
    }
    if marks.get(STORE_ID)?.is_none() {
        let StoreMark { id, last } =
            mark.unwrap_or_else(|| StoreMark { id: Uuid::new_v4().as_u128(), last: 0 });
        marks.insert(STORE_ID, id)?;
        marks.insert(LAST_SAVE, u128::from(last))?;
    }
    Ok(())
}

/// Returns the number of the format; `None` in a new store.
pub(super) fn format(db: &Database) -> Result<Option<u64>, redb::Error> {
    format_in(&db.begin_read()?)
}

/// Does the same for a store that is only read.
pub(super) fn format_in(txn: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let marks = match txn.open_table(MARKS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let format = marks.get(FORMAT_MARK)?.map(|format| format.value());
    // One that is beyond any number is not ours either.
    Ok(format.map(|format| u64::try_from(format).unwrap_or(u64::MAX)))
}

#[cfg(test)]
pub(super) fn set_format(txn: &WriteTransaction, format: u64) -> Result<(), redb::Error> {
    txn.open_table(MARKS)?.insert(FORMAT_MARK, u128::from(format))?;
    Ok(())
}

/// Copies the marks.
pub(super) fn copy(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    rows.copy(MARKS)
}

/// Counts a save. Returns its number.
pub(super) fn count(txn: &WriteTransaction) -> Result<u64, redb::Error> {
    let number = last(&txn.open_table(MARKS)?)? + 1;
    set(txn, number)?;
    Ok(number)
}

/// Notes that save `number` was the last.
pub(super) fn set(txn: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    txn.open_table(MARKS)?.insert(LAST_SAVE, u128::from(number))?;
    Ok(())
}

/// Notes the stamp of the files of a single machine that were taken over.
pub(super) fn set_taken_over(txn: &WriteTransaction, stamp: u128) -> Result<(), redb::Error> {
    txn.open_table(MARKS)?.insert(TAKEN_OVER, stamp)?;
    Ok(())
}

/// Returns the stamp of the files that were taken over.
pub(super) fn taken_over(txn: &ReadTransaction) -> Result<Option<u128>, redb::Error> {
    Ok(txn.open_table(MARKS)?.get(TAKEN_OVER)?.map(|stamp| stamp.value()))
}

/// Returns the mark; `None` in a store in which it was never made.
pub(super) fn read(txn: &ReadTransaction) -> Result<Option<StoreMark>, redb::Error> {
    let marks = match txn.open_table(MARKS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        opened => opened?,
    };
    let Some(id) = marks.get(STORE_ID)?.map(|id| id.value()) else { return Ok(None) };
    Ok(Some(StoreMark { id, last: last(&marks)? }))
}

fn last(marks: &impl ReadableTable<&'static str, u128>) -> Result<u64, redb::Error> {
    let number = marks.get(LAST_SAVE)?.map_or(0, |number| number.value());
    u64::try_from(number)
        .map_err(|_| redb::Error::Corrupted("the number of the last save is too high".into()))
}
