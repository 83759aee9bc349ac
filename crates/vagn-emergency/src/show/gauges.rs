//! Gauges: what an operator hears of the lane by metrics, by warnings in `/readyz`, and by the log where a person must
//! act.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, warn};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::ReasonLabel;
use vagn_flow::readiness::Readiness;

use crate::desk::{Desk, Overview};
use crate::intake::no_room::RefusedAlarms;
use crate::metrics::{EmergencyMetrics, OutcomeLabel, TargetLabel};
use crate::record::shelf::Shelf;
use crate::rules::{Places, Rules};
use crate::show::targets::TargetBoard;
use crate::show::words::{Span, counted};

/// Name under which `/readyz` tells of a store that has not answered yet.
const RECALL: &str = "incidents";

/// Time for which `/readyz` goes on to warn of refused alarms.
const REFUSAL_SHOWN: Duration = Duration::from_secs(600);

/// Shortest time between two log lines about refused alarms. A flood must not become one of lines.
const REFUSAL_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// An operator is warned of incidents that no target has accepted for this long.
const LATE_AFTER_MS: i64 = 30_000;

/// Shortest time between two log lines about these.
const LATE_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// With less than a part of this size left, places are few.
const FEW_PART: usize = 5;

/// Time that changes may wait to be written before the metric counts them.
const UNRECORDED_AFTER: Duration = Duration::from_secs(5);

/// Shows the state of the lane to an operator.
pub(crate) struct Gauges {
    rules: Arc<Rules>,
    clock: Arc<dyn Clock>,
    metrics: Arc<EmergencyMetrics>,
    readiness: Arc<Readiness>,
    /// Time when everything was last on disk as it is.
    clean: Mutex<Duration>,
    refusals: Mutex<Refusals>,
    /// Time of the last log line about late incidents.
    late_logged: Mutex<Option<Duration>>,
    pub(crate) targets: TargetBoard,
}

/// Refused alarms, as far as the log has not told of them.
#[derive(Default)]
struct Refusals {
    last: Option<Duration>,
    logged: Option<Duration>,
    unlogged: RefusedAlarms,
    /// All since the warning began.
    warned: RefusedAlarms,
}

impl Refusals {
    /// Takes those that the log is to tell of at `now`.
    fn take(&mut self, now: Duration) -> Option<RefusedAlarms> {
        let due = self.logged.is_none_or(|at| now.saturating_sub(at) >= REFUSAL_LOGGED_EVERY);
        (due && self.unlogged.total() > 0).then(|| {
            self.logged = Some(now);
            std::mem::take(&mut self.unlogged)
        })
    }
}

impl Gauges {
    pub(crate) fn new(
        rules: Arc<Rules>,
        clock: Arc<dyn Clock>,
        metrics: Arc<EmergencyMetrics>,
        readiness: Arc<Readiness>,
    ) -> Self {
        let now = clock.monotonic();
        Self {
            targets: TargetBoard::new(&rules, clock.now_ms()),
            rules,
            clock,
            metrics,
            readiness,
            clean: Mutex::new(now),
            refusals: Mutex::default(),
            late_logged: Mutex::new(None),
        }
    }

    /// Says that the store is being asked what an earlier run left. Alarms are taken all the same.
    pub(crate) fn recalling(&self) {
        self.readiness.missing(RECALL, &[], "the incident store is being asked what an earlier run has left");
    }

    /// Says that the store has answered, or has taken too long.
    pub(crate) fn recalled(&self) {
        self.readiness.present(RECALL);
    }

    /// Brings gauges and warnings up to date.
    pub(crate) fn show(&self, desk: &Mutex<Desk>, shelf: &Shelf) {
        let (overview, targets_up) = {
            let desk = desk.lock();
            (desk.overview(), desk.targets_up())
        };
        self.targets.note(&targets_up, self.clock.now_ms());
        self.show_metrics(&overview, &targets_up);
        self.show_late(&overview);
        self.show_dead_letters(overview.dead_letters);
        self.show_places(&overview);
        self.show_store(shelf);
        self.log_refusals();
        self.show_refusals(overview.open);
    }

