//! What the two actors of the emergency lane share: the inbox, the desk and the store on its shelf. None of it belongs to
//! either, so either may crash or hang.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{error, info, warn};
use vagn_otp::Recipient;

use super::desk::{Admitted, Call, Deed, Desk, Ended, Happened, Known, Moment, Refusal, Standing};
use super::feed::Feed;
use super::id::IncidentId;
use super::inbox::Inbox;
use super::incident::Incident;
use super::incidents::Round;
use super::rules::Rules;
use super::shelf::Shelf;
use super::sightings::{NotYet, Sightings};
use super::store::StoreError;
use super::trail::{Action, Head};
use super::view::IncidentView;
use crate::clock::Clock;
use crate::metrics::{AttemptLabel, Metrics, OutcomeLabel, TargetLabel};
use crate::ready::Readiness;

/// How long `/readyz` goes on to tell of emergencies that were refused.
const REFUSAL_SHOWN: Duration = Duration::from_secs(600);

/// Longest wait for the fleet to say where one vehicle was seen last. Its writers let readers in after some 50 µs.
const LOOK_UP_WITHIN: Duration = Duration::from_millis(5);
/// How often the log says so. A flood must not become one of lines.
const REFUSAL_SAID_EVERY: Duration = Duration::from_secs(10);

/// How long to look for last known places before calls go on; what is left is looked for the next time.
const LOCATE_WITHIN: Duration = Duration::from_millis(20);

/// An operator is told of calls that nobody has accepted for so long.
const LATE_AFTER_MS: i64 = 30_000;

/// How often the log says so.
const LATE_SAID_EVERY: Duration = Duration::from_secs(60);

/// How long changes may wait to be written before the metric says so.
const UNRECORDED_AFTER: Duration = Duration::from_secs(5);

/// Changes that who follows them may fall behind by.
const FEED_KEPT: usize = 10_000;

/// Incidents that have moved or reported and are told of in one second; the others follow.
const STIRRED_AT_ONCE: usize = 1_000;

/// Vehicles of incidents that are looked for at a time.
const FOLLOWED_AT_ONCE: usize = 1_000;

/// The shared part of the emergency lane.
pub struct Lane {
    pub(super) rules: Rules,
    pub(super) inbox: Arc<Inbox>,
    pub(super) desk: Mutex<Desk>,
    pub(super) shelf: Shelf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) readiness: Arc<Readiness>,
    sightings: Arc<dyn Sightings>,
    pub(super) feed: Arc<Feed>,
    /// When everything was last on disk as it is, on the monotonic clock.
    clean: Mutex<Duration>,
    /// Held by who tells of what has happened.
    telling: Mutex<()>,
    /// How far the trail goes, once it is known.
    head: Mutex<Option<Head>>,
    /// Wakes the callers.
    pub(super) news: Notify,
    /// Whom to tell that there is something to do.
    pub(super) incidents: OnceLock<Recipient<Round>>,
    /// It has been told, and has not begun.
    rung: AtomicBool,
    refusals: Mutex<Refusals>,
    /// When the log was last told of late calls.
    late_said: Mutex<Option<Duration>>,
    /// The store has been asked what an earlier run left, or has kept us waiting too long.
    recalled: AtomicBool,
}

/// Calls for help that were refused, as far as an operator has not heard of them.
#[derive(Default)]
struct Refusals {
    last: Option<Duration>,
    said: Option<Duration>,
    unsaid: u64,
}

impl Refusals {
    /// How many the log should tell of at `now`.
    fn take(&mut self, now: Duration) -> Option<u64> {
        let due = self.said.is_none_or(|at| now.saturating_sub(at) >= REFUSAL_SAID_EVERY);
        (due && self.unsaid > 0).then(|| {
            self.said = Some(now);
            std::mem::take(&mut self.unsaid)
        })
    }
}

