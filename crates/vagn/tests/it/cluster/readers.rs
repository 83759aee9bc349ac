//! Readers: they keep asking for the whole fleet, as clients of several nodes would, and hold each answer against the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::ledger::Ledger;
use super::nodes::Directory;
use super::senders::seq_of;
use crate::vagn::spawn;

/// Pause between two questions.
const PACE: Duration = Duration::from_millis(200);

/// Longest wait for an answer before another node is asked: longer than the service waits for a shard.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// Most partial answers of a reader that are kept in words.
const PARTIALS_MAX: usize = 5;

/// An age that says that the age is not known.
const AGELESS: Duration = Duration::from_millis(u64::MAX);

/// The whole world.
const QUESTION: &str = "/api/v1/vehicles?bbox=-180,-90,180,90&limit=1000";

/// What became of the questions of a reader.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Answers.
    pub(crate) whole: u64,
    pub(crate) partial: u64,
    /// When, by whom, and which shards were missing in the first of these.
    pub(crate) partials: Vec<String>,
    /// Questions that the first node did not answer, with the last reason by node.
    pub(crate) asked_again: u64,
    /// Questions that no node answered.
    pub(crate) failed: u64,
    pub(crate) reasons: BTreeMap<String, u64>,
    /// Greatest age that an answer told, ms.
    pub(crate) age_max_ms: u64,
    /// Answers that told that their age is not known.
    pub(crate) ageless: u64,
}

impl Tally {
    /// Some node answered each question.
    pub(crate) fn assert_answered(&self) {
        assert!(self.failed == 0 && self.whole > 0, "{self:#?}");
    }

    /// Each question had a whole answer.
    pub(crate) fn assert_whole(&self) {
        assert!(self.failed == 0 && self.partial == 0 && self.whole > 0, "{self:#?}");
    }

    /// Each question had a whole answer of the node that was asked first.
    pub(crate) fn assert_unaided(&self) {
        self.assert_whole();
        assert!(self.asked_again == 0, "{self:#?}");
    }

