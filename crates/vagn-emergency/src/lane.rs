//! What the actors of the emergency lane share: the inbox, the desk and the store on its shelf. None of it belongs to any
//! of them, so each may crash or hang. What others hear of it: `gauges.rs` and `telling.rs`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::info;
use vagn_otp::Recipient;

use crate::desk::{Admitted, Desk, Known, Moment, Refusal, Request};
use crate::id::IncidentId;
use crate::incidents::Round;
use crate::intake::inbox::Inbox;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::metrics::{AttemptLabel, EmergencyMetrics, OutcomeLabel};
use crate::notify::notice::{EndedNotice, Notice};
use crate::record::shelf::Shelf;
use crate::record::store::StoreError;
use crate::rules::Rules;
use crate::show::feed::Feed;
use crate::show::gauges::Shown;
use crate::trail::Head;
use vagn_flow::clock::Clock;
use vagn_flow::readiness::Readiness;

/// Longest wait for the fleet to say where one vehicle was seen last. Its writers let readers in after some 50 µs.
const LOOK_UP_WITHIN: Duration = Duration::from_millis(5);

/// How long to look for last known places before calls go on; what is left is looked for the next time.
const LOCATE_WITHIN: Duration = Duration::from_millis(20);

/// Changes that who follows them may fall behind by.
const FEED_KEPT: usize = 10_000;

/// Vehicles of incidents that are looked for at a time.
const FOLLOWED_AT_ONCE: usize = 1_000;

/// The shared part of the emergency lane.
pub struct Lane {
    pub(crate) rules: Rules,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) desk: Mutex<Desk>,
    pub(crate) shelf: Shelf,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) readiness: Arc<Readiness>,
    vehicles: Arc<dyn KnownVehicles>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) shown: Shown,
    /// Held by who tells of what has happened.
    pub(crate) telling: Mutex<()>,
    /// How far the trail goes, once it is known.
    head: Mutex<Option<Head>>,
    /// Wakes the callers.
    pub(crate) news: Notify,
    /// Whom to tell that there is something to do.
    pub(crate) incidents: OnceLock<Recipient<Round>>,
    /// It has been told, and has not begun.
    rung: AtomicBool,
    /// The store has been asked what an earlier run left, or has kept us waiting too long.
    recalled: AtomicBool,
}

impl Lane {
    pub(crate) fn new(
        desk: Desk,
        rules: Rules,
        shelf: Shelf,
        inbox: Arc<Inbox>,
        vehicles: Arc<dyn KnownVehicles>,
        clock: Arc<dyn Clock>,
        metrics: Arc<EmergencyMetrics>,
        readiness: Arc<Readiness>,
    ) -> Self {
        Self {
            rules,
            inbox,
            desk: Mutex::new(desk),
            shelf,
            feed: Arc::new(Feed::new(clock.clone(), FEED_KEPT)),
            shown: Shown::new(clock.monotonic()),
            clock,
            metrics,
            readiness,
            vehicles,
            telling: Mutex::new(()),
            head: Mutex::new(None),
            news: Notify::new(),
            incidents: OnceLock::new(),
            rung: AtomicBool::new(false),
            recalled: AtomicBool::new(false),
        }
    }

    /// Whether calls may be let in: until the store has been asked, a call may be a repeat of what an earlier run left.
    pub(crate) fn recalled(&self) -> bool {
        self.recalled.load(Ordering::Acquire)
    }

    /// Lets calls in, whether the store has answered or not.
    pub(crate) fn set_recalled(&self) {
        self.recalled.store(true, Ordering::Release);
    }

    /// How long a call may wait in the inbox.
    fn patience(&self) -> Duration {
        if self.recalled() { self.rules.record_within } else { self.rules.recall_within }
    }

    /// Now, by both clocks.
    pub(crate) fn moment(&self) -> Moment {
        Moment { ms: self.clock.now_ms(), at: self.clock.monotonic() }
    }

    /// Lets in all that waits in the inbox.
    pub(crate) fn admit(&self) -> Admitted {
        let newcomers = {
            let mut desk = self.desk.lock();
            // Taken under the desk's lock, so that a call is never in neither of the two.
            desk.arrive(self.inbox.take());
            desk.newcomers()
        };
        // Looked up without it: whatever holds up the fleet must not hold up calls.
        let known = self.known(newcomers);
        let admitted = self.desk.lock().admit(&known);
        self.tell();
        self.alarm(admitted.refused.len() as u64 + self.inbox.take_refused());
        admitted
    }

