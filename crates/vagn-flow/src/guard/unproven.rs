//! Calls for help that could not be proved. They make no incident; a person may look at them, and raise one.
//!
//! The list is in memory: one line per vehicle, or key where the vehicle is not known, and address; drills have lines of their own, so that
//! a forged one hides no real call. When the list is full, or an address has its share of it, a line for which there is no key goes first,
//! and of those the one that was silent for longest: a sender can make up keys and vehicles. Such a line never takes the place of one
//! for which there is a key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use vagn_seal::KeyId;
use vagn_wire::{Kind, Position};

use crate::allowance::Source;
use crate::clock::Clock;
use crate::proof::NoProof;

/// Most lines.
pub const UNPROVEN_MAX: usize = 1_000;

/// Most lines of an address: one alone must not push out the others.
pub const UNPROVEN_OF_ADDRESS_MAX: usize = UNPROVEN_MAX / 8;

/// A call that could not be proved, as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighted {
    /// Vehicle that it names, or that its key is for.
    pub vehicle_id: Option<Box<str>>,
    /// Key that it names.
    pub key_id: Option<KeyId>,
    /// Place, where it can be read.
    pub position: Option<Position>,
    /// Kind of event that set it off, if it says so.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
}

impl Sighted {
    /// Returns true for a drill.
    pub fn is_test(&self) -> bool {
        self.kind == Some(Kind::Test)
    }
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
    /// There was a key in force for its vehicle when it called, or the key that it names is there or was revoked: a sender can make up the
    /// others.
    pub has_key: bool,
}

/// Knows of keys that are no more in force.
pub trait KeyNames: Send + Sync {
    /// Returns the id of the vehicle that a key is or was for.
    fn vehicle_of(&self, key_id: KeyId) -> Option<Box<str>>;
}

/// The list.
pub struct Unproven {
    lines: Mutex<Lines>,
    names: OnceLock<Box<dyn KeyNames>>,
    clock: Arc<dyn Clock>,
}

/// Line that a call belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LineKey {
    caller: Result<Box<str>, Option<KeyId>>,
    source: Option<Source>,
    is_test: bool,
}

/// Rank of a line; the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// There was a key in force for its vehicle when it called, or the key that it names is there or was revoked.
    has_key: bool,
    /// It came under a key, if of another vehicle: that takes more than to make a vehicle up.
    is_sealed: bool,
    /// Order of its last call.
    order: u64,
}

#[derive(Default)]
struct Lines {
    by_key: HashMap<LineKey, Line>,
    by_rank: BTreeMap<Rank, LineKey>,
    of_source: HashMap<Source, BTreeSet<Rank>>,
    last_number: u64,
    last_order: u64,
}

struct Line {
    rank: Rank,
    call: UnprovenCall,
}

impl Unproven {
    /// Returns an empty list.
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { lines: Mutex::default(), names: OnceLock::new(), clock }
    }

    /// Lets calls under revoked keys be shown with their vehicles. The first one to know of keys stays.
    pub fn name_by(&self, names: Box<dyn KeyNames>) {
        _ = self.names.set(names);
    }

    /// Adds the vehicle of a revoked key, when a line is shown: what comes in must not wait for that.
    fn named(&self, mut line: UnprovenCall) -> UnprovenCall {
        let call = &mut line.call;
        if let (NoProof::Revoked, None, Some(key_id), Some(names)) =
            (line.reason, &call.vehicle_id, call.key_id, self.names.get())
        {
            call.vehicle_id = names.vehicle_of(key_id);
        }
        line
    }

    /// Adds a call that could not be proved, or counts it in its line. `has_key` when it names a vehicle that has a key, or a key that
    /// is there or was revoked.
    /// False when that costs a line: another one, or the one that it would have had.
    pub(super) fn note(&self, reason: NoProof, call: Sighted, has_key: bool, source: Option<Source>) -> bool {
        let now_ms = self.clock.now_ms();
        self.lines.lock().note(reason, call, has_key, source, now_ms)
    }

    /// Returns the lines, the one that was heard last first.
    pub fn list(&self) -> Vec<UnprovenCall> {
        let mut listed: Vec<_> = {
            let lines = self.lines.lock();
            lines.by_key.values().map(|line| (line.rank.order, line.call.clone())).collect()
        };
        listed.sort_unstable_by_key(|(order, _)| std::cmp::Reverse(*order));
        listed.into_iter().map(|(_, call)| self.named(call)).collect()
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
        let found = {
            let lines = self.lines.lock();
            lines.by_key.values().find(|line| line.call.number == number).map(|line| line.call.clone())
        };
        found.map(|call| self.named(call))
    }

    /// Removes the line of this number: a person has dealt with it. False when it is gone.
    pub fn remove(&self, number: u64) -> bool {
        let mut lines = self.lines.lock();
        let found = lines.by_key.iter().find(|(_, line)| line.call.number == number);
        let found = found.map(|(key, _)| key.clone());
        found.is_some_and(|key| lines.remove(&key).is_some())
    }
}

