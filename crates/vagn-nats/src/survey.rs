//! The survey of brokers and of a data set's streams, for the checks of an operator. Each broker is asked once, by a connection of its own:
//! [`Brokers`](crate::Brokers) would go on with those that answer, and hide those that do not.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::account::Account;
use crate::api::{Said, json, read};
use crate::copies::Follower;
use crate::names::Names;
use crate::options::Options;
use crate::refusals::sentence;
use crate::room::part;

/// Longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Longest wait for an answer: brokers wait 4 s for streams whose leaders do not answer.
const SURVEY_MAX: Duration = Duration::from_secs(6);

/// Most pages of streams that are read; a page has up to 256 of them.
const PAGES_MAX: u64 = 16;

/// A broker that let this node in.
#[derive(Debug)]
pub struct Visit {
    client: Client,
    names: Names,
    /// Name of the broker.
    pub name: String,
    /// Its version, such as `2.15.1`.
    pub version: String,
    /// True if it streams messages to disk at all.
    pub has_jetstream: bool,
}

/// Reason why a broker was not reached.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{error}")]
pub struct VisitError {
    error: String,
    /// Meaning of the error to an operator, with the remedy where there is one.
    pub sentence: &'static str,
}

/// Streams of a data set.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Streams {
    /// Those that their leaders told of.
    pub seen: Vec<StreamSeen>,
    /// Names of those that have no leader, or whose leader does not answer.
    pub silent: Vec<String>,
}

/// A stream as its leader tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamSeen {
    /// Its name.
    pub name: String,
    /// Shard that it is of; none for the trail, and the buckets of records and of the registry.
    pub shard: Option<u16>,
    /// Number of brokers that are to keep it.
    pub replicas: u8,
    /// Room that brokers keep for it, and what of it is taken, bytes.
    pub max_bytes: u64,
    /// Bytes that are there.
    pub bytes: u64,
    /// True if it refuses what it has no room for, and never drops something for it.
    pub refuses_when_full: bool,
    /// Age after which messages are dropped, ns; 0: never.
    pub max_age_ns: u64,
    /// True if it is on disk.
    pub is_on_disk: bool,
    /// Broker that leads it.
    pub leader: Option<String>,
    /// The other brokers that keep it.
    pub followers: Vec<Follower>,
    /// Wall clock of the leader, ms since 1970; none if it tells none.
    pub now_ms: Option<i64>,
}

impl VisitError {
    fn new(error: String) -> Self {
        Self { sentence: sentence(&error), error }
    }
}

impl Options {
    /// Returns the addresses of brokers, without users and passwords.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addresses.iter().map(|address| address.as_url_str())
    }

    /// Connects to the broker with this number among the addresses, and to no other.
    ///
    /// # Errors
    /// It is not reached, or does not let this node in.
    pub async fn visit(&self, at: usize) -> Result<Visit, VisitError> {
        let account = self.accounts[at].as_ref().map_or_else(async_nats::Auth::new, Account::auth);
        let options = ConnectOptions::with_auth_callback(move |_| std::future::ready(Ok(account.clone())))
            .name(format!("vagn-survey-{:x}", self.run))
            .custom_inbox_prefix(format!("_INBOX.answer.{:x}", self.run))
            .ignore_discovered_servers()
            .connection_timeout(CONNECT_MAX)
            .request_timeout(Some(SURVEY_MAX));
        let options = match &self.tls {
            Some(config) => options.tls_client_config(config.clone()),
            None => options,
        };
        let connected = timeout(CONNECT_MAX, options.connect(self.addresses[at].clone())).await;
        let client = match connected {
            Ok(client) => client.map_err(|err| VisitError::new(err.to_string()))?,
            Err(_) => {
                return Err(VisitError::new(format!("no answer within {} s", CONNECT_MAX.as_secs())));
            }
        };
        let info = client.server_info();
        Ok(Visit {
            client,
            names: self.names.clone(),
            name: info.server_name,
            version: info.version,
            has_jetstream: info.jetstream,
        })
    }
}

impl Visit {
    /// Reads the streams of the data set: those of shards and of the trail, and the buckets of its records and its registry. None if there is no
    /// answer: then JetStream has no leader.
    pub async fn streams(&self) -> Option<Streams> {
        let mut streams = self.listed(self.names.subjects()).await?;
        let trail = self.listed(self.names.trails()).await?;
        streams.seen.extend(trail.seen);
        streams.silent.extend(trail.silent);
        for bucket in [self.names.bucket(), self.names.registry()] {
            match self.ask::<Told>(format!("$JS.API.STREAM.INFO.{bucket}"), &serde_json::Value::Null).await {
                Said::Is(told) => streams.seen.push(told.seen()),
                // It is not there yet.
                Said::Refused(_) => {}
                Said::Nothing => streams.silent.push(bucket),
            }
        }
        Some(streams)
    }

