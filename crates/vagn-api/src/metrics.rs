//! Metrics of the API.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use vagn_flow::metrics::MetricRegistry;

/// Label such as `route="/api/v1/vehicles/nearby"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    /// Pattern of the route; the paths asked for would make a series per vehicle.
    route: &'static str,
}

/// Durations of queries. Clones share their values.
#[derive(Debug, Clone)]
pub struct QueryMetrics {
    query: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

impl QueryMetrics {
    /// Registers the durations.
    pub fn new(registry: &MetricRegistry) -> Self {
        let query = Family::new_with_constructor(buckets as fn() -> Histogram);
        let help = "Duration of queries by route";
        Self { query: registry.register_with_unit("query", help, Unit::Seconds, query) }
    }

    /// Counts one query that took `seconds`.
    pub(crate) fn observe(&self, route: &'static str, seconds: f64) {
        self.query.get_or_create(&RouteLabel { route }).observe(seconds);
    }
}

/// Makes buckets from 4 µs to 2 s, the deadline of a query.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_004, 2.0, 20))
}
