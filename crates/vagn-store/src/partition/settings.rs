//! The settings of a partition: its rhythm, and what it keeps of the past.

/// Rhythm of one partition, and what it keeps of the past. How many vehicles it keeps, and for how long, it is told by
/// commands: [`Partition::bound`](crate::Partition::bound) and [`Partition::forget`](crate::Partition::forget).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Time for which positions stay in the log at least after they were received, ms.
    pub history_keep_ms: i64,
    /// Free bytes below which positions fail, so that what is more precious can still be written.
    pub free_floor_bytes: u64,
    /// Greatest length of a segment of the log, bytes.
    pub segment_bytes: u64,
    /// Number of records that makes a snapshot due, or twice the number of vehicles if that is more.
    /// Two snapshots are kept with the log since the older one: at most four times as many records of 80
    /// bytes stay on disk, most often twice.
    pub snapshot_records: u64,
    /// Number of slots that one call of `housekeep` or `forget` looks at.
    pub slice: u32,
    /// Conduct after a write that failed.
    pub after_failed_write: AfterFailedWrite,
    /// Seed of the hash by which ids are found; changes no answer. Draw one at random where ids come from outside: a
    /// sender that knows it can choose ids that collide.
    pub hash_seed: u64,
}

/// Conduct of a partition after a write that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AfterFailedWrite {
    /// Goes on with the next write where that can succeed, as after a lack of space.
    #[default]
    GoOn,
    /// Stops until it is opened again. For one that repeats what another decided: it must not store entry n + 1 when it
    /// lacks entry n.
    Stop,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            history_keep_ms: 24 * 3_600_000,
            free_floor_bytes: 256 << 20,
            segment_bytes: 64 << 20,
            snapshot_records: 250_000,
            slice: 4_096,
            after_failed_write: AfterFailedWrite::GoOn,
            // Any but 0, of which the hash would make weak keys.
            hash_seed: 0x9e37_79b9_7f4a_7c15,
        }
    }
}
