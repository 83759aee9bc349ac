//! The dispatcher: owns the topic `traffic`, on which the doors publish what came in.
//!
//! It is no hop on the way: the intake publishes for itself. The dispatcher stands for the topic: subscribers are told of its
//! coming and going, and it counts for the metrics what they took and dropped.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use vagn_otp::{Actor, Context, Failure, Handle, Owner, SubscriptionInfo};

use vagn_flow::batch::{Batch, Traffic};
use vagn_flow::metrics::MetricRegistry;

/// Time between two updates of the subscribers' counters.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// `subscriber="ingest-shed"` and so on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SubscriberLabel {
    /// Name of the subscriber on the topic.
    subscriber: String,
}

/// Metrics of the subscribers of the topic. Clones share their values.
#[derive(Debug, Clone)]
pub struct SubscriptionMetrics {
    depth: Family<SubscriberLabel, Gauge>,
    capacity: Family<SubscriberLabel, Gauge>,
    dropped: Family<SubscriberLabel, Counter>,
}

impl SubscriptionMetrics {
    /// Registers the metrics.
    pub fn new(registry: &MetricRegistry) -> Self {
        let help = "Batches waiting for a subscriber of the topic traffic";
        let depth = registry.register("subscription_depth", help, Family::default());
        let help = "The most batches that may wait for it";
        let capacity = registry.register("subscription_capacity", help, Family::default());
        let dropped =
            registry.register("subscription_dropped", "Batches it had no room for", Family::default());
        Self { depth, capacity, dropped }
    }

    fn count(&self, subscription: &SubscriptionInfo) {
        let label = SubscriberLabel { subscriber: subscription.name.clone() };
        self.depth.get_or_create(&label).set(subscription.depth as i64);
        self.capacity.get_or_create(&label).set(subscription.capacity as i64);
        let dropped: &Counter = &self.dropped.get_or_create(&label);
        let so_far = subscription.counts.dropped + subscription.counts.full;
        dropped.inc_by(so_far.saturating_sub(dropped.get()));
    }
}

/// Owner of the topic.
pub struct Dispatcher {
    topic: Traffic,
    metrics: SubscriptionMetrics,
    owner: Option<Owner<Arc<Batch>>>,
}

impl Dispatcher {
    /// Owns `topic` as soon as it is started.
    pub fn new(topic: Traffic, metrics: SubscriptionMetrics) -> Self {
        Self { topic, metrics, owner: None }
    }
}

impl Actor for Dispatcher {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        self.owner = Some(self.topic.own());
        ctx.tell_self_after(Duration::ZERO, Count);
        Ok(())
    }
}

/// Time to count.
struct Count;

impl Handle<Count> for Dispatcher {
    type Reply = ();

    async fn handle(&mut self, _: Count, ctx: &mut Context<Self>) {
        for subscription in self.topic.list() {
            self.metrics.count(&subscription);
        }
        ctx.tell_self_after(COUNT_EVERY, Count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::metrics::ReportMetrics;
    use vagn_otp::{ChildSpec, OwnerChange, Policy, Queue, QueueSubscriber, Strategy, Supervisor, Topic};

    #[tokio::test(start_paused = true)]
    async fn counts_for_its_subscribers_and_tells_them_that_it_is_there() {
        let topic: Traffic = Topic::new("traffic");
        let registry = MetricRegistry::new();
        let metrics = SubscriptionMetrics::new(&registry);
        let queue = Queue::new(1);
        let changes = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let told = changes.clone();
        let subscriber =
            QueueSubscriber::new(&queue, Policy::DropOldest, |batch: &Arc<Batch>| Some(batch.clone()))
                .on_owner_change(move |change| told.lock().push(change));
        drop(topic.subscribe("ingest-shed", subscriber));
        let batch = vagn_flow::batch::BatchBuilder::new(vagn_flow::testing::SHEDDING).seal(
            vagn_flow::stamp::Stamp { time_ms: 0, first_seq: 0 },
            None,
            &ReportMetrics::new(&registry),
        );
        for _ in 0..3 {
            topic.publish(&batch);
        }
        let (owned, counted) = (topic.clone(), metrics.clone());
        let (_, child) =
            ChildSpec::actor("dispatcher", 4, move || Dispatcher::new(owned.clone(), counted.clone()));
        let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
        tokio::time::sleep(COUNT_EVERY * 3).await;
        let page = registry.page();
        for line in [
            "vagn_subscription_depth{subscriber=\"ingest-shed\"} 1",
            "vagn_subscription_capacity{subscriber=\"ingest-shed\"} 1",
            "vagn_subscription_dropped_total{subscriber=\"ingest-shed\"} 2",
        ] {
            assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
        }
        root.stop().await;
        assert_eq!(*changes.lock(), [OwnerChange::OwnerUp, OwnerChange::OwnerDown]);
    }
}
