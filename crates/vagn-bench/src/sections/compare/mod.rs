//! The same work, in the same run, on what users would pick instead.

use std::process::ChildStdin;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vagn_load::Fleet;
use vagn_load::pace::Rate;
use vagn_load::source::Batch;

use super::ack;
use crate::ask::Questions;
use crate::bench::Bench;
use crate::load::{self, Load, joined};
use crate::postgis::Postgis;
use crate::redis::{self, Redis};
use crate::section::{Bound, Section};
use crate::service::Service;
use crate::stats::{Spread, percent, percentile, ratio, short, time};

/// Connections that write.
const WRITERS: u32 = 4;

/// Commands on the way at a time on each, to Redis.
const PIPELINE: usize = 256;

/// Vehicles in one statement, to PostGIS.
const UPSERT: usize = 1000;

/// Places to ask about.
const PLACES: u64 = 8192;

/// Connections that ask.
const ASKERS: [u32; 2] = [1, 16];

/// Holds ten vehicles nearly everywhere; Redis has to be given one, and is slower with a larger one.
const RADIUS_M: u32 = 500;

const SCHEMA: &str =
    "CREATE TABLE fleet (id uuid PRIMARY KEY, at timestamptz NOT NULL, place geography(Point) NOT NULL)";

const PLACE_OF_ROW: &str = "ST_SetSRID(ST_MakePoint(lon, lat), 4326)::geography";

/// A store's name, what it was given, and what it did.
struct Writes {
    store: &'static str,
    way: String,
    durability: &'static str,
    per_s: Spread,
    cpu: f64,
}

/// Fills the section.
pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "One after another on the same core, with the same {} vehicles in the same places, all known beforehand; what sends and \
         asks is on the other core. Redis: `GEOADD`, {WRITERS} connections with {PIPELINE} commands on the way on each, and, which is \
         less work for it, {PIPELINE} vehicles in each command. PostGIS: {WRITERS} connections, each with upserts of {UPSERT} vehicles \
         into a table with a GiST index, `synchronous_commit` on and off, no checkpoint while it is measured. Both acknowledge what \
         they have written. **Vagn over UDP acknowledges nothing**; it counts what it has stored, so that the ratios to it compare \
         unlike promises. Each report on its own is what vehicles on the road send; segments are what a gateway may send for many, as \
         is a pipeline or a command of 256. Like with like is Vagn over TCP: encrypted, and answered report by report when it is in the log.",
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
    let mut writes = Vec::new();
    let mut asked = Vec::new();
    let mut failed = Vec::new();
    type Measure = fn(&Bench, &mut Vec<Writes>, &mut Vec<[Value; 6]>) -> anyhow::Result<()>;
    for (name, measure) in [("vagn", vagn as Measure), ("redis", on_redis), ("postgis", on_postgis)] {
        bench.progress(format!("compare: {name}"));
        if let Err(err) = measure(bench, &mut writes, &mut asked) {
            failed.push(format!("{name}: {err:#}"));
        }
    }
    let best = |store: &str, durability: &str, way: &str| {
        let of =
            writes.iter().filter(|write| write.store == store && write.durability.starts_with(durability));
        let of = of.filter(|write| write.way.starts_with(way));
        of.map(|write| write.per_s.median).fold(f64::NAN, f64::max)
    };
    let (redis, redis_many) = (best("Redis GEO", "1 s", "GEOADD;"), best("Redis GEO", "1 s", "GEOADD of"));
    let postgis = best("PostGIS", "0.6 s", "");
    for Writes { store, way, durability, per_s, cpu } in &writes {
        let against = |other: f64| ratio(per_s.median / other);
        section.row([
            json!(store),
            json!(way),
            json!(durability),
            json!(per_s.show(short)),
            json!(percent(*cpu)),
            json!(against(redis)),
            json!(against(postgis)),
        ]);
    }
    for (way, name) in [("UDP,", "over UDP"), ("UDP with", "over UDP (`udp.gro`, full segments)")] {
        let udp = best("Vagn", "1 s, nothing", way);
        for (other, at_least, per_s) in [
            ("Redis GEO, pipelined", 8.0, redis),
            ("Redis GEO, 256 vehicles in each command", 8.0, redis_many),
            ("PostGIS", 25.0, postgis),
        ] {
            let aim = format!("Stored/s {name} against {other}");
            section.aim(&aim, Bound::AtLeast(at_least), udp / per_s, ratio);
        }
    }
    section.say(questions(&asked));
    commands(section);
    anyhow::ensure!(failed.is_empty(), "{}", failed.join("; "));
    Ok(())
}

