//! The work of a supervisor: it starts all children, handles one event after another, and stops all children.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, error, warn};

use super::children::{Child, Watch};
use super::{Event, Nest, StartError};
use crate::child::{ChildSpec, Launch};
use crate::exit::ExitReason;
use crate::life::{Life, Order};
use crate::plant::{Plant, planted};
use crate::sync::Handle;
use crate::sync::time::{Instant, sleep_until};

pub(super) struct Engine {
    pub(super) life: Arc<Life>,
    pub(super) nest: Nest,
    pub(super) runtime: Handle,
    /// The reason to end, once there is one.
    pub(super) verdict: Option<Verdict>,
}

/// Lateness of a supervisor that tells of a standstill. A busy machine is late by some milliseconds all the time.
const LATE_MIN: Duration = Duration::from_millis(100);

/// Time between two looks at a child that hangs in a wait.
const WAITS_AGAIN: Duration = Duration::from_millis(250);

/// What ended a supervisor's sleep.
enum Woken {
    Ordered,
    Event(Event),
    Due,
}

pub(super) enum Verdict {
    /// The supervisor was told to stop.
    Ordered,
    /// Significant children have ended.
    Finished,
    /// A child failed too often.
    GaveUp { child: String, reason: ExitReason },
}

impl Engine {
    pub(super) fn new(launch: &Launch, nest: Nest) -> Self {
        Engine { life: launch.life.clone(), nest, runtime: launch.runtime.clone(), verdict: None }
    }

    pub(super) fn into_nest(self) -> Nest {
        self.nest
    }

    pub(super) async fn run(&mut self) -> ExitReason {
        // The restarts of the incarnation before made it give up; they must not count again.
        self.nest.intensity.clear();
        self.start_all().await;
        if self.verdict.is_none() {
            self.life.ready();
        }
        loop {
            if let Some(verdict) = self.verdict.take() {
                return self.finish(verdict).await;
            }
            self.step().await;
            self.sweep();
        }
    }

    async fn step(&mut self) {
        let life = self.life.clone();
        let wake = self.next_wake();
        let asleep = Instant::now();
        let woken = tokio::select! {
            // The order first: a supervisor that is to stop must not restart a child before.
            biased;
            _ = life.ordered(Order::Restart) => Woken::Ordered,
            Some(event) = self.nest.events.recv() => Woken::Event(event),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Woken::Due,
        };
        if let Some(wake) = wake {
            self.excuse_standstill(wake.max(asleep));
        }
        match woken {
            Woken::Ordered => self.verdict = Some(Verdict::Ordered),
            Woken::Event(event) => self.handle(event).await,
            Woken::Due => self.tick().await,
        }
    }

    /// Grants the children the time by which this supervisor itself has woken too late: the whole process was frozen, or starved.
    fn excuse_standstill(&mut self, wake: Instant) {
        let late = Instant::now().saturating_duration_since(wake);
        if late < LATE_MIN {
            return;
        }
        warn!(supervisor = %self.life.process.name, ?late, "woke too late: the process stood still, which no part is blamed for");
        for child in &mut self.nest.children {
            child.grant(late);
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Ended(life) => self.ended(&life).await,
            Event::Kill(id) => self.kill(id, ExitReason::Killed).await,
            Event::Add(spec, reply) => self.add(*spec, reply).await,
            Event::Remove(name, reply) => self.remove(&name, reply).await,
        }
    }

    async fn ended(&mut self, life: &Arc<Life>) {
        let Some(at) = self.nest.position(life.child) else { return };
        // An incarnation that was stopped on purpose, or replaced since, is no news.
        if self.nest.children[at]
            .life
            .as_ref()
            .is_some_and(|present| Arc::ptr_eq(present, life) || planted(Plant::DoubleRestart))
        {
            self.nest.children[at].life = None;
            self.child_ended(at, life.exit()).await;
        }
    }

