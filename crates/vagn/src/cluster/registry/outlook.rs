//! What operators hear of the copy: metrics, what stands in the way of readiness, and warnings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use vagn_flow::clock::Clock;
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_registry::{Registry, RegistryError};

/// Name of the obstacle in `/readyz`, and of warnings.
pub const REGISTRY: &str = "registry";

/// Name of the warning of keys that wrap secrets.
const KEYS: &str = "registry, key";

/// Name of the warning of a node without a number.
pub(super) const NUMBER: &str = "registry, number";

/// Time after which it is told that the copy could not be compared.
const OLD_AFTER: Duration = Duration::from_secs(30);

/// What is seen of the copy.
#[derive(Debug, Default)]
struct Seen {
    /// Changes that the bucket had and the copy had not, at the last comparison.
    lag: u64,
    /// Time at which they were last equal, on the monotonic clock.
    equal: Option<Duration>,
    copies: u64,
}

/// Shows the copy of the registry.
#[derive(Clone)]
pub struct CopyMetrics {
    registry: Registry,
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Seen>>,
}

impl fmt::Debug for CopyMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyMetrics").finish_non_exhaustive()
    }
}

impl CopyMetrics {
    /// Shows this copy.
    pub fn new(registry: Registry, clock: Arc<dyn Clock>) -> Self {
        Self { registry, clock, seen: Arc::default() }
    }

    /// Notes a comparison.
    pub(super) fn compared(&self, lag: u64) {
        let mut seen = self.seen.lock();
        seen.lag = lag;
        if lag == 0 {
            seen.equal = Some(self.clock.monotonic());
        }
    }

    /// Counts a copy that is made anew.
    pub(super) fn copied(&self) {
        self.seen.lock().copies += 1;
    }

    /// Time since the copy was last equal to the bucket; since the start, if it never was.
    pub(super) fn age(&self) -> Duration {
        self.since_equal().unwrap_or_else(|| self.clock.monotonic())
    }

    /// Time since the copy was last equal to the bucket; `None`: it was not in this run.
    pub(super) fn since_equal(&self) -> Option<Duration> {
        let equal = self.seen.lock().equal?;
        Some(self.clock.monotonic().saturating_sub(equal))
    }
}

impl Collector for CopyMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (lag, copies) = {
            let seen = self.seen.lock();
            (seen.lag, seen.copies)
        };
        let mut gauge = |name: &str, help: &str, value: f64| {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)
        };
        let help = "Changes of the registry that the brokers had and this node had not, when they were last compared";
        gauge("cluster_registry_lag", help, lag as f64)?;
        let help = "Seconds since this node's copy of the registry was last known to be equal to that of the brokers";
        gauge("cluster_registry_age_seconds", help, self.age().as_secs_f64())?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(encoder)
        };
        let help = "Copies of the registry that were begun from its first object on";
        counter("cluster_registry_copies", help, copies)?;
        let help = "Writes of the registry that the brokers did not take, that could not be sent to them, or of which it is not known";
        counter("cluster_registry_writes_refused", help, self.registry.writes_refused())
    }
}

/// Tells readiness of the copy.
pub(super) struct Outlook {
    pub(super) readiness: Arc<Readiness>,
    /// What a node without any copy cannot do.
    pub(super) blocks: &'static [Purpose],
}

impl Outlook {
    /// Tells how the copy stands: why nothing can be written, if that is so, and how long it was not compared.
    pub(super) fn tell(&self, registry: &Registry, closed: Option<&str>, age: Duration) {
        if registry.awaits_copy() {
            let why = closed.unwrap_or("it is being copied");
            let what = format!("devices and tokens of the cluster are not here yet: {why}");
            self.readiness.missing(REGISTRY, self.blocks, what);
            return;
        }
        self.readiness.present(REGISTRY);
        match closed.filter(|_| age > OLD_AFTER) {
            Some(why) => {
                let what = format!(
                    "devices, tokens and shares are those of {} s ago and cannot be changed here: {why}",
                    age.as_secs()
                );
                self.readiness.warn(REGISTRY, what);
            }
            None => self.readiness.clear(REGISTRY),
        }
    }

    /// Tells whether the node has a number.
    pub(super) fn tell_number(&self, number: Option<u16>) {
        let what = "this node has no number in the registry of the cluster yet: sealed calls are taken, and get no sealed answer";
        match number {
            Some(_) => self.readiness.clear(NUMBER),
            None => self.readiness.warn(NUMBER, what),
        }
    }

    /// Names the nodes that have another wrapping key than the registry.
    pub(super) fn tell_keys(&self, registry: &Registry, own: &str) -> Result<(), RegistryError> {
        let Some(about) = registry.about()? else { return Ok(()) };
        let nodes = registry.nodes()?.into_iter().filter(|node| node.wrapped_by != about.wrapped_by);
        let names: Vec<_> = nodes
            .map(|node| match &*node.name == own {
                true => format!("{} (this one)", node.name),
                false => node.name.into(),
            })
            .collect();
        if names.is_empty() {
            self.readiness.clear(KEYS);
            return Ok(());
        }
        let what = format!(
            "these nodes have another registry.key_file than the registry of the cluster, or none where it has one: {}. They do not know the \
             devices whose secrets they cannot unwrap, and change nothing; give them the same file, and start them again",
            names.join(", ")
        );
        self.readiness.warn(KEYS, what);
        Ok(())
    }
}
