//! Tables of the file.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::Kind;

/// Revision and value of each object, by the number of its kind and its key.
pub(crate) const OBJECTS: TableDefinition<'_, (u8, &str), (u64, &[u8])> = TableDefinition::new("objects");

/// Key of the object in force that has a name, by the number of its kind and the name.
pub(crate) const NAMES: TableDefinition<'_, (u8, &str), &str> = TableDefinition::new("names");

/// Numbers of the registry itself.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// A text that was wrapped by the wrapping key, where there is one.
pub(super) const WRAPPED: TableDefinition<'_, &str, &str> = TableDefinition::new("wrapped");

/// Number of the last change, in [`META`].
pub(crate) const REVISION: &str = "revision";

/// Sequence of the bucket that the copy has, in [`META`].
pub(crate) const SEQUENCE: &str = "sequence";

/// Incarnation of the bucket that the copy is of, in [`META`]; 0 until a whole copy was made.
pub(crate) const INCARNATION: &str = "incarnation";

/// Set while the copy is made anew, in [`META`].
pub(crate) const COPYING: &str = "copying";

/// Time at which the copy was last compared with the bucket, ms since 1970, in [`META`].
pub(crate) const COMPARED: &str = "compared_ms";

/// By which the node of this directory knows its entry again, in [`META`].
pub(crate) const NODE_MARK: &str = "node_mark";

/// Set once there was a token of the settings, in [`META`].
pub(crate) const CLOSED: &str = "closed";

/// Number of the file's form, in [`META`].
pub(super) const FORM: &str = "form";

/// The form that this program reads and writes.
pub(super) const FORM_NOW: u64 = 1;

/// Returns the key in [`META`] of the number of objects of a kind.
pub(crate) fn count_key(kind: Kind) -> &'static str {
    match kind {
        Kind::Device => "devices",
        Kind::Token => "tokens",
        Kind::Session => "sessions",
        Kind::Share => "shares",
        Kind::Cluster => "cluster",
    }
}

/// All tables, open for writing.
pub(super) struct Tables<'txn> {
    pub(super) objects: Table<'txn, (u8, &'static str), (u64, &'static [u8])>,
    pub(super) names: Table<'txn, (u8, &'static str), &'static str>,
    pub(super) meta: Table<'txn, &'static str, u64>,
    pub(super) wrapped: Table<'txn, &'static str, &'static str>,
    /// Numbers of objects that have changed, by their keys in [`META`]: written once, at the end.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl<'txn> Tables<'txn> {
    /// Opens the tables, which makes those that are not there yet.
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::TableError> {
        Ok(Self {
            objects: txn.open_table(OBJECTS)?,
            names: txn.open_table(NAMES)?,
            meta: txn.open_table(META)?,
            wrapped: txn.open_table(WRAPPED)?,
            counts: BTreeMap::new(),
        })
    }

    /// Returns a number of the registry itself, 0 when it was never set.
    pub(super) fn number(&self, key: &str) -> Result<u64, redb::StorageError> {
        Ok(self.meta.get(key)?.map_or(0, |number| number.value()))
    }
}
