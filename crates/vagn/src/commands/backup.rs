//! `vagn backup`: copies the data directory of a service, whether it runs or not, or a whole service on many machines, and reads the copy back.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use vagn_flow::clock::{Clock, SystemClock};
use vagn_store::disk::RealDisk;
use vagn_store::{BackupError, BackupProgress, BackupStep, FleetSource, StoreError, UncheckedBackup};

use super::exit::{self, Coded};
use super::{cluster, counted, say};
use crate::backup::{Checked, check, check_shards, copy_stopped};
use crate::control::{self, ClientError, ControlLine, ControlRequest};

/// Flags of `vagn backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn backup /backups/monday --data-dir /var/lib/vagn\n  \
vagn restore /backups/monday --data-dir /var/lib/vagn-again\n  \
vagn backup /backups/monday --nats tls://a.example,b.example,c.example --config vagn.toml    # many machines\n\n\
While the service runs it makes the copy itself, so its user must be able to write where DIR is to be; reports and alarms go on \
meanwhile. All that was answered before the backup began is in it. Where both are on one file system, files that never change are \
shared (hard links): copy DIR to another disk or machine afterwards. It has positions, alarms and secrets: keep it as safe as the data \
directory.\n\
With --nats, or with the --config of a node, it copies the whole service that runs on many machines, over its brokers: all shards of the fleet, all incidents with their \
trail, devices, tokens and shares. All that was answered before the command began is in it; each shard is as it was at a moment of its own, which is printed. The copy is the data directory of one node that has all: \
`vagn restore` makes it, and docs/cluster.md says how the service comes back on new brokers. The command needs memory for all vehicles. With --data-dir of a node, which must be stopped, it copies that node \
without its shards.\n\
A copy that was cut off is not taken for one: remove it.\n\n\
Exit codes: 0 made and checked; 1 something cannot be read, written or opened; 64 wrong usage, or DIR cannot be used; 69 \
another backup is under way, or the data directory is in use by a process that does not answer.")]
pub(super) struct BackupArgs {
    /// Directory to be made; it must be empty, or not there, and its parent must be there.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Data directory of the service.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
    /// NATS brokers of a cluster, of which the whole service is copied, such as tls://a.example,b.example,c.example; nats:// for loopback alone.
    #[arg(long, value_name = "URL,…", conflicts_with = "data_dir")]
    nats: Option<String>,
    /// Settings file (TOML), as the nodes of the cluster have it.
    #[arg(long, value_name = "FILE", conflicts_with = "data_dir")]
    config: Option<PathBuf>,
}

