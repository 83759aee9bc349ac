//! Writes that are answered: over TCP with TLS, report by report, and over HTTPS, batch by batch.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use vagn_load::Fleet;
use vagn_load::fleet::{Extras, FleetSettings};
use vagn_load::pace::Rate;
use vagn_load::source::Batch;
use vagn_load::tcp::{self, TcpSettings};
use vagn_load::udp::Watch;

use crate::bench::Bench;
use crate::https::Https;
use crate::load::{joined, warm};
use crate::section::Section;
use crate::service::Service;
use crate::stats::{Spread, percentile, short, time};

/// Reports in one POST.
const POST_REPORTS: usize = 1000;

/// Reports acknowledged as stored in one repetition.
#[derive(Debug, Clone)]
pub(super) struct Acked {
    /// Rate per second, until the last answer.
    pub(super) per_s: f64,
    /// Seconds from one answer to the next, if one waits for the other.
    waits_s: Vec<f64>,
}

/// Way in which reports are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Writing {
    /// Over TCP, with this number of reports on the way at a time.
    Tcp(usize),
    /// Over HTTPS, a batch of msgpack per request.
    Msgpack,
    /// Over HTTPS, a batch of JSON per request.
    Json,
}

/// Ways of writing on one connection, their names, and the number of reports on the way at a time.
const ONE: [(Writing, &str, &str); 3] = [
    (Writing::Tcp(1), "TCP", "1"),
    (Writing::Tcp(16 * 1024), "TCP", "16 k"),
    (Writing::Msgpack, "POST, msgpack", "1 × 1 000"),
];

/// The same on four connections.
const FOUR: [(Writing, &str, &str); 3] = [
    (Writing::Tcp(16 * 1024), "TCP", "4 × 16 k"),
    (Writing::Msgpack, "POST, msgpack", "4 × 1 000"),
    (Writing::Json, "POST, JSON", "4 × 1 000"),
];

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "Over TCP every report that carries `Seq` is answered with its fate; over HTTPS the answer to a POST of \
         {POST_REPORTS} reports names the fate of each. `stored` means written to the log, and with `fsync = \"always\"` synced to disk, \
         before the answer. The fleet has {} vehicles. Encryption costs both sides; the sender shares its core among all \
         connections. The wait is from one answer to the next where a connection has one report, or one POST, on the way at a time.",
        bench.fleet_size()
    ));
    section.heads(&[
        "way",
        "fsync",
        "connections",
        "on the way",
        "stored and answered/s",
        "wait p50",
        "wait p99",
    ]);
    for fsync in ["1s", "always"] {
        for (connections, ways) in [(1, ONE.as_slice()), (4, &FOUR)] {
            bench.progress(format!("ack: fsync = {fsync}, {connections} connections"));
            let service = Service::start(bench.fresh().with("FSYNC", fsync))?;
            let mut fleets = fleets(connections, bench.vehicles());
            known(&service, bench, &mut fleets)?;
            for (way, name, open) in ways {
                let runs: Vec<_> = (0..bench.repetitions())
                    .map(|_| measure(&service, &mut fleets, *way, bench.pick(2.0, 0.7)))
                    .collect::<Result<_, _>>()?;
                section.row(
                    [json!(name), json!(fsync), json!(connections), json!(open)]
                        .into_iter()
                        .chain(figures(*way, &runs)),
                );
            }
        }
    }
    section.command("# by hand, one connection:");
    section.command("VAGN_FSYNC=always taskset -c 0 vagn serve --data-dir /var/tmp/vagn-bench &");
    section.command("taskset -c 1 vagn simulate --over tcp --vehicles 1000000 --rate max --duration 10s");
    Ok(())
}

/// Cells of the rate, and of the waits if one answer waits for the other.
fn figures(way: Writing, runs: &[Acked]) -> [serde_json::Value; 3] {
    let per_s = Spread::of(runs.iter().map(|run| run.per_s)).show(short);
    let mut waits: Vec<f64> = runs.iter().flat_map(|run| run.waits_s.iter().copied()).collect();
    let [p50, p99] = [0.5, 0.99].map(|share| match way {
        Writing::Tcp(2..) => "–".to_owned(),
        _ => time(percentile(&mut waits, share)),
    });
    [json!(per_s), json!(p50), json!(p99)]
}

/// Makes one fleet for each connection, so that no two send for the same vehicle.
pub(super) fn fleets(connections: u32, vehicles: u32) -> Vec<Fleet> {
    // Each run counts from a higher number: to the service an equal `Seq` is the same report.
    let seq_from = Some(jiff::Timestamp::now().as_millisecond().unsigned_abs() << 20);
    let settings = FleetSettings {
        vehicles: vehicles / connections,
        rate: Rate::Max,
        count: Some(0),
        duration: None,
        emergency_ratio: 0.0,
        seed: 100 + 10 * u64::from(connections),
        extras: Extras { seq_from, ..Extras::default() },
    };
    let seeds = (0..u64::from(connections)).map(|number| settings.seed + number);
    seeds.map(|seed| Fleet::new(FleetSettings { seed, ..settings.clone() })).collect()
}

