//! `vagn cluster export`: brings the fleet of a cluster into a data directory that a single machine starts from. The cluster goes on.
//!
//! For the time of the export this process is a node of the cluster that stores nothing and mirrors all shards, as a node does whose
//! live map somebody looks at. Once it has all of them they are written, to a directory that has the whole fleet or none of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use vagn_cluster::Node;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_shard::FleetShard;
use vagn_store::disk::RealDisk;
use vagn_store::{DataDir, Reader, StoreError};

use super::super::exit::Coded;
use super::super::owner::Before;
use super::super::{counted, say};
use super::guest::{self, Guest, bar};
use super::shards;

/// What has not happened where it fails.
const UNDONE: &str = "nothing was exported";

/// Flags of `vagn cluster export`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster export --data-dir /var/lib/vagn-single --nats tls://a.example,b.example,c.example\n  \
vagn serve --data-dir /var/lib/vagn-single\n\n\
It copies every shard from an owner, and makes DIR of all of them: what was answered as stored before the command began is in it. The cluster goes on, and \
what it stores from then on is not, so first end what reports to it. Settings of the cluster (cluster.set, cluster.ca, …) are taken as `vagn serve` takes \
them, from VAGN_… and --config too: give it those of the nodes; `partitions` counts for DIR. The command needs memory for all vehicles.\n\
Of each vehicle it brings the last position as it is, with all times, the emergency flag, Seq and the counts of seals: a sealed report that the cluster has seen is \
refused by the single machine, too. A vehicle that is silent is forgotten when it would have been, by the single machine's forget_after. Not brought: \
the history, of which a cluster has none; incidents with their trail, devices, tokens and shares, which stay with the nodes: make devices and tokens anew.\n\n\
Exit codes: 0 DIR has the whole fleet; 1 a shard is missing, or something failed: DIR has no vehicles, run it again; 64 wrong usage or settings, or DIR is \
not empty; 69 DIR is in use."
)]
pub(super) struct ExportArgs {
    /// Data directory to be made for a single machine; it must be empty, or not there.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// NATS brokers of the cluster, such as tls://a.example,b.example,c.example; nats:// for loopback alone.
    #[arg(long, value_name = "URL,…")]
    nats: Option<String>,
    /// Settings file (TOML), as the nodes of the cluster have it.
    #[arg(long, value_name = "FILE", env = "VAGN_CONFIG")]
    config: Option<PathBuf>,
}

/// Exports the fleet, and prints how many vehicles it has.
///
/// # Errors
/// The directory is not empty, a shard is missing, or the directory cannot be filled.
pub(super) fn run(args: ExportArgs) -> anyhow::Result<()> {
    let ExportArgs { data_dir, nats, config } = args;
    let settings = guest::load(Some(data_dir), nats, config.as_deref())?;
    let (dir, partitions) = (settings.data_dir.clone(), settings.partitions);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    // Before the long work, and again after it.
    let before = Before::of(&dir);
    before.hand_over(check_empty(&dir))?;
    let guest = Guest { settings, command: "export", undone: UNDONE };
    let mut shards = Vec::new();
    guest.stay(clock.clone(), async |handle| {
        let reader = |node: &Node<FleetShard>, shard| node.shown(shard).map(FleetShard::reader);
        shards::each(handle, UNDONE, reader, |shard| {
            shards.push(shard);
            Ok(())
        })
        .await
    })?;
    // They do not change any more: the node that wrote them has ended.
    check_empty(&dir)?;
    let vehicles = before.hand_over(write(&dir, partitions, &shards, clock.now_ms()))?;
    let dir = dir.display();
    say(&format!(
        "exported {} of {}; start with `vagn serve --data-dir {dir}`\n",
        counted(vehicles, "vehicle"),
        counted(shards.len() as u64, "shard")
    ))
}

/// Refuses a directory that has anything but what an export that was cut off has left.
fn check_empty(dir: &Path) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(anyhow::Error::new(err).context(format!("list {}", dir.display()))),
    };
    let names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let is_ours = |name: &String| {
        ["manifest", "lock"].contains(&name.as_str())
            || name.starts_with("fleet-")
            || name.starts_with("removing-")
    };
    if !names.iter().all(is_ours) {
        let dir = dir.display();
        return Err(Coded::usage(format!(
            "{dir} is not empty; name a directory that is not there yet, or is empty"
        ))
        .into());
    }
    match open(dir, 0)?.was_used() {
        true => Err(of_store(StoreError::Used { dir: dir.to_owned() })),
        false => Ok(()),
    }
}

/// Opens the directory for this process alone.
fn open(dir: &Path, partitions: u32) -> anyhow::Result<DataDir> {
    let partitions = (partitions > 0).then_some(partitions);
    DataDir::open(Arc::new(RealDisk), dir, partitions, fastrand::u64(..)).map_err(of_store)
}

fn write(dir: &Path, partitions: u32, shards: &[Reader], now_ms: i64) -> anyhow::Result<u64> {
    let mut data = open(dir, partitions)?;
    let settings = vagn_store::Settings { hash_seed: fastrand::u64(..), ..vagn_store::Settings::default() };
    let vehicles = shards.iter().map(|shard| shard.len() as u64).sum();
    let progress = bar("wrote {pos} of {len} vehicles", vehicles);
    let written = data.adopt(shards, settings, now_ms, &|written| progress.set_position(written));
    progress.finish_and_clear();
    written.map_err(of_store)
}

fn of_store(err: StoreError) -> anyhow::Error {
    match err {
        StoreError::InUse { .. } => Coded::unavailable(err.to_string()).into(),
        StoreError::Used { .. } => Coded::usage(err.to_string()).into(),
        err => anyhow::Error::new(err).context("make the data directory"),
    }
}
