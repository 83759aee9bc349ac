//! Trust in the wall clock: what cannot be undone asks here for the time, and gets none while the clock may be wrong.
//!
//! A wall clock is wrong after a boot without a battery, until a time service has set it, and whenever it is set by mistake.
//! Stamps and answers go by it all the same; but vehicles that are forgotten, history that is removed and incidents that are
//! resolved do not come back with the right time. [`Trust`] compares the clock with the mark of the last run, with the
//! monotonic clock, with the kernel's word and with the vehicles' own times (`belief`).

mod belief;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;
use tracing::{info, warn};

use crate::clock::{Believed, Clock};
use crate::kernel_clock::KernelClock;
use crate::metrics::{MetricRegistry, ReasonLabel};
use crate::readiness::Readiness;
use crate::rfc3339::rfc3339;
use belief::{Belief, Change, Look, Reason, WITNESSES};

/// Name of the warning in `/readyz`.
const WARNING: &str = "clock";

/// Parts of a [`Trust`].
pub struct TrustParts {
    /// Both clocks.
    pub clock: Arc<dyn Clock>,
    /// Times that an earlier run left in its mark.
    pub marked: Option<Believed>,
    /// Number of partitions, whose logs stand in for a mark that is lost.
    pub partitions: u32,
    /// Half of this is the longest time for which a service may have been down without a doubt.
    pub forget_after: Duration,
    /// The kernel's word is taken.
    pub kernel: bool,
    /// Receives the warning.
    pub readiness: Arc<Readiness>,
    /// Receives the metrics.
    pub registry: Arc<MetricRegistry>,
}

/// The one judge of the wall clock.
pub struct Trust {
    clock: Arc<dyn Clock>,
    belief: Mutex<Belief>,
    /// Says whether the kernel keeps the clock that says this, ms since 1970.
    kernel: fn(i64) -> bool,
    /// The vehicles' own times are wanted.
    asks_vehicles: AtomicBool,
    readiness: Arc<Readiness>,
    metrics: TrustMetrics,
}

/// Outcome of an operator's acceptance.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Accepted {
    /// True if the clock was doubted until then.
    pub doubted: bool,
    /// Time by the wall clock, which is believed now.
    pub time: String,
}

struct TrustMetrics {
    doubted: Gauge,
    doubts: Family<ReasonLabel, Counter>,
    difference: Gauge<f64, AtomicU64>,
}

