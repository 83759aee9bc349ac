//! Metrics of the emergency lane.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};

use crate::intake::no_room::NoRoom;
use crate::notify::in_use::SlotMetrics;
pub(crate) use crate::notify::in_use::TargetLabel;
use crate::office::losses::Loss;

/// Values of `outcome` that are shown from the start, so that a rate over them has no gap.
const OUTCOMES: [&str; 4] = ["accepted", "retried", "refused", "dead"];

/// `outcome="accepted"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    /// From a short fixed list.
    pub(crate) outcome: &'static str,
}

/// `target="primary",outcome="accepted"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AttemptLabel {
    /// Name of the target, from the settings.
    pub(crate) target: String,
    /// From a short fixed list.
    pub(crate) outcome: &'static str,
}

/// Counters, gauges and times of the lane.
#[derive(Debug)]
pub struct EmergencyMetrics {
    pub(crate) emergencies: Family<OutcomeLabel, Counter>,
    pub(crate) emergencies_refused: Family<ReasonLabel, Counter>,
    pub(crate) emergency_first_attempt: Histogram,
    pub(crate) emergency_attempts: Family<AttemptLabel, Counter>,
    pub(crate) emergency_acknowledged: Histogram,
    /// Calls of this node's door that it shows no more before the trail has them.
    pub(crate) emergency_calls_unshown: Counter,
    pub(crate) dead_letters: Gauge,
    /// 1, or 0 while the target is only probed.
    pub(crate) target_up: Family<TargetLabel, Gauge>,
    pub(crate) slots: SlotMetrics,
    pub(crate) acks_refused: Counter,
    pub(crate) incidents_of_strangers: Gauge,
    pub(crate) places: Gauge,
    pub(crate) places_left: Gauge,
    pub(crate) stranger_places_left: Gauge,
    pub(crate) fullest_source: Gauge,
    pub(crate) incidents_open: Gauge,
    pub(crate) incidents_unaccepted: Gauge,
    pub(crate) incidents_unacknowledged: Gauge,
    pub(crate) incidents_unrecorded: Gauge,
    /// Seconds.
    pub(crate) oldest_unaccepted: Gauge,
    /// Seconds.
    pub(crate) oldest_unacknowledged: Gauge,
    pub(crate) office_losses: Family<ReasonLabel, Counter>,
}

impl EmergencyMetrics {
    /// Registers the metrics of the lane.
    #[rustfmt::skip]
    pub fn new(registry: &MetricRegistry) -> Arc<Self> {
        let gauge = |name, help| registry.register(name, help, Gauge::default());
        let seconds = |name, help| registry.register_with_unit(name, help, Unit::Seconds, Gauge::default());
        let times = |name, help, buckets| registry.register_with_unit(name, help, Unit::Seconds, buckets);
        let metrics = Self {
            emergencies: registry.register("emergencies", "Emergencies by outcome", Family::default()),
            emergencies_refused: registry.register("emergencies_refused", "Alarms that were refused, by reason", Family::default()),
            emergency_first_attempt: times("emergency_first_attempt", "From receipt to first attempt", waits()),
            emergency_attempts: registry.register("emergency_attempts", "Attempts to reach a target by outcome", Family::default()),
            emergency_acknowledged: times("emergency_acknowledged", "From receipt to acknowledgement by a person", reactions()),
            emergency_calls_unshown: registry.register("emergency_calls_unshown", "Calls of the door of a node that are shown no more before they are recorded, for lack of room", Counter::default()),
            dead_letters: gauge("emergency_dead_letters", "Real incidents that a target has refused for good"),
            target_up: registry.register("emergency_target_up", "1 while a target answers, 0 while it is only probed", Family::default()),
            slots: SlotMetrics::new(registry),
            acks_refused: registry.register("emergency_acks_refused", "Datagrams with a call for help that get no answer, as too many wait for one", Counter::default()),
            incidents_of_strangers: gauge("emergency_unfamiliar_open", "Open incidents of vehicles that are not known for certain: strangers and undecided ones"),
            places: gauge("emergency_places", "Real incidents that may be open"),
            places_left: gauge("emergency_places_left", "Real incidents that may still be opened"),
            stranger_places_left: gauge("emergency_stranger_places_left", "Real incidents that may still be opened for vehicles that are not known for certain"),
            fullest_source: gauge("emergency_fullest_source", "Open incidents of vehicles that are not known for certain, from the source that has most"),
            incidents_open: gauge("incidents_open", "Real incidents that are not resolved"),
            incidents_unaccepted: gauge("incidents_unaccepted", "Real incidents that no target has accepted"),
            incidents_unacknowledged: gauge("incidents_unacknowledged", "Real incidents that no person has acknowledged"),
            incidents_unrecorded: gauge("incidents_unrecorded", "Incidents that are not on disk as they are"),
            oldest_unaccepted: seconds("incidents_oldest_unaccepted", "Age of the oldest incident that no target has accepted"),
            oldest_unacknowledged: seconds("incidents_oldest_unacknowledged", "Age of the oldest incident that no person has acknowledged"),
            office_losses: registry.register("emergency_office_losses", "What found no place between the parts of a node that care for calls, by reason", Family::default()),
        };
        for outcome in OUTCOMES {
            drop(metrics.emergencies.get_or_create(&OutcomeLabel { outcome }));
        }
        for reason in NoRoom::ALL {
            drop(metrics.emergencies_refused.get_or_create(&ReasonLabel { reason: reason.word() }));
        }
        for loss in Loss::ALL {
            drop(metrics.office_losses.get_or_create(&ReasonLabel { reason: loss.word() }));
        }
        Arc::new(metrics)
    }

    /// Counts something that found no place.
    pub(crate) fn lose(&self, loss: Loss) {
        self.office_losses.get_or_create(&ReasonLabel { reason: loss.word() }).inc();
    }
}

/// 50 µs to 13 s.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

/// 1 s to 9 h.
fn reactions() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_names_that_others_script_against() {
        let registry = MetricRegistry::new();
        let metrics = EmergencyMetrics::new(&registry);
        metrics.target_up.get_or_create(&TargetLabel { target: "primary".into() }).set(1);
        let label = AttemptLabel { target: "primary".into(), outcome: "accepted" };
        metrics.emergency_attempts.get_or_create(&label).inc();
        let page = registry.page();
        for name in [
            "vagn_emergencies_total{outcome=\"accepted\"} 0",
            "vagn_emergencies_refused_total{reason=\"source\"} 0",
            "vagn_emergency_places 0",
            "vagn_emergency_places_left 0",
            "vagn_emergency_stranger_places_left 0",
            "vagn_emergency_fullest_source 0",
            "vagn_emergency_first_attempt_seconds_count 0",
            "vagn_emergency_attempts_total{target=\"primary\",outcome=\"accepted\"} 1",
            "vagn_emergency_acknowledged_seconds_count 0",
            "vagn_emergency_calls_unshown_total 0",
            "vagn_emergency_dead_letters 0",
            "vagn_emergency_target_up{target=\"primary\"} 1",
            "vagn_emergency_acks_refused_total 0",
            "vagn_emergency_unfamiliar_open 0",
            "vagn_incidents_open 0",
            "vagn_incidents_unaccepted 0",
            "vagn_incidents_unacknowledged 0",
            "vagn_incidents_unrecorded 0",
            "vagn_incidents_oldest_unaccepted_seconds 0",
            "vagn_incidents_oldest_unacknowledged_seconds 0",
            "vagn_emergency_office_losses_total{reason=\"change\"} 0",
        ] {
            assert!(page.lines().any(|line| line == name), "{name} is not in\n{page}");
        }
    }
}
