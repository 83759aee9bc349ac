//! `vagn status`: how a running service is doing, for people.

mod picture;

use std::process::ExitCode;

use clap::Args;
use vagn_load::ops::{Ops, Page};

use self::picture::Picture;
use super::say;

/// Which service.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  vagn status --ops http://localhost:9093\n\n\
Exit codes: 0 ready, 1 not ready or not reachable, 64 wrong usage.")]
pub struct StatusArgs {
    /// Its ops port.
    #[arg(long, value_name = "URL", default_value = "http://localhost:9093")]
    ops: Ops,
}

/// Asks, and prints.
///
/// # Errors
/// When the service cannot be reached.
pub fn run(args: StatusArgs) -> anyhow::Result<ExitCode> {
    let ready = args.ops.get("/readyz")?;
    let picture = Picture::read(&ready, &found(args.ops.get("/metrics")?), &found(args.ops.get("/actors")?));
    say(&format!("vagn at {}: {picture}", args.ops))?;
    Ok(ExitCode::from(u8::from(!picture.is_ready())))
}

/// The body of a page that is there; nothing else is worth showing.
fn found(page: Page) -> String {
    if page.status == 200 { page.body } else { String::new() }
}
