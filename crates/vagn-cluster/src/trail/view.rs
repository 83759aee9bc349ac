//! What the trail's part of a node shows of itself: for readiness, for status, and for the proof.

use crate::happened::Stop;
use crate::ids::NodeId;
use crate::trail::agreement::Agreement;
use crate::trail::ids::{Term, TrailId};
use crate::trail::peers::Clocks;

/// What a node may do about calls for help, beside what its own door does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Duty {
    /// Nothing: another node leads, or none.
    Standby,
    /// The trail is broken, or no node leads and the settings of this one differ from those of the leader before: the openings that this node's store owes, again and again until they are accepted, and nothing else. All nodes
    /// that know of it do so, under the same keys.
    Alone,
    /// First attempts only: this leader has not seen an entry of its own for 3 s, so another one may lead.
    FirstOnly,
    /// Everything.
    Full,
}

/// A node's place in the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailView {
    /// The trail, once it was found.
    pub trail: Option<TrailId>,
    /// Last entry that was received.
    pub received: u64,
    /// Running hash of all entries up to it.
    pub running_hash: u64,
    /// Groups that are not in the incident store yet.
    pub unsaved: usize,
    /// Its store lacks what the stream has no more, and copies another's.
    pub lacks_copy: bool,
    /// Last entry that the store has on disk.
    pub saved: u64,
    /// Parts that only this store had before a copy may not be in the trail yet.
    pub has_rest: bool,
    /// Reason why it follows no more.
    pub stopped: Option<Stop>,
    /// Term of the last claim.
    pub term: Term,
    /// Moment at which the last entry of a leader came, ms; `None` where none has in this run.
    pub led_ms: Option<u64>,
    /// Node that made it; `None` where it has said farewell since.
    pub leader: Option<NodeId>,
    /// The settings of that node are others than those here.
    pub differs: bool,
    /// Who has its settings: it claims with others than those of the leader before where that is [reached](Agreement::is_reached).
    pub agreement: Agreement,
    /// What this node may do.
    pub duty: Duty,
    /// Alarms of its own door that the trail does not have.
    pub waiting: usize,
    /// Alarms at its desk that the trail does not have.
    pub unrecorded: usize,
    /// Its clock beside those of other nodes.
    pub clocks: Clocks,
}
