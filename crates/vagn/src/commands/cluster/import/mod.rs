//! `vagn cluster import`: brings the fleet of a single machine into a cluster, and leaves it where it is.
//!
//! For the time of the import this process is a node of the cluster, one that stores nothing. What it sends is judged by the shards
//! like any report, so a vehicle that is there with a newer position keeps it, and an import that was cut off is run again.

mod fleet;
mod sending;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_flow::metrics::MetricRegistry;
use vagn_nats::{Handle, Unavailable};
use vagn_shard::FleetShard;

use super::super::exit::{self, Coded};
use super::super::owner::Before;
use super::super::say;
use crate::cluster::{ClusterMetrics, News, NodeLink, NodeParts, Picture, tls};
use crate::config::{self, Settings};
use fleet::{OldFleet, Rows};
use sending::{Tally, send};

/// Longest wait for a cluster that can store.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Time after which it is told what is waited for: most clusters need less.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// Pause between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Time for the word to go out that this node leaves. Nodes say what they are twice a second.
const LEAVE_WITHIN: Duration = Duration::from_millis(1_200);

/// Flags of `vagn cluster import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster import --data-dir /var/lib/vagn --nats tls://a.example,b.example,c.example\n\n\
It brings the last position of each vehicle in DIR into the cluster, whose nodes must run; the service on DIR must be stopped. Settings of the \
cluster (cluster.set, cluster.ca, …) are taken as `vagn serve` takes them, from VAGN_… and --config too: give it those of the nodes.\n\
A position keeps its time: the vehicle's own or, where it sent none, that at which it arrived, which counts as the vehicle's own from then on. It counts \
as received now, so the vehicle is kept for forget_after from now. Not brought: the emergency flag, so that an import calls nobody; the \
history; Seq and the counts of seals, which begin anew; incidents, devices and tokens.\n\
A vehicle that is in the cluster already keeps what is newer, so the import can be run again, and what DIR has stays as it is.\n\n\
Exit codes: 0 all vehicles are in the cluster; 1 some are not, or something failed: run it again; 64 wrong usage or settings, or DIR has no fleet; \
69 DIR is in use."
)]
pub(super) struct ImportArgs {
    /// Data directory of a single machine whose service is stopped [default: ./vagn-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// NATS brokers of the cluster, such as tls://a.example,b.example,c.example; nats:// for loopback alone.
    #[arg(long, value_name = "URL,…")]
    nats: Option<String>,
    /// Settings file (TOML), as the nodes of the cluster have it.
    #[arg(long, value_name = "FILE", env = "VAGN_CONFIG")]
    config: Option<PathBuf>,
}

/// Imports the fleet, and prints how many vehicles were new.
///
/// # Errors
/// The directory is in use or has no fleet, the cluster cannot store, or some vehicles are not in it.
pub(super) fn run(args: ImportArgs) -> anyhow::Result<()> {
    let settings = load(args)?;
    let dir = &settings.data_dir;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let before = Before::of(dir);
    if !before.has_data() {
        return Err(fleet::none(dir));
    }
    let old = before.hand_over(OldFleet::open(dir, clock.now_ms()))?;
    let vehicles = old.vehicles();
    let sent = bring(settings.clone(), old.rows(clock.clone()), vehicles, clock);
    // Also after a failure: the next start finds it as an orderly stop leaves it.
    before.hand_over(old.close())?;
    tell(&sent?, vehicles)
}

fn load(args: ImportArgs) -> anyhow::Result<Settings> {
    let mut flags = config::Flags::new();
    flags.extend(args.data_dir.map(|dir| ("data_dir", dir.to_string_lossy().into_owned().into())));
    flags.extend(args.nats.map(|list| ("cluster.nats", list.into())));
    let loaded = config::load(args.config.as_deref(), std::env::vars_os(), flags)?;
    loaded.foreign.iter().for_each(exit::warn);
    let cluster = &loaded.settings.cluster;
    if !cluster.is_set() {
        let why =
            "name the brokers of the cluster with --nats, such as --nats tls://a.example,b.example,c.example";
        return Err(Coded::usage(why).into());
    }
    tls(cluster).map_err(|err| Coded::usage(format!("{:#}", anyhow::Error::new(err))))?;
    Ok(loaded.settings)
}