    /// Reads the streams that have such subjects.
    async fn listed(&self, subjects: String) -> Option<Streams> {
        let mut streams = Streams::default();
        for _ in 0..PAGES_MAX {
            let offset = (streams.seen.len() + streams.silent.len()) as u64;
            let body = serde_json::json!({ "subject": subjects, "offset": offset });
            let Said::Is(page) = self.ask::<Page>("$JS.API.STREAM.LIST".to_owned(), &body).await else {
                return None;
            };
            let told = page.streams.unwrap_or_default();
            let silent = page.missing.unwrap_or_default();
            let count = (told.len() + silent.len()) as u64;
            let is_last = count == 0 || offset + count >= page.total;
            streams.seen.extend(told.into_iter().map(Told::seen));
            streams.silent.extend(silent);
            if is_last {
                break;
            }
        }
        Some(streams)
    }

    async fn ask<T: DeserializeOwned>(&self, subject: String, body: &serde_json::Value) -> Said<T> {
        let answer = self.client.request(subject, json(body)).await;
        answer.map_or(Said::Nothing, |answer| read(&answer.payload))
    }
}

/// Returns the room in bytes that each of so many streams would get of what is free, before any bound; and the least that is of use.
pub fn room_of_streams(free: u64, shards: u16) -> (u64, u64) {
    (part(free, shards), crate::stream::LEAST)
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    total: u64,
    streams: Option<Vec<Told>>,
    missing: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Told {
    config: ToldConfig,
    state: ToldState,
    cluster: Option<ToldCluster>,
    ts: Option<String>,
}

#[derive(Deserialize)]
struct ToldConfig {
    name: String,
    num_replicas: u8,
    max_bytes: i64,
    #[serde(default)]
    max_age: u64,
    discard: String,
    storage: String,
}

#[derive(Deserialize)]
struct ToldState {
    bytes: u64,
}

#[derive(Deserialize)]
struct ToldCluster {
    leader: Option<String>,
    replicas: Option<Vec<Follower>>,
}

impl Told {
    fn seen(self) -> StreamSeen {
        let Self { config, state, cluster, ts } = self;
        let (leader, followers) = cluster.map_or((None, None), |cluster| (cluster.leader, cluster.replicas));
        StreamSeen {
            shard: shard(&config.name),
            name: config.name,
            replicas: config.num_replicas,
            // Negative: as much as there is.
            max_bytes: u64::try_from(config.max_bytes).unwrap_or(0),
            bytes: state.bytes,
            refuses_when_full: config.discard == "new",
            max_age_ns: config.max_age,
            is_on_disk: config.storage == "file",
            leader: leader.filter(|name| !name.is_empty()),
            followers: followers.unwrap_or_default(),
            now_ms: ts.and_then(|ts| Some(ts.parse::<jiff::Timestamp>().ok()?.as_millisecond())),
        }
    }
}

/// Reads the shard in the name of a stream, `vagn-SET-SHARD-EPOCH`.
fn shard(name: &str) -> Option<u16> {
    let mut parts = name.strip_prefix("vagn-")?.rsplit('-');
    let _epoch: u64 = parts.next()?.parse().ok()?;
    parts.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shard_is_read_from_the_name_of_a_stream() {
        assert_eq!(shard("vagn-buses-7-2"), Some(7));
        assert_eq!(shard("vagn-north-2-255-1"), Some(255));
        assert_eq!((shard("KV_vagn-buses"), shard("vagn-buses")), (None, None));
        assert_eq!(shard("vagn-buses-7-trail-1"), None);
    }

    #[test]
    fn a_stream_is_told_by_its_leader() {
        let text = r#"{"config":{"name":"vagn-a-1-0","num_replicas":3,"max_bytes":-1,"discard":"new","storage":"file"},"created":"",
            "state":{"bytes":7},"cluster":{"leader":"n1","replicas":[{"name":"n2","current":false,"offline":true,"active":1,"lag":4}]},
            "ts":"1970-01-01T00:00:01.5Z"}"#;
        let seen = serde_json::from_str::<Told>(text).unwrap().seen();
        assert_eq!((seen.shard, seen.max_bytes, seen.now_ms), (Some(1), 0, Some(1_500)));
        assert_eq!(seen.leader.as_deref(), Some("n1"));
        let follower =
            Follower { name: "n2".into(), is_current: false, is_offline: true, silent_ns: 1, lag: 4 };
        assert_eq!(seen.followers, [follower]);
    }
}
