//! Metrics of the API.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;
use vagn_flow::metrics::Registry;

/// `route="/api/v1/vehicles/nearby"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    /// The route's pattern, never the path as it was asked for.
    route: &'static str,
}

/// Durations of queries. Clones share their values.
#[derive(Debug, Clone)]
pub struct QueryMetrics {
    query: Family<RouteLabel, Histogram, fn() -> Histogram>,
}

impl QueryMetrics {
    /// Registers the durations.
    pub fn new(registry: &Registry) -> Self {
        let query = Family::new_with_constructor(buckets as fn() -> Histogram);
        let help = "Duration of queries by route";
        Self { query: registry.register_with_unit("query", help, Unit::Seconds, query) }
    }

    /// Counts one query that took `seconds`.
    pub fn observe(&self, route: &'static str, seconds: f64) {
        self.query.get_or_create(&RouteLabel { route }).observe(seconds);
    }
}

/// 4 µs to 2 s.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_004, 2.0, 20))
}
