//! The dispatcher: owns the topic `traffic`, on which the doors publish what came in.
//!
//! It is no hop on the way: a door publishes for itself. The dispatcher answers for the topic, and its coming and going
//! is what subscribers are told about.

use std::sync::Arc;

use vagn_otp::{Actor, Context, Failure, Handle, Owner, SubscriptionInfo, Topic};

use crate::batch::Batch;

/// What came in, on its way to ingest and to the emergency lane.
pub type Traffic = Topic<Arc<Batch>>;

/// Owner of the topic.
pub struct Dispatcher {
    topic: Traffic,
    owner: Option<Owner<Arc<Batch>>>,
}

impl Dispatcher {
    /// Owns `topic` as soon as it is started.
    pub fn new(topic: Traffic) -> Self {
        Self { topic, owner: None }
    }
}

impl Actor for Dispatcher {
    async fn started(&mut self, _: &mut Context<Self>) -> Result<(), Failure> {
        self.owner = Some(self.topic.own());
        Ok(())
    }
}

/// Asks who is subscribed, and how they fare.
pub struct ListSubscribers;

impl Handle<ListSubscribers> for Dispatcher {
    type Reply = Vec<SubscriptionInfo>;

    async fn handle(&mut self, _: ListSubscribers, _: &mut Context<Self>) -> Vec<SubscriptionInfo> {
        self.topic.list()
    }
}
