//! `vagn cluster import`: brings the fleet of a single machine into a cluster, and leaves it where it is.
//!
//! For the time of the import this process is a node of the cluster, one that stores nothing. What it sends is judged by the shards
//! like any report, so a vehicle that is there with a newer position keeps it, and an import that was cut off is run again.

mod fleet;
mod said;
mod sending;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::anyhow;
use clap::Args;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_nats::Handle;
use vagn_registry::Registry;
use vagn_shard::FleetShard;

use super::super::exit::Coded;
use super::super::owner::Before;
use super::super::{counted, say};
use super::guest::{self, Guest, bar};
use crate::config::Settings;
use crate::control::{RegistryFault, read_key};
use fleet::{OldFleet, Rows};
use said::Brought;
use sending::{Tally, send};

/// Flags of `vagn cluster import`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster import --data-dir /var/lib/vagn --nats tls://a.example,b.example,c.example\n\n\
It brings the last position of each vehicle in DIR, and its devices, tokens and shares, into the cluster, whose nodes must run; the service on DIR must be stopped. Settings of the \
cluster (cluster.set, cluster.ca, …) are taken as `vagn serve` takes them, from VAGN_… and --config too: give it those of the nodes.\n\
A position keeps its time: the vehicle's own or, where it sent none, that at which it arrived, which counts as the vehicle's own from then on. It counts \
as received now, so the vehicle is kept for forget_after from now. Not brought: the emergency flag, so that an import calls nobody; the \
history; Seq and the counts of seals, which begin anew; incidents; sessions of browsers.\n\
A device or token that the cluster has differently is left out and named, with exit code 1; registry.key_file must be that of the nodes.\n\
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
    let ImportArgs { data_dir, nats, config } = args;
    let settings = guest::load(data_dir, nats, config.as_deref())?;
    let dir = &settings.data_dir;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let before = Before::of(dir);
    if !before.has_data() {
        return Err(fleet::none(dir));
    }
    let old = before.hand_over(OldFleet::open(dir, clock.now_ms()))?;
    let vehicles = old.vehicles();
    let key_file = Some(settings.registry.key_file.clone()).filter(|path| !path.as_os_str().is_empty());
    let usage = |err: RegistryFault| Coded::usage(err.to_string());
    let key = key_file.as_deref().map(read_key).transpose().map_err(usage)?;
    let registry = old.registry(key_file.as_deref()).map_err(usage)?;
    let sent = bring(settings.clone(), old.rows(clock.clone()), (registry, key), vehicles, clock);
    // Also after a failure: the next start finds it as an orderly stop leaves it.
    before.hand_over(old.close())?;
    let (sent, brought) = sent?;
    let told = [tell(&sent, vehicles), tell_of_registry(&brought)];
    let errors: Vec<_> = told.into_iter().filter_map(Result::err).map(|err| err.to_string()).collect();
    if errors.is_empty() { Ok(()) } else { Err(anyhow!(errors.join("\n"))) }
}

/// Sends the vehicles through a node, and then what people said.
fn bring(
    settings: Settings,
    rows: Rows,
    (registry, key): (Option<Registry>, Option<[u8; 32]>),
    vehicles: u64,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<(Tally, Brought)> {
    let guest = Guest { settings, command: "import", undone: "nothing was imported" };
    guest.stay(clock, async |handle: &Handle<FleetShard>| {
        let progress = bar("{pos} of {len} vehicles", vehicles);
        let sent = send(handle, rows, &progress).await;
        progress.finish_and_clear();
        let brought = match &registry {
            Some(registry) => said::bring(handle.brokers(), registry, key.as_ref()).await?,
            None => Brought::default(),
        };
        Ok((sent, brought))
    })
}

/// Prints what became of devices, tokens and shares, if there were any.
fn tell_of_registry(brought: &Brought) -> anyhow::Result<()> {
    let Brought { added, there, conflicts } = brought;
    if added + there > 0 {
        say(&format!("imported {added} devices, tokens and shares, {there} were there already\n"))?;
    }
    if conflicts.is_empty() {
        return Ok(());
    }
    Err(anyhow!("left out, as the cluster has others:\n{}", conflicts.join("\n")))
}

/// Prints what became of the vehicles.
fn tell(sent: &Tally, vehicles: u64) -> anyhow::Result<()> {
    let Tally { imported, there, no_fix, ahead } = *sent;
    say(&format!("imported {}, {there} were there already\n", counted(imported, "vehicle")))?;
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
