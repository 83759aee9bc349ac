//! Copies of the running service, for `vagn backup`.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use vagn_emergency::EmergencyHandle;
use vagn_flow::clock::Clock;
use vagn_registry::Registry;
use vagn_store::{BackupError, BackupProgress, DataDir};

use crate::backup::{Running, copy_running};
use crate::control::{ControlError, ControlLine, Copier, Problem, Tell};

/// Pause between two signs of progress. The command takes a service that is silent for two minutes for gone.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// The reason that a running node is not copied, and the remedy.
const OF_A_NODE: &str = "this service is a node of a cluster: name the brokers with --nats to copy the whole service, or stop this one to copy its \
                         incidents, devices and tokens";

/// The parts of the service that are copied.
pub(super) struct LiveCopier {
    /// Locked to write while the fleet is distributed over another number of partitions.
    pub(super) data: Arc<RwLock<DataDir>>,
    pub(super) incidents: EmergencyHandle,
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    /// Bytes that must stay free.
    pub(super) spare: u64,
    /// The fleet is in a cluster.
    pub(super) is_node: bool,
    /// A second copy beside the first would only make both slow.
    pub(super) one_at_a_time: Mutex<()>,
}

impl Copier for LiveCopier {
    fn copy(&self, dir: &Path, tell: &mut Tell<'_>) -> Result<Value, ControlError> {
        if self.is_node {
            return Err(ControlError::new(Problem::Refused, OF_A_NODE));
        }
        let Some(_alone) = self.one_at_a_time.try_lock() else {
            let message = "another backup is under way; wait for its end";
            return Err(ControlError::new(Problem::Busy, message));
        };
        let moment = self.data.try_read().map_or(Err(BackupError::Distributing), |data| data.moment());
        let running = Running {
            fleet: moment.map_err(|err| failed(&err.into()))?,
            incidents: &self.incidents,
            registry: &self.registry,
            spare: self.spare,
        };
        let interrupt = signs(tell, &*self.clock);
        let copied = copy_running(running, dir, self.clock.now_ms(), &interrupt);
        copied.map_err(|err| failed(&err))?;
        Ok(json!({}))
    }
}

/// Passes progress on, now and then: by time and not by bytes, as each step counts its own, and some have none to count.
fn signs(tell: &mut Tell<'_>, clock: &dyn Clock) -> impl Fn(BackupProgress) -> ControlFlow<()> {
    let (tell, told) = (RefCell::new(tell), Cell::new(clock.monotonic()));
    move |BackupProgress { done, total, .. }| {
        let at = clock.monotonic();
        if at < told.get() + TELL_EVERY {
            return ControlFlow::Continue(());
        }
        told.set(at);
        let line = ControlLine::Progress(json!({"done": done, "total": total}));
        // It fails when the command has left: nobody is there who would check the copy.
        if tell.borrow_mut()(line).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Returns the reason for which there is no copy, with the remedy where the service's user may not write. A directory that cannot be
/// used is the caller's mistake.
fn failed(err: &anyhow::Error) -> ControlError {
    let denied = err.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        matches!(cause.kind(), PermissionDenied | ReadOnlyFilesystem)
    });
    let remedy = match denied {
        true => {
            "; the running service makes the copy: let its user write there (with systemd also ReadWritePaths=), or stop it first"
        }
        false => "",
    };
    let mut causes = err.chain().filter_map(|cause| cause.downcast_ref::<BackupError>());
    let problem = if causes.any(BackupError::is_wrong_place) { Problem::Invalid } else { Problem::Failed };
    ControlError::new(problem, format!("{err:#}{remedy}"))
}

#[cfg(test)]
mod tests {
    use vagn_flow::clock::ManualClock;
    use vagn_store::BackupStep;

    use super::*;

    #[test]
    fn progress_is_told_by_time_also_where_no_bytes_are_counted_and_ends_when_nobody_hears_it() {
        let clock = ManualClock::at(0);
        let mut lines = Vec::new();
        let mut tell = |line| {
            lines.push(line);
            match lines.len() {
                3 => Err(ControlError::new(Problem::Failed, "the command has left")),
                _ => Ok(()),
            }
        };
        let steps = {
            let interrupt = signs(&mut tell, &clock);
            let goes_on = |_: &u32| {
                clock.advance(TELL_EVERY / 4);
                interrupt(BackupProgress { step: BackupStep::Copy, done: 0, total: 0 }).is_continue()
            };
            (0..100).take_while(goes_on).count()
        };
        let line = serde_json::to_value(&lines[0]).unwrap();
        assert_eq!((steps, lines.len(), line), (11, 3, json!({"progress": {"done": 0, "total": 0}})));
    }
}
