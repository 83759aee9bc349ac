//! The effect of partitions and cores.

use serde_json::json;
use vagn_load::pace::Rate;

use crate::ask::Questions;
use crate::bench::Bench;
use crate::load::{self, Load};
use crate::section::{Axis, Plot, Section, Series};
use crate::stats::{Spread, percent, short, time};

/// Number of places that questions are about.
const PLACES: u64 = 4096;

/// Number of connections that ask.
const ASKERS: u32 = 16;

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "The fleet of {} vehicles in P partitions, each with its own writer, log and index; a question goes to all of them. On one \
         core partitions only have a cost; their use shows on more cores. *2 cores* has the service on both cores of this \
         machine, **one of which it shares with the sender and the asker**, and with as many ingest workers as cores.",
        bench.fleet_size()
    ));
    section.heads(&[
        "partitions",
        "cores",
        "stored/s, flat out",
        "lost",
        "CPU",
        "nearby answers/s",
        "p50",
        "p99",
    ]);
    let mut points: Vec<(&str, u32, f64, f64)> = Vec::new();
    for (cores, name, workers) in [("0", "1", 1), ("0,1", "2", 2)] {
        for partitions in bench.pick([1, 2, 4, 8].as_slice(), &[1, 4]) {
            bench.progress(format!("scaling: {partitions} partitions, {name} cores"));
            let mut plan = bench.fresh().with("PARTITIONS", partitions).with("POOLS_INGEST_WORKERS", workers);
            plan.cores = cores.to_owned();
            let (service, mut fleet) = load::warmed(plan, bench.vehicles())?;
            let load = Load { rate: Rate::Max, seconds: bench.pick(2.0, 1.0), segments: true };
            let runs = (0..bench.pick(2, 1))
                .map(|_| load::measure(&service, &mut fleet, load))
                .collect::<Result<Vec<_>, _>>()?;
            let stored = Spread::of(runs.iter().map(|run| run.stored_per_s));
            let [lost, cpu] =
                [Spread::of(runs.iter().map(|run| run.lost)), Spread::of(runs.iter().map(|run| run.cpu))];
            let places = load::places(&mut fleet, PLACES)?;
            let questions = Questions::nearest(&bench.scratch, service.address("http")?, &places)?;
            let asked = questions.http1(ASKERS, bench.pick(2, 1))?;
            section.row([
                json!(partitions),
                json!(name),
                json!(stored.show(short)),
                json!(percent(lost.median)),
                json!(percent(cpu.median)),
                json!(short(asked.per_s)),
                json!(time(asked.p50_s)),
                json!(time(asked.p99_s)),
            ]);
            points.push((name, *partitions, stored.median, asked.per_s));
        }
    }
    section.plots = plots(&points);
    section.command("VAGN_PARTITIONS=4 taskset -c 0,1 vagn serve --data-dir /var/tmp/vagn-bench &");
    Ok(())
}

fn plots(points: &[(&'static str, u32, f64, f64)]) -> Vec<Plot> {
    type Point = (&'static str, u32, f64, f64);
    let plot = |title: &str, label: &str, value: fn(&Point) -> f64| Plot {
        title: title.to_owned(),
        x: Axis { label: "partitions".to_owned(), log: true },
        y: Axis { label: label.to_owned(), log: false },
        series: ["1", "2"]
            .map(|cores| Series {
                name: if cores == "1" { "1 core".to_owned() } else { "2 cores, one shared".to_owned() },
                points: points
                    .iter()
                    .filter(|point| point.0 == cores)
                    .map(|point| [f64::from(point.1), value(point)])
                    .collect(),
            })
            .into(),
    };
    vec![
        plot("Stored, flat out", "stored/s", |point| point.2),
        plot("Nearest vehicles over HTTPS, 16 connections", "answers/s", |point| point.3),
    ]
}
