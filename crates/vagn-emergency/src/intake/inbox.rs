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

use crate::intake::alarm::{AckRequest, Alarm, PENDING_ACKS_MAX, PendingAck};
use crate::intake::known::KnownVehicles;
use vagn_flow::batch::Batch;
use vagn_flow::clock::Clock;

/// Different calls that may wait at a time. They wait for microseconds, unless both actors behind are gone.
const ALARMS_MAX: usize = 16_384;

/// How many of these may be of vehicles that nobody knew before they called for help.
const STRANGERS_MAX: usize = ALARMS_MAX / 2;

/// Datagrams whose senders may wait for an answer at a time; the rest repeat. They are answered under the desk's lock, at
/// a microsecond or two each.
const ACK_REQUESTS_MAX: usize = 1_024;

/// The same for one call, so that who repeats it all the time, or forges it, takes the answer from nobody else.
const ACK_REQUESTS_PER_ALARM_MAX: usize = 16;

/// Longest that a publisher waits to hear whether a vehicle is a stranger; it is let in otherwise.
const TELL_WITHIN: Duration = Duration::from_micros(100);

/// Wakes whoever empties the inbox. Must not wait.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// NoticeQueue for help that nobody has looked at yet, one entry per vehicle, sort (real or trial) and own incident id.
pub struct Inbox {
    waiting: Mutex<Waiting>,
    refused: AtomicU64,
    /// For those who asked by datagram.
    seats: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    sightings: Arc<dyn KnownVehicles>,
    bell: OnceLock<Bell>,
}

#[derive(Debug, Default)]
struct Waiting {
    alarms: Vec<Alarm>,
    /// Where each caller's call stands. Hashed so that invented ids cannot be made to collide.
    at: HashMap<AlarmKey, usize, RandomState>,
}

/// The inbox as a subscriber to batches.
pub struct AlarmFilter(pub Arc<Inbox>);

