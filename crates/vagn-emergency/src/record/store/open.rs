//! Opening: makes the file of the store if there is none and never was, and checks it if there is one.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, StorageBackend};

use super::mark::{self, StoreMark};
use super::recall::{Recall, Recalled, recall};
use super::{JournalFault, Keeper, Store, StoreError, schema};
use crate::disk::reserve::ReservedFile;
use crate::disk::watched::Watched;
use crate::record::journal::{self, JournalContent, JournalFile};

/// Name of the store's file in the data directory.
pub const FILE: &str = "incidents.redb";

/// Its name while it is being made.
pub(super) const UNFINISHED: &str = "incidents.redb.new";

/// Memory for pages of the store, in bytes. Incidents are few.
pub(super) const CACHE: usize = 16 << 20;

/// Manner in which a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Disk space set aside for it, in bytes.
    pub reserved: u64,
    /// Number of incidents that are kept after they have ended, the latest; twice as many while the wall clock is doubted.
    pub ended_kept: u64,
    /// Saves of the journal that count.
    pub recall: Recall,
    /// Present time, ms since 1970.
    pub now_ms: i64,
}

impl Store {
    /// Opens the store in `data_dir`, or makes it if its journal does not show that there was one. Saves that only the journal
    /// has are made again.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::File`] and [`StoreError::Journal`].
    pub fn open_as(data_dir: &Path, opening: Opening) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let is_there = check_file(&path)?;
        let mut files = None;
        if !is_there {
            let had_one = journal_exists(data_dir);
            if had_one && opening.recall != Recall::Rebuild {
                return Err(gone(path));
            }
            let mark = if had_one { mark_of(files.insert(open_journal(data_dir)?), data_dir)? } else { None };
            make(data_dir, &path, opening, mark)?;
        }
        let file = ReservedFile::open(&path, opening.reserved).map_err(|err| named(&path, &err))?;
        let opened = catch_unwind(AssertUnwindSafe(|| Self::on(file, opening.ended_kept)));
        let mut store = opened.unwrap_or(Err(StoreError::Panicked)).map_err(|err| damaged(&path, err))?;
        let files = match files.map_or_else(|| open_journal(data_dir), Ok) {
            // There is no room for a journal, and none that could tell more than the store: that must do.
            Err(err) if !journal_has_content(data_dir) => {
                store.give(Keeper::without(&err.to_string()));
                return Ok(store);
            }
            opened => opened?,
        };
        let renew = |files| {
            drop(files);
            set_journal_aside(data_dir).and_then(|()| open_journal(data_dir))
        };
        recall(store, files, opening.recall, opening.now_ms, renew)
    }

    /// Opens the store of a node of a cluster in `data_dir`, or makes it. It has no journal: what it loses it reads from the trail again.
    ///
    /// # Errors
    /// [`StoreError::Open`] and [`StoreError::File`].
    pub fn open_shared(data_dir: &Path, opening: Opening) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        if !check_file(&path)? {
            make(data_dir, &path, opening, None)?;
        }
        let file = ReservedFile::open(&path, opening.reserved).map_err(|err| named(&path, &err))?;
        let opened = catch_unwind(AssertUnwindSafe(|| Self::on(file, opening.ended_kept)));
        opened.unwrap_or(Err(StoreError::Panicked)).map_err(|err| damaged(&path, err))
    }

    /// Opens or creates the store on any storage, without a journal.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn on(storage: impl StorageBackend, ended_kept: u64) -> Result<Self, StoreError> {
        Self::marked(storage, ended_kept, None)
    }

    /// Does the same; a new store gets this mark.
    fn marked(
        storage: impl StorageBackend,
        ended_kept: u64,
        mark: Option<StoreMark>,
    ) -> Result<Self, StoreError> {
        let (storage, sync_failed) = Watched::new(storage);
        let db = open_database(storage, mark)?;
        Ok(Self {
            db,
            sync_failed,
            ended_kept,
            is_clock_doubted: AtomicBool::new(false),
            unreadable: Mutex::default(),
            journal: Mutex::default(),
            journal_fault: JournalFault::default(),
            recalled: Recalled::default(),
        })
    }

    pub(super) fn mark(&self) -> Result<StoreMark, StoreError> {
        let txn = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        let mark = mark::read(&txn).map_err(StoreError::Failed)?;
        Ok(mark.expect("the opening has made it"))
    }
}

/// Makes a store under another name first: a file that was cut off while it was being made could never be opened again.
fn make(data_dir: &Path, path: &Path, opening: Opening, mark: Option<StoreMark>) -> Result<(), StoreError> {
    let unfinished = data_dir.join(UNFINISHED);
    fs::remove_file(&unfinished).or_else(ignore_absence).map_err(cannot_open)?;
    let file = ReservedFile::open(&unfinished, opening.reserved).map_err(cannot_open)?;
    drop(Store::marked(file, opening.ended_kept, mark)?);
    fs::rename(&unfinished, path).map_err(cannot_open)
}