/// A second table, in Markdown: a section has one of its own.
fn questions(asked: &[[Value; 6]]) -> String {
    let mut text = format!(
        "The ten nearest, asked of the same stores when nothing comes in. Vagn answers over HTTPS (`wrk`), the others in their \
         own protocols without encryption (PostGIS by `pgbench`, prepared). Redis has no k nearest: it is given a radius of \
         {RADIUS_M} m.\n\n| store | question | connections | answers/s | p50 | p99 |\n|---|---|---:|---:|---:|---:|\n"
    );
    for row in asked {
        let cells: Vec<_> =
            row.iter().map(|cell| cell.as_str().map_or(cell.to_string(), str::to_owned)).collect();
        text += &format!("| {} |\n", cells.join(" | "));
    }
    text + "\nAnd what they store:"
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
    section.command(format!("psql -c \"{SCHEMA}\" -c 'CREATE INDEX ON fleet USING gist (place)'"));
    section.command(format!("psql -c \"{}\"", upsert("{…}", "{…}", "{…}")));
}

fn seconds(bench: &Bench) -> f64 {
    bench.pick(3.0, 1.0)
}

fn vagn(bench: &Bench, writes: &mut Vec<Writes>, asked: &mut Vec<[Value; 6]>) -> anyhow::Result<()> {
    let (service, mut fleet) = load::warmed(bench.fresh(), bench.vehicles())?;
    over_udp(
        bench,
        &service,
        &mut fleet,
        &[("UDP, each on its own", false), ("UDP, segments", true)],
        writes,
    )?;
    ask_vagn(bench, &service, &mut fleet, asked)?;
    drop(service);
    let (merging, mut fleet) = load::warmed(bench.fresh().with("UDP_GRO", true), bench.vehicles())?;
    over_udp(bench, &merging, &mut fleet, &[("UDP with `udp.gro`, segments", true)], writes)?;
    drop(merging);
    for (fsync, durability) in [("1s", "1 s may be lost"), ("always", "nothing is lost")] {
        let service = Service::start(bench.fresh().with("FSYNC", fsync))?;
        let mut fleets = fleets(bench);
        let each = bench.vehicles() / WRITERS;
        fleets.iter_mut().try_for_each(|fleet| load::warm(&service, fleet, each))?;
        let ways = [
            ("TCP, TLS, each answered", ack::Way::Tcp(16 * 1024)),
            ("HTTPS, POST of 1 000, msgpack", ack::Way::Msgpack),
        ];
        for (name, way) in ways {
            let mut measure = || {
                let (cpu_s, started) = (service.process().cpu_s(), Instant::now());
                let acked = ack::measure(&service, &mut fleets, way, seconds(bench))?;
                anyhow::Ok((
                    acked.per_s,
                    (service.process().cpu_s() - cpu_s) / started.elapsed().as_secs_f64(),
                ))
            };
            let runs = (0..bench.repetitions()).map(|_| measure()).collect::<Result<Vec<_>, _>>()?;
            writes.push(written("Vagn", format!("{name}; {WRITERS} connections"), durability, &runs));
        }
    }
    Ok(())
}

fn over_udp(
    bench: &Bench,
    service: &Service,
    fleet: &mut Fleet,
    ways: &[(&str, bool)],
    writes: &mut Vec<Writes>,
) -> anyhow::Result<()> {
    for &(name, segments) in ways {
        let load = Load { rate: Rate::Max, seconds: seconds(bench), segments };
        let runs = (0..bench.repetitions())
            .map(|_| load::measure(service, fleet, load))
            .collect::<Result<Vec<_>, _>>()?;
        let lost = Spread::of(runs.iter().map(|run| run.lost)).median;
        let runs: Vec<_> = runs.iter().map(|run| (run.stored_per_s, run.cpu)).collect();
        let way = format!("{name}, flat out, {} lost", percent(lost));
        writes.push(written("Vagn", way, "1 s, nothing acknowledged", &runs));
    }
    Ok(())
}

