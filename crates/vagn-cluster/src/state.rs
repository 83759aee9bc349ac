//! Content of a shard, as the core sees it: what changes it, and what must follow from nothing else.

use vagn_wire::Fate;

use crate::ids::ShardId;

/// Longest fields of a report or value of a setting, in bytes.
pub const FIELDS_MAX: usize = 4_096;

/// A change of a shard's content, as it lies in an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A report of a vehicle.
    Report {
        /// 1 to 64 bytes.
        vehicle_id: &'a [u8],
        /// Arrival by the door's clock, ms since 1970.
        arrival_ms: i64,
        /// The rest of the report in the form that the state reads, at most [`FIELDS_MAX`] bytes.
        fields: &'a [u8],
    },
    /// A vehicle is to be forgotten with all that is kept of it, but what tells its reports from repeats.
    Deletion {
        /// 1 to 64 bytes.
        vehicle_id: &'a [u8],
    },
    /// A setting that all replicas must share, such as how long vehicles are kept.
    Setting {
        /// The form that the state reads, at most [`FIELDS_MAX`] bytes.
        value: &'a [u8],
    },
}

/// A change on its way from a reporter to its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewChange {
    /// See [`Change::Report`]; goes to the vehicle's shard.
    Report {
        /// 1 to 64 bytes.
        vehicle_id: Vec<u8>,
        /// Arrival by the door's clock, ms since 1970.
        arrival_ms: i64,
        /// At most [`FIELDS_MAX`] bytes.
        fields: Vec<u8>,
    },
    /// See [`Change::Deletion`]; goes to the vehicle's shard.
    Deletion {
        /// 1 to 64 bytes.
        vehicle_id: Vec<u8>,
    },
    /// See [`Change::Setting`]; goes to the shard that is named.
    Setting {
        /// Where it shall hold. A setting for all shards is given once for each.
        shard: ShardId,
        /// At most [`FIELDS_MAX`] bytes.
        value: Vec<u8>,
    },
}

/// Place of a change: all that a state may know beside the change itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// [Order number](crate::order_number) of the change.
    pub order: u64,
    /// Time of the shard: that of its last tick, ms since 1970. It never goes back.
    pub time_ms: i64,
    /// Arrival time that counts: the door's, kept within a second of `time_ms`, or up to the time at which a broker took it.
    pub arrival_ms: i64,
}

/// Bytes of a snapshot that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes are damaged, or of another version")]
pub struct Damaged;

/// Content of a shard. Two states that were begun alike and saw the same changes and ticks are alike, on any machine.
///
/// So nothing here may ask a clock, settings of the node, the disk or chance; maps that are walked through need a fixed order.
pub trait ShardState: Sized {
    /// Begins without vehicles. `settings` are the same on all nodes: they stand in the record of assignment.
    fn begin(shard: ShardId, settings: &[u8]) -> Self;

    /// Applies a change, and says what became of it.
    fn apply(&mut self, place: Place, change: Change<'_>) -> Fate;

    /// Applies the changes of an entry in their order, and says what became of each, as [`apply`](Self::apply) of one after the other
    /// does. For a state that is faster with many at once.
    fn apply_all<'a>(&mut self, changes: impl Iterator<Item = (Place, Change<'a>)>) -> Vec<Fate> {
        changes.map(|(place, change)| self.apply(place, change)).collect()
    }

    /// Lets time pass, ms since 1970: forgets what is too old by now. Nothing else forgets. What the state remembers to do
    /// so is content, and stands in the snapshot.
    fn tick(&mut self, time_ms: i64);

    /// Returns a hash of all content by vehicle, equal for equal content in whatever order it is kept. Called at each tick: a
    /// state keeps it as a sum of its rows' hashes.
    fn content_hash(&self) -> u64;

    /// Appends all content to `out`.
    fn write_snapshot(&self, out: &mut Vec<u8>);

    /// Reads what [`write_snapshot`](Self::write_snapshot) wrote: all of `bytes`, which may come from another node.
    ///
    /// # Errors
    /// [`Damaged`] when it wrote no such bytes.
    fn read_snapshot(shard: ShardId, bytes: &[u8]) -> Result<Self, Damaged>;

    /// Appends the answer of this shard to a question; the driver joins the answers of all shards.
    fn answer(&self, question: &[u8], out: &mut Vec<u8>);
}