fn open_database(storage: impl StorageBackend, mark: Option<StoreMark>) -> Result<Database, StoreError> {
    let mut builder = Database::builder();
    // Without the check a file that something else has changed may be trusted, or end in a panic.
    let opened = builder.set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(storage);
    let db = opened.map_err(|err| StoreError::Open(err.into()))?;
    match mark::format(&db).map_err(StoreError::Open)? {
        Some(found) if found != mark::FORMAT => Err(StoreError::Newer { found }),
        _ => make_tables(&db, mark).map_err(StoreError::Open).map(|()| db),
    }
}

fn make_tables(db: &Database, mark: Option<StoreMark>) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    schema::create(&txn, mark)?;
    Ok(txn.commit()?)
}

/// Returns true when the file of a store is there.
fn check_file(path: &Path) -> Result<bool, StoreError> {
    match fs::symlink_metadata(path) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found.map_err(|err| named(path, &err))?,
    };
    let why = match fs::metadata(path) {
        Ok(file) if file.is_file() && file.len() == 0 => {
            "the file is empty; restore it from a backup, or run \
             `vagn repair`, which moves it aside and makes a new one of what the journal has"
        }
        Ok(_) => return Ok(true),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            "the link leads nowhere; mount the volume on which \
             the store lies, mend the link, or run `vagn repair`, which moves it aside"
        }
        Err(err) => return Err(named(path, &err)),
    };
    Err(StoreError::File { path: path.to_owned(), why: why.into() })
}

fn gone(path: PathBuf) -> StoreError {
    let why = "the file is missing, and its journal shows that there was one; mount the volume on which it lies, \
               restore it from a backup, or run `vagn repair`, which makes a new one of what the journal has";
    StoreError::File { path, why: why.into() }
}

fn named(path: &Path, err: &io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), why: err.to_string() }
}

/// Names the file in an error of the database.
fn damaged(path: &Path, err: StoreError) -> StoreError {
    let StoreError::Open(source) = err else { return err };
    let why = format!("{source}; restore the file from a backup, or stop the service and run `vagn repair`");
    StoreError::File { path: path.to_owned(), why }
}

/// Returns true when the data directory has neither a store nor a journal, whatever is in them.
pub(crate) fn has_nothing(data_dir: &Path) -> bool {
    fs::symlink_metadata(data_dir.join(FILE)).is_err() && !journal_exists(data_dir)
}

/// Returns true when the data directory has a journal, whatever is in it.
pub(super) fn journal_exists(data_dir: &Path) -> bool {
    journal::FILES.iter().any(|name| fs::symlink_metadata(data_dir.join(name)).is_ok())
}

fn journal_has_content(data_dir: &Path) -> bool {
    journal::FILES.iter().any(|name| fs::metadata(data_dir.join(name)).is_ok_and(|file| file.len() > 0))
}

pub(super) fn open_journal(data_dir: &Path) -> Result<[JournalFile; 2], StoreError> {
    let open = |name: &str| -> Result<JournalFile, StoreError> {
        let path = data_dir.join(name);
        match ReservedFile::open(&path, 0) {
            Ok(file) => Ok(Box::new(file)),
            Err(source) => Err(StoreError::Journal { path, source }),
        }
    };
    Ok([open(journal::FILES[0])?, open(journal::FILES[1])?])
}

/// Returns the mark of the store that the journal belongs to, before the first save that it has.
fn mark_of(files: &[JournalFile; 2], data_dir: &Path) -> Result<Option<StoreMark>, StoreError> {
    let content = JournalContent::read(files)
        .map_err(|source| StoreError::Journal { path: data_dir.join(journal::FILES[0]), source })?;
    Ok(content.id().map(|id| StoreMark { id, last: content.first().saturating_sub(1) }))
}

/// Moves the files of a journal that does not fit the store aside. Nothing is deleted.
fn set_journal_aside(data_dir: &Path) -> Result<(), StoreError> {
    for name in journal::FILES {
        let path = data_dir.join(name);
        let set_aside = || match fs::metadata(&path)?.len() {
            0 => Ok(()),
            _ => fs::rename(&path, free_name(data_dir, name)),
        };
        set_aside().map_err(|source| StoreError::Journal { path: path.clone(), source })?;
    }
    Ok(())
}

/// Returns a free name for what is moved aside.
pub(super) fn free_name(data_dir: &Path, name: &str) -> PathBuf {
    let mut numbered = (1..).map(|number| data_dir.join(format!("{name}.{number}.damaged")));
    numbered.find(|path| fs::symlink_metadata(path).is_err()).expect("there are numbers enough")
}

fn cannot_open(err: io::Error) -> StoreError {
    StoreError::Open(redb::Error::Io(err))
}

fn ignore_absence(err: io::Error) -> io::Result<()> {
    if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) }
}

#[cfg(test)]
impl Store {
    /// Opens the store after a start.
    pub(crate) fn open(data_dir: &Path, reserved: u64, ended_kept: u64) -> Result<Self, StoreError> {
        let opening = Opening { reserved, ended_kept, recall: Recall::All, now_ms: 1_700_000_000_000 };
        Self::open_as(data_dir, opening)
    }
}
