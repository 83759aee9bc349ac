//! The nearest vehicles over HTTPS, idle and while positions come in.

use serde_json::json;
use vagn_load::Fleet;
use vagn_load::pace::Rate;

use crate::ask::{Asked, Questions};
use crate::bench::Bench;
use crate::load;
use crate::section::{Axis, Bound, Plot, Section, Series};
use crate::service::Service;
use crate::stats::{Spread, grouped, short, time};

/// Number of places that questions are about.
const PLACES: u64 = 8192;

/// Rates of positions that come in meanwhile.
const INGEST: [(&str, Option<Rate>); 4] = [
    ("nothing", None),
    ("5 k/s", Some(Rate::PerSecond(5e3))),
    ("100 k/s", Some(Rate::PerSecond(100e3))),
    ("flat out", Some(Rate::Max)),
];

/// Ways of asking: HTTP version, connections, questions at a time on each.
const WAYS: [(u32, u32, u32); 7] =
    [(1, 1, 1), (1, 16, 1), (1, 64, 1), (2, 1, 1), (2, 16, 1), (2, 64, 1), (2, 1, 64)];

/// Repetitions of one cell of the table.
struct Cell {
    ingest: &'static str,
    way: (u32, u32, u32),
    asked: Vec<Asked>,
    sent_per_s: f64,
}

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "`GET /?lat=…&lon=…` over TLS: the ten nearest of {} vehicles, around {PLACES} places where vehicles are; connections \
         are kept alive. HTTP/1.1 by `wrk`, HTTP/2 by `h2load`. Both share their core with the sender of positions, so that *flat \
         out* slows the asking side as much as the answering side, and a large part of a latency belongs to the asking side.",
        bench.fleet_size()
    ));
    section.heads(&[
        "coming in",
        "HTTP",
        "connections",
        "at a time on each",
        "answers/s",
        "p50",
        "p99",
        "errors",
        "positions sent/s meanwhile",
    ]);
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    let places = load::places(&mut fleet, PLACES)?;
    let questions = Questions::nearest(&bench.scratch, service.address("http")?, &places)?;
    let mut cells = Vec::new();
    for (name, rate) in INGEST {
        for way in WAYS {
            bench.progress(format!("nearby: {name}, {way:?}"));
            let cell = measure(bench, &service, &mut fleet, &questions, (name, rate), way)?;
            section.row(row(&cell));
            cells.push(cell);
        }
    }
    aims(section, &cells);
    section.plots = plots(&cells);
    section.command("# by hand, one place:");
    section.command("wrk -t1 -c16 -d10s --latency 'https://localhost:9090/?lat=30.27&lon=-97.74'");
    section.command("h2load -t1 -c16 -m1 -D10 'https://localhost:9090/?lat=30.27&lon=-97.74'");
    Ok(())
}

fn measure(
    bench: &Bench,
    service: &Service,
    fleet: &mut Fleet,
    questions: &Questions,
    (ingest, rate): (&'static str, Option<Rate>),
    way: (u32, u32, u32),
) -> anyhow::Result<Cell> {
    let mut cell = Cell { ingest, way, asked: Vec::new(), sent_per_s: 0.0 };
    for _ in 0..bench.pick(2, 1) {
        let asked = match rate {
            None => ask(bench, questions, way)?,
            Some(rate) => {
                let work = || ask(bench, questions, way);
                let (asked, sent) = load::while_sending(fleet, service.address("udp")?, rate, true, work)?;
                cell.sent_per_s = sent.rate();
                asked
            }
        };
        cell.asked.push(asked);
    }
    Ok(cell)
}

fn ask(bench: &Bench, questions: &Questions, way: (u32, u32, u32)) -> anyhow::Result<Asked> {
    let seconds = bench.pick(2, 1);
    match way {
        (1, connections, _) => questions.http1(connections, seconds),
        (_, connections, streams) => questions.http2(connections, streams, seconds),
    }
}

impl Cell {
    fn spread(&self, of: impl Fn(&Asked) -> f64) -> Spread {
        Spread::of(self.asked.iter().map(of))
    }
}

fn row(cell: &Cell) -> [serde_json::Value; 9] {
    let (version, connections, streams) = cell.way;
    [
        json!(cell.ingest),
        json!(if version == 1 { "1.1" } else { "2" }),
        json!(connections),
        json!(streams),
        json!(cell.spread(|asked| asked.per_s).show(short)),
        json!(cell.spread(|asked| asked.p50_s).show(time)),
        json!(cell.spread(|asked| asked.p99_s).show(time)),
        json!(grouped(cell.asked.iter().map(|asked| asked.errors).sum())),
        json!(short(cell.sent_per_s)),
    ]
}

fn aims(section: &mut Section, cells: &[Cell]) {
    let idle = cells.iter().filter(|cell| cell.ingest == "nothing");
    let most = idle.map(|cell| cell.spread(|asked| asked.per_s).median).fold(f64::NAN, f64::max);
    section.aim("HTTPS nearby, answers/s", Bound::AtLeast(50e3), most, short);
    let single = cells.iter().filter(|cell| cell.ingest == "5 k/s" && cell.way == WAYS[0]);
    let p99 = single.map(|cell| cell.spread(|asked| asked.p99_s).median).fold(f64::NAN, f64::max);
    section.aim("HTTPS nearby, 1 client while 5 k/s come in, p99", Bound::AtMost(0.6e-3), p99, time);
}

fn plots(cells: &[Cell]) -> Vec<Plot> {
    let plot = |title: &str, unit: &str, log, value: &dyn Fn(&Cell) -> f64| {
        let series = INGEST.iter().flat_map(|&(ingest, _)| {
            [1, 2].map(|version| Series {
                name: format!("HTTP/{}, coming in: {ingest}", if version == 1 { "1.1" } else { "2" }),
                points: cells
                    .iter()
                    .filter(|cell| cell.ingest == ingest && cell.way.0 == version && cell.way.2 == 1)
                    .map(|cell| [f64::from(cell.way.1), value(cell)])
                    .collect(),
            })
        });
        Plot {
            title: title.to_owned(),
            x: Axis { label: "connections".to_owned(), log: true },
            y: Axis { label: unit.to_owned(), log },
            series: series.collect(),
        }
    };
    vec![
        plot("Answers per second", "answers/s", false, &|cell| cell.spread(|asked| asked.per_s).median),
        plot("Time of the 99th of 100 answers", "ms", true, &|cell| {
            1e3 * cell.spread(|asked| asked.p99_s).median
        }),
    ]
}
