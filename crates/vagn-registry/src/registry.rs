//! Objects, revisions and the watch, whatever they mean.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTableMetadata, StorageBackend};

use crate::changes::Changes;
use crate::figures::Figures;
use crate::file::{self, CLOSED, META, NAMES, OBJECTS, REVISION, count_key};
use crate::shared::Shared;
use crate::wrapping::Wrapping;
use crate::{Kind, Object, PutError, RegistryError, Watch};

/// The registry. Cheap to clone. It blocks on the disk: an actor asks it on a thread that may wait.
#[derive(Debug, Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) db: Database,
    wrapping: Option<Wrapping>,
    pub(crate) changes: Arc<Changes>,
    /// Held from before a transaction until its changes are told, so that they are told in order.
    pub(crate) writing: Mutex<()>,
    figures: Mutex<Figures>,
    write_errors: AtomicU64,
    unreadable: AtomicU64,
    /// The bucket that it is written to first, if it is the copy of one.
    pub(crate) shared: Option<Shared>,
}

/// A write of one object, if it has this revision.
#[derive(Debug, Clone, Copy)]
pub struct Put<'a> {
    /// Kind of the object.
    pub kind: Kind,
    /// Key of the object, within its kind.
    pub key: &'a str,
    /// Revision that it must have; 0 when it must not be there.
    pub revision: u64,
    /// JSON of the object; `None` removes it.
    pub value: Option<&'a [u8]>,
}

impl Registry {
    /// Name of its file in the data directory.
    pub const FILE: &'static str = "registry.redb";

    /// Directory in the data directory of a node where the copy of its cluster's registry is.
    pub const COPY_DIR: &'static str = "cluster-registry";

    /// Opens the registry of a data directory, or begins one. `wrapping_key` wraps secrets, where one is set: those that are there
    /// in clear are wrapped now.
    ///
    /// # Errors
    /// The file cannot be used, or the key is missing or another one.
    pub fn open(data_dir: &Path, wrapping_key: Option<&[u8; 32]>) -> Result<Self, RegistryError> {
        let wrapping = wrapping_key.map(Wrapping::new);
        Self::over(file::open(data_dir, wrapping.as_ref())?, wrapping)
    }

    /// Opens the registry of a data directory to read it. Nothing in it is changed: secrets in clear stay so, whatever `wrapping_key` is.
    ///
    /// # Errors
    /// There is none or it cannot be used, or its secrets are wrapped and the key is missing or another one.
    pub fn open_to_read(data_dir: &Path, wrapping_key: Option<&[u8; 32]>) -> Result<Self, RegistryError> {
        let wrapping = wrapping_key.map(Wrapping::new);
        let (db, is_wrapped) = file::open_to_read(data_dir, wrapping.as_ref())?;
        Self::over(db, wrapping.filter(|_| is_wrapped))
    }

    /// Opens or begins the registry on any storage.
    ///
    /// # Errors
    /// The storage cannot be used, or the key is missing or another one.
    pub fn open_on(
        storage: impl StorageBackend,
        wrapping_key: Option<&[u8; 32]>,
    ) -> Result<Self, RegistryError> {
        let wrapping = wrapping_key.map(Wrapping::new);
        Self::over(file::open_on(storage, wrapping.as_ref())?, wrapping)
    }

    pub(crate) fn over(db: Database, wrapping: Option<Wrapping>) -> Result<Self, RegistryError> {
        let revision = db.begin_read()?.open_table(META)?.get(REVISION)?.map_or(0, |number| number.value());
        let inner = Inner {
            db,
            wrapping,
            changes: Arc::new(Changes::new(revision)),
            writing: Mutex::default(),
            figures: Mutex::default(),
            write_errors: AtomicU64::default(),
            unreadable: AtomicU64::default(),
            shared: None,
        };
        let registry = Self { inner: Arc::new(inner) };
        let figures = Figures::count(&registry)?;
        *registry.inner.figures.lock() = figures;
        Ok(registry)
    }

    /// Copies the registry as its last change left it, to the directory `data_dir`, which has none. Changes go on beside it.
    ///
    /// # Errors
    /// Either cannot be read or written.
    pub fn copy_to(&self, data_dir: &Path) -> Result<(), RegistryError> {
        file::copy(&self.inner.db, data_dir)
    }

