//! Reports stored and lost at each rate that is offered, beside a bare counter.

use serde_json::json;
use vagn_load::Fleet;
use vagn_load::pace::Rate;

use crate::bare::Bare;
use crate::bench::Bench;
use crate::load::{self, Load, Outcome};
use crate::section::{Axis, Bound, Plot, Section, Series};
use crate::service::Service;
use crate::stats::{Spread, percent, ratio, short};

/// Lowest rate at which the bare counter is measured. Below it takes everything.
const BARE_FROM: f64 = 250_000.0;

/// Largest share of loss that counts as none.
const LOSS_MAX: f64 = 0.001;

/// Rate at which the original used 58 to 68 % of a core.
const ORIGINAL_RATE: f64 = 5_000.0;

/// Way in which reports reach the service.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each through the network stack on its own.
    Each,
    /// Many leave at once, and the kernel takes them apart before they are received.
    Segments,
    /// Many leave at once and are received at once (`udp.gro`).
    Merged,
}

/// A rate, offered in one of these ways, and the outcome of each repetition.
struct Step {
    rate: Rate,
    way: Way,
    vagn: Vec<Outcome>,
    bare: Vec<Outcome>,
}

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "Reports of 79 bytes from {} vehicles, all of which the service knows beforehand. *Each* goes through the network stack on \
         its own, as from vehicles on the road. *Segments* leave 64 at a time (`UDP_SEGMENT`), and so reach rates that otherwise need \
         many machines; the kernel divides them on the way. With `udp.gro`, a setting for gateways, they stay together until the \
         service has them; over a network this needs a card whose driver puts them together again. The bare counter takes datagrams \
         with `recvmmsg`, counts them and does nothing else; it is measured between the repetitions, on the same core. CPU is user \
         and system time of the process; the kernel charges a part of the network stack to the sender.",
        bench.fleet_size()
    ));
    section.heads(&[
        "sent as",
        "offered/s",
        "stored/s",
        "bare counter/s",
        "ratio",
        "dropped by kernel",
        "shed",
        "CPU",
    ]);
    let mut fleet = bench.fleet();
    let mut steps: Vec<Step> = Vec::new();
    for (rate, way) in plan(bench) {
        bench.progress(format!("udp: {}, {}", way.name(), offered(rate)));
        let mut step = Step { rate, way, vagn: Vec::new(), bare: Vec::new() };
        fill(bench, &mut fleet, &mut step)?;
        section.row(row(&step));
        steps.push(step);
    }
    aims(section, &steps);
    section.plots = plots(&steps);
    section.command("# one rate by hand:");
    section.command("taskset -c 0 vagn serve --data-dir /var/tmp/vagn-bench &");
    section.command("taskset -c 1 vagn simulate --vehicles 1000000 --rate 500000 --duration 10s --ops http://localhost:9093");
    Ok(())
}

fn plan(bench: &Bench) -> Vec<(Rate, Way)> {
    let each = bench.pick([5e3, 50e3, 100e3, 250e3].as_slice(), &[5e3, 100e3]);
    let segments = bench.pick([500e3, 700e3, 850e3, 925e3, 1e6, 1.2e6].as_slice(), &[500e3]);
    let merged = bench.pick([1e6, 1.5e6, 1.75e6, 2e6].as_slice(), &[1e6]);
    let mut plan = Vec::new();
    for (way, rates) in [(Way::Each, each), (Way::Segments, segments), (Way::Merged, merged)] {
        plan.extend(rates.iter().map(|rate| (Rate::PerSecond(*rate), way)));
        plan.push((Rate::Max, way));
    }
    plan
}

fn fill(bench: &Bench, fleet: &mut Fleet, step: &mut Step) -> anyhow::Result<()> {
    let service = Service::start(bench.fresh().with("UDP_GRO", step.way == Way::Merged))?;
    load::warm(&service, fleet, bench.vehicles())?;
    let slow = value(step.rate) <= ORIGINAL_RATE;
    let seconds = if slow { bench.pick(6.0, 3.0) } else { bench.pick(2.5, 1.0) };
    let load = Load { rate: step.rate, seconds, segments: step.way != Way::Each };
    for _ in 0..bench.repetitions() {
        step.vagn.push(load::measure(&service, fleet, load)?);
        if value(step.rate) >= BARE_FROM && step.way != Way::Merged {
            step.bare.push(load::measure_bare(&mut Bare::start()?, fleet, load)?);
        }
    }
    Ok(())
}

fn value(rate: Rate) -> f64 {
    match rate {
        Rate::PerSecond(rate) => rate,
        Rate::Max => f64::INFINITY,
    }
}

fn offered(rate: Rate) -> String {
    match rate {
        Rate::PerSecond(rate) => short(rate),
        Rate::Max => "as fast as one core sends".to_owned(),
    }
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Each => "each",
            Self::Segments => "segments",
            Self::Merged => "segments, `udp.gro`",
        }
    }
}

impl Step {
    fn vagn(&self, of: impl Fn(&Outcome) -> f64) -> Spread {
        Spread::of(self.vagn.iter().map(of))
    }

    fn bare(&self) -> Spread {
        Spread::of(self.bare.iter().map(|outcome| outcome.stored_per_s))
    }

