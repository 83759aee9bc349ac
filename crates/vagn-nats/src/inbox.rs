//! Messages for this node's desk and door, over both connections: subscriptions of their own, so that copies of shards take no room from them.

use std::time::Duration;

use async_nats::Subscriber;
use futures_util::stream::{self, BoxStream, Select, SelectAll};
use futures_util::{Stream, StreamExt};
use tokio::time::{sleep, timeout};

use crate::brokers::{Brokers, FromNode};
use crate::link::ANSWER_MAX;
use crate::names::sender;

/// Pause before a connection is looked for again.
const PAUSE: Duration = Duration::from_millis(50);

/// Messages for desk and door, for ever.
pub(crate) type Inbox = SelectAll<BoxStream<'static, FromNode>>;

/// Subscriptions to messages for this node's desk, and for all desks.
type Desks = Select<Subscriber, Subscriber>;

impl Brokers {
    /// Begins to listen. [`Incoming`](crate::Incoming) must be polled meanwhile: that is what keeps the connections.
    pub(crate) fn inbox(&self) -> Inbox {
        stream::select_all([0, 1].map(|at| listen(self.clone(), at).boxed()))
    }

    async fn subscribe_desk(&self, at: usize) -> Option<Desks> {
        let client = self.link_at(at).connected()?;
        let subscribe =
            async |subject: String| timeout(ANSWER_MAX, client.subscribe(subject)).await.ok()?.ok();
        let mine = subscribe(self.names().my_desk(self.node())).await?;
        Some(stream::select(mine, subscribe(self.names().to_desks()).await?))
    }
}

/// Returns the messages of one connection. A subscription outlives breaks of its connection, and ends with the client alone.
fn listen(brokers: Brokers, at: usize) -> impl Stream<Item = FromNode> + Send {
    stream::unfold((brokers, None::<Desks>), move |(brokers, mut messages)| async move {
        loop {
            let Some(open) = &mut messages else {
                messages = brokers.subscribe_desk(at).await;
                if messages.is_none() {
                    sleep(PAUSE).await;
                }
                continue;
            };
            let Some(message) = open.next().await else {
                messages = None;
                sleep(PAUSE).await;
                continue;
            };
            brokers.link_at(at).hear();
            if let Some(from) = sender(&message.subject) {
                return Some((FromNode { from, payload: message.payload }, (brokers, messages)));
            }
        }
    })
}
