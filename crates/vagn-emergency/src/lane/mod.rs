//! The lane: what the actors share, that is inbox, desk and store. None of it belongs to any of them, so each may crash
//! or hang.

mod lookup;
mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tracing::{debug, info};
use vagn_flow::clock::{Believed, Clock};
use vagn_flow::readiness::Readiness;
use vagn_flow::trust::Trust;

use crate::desk::{Desk, Moment, Refusal, Request};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::inbox::Inbox;
use crate::intake::known::KnownVehicles;
use crate::intake::replays::Replays;
use crate::metrics::{AttemptLabel, EmergencyMetrics};
use crate::notify::notice::{EndedNotice, Notice};
use crate::record::shelf::Shelf;
use crate::record::store::StoreError;
use crate::rules::Rules;
use crate::show::announcer::Announcer;
use crate::show::gauges::Gauges;
use crate::trail::Head;
use lookup::Lookup;
pub(crate) use signals::{Attend, Signals};

/// Shared part of the emergency lane.
pub(crate) struct Lane {
    pub(crate) rules: Arc<Rules>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) desk: Mutex<Desk>,
    pub(crate) replays: Arc<Replays>,
    pub(crate) shelf: Shelf,
    pub(crate) clock: Arc<dyn Clock>,
    trust: Arc<Trust>,
    pub(crate) announcer: Announcer,
    pub(crate) signals: Signals,
    pub(crate) gauges: Gauges,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) lookup: Lookup,
    /// End of the trail, once it is known.
    head: Mutex<Option<Head>>,
    /// The store has been asked what an earlier run left, or has taken too long to say.
    recalled: AtomicBool,
}

/// Seeds for what is random in the lane: the same seeds give the same run.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// Seed of the ids of incidents.
    pub ids: u64,
    /// Seed of the jitter between two attempts.
    pub jitter: u64,
}

/// Parts of a lane.
pub(crate) struct LaneParts {
    pub(crate) rules: Rules,
    pub(crate) shelf: Shelf,
    pub(crate) vehicles: Arc<dyn KnownVehicles>,
    pub(crate) seeds: Seeds,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trust: Arc<Trust>,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) replays: Counter,
}

impl Lane {
    pub(crate) fn new(parts: LaneParts) -> Self {
        let LaneParts { rules, shelf, vehicles, seeds, clock, trust, metrics, readiness, replays } = parts;
        let rules = Arc::new(rules);
        let replays = Arc::new(Replays::new(replays));
        let inbox = Inbox::new(clock.clone(), vehicles.clone(), rules.per_source_max, seeds.ids);
        let desk = Desk::new(rules.clone(), seeds.jitter).with_replays(replays.clone());
        Self {
            inbox: Arc::new(
                inbox.with_replays(replays.clone()).with_acks_refused(metrics.acks_refused.clone()),
            ),
            desk: Mutex::new(desk),
            replays,
            shelf,
            announcer: Announcer::new(rules.clone(), clock.clone()),
            signals: Signals::default(),
            gauges: Gauges::new(rules.clone(), clock.clone(), metrics.clone(), readiness),
            metrics,
            lookup: Lookup::new(vehicles, clock.clone()),
            head: Mutex::new(None),
            recalled: AtomicBool::new(false),
            clock,
            trust,
            rules,
        }
    }

