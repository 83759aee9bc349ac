//! A machine: a node with its disk, its clocks, and what it waits for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vagn_cluster::{
    Event, Incarnation, Moment, Node, NodeId, QueryId, ShardId, StreamId, StreamInfo, SubscriptionId,
};

use crate::agenda::MILLI;
use crate::brokers::WALL_MS;
use crate::disk::Disk;
use crate::fleet::Fleet;
use crate::network::MachineId;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) id: MachineId,
    /// None while no process runs.
    pub(crate) node: Option<Node<Fleet>>,
    /// Number of the process: what is meant for an earlier one is lost.
    pub(crate) run: u64,
    pub(crate) started: u64,
    pub(crate) frozen: bool,
    /// Last moment at which the process was stopped or started, or had a bad connection.
    pub(crate) hindered_at: u64,
    pub(crate) disk: Disk,
    /// The disk does one thing after another.
    pub(crate) disk_free_at: u64,
    pub(crate) slow_until: u64,
    pub(crate) sync_fails: bool,
    pub(crate) clock_ms: i64,
    /// Requests to brokers that have no answer.
    pub(crate) pending: BTreeSet<u64>,
    /// What a stopped process will get when it goes on.
    pub(crate) held: VecDeque<(u64, Event)>,
    pub(crate) consumers: BTreeMap<SubscriptionId, Consumer>,
    /// What brokers sent before does not arrive any more.
    pub(crate) cut_at: u64,
    /// What a leader that is cut off with it goes on telling of its streams.
    pub(crate) lone_leader: BTreeMap<StreamId, StreamInfo>,
    /// Number of the last wish to be woken.
    pub(crate) wish: u64,
    pub(crate) questions: BTreeMap<QueryId, Question>,
    /// Changes that were given to the door in this run, and fates that it gave back.
    pub(crate) taken: u64,
    pub(crate) fates: [u64; 7],
}

/// A subscription at the brokers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consumer {
    pub(crate) stream: StreamId,
    pub(crate) incarnation: Incarnation,
    /// Sequence of the next message to be sent.
    pub(crate) next: u64,
    /// The broker that keeps it: it goes with that.
    pub(crate) broker: usize,
    pub(crate) silent: bool,
    /// No message arrives before.
    pub(crate) arrives: u64,
}

/// A question that waits for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) at: u64,
    pub(crate) until: u64,
    pub(crate) shards: Vec<ShardId>,
}

impl Machine {
    pub(crate) fn new(id: MachineId, clock_ms: i64) -> Self {
        Self {
            id,
            node: None,
            run: 0,
            started: 0,
            frozen: false,
            hindered_at: 0,
            disk: Disk::default(),
            disk_free_at: 0,
            slow_until: 0,
            sync_fails: false,
            clock_ms,
            pending: BTreeSet::new(),
            held: VecDeque::new(),
            consumers: BTreeMap::new(),
            cut_at: 0,
            lone_leader: BTreeMap::new(),
            wish: 0,
            questions: BTreeMap::new(),
            taken: 0,
            fates: [0; 7],
        }
    }

    /// Begins a process.
    pub(crate) fn begin(&mut self, now: u64, node: Node<Fleet>) {
        self.end(now);
        self.started = now;
        self.node = Some(node);
    }

    /// Ends the process, with all that only it knew.
    pub(crate) fn end(&mut self, now: u64) {
        self.node = None;
        self.run += 1;
        self.frozen = false;
        self.hindered_at = now;
        self.pending.clear();
        self.held.clear();
        self.consumers.clear();
        self.questions.clear();
        self.taken = 0;
        self.fates = [0; 7];
    }

    pub(crate) fn node_id(&self) -> NodeId {
        node_id(self.id)
    }

    pub(crate) fn works(&self) -> bool {
        self.node.is_some() && !self.frozen
    }

    pub(crate) fn moment(&self, now: u64) -> Moment {
        // A run's clock begins anywhere.
        let begin = self.run * 977;
        Moment {
            elapsed_ms: begin + (now - self.started) / MILLI,
            wall_ms: WALL_MS + (now / MILLI) as i64 + self.clock_ms,
        }
    }

    /// Returns the moment at which this run's clock shows `elapsed_ms`.
    pub(crate) fn when(&self, elapsed_ms: u64) -> u64 {
        self.started + elapsed_ms.saturating_sub(self.run * 977).saturating_mul(MILLI)
    }
}

pub(crate) fn node_id(machine: MachineId) -> NodeId {
    NodeId(machine as u64 + 1)
}

pub(crate) fn machine_of(node: NodeId) -> Option<MachineId> {
    usize::try_from(node.0).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_found_again_by_the_clock_of_the_run() {
        let mut machine = Machine::new(0, -5_000);
        machine.end(3_000_000);
        machine.started = 3_000_000;
        let moment = machine.moment(7_654_000);
        assert_eq!(machine.when(moment.elapsed_ms), 7_654_000);
        assert_eq!(moment.wall_ms, WALL_MS + 2_654);
        assert_eq!(machine_of(machine.node_id()), Some(0));
    }
}
