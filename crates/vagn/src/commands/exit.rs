//! Exit codes, after `sysexits.h`. Scripts and service managers decide by them what to do next.

use std::io::Write;
use std::process::ExitCode;

use vagn_wire::Reject;

use crate::config::ConfigError;
use crate::control::{ControlError, Problem};
use crate::visible::{Form, visible};

/// The command line or the configuration is wrong: starting again without a change will not help.
pub(super) const USAGE: u8 = 64;
/// It cannot be done now: a port or the data directory is in use, no service answers, or it or its brokers take nothing.
const UNAVAILABLE: u8 = 69;
/// The service gave up, or has failed by a fault of its own.
pub(super) const SOFTWARE: u8 = 70;

/// A failure that has its own exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Coded {
    pub(super) code: u8,
    /// Names the cause and the remedy.
    pub(super) message: String,
}

impl Coded {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    pub(super) fn software(message: impl Into<String>) -> Self {
        Self { code: SOFTWARE, message: message.into() }
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into() }
    }
}

impl From<Reject> for Coded {
    /// A report that cannot be sent was described wrongly on the command line.
    fn from(reject: Reject) -> Self {
        Self::usage(reject.to_string())
    }
}

/// Gives what the service answers on its control socket an exit code.
pub(super) fn of_control(err: ControlError) -> anyhow::Error {
    match err.problem {
        Problem::Invalid => Coded::usage(err.message).into(),
        Problem::Busy => Coded::unavailable(err.message).into(),
        Problem::Refused | Problem::Failed | Problem::Doubtful => anyhow::Error::msg(err.message),
    }
}

/// Writes the error to standard error and returns its exit code.
pub(super) fn failed(err: &anyhow::Error) -> ExitCode {
    // By a thread that is waited for a second at most: the reader of standard error may have stalled.
    let (mut stderr, _within_a_second) = tracing_appender::non_blocking(std::io::stderr());
    // Fails only when standard error is closed, and then there is no place to report it.
    writeln!(stderr, "vagn: {}", visible(&format!("{err:#}"), Form::Lines)).ok();
    ExitCode::from(code(err))
}

/// Writes a warning to standard error.
pub(super) fn warn(warning: &impl std::fmt::Display) {
    // As above.
    writeln!(std::io::stderr(), "vagn: warning: {}", visible(&warning.to_string(), Form::Lines)).ok();
}

fn code(err: &anyhow::Error) -> u8 {
    if err.downcast_ref::<ConfigError>().is_some() {
        return USAGE;
    }
    err.downcast_ref::<Coded>().map_or(1, |coded| coded.code)
}
