//! `vagn cluster settings`: brings `forget_after` and `max_vehicles` into all shards, where they hold as they were when the data set began.
//!
//! Each shard has its own as an entry of its stream, so that all replicas change at the same place.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Args;
use vagn_cluster::{NewChange, ShardId};
use vagn_flow::clock::SystemClock;
use vagn_nats::Handle;
use vagn_shard::FleetShard;
use vagn_wire::Fate;

use super::super::exit::Coded;
use super::super::say;
use super::guest::{self, Guest};
use crate::config::Settings;

/// Flags of `vagn cluster settings`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster settings --nats tls://a.example,b.example,c.example --config /etc/vagn/vagn.toml\n\n\
What a shard keeps follows from its stream alone, so `forget_after` and `max_vehicles` of a node's settings count only when the data set begins. To change \
them: write them into the settings of all nodes, restart the nodes one by one, and run this with the same settings. It can be run again, and changes nothing \
then. Vehicles beyond a lower `max_vehicles` stay; new ones are shed. Those that were silent for longer than a shorter `forget_after` are forgotten \
within minutes, and do not come back when it is made longer again.\n\n\
Exit codes: 0 they hold in all shards; 1 in some they perhaps do not: run it again; 64 wrong usage, or settings that a node does not have."
)]
pub(super) struct SettingsArgs {
    /// NATS brokers of the cluster, such as tls://a.example,b.example,c.example; nats:// for loopback alone.
    #[arg(long, value_name = "URL,…")]
    nats: Option<String>,
    /// Settings file (TOML), as the nodes of the cluster have it.
    #[arg(long, value_name = "FILE", env = "VAGN_CONFIG")]
    config: Option<PathBuf>,
}

/// Brings the settings into all shards, and says so.
///
/// # Errors
/// The cluster cannot store, or some shards have not answered.
pub(super) fn run(args: SettingsArgs) -> anyhow::Result<()> {
    let settings = guest::load(None, args.nats, args.config.as_deref())?;
    let guest = Guest { settings: settings.clone(), command: "settings", undone: "nothing was changed" };
    let clock = Arc::new(SystemClock::new());
    let shards = guest.stay(clock, async |handle: &Handle<FleetShard>| send(handle, &settings).await)?;
    let Settings { forget_after, max_vehicles, .. } = settings;
    say(&format!(
        "forget_after = \"{forget_after}\" and max_vehicles = {max_vehicles} hold in all {shards} shards\n"
    ))
}

/// Sends the settings to all shards. Returns how many there are.
async fn send(handle: &Handle<FleetShard>, settings: &Settings) -> anyhow::Result<u16> {
    let count = handle.look(|node| node.shard_count()).await?;
    let count = count.ok_or_else(|| anyhow!("it is not known which shards there are; run it again"))?;
    let others = handle.look(|node| node.members()).await?;
    // They are what everybody else goes by; and a command that was given no file has the settings of a fleet that is begun.
    if let Some(other) = others.iter().find(|other| other.is_heard && other.stores && other.differs) {
        let name = &other.name;
        let why = "nothing was changed: name with --config the settings file that all nodes have, and restart nodes whose settings are older";
        return Err(Coded::usage(format!("the node {name} has other settings than these; {why}")).into());
    }
    let value = settings.of_shards(count.into()).to_bytes();
    let change = |shard| NewChange::Setting { shard: ShardId(shard), value: value.clone() };
    let changes: Vec<_> = (0..count).map(change).collect();
    let fates = handle.submit(changes)?.await.unwrap_or_default();
    let open: Vec<_> = (0..count)
        .filter(|shard| fates.get(usize::from(*shard)) != Some(&Fate::Stored))
        .map(|shard| shard.to_string())
        .collect();
    if !open.is_empty() {
        bail!("shards that perhaps have not taken the settings: {}; run it again", open.join(", "));
    }
    Ok(count)
}