fn written(store: &'static str, way: String, durability: &'static str, runs: &[(f64, f64)]) -> Writes {
    let per_s = Spread::of(runs.iter().map(|(per_s, _)| *per_s));
    Writes { store, way, durability, per_s, cpu: Spread::of(runs.iter().map(|(_, cpu)| *cpu)).median }
}

fn ask_vagn(
    bench: &Bench,
    service: &Service,
    fleet: &mut Fleet,
    asked: &mut Vec<[Value; 6]>,
) -> anyhow::Result<()> {
    let places = load::places(fleet, PLACES)?;
    let questions = Questions::nearest(&bench.scratch, service.address("http")?, &places)?;
    for connections in ASKERS {
        let answers = questions.http1(connections, bench.pick(3, 1))?;
        asked.push(answered(
            "Vagn",
            "`GET /?lat&lon`, HTTPS",
            connections,
            answers.per_s,
            [answers.p50_s, answers.p99_s],
        ));
    }
    Ok(())
}

fn answered(store: &str, question: &str, connections: u32, per_s: f64, quantiles_s: [f64; 2]) -> [Value; 6] {
    let [p50, p99] = quantiles_s.map(time);
    [json!(store), json!(question), json!(connections), json!(short(per_s)), json!(p50), json!(p99)]
}

/// As many fleets as writers, so that no two write the same vehicle.
fn fleets(bench: &Bench) -> Vec<Fleet> {
    ack::fleets(WRITERS, bench.vehicles())
}

/// Fills the batch with the next so many reports; calls `each` with id, latitude and longitude.
fn take(
    fleet: &mut Fleet,
    batch: &mut Batch,
    count: usize,
    mut each: impl FnMut(&str, f64, f64),
) -> anyhow::Result<()> {
    batch.fill(fleet, Duration::ZERO, count)?;
    for (bytes, _) in batch.reports() {
        if let Ok(report) = vagn_wire::decode(bytes)
            && let Ok(place) = report.position
        {
            each(report.vehicle_id.as_str(), place.lat(), place.lon());
        }
    }
    Ok(())
}

