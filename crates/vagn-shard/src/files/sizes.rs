//! Sizes of the files of a node, for metrics.

use vagn_cluster::ShardId;

/// Bytes of the files of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardSizes {
    /// The shard.
    pub shard: ShardId,
    /// Bytes of its log; `None` while a thread is at work on it.
    pub log_bytes: Option<u64>,
    /// Bytes of the content in its snapshot.
    pub snapshot_bytes: u64,
}
