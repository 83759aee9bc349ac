//! Counts of the files of a node, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the files were opened.
        #[derive(Debug, Default)]
        pub struct FileCounts {
            $(pub(super) $name: AtomicU64,)*
        }

        impl FileCounts {
            $($(#[$doc])*
            pub fn $name(&self) -> u64 {
                self.$name.load(Ordering::Relaxed)
            })*
        }
    };
}

counts! {
    /// Records that were appended to logs.
    records,
    /// Writes that appended them: each takes all that waits for a shard.
    appends,
    /// Syncs of logs.
    syncs,
    /// Snapshots that were saved or installed.
    snapshots,
    /// Segments of logs that were removed.
    trimmed,
    /// Writes and syncs that failed for want of room, memory or file handles: they are tried again.
    full,
    /// Writes and syncs that failed otherwise.
    broken,
    /// Files that were found damaged or could not be read, at the start or later.
    damaged,
    /// Notes that could not be written; the last one is tried again.
    notes_failed,
    /// Bytes that the start has read.
    read_bytes,
}

/// Adds to a count.
pub(super) fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
