//! The inbox: where the publisher of a batch leaves the calls for help that it carries.
//!
//! It belongs to no actor, so nothing that waits here is lost when one crashes. Repeats of a call collapse on the way in:
//! a vehicle that repeats itself a thousand times takes one place in the queue.

use std::hash::{Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use vagn_otp::{Offer, Subscriber};
use vagn_wire::{Report, StoredAck, decode};

use super::candidate::{CLAIMS_MAX, Candidate, Claim, Datagram};
use super::sightings::Sightings;
use vagn_flow::batch::Batch;
use vagn_flow::clock::Clock;

/// Different calls that may wait at a time. They wait for microseconds, unless both actors behind are gone.
const CALLS_MAX: usize = 16_384;

/// How many of these may be of vehicles that nobody knew before they called for help.
const STRANGERS_MAX: usize = CALLS_MAX / 2;

/// Datagrams whose senders may wait for an answer at a time; the rest repeat. They are answered under the desk's lock, at
/// a microsecond or two each.
const ASKERS_MAX: usize = 1_024;

/// The same for one call, so that who repeats it all the time, or forges it, takes the answer from nobody else.
const ASKERS_PER_CALL_MAX: usize = 16;

/// Longest that a publisher waits to hear whether a vehicle is a stranger; it is let in otherwise.
const TELL_WITHIN: Duration = Duration::from_micros(100);

/// Wakes whoever empties the inbox. Must not wait.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// Calls for help that nobody has looked at yet, one entry per vehicle, sort (real or trial) and own incident id.
pub struct Inbox {
    waiting: Mutex<Waiting>,
    refused: AtomicU64,
    /// For those who asked by datagram.
    seats: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    sightings: Arc<dyn Sightings>,
    bell: OnceLock<Bell>,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: Vec<Candidate>,
    /// Where each caller's call stands. Hashed so that invented ids cannot be made to collide.
    at: HashMap<Caller, usize, RandomState>,
}

/// The inbox as a subscriber to batches.
pub struct Intake(pub Arc<Inbox>);

impl Inbox {
    /// An empty inbox. `sightings` tells known vehicles from strangers when it fills up.
    pub fn new(clock: Arc<dyn Clock>, sightings: Arc<dyn Sightings>) -> Self {
        Self {
            waiting: Mutex::default(),
            refused: AtomicU64::new(0),
            seats: Arc::new(Semaphore::new(ASKERS_MAX)),
            clock,
            sightings,
            bell: OnceLock::new(),
        }
    }

    /// From now on, rings `bell` for each new call. Only the first bell counts.
    pub fn attach(&self, bell: Bell) {
        drop(self.bell.set(bell));
    }

    /// How many calls found no room since this was last asked.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Takes out all that waits, in order of arrival.
    pub fn take(&self) -> Vec<Candidate> {
        let mut waiting = self.waiting.lock();
        waiting.at.clear();
        std::mem::take(&mut waiting.calls)
    }

    /// When the call that has waited longest arrived, on the monotonic clock.
    pub fn oldest(&self) -> Option<Duration> {
        self.waiting.lock().calls.first().map(|call| call.arrived)
    }

    /// Whether the vehicle is a stranger, which only matters, and is only looked up, when the inbox fills up.
    fn is_unwelcome(&self, call: &Candidate) -> bool {
        let fills_up = self.waiting.lock().calls.len() >= STRANGERS_MAX;
        fills_up
            && self
                .sightings
                .last(&call.vehicle_id, TELL_WITHIN)
                .is_ok_and(|seen| seen.is_none_or(|seen| !seen.familiar))
    }

    fn put(&self, call: Candidate) -> Offer {
        let max = if self.is_unwelcome(&call) { STRANGERS_MAX } else { CALLS_MAX };
        let put = self.waiting.lock().put(call, max);
        let offer = match put {
            Put::Repeat => return Offer::Taken,
            Put::New => Offer::Taken,
            Put::NoRoom(claims) => {
                claims.into_iter().for_each(Claim::refuse);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Offer::Full
            }
        };
        if let Some(bell) = self.bell.get() {
            bell();
        }
        offer
    }

    /// The candidate in one report, if it is one.
    fn candidate(&self, batch: &Batch, index: u32, bytes: &[u8]) -> Option<Candidate> {
        let report = decode(bytes).ok().filter(|report: &Report<'_>| report.emergency)?;
        let arrived = self.clock.monotonic();
        let mut candidate = Candidate::new(&report, batch.time_ms(), arrived);
        let receipt = batch.receipt().map(|receipt| Claim::new(receipt, index, arrived));
        let claim = receipt.or_else(|| self.datagram(batch, index, &report, bytes.len(), arrived));
        candidate.claims.extend(claim);
        Some(candidate)
    }

    /// The claim of a sender who asked by datagram, if there is a seat left.
    fn datagram(
        &self,
        batch: &Batch,
        index: u32,
        report: &Report<'_>,
        len: usize,
        since: Duration,
    ) -> Option<Claim> {
        let asker = batch.asker(index)?.clone();
        let StoredAck { vehicle_id, seq, .. } = StoredAck::asked_by(report)?;
        let seat = self.seats.clone().try_acquire_owned().ok()?;
        let vehicle_id = vehicle_id.as_str().into();
        Some(Claim::datagram(Datagram { asker, vehicle_id, seq, len, seat }, since))
    }
}

/// The filter that the publisher runs: it reads the few reports once more in full that were seen to carry the flag.
impl Subscriber<Arc<Batch>> for Intake {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        let Self(inbox) = self;
        let calls = batch.calls().filter_map(|(index, bytes)| inbox.candidate(batch, index, bytes));
        // One that found no room outweighs those that did: it must be counted.
        let worse = |one, other| if one == Offer::Full { one } else { other };
        calls.map(|call| inbox.put(call)).reduce(worse).unwrap_or(Offer::Skipped)
    }

    fn depth(&self) -> (usize, usize) {
        (self.0.waiting.lock().calls.len(), CALLS_MAX)
    }
}

enum Put {
    New,
    Repeat,
    NoRoom(Vec<Claim>),
}

impl Waiting {
    fn put(&mut self, mut call: Candidate, max: usize) -> Put {
        if let Some(&at) = self.at.get(&CallerRef::of(&call)) {
            let first = &mut self.calls[at];
            let surplus = call.claims.extract_if(.., |claim| !has_room(first, claim));
            surplus.for_each(Claim::refuse);
            first.absorb(call);
            return Put::Repeat;
        }
        if self.calls.len() >= max {
            return Put::NoRoom(call.claims);
        }
        self.at.insert(CallerRef::of(&call).to_owned(), self.calls.len());
        self.calls.push(call);
        Put::New
    }
}

/// Whether one more sender may wait to hear of `call`.
fn has_room(call: &Candidate, claim: &Claim) -> bool {
    let max = if claim.is_datagram() { ASKERS_PER_CALL_MAX } else { CLAIMS_MAX };
    call.claims.len() < max
}

/// What makes two reports the same call.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    vehicle_id: Box<str>,
    test: bool,
    vehicle_incident: Option<Box<str>>,
}