impl Lines {
    fn note(
        &mut self,
        reason: NoProof,
        call: Sighted,
        has_key: bool,
        source: Option<Source>,
        now_ms: i64,
    ) -> bool {
        let caller = call.vehicle_id.clone().ok_or(call.key_id);
        let key = LineKey { caller, source, is_test: call.is_test() };
        self.last_order += 1;
        let rank = Rank { has_key, is_sealed: reason == NoProof::WrongVehicle, order: self.last_order };
        if let Some(line) = self.remove(&key) {
            // A later one that may be made up takes nothing from its line.
            let rank = rank.max(Rank { order: rank.order, ..line.rank });
            let call = UnprovenCall { has_key: rank.has_key, ..line.repeated(reason, call, now_ms) };
            self.put(key, Line { rank, call });
            return true;
        }
        let least = self.least_where_full(source);
        if least.is_some_and(|least| least > rank) {
            return false;
        }
        if let Some(key) = least.and_then(|rank| self.by_rank.get(&rank).cloned()) {
            self.remove(&key);
        }
        self.last_number += 1;
        let number = self.last_number;
        let call = UnprovenCall {
            number,
            reason,
            call,
            source,
            first_ms: now_ms,
            last_ms: now_ms,
            count: 1,
            has_key,
        };
        self.put(key, Line { rank, call });
        least.is_none()
    }

    /// Returns the line that is to go first, where the list is full or this address has its share of it.
    fn least_where_full(&self, source: Option<Source>) -> Option<Rank> {
        let of_source = source.and_then(|source| self.of_source.get(&source));
        match of_source.filter(|ranks| ranks.len() >= UNPROVEN_OF_ADDRESS_MAX) {
            Some(ranks) => ranks.first().copied(),
            None if self.by_key.len() >= UNPROVEN_MAX => self.by_rank.keys().next().copied(),
            None => None,
        }
    }

    fn put(&mut self, key: LineKey, line: Line) {
        if let Some(source) = key.source {
            self.of_source.entry(source).or_default().insert(line.rank);
        }
        self.by_rank.insert(line.rank, key.clone());
        self.by_key.insert(key, line);
    }

    fn remove(&mut self, key: &LineKey) -> Option<Line> {
        let line = self.by_key.remove(key)?;
        self.by_rank.remove(&line.rank);
        if let Some(source) = key.source
            && let Some(ranks) = self.of_source.get_mut(&source)
        {
            ranks.remove(&line.rank);
            if ranks.is_empty() {
                self.of_source.remove(&source);
            }
        }
        Some(line)
    }
}

