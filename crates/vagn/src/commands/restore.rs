//! `vagn restore`: makes a data directory of a backup.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use vagn_flow::rfc3339::rfc3339;
use vagn_store::Backup;
use vagn_store::disk::RealDisk;

use super::backup::{Shown, coded};
use super::{cluster, counted, say};

/// Flags of `vagn restore`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn restore /backups/monday --data-dir /var/lib/vagn\n\n\
The backup is checked before and after; nothing starts on a data directory whose restore was cut off: run it again. Where both are on \
one file system, files that never change are shared (hard links), which neither a service nor a repair ever writes to.\n\
What was revoked since the backup was made is in force again: look at `vagn token list` and `vagn device list`.\n\
Of a backup of a whole service on many machines it makes the data directory of one node, of any name, that has all. Start it alone, over brokers that have nothing of the service, and run `vagn cluster repair \
--all`; docs/cluster.md says the rest.\n\n\
Exit codes: 0 done; 1 the backup is changed or unfinished, or the disk refuses; 64 wrong usage, or the data directory is not empty.")]
pub(super) struct RestoreArgs {
    /// Directory of the backup.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Data directory to be made; it must be empty, or not there.
    #[arg(long, value_name = "DIR", default_value = "./vagn-data")]
    data_dir: PathBuf,
}

/// Restores.
///
/// # Errors
/// When the backup cannot be used, or the data directory cannot be made.
pub(super) fn run(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let RestoreArgs { dir, data_dir } = args;
    let backup = Backup::open(Arc::new(RealDisk), &dir).map_err(coded)?;
    let shown = Shown::default();
    let restored = backup.restore(&data_dir, &|progress| shown.progress(progress)).map_err(coded)?;
    say(&format!(
        "restored {}, {} bytes, as they were {}\n",
        counted(restored.files as u64, "file"),
        restored.bytes,
        rfc3339(backup.made_ms())
    ))?;
    if let Some(head) = backup.trail() {
        say(&format!("trail {head}\n"))?;
    }
    backup.shards().iter().try_for_each(|shard| say(&cluster::copy::line(shard)))?;
    if !backup.shards().is_empty() {
        let dir = data_dir.display();
        say(&format!(
            "start one node on it, over brokers that have nothing of this service, then run `vagn cluster repair --all --data-dir {dir}`\n"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
