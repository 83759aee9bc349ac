//! The bucket of the registry: one key is one object, of which the last version is kept. `nats kv ls vagn-SET_registry` lists them.
//!
//! It is written only after the message that the writer has seen last. So a writer has judged all that is there.

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::Instant;
use tracing::warn;
use vagn_cluster::{RecordOutcome, StreamInfo, StreamOutcome};

use crate::api::{Ack, Meaning, Said, read};
use crate::brokers::{Brokers, answer_by};
use crate::consumer::{Open, Wanted};
use crate::link::ANSWER_MAX;
use crate::stream::{Info, StreamConfig, outcome};

/// Least room of the bucket, in bytes.
const ROOM_MIN: u64 = 16 << 20;

/// Time after which brokers forget that an object was removed. Copies that are older are made anew.
const REMOVED_FOR: &str = "168h";

/// Longest wait for several objects of the registry, of which each is a message.
pub const BATCH_MAX: std::time::Duration = ANSWER_MAX.saturating_mul(4);

/// An object for the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Its key.
    pub key: String,
    /// Its content; `None` removes it.
    pub value: Option<Bytes>,
}

/// Outcome of writing objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// All are there; the last has this sequence.
    At(u64),
    /// None is there: the bucket ends elsewhere.
    Elsewhere,
    /// None is there: the bucket has no room.
    Full,
    /// None is there: brokers refuse them for this reason.
    Refused(String),
    /// They may be there.
    NoAnswer,
}

/// Something of a subscription to the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketEvent {
    /// It has begun. These were the figures of the bucket just before.
    Begun {
        /// Figures of the bucket.
        info: StreamInfo,
        /// Sequence of the newest object, by the leader of the bucket; 0: there is none. What comes is whole once this one has come. It may be
        /// before the end of the bucket, where what came last was removed and forgotten.
        newest: u64,
    },
    /// An object.
    Object {
        /// Its key.
        key: String,
        /// Sequence of its last change.
        sequence: u64,
        /// Its content; `None`: it was removed.
        value: Option<Bytes>,
    },
}

