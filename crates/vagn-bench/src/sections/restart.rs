//! The time from the start of the process until it is ready, after each way of ending it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use vagn_load::Fleet;
use vagn_load::balance::Balance;
use vagn_load::pace::Rate;

use crate::bench::Bench;
use crate::load;
use crate::section::{Bound, Section};
use crate::service::{Plan, Service};
use crate::stats::{Spread, time};

/// Least number of reports after which a snapshot is due, the same as in `vagn-store`.
const SNAPSHOT_RECORDS: u64 = 250_000;

/// Longest wait for a snapshot.
const SNAPSHOT_WITHIN: Duration = Duration::from_secs(120);

/// Rate at which the log is filled, in reports per second; at this rate no report is lost.
const FILL_RATE: f64 = 400_000.0;

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(
        "From the start of the process until it prints `ready`: every vehicle is back in the index and all doors are open. \
         A snapshot is due when the log since the last one has twice as many records as there are vehicles. The worst moment to be \
         killed is just before the next one: here with 95 % of those records written. The files are in the page cache, as after a \
         crash of the process and not of the machine.",
    );
    section.heads(&["vehicles", "ended by", "ready after", "log to read, MB", "snapshot, MB"]);
    for (vehicles, limit_s) in bench.pick([(1_000_000, 0.8), (10_000_000, 6.0)].as_slice(), &[(100_000, 0.8)])
    {
        let mut fleet = load::fleet(*vehicles);
        let mut worst: f64 = 0.0;
        let mut measured = |section: &mut Section, how: &str, plan: Plan| -> anyhow::Result<Service> {
            let log = newest_log_bytes(&plan.data_dir)?;
            let snapshot = snapshots(&plan.data_dir)?.last().map_or(0, |(_, bytes)| *bytes);
            bench.progress(format!("restart: {vehicles} vehicles, {how}"));
            let (took, service) = again(bench, plan, *vehicles)?;
            worst = worst.max(took.median);
            section.row([
                json!(vehicles),
                json!(how),
                json!(took.show(time)),
                json!(megabytes(log)),
                json!(megabytes(snapshot)),
            ]);
            Ok(service)
        };
        let service = Service::start(bench.fresh())?;
        load::warm(&service, &mut fleet, *vehicles)?;
        let service = measured(section, "SIGTERM", service.stop()?)?;
        let service = measured(section, "SIGKILL", service.kill())?;
        fill_to_the_worst(&service, &mut fleet, *vehicles)?;
        measured(section, "SIGKILL at the worst moment", service.kill())?;
        if *vehicles >= 1_000_000 {
            let what = format!("Restart with {} M vehicles, at worst", vehicles / 1_000_000);
            section.aim(what, Bound::AtMost(*limit_s), worst, time);
        }
    }
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / 1e6)
}

/// Starts it again and again over the same data. It is killed in between, so that it finds the same files each time.
fn again(bench: &Bench, plan: Plan, vehicles: u32) -> anyhow::Result<(Spread, Service)> {
    let mut took = Vec::new();
    let mut service = Service::start(plan)?;
    took.push(service.ready_after.as_secs_f64());
    let known = service.vehicles()?;
    ensure!(known == u64::from(vehicles), "{known} vehicles of {vehicles} are back");
    for _ in 1..if vehicles > 1_000_000 { 2 } else { bench.repetitions() } {
        service = Service::start(service.kill())?;
        took.push(service.ready_after.as_secs_f64());
    }
    Ok((Spread::of(took), service))
}

/// Writes until a snapshot has been made, and then until shortly before the next one.
fn fill_to_the_worst(service: &Service, fleet: &mut Fleet, vehicles: u32) -> anyhow::Result<()> {
    let due = SNAPSHOT_RECORDS.max(2 * u64::from(vehicles));
    let had = snapshots(service.data_dir())?.last().map(|(name, _)| name.clone());
    let started = Instant::now();
    loop {
        let newest = snapshots(service.data_dir())?.last().map(|(name, _)| name.clone());
        if newest != had {
            break;
        }
        ensure!(started.elapsed() < SNAPSHOT_WITHIN, "no snapshot was made");
        send(service, fleet, due / 20)?;
    }
    let position = snapshots(service.data_dir())?.last().and_then(|(name, _)| name.parse::<u64>().ok());
    let written =
        log_end(service.data_dir())?.saturating_sub(position.context("a snapshot's name is a number")?);
    send(service, fleet, (due * 95 / 100).saturating_sub(written))
}

fn send(service: &Service, fleet: &mut Fleet, count: u64) -> anyhow::Result<()> {
    let before = service.counts()?;
    let seconds = count as f64 / FILL_RATE;
    let rate = Rate::PerSecond(FILL_RATE);
    let ((), sent) = load::while_sending(fleet, service.address("udp")?, rate, true, || {
        std::thread::sleep(Duration::from_secs_f64(seconds));
        Ok(())
    })?;
    Balance::draw(service.ops(), &before, sent.tally.reports, Duration::from_secs(20))?;
    Ok(())
}

/// Lists names without extension and sizes of the files of the first partition, oldest first.
fn files(data_dir: &Path, extension: &str) -> anyhow::Result<Vec<(String, u64)>> {
    let dir = data_dir.join("fleet-1/0");
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|each| each == extension) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, entry.metadata().map_or(0, |metadata| metadata.len())));
        }
    }
    found.sort();
    Ok(found)
}

fn snapshots(data_dir: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    files(data_dir, "snap")
}

/// Size of the segments from the newest snapshot on, in bytes.
fn newest_log_bytes(data_dir: &Path) -> anyhow::Result<u64> {
    let from = snapshots(data_dir)?.pop().map_or(String::new(), |(name, _)| name);
    let segments = files(data_dir, "log")?;
    Ok(segments.iter().filter(|(name, _)| *name >= from).map(|(_, bytes)| bytes).sum())
}

/// Number of the record after the last one. Approximate, because a segment may be preallocated.
fn log_end(data_dir: &Path) -> anyhow::Result<u64> {
    let Some((name, bytes)) = files(data_dir, "log")?.pop() else { return Ok(0) };
    let first = name.split('-').next().unwrap_or_default();
    let first: u64 = first.parse().context("a segment's name begins with the index of its first record")?;
    Ok(first + (bytes / 80).saturating_sub(1))
}
