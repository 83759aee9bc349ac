//! Settings of the trail's part of a node, and faults that a proof plants.

use crate::ids::NodeId;

/// Settings, the same for the whole run.
#[derive(Debug, Clone)]
pub struct TrailSettings {
    /// This node.
    pub node: NodeId,
    /// Number drawn by chance for this run. Two runs never have the same.
    pub random: u64,
    /// Hash of the settings that must be equal on all nodes: targets and their secrets, bounds, retention.
    pub settings_hash: u64,
    /// It claims when no leader is heard. One that may not hands alarms over, and calls by itself as any door does.
    pub may_lead: bool,
    /// It is there for a while, has no door and calls nobody, so that its settings count for nothing.
    pub is_guest: bool,
    /// It makes the stream of the first epoch where there is none. One that may not waits for it.
    pub makes_stream: bool,
    /// Most alarms of the own door that wait for the trail in memory.
    pub door_max: usize,
    /// Most alarms that wait for their record at the leader.
    pub desk_max: usize,
    /// Room of the trail's stream, in bytes.
    pub room_bytes: u64,
    /// Time for which a node may be away and still find in the stream what it lacks, ms. When half of the room is taken it may be less.
    pub away_ms: u64,
    /// Faults to plant.
    pub faults: TrailFaults,
}

impl TrailSettings {
    /// Settings of a node with room for 4 096 alarms at its door and 16 384 at its desk.
    pub fn new(node: NodeId, random: u64) -> Self {
        let faults = TrailFaults::default();
        Self {
            node,
            random,
            settings_hash: 0,
            may_lead: true,
            is_guest: false,
            makes_stream: true,
            door_max: 4_096,
            desk_max: 16_384,
            room_bytes: u64::MAX,
            away_ms: 3_600_000,
            faults,
        }
    }
}

/// Faults that can be planted, to prove that the simulator finds them. For the proof only: a service plants none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrailFaults {
    /// Entries are appended without the expected last sequence, so a deposed leader's are taken.
    pub no_fence: bool,
    /// The leader acts and answers when it has sent a group, and not when the trail has it.
    pub act_before_append: bool,
    /// All leaders give the same numbers to messages.
    pub one_key: bool,
    /// A door forgets an alarm once it was handed to the leader.
    pub forgotten_at_handover: bool,
    /// The leader purges what it has received, whether stores have it or not.
    pub purge_before_saved: bool,
    /// The first piece of a copy is taken for all of it.
    pub copy_whole_too_early: bool,
    /// A node claims with other settings than the leader before, whatever others have.
    pub any_settings: bool,
}
