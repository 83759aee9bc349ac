//! What syncs cost: the same load with brokers that sync seldom, and with all files in memory, where a sync is nothing.

use std::fs;
use std::path::Path;

use serde_json::json;
use vagn_load::pace::Rate;

use super::cost::{Measured, Reporters};
use super::rig::{Layout, Rig, memory_dir};
use crate::bench::Bench;
use crate::section::{Section, Table};
use crate::stats::{grouped, short, time};

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let columns =
        ["files", "stored/s", "brokers, ns", "answer p50, 10 k/s", "p99"].map(str::to_owned).to_vec();
    let title = "What a sync costs, nodes alike".to_owned();
    let mut table = Table { title, columns, rows: Vec::new() };
    let on_disk = bench.scratch.join("cluster");
    let in_memory = memory_dir();
    let cases = [
        ("on disk, brokers sync always, as they must", Some(&on_disk), "always"),
        ("on disk, brokers sync every 2 minutes", Some(&on_disk), "2m"),
        ("in memory", in_memory.as_ref(), "always"),
    ];
    for (name, dir, sync) in cases {
        let Some(dir) = dir else { continue };
        bench.progress(format!("cluster: files {name}"));
        let [most, some] = measure(bench, dir, sync)?;
        table.rows.push(vec![
            json!(name),
            json!(short(most.done.per_s())),
            json!(grouped(most.brokers_ns())),
            json!(time(some.ack_s(0.5))),
            json!(time(some.ack_s(0.99))),
        ]);
    }
    if let Some(dir) = in_memory {
        // Gone already where the last case has failed.
        let _removed = fs::remove_dir_all(dir);
    }
    section.tables.push(table);
    Ok(())
}

fn measure(bench: &Bench, dir: &Path, sync: &str) -> anyhow::Result<[Measured; 2]> {
    let mut rig = Rig::start(bench, dir, Layout::Alike, sync)?;
    let mut reporters = Reporters::known_to(&rig, bench)?;
    let seconds = bench.pick(8.0, 2.0);
    let most = Measured::of(&mut rig, &mut reporters, Some(Rate::Max), seconds)?;
    let some = Measured::of(&mut rig, &mut reporters, Some(Rate::PerSecond(10_000.0)), seconds)?;
    Ok([most, some])
}
