//! What the two actors of the emergency lane share: the inbox, the desk and the store on its shelf. None of it belongs to
//! either, so either may crash or hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info, warn};
use vagn_otp::Recipient;

use super::desk::{Admitted, Call, Desk, Standing};
use super::id::IncidentId;
use super::inbox::Inbox;
use super::incident::{Attempt, Place};
use super::incidents::Round;
use super::rules::Rules;
use super::shelf::Shelf;
use super::store::StoreError;
use crate::clock::Clock;
use crate::metrics::{Metrics, OutcomeLabel};
use crate::ready::Readiness;

/// How long `/readyz` goes on to tell of emergencies that were refused.
const REFUSAL_SHOWN: Duration = Duration::from_secs(600);

/// How long to look for last known places before calls go on; what is left is looked for the next time.
const LOCATE_WITHIN: Duration = Duration::from_millis(20);

/// An operator is told of calls that nobody has accepted for so long.
const LATE_AFTER_MS: i64 = 30_000;

/// How often the log says so.
const LATE_SAID_EVERY: Duration = Duration::from_secs(60);

/// The fleet cannot say yet where anybody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotYet;

/// Where a vehicle was seen last, apart from its call for help.
pub type LastKnown = Box<dyn Fn(&str) -> Result<Option<Place>, NotYet> + Send + Sync>;

/// The shared part of the emergency lane.
pub struct Lane {
    pub(super) rules: Rules,
    pub(super) inbox: Arc<Inbox>,
    pub(super) desk: Mutex<Desk>,
    pub(super) shelf: Shelf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    last_known: LastKnown,
    /// Wakes the callers.
    pub(super) news: Notify,
    /// Whom to tell that there is something to do.
    pub(super) incidents: OnceLock<Recipient<Round>>,
    /// It has been told, and has not begun.
    rung: AtomicBool,
    last_refusal: Mutex<Option<Duration>>,
    /// When the log was last told of late calls.
    late_said: Mutex<Option<Duration>>,
    /// The store has been asked what an earlier run left, or has kept us waiting too long.
    recalled: AtomicBool,
}

impl Lane {
    pub(super) fn new(
        desk: Desk,
        rules: Rules,
        shelf: Shelf,
        last_known: LastKnown,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> Self {
        Self {
            rules,
            inbox: Arc::new(Inbox::new(clock.clone())),
            desk: Mutex::new(desk),
            shelf,
            clock,
            metrics,
            readiness,
            last_known,
            news: Notify::new(),
            incidents: OnceLock::new(),
            rung: AtomicBool::new(false),
            last_refusal: Mutex::new(None),
            late_said: Mutex::new(None),
            recalled: AtomicBool::new(false),
        }
    }

    /// Whether calls may be let in: until the store has been asked, a call may be a repeat of what an earlier run left.
    pub(super) fn recalled(&self) -> bool {
        self.recalled.load(Ordering::Acquire)
    }

    /// Lets calls in, whether the store has answered or not.
    pub(super) fn set_recalled(&self) {
        self.recalled.store(true, Ordering::Release);
    }

    /// How long a call may wait in the inbox.
    fn patience(&self) -> Duration {
        if self.recalled() { self.rules.record_within } else { self.rules.recall_within }
    }

    /// Lets in all that waits in the inbox.
    pub(super) fn admit(&self) -> Admitted {
        let admitted = {
            let mut desk = self.desk.lock();
            // Taken under the desk's lock, so that a call is never in neither of the two.
            desk.admit(self.inbox.take())
        };
        for id in &admitted.opened {
            self.announce(*id);
        }
        self.alarm(admitted.refused.len() as u64 + self.inbox.take_refused());
        admitted
    }

    fn announce(&self, id: IncidentId) {
        // Never under the desk's lock: a log that stands still must hold up no call.
        let known = self.desk.lock().get(id).map(|incident| (incident.vehicle_id.clone(), incident.test));
        if let Some((vehicle_id, test)) = known {
            info!(incident_id = %id, %vehicle_id, test, "a vehicle calls for help");
        }
    }

    fn alarm(&self, refused: u64) {
        if refused == 0 {
            return;
        }
        self.count("refused", refused);
        let what =
            format!("emergencies are refused: {} incidents are open", self.desk.lock().standing().open);
        error!(refused, "{what}");
        self.readiness.warn("refused emergencies", what);
        *self.last_refusal.lock() = Some(self.clock.monotonic());
    }

    /// Gives the unplaced incidents the last place that is known of their vehicles, as far as that is quick.
    pub(super) fn locate(&self) {
        let unplaced = self.desk.lock().take_unplaced();
        let end = self.clock.monotonic() + LOCATE_WITHIN;
        let mut left_over = None;
        for (id, vehicle_id) in unplaced {
            // Without the desk's lock: whatever holds up the fleet must not hold up calls.
            let in_time = self.clock.monotonic() < end;
            if !in_time && left_over.replace(id).is_none() {
                self.desk.lock().place_next(id);
            }
            let place = if in_time { (self.last_known)(&vehicle_id) } else { Err(NotYet) };
            let mut desk = self.desk.lock();
            match place {
                Ok(Some(place)) => desk.place(id, place),
                Ok(None) => {}
                Err(NotYet) => desk.unplaced(id),
            }
        }
    }

    /// Lets in what has waited in the inbox for as long as a record may take, or the first opening of the store: whose
    /// work that is must be hanging.
    pub(super) fn rescue(&self, all: bool) {
        let now = self.clock.monotonic();
        let late = |arrived: Duration| all || arrived + self.patience() <= now;
        if self.inbox.oldest().is_some_and(late) {
            self.set_recalled();
            self.admit();
            self.locate();
        }
    }

    /// When there may be something to call about although nobody rings.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        // The inbox first: what leaves it in between is at the desk by the time the desk is asked.
        let late = self.inbox.oldest().map(|arrived| arrived + self.patience());
        late.into_iter().chain(self.desk.lock().wake_at()).min()
    }

