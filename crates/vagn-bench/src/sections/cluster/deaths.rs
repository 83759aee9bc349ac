//! The time to answer again after each kind of death: of a node, of a broker, of all brokers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use serde_json::json;

use super::rig::{Layout, NODES, Rig};
use crate::bench::Bench;
use crate::brokers::BROKERS;
use crate::https::Https;
use crate::load::joined;
use crate::section::{Section, Table};
use crate::service::Service;
use crate::stats::{Spread, time};

/// Reports of one probe: so many vehicles that each shard has some.
const PROBED: u64 = 128;

/// Pause between two probes.
const PAUSE: Duration = Duration::from_millis(10);

/// Time without a bad answer after which it is over. An election takes up to 9 s, and for a while nobody may notice.
const STILL: Duration = Duration::from_secs(10);

/// Longest wait until it is over.
const OVER_WITHIN: Duration = Duration::from_secs(90);

/// What dies.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Node,
    Broker,
    AllBrokers,
}

/// An answer to a probe.
#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    is_good: bool,
}

/// What probes have seen of a death.
struct Seen {
    /// Longest time without a good answer, s.
    write_s: f64,
    read_s: f64,
    bad_writes: usize,
    bad_reads: usize,
    /// Time from the new start of a node until each shard had all its copies again, s.
    whole_s: f64,
}

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(
        "After a death another node is asked all the time: with POSTs of 128 reports for all shards, which are good when each was stored, \
         and with questions about all vehicles, which are good when no shard is missing. The time is the longest without a good answer; a \
         report without a fate fails after 5 s. *Whole* is the time from the new start of a node until each shard has both \
         copies again. *All brokers* are killed at once and started at once.",
    );
    let columns = [
        "what is killed",
        "stored again after",
        "answered whole again after",
        "writes failed",
        "reads partial",
        "whole after",
    ];
    let mut table =
        Table { title: "Deaths".to_owned(), columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() };
    let mut rig = Rig::start(bench, &bench.scratch.join("cluster"), Layout::Alike, "always")?;
    let cases = [(Victim::Node, "a node"), (Victim::Broker, "a broker"), (Victim::AllBrokers, "all brokers")];
    for (victim, name) in cases {
        let mut all = Vec::new();
        for time in 0..bench.repetitions() as usize {
            bench.progress(format!("cluster: death of {name}"));
            all.push(die(&mut rig, victim, time)?);
        }
        let spread = |of: fn(&Seen) -> f64| Spread::of(all.iter().map(of)).show(time);
        let sum = |of: fn(&Seen) -> usize| all.iter().map(of).sum::<usize>();
        table.rows.push(vec![
            json!(name),
            json!(spread(|seen| seen.write_s)),
            json!(spread(|seen| seen.read_s)),
            json!(sum(|seen| seen.bad_writes)),
            json!(sum(|seen| seen.bad_reads)),
            json!(spread(|seen| seen.whole_s)),
        ]);
    }
    section.tables.push(table);
    Ok(())
}

/// Kills, probes until it is over, and starts again. `number` chooses another one each time.
fn die(rig: &mut Rig, victim: Victim, number: usize) -> anyhow::Result<Seen> {
    let (killed, broker) = (1 + number % (NODES - 1), 1 + number % BROKERS);
    let survivor = Probed::of(rig.node(0)?)?;
    let (writes, reads, started) = probe(&survivor, || {
        match victim {
            Victim::Node => rig.kill(killed),
            Victim::Broker => rig.brokers.order(&format!("kill {broker}"))?,
            Victim::AllBrokers => {
                // First all are gone, then they come: a broker that is started waits for others.
                for deed in ["kill", "start"] {
                    (1..=BROKERS).try_for_each(|number| rig.brokers.order(&format!("{deed} {number}")))?;
                }
            }
        }
        Ok(())
    })?;
    let again = Instant::now();
    match victim {
        Victim::Node => rig.launch(killed)?,
        Victim::Broker => rig.brokers.order(&format!("start {broker}"))?,
        Victim::AllBrokers => {}
    }
    rig.wait_whole()?;
    let whole_s = match victim {
        Victim::Node => again.elapsed().as_secs_f64(),
        // The nodes have all of it all the time.
        Victim::Broker | Victim::AllBrokers => f64::NAN,
    };
    rig.brokers.order("healthy")?;
    let bad = |answers: &[Answer]| answers.iter().filter(|answer| !answer.is_good).count();
    Ok(Seen {
        write_s: silence_s(started, &writes),
        read_s: silence_s(started, &reads),
        bad_writes: bad(&writes),
        bad_reads: bad(&reads),
        whole_s,
    })
}

