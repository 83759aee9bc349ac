//! The stop of children: in reverse order, each within its own time, then by force.

use std::ops::Range;
use std::time::Duration;

use tracing::{error, warn};

use super::engine::Engine;
use crate::child::Restart;
use crate::life::Order;
use crate::process::ProcessState;
use crate::sync::time::{Instant, timeout_at};
use crate::wait::limit;

/// Time that a killed child may take to end. Async work ends at its next await, which is at once unless it blocks its thread; a
/// thread ends when it looks at its stop flag.
const KILL_GRACE: Duration = Duration::from_secs(1);

impl Engine {
    /// Stops every child, the youngest first.
    pub(super) async fn stop_all(&mut self, order: Order) {
        if order == Order::Kill {
            // All at once, so that one stuck child does not prolong the others' end.
            for life in self.nest.children.iter().filter_map(|child| child.life.as_ref()) {
                life.raise(order);
            }
        }
        for at in (0..self.nest.children.len()).rev() {
            // A pause must not end in a restart once this supervisor runs again.
            self.nest.children[at].due = None;
            self.stop_child(at, order).await;
        }
    }

    /// Stops a group before its restart. A temporary child is not started again.
    pub(super) async fn stop_group(&mut self, group: Range<usize>, order: Order) {
        for at in group.rev() {
            self.stop_child(at, order).await;
            let child = &mut self.nest.children[at];
            child.due = None;
            child.retired |= child.spec.restart == Restart::Temporary;
        }
    }

    /// Stops one child if it runs, and returns when it has ended or was left behind.
    pub(super) async fn stop_child(&mut self, at: usize, order: Order) {
        let child = &mut self.nest.children[at];
        if let Some(life) = child.life.take() {
            let process = &life.process;
            process.enter(ProcessState::Stopping);
            life.raise(order);
            tokio::select! {
                biased;
                () = life.ended() => {}
                _ = life.ordered(Order::Kill) => {}
                () = limit(child.spec.shutdown) => warn!(child = %process.name, "did not stop in time: killed"),
                _ = self.life.ordered(Order::Kill) => {}
            }
            // Also for one that has ended: nothing of it may speak for its successor.
            life.raise(Order::Kill);
            if !child.spec.abandon {
                if timeout_at(Instant::now() + KILL_GRACE, life.ended()).await.is_err() {
                    error!(child = %process.name, "does not react to being killed; waited for, as it must not be left behind");
                }
                life.ended().await;
            } else if timeout_at(Instant::now() + KILL_GRACE, life.ended()).await.is_err() {
                error!(child = %process.name, "does not react to being killed: left behind");
                life.abandon();
            }
            process.ended(ProcessState::Waiting, life.exit());
        }
        if matches!(order, Order::Remove | Order::Shutdown) {
            child.spec.process.enter(ProcessState::Ended);
            child.close();
        }
    }
}