    fn stored(&self) -> Spread {
        self.vagn(|outcome| outcome.stored_per_s)
    }

    fn sent(&self) -> f64 {
        self.vagn(|outcome| outcome.sent_per_s).median
    }

    /// Rate of reports stored. A rate that was set counts as itself if only a few reports were still on the way at the end.
    fn stored_as_offered(&self) -> f64 {
        let stored = self.stored().median;
        match self.rate {
            Rate::PerSecond(rate) if stored >= rate * (1.0 - LOSS_MAX) => rate,
            _ => stored,
        }
    }

    fn is_lossless(&self) -> bool {
        self.vagn(|outcome| outcome.lost).median < LOSS_MAX
    }
}

fn row(step: &Step) -> [serde_json::Value; 8] {
    let sent = if step.rate == Rate::Max {
        format!("{} (flat out)", short(step.sent()))
    } else {
        offered(step.rate)
    };
    let [bare, against_bare] = match step.bare.is_empty() {
        true => ["–", "–"].map(str::to_owned),
        false => [step.bare().show(short), ratio(step.stored().median / step.bare().median)],
    };
    [
        json!(step.way.name()),
        json!(sent),
        json!(step.stored().show(short)),
        json!(bare),
        json!(against_bare),
        json!(step.vagn(|outcome| outcome.dropped).show(percent)),
        json!(step.vagn(|outcome| outcome.shed).show(percent)),
        json!(step.vagn(|outcome| outcome.cpu).show(percent)),
    ]
}

fn aims(section: &mut Section, steps: &[Step]) {
    let (merged, unmerged): (Vec<&Step>, Vec<_>) = steps.iter().partition(|step| step.way == Way::Merged);
    let bare = steps.iter().map(|step| step.bare().median).fold(f64::NAN, f64::max);
    section.aim("Stored/s with less than 0.1 % lost", Bound::AtLeast(1e6), lossless(&unmerged), short);
    section.aim(
        "The same against the bare counter's maximum",
        Bound::AtLeast(0.6),
        lossless(&unmerged) / bare,
        ratio,
    );
    section.aim(
        "Stored/s with less than 0.1 % lost, `udp.gro`, full segments over loopback",
        Bound::AtLeast(1e6),
        lossless(&merged),
        short,
    );
    let slow = steps.iter().find(|step| value(step.rate) == ORIGINAL_RATE);
    let cpu = slow.map_or(f64::NAN, |step| step.vagn(|outcome| outcome.cpu).median);
    section.aim("CPU at 5 000/s", Bound::AtMost(0.02), cpu, percent);
    section.say(format!(
        "At its maximum it stores {}/s with whatever loss; the bare counter takes {}/s at most: a ratio of {}. With `udp.gro` it \
         stores {}/s.",
        short(most_stored(&unmerged)),
        short(bare),
        ratio(most_stored(&unmerged) / bare),
        short(most_stored(&merged))
    ));
}

/// Highest rate without loss.
fn lossless(steps: &[&Step]) -> f64 {
    let taken = steps.iter().filter(|step| step.is_lossless());
    taken.map(|step| step.stored_as_offered()).fold(f64::NAN, f64::max)
}

/// Highest rate stored, with any loss.
fn most_stored(steps: &[&Step]) -> f64 {
    steps.iter().map(|step| step.stored().median).fold(f64::NAN, f64::max)
}

fn plots(steps: &[Step]) -> Vec<Plot> {
    let series = |name: &str, points: &dyn Fn(&Step) -> f64, taken: &dyn Fn(&Step) -> bool| Series {
        name: name.to_owned(),
        points: steps.iter().filter(|step| taken(step)).map(|step| [step.sent(), points(step)]).collect(),
    };
    let axis = |label: &str, log| Axis { label: label.to_owned(), log };
    let stored = |step: &Step| step.stored().median;
    let lost = |step: &Step| 100.0 * step.vagn(|outcome| outcome.lost).median;
    let cpu = |step: &Step| 100.0 * step.vagn(|outcome| outcome.cpu).median;
    let by = |way: Way| move |step: &Step| step.way == way;
    vec![
        Plot {
            title: "Stored against offered".to_owned(),
            x: axis("sent/s", true),
            y: axis("per second", false),
            series: vec![
                series("stored, sent each on its own", &stored, &by(Way::Each)),
                series("stored, sent as segments", &stored, &by(Way::Segments)),
                series("stored, segments with udp.gro", &stored, &by(Way::Merged)),
                series("bare counter, each", &|step| step.bare().median, &|step| {
                    step.way == Way::Each && !step.bare.is_empty()
                }),
                series("bare counter, segments", &|step| step.bare().median, &by(Way::Segments)),
            ],
        },
        Plot {
            title: "Lost, and CPU of the service's core".to_owned(),
            x: axis("sent/s", true),
            y: axis("%", false),
            series: vec![
                series("lost", &lost, &|step| step.way != Way::Merged),
                series("CPU", &cpu, &|step| step.way != Way::Merged),
                series("lost, with udp.gro", &lost, &by(Way::Merged)),
                series("CPU, with udp.gro", &cpu, &by(Way::Merged)),
            ],
        },
    ]
}
