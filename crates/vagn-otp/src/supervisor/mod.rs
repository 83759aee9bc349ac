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
use children::{Child, Nest};
pub use handle::SupervisorHandle;
use intensity::Intensity;
pub use root::Root;
pub use strategy::Strategy;

/// Why a child, or a whole tree, was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// A child could not be started. What had been started before it was stopped again.
    #[error("{child} could not be started: {reason}")]
    Child {
        /// Path of the child below the supervisor that was to be started.
        child: String,
        /// What happened to it.
        reason: ExitReason,
    },
    /// The supervisor has a child of this name.
    #[error("there is a child named {0} already")]
    Name(String),
    /// The supervisor has ended.
    #[error("the supervisor has ended")]
    Down,
}

/// When the normal end of [significant](ChildSpec::significant) children ends their supervisor, which then shuts down the
/// rest and ends normally itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AutoShutdown {
    /// Never.
    #[default]
    Never,
    /// When one of them ends.
    Any,
    /// When the last of them ends.
    All,
}

/// What a supervisor hears, from its children and from others.
pub(crate) enum Event {
    /// An incarnation is no more.
    Ended(Arc<Life>),
    /// Somebody wants this child's incarnation killed.
    Kill(u64),
    /// Somebody adds a child.
    Add(Box<ChildSpec>, oneshot::Sender<Result<(), StartError>>),
    /// Somebody removes a child, by name.
    Remove(String, oneshot::Sender<bool>),
}

/// A supervisor to be: its strategy, limits and children, in start order.
#[must_use = "a supervisor does nothing until it is started"]
pub struct Supervisor {
    process: Arc<Process>,
    nest: Nest,
}

impl Supervisor {
    /// A supervisor without children, that gives up at the fourth restart within 5 s.
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

    /// Allows this many restarts within any such period; at the next one the supervisor gives up, and its own supervisor
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

    /// Adds a child, to be started after those before it and stopped before them.
    pub fn child(mut self, spec: ChildSpec) -> Self {
        self.nest.adopt(&self.process, spec);
        self
    }

    /// Adds several children.
    pub fn children(self, specs: impl IntoIterator<Item = ChildSpec>) -> Self {
        specs.into_iter().fold(self, Supervisor::child)
    }

    /// A handle to add and remove children while it runs.
    pub fn handle(&self) -> SupervisorHandle {
        SupervisorHandle { events: self.nest.sender.clone() }
    }

    /// Lets the process list show, as this supervisor's mailbox, what waits for those below it together.
    pub(crate) fn watch_queue(&self, gauge: Gauge) {
        self.process.stats.watch_mailbox(gauge);
    }

    /// The process list of what is below, for a child that shows it.
    pub fn processes(&self) -> Processes {
        Processes { root: self.process.clone() }
    }

    /// Starts the tree as its root, on the present runtime, and waits until every child is ready. When one cannot be
    /// started, those before it are stopped again.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(self) -> Result<Root, StartError> {
        Root::start(self).await
    }

    pub(crate) fn into_spec(self) -> ChildSpec {
        let process = self.process.clone();
        let mut spec = ChildSpec::new(process.clone(), Box::new(SupervisorBody::new(process, self.nest)));
        // Its children have limits of their own, and it sees to its own end.
        spec.shutdown = None;
        spec.start_within = None;
        spec.never_abandon()
    }
}