    fn show_metrics(&self, overview: &Overview, targets_up: &[bool]) {
        let metrics = &self.metrics;
        metrics.incidents_open.set(overview.open as i64);
        metrics.incidents_unaccepted.set(overview.unaccepted as i64);
        metrics.incidents_unacknowledged.set(overview.unacknowledged as i64);
        // A few changes are always about to be written. Those that are not written for seconds are worth knowing.
        let is_late = self.clock.monotonic().saturating_sub(*self.clean.lock()) > UNRECORDED_AFTER;
        metrics.incidents_unrecorded.set(if is_late { overview.unrecorded as i64 } else { 0 });
        metrics.incidents_of_strangers.set(overview.open_of_strangers as i64);
        let places = self.rules.places(false);
        metrics.places.set(places.all as i64);
        metrics.places_left.set(places.all.saturating_sub(overview.open) as i64);
        let strangers_left = places.strangers.saturating_sub(overview.open_of_strangers);
        metrics.stranger_places_left.set(strangers_left.min(places.all.saturating_sub(overview.open)) as i64);
        metrics.fullest_source.set(overview.fullest_source as i64);
        metrics.oldest_unaccepted.set(self.age_ms(overview.oldest_unaccepted_ms).max(0) / 1000);
        metrics.oldest_unacknowledged.set(self.age_ms(overview.oldest_unacknowledged_ms).max(0) / 1000);
        metrics.dead_letters.set(overview.dead_letters as i64);
        for (turn, is_up) in self.rules.all().zip(targets_up) {
            let target = turn.target.to_string();
            metrics.target_up.get_or_create(&TargetLabel { target }).set(i64::from(*is_up));
        }
    }

    fn age_ms(&self, opened_ms: Option<i64>) -> i64 {
        opened_ms.map_or(0, |opened_ms| self.clock.now_ms() - opened_ms)
    }

    /// Warns when few places for incidents are left, for all vehicles or for strangers.
    fn show_places(&self, overview: &Overview) {
        let Places { all, strangers, .. } = self.rules.places(false);
        let left = all.saturating_sub(overview.open);
        let strangers_left = left.min(strangers.saturating_sub(overview.open_of_strangers));
        if left * FEW_PART >= all && strangers_left * FEW_PART >= strangers {
            self.readiness.clear("emergency places");
            return;
        }
        let warning = format!(
            "{left} of {all} incidents may still be opened, {strangers_left} of them for vehicles that are not known; resolve those that are over"
        );
        self.readiness.warn("emergency places", warning);
    }

    /// Warns of incidents that a target refuses for good.
    fn show_dead_letters(&self, dead_letters: usize) {
        match dead_letters {
            0 => self.readiness.clear("dead letters"),
            _ => self.readiness.warn(
                "dead letters",
                format!(
                    "a target has refused {} for good (4xx); mend it, then POST /api/v1/incidents/replay",
                    counted(dead_letters, "incident", "incidents")
                ),
            ),
        }
    }

    /// Warns of incidents that no target accepts.
    fn show_late(&self, overview: &Overview) {
        let age_ms = self.age_ms(overview.oldest_unaccepted_ms);
        if self.rules.chain.is_empty() || age_ms < LATE_AFTER_MS {
            self.readiness.clear("emergency calls");
            return;
        }
        let incidents = counted(overview.unaccepted, "incident", "incidents");
        let age = Span(Duration::from_millis(age_ms.unsigned_abs()));
        let warning = format!("no target has accepted {incidents}; the oldest has waited for {age}");
        let now = self.clock.monotonic();
        let mut logged = self.late_logged.lock();
        if logged.is_none_or(|at| now.saturating_sub(at) >= LATE_LOGGED_EVERY) {
            *logged = Some(now);
            warn!("{warning}");
        }
        self.readiness.warn("emergency calls", warning);
    }

    /// Warns of a store that does not work or had rolled back, of a journal that does not work or was begun anew, and of
    /// records that make no sense.
    fn show_store(&self, shelf: &Shelf) {
        let history = shelf.history();
        if let Some(rolled_back) = history.rolled_back {
            self.readiness.warn("incidents restored", rolled_back);
        }
        let fault = shelf.store().and_then(|store| store.journal_fault());
        let begun_anew = || history.journal.map(|fault| format!("it was begun anew: {fault}"));
        match fault.or_else(begun_anew) {
            Some(fault) => self.readiness.warn("incident journal", fault),
            None => self.readiness.clear("incident journal"),
        }
        match shelf.failure() {
            Some(failure) => self.readiness.warn("incident store", failure),
            None => self.readiness.clear("incident store"),
        }
        let unreadable = shelf.store().map_or(0, |store| store.unreadable());
        if unreadable > 0 {
            let warning = format!("{unreadable} incident records cannot be read; the log names them");
            self.readiness.warn("incident records", warning);
        }
    }

