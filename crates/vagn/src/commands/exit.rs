//! Exit codes, after `sysexits.h`: scripts and service managers tell by them what to do next.

use std::io::Write;
use std::process::ExitCode;

use crate::config::ConfigError;

/// The command line or the configuration is wrong: starting again as it is will not help.
pub const USAGE: u8 = 64;
/// A port or the data directory is in use by another.
pub const UNAVAILABLE: u8 = 69;
/// The service gave up, or a fault of our own.
pub const SOFTWARE: u8 = 70;

/// A failure that has its own exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Coded {
    /// The exit code.
    pub code: u8,
    /// What went wrong, and the remedy.
    pub message: String,
}

impl Coded {
    /// The command line or the configuration is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// A fault of our own.
    pub fn software(message: impl Into<String>) -> Self {
        Self { code: SOFTWARE, message: message.into() }
    }

    /// Something that is needed is in use.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into() }
    }
}

/// Tells on standard error what failed, and gives the code for it.
pub fn failed(err: &anyhow::Error) -> ExitCode {
    // With standard error closed there is nobody left to tell.
    drop(writeln!(std::io::stderr(), "vagn: {err:#}"));
    ExitCode::from(code(err))
}

fn code(err: &anyhow::Error) -> u8 {
    if err.downcast_ref::<ConfigError>().is_some() {
        return USAGE;
    }
    err.downcast_ref::<Coded>().map_or(1, |coded| coded.code)
}