impl Lane {
    pub(super) fn new(
        desk: Desk,
        rules: Rules,
        shelf: Shelf,
        sightings: Arc<dyn Sightings>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
    ) -> Self {
        Self {
            rules,
            inbox: Arc::new(Inbox::new(clock.clone(), sightings.clone())),
            desk: Mutex::new(desk),
            shelf,
            feed: Arc::new(Feed::new(clock.clone(), FEED_KEPT)),
            clock,
            metrics,
            readiness,
            sightings,
            clean: Mutex::default(),
            telling: Mutex::new(()),
            head: Mutex::new(None),
            news: Notify::new(),
            incidents: OnceLock::new(),
            rung: AtomicBool::new(false),
            refusals: Mutex::default(),
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

    /// Now, by both clocks.
    pub(super) fn moment(&self) -> Moment {
        Moment { ms: self.clock.now_ms(), at: self.clock.monotonic() }
    }

    /// Lets in all that waits in the inbox.
    pub(super) fn admit(&self) -> Admitted {
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
            if let Ok(seen) = self.sightings.last(&vehicle_id, LOOK_UP_WITHIN) {
                known.insert(vehicle_id, seen);
            }
        }
        known
    }

    /// Tells the log and all who follow of what has happened.
    pub(super) fn tell(&self) {
        // One at a time, so that they hear of it in order; who tells already looks again when it is done. Never under the
        // desk's lock: a log that stands still must hold up no call.
        while self.desk.lock().has_happened()
            && let Some(_telling) = self.telling.try_lock()
        {
            let happened = self.desk.lock().take_happened();
            for Happened { incident, action } in happened {
                self.announce(&incident, action);
            }
        }
    }

    fn announce(&self, incident: &Incident, action: Action) {
        let (id, vehicle_id, test) = (incident.id, &incident.vehicle_id, incident.test);
        match action {
            Action::Opened => info!(incident_id = %id, %vehicle_id, test, "a vehicle calls for help"),
            Action::Notified => {} // Said with the attempt.
            action => info!(incident_id = %id, %vehicle_id, change = action.as_str(), "an incident changes"),
        }
        let view = IncidentView::new(incident, &self.desk.lock(), &self.rules, self.moment());
        self.feed.publish(action.as_str(), &view);
    }

    /// Tells all who follow what has moved or reported since the last time.
    pub(super) fn tell_stirred(&self) {
        let _telling = self.telling.lock();
        let stirred = self.desk.lock().take_stirred(STIRRED_AT_ONCE);
        for id in stirred {
            let view = {
                let (desk, now) = (self.desk.lock(), self.moment());
                desk.get(id).map(|incident| IncidentView::new(incident, &desk, &self.rules, now))
            };
            view.into_iter().for_each(|view| self.feed.publish("updated", &view));
        }
    }

    fn alarm(&self, refused: u64) {
        if refused == 0 {
            return;
        }
        self.count("refused", refused);
        {
            let mut refusals = self.refusals.lock();
            refusals.last = Some(self.clock.monotonic());
            refusals.unsaid += refused;
        }
        let open = self.desk.lock().standing().open;
        self.readiness
            .warn("refused emergencies", format!("emergencies are refused: {open} incidents are open"));
        self.say_refusals();
    }

    fn say_refusals(&self) {
        let refused = self.refusals.lock().take(self.clock.monotonic());
        if let Some(refused) = refused {
            error!(refused, "emergencies are refused: too many incidents are open");
        }
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
            let seen = if in_time { self.sightings.last(&vehicle_id, LOOK_UP_WITHIN) } else { Err(NotYet) };
            let mut desk = self.desk.lock();
            match seen {
                Ok(Some(seen)) => desk.place(id, seen.place, self.clock.monotonic()),
                Ok(None) => {}
                Err(NotYet) => desk.unplaced(id),
            }
        }
    }

    /// Looks where the vehicles of incidents are now that somebody has accepted.
    pub(super) fn follow(&self) {
        let now = self.clock.monotonic();
        let followed = self.desk.lock().take_to_follow(FOLLOWED_AT_ONCE, now);
        for (id, vehicle_id) in followed {
            if self.clock.monotonic() >= now + LOCATE_WITHIN {
                return; // They are looked for again in their turn.
            }
            if let Ok(Some(seen)) = self.sightings.last(&vehicle_id, LOOK_UP_WITHIN) {
                self.desk.lock().place(id, seen.place, now);
            }
        }
    }

    /// Seconds have passed: who was seen by now is known from here on.
    pub(super) fn mark_known(&self) {
        self.sightings.mark();
    }

