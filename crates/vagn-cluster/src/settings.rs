//! Settings of a node, and faults that a proof plants.

use crate::ids::NodeId;

/// Latest version of the messages between nodes that this program understands, as its heartbeats tell. What a node sends to another one is of the
/// version of that one, or older.
pub const MESSAGES_VERSION: u32 = 1;

/// Settings of a node, the same for its whole run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// Name that people know it by, at most 64 bytes.
    pub name: String,
    /// Zone: owners of a shard stand in different ones. `None`: the node is a zone of its own. At most 64 bytes.
    pub zone: Option<String>,
    /// Latest version of the messages between nodes that it understands: [`MESSAGES_VERSION`], but in tests of older nodes.
    pub version: u32,
    /// Hash of the settings that must be equal on all nodes.
    pub settings_hash: u64,
    /// Number drawn by chance for this run: names of doors follow from it. Two runs never have the same.
    pub random: u64,
    /// Shards of the data set, 1 to [`SHARDS_MAX`](crate::SHARDS_MAX). Once a record of assignment stands, its number counts.
    pub shards: u16,
    /// The node may own shards.
    pub stores: bool,
    /// Settings with which the states of a new data set begin, at most [`FIELDS_MAX`](crate::FIELDS_MAX) bytes.
    pub begin: Vec<u8>,
    /// Room of a stream at the brokers, in bytes: an owner that lags by half of it is struck off.
    pub stream_bytes: u64,
    /// Entries after which a replica saves a snapshot.
    pub snapshot_entries: u64,
    /// Bytes of a piece of a copy, at most 256 KiB.
    pub piece_bytes: usize,
    /// A mirror counts as caught up only where a tick of this node bears it out, which a majority of the brokers took: for what must have
    /// all that was stored before it began.
    pub proves_mirrors: bool,
    /// Faults to plant.
    pub faults: Faults,
}

impl Settings {
    /// Settings of a node that stores, in a data set of eight shards.
    pub fn new(node: NodeId, random: u64) -> Self {
        Self {
            node,
            name: format!("node-{:x}", node.0),
            zone: None,
            version: MESSAGES_VERSION,
            settings_hash: 0,
            random,
            shards: 8,
            stores: true,
            begin: Vec::new(),
            stream_bytes: 8 << 30,
            snapshot_entries: 16_384,
            piece_bytes: 256 << 10,
            proves_mirrors: false,
            faults: Faults::default(),
        }
    }
}

/// Faults that can be planted, to prove that the simulator finds them. For the proof only: a service plants none.
///
/// Each is one condition at the place where the fault would be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Fates are answered when an entry was written, before it is synced.
    pub ack_before_sync: bool,
    /// A new replica follows the stream from the second entry after its snapshot.
    pub bootstrap_skips_one: bool,
    /// A replica gives its own wall clock to its state in place of the tick's time.
    pub forget_by_own_clock: bool,
    /// Entries count as synced for the purge when they were received.
    pub purge_before_sync: bool,
    /// An owner leaves without looking who else is caught up.
    pub all_owners_leave: bool,
    /// Nobody compares the stream's incarnation, its last sequence or hashes.
    pub stream_anew_unnoticed: bool,
    /// An owner says that it lacks nothing of a log that is about to be let go.
    pub lacks_nothing: bool,
    /// A reading of a log that failed is taken for its end.
    pub unread_is_end: bool,
    /// The rest of a log that a start has found damaged is let go unread.
    pub rest_is_nothing: bool,
    /// An owner from whose log an epoch could begin says that it is behind.
    pub repairs_refused: bool,
    /// Who asked for a repair is not told what came of it.
    pub repairs_untold: bool,
    /// Who asked for a repair is told that it was made once its stream is there, before the record has the epoch.
    pub repairs_told_early: bool,
    /// An epoch is begun although no owner has found the stream broken.
    pub sound_repaired: bool,
}
