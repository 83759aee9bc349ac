//! Metrics of the storages.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::MetricRegistry;

/// `partition="0"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PartitionLabel {
    pub(super) partition: u32,
}

/// Metrics of the storages. Clones share their values.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    pub(super) vehicles: Gauge,
    pub(super) vehicles_refused: Counter,
    pub(super) counts_departed: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
    pub(super) counts_lost: Family<PartitionLabel, Counter>,
    pub(super) log_bytes: Family<PartitionLabel, Gauge<u64, AtomicU64>>,
}

impl StorageMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let help = "New vehicles beyond max_vehicles";
        Self {
            vehicles: registry.register("vehicles", "Vehicles known now", Gauge::default()),
            vehicles_refused: registry.register("vehicles_refused", help, Counter::default()),
            counts_departed: registry.register(
                "seal_counts_departed",
                "Counts of sealed vehicles that were deleted or forgotten, by which replays of theirs are known",
                Family::default(),
            ),
            counts_lost: registry.register(
                "seal_counts_lost",
                "Counts of sealed vehicles that were deleted or forgotten, lost beyond max_vehicles: replays of theirs are taken",
                Family::default(),
            ),
            log_bytes: registry.register(
                "log_bytes",
                "Bytes of log and snapshots on disk",
                Family::default(),
            ),
        }
    }
}
