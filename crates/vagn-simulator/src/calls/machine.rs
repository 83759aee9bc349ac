//! A machine of a run with calls for help: a node's part in the trail, and what is behind it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vagn_cluster::trail::{TrailEvent, TrailNode};
use vagn_cluster::{Incarnation, Moment, StreamId, SubscriptionId};

use super::side::Side;
use crate::agenda::MILLI;
use crate::brokers::WALL_MS;

/// A machine.
pub(crate) struct Machine<S: Side> {
    pub(crate) node: Option<TrailNode<S::Desk>>,
    pub(crate) own: S::Own,
    pub(crate) run: u64,
    pub(crate) started: u64,
    /// The process is stopped since this moment.
    pub(crate) frozen_at: Option<u64>,
    /// Moment since which the process works: its start, or the end of a stop.
    pub(crate) awake_at: u64,
    pub(crate) clock_ms: i64,
    /// Number of the settings with which it is started.
    pub(crate) settings: u64,
    /// The ones before, and the moment at which they were changed.
    pub(crate) settings_before: Option<(u64, u64)>,
    /// Requests to brokers that have no answer.
    pub(crate) pending: BTreeSet<u64>,
    /// What a stopped process will get when it goes on.
    pub(crate) held: VecDeque<(u64, TrailEvent)>,
    pub(crate) consumers: BTreeMap<SubscriptionId, Consumer>,
    pub(crate) wish: u64,
    /// The process is killed when it hears of an acceptance; for how long.
    pub(crate) dies_at_acceptance: Option<u64>,
}

/// A subscription at the brokers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Consumer {
    pub(crate) stream: StreamId,
    pub(crate) incarnation: Incarnation,
    pub(crate) next: u64,
    pub(crate) broker: usize,
    pub(crate) silent: bool,
    pub(crate) arrives: u64,
}

impl<S: Side> Machine<S> {
    pub(crate) fn new(clock_ms: i64, settings: u64, own: S::Own) -> Self {
        Self {
            node: None,
            own,
            run: 0,
            started: 0,
            frozen_at: None,
            awake_at: 0,
            clock_ms,
            settings,
            settings_before: None,
            pending: BTreeSet::new(),
            held: VecDeque::new(),
            consumers: BTreeMap::new(),
            wish: 0,
            dies_at_acceptance: None,
        }
    }

    /// Ends the process, with all that only it knew.
    pub(crate) fn end(&mut self) {
        self.node = None;
        S::end(&mut self.own);
        self.run += 1;
        self.frozen_at = None;
        self.pending.clear();
        self.held.clear();
        self.consumers.clear();
        self.dies_at_acceptance = None;
    }

    pub(crate) fn works(&self) -> bool {
        self.node.is_some() && self.frozen_at.is_none()
    }

    pub(crate) fn moment(&self, now: u64) -> Moment {
        Moment {
            elapsed_ms: (now - self.started) / MILLI,
            wall_ms: WALL_MS + (now / MILLI) as i64 + self.clock_ms,
        }
    }

    /// Returns the moment at which this run's clock shows `elapsed_ms`.
    pub(crate) fn when(&self, elapsed_ms: u64) -> u64 {
        self.started + elapsed_ms.saturating_mul(MILLI)
    }
}
