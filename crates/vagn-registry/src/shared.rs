//! A registry that all nodes of a cluster have: written to a bucket first, and read from this node's copy of it.
//!
//! A write is judged by the copy, and names the sequence that the copy has. The bucket takes it only if it ends there. So all rules over several
//! objects, such as one key for a name, hold over all nodes. A writer that was not first waits until the copy has what came, and judges anew.

mod write;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use redb::{ReadOnlyTable, ReadableDatabase};

use crate::file::{self, COMPARED, COPYING, INCARNATION, META, SEQUENCE, Seen, Told};
use crate::registry::Inner;
use crate::wrapping::Wrapping;
use crate::{Kind, Put, PutError, Registry, RegistryError};
use write::unavailable;

/// Takes objects to the bucket. It blocks, for some seconds at most.
pub trait Bucket: Send + Sync {
    /// Writes all of them or none, if the bucket ends with the sequence `after`.
    fn append(&self, after: u64, objects: &[Put<'_>]) -> Appended;
}

/// Outcome of writing objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// They are there; the last has this sequence, and those before it the ones before.
    At(u64),
    /// None of them is there: the bucket ends elsewhere.
    Elsewhere,
    /// None of them is there, for this reason.
    Refused(String),
    /// They may be there.
    NoAnswer,
}

/// An object that came from the bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its sequence.
    pub sequence: u64,
    /// Its kind.
    pub kind: Kind,
    /// Its key.
    pub key: Box<str>,
    /// Its JSON; `None`: it was removed.
    pub value: Option<Vec<u8>>,
}

/// Bucket that a copy is of, and how far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Incarnation of the bucket; 0 until there was a whole copy of one.
    pub incarnation: u64,
    /// Sequence up to which it has all.
    pub sequence: u64,
    /// A copy anew was begun and has not ended.
    pub is_copying: bool,
    /// Time at which it was last equal to the bucket, ms since 1970.
    pub compared_ms: i64,
}

/// The side of a registry that is written to a bucket.
pub(crate) struct Shared {
    bucket: Arc<dyn Bucket>,
    /// One write at a time: two of one node would only be in each other's way.
    writing: Mutex<()>,
    state: Mutex<State>,
    moved: Condvar,
    has_copy: AtomicBool,
    /// Secrets that this node wraps are unwrapped by no other.
    has_other_key: AtomicBool,
    refused: AtomicU64,
}

struct State {
    sequence: u64,
    /// Reason why nothing can be written now.
    closed: Option<String>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// A copy that is being made anew.
#[derive(Debug)]
pub struct CopyAnew {
    seen: Seen,
}

impl Shared {
    fn new(bucket: Arc<dyn Bucket>, copied: Copied) -> Self {
        let closed = Some("the brokers have not been asked yet".to_owned());
        Self {
            bucket,
            writing: Mutex::default(),
            state: Mutex::new(State { sequence: copied.sequence, closed }),
            moved: Condvar::new(),
            has_copy: AtomicBool::new(copied.incarnation != 0),
            has_other_key: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        }
    }

    pub(crate) fn awaits_copy(&self) -> bool {
        !self.has_copy.load(Ordering::Acquire)
    }

    fn open(&self) -> Result<(), PutError> {
        match &self.state.lock().closed {
            None => Ok(()),
            Some(why) => Err(unavailable(why)),
        }
    }

    fn moved_to(&self, sequence: u64) {
        self.state.lock().sequence = sequence;
        self.moved.notify_all();
    }

    /// Waits until the copy has this sequence. Returns false if it has not in time.
    fn wait_for(&self, sequence: u64, until: Instant) -> bool {
        let mut state = self.state.lock();
        while state.sequence < sequence {
            if self.moved.wait_until(&mut state, until).timed_out() {
                return state.sequence >= sequence;
            }
        }
        true
    }
}

fn number(table: &ReadOnlyTable<&'static str, u64>, key: &str) -> Result<u64, RegistryError> {
    Ok(table.get(key)?.map_or(0, |number| number.value()))
}

impl Registry {
    /// Opens the copy of a cluster's registry in `dir`, or begins one. Writes go to `bucket`.
    ///
    /// # Errors
    /// As [`Registry::open`].
    pub fn open_copy(
        dir: &Path,
        wrapping_key: Option<&[u8; 32]>,
        bucket: Arc<dyn Bucket>,
    ) -> Result<Self, RegistryError> {
        // Secrets are as they came, so the file itself is wrapped by no key.
        Self::over(file::open(dir, None)?, wrapping_key.map(Wrapping::new))?.shared_by(bucket)
    }