    /// What is known of these vehicles, as far as that is quick.
    fn known(&self, vehicles: Vec<Box<str>>) -> Known {
        let end = self.clock.monotonic() + LOCATE_WITHIN;
        let mut known = Known::new();
        for vehicle_id in vehicles {
            if self.clock.monotonic() >= end {
                break;
            }
            let vehicle = self.vehicles.look_up(&vehicle_id, LOOK_UP_WITHIN);
            known.insert(vehicle_id, vehicle);
        }
        known
    }

    /// Gives the unplaced incidents the last place that is known of their vehicles, as far as that is quick.
    pub(crate) fn locate(&self) {
        let unplaced = self.desk.lock().take_unplaced();
        let end = self.clock.monotonic() + LOCATE_WITHIN;
        let mut left_over = None;
        for (id, vehicle_id) in unplaced {
            // Without the desk's lock: whatever holds up the fleet must not hold up calls.
            let in_time = self.clock.monotonic() < end;
            if !in_time && left_over.replace(id).is_none() {
                self.desk.lock().place_next(id);
            }
            let vehicle = match in_time {
                true => self.vehicles.look_up(&vehicle_id, LOOK_UP_WITHIN),
                false => KnownVehicle::UNDECIDED,
            };
            let mut desk = self.desk.lock();
            match vehicle.last_fix {
                Some(fix) => desk.place(id, fix, self.clock.monotonic()),
                None if vehicle.is_undecided() => desk.unplaced(id),
                None => {}
            }
        }
    }

    /// Looks where the vehicles of incidents are now that somebody has accepted.
    pub(crate) fn follow(&self) {
        let now = self.clock.monotonic();
        let followed = self.desk.lock().take_to_follow(FOLLOWED_AT_ONCE, now);
        for (id, vehicle_id) in followed {
            if self.clock.monotonic() >= now + LOCATE_WITHIN {
                return; // They are looked for again in their turn.
            }
            if let Some(fix) = self.vehicles.look_up(&vehicle_id, LOOK_UP_WITHIN).last_fix {
                self.desk.lock().place(id, fix, now);
            }
        }
    }

    /// Seconds have passed: who was seen by now is known from here on.
    pub(crate) fn mark_known(&self) {
        self.vehicles.mark();
    }

    /// Lets in what has waited in the inbox for as long as a record may take, or the first opening of the store: whose
    /// work that is must be hanging.
    pub(crate) fn rescue(&self, all: bool) {
        let now = self.clock.monotonic();
        let late = |arrived: Duration| all || arrived + self.patience() <= now;
        if self.oldest_arrival().is_some_and(late) {
            self.set_recalled();
            self.admit();
            self.locate();
        }
    }

    /// When the call arrived that has waited longest to be let in.
    fn oldest_arrival(&self) -> Option<Duration> {
        let in_the_inbox = self.inbox.oldest();
        in_the_inbox.into_iter().chain(self.desk.lock().oldest_arrival()).min()
    }

