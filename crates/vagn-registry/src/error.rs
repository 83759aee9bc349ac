//! Reasons that the registry cannot be used, or that an object was not written.

use std::path::PathBuf;

use crate::Kind;

/// The reason that the registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Another process has it open.
    #[error(
        "the registry is in use by another process; stop it, or give the command the data directory of that service"
    )]
    InUse,
    /// The file cannot be opened.
    #[error("the registry cannot be opened: {}: {why}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Fault and remedy.
        why: String,
    },
    /// A later version wrote it.
    #[error(
        "the registry has form {found}, and this version reads form {known}; start the version that wrote it"
    )]
    Form {
        /// Form of the file.
        found: u64,
        /// Form that this version reads.
        known: u64,
    },
    /// Its secrets are wrapped, and no wrapping key was given.
    #[error(
        "the secrets in the registry are wrapped, and no key to unwrap them is set; \
         set registry.key_file to the file with the key that wrapped them"
    )]
    KeyMissing,
    /// Its secrets are wrapped by another key.
    #[error(
        "the secrets in the registry are wrapped by another key; \
         set registry.key_file to the file with the key that wrapped them"
    )]
    WrongKey,
    /// Reading or writing failed.
    #[error("the registry cannot be read or written: {0}; see to the disk and restart the service")]
    Failed(#[source] redb::Error),
}

/// The reason that an object was not written. Nothing of its transaction was, but where it is [doubtful](PutError::Doubtful).
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The object has another revision: another writer was first.
    #[error("it was changed meanwhile; its revision is {0}")]
    Conflict(u64),
    /// Another object in force has its name.
    #[error("{name} has a key already (key id {key}); rotate it, or revoke it first")]
    NameTaken {
        /// The name.
        name: Box<str>,
        /// Key of the object that has it.
        key: Box<str>,
    },
    /// There is an object of this key, with other content.
    #[error("there is a {} {key} already; choose another name", kind.word())]
    Exists {
        /// Kind of the object.
        kind: Kind,
        /// Its key.
        key: Box<str>,
    },
    /// There is no such object.
    #[error("there is no {} {name}", kind.word())]
    NotFound {
        /// Kind of the object.
        kind: Kind,
        /// Name or key that was looked for.
        name: Box<str>,
    },
    /// The key was revoked, and its vehicle or gateway has no other.
    #[error("the key {key} of {name} was revoked; `vagn device add {name}` makes a new one")]
    Revoked {
        /// Name of the vehicle or gateway.
        name: Box<str>,
        /// Its key id.
        key: Box<str>,
    },
    /// The registry holds as many objects of this kind as it can.
    #[error("the registry is full: it holds {} {}s; revoke some", kind.most(), kind.word())]
    Full {
        /// The kind.
        kind: Kind,
    },
    /// The key or value is longer than allowed, or is not as its kind demands.
    #[error("{0}")]
    Invalid(String),
    /// The registry of a cluster cannot be written now.
    #[error("{0}")]
    Unavailable(String),
    /// It may be written: the brokers did not say, or this node has not seen it. Here it does not count yet.
    #[error("{0}")]
    Doubtful(String),
    /// The registry cannot be written.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl From<redb::Error> for RegistryError {
    fn from(err: redb::Error) -> Self {
        Self::Failed(err)
    }
}

impl From<redb::Error> for PutError {
    fn from(err: redb::Error) -> Self {
        Self::Registry(err.into())
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => { $(
        impl From<$error> for RegistryError {
            fn from(err: $error) -> Self {
                Self::Failed(err.into())
            }
        }

        impl From<$error> for PutError {
            fn from(err: $error) -> Self {
                Self::Registry(err.into())
            }
        }
    )* };
}

from_redb!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);
