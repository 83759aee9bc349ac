//! The specification of a child: its start, its restarts, and the time it is given.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::Actor;
use crate::addr::Addr;
use crate::exit::Failure;
use crate::incarnation::ActorBody;
use crate::mailbox::Mailbox;
use crate::process::{Kind, Process};
use crate::queue::Queue;
pub(crate) use crate::spawn::Launch;
use crate::supervisor::{Backoff, Supervisor};
use crate::sync::Handle;
use crate::task::{TaskBody, TaskContext};
use crate::thread::{ThreadBody, ThreadContext};

/// Time a child may take to stop, unless its spec says otherwise. The same as in OTP.
pub const DEFAULT_SHUTDOWN: Duration = Duration::from_secs(5);

/// Time a child may take to become ready, unless its spec says otherwise.
pub const DEFAULT_START: Duration = Duration::from_secs(10);

/// The ends after which a child is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Every end.
    Permanent,
    /// Only a crash.
    Transient,
    /// None; the child is forgotten once it has ended.
    Temporary,
}

/// The part of a child that outlives its incarnations, and starts them.
pub(crate) trait Body: Send {
    /// Begins an incarnation, which reports through the launch's life.
    fn start(&mut self, launch: Launch);
    /// Called before each incarnation begins.
    fn open(&mut self) {}
    /// Called when no incarnation will follow by itself.
    fn close(&mut self) {}
}

/// A child for a [`Supervisor`]. Permanent, unless changed.
#[must_use = "a child runs only under a supervisor"]
pub struct ChildSpec {
    pub(crate) process: Arc<Process>,
    pub(crate) body: Box<dyn Body>,
    pub(crate) restart: Restart,
    /// Time to stop; `None`: as long as it takes.
    pub(crate) shutdown: Option<Duration>,
    /// Time to become ready; `None`: as long as it takes.
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
    /// Specifies an actor with a mailbox for `capacity` messages, and returns its address. `new` makes the state of each
    /// incarnation. The address may be used at once; messages wait until the actor has started.
    pub fn actor<A: Actor>(
        name: &str,
        capacity: usize,
        new: impl Fn() -> A + Send + Sync + 'static,
    ) -> (Addr<A>, ChildSpec) {
        // The mailbox is made here and not with the incarnation, so that it survives a crash.
        let process = Process::new(name, Kind::Actor);
        let mailbox = Mailbox::new(process.clone(), capacity);
        let spec = ChildSpec::new(process, Box::new(ActorBody::new(mailbox.clone(), new)));
        (Addr { mailbox }, spec)
    }

    /// Specifies an async task; `run` begins each incarnation. The task counts as started once it has called
    /// [`TaskContext::ready`], and should end soon after [`TaskContext::stopping`].
    pub fn task<T>(name: &str, run: impl Fn(TaskContext) -> T + Send + Sync + 'static) -> ChildSpec
    where
        T: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        ChildSpec::new(Process::new(name, Kind::Task), Box::new(TaskBody::new(run)))
    }

    /// Specifies an OS thread, which may block; `run` is each incarnation. The thread counts as started once it has called
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

    /// Specifies a supervisor with its children. It may take any time to stop: each child has its own limit.
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

    /// Returns the child's name.
    pub fn name(&self) -> &str {
        &self.process.name
    }

    /// Restarts it after every end.
    pub fn permanent(mut self) -> Self {
        self.restart = Restart::Permanent;
        self
    }

    /// Restarts it only after a crash.
    pub fn transient(mut self) -> Self {
        self.restart = Restart::Transient;
        self
    }

    /// Never restarts it, and forgets it once it has ended.
    pub fn temporary(mut self) -> Self {
        self.restart = Restart::Temporary;
        self
    }

    /// Sets the time it may take to stop before it is killed.
    pub fn shutdown(mut self, within: Duration) -> Self {
        self.shutdown = Some(within);
        self
    }

    /// Sets the time it may take to become ready before the start counts as failed.
    pub fn start_within(mut self, within: Duration) -> Self {
        self.start_within = Some(within);
        self
    }

    /// Kills and restarts it as [hung](crate::ExitReason::Hung) when it spends more than `limit` on one message, or more than
    /// `limit` has passed since its last beat.
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

    /// Lets its end for good end the supervisor, as that is [set](Supervisor::auto_shutdown): the normal end of a transient child,
    /// any end of a temporary one.
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Waits for it as long as it takes, even when it is stuck: for a writer of files, of which two incarnations at once would be
    /// worse than none. Without this, a child that does not react to a kill is left behind and counted as abandoned.
    pub fn never_abandon(mut self) -> Self {
        self.abandon = false;
        self
    }

    /// Runs an actor or task on a thread of its own, where its handlers may block.
    pub fn on_thread(mut self) -> Self {
        self.own_thread = true;
        self
    }

    /// Sets the nice value of its thread, -20 (first) to 19 (last); with [`on_thread`](Self::on_thread), or for a thread.
    pub fn nice(mut self, level: i32) -> Self {
        self.nice = Some(level);
        self
    }

    /// Shows this queue as its mailbox in the process list: for a thread or task that is fed by one.
    pub fn shows_queue<T: Send + 'static>(self, queue: &Queue<T>) -> Self {
        let queue = queue.clone();
        self.process.stats.watch_mailbox(Box::new(move || queue.backlog()));
        self
    }

    /// Runs it on this runtime instead of the one the root was started on.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

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
