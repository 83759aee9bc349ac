//! Every metric of the service, in one place: the names are a contract with dashboards and scripts.
//!
//! What the process list knows (mailboxes, restarts) is read at the scrape; everything else is counted where it happens.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use vagn_wire::{Fate, Reject};

/// `fate="stored"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: &'static str,
}

/// `reason="latitude"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// From a short fixed list.
    pub reason: &'static str,
}

/// `outcome="accepted"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// From a short fixed list.
    pub outcome: &'static str,
}

/// `target="primary",outcome="accepted"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AttemptLabel {
    /// Name of the target, from the settings.
    pub target: String,
    /// From a short fixed list.
    pub outcome: &'static str,
}

/// `target="primary"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TargetLabel {
    /// Its name, from the settings.
    pub target: String,
}

/// `route="/api/v1/vehicles/nearby"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabel {
    /// The route's pattern, never the path as it was asked for.
    pub route: &'static str,
}

/// `partition="0"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabel {
    /// Number of the partition.
    pub partition: u32,
}

/// `subscriber="ingest-shed"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SubscriberLabel {
    /// Its name on the topic.
    pub subscriber: String,
}

type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// All counters, shared by every part of the service.
#[derive(Debug)]
pub struct Metrics {
    registry: parking_lot::Mutex<Registry>,
    fates: Vec<Counter>,
    invalid: Vec<Counter>,
    /// Reports that came in through any door, valid or not.
    pub received: Counter,
    /// Datagrams that the kernel dropped because a receive buffer was full.
    pub udp_kernel_drops: Counter,
    /// Reads from a socket that failed, and other faults at a door, by reason.
    pub door_faults: Family<ReasonLabel, Counter>,
    /// TCP and HTTPS connections that ended before their time, by reason.
    pub connections_refused: Family<ReasonLabel, Counter>,
    /// TCP connections that are open now.
    pub connections_open: Gauge,
    /// Batches that wait in the queue of a subscriber of the topic `traffic`.
    pub subscription_depth: Family<SubscriberLabel, Gauge>,
    /// The most that may wait there.
    pub subscription_capacity: Family<SubscriberLabel, Gauge>,
    /// Batches that a subscriber had no room for.
    pub subscription_dropped: Family<SubscriberLabel, Counter>,
    /// Vehicles known now.
    pub vehicles: Gauge,
    /// New vehicles turned away because `max_vehicles` are known.
    pub vehicles_refused: Counter,
    /// Emergency calls by outcome: accepted, retried, refused, dead.
    pub emergencies: Family<OutcomeLabel, Counter>,
    /// From the receipt of an emergency to its first attempt at the target, in seconds.
    pub emergency_first_attempt: Histogram,
    /// Attempts to reach a target, by what came of them: accepted, refused, failed, dead.
    pub emergency_attempts: Family<AttemptLabel, Counter>,
    /// From the receipt of an emergency to its acknowledgement by a person, in seconds.
    pub emergency_acknowledged: Histogram,
    /// Real incidents that a target has refused for good, now.
    pub dead_letters: Gauge,
    /// Whether each target answers: 1, or 0 while it is only probed.
    pub target_up: Family<TargetLabel, Gauge>,
    /// Real incidents that are not resolved.
    pub incidents_open: Gauge,
    /// Real incidents that no target has accepted.
    pub incidents_unaccepted: Gauge,
    /// Real incidents that no person has acknowledged.
    pub incidents_unacknowledged: Gauge,
    /// Incidents that are not on disk as they are.
    pub incidents_unrecorded: Gauge,
    /// Real incidents, not resolved, of vehicles that nobody knew before.
    pub incidents_of_strangers: Gauge,
    /// Age of the oldest incident that no target has accepted, in seconds.
    pub oldest_unaccepted: Gauge,
    /// Age of the oldest incident that no person has acknowledged, in seconds.
    pub oldest_unacknowledged: Gauge,
    /// Duration of queries by route, in seconds.
    pub query: HistogramFamily<RouteLabel>,
    /// Duration of log syncs, in seconds.
    pub log_fsync: Histogram,
    /// Bytes of log and snapshots on disk, by partition.
    pub log_bytes: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
}

/// 50 µs to 13 s.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.000_05, 2.0, 19))
}

/// 1 s to 9 h.
fn reactions() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 16))
}

/// 4 µs to 2 s.
fn query_times() -> Histogram {
    Histogram::new(exponential_buckets(0.000_004, 2.0, 20))
}

impl Metrics {
    /// All at zero; each label of a closed list is there from the start, so that a rate over it never has a gap.
    pub fn new() -> Arc<Self> {
        let fates = Family::<FateLabel, Counter>::default();
        let invalid = Family::<ReasonLabel, Counter>::default();
        let metrics = Self {
            registry: parking_lot::Mutex::new(Registry::with_prefix("vagn")),
            fates: Fate::ALL
                .iter()
                .map(|fate| fates.get_or_create_owned(&FateLabel { fate: fate.as_str() }))
                .collect(),
            invalid: Reject::ALL
                .iter()
                .map(|reject| invalid.get_or_create_owned(&ReasonLabel { reason: reject.reason() }))
                .collect(),
            received: Counter::default(),
            udp_kernel_drops: Counter::default(),
            door_faults: Family::default(),
            connections_refused: Family::default(),
            connections_open: Gauge::default(),
            subscription_depth: Family::default(),
            subscription_capacity: Family::default(),
            subscription_dropped: Family::default(),
            vehicles: Gauge::default(),
            vehicles_refused: Counter::default(),
            emergencies: Family::default(),
            emergency_first_attempt: waits(),
            emergency_attempts: Family::default(),
            emergency_acknowledged: reactions(),
            dead_letters: Gauge::default(),
            target_up: Family::default(),
            incidents_open: Gauge::default(),
            incidents_unaccepted: Gauge::default(),
            incidents_unacknowledged: Gauge::default(),
            incidents_unrecorded: Gauge::default(),
            incidents_of_strangers: Gauge::default(),
            oldest_unaccepted: Gauge::default(),
            oldest_unacknowledged: Gauge::default(),
            query: Family::new_with_constructor(query_times),
            log_fsync: waits(),
            log_bytes: Family::default(),
        };
        for outcome in ["accepted", "retried", "refused", "dead"] {
            drop(metrics.emergencies.get_or_create(&OutcomeLabel { outcome }));
        }
        metrics.register(fates, invalid);
        Arc::new(metrics)
    }

