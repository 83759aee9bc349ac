//! Opening: makes the file if there is none, checks it if there is one, and finds out whether the wrapping key fits.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend};

use super::tables::{FORM, FORM_NOW, Tables, WRAPPED};
use super::wrap;
use crate::wrapping::Wrapping;
use crate::{Registry, RegistryError};

/// Memory for pages of the file, in bytes. Doors and tokens are judged from memory, so few pages are read after the start.
const CACHE: usize = 32 << 20;

/// The service alone may read the file: it holds secrets.
const FILE_MODE: u32 = 0o600;

/// Opens the file in a data directory, or makes it. Secrets in clear are wrapped when a key is given.
pub(crate) fn open(data_dir: &Path, wrapping: Option<&Wrapping>) -> Result<Database, RegistryError> {
    let path = data_dir.join(Registry::FILE);
    if is_absent(&path)? {
        make(data_dir, &path, wrapping)?;
    }
    let db = open_file(&path)?;
    if wrapping.is_some_and(|_| !is_wrapped(&db).unwrap_or(true)) {
        // Of a form that is known: what is not understood is not written anew.
        fits(&db, None)?;
        drop(db);
        return wrap::wrap_all(data_dir, &path, wrapping);
    }
    fits(&db, wrapping)?;
    Ok(db)
}

/// Opens the file in a data directory to read it: none is made, and secrets in clear stay so. Returns true with it when they are wrapped.
pub(crate) fn open_to_read(
    data_dir: &Path,
    wrapping: Option<&Wrapping>,
) -> Result<(Database, bool), RegistryError> {
    let path = data_dir.join(Registry::FILE);
    if is_absent(&path)? {
        return Err(named(&path, &io::ErrorKind::NotFound.into()));
    }
    let db = open_file(&path)?;
    fits(&db, wrapping)?;
    let is_wrapped = is_wrapped(&db)?;
    Ok((db, is_wrapped))
}

/// Opens or makes the registry on any storage.
pub(crate) fn open_on(
    storage: impl StorageBackend,
    wrapping: Option<&Wrapping>,
) -> Result<Database, RegistryError> {
    let db = builder().create_with_backend(storage).map_err(|err| RegistryError::Failed(err.into()))?;
    create(&db, wrapping)?;
    fits(&db, wrapping)?;
    Ok(db)
}

/// Makes the file under another name first: one that was cut off while it was being made could never be opened again.
fn make(data_dir: &Path, path: &Path, wrapping: Option<&Wrapping>) -> Result<(), RegistryError> {
    let unfinished = new_file(data_dir)?;
    let db = open_file(&unfinished)?;
    create(&db, wrapping)?;
    drop(db);
    replace(data_dir, &unfinished, path)
}

/// Returns the path of a file that is being made; what an earlier start left of one is removed.
pub(super) fn new_file(data_dir: &Path) -> Result<std::path::PathBuf, RegistryError> {
    let path = data_dir.join(format!("{}.new", Registry::FILE));
    match fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(named(&path, &err)),
        _ => Ok(path),
    }
}

/// Gives a finished file its name, for good.
pub(super) fn replace(data_dir: &Path, finished: &Path, path: &Path) -> Result<(), RegistryError> {
    fs::rename(finished, path)
        .and_then(|()| File::open(data_dir)?.sync_all())
        .map_err(|err| named(path, &err))
}

pub(super) fn open_file(path: &Path) -> Result<Database, RegistryError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    let file = options.open(path).map_err(|err| named(path, &err))?;
    let file = FileBackend::new(file).map_err(|err| explained(path, err))?;
    builder().create_with_backend(file).map_err(|err| explained(path, err))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    // Without the check a file that something else has changed may be trusted, or end in a panic.
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

/// Makes the tables of a new file.
pub(super) fn create(db: &Database, wrapping: Option<&Wrapping>) -> Result<(), RegistryError> {
    let txn = db.begin_write()?;
    let mut tables = Tables::open(&txn)?;
    if tables.number(FORM)? == 0 {
        tables.meta.insert(FORM, FORM_NOW)?;
        if let Some(wrapping) = wrapping {
            wrap::mark(&mut tables, wrapping)?;
        }
    }
    drop(tables);
    Ok(txn.commit()?)
}

fn is_wrapped(db: &Database) -> Result<bool, RegistryError> {
    Ok(db.begin_read()?.open_table(WRAPPED)?.get(wrap::MARK)?.is_some())
}

/// Checks the form of the file, and that the wrapping key is the one of its secrets.
fn fits(db: &Database, wrapping: Option<&Wrapping>) -> Result<(), RegistryError> {
    let txn = db.begin_read()?;
    let form = txn.open_table(super::META)?.get(FORM)?.map_or(0, |form| form.value());
    if form != FORM_NOW {
        return Err(RegistryError::Form { found: form, known: FORM_NOW });
    }
    let table = txn.open_table(WRAPPED)?;
    let mark = table.get(wrap::MARK)?;
    match (mark, wrapping) {
        (Some(mark), Some(wrapping)) => wrap::check(mark.value(), wrapping),
        (Some(_), None) => Err(RegistryError::KeyMissing),
        (None, _) => Ok(()),
    }
}

/// Returns true when there is no file. An empty one was there before, and is not made anew.
fn is_absent(path: &Path) -> Result<bool, RegistryError> {
    let why = match (fs::symlink_metadata(path), fs::metadata(path)) {
        (Err(err), _) if err.kind() == io::ErrorKind::NotFound => return Ok(true),
        (Err(err), _) => return Err(named(path, &err)),
        (_, Ok(file)) if file.len() > 0 => return Ok(false),
        (_, Ok(_)) => {
            "the file is empty; restore it from a backup, or move it aside to begin without devices and tokens"
        }
        (_, Err(err)) if err.kind() == io::ErrorKind::NotFound => {
            "the link leads nowhere; mount the volume on which the registry lies, or mend the link"
        }
        (_, Err(err)) => return Err(named(path, &err)),
    };
    Err(RegistryError::File { path: path.to_owned(), why: why.into() })
}

pub(super) fn named(path: &Path, err: &io::Error) -> RegistryError {
    RegistryError::File { path: path.to_owned(), why: err.to_string() }
}

fn explained(path: &Path, err: DatabaseError) -> RegistryError {
    match err {
        DatabaseError::DatabaseAlreadyOpen => RegistryError::InUse,
        err => {
            let why = format!("{err}; restore the file from a backup");
            RegistryError::File { path: path.to_owned(), why }
        }
    }
}
