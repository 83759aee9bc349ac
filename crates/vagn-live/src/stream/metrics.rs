//! Metrics of the streams of positions.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_flow::metrics::{MetricRegistry, ReasonLabel};

use super::event::GapReason;

/// `kind="position"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Metrics of the streams. Clones share their values.
#[derive(Debug, Clone)]
pub struct StreamMetrics {
    pub(super) open: Gauge,
    pub(super) most: Gauge,
    pub(super) refused: Counter,
    pub(super) lost: Counter,
    events: [Counter; 3],
    gaps: Vec<Counter>,
}

/// Events of a pass that are counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EventCounts {
    pub(super) positions: u64,
    pub(super) left: u64,
    pub(super) gone: u64,
}

impl StreamMetrics {
    /// Registers the metrics. Every label is there from the start.
    pub fn new(registry: &MetricRegistry) -> Self {
        let open = registry.register("position_streams", "Streams of positions open now", Gauge::default());
        let help = "Streams of positions that may be open";
        let most = registry.register("position_streams_max", help, Gauge::default());
        let help = "Streams of positions that were refused, as all places were taken";
        let refused = registry.register("position_streams_refused", help, Counter::default());
        let help = "Changes that were lost on their way to the streams of positions";
        let lost = registry.register("position_stream_changes_lost", help, Counter::default());
        let events = Family::<KindLabel, Counter>::default();
        let help = "Events of the streams of positions by kind, for each client that they were written for";
        let events = registry.register("position_stream_events", help, events);
        let gaps = Family::<ReasonLabel, Counter>::default();
        let help = "Gaps that clients of the streams of positions were told of, by reason";
        let gaps = registry.register("position_stream_gaps", help, gaps);
        let gaps = GapReason::ALL.map(|of| gaps.get_or_create_owned(&ReasonLabel { reason: of.as_str() }));
        Self {
            open,
            most,
            refused,
            lost,
            events: ["position", "left", "gone"].map(|kind| events.get_or_create_owned(&KindLabel { kind })),
            gaps: gaps.into(),
        }
    }

    /// Counts the events of a pass that goes to so many clients.
    pub(super) fn told(&self, counts: EventCounts, clients: usize) {
        let counts = [counts.positions, counts.left, counts.gone];
        for (counter, count) in self.events.iter().zip(counts) {
            counter.inc_by(count * clients as u64);
        }
    }

    /// Returns the counter of one reason.
    pub(super) fn gap(&self, reason: GapReason) -> &Counter {
        let at = GapReason::ALL.iter().position(|each| *each == reason);
        &self.gaps[at.expect("ALL lists every reason")]
    }
}
