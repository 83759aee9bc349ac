//! Blows: what strikes a cluster in a run.

use vagn_cluster::ShardId;

use crate::network::MachineId;

/// Something bad that happens at one moment, and lasts for `away` µs where it has an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// A process is killed; with `power`, the machine loses what was not synced.
    Crash { machine: MachineId, power: bool, away: u64 },
    /// All machines lose power at once.
    CrashAll { away: u64 },
    /// All machines and all brokers lose power at once, and each stream its last messages.
    Blackout { away: u64, lost: u64 },
    /// A process gets SIGSTOP, and later SIGCONT.
    Freeze { machine: MachineId, away: u64 },
    /// A machine is apart from all others and from the brokers.
    Apart { machine: MachineId, away: u64 },
    /// A machine is apart from all others, with a broker that goes on telling how the streams were that it led.
    ApartWithLeader { machine: MachineId, broker: usize, away: u64 },
    /// A machine is apart from the brokers.
    ApartFromBrokers { machine: MachineId, away: u64 },
    /// Two machines are apart from each other.
    ApartPair { one: MachineId, other: MachineId, away: u64 },
    /// A broker is killed or stopped.
    BrokerAway { broker: usize, away: u64 },
    /// All brokers are killed at once: what was on its way from them comes to some machines and not to others.
    BrokersAway { away: u64 },
    /// Messages to the brokers are held up, and come once this is over: many of them after their sender gave up.
    Hold { away: u64 },
    /// The brokers lose the last messages of a stream.
    TailLost { shard: ShardId, lost: u64 },
    /// The brokers lose what one owner got while another was kept from them, and go on at once.
    Fork { shard: ShardId, away: u64 },
    /// As a fork; and who has what was lost is away until the others have gone on without it.
    LoneTail { shard: ShardId, away: u64 },
    /// A stream is deleted and made anew.
    StreamAnew { shard: ShardId },
    /// A stream is deleted.
    StreamGone { shard: ShardId },
    /// The record of assignment is lost.
    RecordLost,
    /// A machine loses its disk and starts with an empty one. It is spared as long as another machine needs it.
    DiskLost { machine: MachineId, away: u64 },
    /// A disk is full.
    DiskFull { machine: MachineId, away: u64 },
    /// A disk takes up to half a second for a sync.
    DiskSlow { machine: MachineId, away: u64 },
    /// The next sync fails.
    SyncFails { machine: MachineId },
    /// A machine's wall clock jumps.
    Clock { machine: MachineId, ms: i64 },
    /// A broker's clock is off.
    BrokerClock { broker: usize, ms: i64 },
    /// A machine is asked to give away all that it owns. It starts again after that.
    Leave { machine: MachineId, away: u64 },
    /// Consumers of a machine say nothing more.
    Quiet { machine: MachineId },
}
