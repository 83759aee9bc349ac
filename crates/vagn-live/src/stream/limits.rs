//! Limits of the streams of positions.

use std::time::Duration;

use super::outlet::BacklogMax;

/// Limits of the hub, each with the value it has in the service.
#[derive(Debug, Clone)]
pub(super) struct StreamLimits {
    /// Most streams open at a time.
    pub(super) streams: usize,
    /// Most channels, those included that are kept for clients that may come back.
    pub(super) channels: usize,
    /// Time between two passes of a channel: no client is told of a vehicle more often.
    pub(super) pass_every: Duration,
    /// Most vehicles of a channel in one pass.
    pub(super) pass_vehicles: usize,
    /// Most vehicles that are looked at or written between two looks at the changes, over all channels.
    pub(super) tick_vehicles: usize,
    /// Longest that a channel is silent; then its clients get a new id.
    pub(super) quiet: Duration,
    /// Changes of the last so much time are kept for clients that come back.
    pub(super) reach: Duration,
    /// Most changes that are kept.
    pub(super) ring_changes: usize,
    /// Time for which a channel is kept without clients.
    pub(super) linger: Duration,
    /// Most vehicles of a channel that wait to be told of.
    pub(super) channel_marks: usize,
    /// Vehicles of a channel that may wait whatever the others have waiting, so that a few wide boxes leave room for small ones.
    pub(super) own_marks: usize,
    /// Most vehicles that wait to be told of, over all channels, beside those.
    pub(super) marks: usize,
    /// Most that may wait for one client.
    pub(super) backlog: BacklogMax,
    /// Bytes of events that may be kept for all clients; above, those that are behind are told of a gap.
    pub(super) bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 2_000,
            channels: 4_096,
            pass_every: Duration::from_secs(1),
            pass_vehicles: 5_000,
            // With one tick in 20 ms some 200 000 vehicles per second, which take less than a fifth of a core.
            tick_vehicles: 4_000,
            quiet: Duration::from_secs(5),
            reach: Duration::from_secs(10),
            ring_changes: 1_000_000,
            // Longer than the reach, so that a client that comes back in time finds its channel.
            linger: Duration::from_secs(15),
            channel_marks: 100_000,
            own_marks: 500,
            marks: 1_000_000,
            backlog: BacklogMax { passes: 8, bytes: 4 << 20 },
            bytes: 64 << 20,
        }
    }
}