    /// The next call to make, with its first attempt counted as beginning now.
    pub(super) fn next_call(&self) -> Option<Call> {
        let now = self.clock.monotonic();
        let call = self.desk.lock().next_call(now)?;
        if let Some(arrived) = call.arrived {
            let took = now.saturating_sub(arrived);
            self.metrics.emergency_first_attempt.observe(took.as_secs_f64());
        }
        if call.incident.called_unrecorded && call.number == 1 {
            warn!(incident_id = %call.incident.id, "calls before the incident is on disk");
        }
        Some(call)
    }

    /// Notes what came of a call.
    pub(super) fn attempted(&self, id: IncidentId, attempt: Attempt) {
        let accepted = attempt.outcome.accepted();
        self.count(if accepted { "accepted" } else { "retried" }, 1);
        if accepted {
            info!(incident_id = %id, attempt = attempt.number, "the call is accepted");
        }
        self.desk.lock().attempted(id, attempt, self.clock.monotonic());
        self.show();
    }

    /// Notes that the store did not do what it was asked for.
    pub(super) fn store_failed(&self, err: &StoreError) {
        self.shelf.failed(err, self.clock.monotonic());
        self.desk.lock().store_down();
        self.news.notify_one();
    }

    fn count(&self, outcome: &'static str, times: u64) {
        self.metrics.emergencies.get_or_create(&OutcomeLabel { outcome }).inc_by(times);
    }

    /// Brings gauges and warnings up to date.
    pub(super) fn show(&self) {
        let standing = self.desk.lock().standing();
        self.metrics.incidents_open.set(standing.unaccepted as i64);
        self.show_late(&standing);
        match self.shelf.failure() {
            Some(failure) => self.readiness.warn("incident store", failure),
            None => self.readiness.clear("incident store"),
        }
        if let Some(unreadable) =
            self.shelf.store().map(|store| store.unreadable()).filter(|count| *count > 0)
        {
            let what = format!("{unreadable} incident records cannot be read; the log names them");
            self.readiness.warn("incident records", what);
        }
        let mut last_refusal = self.last_refusal.lock();
        if last_refusal.is_some_and(|at| self.clock.monotonic().saturating_sub(at) > REFUSAL_SHOWN) {
            *last_refusal = None;
            self.readiness.clear("refused emergencies");
        }
    }

