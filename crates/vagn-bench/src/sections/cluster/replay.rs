//! The speed of a replica that comes back: a node is killed, others go on, and it follows from where it stopped.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use vagn_load::pace::Rate;

use super::cost::Reporters;
use super::rig::{Layout, NODES, Rig, applied, is_caught_up_all};
use crate::bench::Bench;
use crate::section::{Bound, Section, Table};
use crate::stats::{short, time};

/// Node that is away.
const AWAY: usize = NODES - 1;

/// Longest wait until it has all.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Time for which reports come while it is away. After 15 s its shards would get other owners.
const AWAY_S: (f64, f64) = (8.0, 2.0);

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    let title = "A node that comes back".to_owned();
    let columns =
        ["reports while it was away", "of them in its shards", "ready after", "has all after", "replayed/s"];
    let mut table = Table { title, columns: columns.map(str::to_owned).to_vec(), rows: Vec::new() };
    let mut rig = Rig::start(bench, &bench.scratch.join("cluster"), Layout::Alike, "always")?;
    let mut reporters = Reporters::known_to(&rig, bench)?;
    let idle = away(bench, &mut rig, None)?;
    let busy = away(bench, &mut rig, Some(&mut reporters))?;
    // What a start takes without anything to replay is not replay.
    let per_s = busy.replayed / (busy.all_s - idle.all_s).max(0.05);
    for (back, per_s) in [(&idle, f64::NAN), (&busy, per_s)] {
        table.rows.push(vec![
            json!(short(back.reports)),
            json!(short(back.replayed)),
            json!(time(back.ready_s)),
            json!(time(back.all_s)),
            json!(short(per_s)),
        ]);
    }
    section.tables.push(table);
    section.say(
        "A node that was killed and comes back has all once each of its replicas follows the end of its stream; the nodes are asked \
         for that through their metrics, which are up to 0.5 s late. What is replayed is the part of the reports that came for its shards; the \
         time for it is that beyond a return without reports.",
    );
    section.aim("Replay of a replica that comes back, reports/s", Bound::AtLeast(1_000_000.0), per_s, short);
    Ok(())
}

/// A return.
struct Back {
    /// Reports that were stored meanwhile.
    reports: f64,
    /// Those of them that are in the shards of the node.
    replayed: f64,
    ready_s: f64,
    all_s: f64,
}

fn away(bench: &Bench, rig: &mut Rig, reporters: Option<&mut Reporters>) -> anyhow::Result<Back> {
    rig.wait_whole()?;
    bench.progress("cluster: a node is away");
    let own: Vec<usize> = applied(rig.node(AWAY)?)?.into_iter().map(|(shard, _)| shard).collect();
    let before = rig.entries()?;
    rig.kill(AWAY);
    let reports = match reporters {
        None => 0.0,
        Some(reporters) => {
            // To the doors that are left.
            let done = reporters.run(rig, Some(Rate::Max), bench.pick(AWAY_S.0, AWAY_S.1))?;
            done.stored as f64
        }
    };
    let after = rig.entries()?;
    let new = |shard: usize| after[shard].saturating_sub(before[shard]) as f64;
    let (in_own, in_all) =
        (own.iter().map(|shard| new(*shard)).sum::<f64>(), (0..after.len()).map(new).sum::<f64>());
    let started = Instant::now();
    rig.launch(AWAY)?;
    let ready_s = started.elapsed().as_secs_f64();
    while !is_caught_up_all(rig.node(AWAY)?)? {
        ensure!(started.elapsed() < BACK_WITHIN, "the node is not back after {} s", BACK_WITHIN.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
    let all_s = started.elapsed().as_secs_f64();
    Ok(Back { reports, replayed: reports * in_own / in_all.max(1.0), ready_s, all_s })
}
