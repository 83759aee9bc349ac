//! Calls for help that could not be proved. They make no incident; a person may look at them, and raise one.
//!
//! The list is in memory: one line per vehicle, or key where the vehicle is not known, and address. When it is full, the line
//! that was silent for longest goes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use vagn_seal::KeyId;
use vagn_wire::{Kind, Position};

use crate::allowance::Source;
use crate::clock::Clock;
use crate::proof::NoProof;

/// Most lines.
pub const UNPROVEN_MAX: usize = 1_000;

/// What is known of a call that could not be proved.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighted {
    /// Vehicle that it names, or that its key is for.
    pub vehicle_id: Option<Box<str>>,
    /// Key that it names.
    pub key_id: Option<KeyId>,
    /// Place, where it can be read.
    pub position: Option<Position>,
    /// What set it off, if it says so.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct UnprovenCall {
    /// Number of the line. It is given once in a run of the service.
    pub number: u64,
    /// The reason for which the last call was not believed.
    pub reason: NoProof,
    /// The last call.
    pub call: Sighted,
    /// Sender of the calls, if its door told.
    pub source: Option<Source>,
    /// Arrival of the first call, ms since 1970.
    pub first_ms: i64,
    /// Arrival of the last call, ms since 1970.
    pub last_ms: i64,
    /// Number of calls.
    pub count: u64,
}

/// The list.
pub struct Unproven {
    lines: Mutex<Lines>,
    clock: Arc<dyn Clock>,
}

/// Vehicle, or key, and address.
type LineKey = (Result<Box<str>, Option<KeyId>>, Option<Source>);

#[derive(Default)]
struct Lines {
    by_key: HashMap<LineKey, Line>,
    /// Keys by the order of their last calls.
    by_age: BTreeMap<u64, LineKey>,
    last_number: u64,
    last_order: u64,
}

struct Line {
    order: u64,
    call: UnprovenCall,
}

impl Unproven {
    /// Returns an empty list.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { lines: Mutex::default(), clock }
    }

    /// Adds a call that could not be proved, or counts it in its line.
    pub(super) fn note(&self, reason: NoProof, call: Sighted, source: Option<Source>) {
        let now_ms = self.clock.now_ms();
        self.lines.lock().note(reason, call, source, now_ms);
    }

    /// Returns the lines, the one that was heard last first.
    pub fn list(&self) -> Vec<UnprovenCall> {
        let lines = self.lines.lock();
        lines.by_age.values().rev().map(|key| lines.by_key[key].call.clone()).collect()
    }

    /// Returns the number of lines that were heard since `since_ms`.
    pub fn heard_since(&self, since_ms: i64) -> usize {
        let lines = self.lines.lock();
        lines.by_key.values().filter(|line| line.call.last_ms >= since_ms).count()
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.lines.lock().by_key.len()
    }

    /// Returns true when there is no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the line of this number.
    pub fn get(&self, number: u64) -> Option<UnprovenCall> {
        let lines = self.lines.lock();
        lines.by_key.values().find(|line| line.call.number == number).map(|line| line.call.clone())
    }

    /// Removes the line of this number: a person has dealt with it. False when it is gone.
    pub fn remove(&self, number: u64) -> bool {
        let mut lines = self.lines.lock();
        let found = lines.by_age.values().find(|key| lines.by_key[*key].call.number == number).cloned();
        found.is_some_and(|key| lines.remove(&key))
    }
}

impl Lines {
    fn note(&mut self, reason: NoProof, call: Sighted, source: Option<Source>, now_ms: i64) {
        let key = (call.vehicle_id.clone().ok_or(call.key_id), source);
        self.last_order += 1;
        let order = self.last_order;
        if let Some(line) = self.by_key.get_mut(&key) {
            self.by_age.remove(&line.order);
            line.order = order;
            let UnprovenCall { call: known, count, last_ms, .. } = &mut line.call;
            (*count, *last_ms) = (*count + 1, now_ms);
            let position = call.position.or(known.position);
            *known = Sighted { position, ..call };
            line.call.reason = reason;
        } else {
            if self.by_key.len() >= UNPROVEN_MAX
                && let Some((_, oldest)) = self.by_age.pop_first()
            {
                self.by_key.remove(&oldest);
            }
            self.last_number += 1;
            let number = self.last_number;
            let call =
                UnprovenCall { number, reason, call, source, first_ms: now_ms, last_ms: now_ms, count: 1 };
            self.by_key.insert(key.clone(), Line { order, call });
        }
        self.by_age.insert(order, key);
    }

    fn remove(&mut self, key: &LineKey) -> bool {
        let Some(line) = self.by_key.remove(key) else { return false };
        self.by_age.remove(&line.order);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn call(vehicle_id: Option<&str>, key: u8) -> Sighted {
        Sighted {
            vehicle_id: vehicle_id.map(Into::into),
            key_id: Some(KeyId([key; 8])),
            position: None,
            kind: None,
            vehicle_incident: None,
        }
    }

    fn source(last: u8) -> Option<Source> {
        Some(std::net::IpAddr::from([192, 0, 2, last]).into())
    }

    #[test]
    fn has_one_line_for_each_vehicle_or_key_and_address() {
        let clock = Arc::new(ManualClock::at(5));
        let list = Unproven::new(clock.clone());
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), source(1));
        clock.set_ms(9);
        for (call, from) in
            [(call(Some("bus 7"), 2), 2), (call(None, 1), 1), (call(None, 2), 1), (call(Some("bus 7"), 3), 1)]
        {
            list.note(NoProof::Revoked, call, source(from));
        }
        let lines: Vec<_> = list.list().into_iter().map(|line| (line.number, line.count)).collect();
        assert_eq!(lines, [(1, 2), (4, 1), (3, 1), (2, 1)]);
        let first = list.get(1).unwrap();
        assert_eq!((first.first_ms, first.last_ms, first.reason), (5, 9, NoProof::Revoked));
        assert_eq!((list.heard_since(9), list.heard_since(10)), (4, 0));
        assert!(list.remove(1) && !list.remove(1) && list.get(1).is_none());
        assert_eq!(list.len(), 3);
    }

    #[test]
    fn a_place_that_was_read_once_stays() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let place = Position::new(1.0, 2.0).ok();
        list.note(NoProof::NoSeal, Sighted { position: place, ..call(Some("bus 7"), 1) }, None);
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), None);
        assert_eq!(list.list()[0].call.position, place);
    }

    #[test]
    fn the_line_that_was_silent_for_longest_goes_when_it_is_full() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let note = |number: usize| {
            list.note(NoProof::NoSeal, call(Some(&number.to_string()), 1), None);
        };
        (0..UNPROVEN_MAX).for_each(note);
        note(0);
        note(UNPROVEN_MAX);
        let lines = list.list();
        assert_eq!((lines.len(), list.len()), (UNPROVEN_MAX, UNPROVEN_MAX));
        let ids: Vec<_> = lines.iter().filter_map(|line| line.call.vehicle_id.as_deref()).collect();
        assert!(ids.contains(&"0") && !ids.contains(&"1") && ids[0] == "1000");
    }
}