    /// Tells of calls that the target does not accept.
    fn show_late(&self, standing: &Standing) {
        let age_ms = standing.oldest_unaccepted_ms.map_or(0, |opened_ms| self.clock.now_ms() - opened_ms);
        if self.rules.lines.is_none() || age_ms < LATE_AFTER_MS {
            self.readiness.clear("emergency calls");
            return;
        }
        let (incidents, age_s) = (standing.unaccepted, age_ms / 1000);
        let what =
            format!("the target has not accepted {incidents} incidents; the oldest waits for {age_s} s");
        let now = self.clock.monotonic();
        let mut said = self.late_said.lock();
        if said.is_none_or(|at| now.saturating_sub(at) >= LATE_SAID_EVERY) {
            *said = Some(now);
            warn!("{what}");
        }
        self.readiness.warn("emergency calls", what);
    }

    /// There is something to do: wakes the callers, and the incidents actor unless it knows already.
    pub(super) fn ring(&self) {
        self.news.notify_one();
        if !self.rung.swap(true, Ordering::AcqRel) {
            let told = self.incidents.get().is_some_and(|incidents| incidents.try_tell(Round).is_ok());
            if !told {
                self.answer();
            }
        }
    }

    /// The incidents actor begins to look: who has something from here on must ring again.
    pub(super) fn answer(&self) {
        self.rung.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber, subscriber};
    use vagn_otp::Subscriber as _;

    use super::*;
    use crate::batch::{BatchBuilder, Source};
    use crate::clock::ManualClock;
    use crate::emergency::inbox::Intake;
    use crate::emergency::testing::{encoded, help, nowhere, test_lane, test_lane_in};
    use crate::stamp::Stamp;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn offer(lane: &Lane, reports: &[vagn_wire::Report<'_>]) {
        let mut batch = BatchBuilder::new(Source::Udp);
        reports.iter().for_each(|report| batch.push(&encoded(report)));
        let batch = batch.seal(Stamp { time_ms: NOW_MS, first_seq: 0 }, None, &Metrics::new());
        Intake(lane.inbox.clone()).offer(&batch);
    }

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
        let last_known: LastKnown = Box::new(move |vehicle_id| {
            log.lock().push(vehicle_id.to_owned());
            slow.advance(Duration::from_millis(10));
            Err(NotYet)
        });
        let lane = test_lane_in(clock, last_known, 3);
        offer(&lane, &["a", "b", "c"].map(nowhere));
        lane.admit();
        (0..3).for_each(|_| lane.locate());
        assert_eq!(*asked.lock(), ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn an_operator_hears_of_a_target_that_does_not_accept() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let lane = test_lane_in(clock.clone(), Box::new(|_| Ok(None)), 1);
        offer(&lane, &[help("bus 7")]);
        lane.admit();
        lane.show();
        assert!(!lane.readiness.report().warnings.contains_key("emergency calls"));
        clock.advance(Duration::from_secs(45));
        lane.show();
        let said = lane.readiness.report().warnings["emergency calls"].clone();
        assert!(said.contains("1 incidents") && said.contains("45 s"), "{said}");
        let call = lane.next_call().or_else(|| {
            clock.advance(Duration::from_secs(1));
            lane.next_call()
        });
        let outcome = crate::emergency::incident::Outcome::Accepted { status: 200 };
        let attempt = Attempt { number: 1, at_ms: NOW_MS, took_ms: 0, outcome };
        lane.attempted(call.unwrap().incident.id, attempt);
        lane.show();
        assert!(!lane.readiness.report().warnings.contains_key("emergency calls"));
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
            let outcome = crate::emergency::incident::Outcome::Accepted { status: 200 };
            lane.attempted(call.incident.id, Attempt { number: 1, at_ms: 0, took_ms: 0, outcome });
            lane.show();
        });
        assert!(lines.load(Ordering::Relaxed) >= 5);
    }
}