/// The longest time without a good answer, from this moment on.
fn silence_s(from: Instant, answers: &[Answer]) -> f64 {
    let good = answers.iter().filter(|answer| answer.is_good && answer.at >= from).map(|answer| answer.at);
    let (mut last, mut longest) = (from, Duration::ZERO);
    for at in good {
        longest = longest.max(at - last);
        last = at;
    }
    longest.as_secs_f64()
}

/// Probes all the time while `deed` is done, and until nothing bad was seen for a while. Returns answers to writes and to reads, and the
/// moment of the deed.
fn probe(
    node: &Probed,
    deed: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<(Vec<Answer>, Vec<Answer>, Instant)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let mut rounds = 0;
        let is_over = &is_over;
        let write = scope.spawn(move || {
            repeat(is_over, || {
                rounds += 1;
                node.write(rounds)
            })
        });
        let read = scope.spawn(move || repeat(is_over, || node.read()));
        thread::sleep(PAUSE * 20);
        let started = Instant::now();
        let done = deed();
        let waited = done.and_then(|()| node.wait_still(started));
        is_over.store(true, Ordering::Relaxed);
        let (writes, reads) = (joined(write)?, joined(read)?);
        waited.map(|()| (writes, reads, started))
    })
}

fn repeat(is_over: &AtomicBool, mut ask: impl FnMut() -> bool) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let is_good = ask();
        answers.push(Answer { at: Instant::now(), is_good });
        thread::sleep(PAUSE);
    }
    ensure!(answers.iter().any(|answer| answer.is_good), "there was no good answer");
    Ok(answers)
}

/// A node that is asked.
struct Probed {
    http: std::net::SocketAddr,
    last_bad: std::sync::Mutex<Instant>,
}

impl Probed {
    fn of(node: &Service) -> anyhow::Result<Self> {
        Ok(Self { http: node.address("http")?, last_bad: std::sync::Mutex::new(Instant::now()) })
    }

    fn note(&self, is_good: bool) -> bool {
        if !is_good {
            *self.last_bad.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
        }
        is_good
    }

    /// Reports vehicles of all shards. Good when all were stored.
    fn write(&self, round: u64) -> bool {
        let reports = (0..PROBED).map(|number| {
            json!({"ID": format!("probe-{number}"), "Lat": 1.0, "Lon": number, "Seq": now_seq() + round})
        });
        let body = json!(reports.collect::<Vec<_>>()).to_string();
        let stored = format!("\"stored\":{PROBED}");
        let answered = Https::connect(self.http).and_then(|mut https| {
            let (status, body) = https.post("/api/v1/positions", "application/json", body.as_bytes())?;
            Ok(status == 200 && String::from_utf8_lossy(&body[..body.len().min(256)]).contains(&stored))
        });
        self.note(answered.unwrap_or(false))
    }

    /// Asks all shards. Good when none is missing.
    fn read(&self) -> bool {
        let answered = Https::connect(self.http).and_then(|mut https| {
            let (status, body) = https.get("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1")?;
            Ok(status == 200 && !String::from_utf8_lossy(body).contains("\"partial\""))
        });
        self.note(answered.unwrap_or(false))
    }

    fn wait_still(&self, since: Instant) -> anyhow::Result<()> {
        loop {
            thread::sleep(PAUSE);
            let last_bad = *self.last_bad.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last_bad.max(since).elapsed() >= STILL {
                return Ok(());
            }
            if since.elapsed() >= OVER_WITHIN {
                bail!("answers were still bad {} s after the death", OVER_WITHIN.as_secs());
            }
        }
    }
}

/// A number that is higher with each millisecond, also in the next run.
fn now_seq() -> u64 {
    crate::load::now_ms().unsigned_abs() << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silence_is_the_longest_time_without_a_good_answer() {
        let from = Instant::now();
        let answer = |after_ms, is_good| Answer { at: from + Duration::from_millis(after_ms), is_good };
        let answers = [answer(10, true), answer(500, false), answer(900, true), answer(1_000, true)];
        assert!((silence_s(from, &answers) - 0.89).abs() < 1e-9);
        assert_eq!(silence_s(from, &[]), 0.0);
        assert!((silence_s(from + Duration::from_millis(20), &answers[..3]) - 0.88).abs() < 1e-9);
    }
}
