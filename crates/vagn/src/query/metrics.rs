//! Metrics of answers about a fleet on many machines: how many lacked shards.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use vagn_flow::metrics::MetricRegistry;

/// Names of all questions, as [`vagn_store::Question::name`] gives them.
const QUESTIONS: [&str; 4] = ["nearest", "inside", "one", "count"];

/// `question="nearest", extent="partial"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    question: &'static str,
    extent: &'static str,
}

/// Counts answers. Clones share their values.
#[derive(Debug, Clone)]
pub struct AnswerMetrics(Family<AnswerLabel, Counter>);

impl AnswerMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let answers = registry.register(
            "cluster_answers",
            "Answers to questions that were put to this node about the fleet, by whether all shards that were asked answered",
            Family::<AnswerLabel, Counter>::default(),
        );
        // Every label is there from the start, so that a rate over it has no gap.
        for question in QUESTIONS {
            for extent in ["whole", "partial"] {
                drop(answers.get_or_create(&AnswerLabel { question, extent }));
            }
        }
        Self(answers)
    }

    pub(super) fn answered(&self, question: &'static str, is_partial: bool) {
        let extent = if is_partial { "partial" } else { "whole" };
        self.0.get_or_create(&AnswerLabel { question, extent }).inc();
    }
}