/// Makes a backup.
///
/// # Errors
/// When it cannot be made, or is not as it should be.
pub(super) fn run(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let BackupArgs { dir, data_dir, nats, config } = args;
    let dir = absolute(&dir).context("find the directory of the backup")?;
    let shown = Shown::default();
    if nats.is_some() || config.is_some() {
        return copy_all(&dir, nats, config.as_deref(), &shown);
    }
    let backup = copy(&data_dir, &dir, &shown)?;
    let Checked { vehicles, trail } =
        check(&backup, &|progress| shown.progress(progress)).map_err(of_store)?;
    let backup = backup.finish().map_err(coded)?;
    let vehicles = counted(vehicles, "vehicle");
    say(&format!("backup {}: {vehicles}, {} bytes\n", dir.display(), backup.bytes()))?;
    trail.map_or(Ok(()), |head| say(&format!("trail {head}\n")))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies a whole service on many machines.
fn copy_all(
    dir: &Path,
    nats: Option<String>,
    config: Option<&Path>,
    shown: &Shown,
) -> anyhow::Result<ExitCode> {
    let interrupt = |progress| shown.progress(progress);
    let copied = cluster::copy::copy(dir, nats, config, &interrupt).map_err(of_store)?;
    let cluster::copy::Copied { backup, data_set, shards } = copied;
    let trail = check(&backup, &interrupt).map_err(of_store)?.trail;
    let vehicles = check_shards(&backup, &data_set)?;
    let backup = backup.finish().map_err(coded)?;
    let (dir, bytes) = (dir.display(), backup.bytes());
    let (vehicles, of) = (counted(vehicles, "vehicle"), counted(shards.len() as u64, "shard"));
    say(&format!("backup {dir}: {vehicles} of {of}, {bytes} bytes\n"))?;
    shards.iter().try_for_each(|shard| say(&cluster::copy::line(shard)))?;
    trail.map_or(Ok(()), |head| say(&format!("trail {head}\n")))?;
    Ok(ExitCode::SUCCESS)
}

fn copy(data_dir: &Path, dir: &Path, shown: &Shown) -> anyhow::Result<UncheckedBackup> {
    let source = match FleetSource::at_rest(Arc::new(RealDisk), data_dir) {
        Err(BackupError::Store(busy @ StoreError::InUse { .. })) => {
            return copy_running(data_dir, dir, shown, busy);
        }
        source => source.map_err(coded)?,
    };
    let now_ms = SystemClock::new().now_ms();
    copy_stopped(&source, dir, now_ms, &|progress| shown.progress(progress)).map_err(of_store)
}

/// Lets the service that has the data directory make the copy.
fn copy_running(
    data_dir: &Path,
    dir: &Path,
    shown: &Shown,
    busy: StoreError,
) -> anyhow::Result<UncheckedBackup> {
    let connection = control::connect(data_dir).map_err(|err| match err {
        // Another command has it, or the service has no control socket.
        ClientError::NoService => {
            Coded::unavailable(format!("{busy}, which does not answer commands")).into()
        }
        err => anyhow::Error::new(err),
    })?;
    let request = ControlRequest::Backup { dir: dir.to_owned() };
    let done = connection.ask(&request, &mut |line| {
        if let ControlLine::Progress(progress) = line {
            let number = |key| progress.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
            let (done, total) = (number("done"), number("total"));
            // Nothing here asks to end: an interrupted command leaves, and the service notices.
            let _on = shown.progress(BackupProgress { step: BackupStep::Copy, done, total });
        }
        Ok(())
    });
    done.map_err(exit::of_control)?;
    UncheckedBackup::open(Arc::new(RealDisk), dir).map_err(coded)
}

/// Gives errors of the store their exit code.
fn of_store(err: anyhow::Error) -> anyhow::Error {
    match err.downcast::<BackupError>() {
        Ok(err) => coded(err),
        Err(err) => err,
    }
}

/// Gives an error its exit code.
pub(super) fn coded(err: BackupError) -> anyhow::Error {
    let message = match &err {
        BackupError::Store(err) => format!("{:#}", Cause(err)),
        err => err.to_string(),
    };
    match err {
        BackupError::Store(StoreError::InUse { .. }) => Coded::unavailable(message).into(),
        err if err.is_wrong_place() => Coded::usage(message).into(),
        _ => anyhow::Error::msg(message),
    }
}

/// Shows an error with its cause.
struct Cause<'a>(&'a StoreError);

impl std::fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cause = std::error::Error::source(self.0);
        write!(f, "{}", self.0)?;
        cause.map_or(Ok(()), |cause| write!(f, ": {cause}"))
    }
}

/// Progress on standard error, a line each tenth.
#[derive(Debug, Default)]
pub(super) struct Shown {
    last: Cell<Option<(BackupStep, u64)>>,
}

impl Shown {
    pub(super) fn progress(&self, progress: BackupProgress) -> ControlFlow<()> {
        let BackupProgress { step, done, total } = progress;
        let tenth = if total == 0 { 0 } else { (u128::from(done) * 10 / u128::from(total)) as u64 };
        if tenth > 0 && self.last.replace(Some((step, tenth))) != Some((step, tenth)) {
            let step = if step == BackupStep::Copy { "copied" } else { "checked" };
            eprintln!("{step} {}0 % of {total} bytes", tenth);
        }
        ControlFlow::Continue(())
    }
}