impl Line {
    /// Returns the line after one more call, which keeps the place that was read before.
    fn repeated(self, reason: NoProof, call: Sighted, now_ms: i64) -> UnprovenCall {
        let known = self.call;
        let position = call.position.or(known.call.position);
        let call = Sighted { position, ..call };
        UnprovenCall { reason, call, last_ms: now_ms, count: known.count + 1, ..known }
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
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), true, source(1));
        clock.set_ms(9);
        for (call, from) in
            [(call(Some("bus 7"), 2), 2), (call(None, 1), 1), (call(None, 2), 1), (call(Some("bus 7"), 3), 1)]
        {
            list.note(NoProof::Revoked, call, true, source(from));
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
    fn a_call_under_a_revoked_key_is_shown_with_its_vehicle() {
        struct One;
        impl KeyNames for One {
            fn vehicle_of(&self, key_id: KeyId) -> Option<Box<str>> {
                (key_id.0[0] == 1).then(|| "bus 7".into())
            }
        }
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        list.name_by(Box::new(One));
        list.note(NoProof::Revoked, call(None, 1), true, source(1));
        list.note(NoProof::Revoked, call(None, 2), true, source(1));
        let named = |number| list.get(number).unwrap().call.vehicle_id;
        assert_eq!((named(1).as_deref(), named(2)), (Some("bus 7"), None));
        assert_eq!(list.list()[1].call.vehicle_id.as_deref(), Some("bus 7"));
    }

    #[test]
    fn a_place_that_was_read_once_stays() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let place = Position::new(1.0, 2.0).ok();
        list.note(NoProof::NoSeal, Sighted { position: place, ..call(Some("bus 7"), 1) }, true, None);
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), true, None);
        assert_eq!(list.list()[0].call.position, place);
    }

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), true, source(1));
        list.note(NoProof::BadTag, call(Some("bus 8"), 2), true, source(2));
        for key in 0..2 * UNPROVEN_MAX {
            let key_id = Some(KeyId((key as u64).to_be_bytes()));
            list.note(NoProof::UnknownKey, Sighted { key_id, ..call(None, 0) }, false, source(1));
        }
        let ids: Vec<_> = list.list().into_iter().filter_map(|line| line.call.vehicle_id).collect();
        assert_eq!((list.len(), ids), (UNPROVEN_OF_ADDRESS_MAX + 1, vec!["bus 8".into(), "bus 7".into()]));
    }

    #[test]
    fn a_line_of_an_unknown_key_goes_before_an_older_one_of_a_vehicle() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        list.note(NoProof::BadTag, call(Some("bus 7"), 1), true, source(1));
        for number in 0..UNPROVEN_MAX {
            let key_id = Some(KeyId((number as u64).to_be_bytes()));
            let from = source(2 + u8::try_from(number / 100).unwrap());
            list.note(NoProof::UnknownKey, Sighted { key_id, ..call(None, 0) }, false, from);
        }
        let has_vehicle = |line: &UnprovenCall| line.call.vehicle_id.is_some();
        assert_eq!(
            (list.len(), list.list().iter().filter(|line| has_vehicle(line)).count()),
            (UNPROVEN_MAX, 1)
        );
    }

    #[test]
    fn what_has_no_key_takes_no_place_of_what_has_one_and_goes_before_what_is_sealed() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let note = |reason, id: &str, has_key| list.note(reason, call(Some(id), 1), has_key, None);
        assert!(note(NoProof::WrongVehicle, "sealed", false));
        for number in 1..UNPROVEN_MAX {
            assert!(note(NoProof::NoSeal, &format!("bus {number}"), number > 1));
        }
        // The one without a key and the one under the key of another go, in this order, and then nothing does.
        let has = |id| list.list().iter().any(|line| line.call.vehicle_id.as_deref() == Some(id));
        assert!(!note(NoProof::NoSeal, "made up", false) && has("made up") && !has("bus 1"));
        assert!(!note(NoProof::NoSeal, "true 1", true) && !has("made up") && has("sealed"));
        assert!(!note(NoProof::NoSeal, "made up", false) && !has("made up") && has("sealed"));
        assert!(!note(NoProof::NoSeal, "true 2", true) && !has("sealed"));
        for (reason, id) in [(NoProof::NoSeal, "made up"), (NoProof::WrongVehicle, "sealed")] {
            assert!(!note(reason, id, false) && !has(id));
        }
        assert!(note(NoProof::NoSeal, "true 2", true), "it has a line");
        assert!(!note(NoProof::NoSeal, "true 3", true) && has("true 3") && !has("bus 2"));
        assert_eq!(list.len(), UNPROVEN_MAX);
    }

    #[test]
    fn a_repeat_that_anybody_can_make_up_takes_no_rank_from_its_line() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let note = |reason, id: &str, has_key| list.note(reason, call(Some(id), 1), has_key, None);
        for (reason, id, has_key) in [
            (NoProof::WrongVehicle, "t7", false),
            (NoProof::BadTag, "bus 7", true),
            (NoProof::NoSeal, "t7", false),
            (NoProof::NoSeal, "bus 7", false),
        ] {
            assert!(note(reason, id, has_key));
        }
        for number in 0..2 * UNPROVEN_MAX {
            note(NoProof::NoSeal, &format!("made up {number}"), false);
        }
        let line = |id| list.list().into_iter().find(|line| line.call.vehicle_id.as_deref() == Some(id));
        for (id, has_key) in [("t7", false), ("bus 7", true)] {
            assert_eq!(line(id).map(|line| (line.count, line.has_key)), Some((2, has_key)), "{id}");
        }
        note(NoProof::NoSeal, "t7", true);
        assert!(line("t7").unwrap().has_key, "it has one since");
    }

    #[test]
    fn a_drill_has_a_line_of_its_own() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        for kind in [None, Some(Kind::Test), Some(Kind::Manual)] {
            list.note(NoProof::NoSeal, Sighted { kind, ..call(Some("bus 7"), 1) }, true, source(1));
        }
        let kinds: Vec<_> = list.list().into_iter().map(|line| (line.call.kind, line.count)).collect();
        assert_eq!(kinds, [(Some(Kind::Manual), 2), (Some(Kind::Test), 1)]);
    }

    #[test]
    fn the_line_that_was_silent_for_longest_goes_when_it_is_full() {
        let list = Unproven::new(Arc::new(ManualClock::at(5)));
        let note = |number: usize| {
            list.note(NoProof::NoSeal, call(Some(&number.to_string()), 1), true, None);
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