impl Inbox {
    /// An empty inbox. `sightings` tells known vehicles from strangers when it fills up.
    pub fn new(clock: Arc<dyn Clock>, sightings: Arc<dyn KnownVehicles>) -> Self {
        Self {
            waiting: Mutex::default(),
            refused: AtomicU64::new(0),
            seats: Arc::new(Semaphore::new(ACK_REQUESTS_MAX)),
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
    pub fn take(&self) -> Vec<Alarm> {
        let mut waiting = self.waiting.lock();
        waiting.at.clear();
        std::mem::take(&mut waiting.alarms)
    }

    /// When the call that has waited longest arrived, on the monotonic clock.
    pub fn oldest(&self) -> Option<Duration> {
        self.waiting.lock().alarms.first().map(|call| call.arrived)
    }

    /// Whether the vehicle is a stranger, which only matters, and is only looked up, when the inbox fills up.
    fn is_unwelcome(&self, call: &Alarm) -> bool {
        let fills_up = self.waiting.lock().alarms.len() >= STRANGERS_MAX;
        fills_up
            && self
                .sightings
                .last(&call.vehicle_id, TELL_WITHIN)
                .is_ok_and(|seen| seen.is_none_or(|seen| !seen.familiar))
    }

    fn put(&self, call: Alarm) -> Offer {
        let max = if self.is_unwelcome(&call) { STRANGERS_MAX } else { ALARMS_MAX };
        let put = self.waiting.lock().put(call, max);
        let offer = match put {
            Put::Repeat => return Offer::Taken,
            Put::New => Offer::Taken,
            Put::NoRoom(acks) => {
                acks.into_iter().for_each(PendingAck::refuse);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Offer::Full
            }
        };
        if let Some(bell) = self.bell.get() {
            bell();
        }
        offer
    }

    /// The alarm in one report, if it is one.
    fn alarm(&self, batch: &Batch, index: u32, bytes: &[u8]) -> Option<Alarm> {
        let report = decode(bytes).ok().filter(|report: &Report<'_>| report.emergency)?;
        let arrived = self.clock.monotonic();
        let mut alarm = Alarm::new(&report, batch.time_ms(), arrived);
        let receipt = batch.receipt().map(|receipt| PendingAck::new(receipt, index, arrived));
        let ack = receipt.or_else(|| self.datagram(batch, index, &report, bytes.len(), arrived));
        alarm.acks.extend(ack);
        Some(alarm)
    }

    /// The claim of a sender who asked by datagram, if there is a seat left.
    fn datagram(
        &self,
        batch: &Batch,
        index: u32,
        report: &Report<'_>,
        len: usize,
        since: Duration,
    ) -> Option<PendingAck> {
        let reply_to = batch.reply_to(index)?.clone();
        let StoredAck { vehicle_id, seq, .. } = StoredAck::asked_by(report)?;
        let seat = self.seats.clone().try_acquire_owned().ok()?;
        let vehicle_id = vehicle_id.as_str().into();
        Some(PendingAck::datagram(AckRequest { reply_to, vehicle_id, seq, len, seat }, since))
    }
}

/// The filter that the publisher runs: it reads the few reports once more in full that were seen to carry the flag.
impl Subscriber<Arc<Batch>> for AlarmFilter {
    fn offer(&self, batch: &Arc<Batch>) -> Offer {
        let Self(inbox) = self;
        let alarms = batch.alarms().filter_map(|(index, bytes)| inbox.alarm(batch, index, bytes));
        // One that found no room outweighs those that did: it must be counted.
        let worse = |one, other| if one == Offer::Full { one } else { other };
        alarms.map(|call| inbox.put(call)).reduce(worse).unwrap_or(Offer::Skipped)
    }

    fn depth(&self) -> (usize, usize) {
        (self.0.waiting.lock().alarms.len(), ALARMS_MAX)
    }
}

enum Put {
    New,
    Repeat,
    NoRoom(Vec<PendingAck>),
}

impl Waiting {
    fn put(&mut self, mut call: Alarm, max: usize) -> Put {
        if let Some(&at) = self.at.get(&AlarmKeyRef::of(&call)) {
            let first = &mut self.alarms[at];
            let surplus = call.acks.extract_if(.., |ack| !has_room(first, ack));
            surplus.for_each(PendingAck::refuse);
            first.absorb(call);
            return Put::Repeat;
        }
        if self.alarms.len() >= max {
            return Put::NoRoom(call.acks);
        }
        self.at.insert(AlarmKeyRef::of(&call).to_owned(), self.alarms.len());
        self.alarms.push(call);
        Put::New
    }
}

/// Whether one more sender may wait to hear of `call`.
fn has_room(call: &Alarm, ack: &PendingAck) -> bool {
    let max = if ack.is_datagram() { ACK_REQUESTS_PER_ALARM_MAX } else { PENDING_ACKS_MAX };
    call.acks.len() < max
}

/// What makes two reports the same call.
#[derive(Debug, PartialEq, Eq)]
struct AlarmKey {
    vehicle_id: Box<str>,
    test: bool,
    vehicle_incident: Option<Box<str>>,
}

/// The same, borrowed, so that looking for it allocates nothing.
#[derive(PartialEq, Eq, Hash)]
struct AlarmKeyRef<'a> {
    vehicle_id: &'a str,
    test: bool,
    vehicle_incident: Option<&'a str>,
}

impl AlarmKey {
    fn borrow(&self) -> AlarmKeyRef<'_> {
        AlarmKeyRef {
            vehicle_id: &self.vehicle_id,
            test: self.test,
            vehicle_incident: self.vehicle_incident.as_deref(),
        }
    }
}

impl<'a> AlarmKeyRef<'a> {
    fn of(call: &'a Alarm) -> Self {
        Self {
            vehicle_id: &call.vehicle_id,
            test: call.is_test(),
            vehicle_incident: call.vehicle_incident.as_deref(),
        }
    }

    fn to_owned(&self) -> AlarmKey {
        AlarmKey {
            vehicle_id: self.vehicle_id.into(),
            test: self.test,
            vehicle_incident: self.vehicle_incident.map(Into::into),
        }
    }
}

impl Hash for AlarmKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.borrow().hash(state);
    }
}

