//! `vagn share`: links that show one vehicle for some time.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::table::{self, Column, minute};
use super::{RegistryArgs, life, ms, text};
use crate::config::Span;
use crate::control::ControlRequest;

/// Flags of `vagn share`.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  vagn share add TAXI1 --expires 12h\n  vagn share list\n  vagn share revoke 17\n\n\
Its holder sees place, time and heading of this one vehicle, and nothing else. Only a hash of a link is kept: it is shown once, when it \
is made.\n\n\
Exit codes: 0 done; 1 refused, or the registry cannot be used; 64 wrong usage; 69 the service or the \
data directory was busy for 10 s, or the service cannot be asked."
)]
pub(in crate::commands) struct ShareArgs {
    #[command(subcommand)]
    command: ShareCommand,
}

#[derive(Debug, Subcommand)]
enum ShareCommand {
    /// Make a link to one vehicle.
    Add(AddArgs),
    /// List the links.
    List(ListArgs),
    /// Revoke a link.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn share add TAXI1 --expires 12h")]
struct AddArgs {
    /// Id of the vehicle.
    #[arg(value_name = "ID")]
    vehicle_id: Box<str>,
    /// Time until it ends, such as 12h; at most 30d.
    #[arg(long, value_name = "TIME", value_parser = life, default_value = "24h")]
    expires: Span,
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    registry: RegistryArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// Its number in the list.
    number: u64,
    #[command(flatten)]
    registry: RegistryArgs,
}

const COLUMNS: [Column; 5] = [
    ("NUMBER", 8, |share| share["number"].to_string()),
    ("VEHICLE", 24, |share| text(share, "vehicle_id").to_owned()),
    ("MADE BY", 20, |share| text(share, "by").to_owned()),
    ("EXPIRES", 16, |share| minute(share, "expires_at")),
    ("STATE", 0, |share| text(share, "state").replace('_', " ")),
];

/// Changes or lists the links.
///
/// # Errors
/// When it is refused, or the registry cannot be used.
pub(in crate::commands) fn run(args: ShareArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        ShareCommand::Add(AddArgs { vehicle_id, expires, registry }) => {
            registry.answer(&ControlRequest::ShareAdd { vehicle_id, expires_in_ms: ms(expires) }, added)?;
        }
        ShareCommand::List(ListArgs { registry }) => {
            let none = "no vehicle is shared; `vagn share add ID --expires 12h` makes a link\n";
            table::print(&registry, &ControlRequest::ShareList {}, &COLUMNS, none)?;
        }
        ShareCommand::Revoke(RevokeArgs { number, registry }) => {
            registry.answer(&ControlRequest::ShareRevoke { number }, revoked)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn added(share: &Value) -> String {
    let (link, remedy) = match share["url"].as_str() {
        Some(url) => (url, ""),
        None => {
            (text(share, "path"), "Put it behind the address of the API, such as https://vagn.example:9090. ")
        }
    };
    format!(
        "{} is shared until {} UTC:\n  {link}\n{remedy}It is shown this once; `vagn share revoke {}` ends it.\n",
        text(share, "vehicle_id"),
        minute(share, "expires_at"),
        share["number"],
    )
}

fn revoked(share: &Value) -> String {
    format!("The share {} is revoked: its link shows nothing any more.\n", share["number"])
}
