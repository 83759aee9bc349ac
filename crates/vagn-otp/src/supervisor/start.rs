//! The start of children: one after another, each when the one before it is ready.

use std::ops::Range;

use tracing::{debug, warn};

use super::engine::{Engine, Verdict};
use super::{StartError, Strategy};
use crate::exit::ExitReason;
use crate::life::Order;
use crate::process::ProcessState;
use crate::sync::time::Instant;
use crate::wait::limit;

impl Engine {
    /// Starts all children for the first time. The start as a whole fails with the first child that fails without a backoff.
    pub(super) async fn start_all(&mut self) {
        for at in 0..self.nest.children.len() {
            let Err(reason) = self.start_child(at).await else { continue };
            if self.verdict.is_some() {
                return;
            }
            if !self.postpone(at, &reason) {
                let child = self.nest.children[at].name();
                self.verdict = Some(Verdict::GaveUp { child, reason });
                return;
            }
            if self.nest.strategy != Strategy::OneForOne {
                // The children after it build on it, and are started with it.
                return;
            }
        }
    }

    /// Starts the children of a group that do not run. Returns the first that could not be started.
    pub(super) async fn start_group(&mut self, group: Range<usize>) -> Option<(usize, ExitReason)> {
        for at in group {
            let child = &self.nest.children[at];
            if child.life.is_some() || child.retired {
                continue;
            }
            if let Err(reason) = self.start_child(at).await {
                return self.verdict.is_none().then_some((at, reason));
            }
        }
        None
    }

    /// Starts one child, and waits until it is ready. If the supervisor itself is told to stop meanwhile, there is a verdict
    /// afterwards.
    pub(super) async fn start_child(&mut self, at: usize) -> Result<(), ExitReason> {
        let child = &mut self.nest.children[at];
        let life = child.launch(&self.nest.sender, &self.runtime);
        let timely = tokio::select! {
            // A child that is ready at the last moment counts as ready.
            biased;
            () = life.started() => true,
            () = limit(child.spec.start_within) => false,
            _ = self.life.ordered(Order::Restart) => {
                self.verdict = Some(Verdict::Ordered);
                return Err(ExitReason::Stopped);
            }
        };
        if !timely {
            self.stop_child(at, Order::Kill).await;
            return Err(self.not_started(at, ExitReason::StartTimeout));
        }
        if life.failed_to_start() {
            self.nest.children[at].life = None;
            return Err(self.not_started(at, life.exit()));
        }
        let child = &mut self.nest.children[at];
        child.up_since = Some(Instant::now());
        life.process.enter(ProcessState::Running);
        debug!(supervisor = %self.life.process.name, child = %life.process.name, "started");
        Ok(())
    }

    fn not_started(&self, at: usize, reason: ExitReason) -> ExitReason {
        let process = &self.nest.children[at].spec.process;
        process.ended(ProcessState::Ended, reason.clone());
        warn!(supervisor = %self.life.process.name, child = %process.name, %reason, "could not be started");
        reason
    }
}

impl StartError {
    /// Names the innermost child that failed, by its path.
    pub(super) fn child(child: String, reason: ExitReason) -> Self {
        match reason {
            ExitReason::GaveUp { child: inner, reason } => Self::child(format!("{child}/{inner}"), *reason),
            reason => StartError::Child { child, reason },
        }
    }
}
