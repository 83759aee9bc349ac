//! Writers of one store: fleets that share no vehicle, each in a thread, measured together.

use std::thread;
use std::time::{Duration, Instant};

use vagn_load::Fleet;
use vagn_load::source::Batch;

use super::WRITERS;
use super::results::Repetition;
use crate::bench::Bench;
use crate::load::joined;
use crate::sections::ack;

/// One fleet for each writer, so that no two write the same vehicle.
pub(super) fn fleets(bench: &Bench) -> Vec<Fleet> {
    ack::fleets(WRITERS, bench.vehicles())
}

/// Fills the batch with the next `count` reports and calls `each` with id, latitude and longitude.
pub(super) fn take(
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

/// Writes with all writers at the same time, each in a thread, until the time is up; gives vehicles per second.
pub(super) fn in_parallel<T: Send>(
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

/// Repeats a measurement. `cpu_s` gives the seconds that the store has computed so far, `write` vehicles per second.
pub(super) fn repeated(
    bench: &Bench,
    cpu_s: impl Fn() -> f64,
    mut write: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Repetition>> {
    let mut runs = Vec::new();
    for _ in 0..bench.repetitions() {
        let cpu_before_s = cpu_s();
        let started = Instant::now();
        let per_s = write()?;
        let cpu = (cpu_s() - cpu_before_s) / started.elapsed().as_secs_f64();
        runs.push(Repetition { per_s, cpu });
    }
    Ok(runs)
}
