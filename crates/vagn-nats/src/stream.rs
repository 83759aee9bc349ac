//! Streams of shards and of the trail: made, read, purged and deleted.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::warn;
use vagn_cluster::{Incarnation, StreamId, StreamInfo, StreamOutcome};

use crate::api::{Meaning, Said, ask_over};
use crate::brokers::{Brokers, answer_by};
use crate::copies::Follower;
use crate::link::Link;
use crate::names::is_trail;

/// Longest message: an entry and its headers.
const MESSAGE_MAX: usize = vagn_cluster::ENTRY_MAX + 1_024;

/// Time in which brokers know a message id again, ns. A saving only: shards know repeats however late they come.
const DUPLICATES_NS: u64 = 120_000_000_000;

/// Least room with which a stream is of use: a few seconds of a busy shard.
pub(crate) const LEAST: u64 = 16 << 20;

/// Set-up of a stream: replicated, on disk, without an age, and it refuses what it has no room for.
#[derive(Debug, Serialize)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) subjects: [String; 1],
    pub(crate) max_bytes: u64,
    pub(crate) num_replicas: u8,
    pub(crate) max_msg_size: usize,
    pub(crate) max_msgs_per_subject: i64,
    pub(crate) duplicate_window: u64,
    /// No message can be deleted; only whole beginnings are purged.
    pub(crate) deny_delete: bool,
    pub(crate) allow_rollup_hdrs: bool,
    /// Several messages can be written all or none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_atomic: bool,
    /// A message can have an end of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) allow_direct: bool,
    pub(crate) max_age: u64,
    pub(crate) discard: &'static str,
    pub(crate) retention: &'static str,
    pub(crate) storage: &'static str,
}

impl StreamConfig {
    pub(crate) fn new(name: String, subject: String, max_bytes: u64, num_replicas: u8) -> Self {
        Self {
            name,
            subjects: [subject],
            max_bytes,
            num_replicas,
            max_msg_size: MESSAGE_MAX,
            max_msgs_per_subject: -1,
            duplicate_window: DUPLICATES_NS,
            deny_delete: true,
            allow_rollup_hdrs: false,
            allow_atomic: false,
            allow_msg_ttl: false,
            allow_direct: false,
            max_age: 0,
            discard: "new",
            retention: "limits",
            storage: "file",
        }
    }
}

/// A stream as brokers describe it.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    created: String,
    state: State,
    pub(crate) config: Limits,
    /// Brokers that keep it, as the one sees them that answers; none where that one is alone by its settings.
    cluster: Option<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    leader: Option<String>,
    /// All but the leader.
    #[serde(default)]
    replicas: Vec<Follower>,
}

#[derive(Debug, Deserialize)]
struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    last_seq: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Limits {
    #[serde(default)]
    pub(crate) max_bytes: i64,
}

impl Info {
    /// Returns the figures as a node reads them, unless the time of the creation makes no sense.
    pub(crate) fn figures(&self) -> Option<StreamInfo> {
        let created: jiff::Timestamp = self.created.parse().ok()?;
        let incarnation = Incarnation(u64::try_from(created.as_nanosecond()).ok()?);
        let State { messages, bytes, first_seq, last_seq: last } = self.state;
        // Brokers say 0 for the first of a stream that never held one.
        let first = if messages == 0 { last + 1 } else { first_seq };
        Some(StreamInfo { incarnation, first, last, bytes })
    }

    /// Returns the brokers that follow, where a leader answers.
    fn followers(&self) -> Option<&[Follower]> {
        let group = self.cluster.as_ref().filter(|group| group.leader.is_some())?;
        Some(&group.replicas)
    }

    /// Returns true if a leader answers that hears most of the others. One that is cut off goes on answering: as the leader for some 20 s, and
    /// without one for ever (measured with 2.15.1).
    pub(crate) fn is_by_majority(&self) -> bool {
        let Some(Group { leader, replicas }) = &self.cluster else { return true };
        let with_leader = 1 + replicas.iter().filter(|replica| replica.is_heard()).count();
        leader.is_some() && 2 * with_leader > 1 + replicas.len()
    }
}

/// Reads the figures of a stream by its name over this connection and no other.
pub(crate) async fn read_over(link: &Link, stream: &str, until: Instant) -> StreamOutcome {
    outcome(ask_over(link, format!("$JS.API.STREAM.INFO.{stream}"), &(), until).await)
}

pub(crate) fn outcome(said: Said<Info>) -> StreamOutcome {
    match said {
        Said::Is(info) => info.figures().map_or(StreamOutcome::NoAnswer, StreamOutcome::Is),
        Said::Refused(refusal) if refusal.meaning() == Meaning::NoStream => StreamOutcome::Absent,
        Said::Refused(_) | Said::Nothing => StreamOutcome::NoAnswer,
    }
}