    /// Warns of incidents of a single machine that could not be taken over.
    pub(crate) fn warn_of_before(&self, fault: &str) {
        error!("incidents of a single machine: {fault}");
        self.readiness.warn("incidents of a single machine", fault);
    }

    /// Warns of alarms that were just refused.
    pub(crate) fn refused(&self, refused: RefusedAlarms, desk: &Mutex<Desk>) {
        if refused.total() == 0 {
            return;
        }
        self.count("refused", refused.total());
        for (reason, times) in refused.reasons() {
            let label = ReasonLabel { reason: reason.word() };
            self.metrics.emergencies_refused.get_or_create(&label).inc_by(times);
        }
        {
            let mut refusals = self.refusals.lock();
            refusals.last = Some(self.clock.monotonic());
            refusals.unlogged.add_all(refused);
            refusals.warned.add_all(refused);
        }
        let open = desk.lock().overview().open;
        self.show_refusals(open);
        self.log_refusals();
    }

    fn log_refusals(&self) {
        // Taken first: the log is not written under the lock.
        let refused = self.refusals.lock().take(self.clock.monotonic());
        if let Some(refused) = refused {
            error!(refused = refused.total(), "emergencies are refused: {refused}");
        }
    }

    /// Says how many alarms have been refused and how many incidents are open now, until none has been refused for a while.
    fn show_refusals(&self, open: usize) {
        let mut refusals = self.refusals.lock();
        let Some(last) = refusals.last else { return };
        let since = self.clock.monotonic().saturating_sub(last);
        if since > REFUSAL_SHOWN {
            (refusals.last, refusals.warned) = (None, RefusedAlarms::default());
            self.readiness.clear("refused emergencies");
            return;
        }
        let refused = refusals.warned;
        let warning = format!(
            "emergencies are refused ({refused}), the last {} ago; {} open now",
            Span(since),
            counted(open, "incident is", "incidents are")
        );
        self.readiness.warn("refused emergencies", warning);
    }

    /// Notes the time if everything is on disk.
    pub(crate) fn saved(&self, desk: &Mutex<Desk>) {
        if desk.lock().overview().unrecorded == 0 {
            *self.clean.lock() = self.clock.monotonic();
        }
    }

