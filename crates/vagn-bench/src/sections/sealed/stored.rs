//! What a service stores of reports in clear and of sealed ones, sent as fast as one core can.

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;
use vagn_load::fleet::Fleet;
use vagn_load::pace::Rate;
use vagn_load::source::{Next, Source};
use vagn_load::trace::TraceError;
use vagn_seal::{Epoch, KeyId, Lane, Secret, SenderKey};

use crate::bench::Bench;
use crate::load::{self, Load, Outcome};
use crate::section::{Section, Table};
use crate::service::{Plan, Service};
use crate::stats::{Spread, percent, ratio, short};

/// Vehicles, each with a key.
const VEHICLES: u32 = 10_000;

/// More reports per second than one core sends.
const FASTER_THAN_ANY: f64 = 4e6;

/// Reports that were made beforehand.
struct Ready {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    next: usize,
}

impl Source for Ready {
    fn next(&mut self, _: Duration, out: &mut Vec<u8>) -> Result<Next, TraceError> {
        let Some(end) = self.ends.get(self.next) else { return Ok(Next::End) };
        let start = self.next.checked_sub(1).map_or(0, |before| self.ends[before]);
        out.extend_from_slice(&self.bytes[start..*end]);
        self.next += 1;
        Ok(Next::Report { emergency: false })
    }

    fn total(&self) -> Option<u64> {
        Some(self.ends.len() as u64)
    }
}

/// A fleet whose vehicles have keys.
struct Sealing {
    fleet: Fleet,
    keys: Vec<SenderKey>,
    /// Time that the fleet takes for its start.
    start_ms: i64,
    sequence: u64,
}

/// Measures both, adds a table to the section, and gives the ratio.
pub(super) fn measure(bench: &Bench, section: &mut Section) -> anyhow::Result<f64> {
    let plan = bench.fresh().with("AUTH_DEVICES", "open");
    let mut sealing = Sealing::registered(&plan)?;
    let service = Service::start(plan)?;
    load::warm(&service, &mut sealing.fleet, VEHICLES)?;
    let seconds = bench.pick(1.5, 0.5);
    let (mut clear, mut sealed) = (Vec::new(), Vec::new());
    for round in 0..bench.repetitions() {
        for (is_sealed, outcomes) in [(false, &mut clear), (true, &mut sealed)] {
            bench.progress(format!("sealed: {} {round}", if is_sealed { "sealed" } else { "clear" }));
            let mut ready = sealing.ready((seconds * FASTER_THAN_ANY) as usize, is_sealed)?;
            let load = Load { rate: Rate::Max, seconds, segments: true };
            let outcome = load::measure_source(&service, &mut ready, load)?;
            ensure!(ready.next < ready.ends.len(), "the reports were used up before the time was");
            outcomes.push(outcome);
        }
    }
    section.tables.push(Table {
        title: "Stored beside reports in clear".to_owned(),
        columns: ["sent", "sent/s", "stored/s", "lost", "CPU"].map(str::to_owned).into(),
        rows: vec![row("in clear", &clear), row("sealed", &sealed)],
    });
    Ok(stored(&sealed).median / stored(&clear).median)
}

fn stored(outcomes: &[Outcome]) -> Spread {
    Spread::of(outcomes.iter().map(|outcome| outcome.stored_per_s))
}

fn row(name: &str, outcomes: &[Outcome]) -> Vec<serde_json::Value> {
    let of = |value: fn(&Outcome) -> f64| Spread::of(outcomes.iter().map(value)).median;
    vec![
        json!(name),
        json!(short(of(|outcome| outcome.sent_per_s))),
        json!(stored(outcomes).show(short)),
        json!(percent(of(|outcome| outcome.lost))),
        json!(ratio(of(|outcome| outcome.cpu))),
    ]
}

impl Sealing {
    /// Makes a fleet, and registers a key for each of its vehicles in the data directory of a service that does not run yet.
    fn registered(plan: &Plan) -> anyhow::Result<Self> {
        let start_ms = load::now_ms();
        let fleet = load::timed_fleet(VEHICLES, start_ms);
        let mut chance = fastrand::Rng::with_seed(1);
        let mut file = tempfile::NamedTempFile::new().context("make a file for the keys")?;
        writeln!(file, "vehicle_id,key_id,secret")?;
        let mut keys = Vec::new();
        for id in fleet.ids() {
            let key_id = KeyId(chance.u64(..).to_be_bytes());
            let secret = Secret(std::array::from_fn(|_| chance.u8(..)));
            writeln!(file, "{id},{key_id},{}", secret.to_base64())?;
            keys.push(SenderKey::new(key_id, Epoch::FIRST, &secret));
        }
        let mut import = Command::new(&plan.vagn);
        import.args(["device", "import"]).arg(file.path()).arg("--data-dir").arg(&plan.data_dir);
        let imported = import.output().context("run `vagn device import`")?;
        ensure!(
            imported.status.success(),
            "vagn device import: {}",
            String::from_utf8_lossy(&imported.stderr)
        );
        Ok(Self { fleet, keys, start_ms, sequence: 0 })
    }

    /// Makes so many reports, whose times are those from now on, in the turn of the vehicles.
    fn ready(&mut self, count: usize, sealed: bool) -> anyhow::Result<Ready> {
        let rounds = count / self.keys.len();
        let count = rounds * self.keys.len();
        let now_ms = load::now_ms();
        let since_start = Duration::from_millis((now_ms - self.start_ms).unsigned_abs());
        self.fleet.go_on(Rate::Max, None, None);
        let mut ready =
            Ready { bytes: Vec::with_capacity(count * 128), ends: Vec::with_capacity(count), next: 0 };
        let mut report = Vec::new();
        self.sequence = self.sequence.max(now_ms.unsigned_abs());
        for number in 0..count {
            let elapsed = since_start + Duration::from_secs_f64(number as f64 / FASTER_THAN_ANY);
            report.clear();
            ensure!(matches!(self.fleet.next(elapsed, &mut report)?, Next::Report { .. }), "the fleet ended");
            if sealed {
                let turn = number % self.keys.len();
                let sequence = self.sequence + 1 + (number / self.keys.len()) as u64;
                self.keys[turn].seal(sequence, &report, Lane::Ordinary, &mut ready.bytes);
            } else {
                ready.bytes.extend_from_slice(&report);
            }
            ready.ends.push(ready.bytes.len());
        }
        self.sequence += rounds as u64;
        Ok(ready)
    }
}
