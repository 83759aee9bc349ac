//! Messages into streams.

use std::sync::Arc;

use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use tokio::time::Instant;
use vagn_cluster::{PublishOutcome, StreamId, StreamOutcome};

use crate::api::{Ack, Meaning, Refusal, Said, read};
use crate::brokers::{Brokers, answer_by};

/// A message for a stream.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Stream that it is for.
    pub stream: StreamId,
    /// Id by which brokers know a repeat.
    pub message_id: Option<String>,
    /// Sequence with which the stream must end.
    pub expected_last: Option<u64>,
    /// Content.
    pub bytes: Arc<[u8]>,
}

impl Brokers {
    /// Publishes a message, and returns the outcome within [`ANSWER_MAX`](crate::ANSWER_MAX).
    pub async fn publish(&self, message: NewMessage) -> PublishOutcome {
        let until = answer_by();
        let stream = message.stream;
        let headers = self.headers(&message);
        // No copy: the node keeps the same bytes until it has their fates.
        let payload = Bytes::from_owner(message.bytes);
        let subject = self.names().subject(stream);
        let prefer = u64::from(stream.shard.0);
        let Some(answer) = self.request(prefer, subject, Some(headers), payload, until).await else {
            return PublishOutcome::NoAnswer;
        };
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            // Without a leader, or without a stream.
            return self.absent_or_silent(stream, until).await;
        }
        match read::<Ack>(&answer.payload) {
            Said::Is(Ack { seq: sequence, duplicate }) => PublishOutcome::Stored { sequence, duplicate },
            Said::Refused(refusal) => self.refused(stream, &refusal, until).await,
            Said::Nothing => PublishOutcome::NoAnswer,
        }
    }

    fn headers(&self, message: &NewMessage) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Stream", self.names().stream(message.stream));
        if let Some(id) = &message.message_id {
            headers.insert("Nats-Msg-Id", id.as_str());
        }
        if let Some(last) = message.expected_last {
            headers.insert("Nats-Expected-Last-Sequence", last.to_string());
        }
        headers
    }

    async fn refused(&self, stream: StreamId, refusal: &Refusal, until: Instant) -> PublishOutcome {
        match (refusal.meaning(), refusal.last()) {
            (Meaning::WrongLast, Some(last)) => PublishOutcome::WrongLast { last },
            // It was refused, but where the stream ends is not said.
            (Meaning::WrongLast, None) => match self.read_stream(stream, until).await {
                StreamOutcome::Is(info) => PublishOutcome::WrongLast { last: info.last },
                StreamOutcome::Absent => PublishOutcome::Absent,
                StreamOutcome::NoAnswer => PublishOutcome::NoAnswer,
            },
            (Meaning::NoRoom, _) => PublishOutcome::Full,
            (Meaning::NoStream, _) => PublishOutcome::Absent,
            _ => PublishOutcome::NoAnswer,
        }
    }

    async fn absent_or_silent(&self, stream: StreamId, until: Instant) -> PublishOutcome {
        match self.read_stream(stream, until).await {
            StreamOutcome::Absent => PublishOutcome::Absent,
            StreamOutcome::Is(_) | StreamOutcome::NoAnswer => PublishOutcome::NoAnswer,
        }
    }
}
