//! A subscription to a stream: an ephemeral consumer of its own, which delivers every message from a sequence on, in order, or ends.
//!
//! It is not made anew here when it breaks off: the node does so, one entry early, and compares that entry. A consumer that was quietly
//! replaced would skip the comparison.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::time::timeout;
use vagn_cluster::{Delivered, Event, StreamId, StreamInfo, StreamOutcome, SubscriptionId};

use crate::api::{Said, ask_over, json};
use crate::brokers::{Brokers, answer_by};
use crate::counts::Loss;
use crate::link::{Link, at_once};
use crate::pulled::{Place, Pulled, pulled};
use crate::record::newest_over;
use crate::stream::read_over;

/// Time between signs of life of a consumer that has nothing.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Silence after which a subscription ends: two heartbeats missed, and a little.
const SILENCE: Duration = Duration::from_millis(1_300);

/// Time after which a pull that was not filled ends.
const EXPIRES: Duration = Duration::from_secs(5);

/// Time without a pull after which brokers remove a consumer.
const FORGOTTEN: Duration = Duration::from_secs(15);

/// Messages and bytes asked for at once. More are asked for when half of them came, so a connection holds less than two pulls.
const BATCH: u64 = 256;
const BATCH_BYTES: u64 = 2 << 20;

/// Longest wait for a connection.
const CONNECTED_MAX: Duration = Duration::from_secs(2);

impl Brokers {
    /// Follows a shard's stream from a sequence on: [`Event::Delivered`] for each message, in order, and at last [`Event::SubscriptionEnded`].
    pub fn follow(
        &self,
        subscription: SubscriptionId,
        stream: StreamId,
        from: u64,
    ) -> impl Stream<Item = Event> + Send + use<> {
        let wanted = Wanted {
            name: format!("{:x}-{:x}-{:x}", self.node().0, self.run(), subscription.0),
            stream: self.names().stream(stream),
            prefer: u64::from(stream.shard.0),
            from,
            newest_of: None,
        };
        subscribe(self.clone(), subscription, wanted)
    }
}

/// Order for a consumer.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Name of the consumer; no other has it.
    pub(crate) name: String,
    pub(crate) stream: String,
    /// Connection that is preferred.
    pub(crate) prefer: u64,
    pub(crate) from: u64,
    /// Subjects, of all in the stream, whose newest message is asked for.
    pub(crate) newest_of: Option<String>,
}

fn subscribe(
    brokers: Brokers,
    subscription: SubscriptionId,
    wanted: Wanted,
) -> impl Stream<Item = Event> + Send {
    let begin = SubscriptionStage::Begin(brokers, wanted);
    stream::unfold(begin, move |stage| async move {
        let ended = (Event::SubscriptionEnded(subscription), SubscriptionStage::Ended);
        let mut open = match stage {
            SubscriptionStage::Begin(brokers, wanted) => match Open::begin(&brokers, wanted).await {
                Some(open) => Box::new(open),
                None => {
                    brokers.lose(Loss::Broken);
                    return Some(ended);
                }
            },
            SubscriptionStage::Open(open) => open,
            SubscriptionStage::Ended => return None,
        };
        match open.next().await {
            Ok((place, message)) => {
                let delivered = Delivered {
                    subscription,
                    incarnation: open.info.incarnation,
                    sequence: place.sequence,
                    time_ms: place.time_ms,
                    bytes: Arc::from(&message.payload[..]),
                };
                Some((Event::Delivered(delivered), SubscriptionStage::Open(open)))
            }
            Err(loss) => {
                open.brokers.lose(loss);
                Some(ended)
            }
        }
    })
}

/// Stage of a subscription to a shard's stream.
enum SubscriptionStage {
    Begin(Brokers, Wanted),
    Open(Box<Open>),
    Ended,
}

/// A consumer that delivers.
pub(crate) struct Open {
    brokers: Brokers,
    /// Figures of the stream just before the consumer was made.
    pub(crate) info: StreamInfo,
    /// Sequence of the newest message then, by the leader; 0: there is none, or it was not asked for. The consumer cannot tell: it counts in the
    /// store of the broker where it is, which may be behind.
    pub(crate) newest: u64,
    client: Client,
    messages: Subscriber,
    /// Subject on which they come.
    delivery: String,
    /// Subject on which more are asked for.
    next: String,
    /// Subject on which the consumer is deleted.
    delete: String,
    /// Messages asked for that did not come yet.
    due: u64,
    delivered: u64,
}

