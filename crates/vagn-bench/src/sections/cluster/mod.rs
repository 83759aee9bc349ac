//! A fleet on many machines, all of which are this one: what a report costs where, how long answers take, what a sync costs, and how long
//! it takes to answer again after each kind of death, and to call for help.

mod calls;
mod cost;
mod deaths;
mod load;
mod replay;
mod rig;
mod sync;
mod target;

use crate::bench::Bench;
use crate::section::Section;

pub(super) fn run(bench: &Bench, section: &mut Section) -> anyhow::Result<()> {
    section.say(format!(
        "Three brokers (`sync_interval: always`) and three nodes with {} shards share both cores of this machine with those who report \
         and ask, so every figure is what is left beside all others. Reporters send over TCP, each with 16 k reports on the way; the \
         fleet has {} vehicles. *Alike* are three nodes that do everything; *by part* is one door, which answers questions too, and \
         two nodes that keep the shards. ns are of processor time, for each report that was answered as stored: of all brokers \
         together, of the door, and of all that keep shards together, which is two copies. An answer is that to a single report, sent \
         once the one before was answered; *nearby* is the same for questions about the ten nearest vehicles.",
        rig::SHARDS,
        crate::stats::short(f64::from(cost::vehicles(bench)))
    ));
    cost::run(bench, section)?;
    sync::run(bench, section)?;
    deaths::run(bench, section)?;
    replay::run(bench, section)?;
    calls::run(bench, section)?;
    section.command("# by hand, a cluster to look at and to kill:");
    section.command("make cluster");
    Ok(())
}
