//! What a supervisor needs to know of a child: how to start it, when to restart it, how long to wait for it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::actor::Actor;
use crate::addr::Addr;
use crate::exit::Failure;
use crate::incarnation::ActorBody;
use crate::mailbox::Mailbox;
use crate::process::{Kind, Process};
pub(crate) use crate::spawn::Launch;
use crate::supervisor::{Backoff, Supervisor};
use crate::task::{TaskBody, TaskContext};
use crate::thread::{ThreadBody, ThreadContext};

/// How long a child may take to stop, unless its spec says otherwise.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// How long a child may take to become ready, unless its spec says otherwise.
pub const DEFAULT_START: Duration = Duration::from_secs(10);

/// When a child that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Permanent,
    /// Only after a crash.
    Transient,
    /// Never; it is forgotten once it has ended.
    Temporary,
}

/// How a child runs. Implementations keep what outlives an incarnation.
pub(crate) trait Body: Send {
    /// Begins an incarnation; its news come through the launch's life.
    fn start(&mut self, launch: Launch);
    /// It will run (again).
    fn open(&mut self) {}
    /// It will not run again by itself.
    fn close(&mut self) {}
}

/// A child for a [`Supervisor`]. Permanent, unless said otherwise.
#[must_use = "a child runs only under a supervisor"]
pub struct ChildSpec {
    pub(crate) process: Arc<Process>,
    pub(crate) body: Box<dyn Body>,
    pub(crate) restart: Restart,
    /// None: wait as long as it takes.
    pub(crate) shutdown: Option<Duration>,
    /// None: wait as long as it takes.
    pub(crate) start_within: Option<Duration>,
    pub(crate) watchdog: Option<Duration>,
    pub(crate) backoff: Option<Backoff>,
    pub(crate) significant: bool,
    pub(crate) abandon: bool,
    own_thread: bool,
    nice: Option<i32>,
    runtime: Option<Handle>,
}

impl ChildSpec {
    /// An actor with a mailbox for `capacity` messages, and its address. `new` makes the state of each incarnation. The
    /// address may be used at once; messages wait until the actor has started.
    pub fn actor<A: Actor>(
        name: &str,
        capacity: usize,
        new: impl Fn() -> A + Send + Sync + 'static,
    ) -> (Addr<A>, ChildSpec) {
        let process = Process::new(name, Kind::Actor);
        let mailbox = Mailbox::new(process.clone(), capacity);
        let spec = ChildSpec::new(process, Box::new(ActorBody::new(mailbox.clone(), new)));
        (Addr { mailbox }, spec)
    }

    /// An async task; `run` begins each incarnation. It counts as started once it has called
    /// [`TaskContext::ready`], and should end soon after [`TaskContext::stopping`].
    pub fn task<T>(name: &str, run: impl Fn(TaskContext) -> T + Send + Sync + 'static) -> ChildSpec
    where
        T: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        ChildSpec::new(Process::new(name, Kind::Task), Box::new(TaskBody::new(run)))
    }

    /// A plain OS thread, which may block; `run` is each incarnation. It counts as started once it has called
    /// [`ThreadContext::ready`], and must look at [`ThreadContext::stopping`] now and then: a thread cannot be killed, only
    /// [left behind](Self::never_abandon).
    pub fn thread(
        name: &str,
        run: impl Fn(ThreadContext) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::worker(name, Kind::Thread, run)
    }

    pub(crate) fn worker(
        name: &str,
        kind: Kind,
        run: impl Fn(ThreadContext) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> ChildSpec {
        ChildSpec::new(Process::new(name, kind), Box::new(ThreadBody::new(run)))
    }

    /// A supervisor with its children. It is given all the time it takes to stop them, each of them having its own limit.
    pub fn supervisor(supervisor: Supervisor) -> ChildSpec {
        supervisor.into_spec()
    }

    pub(crate) fn new(process: Arc<Process>, body: Box<dyn Body>) -> ChildSpec {
        ChildSpec {
            process,
            body,
            restart: Restart::Permanent,
            shutdown: Some(DEFAULT_SHUTDOWN),
            start_within: Some(DEFAULT_START),
            watchdog: None,
            backoff: None,
            significant: false,
            abandon: true,
            own_thread: false,
            nice: None,
            runtime: None,
        }
    }

    /// The child's name.
    pub fn name(&self) -> &str {
        &self.process.name
    }

    /// Always restart it.
    pub fn permanent(mut self) -> Self {
        self.restart = Restart::Permanent;
        self
    }

    /// Restart it only after a crash.
    pub fn transient(mut self) -> Self {
        self.restart = Restart::Transient;
        self
    }

    /// Never restart it, and forget it once it has ended.
    pub fn temporary(mut self) -> Self {
        self.restart = Restart::Temporary;
        self
    }

    /// How long it may take to stop before it is killed.
    pub fn shutdown(mut self, within: Duration) -> Self {
        self.shutdown = Some(within);
        self
    }

    /// How long it may take to become ready before the start counts as failed.
    pub fn start_within(mut self, within: Duration) -> Self {
        self.start_within = Some(within);
        self
    }

    /// Kills and restarts it as [hung](crate::ExitReason::Hung) when one message, or the time since its last beat, takes
    /// longer than this.
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.watchdog = Some(limit);
        self
    }

    /// Restarts it after a pause that doubles from `min` to `max`, and is `min` again once it has run for `max` without
    /// failing. Such a child never makes its supervisor give up, not even when its first start fails.
    pub fn backoff(mut self, min: Duration, max: Duration) -> Self {
        self.backoff = Some(Backoff::new(min, max));
        self
    }

    /// Its own normal end may end its supervisor; see [`Supervisor::auto_shutdown`].
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Waits for it as long as it takes, even when it is stuck. For whom two incarnations at once would be worse than none:
    /// a writer of files. Without this, what does not react to a kill is left behind, counted, and shown as abandoned.
    pub fn never_abandon(mut self) -> Self {
        self.abandon = false;
        self
    }

    /// Runs an actor or task on a thread of its own, where its handlers may block.
    pub fn on_thread(mut self) -> Self {
        self.own_thread = true;
        self
    }

    /// The nice value of its thread, -20 (first) to 19 (last); with [`on_thread`](Self::on_thread), or for a thread.
    pub fn nice(mut self, level: i32) -> Self {
        self.nice = Some(level);
        self
    }

    /// Runs it on this runtime instead of the one the root was started on.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Begins an incarnation.
    pub(crate) fn launch(&mut self, life: Arc<crate::life::Life>, runtime: &Handle) {
        self.body.open();
        self.body.start(Launch {
            life,
            runtime: self.runtime.as_ref().unwrap_or(runtime).clone(),
            own_thread: self.own_thread,
            nice: self.nice,
        });
    }
}

impl std::fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name())
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}
