//! The same work, in the same run, on what users would pick instead.

mod postgis;
mod redis;
mod results;
mod vagn;
mod writers;

use crate::bench::Bench;
use crate::section::Section;
use results::Results;

/// Number of connections that write.
const WRITERS: u32 = 4;

/// Commands on the way at a time on each connection to Redis.
const PIPELINE: usize = 256;

/// Vehicles in one statement to PostGIS.
const UPSERT: usize = 1000;

/// Number of places that questions are about.
const PLACES: u64 = 8192;

/// Numbers of connections that ask.
const ASKERS: [u32; 2] = [1, 16];

/// Radius of a question to Redis, which needs one and is slower with a larger one. This one holds ten vehicles nearly
/// everywhere.
const RADIUS_M: u32 = 500;

/// Function that measures one store.
type Measure = fn(&Bench, &mut Results) -> anyhow::Result<()>;

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "The stores run one after another on the same core, with the same {} vehicles in the same places, all known beforehand; the \
         senders and askers are on the other core. Redis: `GEOADD`, {WRITERS} connections with {PIPELINE} commands on the way on each, \
         and, which is less work for it, {PIPELINE} vehicles in each command. PostGIS: {WRITERS} connections, each with upserts of \
         {UPSERT} vehicles into a table with a GiST index, `synchronous_commit` on and off, no checkpoint during the measurement. Both \
         acknowledge their writes. **Vagn over UDP acknowledges nothing**; it counts the reports that it has stored, so that the ratios \
         to it compare different promises. Vehicles on the road send each report on its own; a gateway may send segments for many, \
         like a pipeline or a command of 256. The fair comparison is Vagn over TCP: encrypted, and each report answered when it is in \
         the log.",
        bench.fleet_size()
    ));
    section.heads(&[
        "store",
        "way",
        "after a power loss",
        "stored/s",
        "CPU of its core",
        "against Redis, pipelined, 1 s",
        "against PostGIS, off",
    ]);
    let stores =
        [("vagn", vagn::measure as Measure), ("redis", redis::measure), ("postgis", postgis::measure)];
    let mut results = Results::default();
    let mut failed = Vec::new();
    for (name, measure) in stores {
        bench.progress(format!("compare: {name}"));
        if let Err(err) = measure(bench, &mut results) {
            failed.push(format!("{name}: {err:#}"));
        }
    }
    results.show(section);
    commands(section);
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

fn commands(section: &mut Section) {
    for command in [
        "# by hand:",
        "taskset -c 0 redis-server --save '' --appendonly yes --appendfsync everysec --dir /var/tmp &",
        "taskset -c 1 redis-benchmark -c 4 -P 256 -n 2000000 -r 1000000 GEOADD fleet 12.__rand_int__ 55.6 vehicle:__rand_int__",
        "taskset -c 1 redis-benchmark -c 16 -n 100000 GEOSEARCH fleet FROMLONLAT 12.57 55.68 BYRADIUS 500 m ASC COUNT 10",
    ] {
        section.command(command);
    }
    section.command(format!("psql -c \"{}\" -c 'CREATE INDEX ON fleet USING gist (place)'", postgis::SCHEMA));
    section.command(format!("psql -c \"{}\"", postgis::upsert("{…}", "{…}", "{…}")));
}

/// Seconds that each measurement takes.
fn seconds(bench: &Bench) -> f64 {
    bench.pick(3.0, 1.0)
}
