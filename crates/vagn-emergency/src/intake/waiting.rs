//! Alarms that wait in one lane of the inbox, the first that came first.

use std::collections::VecDeque;
use std::hash::RandomState;
use std::time::Duration;

use hashbrown::HashMap;

use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::key::{AlarmKey, AlarmKeyRef};

/// One lane: an entry per vehicle, sort (real or drill) and own incident id.
#[derive(Debug)]
pub(super) struct WaitingAlarms {
    /// Most that may wait.
    max: usize,
    alarms: VecDeque<Alarm>,
    /// Number of each alarm, counted over the life of the lane. Hashed with a random key, so that invented ids cannot be made
    /// to collide.
    index: HashMap<AlarmKey, u64, RandomState>,
    /// Number of the first alarm that waits.
    first: u64,
}

/// Result of [`WaitingAlarms::put`].
pub(super) enum Put {
    New,
    /// Merged into one that waits. These senders are too many for it.
    Repeat(Vec<PendingAck>),
    NoRoom(Box<Alarm>),
    /// One that waits came in the same envelope, which has come again.
    Replay(Box<Alarm>),
}

impl WaitingAlarms {
    /// Returns an empty lane for `max` alarms.
    pub(super) fn new(max: usize) -> Self {
        Self { max, alarms: VecDeque::new(), index: HashMap::default(), first: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.alarms.len()
    }

    /// Returns the arrival of the alarm that has waited longest.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.alarms.front().map(|alarm| alarm.arrived)
    }

    pub(super) fn put(&mut self, alarm: Alarm) -> Put {
        if let Some(&number) = self.index.get(&AlarmKeyRef::of(&alarm)) {
            let first = &mut self.alarms[(number - self.first) as usize];
            if first.seal != alarm.seal {
                return Put::Replay(Box::new(alarm));
            }
            return Put::Repeat(first.merge(alarm));
        }
        if self.alarms.len() >= self.max {
            return Put::NoRoom(Box::new(alarm));
        }
        let number = self.first + self.alarms.len() as u64;
        self.index.insert(AlarmKeyRef::of(&alarm).to_owned(), number);
        self.alarms.push_back(alarm);
        Put::New
    }

    /// Takes out up to `most` alarms.
    pub(super) fn take(&mut self, most: usize, taken: &mut Vec<Alarm>) {
        let count = most.min(self.alarms.len());
        if count == self.alarms.len() {
            self.index.clear();
        }
        for alarm in self.alarms.drain(..count) {
            self.index.remove(&AlarmKeyRef::of(&alarm));
            taken.push(alarm);
        }
        self.first += count as u64;
    }
}
