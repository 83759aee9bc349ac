//! What a report costs by part, how many are stored, and how long answers take meanwhile.

use serde_json::{Value, json};
use vagn_load::Fleet;
use vagn_load::pace::Rate;

use super::load::{Done, People, warm};
use super::rig::{Cpu, Layout, NODES, Rig, SHARDS};
use crate::bare_stream::{self, Messages};
use crate::bench::Bench;
use crate::load::places;
use crate::section::{Bound, Section};
use crate::sections::ack::fleets;
use crate::stats::{grouped, percentile, ratio, short, time};

/// Bytes of a report in an entry: kind, length and id of 36 bytes, arrival, length and payload with a position and a number.
const REPORT_BYTES: f64 = 1.0 + 1.0 + 36.0 + 8.0 + 2.0 + 26.0;

/// Bytes of an entry beside its reports.
const ENTRY_BYTES: f64 = 48.0;

/// Places that questions are about.
const PLACES: u64 = 1_024;

/// Vehicles of those who report one by one.
const SINGLES: u32 = 64;

/// Connections that report.
const REPORTERS: u32 = 3;

/// Reports per second of all reporters together; `None`: there are none.
type Asked = Option<Rate>;

const ASKED: [(Asked, &str); 4] = [
    (None, "none"),
    (Some(Rate::PerSecond(10_000.0)), "10 k"),
    (Some(Rate::PerSecond(100_000.0)), "100 k"),
    (Some(Rate::Max), "all that goes"),
];

pub(super) fn vehicles(bench: &Bench) -> u32 {
    bench.pick(1_000_000, 20_000)
}

/// Fleets of reporters, and places of their vehicles.
pub(super) struct Reporters {
    pub(super) fleets: Vec<Fleet>,
    pub(super) single: Fleet,
    places: Vec<(f64, f64)>,
}

impl Reporters {
    /// Makes them, and lets all their vehicles report.
    pub(super) fn known_to(rig: &Rig, bench: &Bench) -> anyhow::Result<Self> {
        let mut of = fleets(REPORTERS, vehicles(bench));
        let each = u64::from(vehicles(bench) / REPORTERS);
        warm(&rig.doors(), &mut of, each)?;
        let places = of.first_mut().map(|fleet| places(fleet, PLACES)).transpose()?.unwrap_or_default();
        let mut single = fleets(1, SINGLES);
        Ok(Self { fleets: of, single: single.remove(0), places })
    }

    /// Reports and asks for so long.
    pub(super) fn run(&mut self, rig: &Rig, asked: Asked, seconds: f64) -> anyhow::Result<Done> {
        let Self { fleets, single, places } = self;
        let mut people = People { doors: rig.doors(), fleets, single, asked: rig.node(0)?, places };
        people.run(asked, seconds)
    }
}

/// A load, and what it cost.
pub(super) struct Measured {
    pub(super) done: Done,
    cpu: Cpu,
    /// Messages that brought reports.
    messages: f64,
}

impl Measured {
    /// Measures a load.
    pub(super) fn of(
        rig: &mut Rig,
        reporters: &mut Reporters,
        asked: Asked,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let (entries, before) = (rig.entries()?, rig.cpu()?);
        let done = reporters.run(rig, asked, seconds)?;
        let after = rig.cpu()?;
        let new: u64 =
            rig.entries()?.iter().zip(&entries).map(|(now, before)| now.saturating_sub(*before)).sum();
        // Each shard has a tick each second.
        let messages = (new as f64 - SHARDS as f64 * done.seconds).max(0.0);
        let nodes_s =
            after.nodes_s.iter().zip(&before.nodes_s).map(|(after, before)| after - before).collect();
        let cpu = Cpu { brokers_s: after.brokers_s - before.brokers_s, nodes_s };
        Ok(Self { done, cpu, messages })
    }

    fn is_loaded(&self) -> bool {
        self.done.stored > 0
    }

    /// Nanoseconds for each report.
    fn ns(&self, seconds: f64) -> f64 {
        if self.is_loaded() { seconds / self.done.stored as f64 * 1e9 } else { f64::NAN }
    }

    pub(super) fn brokers_ns(&self) -> f64 {
        self.ns(self.cpu.brokers_s)
    }

    fn nodes_ns(&self, nodes: std::ops::Range<usize>) -> f64 {
        self.ns(self.cpu.nodes_s[nodes].iter().sum())
    }

