//! `vagn version`.

use std::process::ExitCode;

use clap::Args;

use super::say;

/// Flags of `vagn version`: none.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn version")]
pub(super) struct VersionArgs {}

pub(super) fn run(_: VersionArgs) -> anyhow::Result<ExitCode> {
    say(&format!("vagn {}\n", env!("CARGO_PKG_VERSION")))?;
    Ok(ExitCode::SUCCESS)
}
