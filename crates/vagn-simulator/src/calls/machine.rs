//! A machine of a run with calls for help: a node's part in the trail, its store, and the calls that its door makes by itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use vagn_cluster::trail::{AlarmId, Mark, TrailEvent, TrailNode};
use vagn_cluster::{Incarnation, Moment, StreamId, SubscriptionId};

use super::desk::Desk;
use super::store::Store;
use crate::agenda::MILLI;
use crate::brokers::WALL_MS;

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) node: Option<TrailNode<Desk>>,
    pub(crate) run: u64,
    pub(crate) started: u64,
    /// The process is stopped since this moment.
    pub(crate) frozen_at: Option<u64>,
    /// Moment since which the process works: its start, or the end of a stop.
    pub(crate) awake_at: u64,
    pub(crate) clock_ms: i64,
    pub(crate) store: Rc<RefCell<Store>>,
    /// Requests to brokers that have no answer.
    pub(crate) pending: BTreeSet<u64>,
    /// What a stopped process will get when it goes on.
    pub(crate) held: VecDeque<(u64, TrailEvent)>,
    pub(crate) consumers: BTreeMap<SubscriptionId, Consumer>,
    pub(crate) wish: u64,
    /// Calls of the door: the next attempt, or none while one is under way or after it was accepted.
    pub(crate) alone: BTreeMap<AlarmId, Option<u64>>,
    /// Newest report of each alarm that this process was given.
    pub(crate) reports: BTreeMap<AlarmId, u64>,
    /// Moment since which the disk has room.
    pub(crate) room_at: u64,
    /// Alarms that the store did not keep.
    pub(crate) not_kept: BTreeSet<AlarmId>,
    /// Alarm of each vehicle at this door.
    pub(crate) alarms: BTreeMap<u64, AlarmId>,
    /// Copy that is held for other machines.
    pub(crate) picture: Option<Picture>,
    /// The process is killed when it hears of an acceptance; for how long.
    pub(crate) dies_at_acceptance: Option<u64>,
}

/// A store as it was at a mark.
#[derive(Debug)]
pub(crate) struct Picture {
    pub(crate) mark: Mark,
    pub(crate) bytes: Vec<u8>,
    pub(crate) read_at: u64,
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

impl Machine {
    pub(crate) fn new(clock_ms: i64) -> Self {
        Self {
            node: None,
            run: 0,
            started: 0,
            frozen_at: None,
            awake_at: 0,
            clock_ms,
            store: Rc::default(),
            pending: BTreeSet::new(),
            held: VecDeque::new(),
            consumers: BTreeMap::new(),
            wish: 0,
            alone: BTreeMap::new(),
            reports: BTreeMap::new(),
            room_at: 0,
            not_kept: BTreeSet::new(),
            alarms: BTreeMap::new(),
            picture: None,
            dies_at_acceptance: None,
        }
    }

    /// Ends the process, with all that only it knew.
    pub(crate) fn end(&mut self) {
        self.node = None;
        self.run += 1;
        self.frozen_at = None;
        self.pending.clear();
        self.held.clear();
        self.consumers.clear();
        self.alone.clear();
        self.reports.clear();
        self.not_kept.clear();
        self.alarms.clear();
        self.picture = None;
        self.dies_at_acceptance = None;
    }

    /// Gives the disk room again.
    pub(crate) fn make_room(&mut self, now: u64) {
        if std::mem::take(&mut self.store.borrow_mut().full) {
            self.room_at = now;
        }
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
