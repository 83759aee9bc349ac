//! `vagn completions`: a script with which a shell completes commands and flags.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, say_as_it_is};

/// Flags of `vagn completions`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn completions bash > ~/.local/share/bash-completion/completions/vagn")]
pub(super) struct CompletionsArgs {
    /// The shell to print a script for.
    shell: Shell,
}

pub(super) fn run(args: CompletionsArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vagn", &mut script);
    say_as_it_is(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
