//! What an operator hears of the lane: gauges, warnings in `/readyz`, and lines in the log where a person must act.

use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, warn};

use crate::desk::Overview;
use crate::lane::Lane;
use crate::metrics::TargetLabel;

/// How long `/readyz` goes on to tell of emergencies that were refused.
const REFUSAL_SHOWN: Duration = Duration::from_secs(600);

/// How often the log says so. A flood must not become one of lines.
const REFUSAL_SAID_EVERY: Duration = Duration::from_secs(10);

/// An operator is told of calls that nobody has accepted for so long.
const LATE_AFTER_MS: i64 = 30_000;

/// How often the log says so.
const LATE_SAID_EVERY: Duration = Duration::from_secs(60);

/// How long changes may wait to be written before the metric says so.
const UNRECORDED_AFTER: Duration = Duration::from_secs(5);

/// What an operator has heard so far, by the monotonic clock.
pub(crate) struct Shown {
    /// When everything was last on disk as it is.
    clean: Mutex<Duration>,
    refusals: Mutex<Refusals>,
    /// When the log was last told of late calls.
    late_said: Mutex<Option<Duration>>,
}

impl Shown {
    /// Nothing so far; and at `now` there is nothing to record.
    pub(crate) fn new(now: Duration) -> Self {
        Self { clean: Mutex::new(now), refusals: Mutex::default(), late_said: Mutex::new(None) }
    }
}

/// NoticeQueue for help that were refused, as far as an operator has not heard of them.
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
    /// Brings gauges and warnings up to date.
    pub(crate) fn show(&self) {
        let (overview, dead, up) = {
            let desk = self.desk.lock();
            (desk.overview(), desk.dead_letters(), desk.targets_up())
        };
        self.gauge(&overview, dead, &up);
        self.show_late(&overview);
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
        let mut refusals = self.shown.refusals.lock();
        if refusals.last.is_some_and(|at| self.clock.monotonic().saturating_sub(at) > REFUSAL_SHOWN) {
            refusals.last = None;
            self.readiness.clear("refused emergencies");
        }
    }

    fn gauge(&self, overview: &Overview, dead: usize, up: &[bool]) {
        let metrics = &self.metrics;
        let age_s = |opened_ms: Option<i64>| self.age_ms(opened_ms).max(0) / 1000;
        metrics.incidents_open.set(overview.open as i64);
        metrics.incidents_unaccepted.set(overview.unaccepted as i64);
        metrics.incidents_unacknowledged.set(overview.unacknowledged as i64);
        // What changes all the time is always about to be written; what is not written for seconds is worth knowing.
        let lasts = self.clock.monotonic().saturating_sub(*self.shown.clean.lock()) > UNRECORDED_AFTER;
        metrics.incidents_unrecorded.set(if lasts { overview.unrecorded as i64 } else { 0 });
        metrics.incidents_of_strangers.set(overview.open_of_strangers as i64);
        metrics.oldest_unaccepted.set(age_s(overview.oldest_unaccepted_ms));
        metrics.oldest_unacknowledged.set(age_s(overview.oldest_unacknowledged_ms));
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
    fn show_late(&self, overview: &Overview) {
        let age_ms = self.age_ms(overview.oldest_unaccepted_ms);
        if self.rules.chain.is_empty() || age_ms < LATE_AFTER_MS {
            self.readiness.clear("emergency calls");
            return;
        }
        let (incidents, age_s) = (overview.unaccepted, age_ms / 1000);
        let what = format!("no target has accepted {incidents} incidents; the oldest waits for {age_s} s");
        let now = self.clock.monotonic();
        let mut said = self.shown.late_said.lock();
        if said.is_none_or(|at| now.saturating_sub(at) >= LATE_SAID_EVERY) {
            *said = Some(now);
            warn!("{what}");
        }
        self.readiness.warn("emergency calls", what);
    }

    /// Tells of calls for help that were just refused.
    pub(crate) fn alarm(&self, refused: u64) {
        if refused == 0 {
            return;
        }
        self.count("refused", refused);
        {
            let mut refusals = self.shown.refusals.lock();
            refusals.last = Some(self.clock.monotonic());
            refusals.unsaid += refused;
        }
        let open = self.desk.lock().overview().open;
        self.readiness
            .warn("refused emergencies", format!("emergencies are refused: {open} incidents are open"));
        self.say_refusals();
    }

    fn say_refusals(&self) {
        let refused = self.shown.refusals.lock().take(self.clock.monotonic());
        if let Some(refused) = refused {
            error!(refused, "emergencies are refused: too many incidents are open");
        }
    }

    /// Notes when everything is on disk.
    pub(crate) fn saved(&self) {
        if self.desk.lock().overview().unrecorded == 0 {
            *self.shown.clean.lock() = self.clock.monotonic();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::record::attempt::Outcome;
    use crate::tests::setup::{ended, help, offer, strangers, test_lane_in};
    use vagn_flow::clock::ManualClock;

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
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let lane = test_lane_in(clock.clone(), strangers(), 1);
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
}
