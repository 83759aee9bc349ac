//! `vagn repair`: makes a damaged data directory usable again, after it has said what it will do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::exit::Coded;
use super::owner::Before;
use super::{counted, say};
use vagn_emergency::record::store::{is_damaged, rebuild, set_aside};
use vagn_flow::clock::{Clock, SystemClock};
use vagn_http::own_certificate;
use vagn_registry::Registry;
use vagn_store::private::{Rights, tighten};
use vagn_store::{RepairReport, StoreError};

/// Most names that are tried for what is moved aside.
const NAMES_MAX: u32 = 1000;

/// Flags of `vagn repair`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn repair --data-dir ./vagn-data --dry-run\n  \
vagn repair --data-dir ./vagn-data\n\n\
It first prints what it will do, each line with `plan:`, and then does it. Nothing is deleted: what cannot be read is moved to files \
ending in .damaged beside the original, and what is cut from the end of a log to a directory `cut-…`. A repair that was \
interrupted is run again.\n\n\
Exit codes: 0 done, 1 something cannot be read or written, 64 wrong usage, 69 data directory in use.")]
pub(super) struct RepairArgs {
    /// Data directory of a service that is not running.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Prints what is to be done, repairs the data directory, and prints what was done.
///
/// # Errors
/// When the directory is in use or cannot be read or written.
pub(super) fn run(args: RepairArgs) -> anyhow::Result<ExitCode> {
    let dir = &args.data_dir;
    let plan = told(dir, vagn_store::plan_repair(dir))?;
    let incidents = is_damaged(dir).context("look at the incident store")?;
    let certificate = own_certificate::damage(dir);
    let lost_registry = plan.files.iter().any(|file| file.file == dir.join(Registry::FILE));
    if args.dry_run || !plan.files.is_empty() || incidents || certificate.is_some() {
        say(&planned(&plan, incidents, certificate.is_some()))?;
        if lost_registry {
            say(
                "plan: registry: begun anew and closed: no key, token or share is left, and the API asks for a token\n",
            )?;
        }
    }
    if args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let before = Before::of(dir);
    before.hand_over(mend(dir, lost_registry))?;
    Ok(ExitCode::SUCCESS)
}

/// Does what was planned, and prints what was done.
fn mend(dir: &Path, lost_registry: bool) -> anyhow::Result<()> {
    // First: the repair of the directory then notes that the store is to be made anew.
    let moved = set_aside(dir).context("repair the incident store")?;
    let rebuilt =
        rebuild(dir, SystemClock::new().now_ms()).context("make an incident store of its journal")?;
    // Before the repair forgets that it was lost: one that is interrupted leaves no open API.
    if lost_registry {
        set_registry_aside(dir).context("move aside what is left of the registry")?;
        begin_closed(dir)?;
    }
    let report = told(dir, vagn_store::repair(dir))?;
    if lost_registry {
        say(&format!(
            "registry: begun anew, and closed: every key, token and share is gone. The API asks for a token: make one with \
             `vagn token add NAME --role admin --person --data-dir {}`, and new keys with `vagn device add ID`; until then \
             `auth.devices = \"mixed\"` takes open reports for every vehicle\n",
            dir.display()
        ))?;
    }
    say(&format!("{report}\n"))?;
    if let Some(path) = moved {
        say(&format!("incident store: cannot be read; moved to {}\n", path.display()))?;
    }
    if let Some(incidents) = rebuilt {
        let incidents = counted(incidents as u64, "incident");
        say(&format!("incident store: made anew, with the {incidents} that its journal has\n"))?;
    }
    repair_certificate(dir)?;
    make_private(dir)
}

/// Begins a registry under which the API asks for tokens: it did so when one was lost, for all that is known.
fn begin_closed(dir: &Path) -> anyhow::Result<()> {
    Registry::open(dir, None)?.close().context("note that the API asks for tokens")
}

/// Moves aside what has the name of the registry and cannot be one: an empty file, or a directory.
fn set_registry_aside(dir: &Path) -> io::Result<()> {
    let file = dir.join(Registry::FILE);
    if fs::symlink_metadata(&file).is_err_and(|err| err.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let mut names = (1..=NAMES_MAX).map(|number| dir.join(format!("{}.damaged-{number}", Registry::FILE)));
    let free = names.find(|name| fs::symlink_metadata(name).is_err());
    fs::rename(file, free.ok_or(io::ErrorKind::AlreadyExists)?)
}

fn told(dir: &Path, report: Result<RepairReport, StoreError>) -> anyhow::Result<RepairReport> {
    let report = report.map_err(|err| match err {
        StoreError::InUse { .. } => anyhow::Error::new(Coded::unavailable(err.to_string())),
        other => other.into(),
    });
    report.with_context(|| format!("repair {}", dir.display()))
}

/// Makes the directory private, as each start does too.
fn make_private(dir: &Path) -> anyhow::Result<()> {
    let Rights { open, stuck } = tighten(dir);
    if !open.is_empty() {
        say(&format!(
            "data directory: other users could read {} files and directories; now private\n",
            open.len()
        ))?;
    }
    stuck.first().map_or(Ok(()), |(path, err)| {
        say(&format!("data directory: {} cannot be made private: {err}\n", path.display()))
    })
}

fn planned(plan: &RepairReport, incidents: bool, certificate: bool) -> String {
    let mut lines: String = plan.to_string().lines().map(|line| format!("plan: {line}\n")).collect();
    if incidents {
        lines += "plan: incident store: cannot be read; it is moved aside\n";
    }
    if certificate {
        lines += "plan: certificate: cannot be used; cert.pem and key.pem are moved aside\n";
    }
    lines
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
