//! The bucket as it is read and written, over the way to the node.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tokio::runtime::Handle;
use vagn_cluster::{RecordOutcome, StreamOutcome};
use vagn_nats::{Appended, Brokers, BucketEvent, NewObject};
use vagn_registry::{Bucket, Put};
use vagn_shard::FleetShard;

use super::keys::to_bucket;
use crate::cluster::link::NodeLink;

/// Most room that the bucket asks for: some two million devices. More would only be reserved.
const ROOM_MOST: u64 = 1 << 30;

/// The bucket. What gets no answer may have been done.
pub trait Source: Send + Sync {
    /// Reads its figures.
    fn read(&self) -> impl Future<Output = StreamOutcome> + Send;
    /// Reads one object.
    fn object(&self, key: &str) -> impl Future<Output = RecordOutcome> + Send;
    /// Makes it unless it is there, and reads its figures.
    fn make(&self) -> impl Future<Output = StreamOutcome> + Send;
    /// Deletes it.
    fn remove(&self) -> impl Future<Output = ()> + Send;
    /// Writes objects, all or none, if it ends with this sequence.
    fn append(&self, after: u64, objects: &[NewObject]) -> impl Future<Output = Appended> + Send;
    /// Follows it from a sequence on.
    fn follow(&self, from: u64) -> BoxStream<'static, BucketEvent>;
}

/// The way to the bucket: over the brokers of the node that is driven now.
#[derive(Clone)]
pub struct Way(pub NodeLink<FleetShard>);

impl Way {
    fn brokers(&self) -> Option<Brokers> {
        Some(self.0.handle().ok()?.brokers().clone())
    }

    /// Room for the bucket: half a shard's. What shards have is most of what brokers have, and this must fit beside it.
    fn room(&self) -> u64 {
        self.0.handle().map_or(0, |handle| (handle.stream_bytes() / 2).min(ROOM_MOST))
    }
}

impl Source for Way {
    async fn read(&self) -> StreamOutcome {
        let Some(brokers) = self.brokers() else { return StreamOutcome::NoAnswer };
        brokers.read_bucket().await
    }

    async fn object(&self, key: &str) -> RecordOutcome {
        let Some(brokers) = self.brokers() else { return RecordOutcome::NoAnswer };
        brokers.read_object(key).await
    }

    async fn make(&self) -> StreamOutcome {
        let Some(brokers) = self.brokers() else { return StreamOutcome::NoAnswer };
        brokers.make_bucket(self.room()).await
    }

    async fn remove(&self) {
        if let Some(brokers) = self.brokers() {
            brokers.drop_bucket().await;
        }
    }

    async fn append(&self, after: u64, objects: &[NewObject]) -> Appended {
        let Some(brokers) = self.brokers() else { return Appended::NoAnswer };
        brokers.append(after, objects).await
    }

    fn follow(&self, from: u64) -> BoxStream<'static, BucketEvent> {
        match self.brokers() {
            Some(brokers) => brokers.follow_bucket(from).boxed(),
            None => stream::empty().boxed(),
        }
    }
}

/// Takes what this node writes to the bucket.
pub struct ToBrokers {
    /// The way there.
    pub way: Way,
    /// Where it is waited for: never called on a thread of this runtime that may not wait.
    pub runtime: Handle,
}

impl Bucket for ToBrokers {
    fn append(&self, after: u64, objects: &[Put<'_>]) -> vagn_registry::Appended {
        let objects: Vec<_> = objects.iter().map(object).collect();
        match self.runtime.block_on(self.way.append(after, &objects)) {
            Appended::At(last) => vagn_registry::Appended::At(last),
            Appended::Elsewhere => vagn_registry::Appended::Elsewhere,
            Appended::Full => vagn_registry::Appended::Refused(FULL.to_owned()),
            Appended::Refused(why) => vagn_registry::Appended::Refused(why),
            Appended::NoAnswer => vagn_registry::Appended::NoAnswer,
        }
    }
}

/// Says that there is no room, and where to make some.
pub(super) const FULL: &str =
    "its bucket at the brokers has no room; give the stream KV_vagn-SET_registry more `max_bytes` there";

fn object(put: &Put<'_>) -> NewObject {
    NewObject { key: to_bucket(put.kind, put.key), value: put.value.map(Bytes::copy_from_slice) }
}