    /// Puts the registry in `data_dir`, a copy of the bytes of one that was not in use, into the form of one that was closed.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn settle_copy(data_dir: &Path) -> Result<(), RegistryError> {
        file::settle(data_dir)
    }

    /// Reads all objects of the copy in `data_dir`, and returns their number. Changes nothing, and needs no wrapping key.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn check_copy(data_dir: &Path) -> Result<u64, RegistryError> {
        file::check(data_dir)
    }

    /// Returns an object.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, kind: Kind, key: &str) -> Result<Option<Object>, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(OBJECTS)?;
        Ok(table.get((kind.number(), key))?.map(|object| to_object(object.value())))
    }

    /// Returns the objects of these keys, as they are at one moment.
    pub(crate) fn get_all<'a>(
        &self,
        kind: Kind,
        keys: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<Option<Object>>, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(OBJECTS)?;
        keys.map(|key| Ok(table.get((kind.number(), key))?.map(|object| to_object(object.value())))).collect()
    }

    /// Lists the objects of a kind with their keys, in the order of their keys.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<(Box<str>, Object)>, RegistryError> {
        let mut objects = Vec::new();
        self.each(kind, |key, revision, value| objects.push((key.into(), to_object((revision, value)))))?;
        Ok(objects)
    }

    /// Calls `take` with key, revision and value of each object of a kind, in the order of their keys, as they are at one moment.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn each(&self, kind: Kind, mut take: impl FnMut(&str, u64, &[u8])) -> Result<(), RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(OBJECTS)?;
        for row in table.range((kind.number(), "")..(kind.number() + 1, ""))? {
            let (key, object) = row?;
            let (revision, value) = object.value();
            take(key.value().1, revision, value);
        }
        Ok(())
    }

    /// Returns the key of the object in force that has a name.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn key_of(&self, kind: Kind, name: &str) -> Result<Option<Box<str>>, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(NAMES)?;
        Ok(table.get((kind.number(), name))?.map(|key| key.value().into()))
    }

    /// Writes an object if its revision is this, 0 for none; `None` removes it. Durable on return, which gives the new revision.
    ///
    /// # Errors
    /// [`PutError::Conflict`] when it has another one, [`PutError::NameTaken`] when its name is another object's.
    pub fn put_if(
        &self,
        kind: Kind,
        key: &str,
        revision: u64,
        value: Option<&[u8]>,
    ) -> Result<u64, PutError> {
        self.put_all(&[Put { kind, key, revision, value }])
    }

    /// Writes several objects, all or none, and returns the revision of the last one. In a cluster only up to 500 go all or none.
    ///
    /// # Errors
    /// As [`Registry::put_if`], for the first that cannot be written.
    pub fn put_all(&self, puts: &[Put<'_>]) -> Result<u64, PutError> {
        if let Some(shared) = &self.inner.shared {
            return self.put_shared(shared, puts);
        }
        let _in_order = self.inner.writing.lock();
        let changes = file::write(&self.inner.db, puts).inspect_err(|err| self.count_error(err))?;
        let revision = changes.last().map_or_else(|| self.revision(), |change| change.revision);
        self.inner.changes.push(changes, revision);
        let kinds: Vec<_> =
            Kind::ALL.into_iter().filter(|kind| puts.iter().any(|put| put.kind == *kind)).collect();
        self.refigure(&kinds);
        Ok(revision)
    }

    /// Returns the number of the last change. Take it before you [list](Self::list), and [watch](Self::watch) from there on.
    pub fn revision(&self) -> u64 {
        self.inner.changes.last()
    }

    /// Returns the changes after a revision. A watcher that falls far behind is told to list anew.
    pub fn watch(&self, after: u64) -> Watch {
        Watch::new(self.inner.changes.clone(), after)
    }

    /// Waits until all watchers have taken in every change up to now: only then does a change count everywhere. Returns false when one
    /// of them has not within this time. It blocks.
    pub fn wait_until_seen(&self, within: Duration) -> bool {
        self.inner.changes.views().wait(self.revision(), within)
    }

    /// Counts the objects of a kind.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn count(&self, kind: Kind) -> Result<u64, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(META)?;
        Ok(table.get(count_key(kind))?.map_or(0, |count| count.value()))
    }

    /// Counts the keys of vehicles and gateways that are in force.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn devices_in_force(&self) -> Result<u64, RegistryError> {
        Ok(self.inner.db.begin_read()?.open_table(NAMES)?.len()?)
    }

    /// Notes for good that the API asks for tokens, even when those of the settings are taken away again.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn close(&self) -> Result<(), PutError> {
        if self.is_noted_closed()? {
            return Ok(());
        }
        let _in_order = self.inner.writing.lock();
        file::set_number(&self.inner.db, CLOSED, 1).inspect_err(|err| self.count_error(err))
    }

    /// Returns true if there ever was a token, here or in the settings, or if it is not known yet: a copy of a bucket that has not come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_closed(&self) -> Result<bool, RegistryError> {
        Ok(self.awaits_copy() || self.is_noted_closed()?)
    }

    /// Returns true if it is known that there ever was a token, here or in the settings: that holds whatever a copy brings that has not come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_noted_closed(&self) -> Result<bool, RegistryError> {
        let is_noted = self.inner.db.begin_read()?.open_table(META)?.get(CLOSED)?.is_some();
        Ok(is_noted || self.count(Kind::Token)? > 0)
    }

    /// Returns the figures for metrics, without a look at the disk.
    pub fn figures(&self) -> Figures {
        *self.inner.figures.lock()
    }

    /// Counts writes that failed on the disk.
    pub fn write_errors(&self) -> u64 {
        self.inner.write_errors.load(Ordering::Relaxed)
    }

    /// Counts objects that were passed over in lists because they made no sense.
    pub fn unreadable(&self) -> u64 {
        self.inner.unreadable.load(Ordering::Relaxed)
    }

    pub(crate) fn wrapping(&self) -> Option<&Wrapping> {
        self.inner.wrapping.as_ref()
    }

    pub(crate) fn count_unreadable(&self) {
        self.inner.unreadable.fetch_add(1, Ordering::Relaxed);
    }

    /// Brings the figures up to date. One that cannot be counted stays as it was: the write itself is done.
    pub(crate) fn refigure(&self, kinds: &[Kind]) {
        let mut figures = self.figures();
        if figures.follow(self, kinds).is_ok() {
            *self.inner.figures.lock() = figures;
        }
    }

    fn count_error(&self, err: &PutError) {
        if matches!(err, PutError::Registry(_)) {
            self.inner.write_errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn to_object((revision, value): (u64, &[u8])) -> Object {
    Object { value: value.to_vec(), revision }
}