    /// Lets in what has waited in the inbox for as long as a record may take, or the first opening of the store: whose
    /// work that is must be hanging.
    pub(super) fn rescue(&self, all: bool) {
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
    pub(super) fn wake_at(&self) -> Option<Duration> {
        // The inbox first: what leaves it in between is at the desk by the time the desk is asked.
        let late = self.oldest_arrival().map(|arrived| arrived + self.patience());
        late.into_iter().chain(self.desk.lock().wake_at()).min()
    }

    /// The next call to make, with its first attempt counted as beginning now.
    pub(super) fn next_call(&self) -> Option<Call> {
        let now = self.moment();
        let call = self.desk.lock().next_call(now)?;
        if let Some(arrived) = call.arrived.filter(|_| !call.incident.test) {
            let took = now.at.saturating_sub(arrived);
            self.metrics.emergency_first_attempt.observe(took.as_secs_f64());
        }
        Some(call)
    }

    /// Notes what came of a call.
    pub(super) fn attempted(&self, ended: Ended) {
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
    pub(super) fn act(&self, id: IncidentId, deed: &Deed) -> Result<(), Refusal> {
        let now = self.moment();
        let opened_ms = {
            let mut desk = self.desk.lock();
            let waits = desk.get(id).filter(|incident| incident.is_unacknowledged());
            let opened_ms = waits.map(|incident| incident.opened_ms);
            desk.act(id, deed, now)?;
            opened_ms.filter(|_| desk.get(id).is_some_and(|incident| incident.acknowledged.is_some()))
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
    pub(super) fn replay(&self, by: &str) -> usize {
        let replayed = self.desk.lock().replay_all(by, self.moment());
        self.tell();
        self.news.notify_one();
        replayed
    }

    /// Notes when everything is on disk.
    pub(super) fn saved(&self) {
        if self.desk.lock().standing().unrecorded == 0 {
            *self.clean.lock() = self.clock.monotonic();
        }
    }

    /// How far the trail goes, as far as is known.
    pub(super) fn head(&self) -> Option<Head> {
        *self.head.lock()
    }

    /// The trail goes so far now.
    pub(super) fn set_head(&self, head: Head) {
        *self.head.lock() = Some(head);
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
        let (standing, dead, up) = {
            let desk = self.desk.lock();
            (desk.standing(), desk.dead_letters(), desk.targets_up())
        };
        self.gauge(&standing, dead, &up);
        self.show_late(&standing);
        self.show_dead(dead);
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
        self.say_refusals();
        let mut refusals = self.refusals.lock();
        if refusals.last.is_some_and(|at| self.clock.monotonic().saturating_sub(at) > REFUSAL_SHOWN) {
            refusals.last = None;
            self.readiness.clear("refused emergencies");
        }
    }

    fn gauge(&self, standing: &Standing, dead: usize, up: &[bool]) {
        let metrics = &self.metrics;
        let age_s = |opened_ms: Option<i64>| self.age_ms(opened_ms).max(0) / 1000;
        metrics.incidents_open.set(standing.open as i64);
        metrics.incidents_unaccepted.set(standing.unaccepted as i64);
        metrics.incidents_unacknowledged.set(standing.unacknowledged as i64);
        // What changes all the time is always about to be written; what is not written for seconds is worth knowing.
        let lasts = self.clock.monotonic().saturating_sub(*self.clean.lock()) > UNRECORDED_AFTER;
        metrics.incidents_unrecorded.set(if lasts { standing.unrecorded as i64 } else { 0 });
        metrics.incidents_of_strangers.set(standing.open_of_strangers as i64);
        metrics.oldest_unaccepted.set(age_s(standing.oldest_unaccepted_ms));
        metrics.oldest_unacknowledged.set(age_s(standing.oldest_unacknowledged_ms));
        metrics.dead_letters.set(dead as i64);
        for (turn, up) in self.rules.all().zip(up) {
            let target = turn.target.to_string();
            metrics.target_up.get_or_create(&TargetLabel { target }).set(i64::from(*up));
        }
    }

    fn age_ms(&self, opened_ms: Option<i64>) -> i64 {
        opened_ms.map_or(0, |opened_ms| self.clock.now_ms() - opened_ms)
    }

    /// Tells of calls that a target refuses for good.
    fn show_dead(&self, dead: usize) {
        match dead {
            0 => self.readiness.clear("dead letters"),
            _ => self.readiness.warn(
                "dead letters",
                format!("{dead} incidents were refused for good (4xx) by a target; mend it, then POST /api/v1/incidents/replay"),
            ),
        }
    }

    /// Tells of calls that no target accepts.
    fn show_late(&self, standing: &Standing) {
        let age_ms = self.age_ms(standing.oldest_unaccepted_ms);
        if self.rules.chain.is_empty() || age_ms < LATE_AFTER_MS {
            self.readiness.clear("emergency calls");
            return;
        }
        let (incidents, age_s) = (standing.unaccepted, age_ms / 1000);
        let what = format!("no target has accepted {incidents} incidents; the oldest waits for {age_s} s");
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
    use crate::emergency::attempt::Outcome;
    use crate::emergency::inbox::Intake;
    use crate::emergency::testing::{encoded, ended, fleet, help, nobody, nowhere, test_lane, test_lane_in};
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
        let sightings = fleet(move |vehicle_id| {
            log.lock().push(vehicle_id.to_owned());
            slow.advance(Duration::from_millis(10));
            Err(NotYet)
        });
        let lane = test_lane_in(clock, sightings, 6);
        offer(&lane, &["a", "b", "c"].map(nowhere));
        lane.admit();
        asked.lock().clear();
        (0..3).for_each(|_| lane.locate());
        assert_eq!(*asked.lock(), ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn the_log_hears_of_all_refusals_but_not_of_each() {
        let mut refusals = Refusals::default();
        let at = Duration::from_secs;
        assert_eq!(refusals.take(at(1)), None);
        let mut said = Vec::new();
        for second in 1..=30 {
            refusals.unsaid += 5;
            said.extend(refusals.take(at(second)));
        }
        assert_eq!(said, [5, 50, 50]);
        assert_eq!((refusals.take(at(31)), refusals.take(at(41))), (Some(45), None));
    }

    #[test]
    fn an_operator_hears_of_a_target_that_does_not_accept() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let lane = test_lane_in(clock.clone(), nobody(), 1);
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
        lane.attempted(ended(&call.unwrap(), Outcome::Accepted { status: 200 }));
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
            lane.attempted(ended(&call, Outcome::Accepted { status: 200 }));
            lane.show();
        });
        assert!(lines.load(Ordering::Relaxed) >= 5);
    }
}
