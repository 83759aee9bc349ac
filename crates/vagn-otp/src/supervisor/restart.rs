//! The end of a child by itself, and its restart.

use tracing::{info, warn};

use super::AutoShutdown;
use super::engine::{Engine, Verdict};
use crate::child::Restart;
use crate::exit::ExitReason;
use crate::life::Order;
use crate::process::ProcessState;
use crate::sync::time::Instant;

impl Engine {
    pub(super) async fn child_ended(&mut self, at: usize, exit: ExitReason) {
        let child = &mut self.nest.children[at];
        let process = child.spec.process.clone();
        if exit.is_normal() {
            info!(supervisor = %self.life.process.name, child = %process.name, %exit, "child ended");
        } else {
            warn!(supervisor = %self.life.process.name, child = %process.name, %exit, "child failed");
        }
        let again = match child.spec.restart {
            Restart::Permanent => true,
            Restart::Transient => !exit.is_normal(),
            Restart::Temporary => false,
        };
        if again {
            // Before the restart, which may have to stop a group first: the list should show the end at once.
            process.ended(ProcessState::Waiting, exit.clone());
            return self.recover(at, exit).await;
        }
        process.ended(ProcessState::Ended, exit);
        child.close();
        child.retired = child.spec.restart == Restart::Temporary;
        self.after_last_end(at);
    }

    /// Restarts a child and its group until all run, or a pause begins, or the intensity is exceeded.
    async fn recover(&mut self, at: usize, reason: ExitReason) {
        // A loop, for a member of the group may fail its start, too, and for ever.
        let mut failed = Some((at, reason));
        while let Some((at, reason)) = failed.take() {
            if self.life.is_stopping() {
                // Without this the others would be stopped for a restart, and would not handle their last messages.
                self.verdict = Some(Verdict::Ordered);
                return;
            }
            let group = self.nest.strategy.group(at, self.nest.children.len());
            self.stop_group(group.clone(), Order::Restart).await;
            if !self.postpone(at, &reason) && self.may_restart(at, reason) {
                failed = self.start_group(group).await;
            }
        }
    }

    /// Ends the pause of a child.
    pub(super) async fn resume(&mut self, at: usize) {
        self.nest.children[at].due = None;
        let group = self.nest.strategy.group(at, self.nest.children.len());
        if let Some((at, reason)) = self.start_group(group).await {
            self.recover(at, reason).await;
        }
    }

    /// Plans the restart of a child with a backoff. Returns false if it has none.
    pub(super) fn postpone(&mut self, at: usize, reason: &ExitReason) -> bool {
        let child = &mut self.nest.children[at];
        let Some(backoff) = child.spec.backoff.as_mut() else { return false };
        let now = Instant::now();
        let pause = backoff.pause(child.up_since, now);
        child.due = Some(now + pause);
        child.spec.process.enter(ProcessState::Waiting);
        warn!(child = %child.spec.process.name, %reason, pause_ms = pause.as_millis() as u64, "restart after a pause");
        true
    }

    fn may_restart(&mut self, at: usize, reason: ExitReason) -> bool {
        let allowed = self.nest.intensity.allow(Instant::now());
        if !allowed {
            let child = self.nest.children[at].name();
            self.verdict = Some(Verdict::GaveUp { child, reason });
        }
        allowed
    }

    /// Ends the supervisor if this significant child was the last that it waited for.
    fn after_last_end(&mut self, at: usize) {
        if !self.nest.children[at].spec.significant {
            return;
        }
        let others_left = self
            .nest
            .children
            .iter()
            .any(|child| child.spec.significant && (child.life.is_some() || child.comes_back()));
        let over = match self.nest.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::Any => true,
            AutoShutdown::All => !others_left,
        };
        if over {
            self.verdict = Some(Verdict::Finished);
        }
    }
}
