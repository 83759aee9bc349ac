//! `vagn repair`: moves damaged parts of a data directory aside, so that the rest works again.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::exit::Coded;
use super::say;
use vagn_emergency::record::store::{rebuild, set_aside};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_http::own_certificate;

/// Flags of `vagn repair`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn repair --data-dir ./vagn-data\n\n\
Nothing is deleted: what cannot be read is moved to files ending in .damaged beside the original.\n\n\
Exit codes: 0 done, 1 something cannot be read or written, 64 wrong usage, 69 data directory in use.")]
pub(super) struct RepairArgs {
    /// Data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Repairs the data directory and prints what was done.
///
/// # Errors
/// When the directory is in use or cannot be read or written.
pub(super) fn run(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let report = vagn_store::repair(&args.data_dir).map_err(|err| match err {
        vagn_store::StoreError::InUse { .. } => anyhow::Error::new(Coded::unavailable(err.to_string())),
        other => other.into(),
    });
    let report = report.with_context(|| format!("repair {}", args.data_dir.display()))?;
    say(&format!("{report}\n"))?;
    let incidents = set_aside(&args.data_dir).context("repair the incident store")?;
    if let Some(path) = incidents {
        say(&format!("incident store: cannot be read; moved to {}\n", path.display()))?;
    }
    let now_ms = SystemClock::new().now_ms();
    if let Some(incidents) =
        rebuild(&args.data_dir, now_ms).context("make an incident store of its journal")?
    {
        say(&format!("incident store: made anew, with the {incidents} incidents that its journal has\n"))?;
    }
    repair_certificate(&args.data_dir)?;
    Ok(ExitCode::SUCCESS)
}

/// Moves a damaged certificate of the service's own aside.
fn repair_certificate(data_dir: &Path) -> anyhow::Result<()> {
    let aside = own_certificate::set_aside(data_dir).context("repair the certificate")?;
    let Some(aside) = aside else { return Ok(()) };
    let moved_to: Vec<_> = aside.moved_to.iter().map(|path| path.display().to_string()).collect();
    say(&format!(
        "certificate: {:#}; moved to {}; the next start makes a new one, which clients that trust the old one have to be given\n",
        anyhow::Error::new(aside.why),
        moved_to.join(" and ")
    ))
}
