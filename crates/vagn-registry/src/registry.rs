//! Objects, revisions and the watch, whatever they mean.

use std::path::Path;

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A [`Device`](crate::Device), by its key id.
    Device,
    /// A [`Token`](crate::Token), by its name.
    Token,
    /// A [`Session`](crate::Session), by the digest of its cookie.
    Session,
    /// A [`Share`](crate::Share), by its digest.
    Share,
}

/// Content of a key, and the revision of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// JSON of the object. Secrets in it are wrapped.
    pub value: Vec<u8>,
    /// Number of the change that wrote it; changes of the whole registry are numbered together, from 1.
    pub revision: u64,
}

/// A change of the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Number of the change.
    pub revision: u64,
    /// Kind of the object.
    pub kind: Kind,
    /// Key of the object, within its kind.
    pub key: Box<str>,
    /// The object as it is now; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}

/// The registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {}

/// Changes after a revision, in order.
#[derive(Debug)]
pub struct Watch {}

/// The reason that the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another process has it open.
    #[error("the registry is in use by another process")]
    InUse,
}

/// The reason that an object was not written.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The object has another revision: somebody else was first.
    #[error("it was changed meanwhile; its revision is {0}")]
    Conflict(u64),
    /// The registry cannot be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Registry {
    /// Name of its file in the data directory.
    pub const FILE: &'static str = "registry.redb";

    /// Opens the registry of a data directory, or begins one. `wrapping_key` wraps secrets, where one is set.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(_data_dir: &Path, _wrapping_key: Option<&[u8; 32]>) -> Result<Self, RegistryError> {
        todo!("registry")
    }

    /// Returns an object.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, _kind: Kind, _key: &str) -> Result<Option<Object>, RegistryError> {
        todo!("registry")
    }

    /// Lists the objects of a kind with their keys, in the order of their keys.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self, _kind: Kind) -> Result<Vec<(Box<str>, Object)>, RegistryError> {
        todo!("registry")
    }

    /// Writes an object if its revision is this, 0 for none; `None` removes it. Durable on return, which gives the new revision.
    ///
    /// # Errors
    /// [`PutError::Conflict`] when it has another one.
    pub fn put_if(
        &self,
        _kind: Kind,
        _key: &str,
        _revision: u64,
        _value: Option<&[u8]>,
    ) -> Result<u64, PutError> {
        todo!("registry")
    }

    /// Returns the changes after a revision. A watcher that falls far behind is told to [list](Self::list) anew.
    pub fn watch(&self, _after: u64) -> Watch {
        todo!("registry")
    }
}

impl Watch {
    /// Waits for the next changes; `None` when too many were missed, and all must be listed anew.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        todo!("registry")
    }
}
