//! The same on PostGIS: upserts into a table with a GiST index, and k nearest by `<->`.

use std::process::ChildStdin;
use std::time::Instant;

use vagn_load::Fleet;
use vagn_load::pace::Rate;
use vagn_load::source::Batch;

use super::results::{Answers, POSTGIS, Results};
use super::writers::{fleets, in_parallel, repeated, take};
use super::{ASKERS, PLACES, UPSERT, WRITERS, seconds};
use crate::bench::Bench;
use crate::load;
use crate::postgis::Postgis;

pub(super) const SCHEMA: &str =
    "CREATE TABLE fleet (id uuid PRIMARY KEY, at timestamptz NOT NULL, place geography(Point) NOT NULL)";

const PLACE_OF_ROW: &str = "ST_SetSRID(ST_MakePoint(lon, lat), 4326)::geography";

pub(super) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let postgis = Postgis::start()?;
    let mut fleets = fleets(bench);
    fill(bench, &postgis, &mut fleets)?;
    for (commit, durability) in [("off", "0.6 s may be lost"), ("on", "nothing is lost")] {
        let runs = repeated(bench, server_cpu_s, || {
            in_parallel(
                &mut fleets,
                |fleet, until| upserts(&postgis, fleet, commit, until),
                Some(seconds(bench)),
            )
        })?;
        let way = format!("upserts of {UPSERT}, synchronous_commit = {commit}; {WRITERS} connections");
        results.written(POSTGIS, way, durability, &runs);
    }
    postgis.run("VACUUM ANALYZE fleet")?;
    ask(bench, &postgis, &mut fleets, results)
}

/// Busy seconds of the service's core: the processes of PostgreSQL come and go with their connections.
fn server_cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let core = format!("cpu{} ", crate::machine::SERVER_CORE);
    let line = stat.lines().find_map(|line| line.strip_prefix(&core)).unwrap_or_default();
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    ticks
        .iter()
        .take(7)
        .enumerate()
        .filter(|(at, _)| *at != 3 && *at != 4)
        .map(|(_, ticks)| ticks / 100.0)
        .sum()
}

/// Loads each vehicle once and makes the index last, which is the quickest way.
fn fill(bench: &Bench, postgis: &Postgis, fleets: &mut [Fleet]) -> anyhow::Result<()> {
    postgis.run(SCHEMA)?;
    postgis.run("CREATE UNLOGGED TABLE loading (id uuid, lat float8, lon float8)")?;
    for fleet in fleets {
        fleet.go_on(Rate::Max, Some(u64::from(bench.vehicles() / WRITERS)), None);
        postgis.pipe(|input| copy(input, fleet))?;
    }
    postgis.run(&format!("INSERT INTO fleet SELECT id, now(), {PLACE_OF_ROW} FROM loading"))?;
    postgis.run("CREATE INDEX ON fleet USING gist (place)")?;
    postgis.run("VACUUM ANALYZE fleet")?;
    postgis.run("CHECKPOINT")
}

fn copy(input: &mut ChildStdin, fleet: &mut Fleet) -> anyhow::Result<()> {
    Postgis::write(input, "COPY loading FROM stdin (FORMAT csv);\n")?;
    let mut batch = Batch::default();
    let mut text = String::new();
    loop {
        text.clear();
        take(fleet, &mut batch, UPSERT, |id, lat, lon| text += &format!("{id},{lat},{lon}\n"))?;
        if batch.is_empty() {
            return Postgis::write(input, "\\.\n");
        }
        Postgis::write(input, &text)?;
    }
}

pub(super) fn upsert(ids: &str, lats: &str, lons: &str) -> String {
    format!(
        "INSERT INTO fleet SELECT id, now(), {PLACE_OF_ROW} FROM unnest('{ids}'::uuid[], '{lats}'::float8[], \
         '{lons}'::float8[]) AS report(id, lat, lon) ON CONFLICT (id) DO UPDATE SET at = EXCLUDED.at, place = EXCLUDED.place;"
    )
}

/// Writes until the time is up; gives the number of vehicles written.
fn upserts(
    postgis: &Postgis,
    fleet: &mut Fleet,
    commit: &str,
    until: Option<Instant>,
) -> anyhow::Result<u64> {
    let until = until.unwrap_or_else(Instant::now);
    postgis.pipe(|input| {
        Postgis::write(input, &format!("SET synchronous_commit = {commit};\n"))?;
        fleet.go_on(Rate::Max, None, None);
        let mut batch = Batch::default();
        let mut count = 0;
        while Instant::now() < until {
            let statement = next_upsert(fleet, &mut batch)?;
            Postgis::write(input, &(statement + "\n"))?;
            count += UPSERT as u64;
        }
        Ok(count)
    })
}

fn next_upsert(fleet: &mut Fleet, batch: &mut Batch) -> anyhow::Result<String> {
    let mut ids = Vec::new();
    let mut lats = Vec::new();
    let mut lons = Vec::new();
    take(fleet, batch, UPSERT, |id, lat, lon| {
        ids.push(id.to_owned());
        lats.push(lat.to_string());
        lons.push(lon.to_string());
    })?;
    Ok(upsert(&list(&ids), &list(&lats), &list(&lons)))
}

/// Writes an array as PostgreSQL reads it.
fn list(values: &[String]) -> String {
    format!("{{{}}}", values.join(","))
}

fn ask(bench: &Bench, postgis: &Postgis, fleets: &mut [Fleet], results: &mut Results) -> anyhow::Result<()> {
    let places = load::places(&mut fleets[0], PLACES)?;
    postgis.run("CREATE TABLE asked (n int PRIMARY KEY, place geography NOT NULL)")?;
    postgis.pipe(|input| {
        Postgis::write(input, "COPY asked FROM stdin;\n")?;
        for (n, (lat, lon)) in places.iter().enumerate() {
            Postgis::write(input, &format!("{n}\tSRID=4326;POINT({lon} {lat})\n"))?;
        }
        Postgis::write(input, "\\.\nANALYZE asked;\n")
    })?;
    let script = format!(
        "\\set n random(0, {})\nSELECT id, at, ST_AsText(place) FROM fleet \
         ORDER BY place <-> (SELECT place FROM asked WHERE n = :n) LIMIT 10;\n",
        places.len() - 1
    );
    for connections in ASKERS {
        let (per_s, quantiles_s) = postgis.ask(&script, connections, bench.pick(3, 1))?;
        results.answered(Answers {
            store: POSTGIS,
            question: "`ORDER BY place <-> … LIMIT 10`".to_owned(),
            connections,
            per_s,
            quantiles_s,
        });
    }
    Ok(())
}
