//! Metrics of the registry and of the control socket.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};
use vagn_registry::{Registry, Role};

/// Counts the commands that were not heard.
#[derive(Debug, Clone)]
pub(super) struct ControlMetrics {
    refused: Family<ReasonLabel, Counter>,
}

impl ControlMetrics {
    /// Registers them.
    pub(super) fn new(metrics: &MetricRegistry) -> Self {
        let help = "Commands on the control socket that were not heard, by reason";
        Self { refused: metrics.register("control_refused", help, Family::default()) }
    }

    /// Counts a command that was not heard.
    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// Shows the registry at each scrape.
#[derive(Debug)]
pub struct RegistryCollector(pub Registry);

impl Collector for RegistryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = self.0.figures();
        gauge(&mut encoder, "registry_devices", "Keys of vehicles and gateways in force", figures.devices)?;
        gauge(&mut encoder, "registry_sessions", "Sessions of browsers", figures.sessions)?;
        gauge(&mut encoder, "registry_shares", "Links to one vehicle", figures.shares)?;
        let help = "Tokens that were not revoked, by role";
        let mut tokens = encoder.encode_descriptor("registry_tokens", help, None, MetricType::Gauge)?;
        for (role, count) in Role::ALL.iter().zip(figures.tokens) {
            ConstGauge::new(count as i64).encode(tokens.encode_family(&[("role", role.word())])?)?;
        }
        let help = "Writes of the registry that failed on the disk";
        counter(&mut encoder, "registry_write_errors", help, self.0.write_errors())?;
        let help = "Objects of the registry that were passed over because they made no sense";
        counter(&mut encoder, "registry_unreadable", help, self.0.unreadable())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(value as i64);
    gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}