/// Runs a node, and sends the vehicles through it.
fn bring(settings: Settings, rows: Rows, vehicles: u64, clock: Arc<dyn Clock>) -> anyhow::Result<Tally> {
    let (link, set) = (NodeLink::default(), settings.cluster.set.clone());
    let node = NodeParts {
        name: format!("import-{:08x}", fastrand::u32(..)),
        stores: false,
        // It begins no data set.
        begin: Vec::new(),
        settings_hash: settings.cluster_hash(),
        files: None,
        draw: || fastrand::u64(..),
        clock,
        link: link.clone(),
        news: News::new(Arc::new(ClusterMetrics::new(&MetricRegistry::new()))),
        settings: settings.cluster,
    };
    let runtime = Builder::new_current_thread().enable_all().build().context("start the node")?;
    runtime.block_on(async {
        tokio::select! {
            ended = node.run() => match ended {
                Err(err) => Err(anyhow!(err).context("run a node of the cluster")),
                Ok(()) => bail!("the node of the import has ended"),
            },
            sent = through(&link, &set, rows, vehicles) => sent,
        }
    })
}

async fn through(link: &NodeLink<FleetShard>, set: &str, rows: Rows, vehicles: u64) -> anyhow::Result<Tally> {
    let handle = ready(link, set).await?;
    let progress = bar(vehicles);
    let sent = send(&handle, rows, &progress).await;
    progress.finish_and_clear();
    // Else the nodes would miss it, and say so for an hour.
    if handle.leave().is_ok() {
        sleep(LEAVE_WITHIN).await;
    }
    Ok(sent)
}

/// Waits until the cluster can store, and says what it waits for.
async fn ready(link: &NodeLink<FleetShard>, set: &str) -> anyhow::Result<Handle<FleetShard>> {
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        let lack = match link.handle() {
            Ok(handle) => match lack(&handle, set).await {
                None => return Ok(handle),
                Some(lack) => lack,
            },
            Err(Unavailable) => "no broker of `cluster.nats` answers".to_owned(),
        };
        let waited = begun.elapsed();
        if waited >= READY_WITHIN {
            bail!("nothing was imported: for {} s, {lack}", READY_WITHIN.as_secs());
        }
        if waited >= TELL_AFTER && lack != told {
            eprintln!("waiting: {lack}");
            told = lack;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Returns what the cluster lacks to store.
async fn lack(handle: &Handle<FleetShard>, set: &str) -> Option<String> {
    let Ok(picture) = handle.look(Picture::of).await else { return Some("the node is busy".to_owned()) };
    if !picture.is_known {
        return Some(format!(
            "the brokers have no data set `{set}`; start the nodes of the cluster, or set cluster.set as they have it"
        ));
    }
    let unowned: Vec<_> = picture.unowned().iter().map(u16::to_string).collect();
    let lack = || format!("no node answers for all of these shards: {}", unowned.join(", "));
    (!unowned.is_empty()).then(lack)
}

fn bar(vehicles: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos} of {len} vehicles {wide_bar} {eta}")
        .expect("the template is right");
    ProgressBar::new(vehicles).with_style(style)
}

/// Prints what became of the vehicles.
fn tell(sent: &Tally, vehicles: u64) -> anyhow::Result<()> {
    let Tally { imported, there, no_fix, ahead } = *sent;
    say(&format!("imported {imported} vehicles, {there} were there already\n"))?;
    let left = vehicles.saturating_sub(sent.settled());
    let reasons = [
        (
            left,
            "were not stored within a minute: see `vagn cluster status`, and whether `max_vehicles` is reached; then run it again",
        ),
        (ahead, "have a time ahead of this machine's clock: set that right, and run it again"),
        (no_fix, "are exactly at 0, 0, which is no position for a vehicle that is new"),
    ];
    let reasons: Vec<_> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} vehicles {what}"))
        .collect();
    if reasons.is_empty() { Ok(()) } else { Err(anyhow!(reasons.join("\n"))) }
}