#[derive(Serialize)]
struct NewConsumer {
    stream_name: String,
    action: &'static str,
    config: ConsumerConfig,
}

#[derive(Serialize)]
struct ConsumerConfig {
    name: String,
    deliver_policy: &'static str,
    opt_start_seq: u64,
    ack_policy: &'static str,
    replay_policy: &'static str,
    inactive_threshold: u64,
    num_replicas: u8,
    mem_storage: bool,
}

#[derive(Serialize)]
struct Pull {
    batch: u64,
    max_bytes: u64,
    expires: u64,
    idle_heartbeat: u64,
}

impl Open {
    /// Makes a consumer, all over one connection: the other may lead to brokers that are cut off from these.
    pub(crate) async fn begin(brokers: &Brokers, wanted: Wanted) -> Option<Self> {
        let Wanted { name, stream, prefer, from, newest_of } = wanted;
        let link = brokers.connected(prefer, CONNECTED_MAX).await?;
        let client = link.connected()?;
        let before = figures(link, &stream).await?;
        let delivery = link.delivery();
        let messages = timeout(HEARTBEAT, client.subscribe(delivery.clone())).await.ok()?.ok()?;
        let subject = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}");
        let new = NewConsumer { stream_name: stream.clone(), action: "create", config: config(&name, from) };
        let mut open = Self {
            brokers: brokers.clone(),
            info: before,
            newest: 0,
            client,
            messages,
            delivery,
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
            delete: format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"),
            due: 0,
            delivered: 0,
        };
        let Said::Is(IgnoredAny) = ask_over(link, subject, &new, answer_by()).await else { return None };
        if let Some(subjects) = newest_of {
            // After the figures: what was written between counts too, or its place would be passed over.
            open.newest = newest_over(link, &stream, &subjects).await?;
        }
        // The stream may have been made anew between: then it is not known of which one these messages are.
        (figures(link, &stream).await?.incarnation == before.incarnation).then_some(open)
    }

    /// Waits for the next message.
    pub(crate) async fn next(&mut self) -> Result<(Place, Message), Loss> {
        loop {
            if self.due <= BATCH / 2 {
                self.pull()?;
            }
            let message = match timeout(SILENCE, self.messages.next()).await {
                Ok(message) => message.ok_or(Loss::Broken)?,
                Err(_) => return Err(Loss::Silent),
            };
            match pulled(&message) {
                Pulled::Heartbeat => {}
                Pulled::PullOver { left } => self.due = self.due.saturating_sub(left),
                Pulled::Gone => return Err(Loss::Broken),
                Pulled::Entry(place) if place.delivery != self.delivered + 1 => return Err(Loss::Gap),
                Pulled::Entry(place) => {
                    self.delivered = place.delivery;
                    self.due = self.due.saturating_sub(1);
                    return Ok((place, message));
                }
            }
        }
    }

    fn pull(&mut self) -> Result<(), Loss> {
        let pull = Pull {
            batch: BATCH,
            max_bytes: BATCH_BYTES,
            expires: nanoseconds(EXPIRES),
            idle_heartbeat: nanoseconds(HEARTBEAT),
        };
        let asked = self.client.publish_with_reply(self.next.clone(), self.delivery.clone(), json(&pull));
        // A connection that takes nothing more is as good as broken.
        match at_once(asked) {
            Some(Ok(())) => self.due += BATCH,
            Some(Err(_)) | None => return Err(Loss::Broken),
        }
        Ok(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // A saving only: without a pull, brokers remove it by themselves.
        if !self.brokers.say(&self.client, std::mem::take(&mut self.delete), bytes::Bytes::new()) {
            self.brokers.lose(Loss::NotSent);
        }
    }
}

fn config(name: &str, from: u64) -> ConsumerConfig {
    ConsumerConfig {
        name: name.to_owned(),
        deliver_policy: "by_start_sequence",
        opt_start_seq: from.max(1),
        ack_policy: "none",
        replay_policy: "instant",
        inactive_threshold: nanoseconds(FORGOTTEN),
        // Its state needs no disk and no copy: a consumer whose broker is gone ends, and is not mended.
        num_replicas: 1,
        mem_storage: true,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn figures(link: &Link, stream: &str) -> Option<StreamInfo> {
    match read_over(link, stream, answer_by()).await {
        StreamOutcome::Is(info) => Some(info),
        StreamOutcome::Absent | StreamOutcome::NoAnswer => None,
    }
}
