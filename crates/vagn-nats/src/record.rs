//! Records that all nodes share, in a bucket of keys, changed by compare-and-set. `nats kv get vagn-SET assignment` shows one.

use async_nats::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::time::Instant;
use vagn_cluster::{RecordKey, RecordOutcome, WriteOutcome};

use crate::api::{Ack, Meaning, Said, ask_over, read};
use crate::brokers::{Brokers, answer_by};
use crate::link::Link;
use crate::stream::StreamConfig;

/// Room of the bucket: some versions of each record.
const ROOM: u64 = 16 << 20;

/// Versions of a record that the bucket keeps, for operators.
const VERSIONS: i64 = 8;

#[derive(Deserialize)]
struct Got {
    message: Stored,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
}

impl Brokers {
    /// Reads a record, from the leader of the bucket.
    pub async fn read_record(&self, key: RecordKey) -> RecordOutcome {
        self.read_last(&self.names().bucket(), &self.names().record(key)).await
    }

    /// Reads the last message of a subject, from the leader of its stream.
    pub(crate) async fn read_last(&self, stream: &str, of: &str) -> RecordOutcome {
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let body = serde_json::json!({ "last_by_subj": of });
        match self.ask::<Got>(0, subject, &body, answer_by()).await {
            Said::Is(got) => got.message.outcome(),
            Said::Refused(refusal) => match refusal.meaning() {
                Meaning::NoMessage | Meaning::NoStream => RecordOutcome::Absent,
                _ => RecordOutcome::NoAnswer,
            },
            Said::Nothing => RecordOutcome::NoAnswer,
        }
    }

    /// Writes a record if it has this revision; `None`: if it is not there. The first one makes the bucket.
    pub async fn write_record(&self, key: RecordKey, expected: Option<u64>, bytes: Vec<u8>) -> WriteOutcome {
        let until = answer_by();
        let bytes = bytes::Bytes::from(bytes);
        let written = self.put(key, expected, bytes.clone(), until).await;
        if written.is_some() || expected.is_some() {
            return written.unwrap_or(WriteOutcome::NoAnswer);
        }
        let config = StreamConfig {
            max_msgs_per_subject: VERSIONS,
            allow_rollup_hdrs: true,
            ..StreamConfig::new(self.names().bucket(), self.names().records(), ROOM, self.replicas())
        };
        match self.create(config, until).await {
            Said::Is(_) => self.put(key, expected, bytes, until).await.unwrap_or(WriteOutcome::NoAnswer),
            Said::Refused(_) | Said::Nothing => WriteOutcome::NoAnswer,
        }
    }

    /// Writes. None when there is no bucket, or none with a leader, to take it.
    async fn put(
        &self,
        key: RecordKey,
        expected: Option<u64>,
        bytes: bytes::Bytes,
        until: Instant,
    ) -> Option<WriteOutcome> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.unwrap_or(0).to_string());
        let Some(answer) = self.request(0, self.names().record(key), Some(headers), bytes, until).await
        else {
            return Some(WriteOutcome::NoAnswer);
        };
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return None;
        }
        Some(match read::<Ack>(&answer.payload) {
            Said::Is(Ack { seq: revision, .. }) => WriteOutcome::Written { revision },
            Said::Refused(refusal) if refusal.meaning() == Meaning::WrongLast => WriteOutcome::Refused,
            Said::Refused(_) | Said::Nothing => WriteOutcome::NoAnswer,
        })
    }
}

/// Reads the sequence of the newest message of these subjects from the leader of their stream, over this connection and no other; 0: there is none.
pub(crate) async fn newest_over(link: &Link, stream: &str, subjects: &str) -> Option<u64> {
    let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let body = serde_json::json!({ "last_by_subj": subjects });
    match ask_over::<Got>(link, subject, &body, answer_by()).await {
        Said::Is(got) => Some(got.message.seq),
        Said::Refused(refusal) if refusal.meaning() == Meaning::NoMessage => Some(0),
        Said::Refused(_) | Said::Nothing => None,
    }
}

impl Stored {
    fn outcome(self) -> RecordOutcome {
        // `nats kv del` leaves a message that says so.
        let headers = STANDARD.decode(self.hdrs).unwrap_or_default();
        let is_deleted = String::from_utf8_lossy(&headers).contains("KV-Operation:");
        match STANDARD.decode(self.data) {
            _ if is_deleted => RecordOutcome::Absent,
            Ok(bytes) => RecordOutcome::Is { revision: self.seq, bytes },
            Err(_) => RecordOutcome::NoAnswer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(headers: &str, data: &str) -> RecordOutcome {
        Stored { seq: 4, data: data.to_owned(), hdrs: STANDARD.encode(headers) }.outcome()
    }

    #[test]
    fn a_key_that_a_person_deleted_is_absent() {
        let is = RecordOutcome::Is { revision: 4, bytes: b"ab".to_vec() };
        assert_eq!(stored("NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 3\r\n\r\n", "YWI="), is);
        assert_eq!(stored("NATS/1.0\r\nKV-Operation: DEL\r\n\r\n", ""), RecordOutcome::Absent);
        assert_eq!(stored("", "?"), RecordOutcome::NoAnswer);
    }
}
