//! The end of a child, and of a whole tree.

use std::fmt;

/// Any error a child may end with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The reason for the end of one incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It had nothing left to do: `Ok(())`, or `Context::stop_self`.
    Finished,
    /// It was told to stop and did so within its time.
    Stopped,
    /// It returned an error, or called `Context::fail`.
    Failed(String),
    /// A handler panicked. The location is known when [`quiet_panics`](crate::quiet_panics) is installed.
    Panicked {
        /// Message of the panic.
        message: String,
        /// Place in the source, as `file:line:column`.
        location: Option<String>,
    },
    /// It did not stop within its time, or an operator killed it.
    Killed,
    /// Its watchdog found it busy with one thing for too long.
    Hung,
    /// It did not report ready within its time.
    StartTimeout,
    /// A child of this supervisor failed more often than the intensity allows, or could not be started.
    GaveUp {
        /// The child that failed last.
        child: String,
        /// Reason for the end of that child.
        reason: Box<ExitReason>,
    },
}

impl ExitReason {
    /// Returns true for an end that needs no repair: a transient child is not restarted after it.
    pub fn is_normal(&self) -> bool {
        matches!(self, ExitReason::Finished | ExitReason::Stopped)
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Finished => f.write_str("finished"),
            ExitReason::Stopped => f.write_str("stopped"),
            ExitReason::Failed(error) => write!(f, "failed: {error}"),
            ExitReason::Panicked { message, location: Some(at) } => write!(f, "panicked: {message} ({at})"),
            ExitReason::Panicked { message, location: None } => write!(f, "panicked: {message}"),
            ExitReason::Killed => f.write_str("killed"),
            ExitReason::Hung => f.write_str("hung"),
            ExitReason::StartTimeout => f.write_str("not ready in time"),
            ExitReason::GaveUp { child, reason } => write!(f, "gave up on {child}: {reason}"),
        }
    }
}

/// The end of a whole tree; the binary turns it into its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It was asked to stop, and every child is gone.
    Stopped,
    /// A significant child ended normally, and the root therefore shut itself down.
    Finished,
    /// The root gave up on a child; everything else has been stopped in order.
    GaveUp {
        /// The child of the root that failed last.
        child: String,
        /// Reason for the end of that child.
        reason: ExitReason,
    },
}

impl Exit {
    /// Returns true if the program should end with a non-zero code.
    pub fn is_failure(&self) -> bool {
        matches!(self, Exit::GaveUp { .. })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Stopped => f.write_str("stopped"),
            Exit::Finished => f.write_str("finished"),
            Exit::GaveUp { child, reason } => write!(f, "gave up on {child}: {reason}"),
        }
    }
}
