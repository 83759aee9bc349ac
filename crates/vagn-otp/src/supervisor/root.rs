//! The root of a tree, and its end.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::body::SupervisorBody;
use super::{StartError, Supervisor};
use crate::child::{Body, Launch};
use crate::exit::{Exit, ExitReason};
use crate::life::{Life, Order};
use crate::process::{Kind, ProcessInfo, ProcessState, Processes};
use crate::sync::Handle;

/// A running tree. If it is dropped, it tells the tree to stop and does not wait.
pub struct Root {
    life: Arc<Life>,
}

impl Root {
    pub(super) async fn start(supervisor: Supervisor) -> Result<Root, StartError> {
        let Supervisor { process, mut nest } = supervisor;
        nest.is_root = true;
        // There is no supervisor above to hear of the end, which is read from the life instead.
        let (above, _) = mpsc::unbounded_channel();
        let life = Life::new(process.clone(), 0, above);
        let root = Root { life: life.clone() };
        let launch = Launch { life: life.clone(), runtime: Handle::current(), own_thread: false, nice: None };
        SupervisorBody::new(process.clone(), nest).start(launch);
        life.started().await;
        if life.failed_to_start() {
            return Err(root.start_error());
        }
        process.enter(ProcessState::Running);
        Ok(root)
    }

    fn start_error(&self) -> StartError {
        match self.life.exit() {
            ExitReason::GaveUp { child, reason } => StartError::child(child, *reason),
            reason => StartError::Child { child: self.life.process.name.to_string(), reason },
        }
    }

    /// Returns the process list of this tree.
    pub fn processes(&self) -> Processes {
        Processes { root: self.life.process.clone() }
    }

    /// Lists the processes that have not ended yet, those told to stop first: a stop that takes too long waits for these. Left
    /// out are supervisors, for they wait only for their children.
    pub fn pending(&self) -> Vec<ProcessInfo> {
        let mut list = self.processes().list();
        // Children of a supervisor that has ended, or never began, are not waited for.
        let ended: Vec<String> = list
            .iter()
            .filter(|info| info.kind == Kind::Supervisor && !info.state.is_pending())
            .map(|info| format!("{}/", info.path))
            .collect();
        list.retain(|info| {
            info.kind != Kind::Supervisor
                && info.state.is_pending()
                && !ended.iter().any(|path| info.path.starts_with(path))
        });
        // A stable sort: within each part it stays the start order.
        list.sort_by_key(|info| info.state != ProcessState::Stopping);
        list
    }

    /// Stops every child in reverse order, each within its own time, and returns the end of the tree.
    pub async fn stop(&self) -> Exit {
        self.life.raise(Order::Shutdown);
        self.ended().await
    }

    /// Stops every child at its next await.
    pub async fn kill(&self) -> Exit {
        self.life.raise(Order::Kill);
        self.ended().await
    }

    /// Waits until the tree begins to end, by itself or because it is stopped. The end can take as long as the limits of the
    /// children allow, and for ever if a child hangs that is [never abandoned](crate::ChildSpec::never_abandon).
    pub async fn ending(&self) {
        self.life.ending().await;
    }

    /// Waits until the tree has ended, by itself or because it was stopped.
    pub async fn ended(&self) -> Exit {
        self.life.ended().await;
        match self.life.exit() {
            ExitReason::Finished => Exit::Finished,
            ExitReason::GaveUp { child, reason } => Exit::GaveUp { child, reason: *reason },
            ExitReason::Stopped | ExitReason::Killed => Exit::Stopped,
            reason => Exit::GaveUp { child: self.life.process.name.to_string(), reason },
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        self.life.raise(Order::Shutdown);
    }
}
