//! Supervisors: they start their children in order, restart those that fail, and give up rather than loop for ever.

mod backoff;
mod body;
mod children;
mod engine;
mod handle;
mod intensity;
mod restart;
mod root;
mod start;
mod stop;
mod strategy;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::child::ChildSpec;
use crate::exit::ExitReason;
use crate::life::Life;
use crate::process::{Kind, Process, Processes};
use crate::stats::Gauge;
pub(crate) use backoff::Backoff;
use body::SupervisorBody;
use children::Nest;
pub use handle::SupervisorHandle;
use intensity::Intensity;
pub use root::Root;
pub use strategy::Strategy;

/// The reason why a child, or a whole tree, was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A child could not be started. The children before it were stopped again.
    #[error("{child} could not be started: {reason}")]
    Child {
        /// Path of the child below the supervisor that was to be started.
        child: String,
        /// Reason for the end of that child.
        reason: ExitReason,
    },
    /// The supervisor already has a child of this name.
    #[error("there is a child named {0} already")]
    Name(String),
    /// The supervisor has ended.
    #[error("the supervisor has ended")]
    Down,
}

/// The ends of [significant](ChildSpec::significant) children that end their supervisor. It then shuts down the rest, and ends
/// normally itself. A child that comes back, at once or after a pause, has not ended; nor has one that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoShutdown {
    /// No end does.
    #[default]
    Never,
    /// The first end does.
    Any,
    /// The last end does.
    All,
}

/// A message to a supervisor, from its children and from its handles.
pub(crate) enum Event {
    /// An incarnation has ended.
    Ended(Arc<Life>),
    /// Kill the present incarnation of this child.
    Kill(u64),
    /// Add this child.
    Add(Box<ChildSpec>, oneshot::Sender<Result<(), StartError>>),
    /// Remove the child of this name.
    Remove(String, oneshot::Sender<bool>),
}

/// Specification of a supervisor: its strategy, limits and children, in start order.
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    process: Arc<Process>,
    nest: Nest,
}

impl Supervisor {
    /// Specifies a supervisor without children, which gives up at the fourth restart within 5 s.
    pub fn new(name: &str, strategy: Strategy) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let nest = Nest {
            strategy,
            intensity: Intensity::new(3, Duration::from_secs(5)),
            auto_shutdown: AutoShutdown::Never,
            is_root: false,
            children: Vec::new(),
            next_child: 0,
            sender,
            events,
        };
        Supervisor { process: Process::new(name, Kind::Supervisor), nest }
    }

    /// Allows this many restarts within any such period. At the next one the supervisor gives up, and its own supervisor
    /// decides. Restarts of children with a [backoff](ChildSpec::backoff) do not count.
    pub fn intensity(mut self, restarts: usize, period: Duration) -> Self {
        self.nest.intensity = Intensity::new(restarts, period);
        self
    }

    /// Ends the supervisor when significant children end normally.
    pub fn auto_shutdown(mut self, when: AutoShutdown) -> Self {
        self.nest.auto_shutdown = when;
        self
    }

    /// Adds a child, which is started after those before it and stopped before them.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.nest.adopt(&self.process, spec);
        self
    }

    /// Adds several children, in this order.
    pub fn children(self, specs: impl IntoIterator<Item = ChildSpec>) -> Self {
        specs.into_iter().fold(self, Supervisor::child)
    }

    /// Returns a handle that adds and removes children while the supervisor runs.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle { events: self.nest.sender.clone() }
    }

    /// Lets the process list show the queues of the children together, as this supervisor's mailbox.
    pub(crate) fn watch_queue(&self, gauge: Gauge) {
        self.process.stats.watch_mailbox(gauge);
    }

    /// Returns the process list from here down, for a child that shows it.
    pub fn processes(&self) -> Processes {
        Processes { root: self.process.clone() }
    }

    /// Starts the tree as its root, on the present runtime, and waits until every child is ready. If one cannot be started,
    /// those before it are stopped again.
    ///
    /// # Panics
    /// If it is called outside of a tokio runtime.
    pub async fn start(self) -> Result<Root, StartError> {
        Root::start(self).await
    }

    pub(crate) fn into_spec(self) -> ChildSpec {
        let process = self.process.clone();
        let mut spec = ChildSpec::new(process.clone(), Box::new(SupervisorBody::new(process, self.nest)));
        // Its children have limits of their own, and it ends with the last of them.
        spec.shutdown = None;
        spec.start_within = None;
        spec.never_abandon()
    }
}
