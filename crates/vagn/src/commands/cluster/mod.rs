//! `vagn cluster`: the cluster that a running service is a node of.

pub(super) mod copy;
mod drain;
mod export;
mod guest;
mod import;
mod mend;
mod settings;
mod shards;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::exit::{Coded, of_control};
use super::{say, say_as_it_is};
use crate::control::{self, ClientError, Connection, ControlRequest};

/// Flags of `vagn cluster`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
#[command(after_help = "Examples:\n  \
vagn serve --nats tls://a.example,b.example,c.example    # makes this machine a node\n  \
vagn cluster status --data-dir /var/lib/vagn             # is every shard whole?\n  \
vagn cluster repair 3 --data-dir /var/lib/vagn           # shard 3 is `stopped`, all its owners run\n  \
vagn cluster drain --data-dir /var/lib/vagn              # this node goes for good\n  \
vagn cluster lead --data-dir /var/lib/vagn               # calls for help have no leader, as settings differ\n  \
vagn cluster import --data-dir /var/lib/vagn-old --nats tls://a.example,b.example,c.example\n\n\
A cluster is several services, its nodes, that have one fleet together. The fleet is divided into shards; each is a stream at the NATS brokers, and \
two nodes, its owners, keep it on disk. Any node takes reports and answers for the whole fleet.\n\
`status`, `repair`, `drain` and `lead` ask the service that runs on --data-dir, so use them on a machine of the cluster. `import` reads the data \
directory of a single machine whose service is stopped, and speaks to the brokers itself.\n\n\
`vagn cluster COMMAND --help` tells more, and docs/cluster.md all.")]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show nodes, shards and brokers, as the service on this machine sees them.
    Status(StatusArgs),
    /// Begin a new epoch of a shard, or of the trail of calls for help, whose stream is broken.
    Repair(RepairArgs),
    /// Have this node give away its shards, before it is removed for good.
    Drain(drain::DrainArgs),
    /// Let this node lead calls for help although its settings differ from those of the last leader.
    Lead(LeadArgs),
    /// Bring the fleet of a single machine, whose service is stopped, into a cluster.
    Import(import::ImportArgs),
    /// Bring the whole fleet of a cluster back into a data directory of a single machine.
    Export(export::ExportArgs),
    /// Bring changed settings of what is kept into all shards of a cluster.
    Settings(settings::SettingsArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn cluster status --data-dir /var/lib/vagn\n  \
vagn cluster status --whole --data-dir /var/lib/vagn    # may the next node be restarted?\n\n\
A shard is whole where an owner is `full` and `caught up`. LAG is in entries behind the owner that has most; what is not on this node has none.\n\n\
Exit codes: 0 shown, or with --whole all shards are at two nodes; 1 they are not, or it is not known, or the service is not a node of a cluster, or failed; 64 wrong usage; 69 no service runs, or its node is starting.")]
struct StatusArgs {
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
    /// Say only which shards are not at two nodes that have all and follow, for probes.
    #[arg(long, conflicts_with = "json")]
    whole: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vagn cluster repair 3 --data-dir /var/lib/vagn\n  vagn cluster repair --trail --data-dir /var/lib/vagn\n  \
vagn cluster repair --all --data-dir /var/lib/vagn    # the disks of all brokers are lost, or the node is made of a copy\n\n\
A shard stops where its stream was deleted, made anew, or lost its end: `vagn cluster status` and /readyz name it. The owner that has most begins a \
new stream from its log, and each other owner publishes again what only it has: so first see to it that all owners run. Nothing that was answered as \
stored is lost while one owner has it.\n\n\
It waits until the new epoch is begun, half a minute at most, and says why where none is.\n\n\
The trail of calls for help (--trail) is begun anew from the node that has most of it, which is named if it is another one. The others copy it, and hand in what only they had.\n\n\
With --all it does so with each shard that no node answers for, and with the trail where it is broken, until each shard has an owner and calls for help have a leader, for 5 min at \
most. What is not broken is left alone; a stream that is gone counts as broken after 12 s.\n\n\
Exit codes: 0 begun; 1 refused, or failed; 64 wrong usage; 69 no service runs, or its node is starting and does not know the shards yet: try it again."
)]
struct RepairArgs {
    /// Number of the shard.
    #[arg(required_unless_present_any = ["trail", "all"])]
    shard: Option<u16>,
    /// The trail of calls for help, in place of a shard.
    #[arg(long, conflicts_with = "shard")]
    trail: bool,
    /// All that is broken: every shard that no node answers for, and the trail.
    #[arg(long, conflicts_with_all = ["shard", "trail"])]
    all: bool,
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vagn cluster lead --data-dir /var/lib/vagn    # with the settings of this node\n\n\
One node leads calls for help. A node whose targets, secrets, bounds or times differ from those of the last leader does not take over, as \
it would call somebody else: /readyz says so. Where you change the settings of all nodes, one after the other, the last one with the old settings leads \
until it is restarted. Then one of the others leads by itself, within some 20 s, if most nodes have the new settings and none that is heard has the old ones. Else, as where \
half of the nodes are away, run this at one of them. Until it leads, calls are made by the nodes that take them.\n\n\
It is asked, and claims once no leader has been heard for 3 s; a restart of the service takes it back.\n\n\
Exit codes: 0 asked; 1 refused, or failed; 64 wrong usage; 69 no service runs, or its part in calls for help is starting."
)]
struct LeadArgs {
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Asks the service, or the cluster by a node of its own.
///
/// # Errors
/// No service runs, it is no node of a cluster, or it cannot be asked; those of [`import::run`], [`export::run`] and [`settings::run`].
pub(super) fn run(args: ClusterArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ClusterCommand::Status(args) => return status(&args),
        ClusterCommand::Repair(args) => repair(&args)?,
        ClusterCommand::Drain(args) => drain::run(&args)?,
        ClusterCommand::Lead(args) => lead(&args)?,
        ClusterCommand::Import(args) => import::run(args)?,
        ClusterCommand::Export(args) => export::run(args)?,
        ClusterCommand::Settings(args) => settings::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let shown = ask(&args.data_dir, &ControlRequest::ClusterStatus {})?;
    if args.whole {
        let Some(lack) = lack(&shown) else { return Ok(ExitCode::SUCCESS) };
        say(&format!("{lack}\n"))?;
        return Ok(ExitCode::FAILURE);
    }
    if args.json { say_as_it_is(&format!("{shown}\n")) } else { say(&table::of(&shown)) }?;
    Ok(ExitCode::SUCCESS)
}

/// What `--whole` finds lacking: where it is not known which shards there are, nothing says that they are whole.
fn lack(shown: &Value) -> Option<String> {
    if items(shown, "shards").next().is_none() {
        return Some("shards: not known yet".to_owned());
    }
    let lone = lone(shown);
    (!lone.is_empty()).then(|| format!("shards that are not at two nodes that have all: {}", lone.join(", ")))
}

/// Shards that fewer than two owners have all of; where only one node stores, fewer than one.
fn lone(shown: &Value) -> Vec<String> {
    let stores = items(shown, "members").filter(|member| member["stores"] == true).count();
    // What an owner said of itself last stays for some seconds after it has died or left.
    let is_there = |member: &Value| member["heard"] == true && member["leaves"] == false;
    let there: Vec<_> =
        items(shown, "members").filter(|member| is_there(member)).map(|member| &member["name"]).collect();
    let has_all = |owner: &&Value| {
        owner["full"] == true && owner["caught_up"] == true && there.contains(&&owner["node"])
    };
    let is_lone = |shard: &&Value| items(shard, "owners").filter(has_all).count() < stores.clamp(1, 2);
    items(shown, "shards").filter(is_lone).map(|shard| shard["shard"].to_string()).collect()
}

fn items<'a>(of: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    of[name].as_array().into_iter().flatten()
}