/// The same, borrowed, so that looking for it allocates nothing.
#[derive(PartialEq, Eq, Hash)]
struct CallerRef<'a> {
    vehicle_id: &'a str,
    test: bool,
    vehicle_incident: Option<&'a str>,
}

impl Caller {
    fn borrow(&self) -> CallerRef<'_> {
        CallerRef {
            vehicle_id: &self.vehicle_id,
            test: self.test,
            vehicle_incident: self.vehicle_incident.as_deref(),
        }
    }
}

impl<'a> CallerRef<'a> {
    fn of(call: &'a Candidate) -> Self {
        Self {
            vehicle_id: &call.vehicle_id,
            test: call.is_test(),
            vehicle_incident: call.vehicle_incident.as_deref(),
        }
    }

    fn to_owned(&self) -> Caller {
        Caller {
            vehicle_id: self.vehicle_id.into(),
            test: self.test,
            vehicle_incident: self.vehicle_incident.map(Into::into),
        }
    }
}

impl Hash for Caller {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Equivalent<Caller> for CallerRef<'_> {
    fn equivalent(&self, key: &Caller) -> bool {
        *self == key.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IncidentId;
    use crate::place::Place;
    use crate::sightings::Seen;
    use crate::testing::{encoded, fleet, help, trial};
    use std::sync::LazyLock;
    use std::sync::mpsc::Receiver;
    use vagn_flow::batch::{BatchBuilder, Source};
    use vagn_flow::clock::ManualClock;
    use vagn_flow::fate::{Answer, Receipt};
    use vagn_flow::metrics::Metrics;
    use vagn_flow::stamp::Stamp;
    use vagn_flow::testing::asker;
    use vagn_wire::Fate;

    static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(Metrics::new);

    fn offer(inbox: &Arc<Inbox>, reports: &[Report<'_>], time_ms: i64) -> (Offer, Answer) {
        let mut batch = BatchBuilder::new(Source::Tcp);
        reports.iter().for_each(|report| batch.push(&encoded(report)));
        let (receipt, answer) = Receipt::new(reports.len());
        let batch = batch.seal(Stamp { time_ms, first_seq: 0 }, Some(receipt), &METRICS);
        (Intake(inbox.clone()).offer(&batch), answer)
    }

    /// An inbox that knows every vehicle but those whose names begin with "vehicle".
    fn inbox() -> Arc<Inbox> {
        let place = Place { lat: 1.0, lon: 2.0, time_ms: 0, trusted: false };
        let known =
            fleet(move |id| Ok((!id.starts_with("vehicle")).then_some(Seen { place, familiar: true })));
        Arc::new(Inbox::new(Arc::new(ManualClock::at(1_000)), known))
    }

    #[test]
    fn keeps_one_entry_per_vehicle_sort_and_name() {
        let inbox = inbox();
        let named = Report { incident: Some("a"), ..help("bus 7") };
        let quiet = Report { emergency: false, ..help("bus 9") };
        let sent = [help("bus 7"), help("bus 7"), trial("bus 7"), named, help("bus 8"), quiet, named];
        assert_eq!(offer(&inbox, &sent, 1_000).0, Offer::Taken);
        let taken = inbox.take();
        let seen: Vec<_> =
            taken.iter().map(|call| (&*call.vehicle_id, call.is_test(), call.reports)).collect();
        assert_eq!(seen, [("bus 7", false, 2), ("bus 7", true, 1), ("bus 7", false, 2), ("bus 8", false, 1)]);
        assert!(inbox.take().is_empty() && inbox.oldest().is_none());
    }

    #[test]
    fn passes_over_what_does_not_call_for_help() {
        let quiet = Report { emergency: false, ..help("bus 9") };
        assert_eq!(offer(&inbox(), &[quiet], 0).0, Offer::Skipped);
    }

    #[test]
    fn rings_once_per_call_and_not_per_repeat() {
        let inbox = inbox();
        let rung = Arc::new(AtomicU64::new(0));
        let count = rung.clone();
        inbox.attach(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        drop(offer(&inbox, &[help("bus 7"), help("bus 7"), help("bus 8")], 0));
        assert_eq!(rung.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_flood_of_invented_vehicles_finds_an_end() {
        let inbox = inbox();
        let names: Vec<_> = (0..STRANGERS_MAX + 10).map(|number| format!("vehicle {number}")).collect();
        for name in &names {
            drop(offer(&inbox, &[help(name)], 0));
        }
        let (_, mut refused) = offer(&inbox, &[help("vehicle of nobody")], 0);
        assert_eq!(refused.try_recv().unwrap()[0].fate, Fate::Failed);
        drop(offer(&inbox, &[help("vehicle 3")], 0));
        assert_eq!(inbox.take_refused(), 11);
        for number in 0..CALLS_MAX {
            drop(offer(&inbox, &[help(&format!("bus {number}"))], 0));
        }
        assert_eq!(inbox.take_refused(), STRANGERS_MAX as u64, "known vehicles have the other half");
        let taken = inbox.take();
        assert_eq!((taken.len(), taken[3].reports), (CALLS_MAX, 2));
    }

    #[test]
    fn a_batch_with_a_call_that_found_no_room_counts_as_dropped() {
        let inbox = inbox();
        let names: Vec<_> = (0..STRANGERS_MAX).map(|number| format!("vehicle {number}")).collect();
        assert!(names.iter().all(|name| offer(&inbox, &[help(name)], 0).0 == Offer::Taken));
        let (no_room, repeat, known) = (help("vehicle of nobody"), help("vehicle 3"), help("bus 7"));
        assert_eq!(offer(&inbox, &[repeat, known], 0).0, Offer::Taken);
        for sent in [&[no_room][..], &[no_room, known], &[known, no_room], &[repeat, no_room, known]] {
            assert_eq!(offer(&inbox, sent, 0).0, Offer::Full);
        }
    }

    #[test]
    fn senders_of_one_call_are_kept_up_to_a_limit() {
        let inbox = inbox();
        let reports = [help("bus 7"); 200];
        let mut answers: Vec<_> = (0..10).map(|_| offer(&inbox, &reports, 0).1).collect();
        assert_eq!(inbox.take()[0].claims.len(), CLAIMS_MAX);
        let last = answers.pop().unwrap().blocking_recv().unwrap();
        assert!(last.iter().all(|outcome| outcome.fate == Fate::Failed));
    }

    /// Offers a call that asks for an answer, and gives what its sender hears.
    fn ask(inbox: &Arc<Inbox>, vehicle_id: &str) -> Receiver<Vec<u8>> {
        let (asker, heard) = asker();
        let mut batch = BatchBuilder::new(Source::Udp);
        batch.push(&encoded(&Report { seq: Some(7), ..help(vehicle_id) }));
        batch.answer_last(asker);
        let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
        Intake(inbox.clone()).offer(&batch);
        heard
    }

    /// Lets each of these calls for help ask, and says how many of them are answered.
    fn answered(inbox: &Arc<Inbox>, vehicles: &[String]) -> usize {
        let sent: Vec<_> = vehicles.iter().map(|vehicle_id| ask(inbox, vehicle_id)).collect();
        let claims = inbox.take().into_iter().flat_map(|call| call.claims);
        claims.for_each(|claim| claim.grant(IncidentId::from_u128(1)));
        sent.iter().filter(|heard| heard.try_recv().is_ok()).count()
    }

    #[test]
    fn those_who_ask_by_datagram_wait_up_to_a_limit_and_make_room_again() {
        let inbox = inbox();
        let fleet: Vec<_> = (0..ASKERS_MAX + 10).map(|number| format!("bus {number}")).collect();
        for _ in 0..2 {
            assert_eq!(answered(&inbox, &fleet), ASKERS_MAX);
        }
    }

    #[test]
    fn a_vehicle_that_repeats_itself_all_the_time_takes_no_answer_from_others() {
        let inbox = inbox();
        let mut calls = vec!["chatterer".to_owned(); 2 * ASKERS_MAX];
        assert_eq!(answered(&inbox, &calls), ASKERS_PER_CALL_MAX);
        calls.push("bus 7".to_owned());
        assert_eq!(answered(&inbox, &calls), ASKERS_PER_CALL_MAX + 1);
    }
}