impl Equivalent<AlarmKey> for AlarmKeyRef<'_> {
    fn equivalent(&self, key: &AlarmKey) -> bool {
        *self == key.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::Fix;
    use crate::id::IncidentId;
    use crate::intake::known::KnownVehicle;
    use crate::tests::setup::{encoded, fleet, help, trial};
    use std::sync::LazyLock;
    use std::sync::mpsc::Receiver;
    use vagn_flow::batch::{BatchBuilder, Source};
    use vagn_flow::clock::ManualClock;
    use vagn_flow::fate::{Answer, Receipt};
    use vagn_flow::metrics::{Registry, ReportMetrics};
    use vagn_flow::stamp::Stamp;
    use vagn_flow::testing::reply_to;
    use vagn_wire::Fate;

    static METRICS: LazyLock<Arc<ReportMetrics>> = LazyLock::new(|| ReportMetrics::new(&Registry::new()));

    fn offer(inbox: &Arc<Inbox>, reports: &[Report<'_>], time_ms: i64) -> (Offer, Answer) {
        let mut batch = BatchBuilder::new(Source::Tcp);
        reports.iter().for_each(|report| batch.push(&encoded(report)));
        let (receipt, answer) = Receipt::new(reports.len());
        let batch = batch.seal(Stamp { time_ms, first_seq: 0 }, Some(receipt), &METRICS);
        (AlarmFilter(inbox.clone()).offer(&batch), answer)
    }

    /// An inbox that knows every vehicle but those whose names begin with "vehicle".
    fn inbox() -> Arc<Inbox> {
        let place = Fix { lat: 1.0, lon: 2.0, time_ms: 0, trusted: false };
        let known = fleet(move |id| {
            Ok((!id.starts_with("vehicle")).then_some(KnownVehicle { place, familiar: true }))
        });
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
        for number in 0..ALARMS_MAX {
            drop(offer(&inbox, &[help(&format!("bus {number}"))], 0));
        }
        assert_eq!(inbox.take_refused(), STRANGERS_MAX as u64, "known vehicles have the other half");
        let taken = inbox.take();
        assert_eq!((taken.len(), taken[3].reports), (ALARMS_MAX, 2));
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
        assert_eq!(inbox.take()[0].acks.len(), PENDING_ACKS_MAX);
        let last = answers.pop().unwrap().blocking_recv().unwrap();
        assert!(last.iter().all(|outcome| outcome.fate == Fate::Failed));
    }

    /// Offers a call that asks for an answer, and gives what its sender hears.
    fn ask(inbox: &Arc<Inbox>, vehicle_id: &str) -> Receiver<Vec<u8>> {
        let (reply_to, heard) = reply_to();
        let mut batch = BatchBuilder::new(Source::Udp);
        batch.push(&encoded(&Report { seq: Some(7), ..help(vehicle_id) }));
        batch.reply_last_to(reply_to);
        let batch = batch.seal(Stamp { time_ms: 0, first_seq: 0 }, None, &METRICS);
        AlarmFilter(inbox.clone()).offer(&batch);
        heard
    }

    /// Lets each of these calls for help ask, and says how many of them are answered.
    fn answered(inbox: &Arc<Inbox>, vehicles: &[String]) -> usize {
        let sent: Vec<_> = vehicles.iter().map(|vehicle_id| ask(inbox, vehicle_id)).collect();
        let acks = inbox.take().into_iter().flat_map(|call| call.acks);
        acks.for_each(|ack| ack.grant(IncidentId::from_u128(1)));
        sent.iter().filter(|heard| heard.try_recv().is_ok()).count()
    }

    #[test]
    fn those_who_ask_by_datagram_wait_up_to_a_limit_and_make_room_again() {
        let inbox = inbox();
        let fleet: Vec<_> = (0..ACK_REQUESTS_MAX + 10).map(|number| format!("bus {number}")).collect();
        for _ in 0..2 {
            assert_eq!(answered(&inbox, &fleet), ACK_REQUESTS_MAX);
        }
    }

    #[test]
    fn a_vehicle_that_repeats_itself_all_the_time_takes_no_answer_from_others() {
        let inbox = inbox();
        let mut alarms = vec!["chatterer".to_owned(); 2 * ACK_REQUESTS_MAX];
        assert_eq!(answered(&inbox, &alarms), ACK_REQUESTS_PER_ALARM_MAX);
        alarms.push("bus 7".to_owned());
        assert_eq!(answered(&inbox, &alarms), ACK_REQUESTS_PER_ALARM_MAX + 1);
    }
}
