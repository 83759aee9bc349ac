//! `vagn cluster`: the cluster that a running service is a node of.

mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::exit::{Coded, of_control};
use super::{say, say_as_it_is};
use crate::control::{self, ClientError, ControlRequest};

/// Flags of `vagn cluster`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show nodes, shards and brokers, as the service on this machine sees them.
    Status(StatusArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn cluster status --data-dir /var/lib/vagn\n\n\
A shard is whole where an owner is `full` and `caught up`. LAG is in entries behind the owner that has most; what is not on this node has none.\n\n\
Exit codes: 0 shown; 1 the service is not a node of a cluster, or failed; 64 wrong usage; 69 no service runs, or its node is starting.")]
struct StatusArgs {
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// Print JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Asks the service.
///
/// # Errors
/// No service runs, it is no node of a cluster, or it cannot be asked.
pub(super) fn run(args: ClusterArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ClusterCommand::Status(args) => status(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let service = control::connect(&args.data_dir).map_err(|err| match err {
        ClientError::NoService => {
            let dir = args.data_dir.display();
            Coded::unavailable(format!("no service runs on {dir}; name its data directory with --data-dir"))
                .into()
        }
        err => anyhow::Error::new(err),
    })?;
    let shown = service.ask(&ControlRequest::ClusterStatus {}, &mut |_| Ok(())).map_err(of_control)?;
    if args.json { say_as_it_is(&format!("{shown}\n")) } else { say(&table::of(&shown)) }
}