    /// Returns true when alarms may be let in. Until the store has been asked, an alarm may be a repeat of what an
    /// earlier run left.
    pub(crate) fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::Acquire)
    }

    /// Lets alarms in from now on, whether the store has answered or not.
    pub(crate) fn set_recalled(&self) {
        if !self.recalled.swap(true, Ordering::AcqRel) {
            // First, so that a caller who waits for the lane does not see counts from before.
            self.show();
            self.gauges.recalled();
        }
    }

    /// Returns how long an alarm may wait in the inbox.
    fn patience(&self) -> Duration {
        if self.is_recalled() { self.rules.record_within } else { self.rules.recall_within }
    }

    /// Returns the present moment, by both clocks. Not under the desk's lock: a doubt in the clock that begins is logged.
    pub(crate) fn moment(&self) -> Moment {
        let now = Moment::now(&*self.clock);
        // The very reading that is believed: the clock may jump in between.
        let Some(Believed { now_ms, since_ms }) = self.trust.now() else { return now };
        Moment { ms: now_ms, is_sure: true, since_ms, ..now }
    }

    /// Lets in all known vehicles that wait in the inbox, and then some of the others:
    /// [`TAKES_MAX`](crate::intake::inbox::TAKES_MAX) times let in all.
    pub(crate) fn admit(&self) {
        self.admit_known();
        self.admit_others();
    }

    /// Lets in all known vehicles that wait in the inbox.
    pub(crate) fn admit_known(&self) {
        self.let_in(Inbox::take_known);
    }

    /// Lets in some of the others.
    pub(crate) fn admit_others(&self) {
        self.let_in(Inbox::take_others);
    }

    fn let_in(&self, take: fn(&Inbox) -> Vec<Alarm>) {
        let newcomers = {
            let mut desk = self.desk.lock();
            // Taken under the desk's lock, so that an alarm is never in neither of the two.
            desk.arrive(take(&self.inbox));
            desk.newcomers()
        };
        // Without the desk's lock: a fleet that does not answer must not hold up alarms.
        let known = self.lookup.known(newcomers);
        let admitted = self.desk.lock().admit(&known);
        debug!(opened = admitted.opened.len(), updated = admitted.updated, "let alarms in");
        self.announce();
        let mut refused = self.inbox.take_refused();
        refused.add_all(admitted.refused);
        self.gauges.refused(refused, &self.desk);
    }

    /// Gives incidents without a position the last known one of their vehicles.
    pub(crate) fn locate(&self) {
        self.lookup.locate(&self.desk);
    }

    /// Looks undecided vehicles up again: a start in a flood leaves thousands of them, before which known ones are to go.
    pub(crate) fn decide(&self) {
        self.lookup.decide(&self.desk, |decided| {
            let mut desk = self.desk.lock();
            decided.into_iter().for_each(|(id, standing)| desk.decide(id, standing));
        });
        self.signals.wake_notifier();
    }

    /// Looks where the vehicles of accepted incidents are now.
    pub(crate) fn follow(&self) {
        self.lookup.follow(&self.desk);
    }

    /// Tells the source of known vehicles that some seconds have passed.
    pub(crate) fn mark_known(&self) {
        self.lookup.mark();
    }

    /// Lets in alarms that have waited too long, because the incidents actor must be hanging. With `all`, lets in every one.
    pub(crate) fn rescue(&self, all: bool) {
        let latest = self.clock.monotonic().saturating_sub(self.patience());
        let is_late = |since: Option<Duration>| since.is_some_and(|since| all || since <= latest);
        let known = is_late(self.known_since());
        let others = is_late(self.inbox.others_since());
        if known || others {
            // The store has had its time; an alarm must not wait for a hung disk.
            self.set_recalled();
        }
        if known {
            self.admit_known();
        }
        // Not for the sake of known vehicles: to look strangers up takes time in which no notice goes out.
        if others {
            self.admit_others();
        }
        if known || others {
            self.locate();
        }
    }

    /// Returns the arrival of the alarm that has waited longest of those of known vehicles, and of those that are at the desk but
    /// were not let in.
    fn known_since(&self) -> Option<Duration> {
        // The inbox first: an alarm that leaves it in between is at the desk by the time the desk is asked.
        let in_inbox = self.inbox.known_since();
        in_inbox.into_iter().chain(self.desk.lock().oldest_arrival()).min()
    }

    /// Returns the time when there may be a notice to send although nothing rings.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let since = self.inbox.others_since().into_iter().chain(self.known_since()).min();
        let late = since.map(|since| since + self.patience());
        late.into_iter().chain(self.desk.lock().wake_at()).min()
    }

    /// Takes the next notice to send. Its attempt begins now.
    pub(crate) fn next_notice(&self) -> Option<Notice> {
        let now = self.moment();
        let notice = self.desk.lock().next_notice(now)?;
        if let Some(arrived) = notice.arrived.filter(|_| !notice.incident.drill) {
            let took = now.at.saturating_sub(arrived);
            self.metrics.emergency_first_attempt.observe(took.as_secs_f64());
        }
        Some(notice)
    }

    /// Notes what came of a notice.
    pub(crate) fn attempted(&self, ended: EndedNotice) {
        let outcome = ended.attempt.outcome.word();
        let label = AttemptLabel { target: ended.attempt.target.to_string(), outcome };
        self.metrics.emergency_attempts.get_or_create(&label).inc();
        self.gauges.count(if matches!(outcome, "refused" | "failed") { "retried" } else { outcome }, 1);
        if ended.attempt.outcome.accepted() {
            let number = ended.attempt.number;
            info!(incident_id = %ended.id, target = %ended.attempt.target, attempt = number, "the notice is accepted");
        }
        let now = self.moment();
        self.desk.lock().attempted(ended, now);
        self.announce();
        self.show();
    }

    /// Does what a person requests about an incident at the desk.
    pub(crate) fn act(&self, id: IncidentId, request: &Request) -> Result<(), Refusal> {
        let now = self.moment();
        let waited = self.desk.lock().act(id, request, now)?;
        if let Some(waited) = waited {
            self.metrics.emergency_acknowledged.observe(waited.as_secs_f64());
        }
        self.announce();
        self.signals.wake_notifier();
        Ok(())
    }

    /// Sends every dead letter again, as `by` requests. Returns how many.
    pub(crate) fn replay(&self, by: &str) -> usize {
        let now = self.moment();
        let replayed = self.desk.lock().replay_all(by, now);
        self.announce();
        self.signals.wake_notifier();
        replayed
    }

    /// Announces what has happened.
    pub(crate) fn announce(&self) {
        self.announcer.announce(&self.desk);
    }

    /// Announces which incidents have moved or reported.
    pub(crate) fn announce_stirred(&self) {
        self.announcer.announce_stirred(&self.desk);
    }

    /// Brings gauges and warnings up to date.
    pub(crate) fn show(&self) {
        self.gauges.show(&self.desk, &self.shelf);
    }

    /// Returns the end of the trail, once it is known.
    pub(crate) fn head(&self) -> Option<Head> {
        *self.head.lock()
    }

    pub(crate) fn set_head(&self, head: Head) {
        *self.head.lock() = Some(head);
    }

    /// Notes that a save succeeded, or that there was nothing to save.
    pub(crate) fn saved(&self) {
        self.gauges.saved(&self.desk);
    }

    /// Notes that the store failed.
    pub(crate) fn store_failed(&self, err: &StoreError) {
        self.shelf.failed(err, self.clock.monotonic());
        self.store_down();
    }

    /// Lets notices go without a record: the store does not work.
    pub(crate) fn store_down(&self) {
        self.desk.lock().store_down();
        self.signals.wake_notifier();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber, subscriber};

    use super::*;
    use crate::intake::known::KnownVehicle;
    use crate::record::attempt::Outcome;
    use crate::record::standing::Standing;
    use crate::tests::setup::{ended, fleet, help, nowhere, offer, test_lane, test_lane_in};
    use vagn_flow::clock::ManualClock;

    const NOW_MS: i64 = 1_700_000_000_000;

    /// A log that finds out when it is written to under the desk's lock.
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
        let slow = clock.clone();
        let log = asked.clone();
        let vehicles = fleet(move |vehicle_id| {
            log.lock().push(vehicle_id.to_owned());
            slow.advance(Duration::from_millis(10));
            KnownVehicle::UNDECIDED
        });
        let lane = test_lane_in(clock, vehicles, 6);
        offer(&lane, &["a", "b", "c"].map(nowhere));
        lane.admit();
        asked.lock().clear();
        for _ in 0..3 {
            lane.locate();
        }
        assert_eq!(*asked.lock(), ["a", "b", "c", "a", "b", "c"]);
    }

    #[test]
    fn strangers_who_wait_in_turn_are_not_let_in_by_the_notifier_and_all_are_when_no_turn_comes() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let vehicles = fleet(|vehicle_id| match vehicle_id {
            "bus" => KnownVehicle { standing: Standing::Known, last_fix: None },
            _ => KnownVehicle::STRANGER,
        });
        let lane = test_lane_in(clock.clone(), vehicles, 100);
        let open = || lane.desk.lock().overview().open;
        lane.set_recalled();
        offer(&lane, &["one", "two"].map(help));
        clock.advance(Duration::from_secs(1));
        lane.inbox.begin_turn();
        lane.rescue(false);
        assert_eq!(open(), 0, "it was their turn just now");
        offer(&lane, &[help("bus")]);
        clock.advance(Duration::from_millis(99));
        lane.inbox.begin_turn();
        clock.advance(Duration::from_millis(1));
        lane.rescue(false);
        assert_eq!(open(), 1, "the bus has waited for 100 ms");
        clock.advance(Duration::from_millis(99));
        lane.rescue(false);
        assert_eq!(open(), 3, "no turn came for 100 ms");
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
            let notice = lane.next_notice().unwrap();
            lane.attempted(ended(&notice, Outcome::Accepted { status: 200 }));
            lane.show();
        });
        assert!(lines.load(Ordering::Relaxed) >= 5);
    }
}
