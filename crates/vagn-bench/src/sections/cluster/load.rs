//! Reporters, and those who wait for single answers beside them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use vagn_load::Fleet;
use vagn_load::pace::Rate;
use vagn_load::tcp::{self, TcpSettings};
use vagn_load::udp::Watch;

use crate::https::Https;
use crate::load::joined;
use crate::service::Service;

/// Reports that a reporter has without an answer.
const WINDOW: usize = 16 * 1024;

/// Longest wait for an answer: a report whose fate does not come fails after 5 s, and elections take up to 9 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Pause between two questions, and between two single reports.
const PAUSE: Duration = Duration::from_millis(2);

/// What became of a load.
#[derive(Debug, Clone, Default)]
pub(super) struct Done {
    /// Reports that were answered as stored, until the last answer.
    pub(super) stored: u64,
    /// Reports with another answer, or none.
    pub(super) others: u64,
    pub(super) seconds: f64,
    /// Seconds from a single report to its answer.
    pub(super) acks_s: Vec<f64>,
    /// Seconds from a question for the nearest vehicles to its answer.
    pub(super) asks_s: Vec<f64>,
}

impl Done {
    pub(super) fn per_s(&self) -> f64 {
        self.stored as f64 / self.seconds
    }
}

/// Those who report and ask.
pub(super) struct People<'a> {
    /// One connection for each fleet, to the doors in turn.
    pub(super) doors: Vec<&'a Service>,
    pub(super) fleets: &'a mut [Fleet],
    /// One that reports and waits, each time; it has vehicles of its own.
    pub(super) single: &'a mut Fleet,
    /// Answers questions about these places.
    pub(super) asked: &'a Service,
    pub(super) places: &'a [(f64, f64)],
}

impl People<'_> {
    /// Reports at this rate in all, or does not where it is `None`, for so long; meanwhile single reports and questions go and come.
    pub(super) fn run(&mut self, rate: Option<Rate>, seconds: f64) -> anyhow::Result<Done> {
        let Self { doors, fleets, single, asked, places } = self;
        let first = doors.first().context("no node takes reports")?;
        let limit = Duration::from_secs_f64(seconds);
        let started = Instant::now();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let shared = rate.map(|rate| share(rate, fleets.len()));
            let reporters: Vec<_> = match shared {
                None => Vec::new(),
                Some(rate) => fleets
                    .iter_mut()
                    .zip(doors.iter().cycle())
                    .map(|(fleet, door)| scope.spawn(move || report(door, fleet, rate, WINDOW, limit)))
                    .collect(),
            };
            let waits = scope.spawn(|| one_by_one(first, single, limit));
            let asks = scope.spawn(|| ask(asked, places, &is_over));
            // All of them have ended before any error is told: who asks does so until it is over.
            let reported: Vec<_> = reporters.into_iter().map(joined).collect();
            let seconds = started.elapsed().as_secs_f64();
            let waited = joined(waits);
            is_over.store(true, Ordering::Relaxed);
            let asks_s = joined(asks)?;
            let mut done = Done { seconds, acks_s: waited?.2, asks_s, ..Done::default() };
            for answers in reported {
                let (stored, others, _) = answers?;
                done.stored += stored;
                done.others += others;
            }
            Ok(done)
        })
    }
}

fn share(rate: Rate, parts: usize) -> Rate {
    match rate {
        Rate::PerSecond(rate) => Rate::PerSecond(rate / parts as f64),
        Rate::Max => Rate::Max,
    }
}

/// Lets every vehicle of these fleets report once, and waits for all answers.
pub(super) fn warm(doors: &[&Service], fleets: &mut [Fleet], each: u64) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let reporters = fleets.iter_mut().zip(doors.iter().cycle()).map(|(fleet, door)| {
            scope.spawn(move || {
                fleet.go_on(Rate::Max, Some(each), None);
                send(door, fleet, WINDOW)
            })
        });
        let reporters: Vec<_> = reporters.collect();
        for reporter in reporters {
            let (stored, others, _) = joined(reporter)?;
            ensure!(others == 0, "{others} reports were not stored, {stored} were");
        }
        Ok(())
    })
}

/// Stored reports, others, and the seconds from one answer to the next.
type Answers = (u64, u64, Vec<f64>);

pub(super) fn report(
    door: &Service,
    fleet: &mut Fleet,
    rate: Rate,
    window: usize,
    limit: Duration,
) -> anyhow::Result<Answers> {
    fleet.go_on(rate, None, Some(limit));
    send(door, fleet, window)
}

/// Sends a report once the one before is answered; the seconds are those to the answers then.
fn one_by_one(door: &Service, fleet: &mut Fleet, limit: Duration) -> anyhow::Result<Answers> {
    let (stored, others, mut waits_s) = report(door, fleet, Rate::Max, 1, limit)?;
    // The first includes the handshake.
    waits_s.drain(..waits_s.len().min(1));
    Ok((stored, others, waits_s))
}

fn send(door: &Service, fleet: &mut Fleet, window: usize) -> anyhow::Result<Answers> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    let target = door.address("tcp")?.to_string().parse().context("read the target")?;
    let settings = TcpSettings { window, answer_within: ANSWER_WITHIN, ..TcpSettings::default() };
    let stop = AtomicBool::new(false);
    let mut watch = Watch { stop: &stop, progress: &mut |_| {} };
    let (mut waits_s, mut last) = (Vec::new(), Instant::now());
    let outcome = runtime.block_on(tcp::send_all(fleet, &target, &settings, &mut watch, &mut |_| {
        if window == 1 {
            let now = Instant::now();
            waits_s.push((now - last).as_secs_f64());
            last = now;
        }
    }))?;
    if let Some(broken) = outcome.broken {
        return Err(broken.into());
    }
    let stored = outcome.fates.get("stored").copied().unwrap_or(0);
    Ok((stored, outcome.sent.tally.reports - stored, waits_s))
}

/// Asks for the nearest vehicles, one question after the other, until it is over.
fn ask(node: &Service, places: &[(f64, f64)], is_over: &AtomicBool) -> anyhow::Result<Vec<f64>> {
    let mut https = Https::connect(node.address("http")?)?;
    let mut took_s = Vec::new();
    for (lat, lon) in places.iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let (status, body) = https.get(&format!("/?lat={lat}&lon={lon}"))?;
        ensure!(status == 200, "a question was answered {status}: {}", String::from_utf8_lossy(body));
        took_s.push(asked.elapsed().as_secs_f64());
        thread::sleep(PAUSE);
    }
    Ok(took_s)
}
