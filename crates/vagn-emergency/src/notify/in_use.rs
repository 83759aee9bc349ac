//! Gauges of the slots of each target: how many attempts may be under way, and how many are.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::MetricRegistry;

use crate::notify::target::Target;

/// `target="primary"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TargetLabel {
    /// Name of the target, from the settings.
    pub(crate) target: String,
}

/// Gauges of all targets.
#[derive(Debug)]
pub(crate) struct SlotMetrics {
    most: Family<TargetLabel, Gauge>,
    in_use: Family<TargetLabel, Gauge>,
}

/// An attempt, counted as long as it is under way, also where it is cut off.
pub(crate) struct SlotInUse(Gauge);

impl SlotMetrics {
    pub(crate) fn new(registry: &MetricRegistry) -> Self {
        let family = |name, help| registry.register(name, help, Family::default());
        Self {
            most: family("emergency_slots", "Attempts that may be under way at a time by target"),
            in_use: family("emergency_slots_in_use", "Attempts under way by target"),
        }
    }

    /// Shows how many slots a target has, and returns the gauge of those in use.
    pub(crate) fn of(&self, target: &Target) -> Gauge {
        let label = TargetLabel { target: target.name().to_owned() };
        self.most.get_or_create(&label).set(target.slots as i64);
        self.in_use.get_or_create_owned(&label)
    }
}

impl SlotInUse {
    pub(crate) fn take(in_use: &Gauge) -> Self {
        in_use.inc();
        Self(in_use.clone())
    }
}

impl Drop for SlotInUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}
