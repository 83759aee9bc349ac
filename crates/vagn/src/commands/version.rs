//! `vagn version`.

use std::process::ExitCode;

use clap::Args;

use super::say;

/// Takes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn version")]
pub struct VersionArgs {}

/// Prints name and version.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(_: VersionArgs) -> anyhow::Result<ExitCode> {
    say(&format!("vagn {}\n", env!("CARGO_PKG_VERSION")))?;
    Ok(ExitCode::SUCCESS)
}