    /// When there may be something to call about although nobody rings.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        // The inbox first: what leaves it in between is at the desk by the time the desk is asked.
        let late = self.oldest_arrival().map(|arrived| arrived + self.patience());
        late.into_iter().chain(self.desk.lock().wake_at()).min()
    }

    /// The next call to make, with its first attempt counted as beginning now.
    pub(crate) fn next_call(&self) -> Option<Notice> {
        let now = self.moment();
        let call = self.desk.lock().next_call(now)?;
        if let Some(arrived) = call.arrived.filter(|_| !call.incident.drill) {
            let took = now.at.saturating_sub(arrived);
            self.metrics.emergency_first_attempt.observe(took.as_secs_f64());
        }
        Some(call)
    }

    /// Notes what came of a call.
    pub(crate) fn attempted(&self, ended: EndedNotice) {
        let (id, outcome, number) = (ended.id, ended.attempt.outcome.word(), ended.attempt.number);
        let label = AttemptLabel { target: ended.attempt.target.to_string(), outcome };
        self.metrics.emergency_attempts.get_or_create(&label).inc();
        self.count(
            match outcome {
                "refused" | "failed" => "retried",
                settled => settled,
            },
            1,
        );
        if ended.attempt.outcome.accepted() {
            info!(incident_id = %id, target = %ended.attempt.target, attempt = number, "the call is accepted");
        }
        self.desk.lock().attempted(ended, self.moment());
        self.tell();
        self.show();
    }

    /// Does what a person wants done about an incident at the desk.
    pub(crate) fn act(&self, id: IncidentId, request: &Request) -> Result<(), Refusal> {
        let now = self.moment();
        let opened_ms = {
            let mut desk = self.desk.lock();
            let waits = desk.get(id).filter(|incident| incident.is_unacknowledged());
            let opened_ms = waits.map(|incident| incident.alarm.opened_ms);
            desk.act(id, request, now)?;
            opened_ms
                .filter(|_| desk.get(id).is_some_and(|incident| incident.progress.acknowledged.is_some()))
        };
        if let Some(opened_ms) = opened_ms {
            let took_s = now.ms.saturating_sub(opened_ms).max(0) as f64 / 1000.0;
            self.metrics.emergency_acknowledged.observe(took_s);
        }
        self.tell();
        self.news.notify_one();
        Ok(())
    }

    /// Has every dead letter sent again, as `by` wants. Returns how many.
    pub(crate) fn replay(&self, by: &str) -> usize {
        let replayed = self.desk.lock().replay_all(by, self.moment());
        self.tell();
        self.news.notify_one();
        replayed
    }

    /// How far the trail goes, as far as is known.
    pub(crate) fn head(&self) -> Option<Head> {
        *self.head.lock()
    }

    /// The trail goes so far now.
    pub(crate) fn set_head(&self, head: Head) {
        *self.head.lock() = Some(head);
    }

    /// Notes that the store did not do what it was asked for.
    pub(crate) fn store_failed(&self, err: &StoreError) {
        self.shelf.failed(err, self.clock.monotonic());
        self.desk.lock().store_down();
        self.news.notify_one();
    }

    pub(crate) fn count(&self, outcome: &'static str, times: u64) {
        self.metrics.emergencies.get_or_create(&OutcomeLabel { outcome }).inc_by(times);
    }

    /// There is something to do: wakes the callers, and the incidents actor unless it knows already.
    pub(crate) fn ring(&self) {
        self.news.notify_one();
        if !self.rung.swap(true, Ordering::AcqRel) {
            let told = self.incidents.get().is_some_and(|incidents| incidents.try_tell(Round).is_ok());
            if !told {
                self.answer();
            }
        }
    }

    /// The incidents actor begins to look: who has something from here on must ring again.
    pub(crate) fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber, subscriber};

    use super::*;
    use crate::record::attempt::Outcome;
    use crate::tests::setup::{ended, fleet, help, nowhere, offer, test_lane, test_lane_in};
    use vagn_flow::clock::ManualClock;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// A log that stands still until whoever writes to it lets go of the desk.
    struct Log {
        lane: Arc<Lane>,
        lines: Arc<AtomicUsize>,
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            assert!(self.lane.desk.try_lock().is_some(), "{event:?} is logged under the desk's lock");
            self.lines.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_fleet_that_does_not_answer_is_asked_about_every_vehicle_in_turn() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (slow, log) = (clock.clone(), asked.clone());
        let vehicles = fleet(move |vehicle_id| {
            log.lock().push(vehicle_id.to_owned());
            slow.advance(Duration::from_millis(10));
            KnownVehicle::UNDECIDED
        });
        let lane = test_lane_in(clock, vehicles, 6);
        offer(&lane, &["a", "b", "c"].map(nowhere));
        lane.admit();
        asked.lock().clear();
        (0..3).for_each(|_| lane.locate());
        assert_eq!(*asked.lock(), ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn nothing_is_logged_under_the_lock_of_the_desk() {
        let lane = test_lane();
        let lines = Arc::new(AtomicUsize::new(0));
        let log = Log { lane: lane.clone(), lines: lines.clone() };
        subscriber::with_default(log, || {
            offer(&lane, &[help("bus 7"), help("one too many")]);
            lane.admit();
            lane.store_failed(&StoreError::Busy);
            let call = lane.next_call().unwrap();
            lane.attempted(ended(&call, Outcome::Accepted { status: 200 }));
            lane.show();
        });
        assert!(lines.load(Ordering::Relaxed) >= 5);
    }
}
