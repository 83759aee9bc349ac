//! Senders: each has vehicles of its own, and brings newer and newer reports of them, over TCP or HTTP. A report without a good answer is sent
//! again, to another node where the connection is gone. Vehicles of even numbers tell their own time: a repeat of theirs is known however late
//! it comes. Those of the others are known for ten seconds of the shard's time, and count as a counter that began anew after that.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_wire::Fate;

use super::ledger::Ledger;
use super::nodes::{Directory, Doors};
use crate::tcp::TcpVehicle;
use crate::vagn::{client, spawn};

/// Pause between two groups.
const PACE: Duration = Duration::from_millis(100);

/// Longest wait for the answers to a group: longer than the service takes to say `failed`.
const ANSWERED_WITHIN: Duration = Duration::from_secs(12);

/// Of so many groups one was acknowledged before.
const AGAIN_EVERY: u64 = 8;

/// Kind of door.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Tcp,
    Http,
}

/// A sender.
pub(crate) struct Sender {
    task: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    /// Starts a sender that prefers this node.
    pub(crate) fn start(
        way: Way,
        node: usize,
        vehicles: usize,
        nodes: &Directory,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let name = format!("{way:?}").to_lowercase();
        let vehicle = |number: usize| {
            let id = format!("{name}-{node}-{number}");
            Vehicle {
                id,
                tells_time: number.is_multiple_of(2),
                seq: 1,
                time_ms: SystemClock::new().now_ms(),
                may_be_stored: false,
                last_ms: 0,
            }
        };
        let vehicles = (0..vehicles).map(vehicle).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let run = Run { way, node, vehicles, nodes: nodes.clone(), ledger: ledger.clone(), line: None };
        Self { task: spawn(run.until(stop.clone())), stop }
    }

    /// Stops it, once the reports that it has under way are answered.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

struct Run {
    way: Way,
    node: usize,
    vehicles: Vec<Vehicle>,
    nodes: Directory,
    ledger: Arc<Ledger>,
    line: Option<Line>,
}

/// A vehicle.
struct Vehicle {
    id: String,
    tells_time: bool,
    /// Number and time of the report that has no good answer as yet.
    seq: u64,
    time_ms: i64,
    /// It was sent, so it may be stored.
    may_be_stored: bool,
    /// Time of the report before, which was acknowledged.
    last_ms: i64,
}

impl Vehicle {
    /// Returns the report that has no good answer as yet.
    fn report(&self) -> Report {
        Report { id: self.id.clone(), seq: self.seq, time_ms: self.tells_time.then_some(self.time_ms) }
    }

    /// Returns the report before, if it is known again for ever.
    fn report_again(&self) -> Option<Report> {
        let time_ms = (self.tells_time && self.seq > 1).then_some(self.last_ms)?;
        Some(Report { id: self.id.clone(), seq: self.seq - 1, time_ms: Some(time_ms) })
    }

    /// Goes on to the next report.
    fn advance(&mut self) {
        let now_ms = SystemClock::new().now_ms();
        self.seq += 1;
        self.last_ms = self.time_ms;
        self.time_ms = now_ms.max(self.time_ms + 1);
        self.may_be_stored = false;
    }
}

/// A report.
struct Report {
    id: String,
    seq: u64,
    time_ms: Option<i64>,
}

/// A connection.
enum Line {
    Tcp(Box<TcpVehicle>),
    Http(reqwest::Client, String),
}

impl Run {
    async fn until(mut self, stop: Arc<AtomicBool>) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for round in 1_u64.. {
            pace.tick().await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            self.round(round.is_multiple_of(AGAIN_EVERY)).await;
        }
    }

