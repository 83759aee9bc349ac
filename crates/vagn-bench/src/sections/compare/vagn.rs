//! Vagn itself: over UDP, which acknowledges nothing, and over TCP and HTTPS, which do.

use vagn_load::Fleet;
use vagn_load::pace::Rate;

use super::results::{Answers, Repetition, Results, VAGN};
use super::writers::{fleets, repeated};
use super::{ASKERS, PLACES, WRITERS, seconds};
use crate::ask::Questions;
use crate::bench::Bench;
use crate::load::{self, Load};
use crate::sections::ack::{self, Writing};
use crate::service::Service;
use crate::stats::{Spread, percent};

const EACH: (&str, bool) = ("UDP, each on its own", false);
const SEGMENTS: (&str, bool) = ("UDP, segments", true);
const MERGED: (&str, bool) = ("UDP with `udp.gro`, segments", true);

pub(super) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    over_udp(bench, results)?;
    over_udp_merged(bench, results)?;
    acknowledged(bench, results)
}

fn over_udp(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    flood(bench, &service, &mut fleet, EACH, results)?;
    flood(bench, &service, &mut fleet, SEGMENTS, results)?;
    ask(bench, &service, &mut fleet, results)
}

fn over_udp_merged(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let (service, mut fleet) = load::warmed(bench.fresh().with("UDP_GRO", true), bench.vehicles())?;
    flood(bench, &service, &mut fleet, MERGED, results)
}

fn acknowledged(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    for (fsync, durability) in [("1s", "1 s may be lost"), ("always", "nothing is lost")] {
        let service = Service::start(bench.fresh().with("FSYNC", fsync))?;
        let mut fleets = fleets(bench);
        for fleet in &mut fleets {
            load::warm(&service, fleet, bench.vehicles() / WRITERS)?;
        }
        for (name, writing) in [
            ("TCP, TLS, each answered", Writing::Tcp(16 * 1024)),
            ("HTTPS, POST of 1 000, msgpack", Writing::Msgpack),
        ] {
            let runs = repeated(
                bench,
                || service.process().cpu_s(),
                || Ok(ack::measure(&service, &mut fleets, writing, seconds(bench))?.per_s),
            )?;
            results.written(VAGN, format!("{name}; {WRITERS} connections"), durability, &runs);
        }
    }
    Ok(())
}

/// Sends as fast as one core can.
fn flood(
    bench: &Bench,
    service: &Service,
    fleet: &mut Fleet,
    (name, segments): (&str, bool),
    results: &mut Results,
) -> anyhow::Result<()> {
    let load = Load { rate: Rate::Max, seconds: seconds(bench), segments };
    let mut runs = Vec::new();
    let mut lost = Vec::new();
    for _ in 0..bench.repetitions() {
        let outcome = load::measure(service, fleet, load)?;
        runs.push(Repetition { per_s: outcome.stored_per_s, cpu: outcome.cpu });
        lost.push(outcome.lost);
    }
    let way = format!("{name}, flat out, {} lost", percent(Spread::of(lost).median));
    results.written(VAGN, way, "1 s, nothing acknowledged", &runs);
    Ok(())
}

fn ask(bench: &Bench, service: &Service, fleet: &mut Fleet, results: &mut Results) -> anyhow::Result<()> {
    let places = load::places(fleet, PLACES)?;
    let questions = Questions::nearest(&bench.scratch, service.address("http")?, &places)?;
    for connections in ASKERS {
        let asked = questions.http1(connections, bench.pick(3, 1))?;
        results.answered(Answers {
            store: VAGN,
            question: "`GET /?lat&lon`, HTTPS".to_owned(),
            connections,
            per_s: asked.per_s,
            quantiles_s: [asked.p50_s, asked.p99_s],
        });
    }
    Ok(())
}
