//! The commands of `vagn`, and the exit codes that scripts rely on.

mod api;
mod audit;
mod backup;
mod cluster;
mod completions;
mod config;
mod doctor;
mod drill;
mod exit;
mod owner;
mod printer;
mod registry;
mod repair;
mod replay;
mod resolve;
mod restore;
mod secret;
mod send;
mod serve;
mod simulate;
mod sink;
mod status;
mod traffic;
mod umask;
mod version;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::visible::{Form, visible};

/// A live-vehicle service: takes positions, finds the nearest vehicles, and loses no call for help.
#[derive(Debug, Parser)]
#[command(name = "vagn", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Try it:\n  vagn serve --demo\n  curl -k 'https://localhost:9090/?lat=30.27&lon=-97.74'"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::ServeArgs),
    /// Send simulated traffic, and account for every report.
    Simulate(simulate::SimulateArgs),
    /// Send a recorded trace, and account for every row.
    Replay(replay::ReplayArgs),
    /// Send one position.
    Send(send::SendArgs),
    /// Send an alarm as a drill through the whole service to the drill target, and follow it.
    Drill(drill::DrillArgs),
    /// Make, list, revoke, import and rotate the keys of vehicles and gateways.
    Device(registry::device::DeviceArgs),
    /// Make, list and revoke tokens of people and programs.
    Token(registry::token::TokenArgs),
    /// Make, list and revoke links that show one vehicle.
    Share(registry::share::ShareArgs),
    /// Resolve many incidents of a running service at once.
    Resolve(resolve::ResolveArgs),
    /// Act as an emergency service for testing: print the notices that arrive.
    Sink(sink::SinkArgs),
    /// Show how a running service is doing.
    Status(status::StatusArgs),
    /// Show the cluster of a running service, repair a shard of it, or import a fleet (status, repair, import).
    Cluster(cluster::ClusterArgs),
    /// Check whether this machine is fit to run the service.
    Doctor(doctor::DoctorArgs),
    /// Copy a service, running or stopped, and check the copy; with --nats a whole service on many machines.
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup.
    Restore(restore::RestoreArgs),
    /// Move damaged parts of a stopped service's log aside.
    Repair(repair::RepairArgs),
    /// Check that the trail of incidents was not changed afterwards.
    Audit(audit::AuditArgs),
    /// Print the settings in force.
    Config(config::ConfigArgs),
    /// Print the version.
    Version(version::VersionArgs),
    /// Print a completion script for your shell.
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the command line names.
pub fn main() -> ExitCode {
    umask::keep_private();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(err) => return usage(&err),
    };
    let done = match cli.command {
        Command::Serve(args) => serve::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Send(args) => send::run(args),
        Command::Drill(args) => drill::run(args),
        Command::Device(args) => registry::device::run(args),
        Command::Token(args) => registry::token::run(args),
        Command::Share(args) => registry::share::run(args),
        Command::Resolve(args) => resolve::run(args),
        Command::Sink(args) => sink::run(args),
        Command::Status(args) => status::run(args),
        Command::Cluster(args) => cluster::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
        Command::Repair(args) => repair::run(args),
        Command::Audit(args) => audit::run(args),
        Command::Config(args) => config::run(args),
        Command::Version(args) => version::run(args),
        Command::Completions(args) => completions::run(args),
    };
    done.unwrap_or_else(|err| exit::failed(&err))
}

/// Returns 0 for `--help` and `--version`, and the code for wrong usage for everything else that the parser refuses.
fn usage(err: &clap::Error) -> ExitCode {
    let code = if err.use_stderr() { exit::USAGE } else { 0 };
    // It fails when the reader has closed the pipe; there is nothing left to print to then.
    err.print().ok();
    ExitCode::from(code)
}

/// Writes the output of a command to standard output, with nothing hidden in what it has from outside.
///
/// # Errors
/// When standard output cannot be written; a closed pipe is no error.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    say_as_it_is(&visible(text, Form::Lines))
}

/// Returns a count with its noun: `1 vehicle`, `4 vehicles`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Writes output for a program, such as a settings file.
///
/// # Errors
/// As [`say`].
pub(crate) fn say_as_it_is(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(err) if err.kind() != std::io::ErrorKind::BrokenPipe => Err(err.into()),
        _ => Ok(()),
    }
}
