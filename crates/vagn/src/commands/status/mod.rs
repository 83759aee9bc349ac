//! `vagn status`: prints the state of a running service for people.

mod picture;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;
use vagn_load::ops::{Ops, Page};

use self::picture::Picture;
use super::say;

/// Flags of `vagn status`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vagn status --ops http://localhost:9093\n  \
vagn status --for alarms    # for a probe: may vehicles be sent here that call for help?\n\n\
Exit codes: 0 ready, or with --for able to do that; 1 not ready 1 not ready or not reachable, 64 wrong usage.")]
pub(super) struct StatusArgs {
    /// Ops listener of the service.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9093")]
    ops: Ops,
    /// Look at one thing alone, for probes and health checks.
    #[arg(long = "for", value_enum, value_name = "PURPOSE")]
    purpose: Option<Asked>,
}

/// What a probe asks for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Asked {
    /// The process answers: else it may be killed.
    Life,
    /// Calls for help are taken, whatever becomes of positions.
    Alarms,
    /// Questions about the fleet are answered.
    Questions,
    /// Positions are stored.
    Positions,
}

/// Reads the ops pages and prints a summary.
///
/// # Errors
/// When the service cannot be reached.
pub(super) fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    if let Some(asked) = args.purpose {
        return probe(&args.ops, asked);
    }
    let ready = args.ops.get("/readyz")?;
    let pages = ["/metrics", "/oddities", "/actors"].map(|path| args.ops.get(path).map(found));
    let [metrics, oddities, actors] = pages;
    let picture = Picture::read(&ready, &metrics?, &oddities?, &actors?);
    say(&format!("vagn at {}: {picture}", args.ops))?;
    Ok(ExitCode::from(u8::from(!picture.is_ready())))
}

/// Says whether the service can do one thing, and what is missing if it cannot.
fn probe(ops: &Ops, asked: Asked) -> anyhow::Result<ExitCode> {
    let field = match asked {
        Asked::Life => {
            let is_alive = ops.get("/healthz")?.status == 200;
            return Ok(ExitCode::from(u8::from(!is_alive)));
        }
        Asked::Alarms => "can_take_alarms",
        Asked::Questions => "can_ask",
        Asked::Positions => "can_store",
    };
    let report: Value = serde_json::from_str(&ops.get("/readyz")?.body)?;
    let can = report[field] == true;
    if !can {
        say(&format!("{field} is not true; missing: {}\n", report["missing"]))?;
    }
    Ok(ExitCode::from(u8::from(!can)))
}

/// Returns the body of a page with status 200, and nothing otherwise: an error page has no data to show.
fn found(page: Page) -> String {
    if page.status == 200 { page.body } else { String::new() }
}
