//! The registry of metrics, and the counters that every part shares: reports, and faults at the ways in.
//!
//! Each part of the service holds its own metrics and registers them in its constructor. Names and labels are a contract
//! with dashboards and scripts.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{self, Metric, Unit};
use vagn_wire::{Fate, Oddity, Reject};

use crate::proof::NoProof;

/// Prefix of all names.
const PREFIX: &str = "vagn";

/// `reason="latitude"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// From a short fixed list.
    pub reason: &'static str,
}

/// `fate="stored"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: &'static str,
}

/// All metrics of the service, as a scrape shows them.
#[derive(Debug)]
pub struct MetricRegistry {
    metrics: Mutex<registry::Registry>,
}

impl MetricRegistry {
    /// Returns a registry without metrics.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { metrics: Mutex::new(registry::Registry::with_prefix(PREFIX)) })
    }

    /// Adds a metric and gives it back. Clones of a metric share its value.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.metrics.lock().register(name, help, metric.clone());
        metric
    }

    /// Does as [`register`](Self::register), with the unit at the end of the name.
    pub fn register_with_unit<M: Metric + Clone>(&self, name: &str, help: &str, unit: Unit, metric: M) -> M {
        self.metrics.lock().register_with_unit(name, help, unit, metric.clone());
        metric
    }

    /// Adds families that are read at the scrape, such as those of the process list.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.metrics.lock().register_collector(collector);
    }

    /// Returns all metrics in the OpenMetrics text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.metrics.lock())
            .expect("a String takes everything that is written to it");
        page
    }
}

/// Counters of reports: how many came in, and what became of them.
#[derive(Debug)]
pub struct ReportMetrics {
    fates: Vec<Counter>,
    invalid: Vec<Counter>,
    oddities: Vec<Counter>,
    unauthenticated: Vec<Counter>,
    /// Reports that came in through any door, valid or not.
    pub received: Counter,
    /// Sealed reports whose sequence was seen before, or is older than all that are known.
    pub seal_replays: Counter,
    /// Envelopes whose lane byte says other than the flags in them.
    pub seal_lane_mismatches: Counter,
    /// Lines of calls without proof that a full list has lost, or had no room for.
    pub unproven_lost: Counter,
}

impl ReportMetrics {
    /// Registers the counters. Every label is there from the start, so that a rate over it has no gap.
    pub fn new(registry: &MetricRegistry) -> Arc<Self> {
        let fates = Family::<FateLabel, Counter>::default();
        let fates = registry.register(
            "reports",
            "Reports by fate; their sum equals reports_received when idle",
            fates,
        );
        let invalid = Family::<ReasonLabel, Counter>::default();
        let invalid = registry.register("reports_invalid", "Invalid reports by reason", invalid);
        let help = "Oddities of reports that were judged, by reason; a report may have several";
        let oddities = registry.register("report_oddities", help, Family::<ReasonLabel, Counter>::default());
        let help = "Reports that did not prove their sender, by reason";
        let unauthenticated =
            registry.register("reports_unauthenticated", help, Family::<ReasonLabel, Counter>::default());
        let help =
            "Sealed reports whose sequence was seen before, or is too old to tell; they change nothing";
        let seal_replays = registry.register("seal_replays", help, Counter::default());
        let help = "Envelopes whose lane byte says other than the flags in them; the flags count";
        let seal_lane_mismatches = registry.register("seal_lane_mismatches", help, Counter::default());
        let help = "Lines of calls that could not be proved which a full list has lost, or had no room for";
        let unproven_lost = registry.register("unproven_calls_lost", help, Counter::default());
        let received = Counter::default();
        let received =
            registry.register("reports_received", "Reports that came in through any door", received);
        let fates = Fate::ALL.map(|fate| fates.get_or_create_owned(&FateLabel { fate: fate.as_str() }));
        let invalid = Reject::ALL
            .iter()
            .map(|reject| invalid.get_or_create_owned(&ReasonLabel { reason: reject.reason() }));
        let oddities = Oddity::ALL
            .iter()
            .map(|oddity| oddities.get_or_create_owned(&ReasonLabel { reason: oddity.as_str() }));
        Arc::new(Self {
            fates: fates.into(),
            invalid: invalid.collect(),
            oddities: oddities.collect(),
            unauthenticated: NoProof::ALL
                .map(|reason| unauthenticated.get_or_create_owned(&ReasonLabel { reason: reason.as_str() }))
                .into(),
            received,
            seal_replays,
            seal_lane_mismatches,
            unproven_lost,
        })
    }

    /// Returns the counter of one fate.
    pub fn fate(&self, fate: Fate) -> &Counter {
        &self.fates[fate as usize]
    }

    /// Returns the counter of one reason for a refusal.
    pub fn invalid(&self, reason: Reject) -> &Counter {
        let at = Reject::ALL.iter().position(|each| *each == reason);
        &self.invalid[at.expect("ALL lists every reason")]
    }

    /// Returns the counter of one reason for which a report is not believed.
    pub fn unauthenticated(&self, reason: NoProof) -> &Counter {
        &self.unauthenticated[reason as usize]
    }

    /// Returns the counter of one oddity.
    pub fn oddity(&self, oddity: Oddity) -> &Counter {
        &self.oddities[oddity as usize]
    }
}

/// Counters of what goes wrong at the ways into the service: doors, API and operator's pages. Clones share their values.
#[derive(Debug, Clone)]
pub struct DoorMetrics {
    faults: Family<ReasonLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
}

impl DoorMetrics {
    /// Registers the counters.
    pub fn new(registry: &MetricRegistry) -> Self {
        let faults = Family::default();
        let refused = Family::default();
        Self {
            faults: registry.register("door_faults", "Faults at a door by reason", faults),
            refused: registry.register(
                "connections_refused",
                "Connections refused or cut short by reason",
                refused,
            ),
        }
    }

    /// Counts a fault at a door, such as a read that failed.
    pub fn fault(&self, reason: &'static str) {
        self.faults.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a connection that was refused or cut short.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Returns how many faults were counted under `reason`.
    pub fn faults(&self, reason: &'static str) -> u64 {
        self.faults.get_or_create(&ReasonLabel { reason }).get()
    }

    /// Returns how many connections were refused or cut short for `reason`.
    pub fn refusals(&self, reason: &'static str) -> u64 {
        self.refused.get_or_create(&ReasonLabel { reason }).get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_names_that_others_script_against() {
        let registry = MetricRegistry::new();
        ReportMetrics::new(&registry).fate(Fate::Shed).inc();
        let doors = DoorMetrics::new(&registry);
        doors.fault("udp_receive");
        doors.refuse("too_many");
        let page = registry.page();
        for name in [
            "vagn_reports_total{fate=\"stored\"} 0",
            "vagn_reports_total{fate=\"shed\"} 1",
            "vagn_reports_received_total 0",
            "vagn_reports_invalid_total{reason=\"latitude\"} 0",
            "vagn_reports_invalid_total{reason=\"no_fix\"} 0",
            "vagn_report_oddities_total{reason=\"time_ahead\"} 0",
            "vagn_reports_unauthenticated_total{reason=\"bad_tag\"} 0",
            "vagn_seal_replays_total 0",
            "vagn_seal_lane_mismatches_total 0",
            "vagn_unproven_calls_lost_total 0",
            "vagn_door_faults_total{reason=\"udp_receive\"} 1",
            "vagn_connections_refused_total{reason=\"too_many\"} 1",
        ] {
            assert!(page.contains(name), "{name} is not in\n{page}");
        }
    }
}