    #[rustfmt::skip]
    fn register(&self, fates: Family<FateLabel, Counter>, invalid: Family<ReasonLabel, Counter>) {
        let mut all = self.registry.lock();
        all.register("reports", "Reports by fate; their sum equals reports_received when idle", fates);
        all.register("reports_invalid", "Invalid reports by reason", invalid);
        all.register("reports_received", "Reports that came in through any door", self.received.clone());
        all.register("udp_kernel_drops", "Datagrams dropped by the kernel before Vagn saw them", self.udp_kernel_drops.clone());
        all.register("door_faults", "Faults at a door by reason", self.door_faults.clone());
        all.register("connections_refused", "Connections refused or cut short by reason", self.connections_refused.clone());
        all.register("connections_open", "Open TCP connections", self.connections_open.clone());
        all.register("subscription_depth", "Batches waiting for a subscriber of the topic traffic", self.subscription_depth.clone());
        all.register("subscription_capacity", "The most batches that may wait for it", self.subscription_capacity.clone());
        all.register("subscription_dropped", "Batches it had no room for", self.subscription_dropped.clone());
        all.register("vehicles", "Vehicles known now", self.vehicles.clone());
        all.register("vehicles_refused", "New vehicles beyond max_vehicles", self.vehicles_refused.clone());
        all.register("emergencies", "Emergency calls by outcome", self.emergencies.clone());
        all.register_with_unit("emergency_first_attempt", "From receipt to first attempt", Unit::Seconds, self.emergency_first_attempt.clone());
        all.register("emergency_attempts", "Attempts to reach a target by outcome", self.emergency_attempts.clone());
        all.register_with_unit("emergency_acknowledged", "From receipt to acknowledgement by a person", Unit::Seconds, self.emergency_acknowledged.clone());
        all.register("emergency_dead_letters", "Real incidents that a target has refused for good", self.dead_letters.clone());
        all.register("emergency_target_up", "Whether a target answers; 0 while it is only probed", self.target_up.clone());
        all.register("emergency_unfamiliar_open", "Open incidents of vehicles that were not known before", self.incidents_of_strangers.clone());
        all.register("incidents_open", "Real incidents that are not resolved", self.incidents_open.clone());
        all.register("incidents_unaccepted", "Real incidents that no target has accepted", self.incidents_unaccepted.clone());
        all.register("incidents_unacknowledged", "Real incidents that no person has acknowledged", self.incidents_unacknowledged.clone());
        all.register("incidents_unrecorded", "Incidents that are not on disk as they are", self.incidents_unrecorded.clone());
        all.register_with_unit("incidents_oldest_unaccepted", "Age of the oldest incident that no target has accepted", Unit::Seconds, self.oldest_unaccepted.clone());
        all.register_with_unit("incidents_oldest_unacknowledged", "Age of the oldest incident that no person has acknowledged", Unit::Seconds, self.oldest_unacknowledged.clone());
        all.register_with_unit("query", "Duration of queries by route", Unit::Seconds, self.query.clone());
        all.register_with_unit("log_fsync", "Duration of log syncs", Unit::Seconds, self.log_fsync.clone());
        all.register("log_bytes", "Bytes of log and snapshots on disk", self.log_bytes.clone());
    }

    /// The counter of one fate.
    pub fn fate(&self, fate: Fate) -> &Counter {
        &self.fates[fate as usize]
    }

    /// The counter of one reason to turn a report down.
    pub fn invalid(&self, reason: Reject) -> &Counter {
        let at = Reject::ALL.iter().position(|each| *each == reason);
        &self.invalid[at.expect("ALL lists every reason")]
    }

    /// Adds a family that is read at the scrape, such as the process list's.
    pub fn register_collector(&self, collector: Box<dyn prometheus_client::collector::Collector>) {
        self.registry.lock().register_collector(collector);
    }

    /// Everything in the Prometheus text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry.lock())
            .expect("a String takes everything that is written to it");
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_names_that_others_script_against() {
        let metrics = Metrics::new();
        metrics.query.get_or_create(&RouteLabel { route: "/" }).observe(0.001);
        metrics.fate(Fate::Shed).inc();
        let page = metrics.page();
        for name in [
            "vagn_reports_total{fate=\"stored\"} 0",
            "vagn_reports_total{fate=\"shed\"} 1",
            "vagn_reports_received_total 0",
            "vagn_reports_invalid_total{reason=\"latitude\"} 0",
            "vagn_udp_kernel_drops_total 0",
            "vagn_vehicles 0",
            "vagn_emergencies_total{outcome=\"accepted\"} 0",
            "vagn_emergency_first_attempt_seconds_count 0",
            "vagn_query_seconds_count{route=\"/\"} 1",
            "vagn_log_fsync_seconds_count 0",
        ] {
            assert!(page.contains(name), "{name} is not in\n{page}");
        }
    }
}
