//! What a partition is told: its bounds and its rhythm.

/// Bounds and rhythm of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most vehicles it holds; a new one beyond is shed.
    pub max_vehicles: usize,
    /// A vehicle not reported for so long is forgotten, ms. `i64::MAX`: never.
    pub forget_after_ms: i64,
    /// Positions stay in the log at least so long after they were received, ms.
    pub history_keep_ms: i64,
    /// Positions fail while fewer bytes than this are free, so that what is more precious can still be
    /// written.
    pub free_floor_bytes: u64,
    /// A segment of the log is at most so long, bytes.
    pub segment_bytes: u64,
    /// A snapshot is due after so many records, or after twice as many as there are vehicles if that is more.
    /// Two snapshots are kept with the log since the older one: at most four times as many records of 80
    /// bytes stay on disk, most often twice.
    pub snapshot_records: u64,
    /// Slots that one call of `housekeep` looks at.
    pub slice: u32,
    /// What the partition does after a write that failed.
    pub after_failed_write: AfterFailedWrite,
    /// Seed of the hash by which ids are found; changes no answer. Draw one at random where ids come from outside: a
    /// sender that knows it can choose ids that collide.
    pub hash_seed: u64,
}

/// What a partition does after a write that failed.
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
            max_vehicles: 10_000_000,
            forget_after_ms: 30 * 24 * 3_600_000,
            history_keep_ms: 24 * 3_600_000,
            free_floor_bytes: 256 << 20,
            segment_bytes: 64 << 20,
            snapshot_records: 250_000,
            slice: 4_096,
            after_failed_write: AfterFailedWrite::GoOn,
            hash_seed: 0,
        }
    }
}