impl Brokers {
    /// Reads a stream's figures, from its leader, by then at the latest.
    pub async fn read_stream(&self, stream: StreamId, until: Instant) -> StreamOutcome {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.names().stream(stream));
        let said = self.ask(u64::from(stream.shard.0), subject, &(), until).await;
        self.note_copies(stream, &said);
        outcome(said)
    }

    /// Notes which brokers keep a stream, as its leader says.
    fn note_copies(&self, stream: StreamId, said: &Said<Info>) {
        let (mut told, now) = (self.told().lock(), Instant::now());
        match said {
            Said::Is(info) => match info.followers() {
                Some(followers) => told.answered(stream, followers, now),
                // Of one broker alone, or by one that is cut off.
                None => told.unanswered(stream, info.cluster.is_none(), now),
            },
            Said::Refused(refusal) => told.unanswered(stream, refusal.meaning() == Meaning::NoStream, now),
            Said::Nothing => told.unanswered(stream, false, now),
        }
    }

    /// Makes a stream with this room unless it is there, and reads its figures either way. The trail's is made with less where brokers have not so
    /// much: without it nothing is recorded.
    pub async fn make_stream(&self, stream: StreamId, max_bytes: u64) -> StreamOutcome {
        let until = answer_by();
        let mut bytes = max_bytes;
        loop {
            let name = self.names().stream(stream);
            let subject = self.names().subject(stream);
            let said = self.create(StreamConfig::new(name, subject, bytes, self.replicas()), until).await;
            return match said {
                // What is there counts, however it was made.
                Said::Is(_) => self.read_stream(stream, until).await,
                Said::Refused(refusal) => match refusal.meaning() {
                    Meaning::Exists => self.read_stream(stream, until).await,
                    Meaning::NoRoom if is_trail(stream) && bytes > LEAST => {
                        bytes = (bytes / 2).max(LEAST);
                        continue;
                    }
                    _ => {
                        warn!(?stream, bytes, reason = refusal.description, "brokers make no stream");
                        StreamOutcome::NoAnswer
                    }
                },
                Said::Nothing => StreamOutcome::NoAnswer,
            };
        }
    }

    pub(crate) async fn create(&self, config: StreamConfig, until: Instant) -> Said<serde::de::IgnoredAny> {
        let subject = format!("$JS.API.STREAM.CREATE.{}", config.name);
        self.ask(0, subject, &config, until).await
    }

    /// Removes the messages up to this sequence, and with it.
    pub async fn purge(&self, stream: StreamId, through: u64) {
        let subject = format!("$JS.API.STREAM.PURGE.{}", self.names().stream(stream));
        let body = serde_json::json!({ "seq": through.saturating_add(1) });
        self.tell(subject, &body).await;
    }

    /// Deletes a stream.
    pub async fn drop_stream(&self, stream: StreamId) {
        self.delete(self.names().stream(stream)).await;
    }

    pub(crate) async fn delete(&self, name: String) {
        self.tell(format!("$JS.API.STREAM.DELETE.{name}"), &()).await;
    }

    /// Asks for something of which a refusal is logged, and nothing else depends on the answer.
    async fn tell(&self, subject: String, body: &impl Serialize) {
        let said: Said<serde::de::IgnoredAny> = self.ask(0, subject.clone(), body, answer_by()).await;
        if let Said::Refused(refusal) = said {
            warn!(subject, reason = refusal.description, "brokers refuse");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_cut_off_speaks_for_no_majority() {
        let check = |cluster: &str, expected| {
            let state = r#"{"messages":0,"bytes":0,"first_seq":0,"last_seq":0}"#;
            let text =
                format!(r#"{{"created":"1970-01-01T00:00:01Z","config":{{}},"state":{state}{cluster}}}"#);
            assert_eq!(serde_json::from_str::<Info>(&text).unwrap().is_by_majority(), expected, "{cluster}");
        };
        let group = |leader: &str, first_ns: u64, second_ns: u64| {
            let replica = |name, active| format!(r#"{{"name":"{name}","current":true,"active":{active}}}"#);
            let replicas = [replica("n2", first_ns), replica("n3", second_ns)].join(",");
            format!(r#","cluster":{{"name":"vagn"{leader},"replicas":[{replicas}]}}"#)
        };
        let leader = r#","leader":"n1""#;
        check("", true);
        check(r#","cluster":{"leader":"n1"}"#, true);
        check(&group(leader, 311_764_811, 309_534_765), true);
        check(&group(leader, 311_764_811, 40_000_000_000), true);
        // It has just been elected.
        check(&group(leader, 0, 0), true);
        check(&group(leader, 13_418_673_409, 13_416_443_363), false);
        check(&group("", 0, 0), false);
    }

    fn figures(state: &str) -> StreamInfo {
        let text = format!(r#"{{"created":"1970-01-01T00:00:01.5Z","config":{{}},"state":{state}}}"#);
        serde_json::from_str::<Info>(&text).unwrap().figures().unwrap()
    }

    #[test]
    fn the_first_of_an_empty_stream_is_behind_its_last() {
        for (messages, first, last, expected) in [(0, 0, 0, 1), (0, 8, 7, 8), (2, 6, 7, 6)] {
            let state =
                format!(r#"{{"messages":{messages},"bytes":9,"first_seq":{first},"last_seq":{last}}}"#);
            let incarnation = Incarnation(1_500_000_000);
            assert_eq!(figures(&state), StreamInfo { incarnation, first: expected, last, bytes: 9 });
        }
    }
}