    /// Adds what became of another one's questions.
    pub(crate) fn add(&mut self, other: Self) {
        self.whole += other.whole;
        self.partial += other.partial;
        self.partials.extend(other.partials);
        self.asked_again += other.asked_again;
        self.failed += other.failed;
        self.ageless += other.ageless;
        self.age_max_ms = self.age_max_ms.max(other.age_max_ms);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

/// A reader.
pub(crate) struct Reader {
    task: JoinHandle<Tally>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    /// Starts a reader that prefers this node.
    pub(crate) fn start(node: usize, nodes: &Directory, ledger: &Arc<Ledger>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (client, nodes, ledger) = (impatient(), nodes.clone(), ledger.clone());
        let run = Run { node, nodes, ledger, client, tally: Tally::default() };
        Self { task: spawn(run.until(stop.clone())), stop }
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

fn impatient() -> reqwest::Client {
    // Fails when it was installed before; all callers install the same one.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().danger_accept_invalid_certs(true);
    client.timeout(ANSWERED_WITHIN).build().unwrap()
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) shown: BTreeMap<String, u64>,
    pub(crate) missing: Vec<u16>,
    pub(crate) age: Duration,
}

/// Asks a node for all vehicles.
pub(crate) async fn ask(client: &reqwest::Client, nodes: &Directory, node: usize) -> Result<Answer, String> {
    let doors = nodes.lock().unwrap().get(node).copied().flatten().ok_or("it does not run")?;
    let url = format!("https://{}{QUESTION}", doors.http);
    let answer = client.get(url).send().await.map_err(|err| kind(&err))?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.text().await.map_err(|err| kind(&err))?;
    if status != 200 {
        return Err(format!("{status} {body}"));
    }
    read(&headers, &body)
}

fn kind(err: &reqwest::Error) -> String {
    let kinds = [(err.is_timeout(), "no answer in time"), (err.is_connect(), "no connection")];
    kinds.iter().find(|(is_it, _)| *is_it).map_or_else(|| format!("{err:?}"), |(_, name)| (*name).to_owned())
}

/// Reads an answer, whose marks must agree.
fn read(headers: &HeaderMap, body: &str) -> Result<Answer, String> {
    let answer: Value = serde_json::from_str(body).map_err(|err| format!("{err}: {body}"))?;
    let missing = answer.get("missing_shards").cloned().unwrap_or(json!([]));
    let marks = (answer.get("partial").is_some(), headers.contains_key("vagn-partial"), missing != json!([]));
    if marks != (false, false, false) && marks != (true, true, true) || answer["truncated"] == true {
        return Err(format!("marks differ: {marks:?} {headers:?}"));
    }
    let age = headers.get("vagn-shard-age-ms").ok_or_else(|| format!("no age: {headers:?}"))?;
    // Of unknown age it may lack anything.
    let age_ms = if age == "unknown" { u64::MAX } else { age.to_str().unwrap().parse().unwrap() };
    let features = answer["features"].as_array().unwrap().iter();
    Ok(Answer {
        shown: features
            .map(|one| (one["id"].as_str().unwrap().to_owned(), seq_of(&one["geometry"])))
            .collect(),
        missing: serde_json::from_value(missing).unwrap(),
        age: Duration::from_millis(age_ms),
    })
}

struct Run {
    node: usize,
    nodes: Directory,
    ledger: Arc<Ledger>,
    client: reqwest::Client,
    tally: Tally,
}

impl Run {
    async fn until(mut self, stop: Arc<AtomicBool>) -> Tally {
        while !stop.load(Ordering::Relaxed) {
            self.question().await;
            sleep(PACE).await;
        }
        self.tally
    }

    /// Asks a node, and the others in turn until one answers.
    async fn question(&mut self) {
        let nodes: Vec<usize> = {
            let nodes = self.nodes.lock().unwrap();
            let in_turn = (0..nodes.len()).map(|further| (self.node + further) % nodes.len());
            in_turn.filter(|node| nodes[*node].is_none_or(|doors| doors.answers)).collect()
        };
        for (further, node) in nodes.into_iter().enumerate() {
            let asked = Instant::now();
            match ask(&self.client, &self.nodes, node).await {
                Ok(answer) => return self.check(node, asked, &answer),
                Err(reason) => {
                    if reason.contains("marks differ") || reason.contains("no age") {
                        self.ledger.fault(format!("node {node}: {reason}"));
                    }
                    self.tally.asked_again += u64::from(further == 0);
                    *self.tally.reasons.entry(format!("node {node}: {reason}")).or_default() += 1;
                }
            }
        }
        self.tally.failed += 1;
    }

    /// What was acknowledged before the time up to which the answer says it is up to date, must be in it, or in a shard that is named.
    fn check(&mut self, node: usize, asked: Instant, answer: &Answer) {
        if answer.missing.is_empty() {
            self.tally.whole += 1;
        } else {
            self.tally.partial += 1;
            if self.tally.partials.len() < PARTIALS_MAX {
                let (at, took, missing) = (self.ledger.time(), asked.elapsed(), &answer.missing);
                self.tally.partials.push(format!("{at}: node {node} lacks {missing:?}, after {took:?}"));
            }
        }
        if answer.age < AGELESS {
            self.tally.age_max_ms = self.tally.age_max_ms.max(answer.age.as_millis() as u64);
        } else {
            self.tally.ageless += 1;
        }
        let Some(until) = asked.checked_sub(answer.age) else { return };
        let missing = self.ledger.missing(&answer.shown, until, &answer.missing);
        if !missing.is_empty() {
            self.ledger.fault(format!(
                "node {node} said that it is {} ms old and lacks only shards {:?}, and misses {} vehicles, such as {}",
                answer.age.as_millis(),
                answer.missing,
                missing.len(),
                missing[0]
            ));
        }
    }
}
