//! A subscription to a stream: an ephemeral consumer of its own, which delivers every message from a sequence on, in order, or ends.
//!
//! It is not made anew here when it breaks off: the node does so, one entry early, and compares that entry. A consumer that was quietly
//! replaced would skip the comparison.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, timeout};
use vagn_cluster::{Delivered, Event, Incarnation, StreamId, StreamOutcome, SubscriptionId};

use crate::api::{Said, ask_over, json};
use crate::brokers::{Brokers, answer_by};
use crate::counts::Loss;
use crate::link::{Link, at_once};
use crate::pulled::{Pulled, pulled};

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
    /// Follows a stream from a sequence on: [`Event::Delivered`] for each message, in order, and at last [`Event::SubscriptionEnded`].
    pub fn follow(
        &self,
        subscription: SubscriptionId,
        stream: StreamId,
        from: u64,
    ) -> impl Stream<Item = Event> + Send + use<> {
        subscribe(self.clone(), Wanted { subscription, stream, from })
    }
}

/// What a subscription is to deliver.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    subscription: SubscriptionId,
    stream: StreamId,
    from: u64,
}

fn subscribe(brokers: Brokers, wanted: Wanted) -> impl Stream<Item = Event> + Send {
    let begin = Stage::Begin(brokers, wanted);
    stream::unfold(begin, move |stage| async move {
        let ended = (Event::SubscriptionEnded(wanted.subscription), Stage::Ended);
        let mut open = match stage {
            Stage::Begin(brokers, wanted) => match Open::begin(&brokers, wanted).await {
                Some(open) => Box::new(open),
                None => {
                    brokers.lose(Loss::Broken);
                    return Some(ended);
                }
            },
            Stage::Open(open) => open,
            Stage::Ended => return None,
        };
        match open.next().await {
            Ok(delivered) => Some((Event::Delivered(delivered), Stage::Open(open))),
            Err(loss) => {
                open.brokers.lose(loss);
                Some(ended)
            }
        }
    })
}

enum Stage {
    Begin(Brokers, Wanted),
    Open(Box<Open>),
    Ended,
}

/// A consumer that delivers.
struct Open {
    brokers: Brokers,
    wanted: Wanted,
    incarnation: Incarnation,
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
    config: Config,
}

#[derive(Serialize)]
struct Config {
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
    async fn begin(brokers: &Brokers, wanted: Wanted) -> Option<Self> {
        let link = brokers.connected(u64::from(wanted.stream.shard.0), CONNECTED_MAX).await?;
        let client = link.connected()?;
        let before = incarnation(brokers, link, wanted.stream).await?;
        let stream = brokers.names().stream(wanted.stream);
        let delivery = link.delivery();
        let name = format!("{:x}-{:x}-{:x}", brokers.node().0, brokers.run(), wanted.subscription.0);
        let messages = timeout(HEARTBEAT, client.subscribe(delivery.clone())).await.ok()?.ok()?;
        let subject = format!("$JS.API.CONSUMER.CREATE.{stream}.{name}");
        let new =
            NewConsumer { stream_name: stream.clone(), action: "create", config: config(&name, wanted.from) };
        let open = Self {
            brokers: brokers.clone(),
            wanted,
            incarnation: before,
            client,
            messages,
            delivery,
            next: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"),
            delete: format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"),
            due: 0,
            delivered: 0,
        };
        let Said::Is(serde::de::IgnoredAny) = ask_over(link, subject, &new, answer_by()).await else {
            return None;
        };
        // The stream may have been made anew between: then nobody knows whose messages these are.
        (incarnation(brokers, link, wanted.stream).await? == before).then_some(open)
    }

    /// Waits for the next message.
    async fn next(&mut self) -> Result<Delivered, Loss> {
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
                    (self.delivered, self.due) = (place.delivery, self.due.saturating_sub(1));
                    return Ok(Delivered {
                        subscription: self.wanted.subscription,
                        incarnation: self.incarnation,
                        sequence: place.sequence,
                        time_ms: place.time_ms,
                        bytes: Arc::from(&message.payload[..]),
                    });
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
        // Best effort: brokers forget it by themselves too.
        if !self.brokers.say(&self.client, std::mem::take(&mut self.delete), bytes::Bytes::new()) {
            self.brokers.lose(Loss::NotSent);
        }
    }
}

fn config(name: &str, from: u64) -> Config {
    Config {
        name: name.to_owned(),
        deliver_policy: "by_start_sequence",
        opt_start_seq: from.max(1),
        ack_policy: "none",
        replay_policy: "instant",
        inactive_threshold: nanoseconds(FORGOTTEN),
        num_replicas: 1,
        mem_storage: true,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

async fn incarnation(brokers: &Brokers, link: &Link, stream: StreamId) -> Option<Incarnation> {
    let until: Instant = answer_by();
    match brokers.read_stream_over(link, stream, until).await {
        StreamOutcome::Is(info) => Some(info.incarnation),
        StreamOutcome::Absent | StreamOutcome::NoAnswer => None,
    }
}