/// Makes all vehicles known to the service.
fn known(service: &Service, bench: &Bench, fleets: &mut [Fleet]) -> anyhow::Result<()> {
    let each = bench.vehicles() / fleets.len() as u32;
    fleets.iter_mut().try_for_each(|fleet| warm(service, fleet, each))
}

/// Sends as fast as answers come, on one connection for each fleet.
pub(super) fn measure(
    service: &Service,
    fleets: &mut [Fleet],
    way: Writing,
    seconds: f64,
) -> anyhow::Result<Acked> {
    let started = Instant::now();
    let limit = Duration::from_secs_f64(seconds);
    let acked = thread::scope(|scope| {
        let threads: Vec<_> = fleets
            .iter_mut()
            .map(|fleet| {
                scope.spawn(move || match way {
                    Writing::Tcp(window) => over_tcp(service, fleet, window, limit),
                    Writing::Msgpack | Writing::Json => by_post(service, fleet, way, limit),
                })
            })
            .collect();
        threads.into_iter().map(joined).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let stored: u64 = acked.iter().map(|(stored, _)| stored).sum();
    let waits_s = acked.into_iter().flat_map(|(_, waits_s)| waits_s).collect();
    Ok(Acked { per_s: stored as f64 / started.elapsed().as_secs_f64(), waits_s })
}

fn over_tcp(
    service: &Service,
    fleet: &mut Fleet,
    window: usize,
    limit: Duration,
) -> anyhow::Result<(u64, Vec<f64>)> {
    fleet.go_on(Rate::Max, None, Some(limit));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    let target = service.address("tcp")?.to_string().parse().context("read the target")?;
    let settings = TcpSettings { window, ..TcpSettings::default() };
    let stop = AtomicBool::new(false);
    let mut watch = Watch { stop: &stop, progress: &mut |_| {} };
    let mut waits = Vec::new();
    let mut last = Instant::now();
    let outcome = runtime.block_on(tcp::send_all(fleet, &target, &settings, &mut watch, &mut |_| {
        let now = Instant::now();
        waits.push((now - last).as_secs_f64());
        last = now;
    }))?;
    if let Some(broken) = outcome.broken {
        return Err(broken.into());
    }
    // The first wait includes the handshake.
    waits.drain(..waits.len().min(1));
    Ok((outcome.fates.get("stored").copied().unwrap_or(0), waits))
}

fn by_post(
    service: &Service,
    fleet: &mut Fleet,
    way: Writing,
    limit: Duration,
) -> anyhow::Result<(u64, Vec<f64>)> {
    fleet.go_on(Rate::Max, None, None);
    let mut https = Https::connect(service.address("http")?)?;
    let mut batch = Batch::default();
    let mut stored = 0;
    let mut waits = Vec::new();
    let started = Instant::now();
    while started.elapsed() < limit {
        batch.fill(fleet, Duration::ZERO, POST_REPORTS)?;
        let text = if way == Writing::Json { as_json(&batch)? } else { String::new() };
        let asked = Instant::now();
        let (status, body) = match way {
            Writing::Json => https.post("/api/v1/positions", "application/json", text.as_bytes())?,
            _ => https.post("/api/v1/positions", "application/msgpack", batch.bytes())?,
        };
        ensure!(status == 200, "POST answered {status}: {}", String::from_utf8_lossy(body));
        stored += stored_in(body);
        waits.push(asked.elapsed().as_secs_f64());
    }
    Ok((stored, waits))
}

fn as_json(batch: &Batch) -> anyhow::Result<String> {
    let mut text = String::from("[");
    for (bytes, _) in batch.reports() {
        let report = vagn_wire::decode(bytes).ok().context("read our own report")?;
        let place = report.position.ok().context("a simulated vehicle has a position")?;
        let id = report.vehicle_id.as_str();
        let seq = report.seq.unwrap_or_default();
        let comma = if text.len() > 1 { "," } else { "" };
        text += &format!(
            "{comma}{{\"ID\":\"{id}\",\"Lat\":{},\"Lon\":{},\"Seq\":{seq}}}",
            place.lat(),
            place.lon()
        );
    }
    Ok(text + "]")
}

/// Reads the count in `"fates":{…"stored":1000…}`.
fn stored_in(body: &[u8]) -> u64 {
    let head = String::from_utf8_lossy(&body[..body.len().min(256)]);
    let digits = head.split("\"stored\":").nth(1).unwrap_or_default();
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_many_were_stored() {
        assert_eq!(
            stored_in(br#"{"received":10,"fates":{"duplicate":1,"stored":9},"reports":[{"fate":"stored"}]}"#),
            9
        );
        assert_eq!(stored_in(br#"{"received":1,"fates":{"invalid":1}}"#), 0);
    }

    #[test]
    fn writes_reports_as_json() {
        let mut fleet = fleets(1, 3).remove(0);
        fleet.go_on(Rate::Max, Some(3), None);
        let mut batch = Batch::default();
        batch.fill(&mut fleet, Duration::ZERO, 10).unwrap();
        let reports: Vec<serde_json::Value> = serde_json::from_str(&as_json(&batch).unwrap()).unwrap();
        assert_eq!(reports.len(), 3);
        assert!(
            reports.iter().all(|report| report["ID"].as_str().unwrap().len() == 36 && report["Lat"].is_f64())
        );
    }
}
