//! Wraps the secrets of a file that has them in clear. The file is written anew, so that none stays behind in a free page.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable};

use super::open::{create, new_file, open_file, replace};
use super::tables::{META, NAMES, OBJECTS, Tables};
use crate::devices::rewrapped;
use crate::wrapping::{SecretAt, Wrapping};
use crate::{Kind, RegistryError};

/// Key of the text that tells whether a wrapping key is the right one.
pub(super) const MARK: &str = "mark";

/// The text itself.
const TEXT: &[u8] = b"vagn registry";

const AT: SecretAt<'_> = SecretAt { kind: Kind::Device, key: "", epoch: 0 };

/// Notes the wrapping key, without telling it.
pub(super) fn mark(tables: &mut Tables<'_>, wrapping: &Wrapping) -> Result<(), RegistryError> {
    tables.wrapped.insert(MARK, wrapping.wrap(TEXT, AT).as_str())?;
    Ok(())
}

/// Checks that this key made the mark.
pub(super) fn check(mark: &str, wrapping: &Wrapping) -> Result<(), RegistryError> {
    match wrapping.unwrap(mark, AT) {
        Some(text) if text == TEXT => Ok(()),
        _ => Err(RegistryError::WrongKey),
    }
}

/// Writes the file anew with wrapped secrets, puts it in the place of the old one, and opens it.
pub(super) fn wrap_all(
    data_dir: &Path,
    path: &Path,
    wrapping: Option<&Wrapping>,
) -> Result<Database, RegistryError> {
    let unfinished = new_file(data_dir)?;
    let new = open_file(&unfinished)?;
    create(&new, wrapping)?;
    copy(&open_file(path)?, &new, wrapping)?;
    drop(new);
    replace(data_dir, &unfinished, path)?;
    open_file(path)
}

/// Copies everything in one transaction, with the revisions as they are.
fn copy(old: &Database, new: &Database, wrapping: Option<&Wrapping>) -> Result<(), RegistryError> {
    let from = old.begin_read()?;
    let txn = new.begin_write()?;
    let mut tables = Tables::open(&txn)?;
    for row in from.open_table(OBJECTS)?.iter()? {
        let (key, object) = row?;
        let ((kind, name), (revision, value)) = (key.value(), object.value());
        let wrapped = (kind == Kind::Device.number()).then(|| rewrapped(name, value, wrapping)).flatten();
        tables.objects.insert((kind, name), (revision, wrapped.as_deref().unwrap_or(value)))?;
    }
    for row in from.open_table(NAMES)?.iter()? {
        let (name, key) = row?;
        tables.names.insert(name.value(), key.value())?;
    }
    for row in from.open_table(META)?.iter()? {
        let (name, number) = row?;
        tables.meta.insert(name.value(), number.value())?;
    }
    drop(tables);
    Ok(txn.commit()?)
}
