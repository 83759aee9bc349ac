//! A copy of the store while it is written: as one save left it, with the trail, into another file. Saves go on beside it.
//!
//! Row by row, because a file that is written has no moment at which its bytes belong together.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;

use redb::{Database, ReadableDatabase, TableHandle};

use super::open::{CACHE, open_journal};
use super::{FILE, Store, StoreError, groups, mark, pieces, schema};
use crate::disk::reserve::ReservedFile;
use crate::disk::rows::Rows;
use crate::record::journal::{self, Journal};
use crate::trail::{self, Head};

/// Names of the files that a copy has.
pub const COPIED: [&str; 3] = [FILE, journal::FILES[0], journal::FILES[1]];

impl Store {
    /// Copies the store, as its last save left it, to `data_dir`, which has none; with a journal that begins there. Durable but
    /// for the names of the files. Returns the head of its trail. `is_wanted` is asked now and then.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when either cannot be read or written, or the copy is not wanted any more.
    pub fn copy_to(&self, data_dir: &Path, is_wanted: &dyn Fn() -> bool) -> Result<Head, StoreError> {
        let file = ReservedFile::open(&data_dir.join(FILE), 0).map_err(failed)?;
        let mut builder = Database::builder();
        let to = builder.set_cache_size(CACHE).create_with_backend(file).map_err(failed)?;
        let from = self.db.begin_read().map_err(failed)?;
        let txn = to.begin_write().map_err(failed)?;
        copy_all(&mut Rows::new(&from, &txn, is_wanted)).map_err(StoreError::Failed)?;
        txn.commit().map_err(failed)?;
        let copied = to.begin_read().map_err(failed)?;
        let mark = mark::read(&copied).map_err(StoreError::Failed)?.expect("the opening has made it");
        let head = trail::ends(&copied).map_err(StoreError::Failed)?.head;
        drop(copied);
        drop(to);
        Journal::of(open_journal(data_dir)?, mark.id).begin_anew(mark.last + 1, None).map_err(failed)?;
        Ok(head)
    }
}

/// Returns the bytes that a copy of the store in `data_dir` needs at most.
pub fn copy_bytes(data_dir: &Path) -> u64 {
    COPIED.iter().filter_map(|name| fs::metadata(data_dir.join(name)).ok()).map(|file| file.len()).sum()
}

/// Returns true when there is a store in `data_dir`.
pub fn is_there(data_dir: &Path) -> bool {
    File::open(data_dir.join(FILE)).is_ok()
}

fn copy_all(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    schema::copy(rows)?;
    mark::copy(rows)?;
    groups::copy(rows)?;
    pieces::copy(rows)?;
    trail::copy(rows)?;
    let names = |tables: Vec<String>| tables.into_iter().collect::<BTreeSet<_>>();
    let had = names(rows.from().list_tables()?.map(|table| table.name().to_owned()).collect());
    let has = names(rows.to().list_tables()?.map(|table| table.name().to_owned()).collect());
    match had.difference(&has).next() {
        // Of a newer version, or forgotten above: half a copy is none.
        Some(missing) => {
            Err(redb::Error::Corrupted(format!("it has a table {missing:?}, which is not known here")))
        }
        None => Ok(()),
    }
}

fn failed(err: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(err.into())
}

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::*;
    use crate::id::IncidentId;
    use crate::record::draft::Draft;
    use crate::record::incident::Incident;
    use crate::record::store::{JournalCheck, compare_with_journal};
    use crate::trail::ClosedStore;

    fn save(store: &Store, numbers: std::ops::Range<u128>) -> Head {
        let incident = |number| Incident::example(IncidentId::from_u128(number), &format!("bus {number}"));
        let drafts: Vec<_> = numbers.map(incident).map(Draft::from).collect();
        store.save(&drafts).unwrap()
    }

    #[test]
    fn a_copy_is_the_store_as_it_was_and_the_store_goes_on_meanwhile() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(of.path(), 0, 100).unwrap();
        save(&store, 1..2_000);
        let before = store.live().unwrap();
        let saves_on = || {
            save(&store, 2_000..2_001);
            true
        };
        let head = store.copy_to(to.path(), &saves_on).unwrap();
        assert!(store.live().unwrap().len() > before.len(), "it was saved to while it was copied");

        let closed = ClosedStore::open(&to.path().join(FILE)).unwrap();
        assert_eq!(closed.verify(&[head]).unwrap().head, head);
        assert_eq!(compare_with_journal(&closed, to.path()).unwrap(), JournalCheck::Agrees);
        drop(closed);
        let copy = Store::open(to.path(), 0, 100).unwrap();
        assert_eq!(copy.live().unwrap(), before);
        assert_eq!((copy.recalled().warning(), copy.journal_fault()), (None, None));
        assert_eq!(copy.recalled().journal, None, "its journal fits it");
        save(&copy, 3_000..3_001);
    }

    #[test]
    fn a_copy_that_is_not_wanted_any_more_ends() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(of.path(), 0, 100).unwrap();
        save(&store, 1..2_000);
        assert!(store.copy_to(to.path(), &|| false).is_err());
    }

    #[test]
    fn a_table_that_is_not_known_is_not_left_out_without_a_word() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Store::open(of.path(), 0, 100).unwrap();
        let txn = store.db.begin_write().unwrap();
        txn.open_table(TableDefinition::<u64, u64>::new("later")).unwrap();
        txn.commit().unwrap();
        let said = store.copy_to(to.path(), &|| true).unwrap_err().to_string();
        assert!(said.contains("\"later\""), "{said}");
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 0, 100).unwrap();
        let txn = store.db.begin_write().unwrap();
        mark::set_format(&txn, mark::FORMAT + 1).unwrap();
        txn.commit().unwrap();
        drop(store);
        let said = Store::open(dir.path(), 0, 100).unwrap_err().to_string();
        assert!(said.contains("format 2") && said.contains("newer version"), "{said}");
        assert!(crate::record::store::is_damaged(dir.path()).is_err(), "no repair sets it aside");
    }
}
