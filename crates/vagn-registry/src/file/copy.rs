//! A copy of the file: as one change left it, while it is used, or of one that is not in use; and the look at such a copy.
//!
//! Row by row, because a file that is written has no moment at which its bytes belong together.

use std::collections::BTreeSet;
use std::path::Path;

use redb::{
    Database, Key, ReadOnlyDatabase, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, TableError, TableHandle, Value, WriteTransaction,
};

use super::open::{named, open_file};
use super::tables::{FORM, FORM_NOW, META, NAMES, OBJECTS, WRAPPED};
use crate::{Registry, RegistryError};

/// Copies the file as its last change left it, to `data_dir`, which has none. Durable but for its name.
pub(crate) fn copy(db: &Database, data_dir: &Path) -> Result<(), RegistryError> {
    let copied = open_file(&data_dir.join(Registry::FILE))?;
    let from = db.begin_read()?;
    let to = copied.begin_write()?;
    copy_table(&from, &to, OBJECTS)?;
    copy_table(&from, &to, NAMES)?;
    copy_table(&from, &to, META)?;
    copy_table(&from, &to, WRAPPED)?;
    let had: BTreeSet<_> = from.list_tables()?.map(|table| table.name().to_owned()).collect();
    let has: BTreeSet<_> = to.list_tables()?.map(|table| table.name().to_owned()).collect();
    if let Some(missing) = had.difference(&has).next() {
        // Of a later version, or forgotten above: half a copy is none.
        let why = format!("it has a table {missing:?}, which is not known here");
        return Err(RegistryError::File { path: data_dir.join(Registry::FILE), why });
    }
    Ok(to.commit()?)
}

/// Opens a file that was copied byte by byte, and closes it: after this it is as an orderly stop leaves it.
pub(crate) fn settle(data_dir: &Path) -> Result<(), RegistryError> {
    drop(open_file(&data_dir.join(Registry::FILE))?);
    Ok(())
}

/// Reads all objects of a copy, and returns their number. Changes nothing.
pub(crate) fn check(data_dir: &Path) -> Result<u64, RegistryError> {
    let path = data_dir.join(Registry::FILE);
    let db = ReadOnlyDatabase::open(&path).map_err(|err| named(&path, &std::io::Error::other(err)))?;
    let txn = db.begin_read()?;
    let form = txn.open_table(META)?.get(FORM)?.map_or(0, |form| form.value());
    if form != FORM_NOW {
        return Err(RegistryError::Form { found: form, known: FORM_NOW });
    }
    let objects = txn.open_table(OBJECTS)?;
    for row in objects.iter()? {
        row?;
    }
    Ok(objects.len()?)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), RegistryError> {
    let from = match from.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        opened => opened?,
    };
    let mut to = to.open_table(table)?;
    for row in from.iter()? {
        let (key, value) = row?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, NewToken, Role};

    fn token(name: &str) -> NewToken {
        NewToken {
            name: name.into(),
            role: Role::Read,
            is_person: false,
            is_on_behalf: false,
            expires_ms: None,
        }
    }

    #[test]
    fn a_copy_has_what_there_was_and_the_registry_goes_on() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let registry = Registry::open(of.path(), Some(&[7; 32])).unwrap();
        registry.add_token(token("anna"), 5).unwrap();
        registry.copy_to(to.path()).unwrap();
        registry.add_token(token("later"), 6).unwrap();
        let before = std::fs::read(to.path().join(Registry::FILE)).unwrap();
        assert_eq!(Registry::check_copy(to.path()).unwrap(), 1);
        assert!(std::fs::read(to.path().join(Registry::FILE)).unwrap() == before, "a look changes nothing");
        let copy = Registry::open(to.path(), Some(&[7; 32])).unwrap();
        let names: Vec<_> = copy.tokens().unwrap().into_iter().map(|token| token.name).collect();
        assert_eq!(names, [Box::from("anna")]);
        assert_eq!((copy.count(Kind::Token).unwrap(), registry.count(Kind::Token).unwrap()), (1, 2));
        drop(copy);
        assert!(
            matches!(Registry::open(to.path(), None), Err(RegistryError::KeyMissing)),
            "its secrets stay wrapped"
        );
    }

    #[test]
    fn a_file_that_was_copied_while_it_was_open_is_settled() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let registry = Registry::open(of.path(), None).unwrap();
        registry.add_token(token("anna"), 5).unwrap();
        std::fs::copy(of.path().join(Registry::FILE), to.path().join(Registry::FILE)).unwrap();
        Registry::settle_copy(to.path()).unwrap();
        assert_eq!(Registry::check_copy(to.path()).unwrap(), 1);
    }

    #[test]
    fn a_table_that_is_not_known_is_not_left_out_without_a_word() {
        let (of, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(Registry::open(of.path(), None).unwrap());
        let db = open_file(&of.path().join(Registry::FILE)).unwrap();
        let txn = db.begin_write().unwrap();
        txn.open_table(TableDefinition::<u64, u64>::new("later")).unwrap();
        txn.commit().unwrap();
        let said = copy(&db, to.path()).unwrap_err().to_string();
        assert!(said.contains("\"later\""), "{said}");
    }
}