    /// Counts emergencies by outcome.
    pub(crate) fn count(&self, outcome: &'static str, times: u64) {
        self.metrics.emergencies.get_or_create(&OutcomeLabel { outcome }).inc_by(times);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::intake::no_room::NoRoom;
    use crate::lane::Lane;
    use crate::record::attempt::Outcome;
    use crate::tests::setup::{ended, help, offer, strangers, test_lane_in};
    use vagn_flow::clock::ManualClock;

    #[test]
    fn the_log_hears_of_all_refusals_but_not_of_each() {
        let mut refusals = Refusals::default();
        let taken = |refusals: &mut Refusals, second| {
            refusals.take(Duration::from_secs(second)).map(|refused| refused.total())
        };
        assert_eq!(taken(&mut refusals, 1), None);
        let mut logged = Vec::new();
        for second in 1..=30 {
            (0..5).for_each(|_| refusals.unlogged.add(NoRoom::Places, None));
            logged.extend(taken(&mut refusals, second));
        }
        assert_eq!(logged, [5, 50, 50]);
        assert_eq!(taken(&mut refusals, 31), Some(45));
        refusals.unlogged.add(NoRoom::Places, None);
        assert_eq!(taken(&mut refusals, 32), None);
        assert_eq!(taken(&mut refusals, 41), Some(1));
    }

    #[test]
    fn a_service_whose_store_has_not_answered_takes_alarms_and_is_not_ready() {
        let lane = test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), strangers(), 1);
        lane.gauges.recalling();
        let report = lane.gauges.readiness.report();
        assert!(report.can_take_alarms && !report.ready, "{report:?}");
        lane.set_recalled();
        assert!(lane.gauges.readiness.report().ready);
    }

    #[test]
    fn a_target_that_falls_silent_and_comes_back_is_told_with_the_time() {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let lane = test_lane_in(clock.clone(), strangers(), 1);
        let told = |lane: &Lane| {
            lane.show();
            let target = lane.gauges.targets.report().targets.remove(0);
            (target.up, target.since)
        };
        let start = (true, "2023-11-14T22:13:20.000Z".to_owned());
        assert_eq!(told(&lane), start);
        offer(&lane, &[help("bus 7")]);
        lane.admit();
        let mut silent = false;
        for _ in 0..400 {
            clock.advance(Duration::from_secs(1));
            if let Some(notice) = lane.next_notice() {
                lane.attempted(ended(&notice, Outcome::Failed { reason: "refused".into() }));
            }
            let (up, since) = told(&lane);
            silent |= !up;
            assert_eq!(up, since == start.1, "the time is that of the change");
        }
        assert!(silent);
        let notice = loop {
            clock.advance(Duration::from_secs(1));
            if let Some(notice) = lane.next_notice() {
                break notice;
            }
        };
        lane.attempted(ended(&notice, Outcome::Accepted { status: 200 }));
        let (up, since) = told(&lane);
        assert!(up && since > start.1, "{since}");
    }

    #[test]
    fn an_operator_hears_that_places_run_short_and_for_what_alarms_are_refused() {
        let lane = test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), strangers(), 20);
        let names: Vec<_> = (0..12).map(|number| format!("invented {number}")).collect();
        let call = |names: &[String]| {
            offer(&lane, &names.iter().map(|name| help(name)).collect::<Vec<_>>());
            lane.admit();
            lane.show();
            lane.gauges.readiness.report().warnings
        };
        assert!(!call(&names[..8]).contains_key("emergency places"), "2 of 10 are left");
        let warnings = call(&names[8..]);
        assert!(
            warnings["emergency places"].starts_with("10 of 20 incidents may still be opened, 0 of"),
            "{warnings:?}"
        );
        assert!(warnings["refused emergencies"].contains("(strangers 2)"), "{warnings:?}");
        let id = lane.desk.lock().newest_first(None).next().unwrap().id;
        for _ in 0..2 {
            let id =
                lane.desk.lock().newest_first(None).find(|one| !one.is_resolved()).map_or(id, |one| one.id);
            let request =
                crate::Request { action: crate::RequestKind::Resolve, by: "Anna".into(), note: "".into() };
            lane.act(id, &request).unwrap();
        }
        lane.show();
        assert!(!lane.gauges.readiness.report().warnings.contains_key("emergency places"));
    }

    #[test]
    fn an_operator_hears_how_many_were_refused_in_all_and_how_many_are_open_now() {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let lane = test_lane_in(clock.clone(), strangers(), 20);
        for number in 0..13 {
            offer(&lane, &[help(&format!("invented {number}"))]);
            lane.admit();
        }
        let said = || lane.gauges.readiness.report().warnings.get("refused emergencies").cloned();
        assert_eq!(
            said().unwrap(),
            "emergencies are refused (strangers 3), the last 0 s ago; 10 incidents are open now"
        );
        let open: Vec<_> = lane.desk.lock().newest_first(None).map(|incident| incident.id).collect();
        for id in open {
            let request =
                crate::Request { action: crate::RequestKind::Resolve, by: "Anna".into(), note: "".into() };
            lane.act(id, &request).unwrap();
        }
        clock.advance(Duration::from_secs(7));
        lane.show();
        assert_eq!(
            said().unwrap(),
            "emergencies are refused (strangers 3), the last 7 s ago; 0 incidents are open now"
        );
        clock.advance(REFUSAL_SHOWN);
        lane.show();
        assert_eq!(said(), None);
        offer(&lane, &[help("invented anew")]);
        lane.admit();
        assert_eq!(said(), None, "it had room");
    }

    #[test]
    fn an_operator_hears_of_a_target_that_does_not_accept() {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let lane = test_lane_in(clock.clone(), strangers(), 1);
        offer(&lane, &[help("bus 7")]);
        lane.admit();
        lane.show();
        assert!(!lane.gauges.readiness.report().warnings.contains_key("emergency calls"));
        clock.advance(Duration::from_secs(45));
        lane.show();
        let said = lane.gauges.readiness.report().warnings["emergency calls"].clone();
        assert!(said == "no target has accepted 1 incident; the oldest has waited for 45 s", "{said}");
        let notice = lane.next_notice().or_else(|| {
            clock.advance(Duration::from_secs(1));
            lane.next_notice()
        });
        lane.attempted(ended(&notice.unwrap(), Outcome::Accepted { status: 200 }));
        lane.show();
        assert!(!lane.gauges.readiness.report().warnings.contains_key("emergency calls"));
    }
}