impl TrustMetrics {
    fn new(registry: &MetricRegistry) -> Self {
        let doubts =
            registry.register("clock_doubts", "Doubts in the wall clock by reason", Family::default());
        for reason in Reason::ALL {
            drop(doubts.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        let help = "1 while the wall clock is not believed, and what cannot be undone waits";
        let doubted = registry.register("clock_doubted", help, Gauge::default());
        let help = "Time by which the wall clock is ahead of what it should be";
        let difference =
            registry.register_with_unit("clock_difference", help, Unit::Seconds, Gauge::default());
        Self { doubted, doubts, difference }
    }
}

impl Trust {
    /// Looks at the clock for the first time.
    pub fn new(parts: TrustParts) -> Arc<Self> {
        let TrustParts { clock, marked, partitions, forget_after, kernel, readiness, registry } = parts;
        let kernel = if kernel { |wall_ms| KernelClock::ask().keeps(wall_ms) } else { |_| false };
        let ahead_max_ms = i64::try_from(forget_after.as_millis() / 2).unwrap_or(i64::MAX);
        let first = look(&*clock);
        let belief = Belief::new(marked, first, ahead_max_ms, partitions);
        Self::with(clock, belief, kernel, readiness, &registry)
    }

    /// Believes whatever `clock` says: for parts that run without the rest of the service.
    pub fn blind(clock: Arc<dyn Clock>) -> Arc<Self> {
        let belief = Belief::new(None, look(&*clock), i64::MAX, 0);
        Self::with(clock, belief, |_| true, Arc::default(), &MetricRegistry::new())
    }

    fn with(
        clock: Arc<dyn Clock>,
        belief: Belief,
        kernel: fn(i64) -> bool,
        readiness: Arc<Readiness>,
        registry: &MetricRegistry,
    ) -> Arc<Self> {
        let belief = Mutex::new(belief);
        let metrics = TrustMetrics::new(registry);
        let trust = Self { clock, belief, kernel, asks_vehicles: AtomicBool::new(false), readiness, metrics };
        trust.now();
        Arc::new(trust)
    }

    /// Returns the time, ms since 1970, for what cannot be undone; `None` while the clock is doubted, and where the mark is
    /// lost until the logs are read.
    pub fn now(&self) -> Option<Believed> {
        let mut belief = self.belief.lock();
        let look = self.look(&mut belief);
        let is_unknown = belief.awaits_log() && !(self.kernel)(look.wall_ms);
        let believed = Believed { now_ms: look.wall_ms, since_ms: belief.since_ms() };
        (!is_unknown && !belief.is_in_doubt()).then_some(believed)
    }

    /// Returns the time, ms since 1970, as far as it is believed: that of the wall clock, or while this is doubted the time
    /// that it should be.
    pub fn believed(&self) -> Believed {
        let mut belief = self.belief.lock();
        let look = self.look(&mut belief);
        let now_ms = if belief.is_in_doubt() { belief.expected_ms(look.at) } else { look.wall_ms };
        Believed { now_ms, since_ms: belief.since_ms() }
    }

    /// Notes the newest time, ms since 1970, that recovery has found in the log of a partition.
    pub fn logged(&self, partition: u32, time_ms: i64) {
        let mut belief = self.belief.lock();
        belief.logged(partition, time_ms, look(&*self.clock));
        self.look(&mut belief);
    }

    /// Returns true while the vehicles' own times are wanted.
    #[inline]
    pub fn asks_vehicles(&self) -> bool {
        self.asks_vehicles.load(Ordering::Relaxed)
    }

    /// Hears the vehicles' own times: for each report the hash of its vehicle, and its time in ms since 1970. A vehicle counts
    /// once.
    pub fn hear(&self, times: impl Iterator<Item = (u64, i64)>) {
        let mut belief = self.belief.lock();
        let now = self.look(&mut belief);
        for (vehicle, own_ms) in times {
            belief.hear(vehicle, own_ms, now.wall_ms);
        }
        self.look(&mut belief);
    }

    /// Believes the wall clock from now on, on an operator's word.
    pub fn accept(&self) -> Accepted {
        let mut belief = self.belief.lock();
        let look = self.look(&mut belief);
        let change = belief.accept(look);
        self.tell(&belief, look, change);
        Accepted { doubted: change.is_some(), time: rfc3339(look.wall_ms) }
    }

    /// Looks at the clocks, and tells what that changes.
    fn look(&self, belief: &mut Belief) -> Look {
        let look = look(&*self.clock);
        self.metrics.difference.set(belief.difference_ms(look) as f64 / 1e3);
        let expected_ms = belief.expected_ms(look.at);
        let change = belief.look(look, || (self.kernel)(look.wall_ms));
        if change == Some(Change::Followed) {
            let clock = rfc3339(look.wall_ms);
            let expected = rfc3339(expected_ms);
            info!(
                clock,
                expected, "the wall clock jumped; it is believed, since the kernel calls it synchronised"
            );
        }
        self.tell(belief, look, change);
        look
    }

    fn tell(&self, belief: &Belief, look: Look, change: Option<Change>) {
        if let Some(reason) = belief.reason() {
            self.readiness.warn(WARNING, warning(reason, look.wall_ms, belief.expected_ms(look.at)));
        }
        match change {
            Some(Change::Began(reason)) => {
                self.metrics.doubts.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
                warn!("{}", warning(reason, look.wall_ms, belief.expected_ms(look.at)));
            }
            Some(Change::Ended(ending)) => {
                self.readiness.clear(WARNING);
                let clock = rfc3339(look.wall_ms);
                info!(
                    clock,
                    why = ending.as_str(),
                    "the wall clock is believed again; what waited for it goes on"
                );
            }
            Some(Change::Followed) | None => return,
        }
        self.metrics.doubted.set(i64::from(belief.is_in_doubt()));
        self.asks_vehicles.store(belief.is_in_doubt(), Ordering::Relaxed);
    }
}

fn look(clock: &dyn Clock) -> Look {
    Look { wall_ms: clock.now_ms(), at: clock.monotonic() }
}

fn warning(reason: Reason, wall_ms: i64, expected_ms: i64) -> String {
    let clock = rfc3339(wall_ms);
    let expected = rfc3339(expected_ms);
    let why = match reason {
        Reason::Behind => format!("behind the last run, which ended at {expected} or later"),
        Reason::Ahead => format!("far ahead of the last run, which ended at about {expected}"),
        Reason::Jumped => format!("and by the time that has passed it should be {expected}"),
    };
    format!(
        "the wall clock says {clock}, {why}; until it is known to be right, no vehicle is forgotten, no history removed, and no \
         incident resolved or closed by age; set the clock, or, if it is right, run `vagn doctor --accept-clock`; it is also \
         believed when the kernel calls it synchronised, or {WITNESSES} vehicles' own times agree with it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const NOW_MS: i64 = 1_790_000_000_000;
    const DAY_MS: i64 = 24 * 3_600_000;

    struct Fixture {
        clock: Arc<ManualClock>,
        readiness: Arc<Readiness>,
        registry: Arc<MetricRegistry>,
        trust: Arc<Trust>,
    }

    fn fixture(marked_ms: Option<i64>) -> Fixture {
        let (clock, registry) = (Arc::new(ManualClock::at(NOW_MS)), MetricRegistry::new());
        let readiness = Arc::<Readiness>::default();
        let trust = Trust::new(TrustParts {
            clock: clock.clone(),
            marked: marked_ms.map(|now_ms| Believed { now_ms, since_ms: now_ms - 90 * DAY_MS }),
            partitions: 2,
            forget_after: Duration::from_secs(30 * 24 * 3600),
            kernel: false,
            readiness: readiness.clone(),
            registry: registry.clone(),
        });
        Fixture { clock, readiness, registry, trust }
    }

    impl Fixture {
        fn now_ms(&self) -> Option<i64> {
            self.trust.now().map(|now| now.now_ms)
        }

        fn warning(&self) -> Option<String> {
            self.readiness.report().warnings.get("clock").cloned()
        }
    }

    #[test]
    fn a_doubt_is_told_in_warning_and_metrics_until_it_ends() {
        let it = fixture(Some(NOW_MS - 40 * DAY_MS));
        assert_eq!((it.now_ms(), it.trust.believed().now_ms), (None, NOW_MS - 40 * DAY_MS));
        let warning = it.warning().unwrap();
        for part in [rfc3339(NOW_MS), rfc3339(NOW_MS - 40 * DAY_MS), "vagn doctor --accept-clock".into()] {
            assert!(warning.contains(&part), "{part} is not in {warning}");
        }
        let page = it.registry.page();
        for line in [
            "vagn_clock_doubted 1",
            "vagn_clock_doubts_total{reason=\"ahead\"} 1",
            "vagn_clock_doubts_total{reason=\"jumped\"} 0",
            "vagn_clock_difference_seconds 3456000.0",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(it.trust.accept().doubted && !it.trust.accept().doubted);
        assert_eq!((it.now_ms(), it.warning()), (Some(NOW_MS), None));
        assert!(it.registry.page().contains("vagn_clock_doubted 0"));
    }

    #[test]
    fn a_jump_is_noticed_by_the_first_question() {
        let it = fixture(None);
        it.trust.logged(0, i64::MIN);
        it.trust.logged(1, NOW_MS);
        assert_eq!(it.now_ms(), Some(NOW_MS));
        it.clock.jump_ms(3_650 * DAY_MS);
        assert_eq!((it.now_ms(), it.trust.believed().now_ms), (None, NOW_MS));
    }

    #[test]
    fn without_a_mark_nothing_is_believed_before_every_log_is_read() {
        let it = fixture(None);
        assert_eq!(it.now_ms(), None);
        it.trust.logged(0, NOW_MS - DAY_MS);
        it.trust.logged(0, NOW_MS - DAY_MS);
        assert_eq!((it.now_ms(), it.warning()), (None, None));
        it.trust.logged(1, i64::MIN);
        assert_eq!(it.now_ms(), Some(NOW_MS));
        let far_ahead = fixture(None);
        far_ahead.trust.logged(0, NOW_MS - 40 * DAY_MS);
        far_ahead.trust.logged(1, i64::MIN);
        assert_eq!(far_ahead.now_ms(), None);
        assert!(far_ahead.warning().is_some());
    }

    #[test]
    fn vehicles_are_asked_only_while_the_clock_is_doubted() {
        let it = fixture(Some(NOW_MS - 40 * DAY_MS));
        assert!(it.trust.asks_vehicles());
        it.trust.hear((0..9).map(|vehicle| (vehicle, NOW_MS + 59_000)));
        assert!(it.trust.asks_vehicles());
        it.trust.hear([(9, NOW_MS)].into_iter());
        assert!(!it.trust.asks_vehicles());
        assert_eq!(it.now_ms(), Some(NOW_MS));
    }

    #[test]
    fn what_was_stamped_before_a_doubt_ended_tells_no_age_unless_an_operator_says_so() {
        let heard = fixture(Some(NOW_MS - 40 * DAY_MS));
        heard.trust.hear((0..10).map(|vehicle| (vehicle, NOW_MS)));
        let believed = heard.trust.now().unwrap();
        assert_eq!((believed.since_ms, believed.before(1), believed.before(0)), (NOW_MS, None, Some(NOW_MS)));
        let accepted = fixture(Some(NOW_MS - 40 * DAY_MS));
        accepted.trust.accept();
        assert_eq!(accepted.trust.now().unwrap().before(30 * DAY_MS), Some(NOW_MS - 30 * DAY_MS));
        let well = fixture(Some(NOW_MS - DAY_MS));
        assert_eq!(well.trust.now().unwrap().since_ms, NOW_MS - 91 * DAY_MS);
    }

    #[test]
    fn a_blind_one_believes_everything() {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let trust = Trust::blind(clock.clone());
        clock.set_ms(5);
        assert_eq!(trust.now().map(|now| now.now_ms), Some(5));
    }
}
