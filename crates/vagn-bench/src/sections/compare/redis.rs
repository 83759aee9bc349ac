//! The same on Redis: `GEOADD` in pipelines, and `GEOSEARCH` within a radius.

use std::thread;
use std::time::{Duration, Instant};

use vagn_load::Fleet;
use vagn_load::pace::Rate;
use vagn_load::source::Batch;

use super::results::{Answers, REDIS, Results};
use super::writers::{fleets, in_parallel, repeated, take};
use super::{ASKERS, PIPELINE, PLACES, RADIUS_M, WRITERS, seconds};
use crate::bench::Bench;
use crate::load::{self, joined};
use crate::redis::{self, Redis};
use crate::stats::percentile;

pub(super) fn measure(bench: &Bench, results: &mut Results) -> anyhow::Result<()> {
    let mut fleets = fleets(bench);
    for (fsync, durability) in [("everysec", "1 s may be lost"), ("always", "nothing is lost")] {
        let redis = Redis::start(&bench.scratch.join(fsync), fsync)?;
        for (name, at_once) in [("GEOADD", 1), ("GEOADD of 256 vehicles", PIPELINE)] {
            let mut rounds = rounds(bench, &mut fleets, at_once)?;
            // Each vehicle once first: Redis is measured with all of them known, as Vagn is.
            geoadd(&redis, &mut rounds, at_once, None)?;
            let runs = repeated(
                bench,
                || redis.process().cpu_s(),
                || geoadd(&redis, &mut rounds, at_once, Some(seconds(bench))),
            )?;
            results.written(REDIS, format!("{name}; {WRITERS} connections"), durability, &runs);
        }
        if fsync == "everysec" {
            ask_all(bench, &redis, &mut fleets, results)?;
        }
    }
    Ok(())
}

/// Pipelines that one writer sends over and over, with two reports of each of its vehicles, a second of driving apart.
/// They are written beforehand, because to write numbers as text would take the sender longer than Redis.
struct Round {
    pipelines: Vec<Vec<u8>>,
    next: usize,
}

fn rounds(bench: &Bench, fleets: &mut [Fleet], at_once: usize) -> anyhow::Result<Vec<Round>> {
    let count = 2 * bench.vehicles() / WRITERS / PIPELINE as u32;
    let mut rounds = Vec::new();
    for fleet in fleets {
        fleet.go_on(Rate::Max, None, None);
        let mut batch = Batch::default();
        let pipelines = (0..count).map(|_| pipeline(fleet, &mut batch, at_once)).collect::<Result<_, _>>()?;
        rounds.push(Round { pipelines, next: 0 });
    }
    Ok(rounds)
}

fn pipeline(fleet: &mut Fleet, batch: &mut Batch, at_once: usize) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    for _ in 0..PIPELINE / at_once {
        let mut words = vec!["GEOADD".to_owned(), "fleet".to_owned()];
        take(fleet, batch, at_once, |id, lat, lon| {
            words.extend([lon.to_string(), lat.to_string(), id.to_owned()]);
        })?;
        redis::command(&mut out, words.iter().map(String::as_str));
    }
    Ok(out)
}

/// Writes for so many seconds, or each vehicle once; gives vehicles per second.
fn geoadd(redis: &Redis, rounds: &mut [Round], at_once: usize, seconds: Option<f64>) -> anyhow::Result<f64> {
    in_parallel(rounds, |round, until| write(redis, round, at_once, until), seconds)
}

fn write(redis: &Redis, round: &mut Round, at_once: usize, until: Option<Instant>) -> anyhow::Result<u64> {
    let mut connection = redis.connect()?;
    let mut written = 0;
    while until.map_or(2 * written < round.pipelines.len(), |until| Instant::now() < until) {
        connection.ask(&round.pipelines[round.next], PIPELINE / at_once)?;
        round.next = (round.next + 1) % round.pipelines.len();
        written += 1;
    }
    Ok((written * PIPELINE) as u64)
}

fn ask_all(bench: &Bench, redis: &Redis, fleets: &mut [Fleet], results: &mut Results) -> anyhow::Result<()> {
    let questions: Vec<_> = load::places(&mut fleets[0], PLACES)?.into_iter().map(question).collect();
    let limit = Duration::from_secs_f64(seconds(bench));
    for connections in ASKERS {
        let started = Instant::now();
        let until = started + limit;
        let times = thread::scope(|scope| {
            let questions = &questions;
            let askers: Vec<_> = (0..connections as usize)
                .map(|asker| scope.spawn(move || ask(redis, questions, asker, until)))
                .collect();
            askers.into_iter().map(joined).collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut times = times.concat();
        results.answered(Answers {
            store: REDIS,
            question: format!("`GEOSEARCH … {RADIUS_M} m ASC COUNT 10`"),
            connections,
            per_s: times.len() as f64 / started.elapsed().as_secs_f64(),
            quantiles_s: [0.5, 0.99].map(|share| percentile(&mut times, share)),
        });
    }
    Ok(())
}

/// Asks one question after another until the time is up; gives the seconds that each took.
fn ask(redis: &Redis, questions: &[Vec<u8>], asker: usize, until: Instant) -> anyhow::Result<Vec<f64>> {
    let mut connection = redis.connect()?;
    let mut times = Vec::new();
    // Each asker begins elsewhere, so that no two ask the same question at the same time.
    for question in questions.iter().cycle().skip(asker * 97) {
        let asked = Instant::now();
        if asked > until {
            break;
        }
        connection.ask(question, 1)?;
        times.push(asked.elapsed().as_secs_f64());
    }
    Ok(times)
}

fn question((lat, lon): (f64, f64)) -> Vec<u8> {
    let text = format!("GEOSEARCH fleet FROMLONLAT {lon} {lat} BYRADIUS {RADIUS_M} m ASC COUNT 10 WITHCOORD");
    let words: Vec<_> = text.split(' ').collect();
    let mut out = Vec::new();
    redis::command(&mut out, words.into_iter());
    out
}