/// Lets all write at the same time, each in a thread, until the time is up; gives vehicles per second.
fn in_parallel<T: Send>(
    writers: &mut [T],
    write: impl Fn(&mut T, Option<Instant>) -> anyhow::Result<u64> + Sync,
    seconds: Option<f64>,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let until = seconds.map(|seconds| started + Duration::from_secs_f64(seconds));
    let write = &write;
    let counts = thread::scope(|scope| {
        let threads: Vec<_> =
            writers.iter_mut().map(|writer| scope.spawn(move || write(writer, until))).collect();
        threads.into_iter().map(joined).collect::<anyhow::Result<Vec<u64>>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64())
}

fn on_redis(bench: &Bench, writes: &mut Vec<Writes>, asked: &mut Vec<[Value; 6]>) -> anyhow::Result<()> {
    let mut fleets = fleets(bench);
    for (fsync, durability) in [("everysec", "1 s may be lost"), ("always", "nothing is lost")] {
        let redis = Redis::start(&bench.scratch.join(fsync), fsync)?;
        for (name, at_once) in [("GEOADD", 1), ("GEOADD of 256 vehicles", PIPELINE)] {
            let mut rounds = rounds(bench, &mut fleets, at_once)?;
            // All of them once.
            geoadd(&redis, &mut rounds, at_once, None)?;
            let mut measure = || {
                let (cpu_s, started) = (redis.process().cpu_s(), Instant::now());
                let per_s = geoadd(&redis, &mut rounds, at_once, Some(seconds(bench)))?;
                anyhow::Ok((per_s, (redis.process().cpu_s() - cpu_s) / started.elapsed().as_secs_f64()))
            };
            let runs = (0..bench.repetitions()).map(|_| measure()).collect::<Result<Vec<_>, _>>()?;
            writes.push(written("Redis GEO", format!("{name}; {WRITERS} connections"), durability, &runs));
        }
        if fsync == "everysec" {
            ask_redis(bench, &redis, &mut fleets, asked)?;
        }
    }
    Ok(())
}

/// What one writer sends, over and over: pipelines with two reports of each of its vehicles, a second of driving apart.
/// Written beforehand, for numbers as text would take the sender longer than Redis.
struct Round {
    pipelines: Vec<Vec<u8>>,
    next: usize,
}

fn rounds(bench: &Bench, fleets: &mut [Fleet], at_once: usize) -> anyhow::Result<Vec<Round>> {
    let pipelines = 2 * bench.vehicles() / WRITERS / PIPELINE as u32;
    let mut batch = Batch::default();
    let mut pipeline = |fleet: &mut Fleet| {
        let mut out = Vec::new();
        for _ in 0..PIPELINE / at_once {
            let mut words = vec!["GEOADD".to_owned(), "fleet".to_owned()];
            let each = |id: &str, lat: f64, lon: f64| {
                words.extend([lon.to_string(), lat.to_string(), id.to_owned()])
            };
            take(fleet, &mut batch, at_once, each)?;
            redis::command(&mut out, words.iter().map(String::as_str));
        }
        anyhow::Ok(out)
    };
    let mut round = |fleet: &mut Fleet| {
        fleet.go_on(Rate::Max, None, None);
        let pipelines = (0..pipelines).map(|_| pipeline(fleet)).collect::<Result<_, _>>()?;
        Ok(Round { pipelines, next: 0 })
    };
    fleets.iter_mut().map(&mut round).collect()
}

/// Writes for so many seconds, or each vehicle once; gives vehicles per second.
fn geoadd(redis: &Redis, rounds: &mut [Round], at_once: usize, seconds: Option<f64>) -> anyhow::Result<f64> {
    let write = |round: &mut Round, until: Option<Instant>| {
        let mut connection = redis.connect()?;
        let mut written = 0;
        while until.map_or(2 * written < round.pipelines.len(), |until| Instant::now() < until) {
            connection.ask(&round.pipelines[round.next], PIPELINE / at_once)?;
            round.next = (round.next + 1) % round.pipelines.len();
            written += 1;
        }
        Ok((written * PIPELINE) as u64)
    };
    in_parallel(rounds, write, seconds)
}

fn ask_redis(
    bench: &Bench,
    redis: &Redis,
    fleets: &mut [Fleet],
    asked: &mut Vec<[Value; 6]>,
) -> anyhow::Result<()> {
    let places = load::places(&mut fleets[0], PLACES)?;
    let radius = RADIUS_M.to_string();
    let commands: Vec<_> = places
        .iter()
        .map(|(lat, lon)| {
            let (lat, lon) = (lat.to_string(), lon.to_string());
            let words = [
                "GEOSEARCH",
                "fleet",
                "FROMLONLAT",
                &lon,
                &lat,
                "BYRADIUS",
                &radius,
                "m",
                "ASC",
                "COUNT",
                "10",
                "WITHCOORD",
            ];
            let mut out = Vec::new();
            redis::command(&mut out, words.into_iter());
            out
        })
        .collect();
    let limit = Duration::from_secs_f64(seconds(bench));
    for connections in ASKERS {
        let (commands, started) = (&commands, Instant::now());
        let times = thread::scope(|scope| {
            let ask = |first: usize| {
                let mut connection = redis.connect()?;
                let mut times = Vec::new();
                for command in commands.iter().cycle().skip(first * 97) {
                    let asked = Instant::now();
                    if started.elapsed() > limit {
                        break;
                    }
                    connection.ask(command, 1)?;
                    times.push(asked.elapsed().as_secs_f64());
                }
                Ok(times)
            };
            let askers: Vec<_> =
                (0..connections as usize).map(|first| scope.spawn(move || ask(first))).collect();
            askers.into_iter().map(joined).collect::<anyhow::Result<Vec<Vec<f64>>>>()
        })?;
        let per_s = times.iter().map(Vec::len).sum::<usize>() as f64 / started.elapsed().as_secs_f64();
        let mut times = times.concat();
        let quantiles = [0.5, 0.99].map(|share| percentile(&mut times, share));
        asked.push(answered(
            "Redis GEO",
            &format!("`GEOSEARCH … {RADIUS_M} m ASC COUNT 10`"),
            connections,
            per_s,
            quantiles,
        ));
    }
    Ok(())
}

fn on_postgis(bench: &Bench, writes: &mut Vec<Writes>, asked: &mut Vec<[Value; 6]>) -> anyhow::Result<()> {
    let postgis = Postgis::start()?;
    let mut fleets = fleets(bench);
    fill(bench, &postgis, &mut fleets)?;
    for (commit, durability) in [("off", "0.6 s may be lost"), ("on", "nothing is lost")] {
        let mut measure = || {
            let (cpu_s, started) = (server_cpu_s(), Instant::now());
            let write = |fleet: &mut Fleet, until: Option<Instant>| {
                postgis.pipe(|input| {
                    Postgis::write(input, &format!("SET synchronous_commit = {commit};\n"))?;
                    upserts(input, fleet, until.unwrap_or_else(Instant::now))
                })
            };
            let per_s = in_parallel(&mut fleets, write, Some(seconds(bench)))?;
            anyhow::Ok((per_s, (server_cpu_s() - cpu_s) / started.elapsed().as_secs_f64()))
        };
        let runs = (0..bench.repetitions()).map(|_| measure()).collect::<Result<Vec<_>, _>>()?;
        let way = format!("upserts of {UPSERT}, synchronous_commit = {commit}; {WRITERS} connections");
        writes.push(written("PostGIS", way, durability, &runs));
    }
    postgis.run("VACUUM ANALYZE fleet")?;
    ask_postgis(bench, &postgis, &mut fleets, asked)
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

/// All vehicles once, then the index: the quickest way to begin with.
fn fill(bench: &Bench, postgis: &Postgis, fleets: &mut [Fleet]) -> anyhow::Result<()> {
    postgis.run(SCHEMA)?;
    postgis.run("CREATE UNLOGGED TABLE loading (id uuid, lat float8, lon float8)")?;
    for fleet in fleets {
        postgis.pipe(|input| {
            Postgis::write(input, "COPY loading FROM stdin (FORMAT csv);\n")?;
            fleet.go_on(Rate::Max, Some(u64::from(bench.vehicles() / WRITERS)), None);
            let (mut batch, mut text) = (Batch::default(), String::new());
            loop {
                text.clear();
                take(fleet, &mut batch, UPSERT, |id, lat, lon| text += &format!("{id},{lat},{lon}\n"))?;
                if batch.is_empty() {
                    return Postgis::write(input, "\\.\n");
                }
                Postgis::write(input, &text)?;
            }
        })?;
    }
    postgis.run(&format!("INSERT INTO fleet SELECT id, now(), {PLACE_OF_ROW} FROM loading"))?;
    postgis.run("CREATE INDEX ON fleet USING gist (place)")?;
    postgis.run("VACUUM ANALYZE fleet")?;
    postgis.run("CHECKPOINT")
}

fn upsert(ids: &str, lats: &str, lons: &str) -> String {
    format!(
        "INSERT INTO fleet SELECT id, now(), {PLACE_OF_ROW} FROM unnest('{ids}'::uuid[], '{lats}'::float8[], \
         '{lons}'::float8[]) AS report(id, lat, lon) ON CONFLICT (id) DO UPDATE SET at = EXCLUDED.at, place = EXCLUDED.place;"
    )
}

fn upserts(input: &mut ChildStdin, fleet: &mut Fleet, until: Instant) -> anyhow::Result<u64> {
    fleet.go_on(Rate::Max, None, None);
    let (mut batch, mut count) = (Batch::default(), 0);
    while Instant::now() < until {
        let (mut ids, mut lats, mut lons) = (Vec::new(), Vec::new(), Vec::new());
        take(fleet, &mut batch, UPSERT, |id, lat, lon| {
            ids.push(id.to_owned());
            lats.push(lat.to_string());
            lons.push(lon.to_string());
        })?;
        let list = |values: &[String]| format!("{{{}}}", values.join(","));
        Postgis::write(input, &(upsert(&list(&ids), &list(&lats), &list(&lons)) + "\n"))?;
        count += UPSERT as u64;
    }
    Ok(count)
}

fn ask_postgis(
    bench: &Bench,
    postgis: &Postgis,
    fleets: &mut [Fleet],
    asked: &mut Vec<[Value; 6]>,
) -> anyhow::Result<()> {
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
        let (per_s, quantiles) = postgis.ask(&script, connections, bench.pick(3, 1))?;
        asked.push(answered("PostGIS", "`ORDER BY place <-> … LIMIT 10`", connections, per_s, quantiles));
    }
    Ok(())
}
