//! `vagn status`: prints the state of a running service for people.

mod picture;

use std::process::ExitCode;

use clap::Args;
use vagn_load::ops::{Ops, Page};

use self::picture::Picture;
use super::say;

/// Flags of `vagn status`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn status --ops http://localhost:9093\n\n\
Exit codes: 0 ready, 1 not ready or not reachable, 64 wrong usage.")]
pub(super) struct StatusArgs {
    /// Ops listener of the service.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9093")]
    ops: Ops,
}

/// Reads the ops pages and prints a summary.
///
/// # Errors
/// When the service cannot be reached.
pub(super) fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let ready = args.ops.get("/readyz")?;
    let pages = ["/metrics", "/oddities", "/actors"].map(|path| args.ops.get(path).map(found));
    let [metrics, oddities, actors] = pages;
    let picture = Picture::read(&ready, &metrics?, &oddities?, &actors?);
    say(&format!("vagn at {}: {picture}", args.ops))?;
    Ok(ExitCode::from(u8::from(!picture.is_ready())))
}

/// Returns the body of a page with status 200, and nothing otherwise: an error page has no data to show.
fn found(page: Page) -> String {
    if page.status == 200 { page.body } else { String::new() }
}
