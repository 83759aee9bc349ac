//! Reads a trail back from the brokers, message by message and without anything of the driver, and checks that it is one chain.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vagn_cluster::trail::{AlarmId, Term, TrailBody, TrailEntry};
use vagn_cluster::{fold, hash};

use crate::desk::{Incident, incidents};
use crate::processes::Processes;

/// A trail as the brokers have it.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Entries.
    pub(crate) last: u64,
    /// Bytes of all of them at each broker.
    pub(crate) bytes: u64,
    /// Running hash of all entries up to each.
    hashes: Vec<u64>,
    /// Terms of the claims, with their nodes.
    pub(crate) claims: Vec<(Term, u64)>,
    /// Terms whose leaders said farewell.
    pub(crate) farewells: Vec<Term>,
    /// Groups that record each alarm.
    pub(crate) groups: BTreeMap<AlarmId, usize>,
    /// Incidents as the last group with each tells.
    pub(crate) incidents: BTreeMap<u64, Incident>,
}

/// An entry as it stands at the brokers.
struct Stored {
    sequence: u64,
    time_ms: i64,
    /// Sequence behind which its writer wanted it.
    expected: u64,
    message_id: String,
    bytes: Vec<u8>,
}

struct Reader {
    client: async_nats::Client,
    stream: String,
}

impl Reader {
    async fn ask(&self, what: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let subject = format!("$JS.API.STREAM.{what}.{}", self.stream);
        let answer = self.client.request(subject, body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    async fn entry(&self, sequence: u64) -> Stored {
        let said = self.ask("MSG.GET", json!({ "seq": sequence })).await;
        let message = &said["message"];
        let text = |name: &str| message[name].as_str().unwrap_or_else(|| panic!("{name} of {said}"));
        let headers = String::from_utf8(STANDARD.decode(text("hdrs")).unwrap()).unwrap();
        let header = |name: &str| {
            let line = headers
                .lines()
                .find_map(|line| line.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")));
            line.unwrap_or_else(|| panic!("no {name} in {headers}")).to_owned()
        };
        let time: jiff::Timestamp = text("time").parse().unwrap();
        Stored {
            sequence: message["seq"].as_u64().unwrap(),
            time_ms: time.as_millisecond(),
            expected: header("Nats-Expected-Last-Sequence").parse().unwrap(),
            message_id: header("Nats-Msg-Id"),
            bytes: STANDARD.decode(text("data")).unwrap(),
        }
    }
}

/// Reads the trail of a data set, and checks each entry against all before it.
pub(crate) async fn read_back(processes: &Processes, set: &str) -> Trail {
    let client = async_nats::connect(&processes.addresses[0]).await.unwrap();
    let reader = Reader { client, stream: format!("vagn-{set}-trail-1") };
    let about = reader.ask("INFO", Value::Null).await;
    let config = &about["config"];
    assert_eq!(config["subjects"], json!([format!("vagn.{set}.trail.1")]));
    assert_eq!((&config["num_replicas"], &config["discard"]), (&json!(3), &json!("new")), "{config}");
    assert_eq!((&config["max_age"], &config["storage"]), (&json!(0), &json!("file")), "{config}");
    assert_eq!(config["max_msgs"], json!(-1), "{config}");
    let last = about["state"]["last_seq"].as_u64().unwrap();
    assert_eq!(about["state"]["messages"].as_u64(), Some(last), "nothing is missing: {about}");
    let mut trail = Trail::default();
    let (mut hashes, mut ids, mut numbers) = (vec![0], BTreeSet::new(), BTreeMap::new());
    for sequence in 1..=last {
        let stored = reader.entry(sequence).await;
        assert_eq!((stored.sequence, stored.expected), (sequence, sequence - 1));
        let entry = TrailEntry::read(&stored.bytes).unwrap();
        assert_eq!(entry.id.to_string(), stored.message_id);
        assert!(ids.insert(entry.id), "{sequence} is there twice");
        let before = numbers.insert((entry.id.node, entry.id.run), entry.id.number);
        assert!(before < Some(entry.id.number), "{sequence} is out of its writer's order");
        trail.take(&entry, &hashes);
        let own = hash(&[&sequence.to_le_bytes(), &stored.time_ms.to_le_bytes(), &stored.bytes]);
        hashes.push(fold(hashes[hashes.len() - 1], own));
    }
    (trail.last, trail.hashes) = (last, hashes);
    trail.bytes = about["state"]["bytes"].as_u64().unwrap();
    trail
}

impl Trail {
    /// Takes the next entry. `hashes` has the running hash at each sequence before it.
    fn take(&mut self, entry: &TrailEntry<'_>, hashes: &[u64]) {
        let (term, node) = self.claims.last().copied().unwrap_or_default();
        match &entry.body {
            TrailBody::Claim { .. } => {
                assert!(entry.term > term, "{entry:?} after {term:?}");
                self.claims.push((entry.term, entry.id.node.0));
            }
            _ => {
                assert_eq!((entry.term, entry.id.node.0), (term, node), "{entry:?}");
                assert_ne!(self.farewells.last(), Some(&term), "{entry:?} after the farewell");
            }
        }
        if let TrailBody::Farewell { .. } = entry.body {
            self.farewells.push(entry.term);
        }
        match &entry.body {
            TrailBody::Claim { sequence, running_hash, .. }
            | TrailBody::Renewal { sequence, running_hash, .. }
            | TrailBody::Farewell { sequence, running_hash, .. } => {
                assert_eq!(hashes.get(*sequence as usize), Some(running_hash), "{entry:?}");
            }
            TrailBody::Group { alarms, content, .. } => {
                alarms.iter().for_each(|version| *self.groups.entry(version.alarm).or_default() += 1);
                self.incidents.extend(incidents(content));
            }
        }
    }

    /// Running hash of all entries up to this one.
    pub(crate) fn hash_at(&self, sequence: u64) -> u64 {
        self.hashes[sequence as usize]
    }

    /// Incidents of a vehicle.
    pub(crate) fn of(&self, vehicle: u64) -> Vec<&Incident> {
        self.incidents.values().filter(|incident| incident.vehicle == vehicle).collect()
    }
}