    fn reports_per_message(&self) -> f64 {
        if self.is_loaded() { self.done.stored as f64 / self.messages.max(1.0) } else { f64::NAN }
    }

    pub(super) fn ack_s(&self, share: f64) -> f64 {
        percentile(&mut self.done.acks_s.clone(), share)
    }

    fn ask_s(&self, share: f64) -> f64 {
        percentile(&mut self.done.asks_s.clone(), share)
    }

    fn cells(&self, layout: Layout) -> Vec<Value> {
        let ns = |value: f64| json!(if value.is_finite() { grouped(value) } else { "–".to_owned() });
        let (door, stores) = match layout {
            Layout::Alike => (f64::NAN, self.nodes_ns(0..NODES)),
            Layout::ByPart => (self.nodes_ns(0..1), self.nodes_ns(1..NODES)),
        };
        vec![
            json!(if self.is_loaded() { short(self.done.per_s()) } else { "–".to_owned() }),
            json!(grouped(self.done.others as f64)),
            ns(door),
            ns(self.brokers_ns()),
            ns(stores),
            ns(self.reports_per_message()),
            json!(time(self.ack_s(0.5))),
            json!(time(self.ack_s(0.99))),
            json!(time(self.ask_s(0.5))),
            json!(time(self.ask_s(0.99))),
        ]
    }
}

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.heads(&[
        "nodes",
        "asked for/s",
        "stored/s",
        "not stored",
        "door, ns",
        "brokers, ns",
        "stores, ns",
        "reports per message",
        "answer p50",
        "p99",
        "nearby p50",
        "p99",
    ]);
    for (layout, name) in [(Layout::Alike, "alike"), (Layout::ByPart, "by part")] {
        let mut rig = Rig::start(bench, &bench.scratch.join("cluster"), layout, "always")?;
        let mut reporters = Reporters::known_to(&rig, bench)?;
        for (asked, rate) in ASKED {
            bench.progress(format!("cluster: nodes {name}, {rate}"));
            let measured = Measured::of(&mut rig, &mut reporters, asked, bench.pick(8.0, 2.0))?;
            let cells = measured.cells(layout);
            section.row([json!(name), json!(rate)].into_iter().chain(cells));
            if layout == Layout::Alike {
                aims(bench, section, &rig, asked, &measured)?;
            }
        }
    }
    section.say(
        "In the row *alike*, *stores* is all that the three nodes use, doors included. The bare sender publishes messages as large as those \
         of this run to eight streams of the same brokers, two of each connection and stream under way; its messages count as many reports.",
    );
    Ok(())
}

fn aims(
    bench: &Bench,
    section: &mut Section,
    rig: &Rig,
    asked: Asked,
    measured: &Measured,
) -> anyhow::Result<()> {
    match asked {
        None => section.aim(
            "Nearby over a cluster without load, p99",
            Bound::AtMost(0.005),
            measured.ask_s(0.99),
            time,
        ),
        Some(Rate::PerSecond(rate)) if rate >= 100_000.0 => {
            section.aim(
                "Nearby over a cluster with 100 k/s, p99",
                Bound::AtMost(0.010),
                measured.ask_s(0.99),
                time,
            );
        }
        Some(Rate::PerSecond(_)) => {}
        Some(Rate::Max) => {
            let per_s = measured.done.per_s();
            section.aim("Stored/s of a cluster on two cores", Bound::AtLeast(300_000.0), per_s, short);
            bench.progress("cluster: bare sender to the same brokers");
            let reports = measured.reports_per_message();
            let bare = bare_stream::measure(&Messages {
                nats: rig.brokers.list().split(',').map(str::to_owned).collect(),
                streams: SHARDS,
                bytes: (ENTRY_BYTES + REPORT_BYTES * reports) as usize,
                seconds: bench.pick(8.0, 2.0),
            })?;
            let bare_per_s = bare * reports;
            section.aim(
                "Stored/s of a cluster, of what a bare sender of the same messages gets stored",
                Bound::AtLeast(0.5),
                per_s / bare_per_s,
                ratio,
            );
            section.say(format!(
                "A bare sender gets {} messages/s of {} reports stored, which would be {} reports/s. Brokers: nats-server {}.",
                short(bare),
                grouped(reports),
                short(bare_per_s),
                rig.brokers.version
            ));
        }
    }
    Ok(())
}