    /// Opens the copy of a cluster's registry in `dir` to read it.
    ///
    /// # Errors
    /// As [`Registry::open_to_read`].
    pub fn open_copy_to_read(dir: &Path, wrapping_key: Option<&[u8; 32]>) -> Result<Self, RegistryError> {
        let (db, _) = file::open_to_read(dir, None)?;
        Self::over(db, wrapping_key.map(Wrapping::new))
    }

    /// Makes this registry, of which there is no clone, the copy of a bucket.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn shared_by(mut self, bucket: Arc<dyn Bucket>) -> Result<Self, RegistryError> {
        let shared = Shared::new(bucket, self.copied()?);
        let inner = Arc::get_mut(&mut self.inner).expect("it was opened here, so there is no clone of it");
        inner.shared = Some(shared);
        Ok(self)
    }

    /// Returns true for the copy of a bucket of which there never was a whole one: nothing is known of tokens and keys.
    pub fn awaits_copy(&self) -> bool {
        self.inner.shared.as_ref().is_some_and(Shared::awaits_copy)
    }

    /// Counts writes that the bucket did not take, for whatever reason, or of which this node has not seen that it did.
    pub fn writes_refused(&self) -> u64 {
        self.inner.shared.as_ref().map_or(0, |shared| shared.refused.load(Ordering::Relaxed))
    }

    /// Returns the bucket that the copy is of, and how far it has come.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn copied(&self) -> Result<Copied, RegistryError> {
        let table = self.inner.db.begin_read()?.open_table(META)?;
        Ok(Copied {
            incarnation: number(&table, INCARNATION)?,
            sequence: number(&table, SEQUENCE)?,
            is_copying: number(&table, COPYING)? != 0,
            compared_ms: i64::try_from(number(&table, COMPARED)?).unwrap_or(0),
        })
    }

    /// Lets writes go to the bucket, or says why none can.
    pub fn set_closed(&self, why: Option<String>) {
        if let Some(shared) = &self.inner.shared {
            shared.state.lock().closed = why;
        }
    }

    /// Says whether secrets that are wrapped here are unwrapped at no other node: then no device with secrets is written here.
    pub fn set_other_key(&self, is_other: bool) {
        if let Some(shared) = &self.inner.shared {
            shared.has_other_key.store(is_other, Ordering::Release);
        }
    }

    /// Takes objects that came from the bucket, up to this sequence.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(&self, arrived: &[Arrived], through: u64) -> Result<(), RegistryError> {
        self.tell(through, |inner| file::take(&inner.db, arrived, through))
    }

    /// Begins to copy the bucket anew. What is there stays until the end.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_copy(&self) -> Result<CopyAnew, RegistryError> {
        let _in_order = self.inner.writing.lock();
        file::begin_copy(&self.inner.db)?;
        Ok(CopyAnew { seen: file::seen() })
    }

    /// Takes some of all objects.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take_anew(&self, copy: &mut CopyAnew, arrived: &[Arrived]) -> Result<(), RegistryError> {
        for one in arrived {
            match one.value {
                Some(_) => copy.seen.add(one.kind, &one.key),
                // It was there, and is not any more.
                None => copy.seen.remove(one.kind, &one.key),
            }
        }
        self.tell(0, |inner| file::take(&inner.db, arrived, 0))
    }

    /// Ends a copy anew: all of this incarnation has come, up to this sequence.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish_copy(
        &self,
        copy: &CopyAnew,
        incarnation: u64,
        through: u64,
        now_ms: i64,
    ) -> Result<(), RegistryError> {
        self.tell(through, |inner| file::finish_copy(&inner.db, (incarnation, through), &copy.seen, now_ms))
    }

    /// Notes that there is a whole copy, once all watchers have taken it in.
    pub fn note_copy(&self) {
        if let Some(shared) = &self.inner.shared {
            shared.has_copy.store(true, Ordering::Release);
        }
    }

    /// Notes that the copy was equal to the bucket.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_compared(&self, now_ms: i64) -> Result<(), RegistryError> {
        let _in_order = self.inner.writing.lock();
        file::note_compared(&self.inner.db, now_ms)
    }

    /// Writes something, and tells the watchers.
    fn tell(
        &self,
        through: u64,
        write: impl FnOnce(&Inner) -> Result<Told, RegistryError>,
    ) -> Result<(), RegistryError> {
        let _in_order = self.inner.writing.lock();
        let Told { changes, last } = write(&self.inner)?;
        let kinds: Vec<_> =
            Kind::ALL.into_iter().filter(|kind| changes.iter().any(|change| change.kind == *kind)).collect();
        self.inner.changes.push(changes, last);
        self.refigure(&kinds);
        if let Some(shared) = &self.inner.shared {
            shared.moved_to(through);
        }
        Ok(())
    }
}
