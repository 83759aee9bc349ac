//! Objects and their changes, whatever they mean.

use std::fmt;

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A [`Device`](crate::Device), by its key id.
    Device,
    /// A [`Token`](crate::Token), by its name.
    Token,
    /// A [`Session`](crate::Session), by the digest of its cookie.
    Session,
    /// A [`Share`](crate::Share), by its digest.
    Share,
    /// A fact of a cluster: what its registry is, or a [`NodeEntry`](crate::NodeEntry) by its number.
    Cluster,
}

/// Longest value of an object, in bytes.
pub const VALUE_MAX: usize = 16 << 10;

/// Longest key of an object, in bytes.
pub(crate) const KEY_MAX: usize = 256;

/// Content of a key, and the revision of its last change.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// JSON of the object. Secrets in it are wrapped, where a wrapping key is set.
    pub value: Vec<u8>,
    /// Number of the change that wrote it; changes of the whole registry are numbered together, from 1. In a cluster its sequence in the
    /// bucket, the same at every node.
    pub revision: u64,
}

/// A change of the registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    /// Number of the change in this file, by which it is [watched](crate::Registry::watch).
    pub number: u64,
    /// Revision of the object now, or the one that removed it. The number, where the registry is this file alone.
    pub revision: u64,
    /// Kind of the object.
    pub kind: Kind,
    /// Key of the object, within its kind.
    pub key: Box<str>,
    /// The object as it is now; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Device, Self::Token, Self::Session, Self::Share, Self::Cluster];

    /// Returns the word for one of them in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Token => "token",
            Self::Session => "session",
            Self::Share => "share",
            Self::Cluster => "cluster",
        }
    }

    /// Returns the most objects of this kind that the registry holds.
    pub fn most(self) -> u64 {
        match self {
            Self::Device => 16_000_000,
            Self::Token => 10_000,
            Self::Session => 100_000,
            Self::Share => 10_000,
            Self::Cluster => 65_536,
        }
    }

    /// Its number in the file. Fixed.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Device => 1,
            Self::Token => 2,
            Self::Session => 3,
            Self::Share => 4,
            Self::Cluster => 5,
        }
    }

    /// Returns the kind of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

// Values hold secrets of devices where no wrapping key is set, so neither shows its value to a log.

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object(revision {}, {} bytes)", self.revision, self.value.len())
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let deed = if self.value.is_some() { "put" } else { "removed" };
        write!(f, "Change({}, {} {} {deed})", self.revision, self.kind.word(), self.key)
    }
}