    async fn kill(&mut self, id: u64, reason: ExitReason) {
        let Some(at) = self.nest.position(id) else { return };
        let child = &self.nest.children[at];
        if child.life.is_some() {
            if reason == ExitReason::Hung {
                child.note_hang(Instant::now());
            }
            self.stop_child(at, Order::Kill).await;
            self.child_ended(at, reason).await;
        }
    }

    async fn add(&mut self, spec: ChildSpec, reply: oneshot::Sender<Result<(), StartError>>) {
        let name = spec.name().to_owned();
        if self.nest.children.iter().any(|child| *child.spec.process.name == *name) {
            reply.send(Err(StartError::Name(name))).ok();
            return;
        }
        self.nest.adopt(&self.life.process, spec);
        let at = self.nest.children.len() - 1;
        let result = match self.start_child(at).await {
            Ok(()) => Ok(()),
            Err(reason) => {
                // It may have failed while it still runs, as when the supervisor was told to stop.
                self.stop_child(at, Order::Remove).await;
                self.nest.children[at].retired = true;
                Err(StartError::child(name, reason))
            }
        };
        // The caller may have stopped waiting.
        reply.send(result).ok();
    }

    async fn remove(&mut self, name: &str, reply: oneshot::Sender<bool>) {
        let at = self.nest.children.iter().position(|child| *child.spec.process.name == *name);
        if let Some(at) = at {
            self.stop_child(at, Order::Remove).await;
            self.nest.children[at].retired = true;
            self.sweep();
        }
        reply.send(at.is_some()).ok();
    }

    /// Forgets the children that have ended for good. Their addresses say so from now on.
    fn sweep(&mut self) {
        let process = &self.life.process;
        self.nest.children.retain(|child| {
            if child.retired {
                process.orphan(&child.spec.process);
            }
            !child.retired
        });
    }

    /// Returns the time at which the next pause ends, or the next watchdog should look.
    fn next_wake(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let wake = |child: &mut Child| {
            let watch = child.watch(now).map(|watch| match watch {
                Watch::Hung => now,
                Watch::Waits(_) => now + WAITS_AGAIN,
                Watch::LookAt(at) => at,
            });
            child.due.into_iter().chain(watch).min()
        };
        self.nest.children.iter_mut().filter_map(wake).min()
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        for child in &mut self.nest.children {
            if let Some(Watch::Waits(waited)) = child.watch(now) {
                child.note_wait(now, waited);
            }
        }
        let hung = self
            .nest
            .children
            .iter_mut()
            .find_map(|child| matches!(child.watch(now), Some(Watch::Hung)).then_some(child.id));
        // One at a time: the kill takes time and may restart others. The next step finds the rest.
        if let Some(id) = hung {
            return self.kill(id, ExitReason::Hung).await;
        }
        let due = self.nest.children.iter().position(|child| child.due.is_some_and(|at| at <= now));
        if let Some(at) = due {
            self.resume(at).await;
        }
    }

    async fn finish(&mut self, verdict: Verdict) -> ExitReason {
        let (order, exit) = match verdict {
            // A supervisor that is removed takes all its children with it for good.
            Verdict::Ordered if self.life.order() == Order::Remove => (Order::Shutdown, ExitReason::Stopped),
            Verdict::Ordered => (self.life.order(), ExitReason::Stopped),
            Verdict::Finished => (Order::Shutdown, ExitReason::Finished),
            Verdict::GaveUp { child, reason } => {
                error!(supervisor = %self.life.process.name, %child, %reason, "gave up");
                // The supervisor above may start it all again; the mailboxes are kept for that.
                let order = if self.nest.is_root { Order::Shutdown } else { Order::Restart };
                (order, ExitReason::GaveUp { child, reason: Box::new(reason) })
            }
        };
        if self.nest.is_root {
            // For `Root::ending`: the end has begun.
            self.life.raise(Order::Shutdown);
        }
        self.stop_all(order).await;
        self.sweep();
        debug!(supervisor = %self.life.process.name, %exit, "supervisor ended");
        exit
    }
}