fn repair(args: &RepairArgs) -> anyhow::Result<()> {
    let RepairArgs { shard, data_dir, all, .. } = args;
    if *all {
        return mend::run(data_dir);
    }
    let dir = data_dir.display();
    let Some(shard) = shard else {
        let done = ask(data_dir, &ControlRequest::ClusterRepairTrail {})?;
        let done = done.as_str().unwrap_or_default();
        return say(&format!("{done}; `vagn cluster status --data-dir {dir}` shows which node leads\n"));
    };
    ask(data_dir, &ControlRequest::ClusterRepair { shard: *shard })?;
    say(&format!(
        "a new epoch of shard {shard} is begun; `vagn cluster status --data-dir {dir}` shows when it is whole\n"
    ))
}

fn lead(args: &LeadArgs) -> anyhow::Result<()> {
    ask(&args.data_dir, &ControlRequest::ClusterLead {})?;
    let dir = args.data_dir.display();
    say(&format!(
        "this node claims once no leader is heard; `vagn cluster status --data-dir {dir}` shows which node leads\n"
    ))
}

fn ask(data_dir: &Path, request: &ControlRequest) -> anyhow::Result<Value> {
    connect(data_dir)?.ask(request, &mut |_| Ok(())).map_err(of_control)
}

/// Connects to the service that runs on a data directory.
fn connect(data_dir: &Path) -> anyhow::Result<Connection> {
    control::connect(data_dir).map_err(|err| match err {
        ClientError::NoService => {
            let dir = data_dir.display();
            Coded::unavailable(format!("no service runs on {dir}; name its data directory with --data-dir"))
                .into()
        }
        err => anyhow::Error::new(err),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is lacking of shard 7, where nodes store or not, are there or not, and own it with all of it or not.
    fn lack_of(nodes: &[(bool, Value, Option<bool>)]) -> Option<String> {
        let names = || (0..nodes.len()).map(|number| format!("node-{number}"));
        let members = names().zip(nodes).map(|(name, (stores, there, _))| {
            let mut member = json!({"name": name, "stores": stores});
            member.as_object_mut().unwrap().extend(there.as_object().unwrap().clone());
            member
        });
        let owners = names().zip(nodes).filter_map(|(name, (.., caught_up))| {
            caught_up.map(|caught_up| json!({"node": name, "full": true, "caught_up": caught_up}))
        });
        let (members, owners): (Vec<_>, Vec<_>) = (members.collect(), owners.collect());
        lack(&json!({"members": members, "shards": [{"shard": 7, "owners": owners}]}))
    }

    #[test]
    fn a_shard_is_whole_at_two_nodes_that_have_all_or_at_the_only_one() {
        let there = || json!({"heard": true, "leaves": false});
        let shown = |nodes: &[(bool, Option<bool>)]| {
            let nodes: Vec<_> = nodes.iter().map(|(stores, owns)| (*stores, there(), *owns)).collect();
            lack_of(&nodes)
        };
        let lone = Some("shards that are not at two nodes that have all: 7".to_owned());
        assert_eq!(shown(&[(true, Some(true)), (true, Some(true)), (true, None)]), None);
        assert_eq!(shown(&[(true, Some(true)), (true, Some(false)), (true, None)]), lone);
        assert_eq!(shown(&[(true, Some(true)), (true, None), (false, None)]), lone);
        assert_eq!(shown(&[(true, Some(true)), (false, None)]), None);
        assert_eq!(shown(&[(true, Some(false))]), lone);
        assert_eq!(shown(&[(false, None)]), lone);
    }

    #[test]
    fn an_owner_counts_while_it_is_heard_and_does_not_leave() {
        let with_second = |there: Value| {
            lack_of(&[(true, json!({"heard": true, "leaves": false}), Some(true)), (true, there, Some(true))])
        };
        assert_eq!(with_second(json!({"heard": true, "leaves": false})), None);
        for gone in [
            json!({"heard": false, "leaves": false}),
            json!({"heard": true, "leaves": true}),
            json!({"heard": false, "leaves": true}),
        ] {
            assert!(with_second(gone.clone()).is_some_and(|lack| lack.ends_with(": 7")), "{gone}");
        }
        let stranger = json!({
            "members": [{"name": "node-0", "stores": true, "heard": true, "leaves": false}],
            "shards": [{"shard": 7, "owners": [{"node": "00000000000000ff", "full": true, "caught_up": true}]}],
        });
        assert!(lack(&stranger).is_some(), "an owner that was never heard");
    }

    #[test]
    fn shards_that_are_not_known_are_not_whole() {
        let shown =
            json!({"members": [{"name": "a", "stores": true, "heard": true, "leaves": false}], "shards": []});
        assert_eq!(lack(&shown).as_deref(), Some("shards: not known yet"));
        assert!(lack(&json!({})).is_some());
    }
}
