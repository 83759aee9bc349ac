//! What a copy of the whole service has of its fleet: each shard as it was behind one entry, and a record of assignment that names no owner.
//!
//! A node that starts with such a record owns the shards that lie beside it. So a copy is brought back under any name, where all nodes that the
//! record did name may be gone.

use crate::assignment::Assignment;
use crate::content::Content;
use crate::ids::ShardId;
use crate::state::{Damaged, ShardState};

/// A shard as a copy has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardCopy {
    /// The shard.
    pub shard: ShardId,
    /// Epoch of its stream.
    pub epoch: u32,
    /// The last entry in it.
    pub sequence: u64,
    /// Time of the shard then, ms since 1970.
    pub time_ms: i64,
    /// The content, as [`InstallSnapshot`](crate::Command::InstallSnapshot) takes it.
    pub bytes: Vec<u8>,
    data_set: u64,
}

impl ShardCopy {
    pub(crate) fn of<S: ShardState>(content: &Content<S>) -> Self {
        Self::with(content, content.write())
    }

    /// Reads the copy of this shard out of its bytes, and the state that it has.
    ///
    /// # Errors
    /// [`Damaged`] when they are none.
    pub fn read<S: ShardState>(shard: ShardId, bytes: Vec<u8>) -> Result<(Self, S), Damaged> {
        let content = Content::<S>::read(shard, &bytes)?;
        Ok((Self::with(&content, bytes), content.state))
    }

    fn with<S>(content: &Content<S>, bytes: Vec<u8>) -> Self {
        let Content { shard, epoch, data_set, sequence, time_ms, .. } = *content;
        Self { shard, epoch, sequence, time_ms, bytes, data_set }
    }
}

/// The record of assignment of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRecord(Assignment);

impl CopyRecord {
    pub(crate) fn of(known: &Assignment) -> Self {
        let mut record = known.clone();
        record.shards.iter_mut().for_each(|place| place.owners.clear());
        Self(record)
    }

    /// Returns the byte form, which is that of a node's note.
    pub fn write(&self) -> Vec<u8> {
        self.0.write()
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`Damaged`] when it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        Assignment::read(bytes).map(Self)
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> u16 {
        self.0.len()
    }

    /// Returns true for a copy of one of its shards, of the epoch in which that is.
    pub fn has(&self, copy: &ShardCopy) -> bool {
        let place = self.0.shard(copy.shard);
        self.0.data_set == copy.data_set && place.is_some_and(|place| place.epoch == copy.epoch)
    }
}
