//! The dispatcher: owns the topic `traffic`, on which the doors publish what came in.
//!
//! It is no hop on the way: a door publishes for itself. The dispatcher answers for the topic: its coming and going is
//! what subscribers are told about, and it is who counts, for the metrics, how they fare.

use std::sync::Arc;
use std::time::Duration;

use vagn_otp::{Actor, Context, Failure, Handle, Owner, SubscriptionInfo};

use vagn_flow::batch::{Batch, Traffic};
use vagn_flow::metrics::{Metrics, SubscriberLabel};

/// How often the subscribers' counters are brought up to date.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// Owner of the topic.
pub struct Dispatcher {
    topic: Traffic,
    metrics: Arc<Metrics>,
    owner: Option<Owner<Arc<Batch>>>,
}

impl Dispatcher {
    /// Owns `topic` as soon as it is started.
    pub fn new(topic: Traffic, metrics: Arc<Metrics>) -> Self {
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
        self.topic.list().iter().for_each(|subscription| count(&self.metrics, subscription));
        ctx.tell_self_after(COUNT_EVERY, Count);
    }
}

fn count(metrics: &Metrics, subscription: &SubscriptionInfo) {
    let label = SubscriberLabel { subscriber: subscription.name.clone() };
    metrics.subscription_depth.get_or_create(&label).set(subscription.depth as i64);
    metrics.subscription_capacity.get_or_create(&label).set(subscription.capacity as i64);
    let dropped = metrics.subscription_dropped.get_or_create(&label);
    dropped.inc_by((subscription.counts.dropped + subscription.counts.full).saturating_sub(dropped.get()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_otp::{ChildSpec, Notice, Policy, Queue, QueueSubscriber, Strategy, Supervisor, Topic};

    #[tokio::test(start_paused = true)]
    async fn counts_for_its_subscribers_and_tells_them_that_it_is_there() {
        let (topic, metrics): (Traffic, _) = (Topic::new("traffic"), Metrics::new());
        let queue = Queue::new(1);
        let notices = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let told = notices.clone();
        let subscriber =
            QueueSubscriber::new(&queue, Policy::DropOldest, |batch: &Arc<Batch>| Some(batch.clone()))
                .on_notice(move |notice| told.lock().push(notice));
        drop(topic.subscribe("ingest-shed", subscriber));
        let batch = vagn_flow::batch::BatchBuilder::new(vagn_flow::batch::Source::Udp).seal(
            vagn_flow::stamp::Stamp { time_ms: 0, first_seq: 0 },
            None,
            &metrics,
        );
        for _ in 0..3 {
            topic.publish(&batch);
        }
        let (owned, counted) = (topic.clone(), metrics.clone());
        let (_, child) =
            ChildSpec::actor("dispatcher", 4, move || Dispatcher::new(owned.clone(), counted.clone()));
        let root = Supervisor::new("test", Strategy::OneForOne).child(child).start().await.unwrap();
        tokio::time::sleep(COUNT_EVERY * 3).await;
        let label = SubscriberLabel { subscriber: "ingest-shed".into() };
        assert_eq!(metrics.subscription_dropped.get_or_create(&label).get(), 2);
        assert_eq!(metrics.subscription_depth.get_or_create(&label).get(), 1);
        root.stop().await;
        assert_eq!(*notices.lock(), [Notice::OwnerUp, Notice::OwnerDown]);
    }
}