    /// Brings a report of each vehicle, or those that were acknowledged last.
    async fn round(&mut self, is_again: bool) {
        let group: Vec<Report> = match is_again {
            true => self.vehicles.iter().filter_map(Vehicle::report_again).collect(),
            false => self.vehicles.iter().map(Vehicle::report).collect(),
        };
        if !is_again {
            for vehicle in &mut self.vehicles {
                vehicle.may_be_stored = true;
            }
        }
        let by = format!("{:?} of node {}", self.way, self.node);
        let Some(fates) = self.bring(&group).await else {
            self.ledger.count("no answer", group.len());
            self.line = None;
            self.turn();
            return;
        };
        for vehicle in &mut self.vehicles {
            let Some(fate) = fates.get(&vehicle.id).copied() else { continue };
            if is_again && fate == Fate::Stale && vehicle.may_be_stored {
                // The report behind it came to be stored, though its sender did not hear of it.
                self.ledger.count("overtaken", 1);
            } else if is_again {
                self.ledger.note_again(&vehicle.id, vehicle.seq - 1, fate, &by);
            } else if self.ledger.note(&vehicle.id, vehicle.seq, fate, (&by, self.node)) {
                vehicle.advance();
            }
        }
    }

    /// Takes the next node that has doors.
    fn turn(&mut self) {
        let nodes = self.nodes.lock().unwrap();
        let others = (1..=nodes.len()).map(|further| (self.node + further) % nodes.len());
        self.node = others.into_iter().find(|node| nodes[*node].is_some()).unwrap_or(self.node);
    }

    /// Returns the fates by vehicle; `None` when the node is gone, or silent.
    async fn bring(&mut self, group: &[Report]) -> Option<HashMap<String, Fate>> {
        if self.line.is_none() {
            let doors = self.nodes.lock().unwrap().get(self.node).copied().flatten()?;
            self.line = timeout(ANSWERED_WITHIN, Line::open(self.way, doors)).await.ok()?;
        }
        let answered = self.line.as_mut()?.bring(group);
        timeout(ANSWERED_WITHIN, answered).await.ok()?
    }
}

impl Line {
    async fn open(way: Way, doors: Doors) -> Option<Self> {
        Some(match way {
            Way::Tcp => Self::Tcp(Box::new(TcpVehicle::connect(doors.tcp).await.ok()?)),
            Way::Http => Self::Http(client(), format!("https://{}/api/v1/positions", doors.http)),
        })
    }

    async fn bring(&mut self, group: &[Report]) -> Option<HashMap<String, Fate>> {
        match self {
            Self::Tcp(vehicles) => {
                for Report { id, seq, time_ms } in group {
                    vehicles.timed_report(id, 30.0, longitude(*seq), *seq, *time_ms);
                }
                vehicles.flush().await.ok()?;
                let mut fates = HashMap::new();
                while fates.len() < group.len() {
                    let (vehicle, seq, fate) = vehicles.ack().await?;
                    let is_of_group = group.iter().any(|report| (&report.id, report.seq) == (&vehicle, seq));
                    assert!(is_of_group, "{vehicle} {seq} is not of this group");
                    assert_eq!(fates.insert(vehicle, fate), None, "two answers");
                }
                Some(fates)
            }
            Self::Http(client, url) => {
                let report = |Report { id, seq, time_ms }: &Report| {
                    let mut report = json!({"ID": id, "Lat": 30.0, "Lon": longitude(*seq), "Seq": seq});
                    if let Some(time_ms) = time_ms {
                        report["Ts"] = json!(time_ms);
                    }
                    report
                };
                let body = json!(group.iter().map(report).collect::<Vec<_>>()).to_string();
                let post = client.post(&*url).header("content-type", "application/json").body(body);
                let answer: Value = post.send().await.ok()?.json().await.ok()?;
                let Some(reports) = answer["reports"].as_array() else {
                    // Refused as a whole: nothing to hurry for.
                    sleep(Duration::from_millis(200)).await;
                    return None;
                };
                assert_eq!(reports.len(), group.len(), "{answer}");
                let fates = group.iter().zip(reports).map(|(sent, report)| {
                    (sent.id.clone(), report["fate"].as_str().unwrap().parse().unwrap())
                });
                Some(fates.collect())
            }
        }
    }
}

/// Returns a longitude that holds the number of its report: millionths of a degree.
fn longitude(seq: u64) -> f64 {
    seq as f64 / 1e6
}

/// Returns the number of the report that a geometry shows.
pub(crate) fn seq_of(geometry: &Value) -> u64 {
    (geometry["coordinates"][0].as_f64().unwrap() * 1e6).round() as u64
}