impl Brokers {
    /// Reads the figures of the bucket, from a leader that most brokers of the bucket hear: a copy is compared with them.
    pub async fn read_bucket(&self) -> StreamOutcome {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.names().registry());
        match self.ask::<Info>(0, subject, &(), answer_by()).await {
            Said::Is(info) if !info.is_by_majority() => StreamOutcome::NoAnswer,
            said => outcome(said),
        }
    }

    /// Reads an object, from the leader of the bucket.
    pub async fn read_object(&self, key: &str) -> RecordOutcome {
        self.read_last(&self.names().registry(), &format!("{}{key}", self.names().registry_prefix())).await
    }

    /// Makes the bucket unless it is there, with so much room or, where brokers have not so much, with less.
    pub async fn make_bucket(&self, room: u64) -> StreamOutcome {
        let mut bytes = room.max(ROOM_MIN);
        loop {
            match self.create(self.bucket_config(bytes), answer_by()).await {
                Said::Refused(refusal) if refusal.meaning() == Meaning::NoRoom && bytes > ROOM_MIN => {
                    bytes = (bytes / 2).max(ROOM_MIN);
                }
                Said::Refused(refusal) if refusal.meaning() != Meaning::Exists => {
                    warn!(bytes, reason = refusal.description, "brokers make no bucket for the registry");
                    return StreamOutcome::NoAnswer;
                }
                Said::Is(_) | Said::Refused(_) => return self.read_bucket().await,
                Said::Nothing => return StreamOutcome::NoAnswer,
            }
        }
    }

    fn bucket_config(&self, max_bytes: u64) -> StreamConfig {
        let subjects = format!("{}>", self.names().registry_prefix());
        StreamConfig {
            max_msgs_per_subject: 1,
            allow_rollup_hdrs: true,
            allow_atomic: true,
            allow_msg_ttl: true,
            allow_direct: true,
            ..StreamConfig::new(self.names().registry(), subjects, max_bytes, self.replicas())
        }
    }

    /// Deletes the bucket.
    pub async fn drop_bucket(&self) {
        self.delete(self.names().registry()).await;
    }

    /// Writes objects, all or none, if the bucket ends with this sequence.
    pub async fn append(&self, after: u64, objects: &[NewObject]) -> Appended {
        let until = answer_by();
        match objects {
            [] => Appended::At(after),
            [one] => {
                let mut headers = headers(one);
                headers.insert("Nats-Expected-Last-Sequence", after.to_string());
                self.appended(self.request(0, self.subject_of(one), Some(headers), payload(one), until).await)
            }
            [first, .., last] => self.append_batch(after, objects, (first, last)).await,
        }
    }

    /// Writes several objects as NATS' atomic batch (ADR-50): they are kept back until the last one comes.
    async fn append_batch(
        &self,
        after: u64,
        objects: &[NewObject],
        (first, last): (&NewObject, &NewObject),
    ) -> Appended {
        let until = Instant::now() + BATCH_MAX;
        let batch = format!("{:x}-{:x}", self.run(), self.number());
        // All over one connection, since they must come in their order.
        let Some(link) = self.link(0) else { return Appended::NoAnswer };
        let Some(client) = link.connected() else { return Appended::NoAnswer };
        for (object, number) in objects.iter().zip(1_u64..) {
            let mut headers = headers(object);
            headers.insert("Nats-Batch-Id", batch.as_str());
            headers.insert("Nats-Batch-Sequence", number.to_string());
            if std::ptr::eq(object, first) {
                headers.insert("Nats-Expected-Last-Sequence", after.to_string());
            }
            let subject = self.subject_of(object);
            if std::ptr::eq(object, last) {
                headers.insert("Nats-Batch-Commit", "1");
                return self.appended(link.request(subject, Some(headers), payload(object), until).await);
            }
            let said = client.publish_with_headers(subject, headers, payload(object));
            match tokio::time::timeout_at(until, said).await {
                Ok(Ok(())) => {}
                // Without its last one, brokers drop a batch.
                Ok(Err(_)) | Err(_) => return Appended::NoAnswer,
            }
        }
        Appended::NoAnswer
    }

    fn appended(&self, answer: Option<Message>) -> Appended {
        let Some(answer) = answer else { return Appended::NoAnswer };
        match read::<Ack>(&answer.payload) {
            Said::Is(Ack { seq, .. }) => Appended::At(seq),
            Said::Refused(refusal) => match refusal.meaning() {
                Meaning::WrongLast => Appended::Elsewhere,
                Meaning::NoRoom => Appended::Full,
                _ => Appended::Refused(refusal.description),
            },
            // Also without a leader or a bucket: then there are no responders.
            Said::Nothing => Appended::NoAnswer,
        }
    }

    fn subject_of(&self, object: &NewObject) -> String {
        format!("{}{}", self.names().registry_prefix(), object.key)
    }

    /// Follows the bucket from a sequence on. It ends when it breaks off; then the caller begins anew, and compares.
    pub fn follow_bucket(&self, from: u64) -> impl Stream<Item = BucketEvent> + Send + use<> {
        let brokers = self.clone();
        let prefix = self.names().registry_prefix();
        let wanted = Wanted {
            name: format!("{:x}-{:x}-registry-{:x}", self.node().0, self.run(), self.number()),
            stream: self.names().registry(),
            prefer: 0,
            from,
            newest_of: Some(format!("{prefix}>")),
        };
        stream::unfold(BucketStage::Begin(wanted), move |stage| {
            let brokers = brokers.clone();
            let prefix = prefix.clone();
            async move {
                let mut open = match stage {
                    BucketStage::Begin(wanted) => {
                        let open = Box::new(Open::begin(&brokers, wanted).await?);
                        let begun = BucketEvent::Begun { info: open.info, newest: open.newest };
                        return Some((begun, BucketStage::Open(open)));
                    }
                    BucketStage::Open(open) => open,
                };
                match open.next().await {
                    Ok((place, message)) => {
                        let key = message.subject.strip_prefix(&*prefix).unwrap_or_default().to_owned();
                        let value = content(message);
                        let object = BucketEvent::Object { key, sequence: place.sequence, value };
                        Some((object, BucketStage::Open(open)))
                    }
                    Err(loss) => {
                        brokers.lose(loss);
                        None
                    }
                }
            }
        })
    }
}

/// Stage of a subscription to the bucket.
enum BucketStage {
    Begin(Wanted),
    Open(Box<Open>),
}

fn headers(object: &NewObject) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if object.value.is_none() {
        headers.insert("KV-Operation", "DEL");
        headers.insert("Nats-TTL", REMOVED_FOR);
    }
    headers
}

fn payload(object: &NewObject) -> Bytes {
    object.value.clone().unwrap_or_default()
}

/// Returns the content of a message; `None` for one that says that its object was removed.
fn content(message: Message) -> Option<Bytes> {
    let is_removed = message.headers.as_ref().is_some_and(|headers| {
        // Operators' tools write either, and brokers write the last where an object has reached its end.
        ["KV-Operation", "Nats-Marker-Reason"].iter().any(|name| headers.get(*name).is_some())
    });
    (!is_removed).then_some(message.payload)
}
