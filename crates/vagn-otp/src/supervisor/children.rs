//! The children and the settings of a supervisor, kept over its own restarts.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use super::intensity::Intensity;
use super::{AutoShutdown, Event, Strategy};
use crate::child::ChildSpec;
use crate::life::Life;
use crate::process::{Process, ProcessState};
use crate::sync::Handle;
use crate::sync::time::Instant;

pub(super) struct Nest {
    pub(super) strategy: Strategy,
    pub(super) intensity: Intensity,
    pub(super) auto_shutdown: AutoShutdown,
    /// True for the top of the tree, which nothing starts again.
    pub(super) is_root: bool,
    /// Children, in start order.
    pub(super) children: Vec<Child>,
    /// Number of the next child. Not its position, which changes when others go.
    pub(super) next_child: u64,
    pub(super) sender: mpsc::UnboundedSender<Event>,
    pub(super) events: mpsc::UnboundedReceiver<Event>,
}

impl Nest {
    /// Adds a child at the end.
    pub(super) fn adopt(&mut self, supervisor: &Process, spec: ChildSpec) {
        let id = self.next_child;
        self.next_child += 1;
        spec.process.attach(id, self.sender.clone());
        // Listed from here on, and not from its start: a tree that does not start should show all of its children.
        supervisor.adopt(spec.process.clone());
        self.children.push(Child::new(id, spec));
    }

    pub(super) fn position(&self, id: u64) -> Option<usize> {
        self.children.iter().position(|child| child.id == id)
    }
}

pub(super) struct Child {
    pub(super) id: u64,
    pub(super) spec: ChildSpec,
    /// Present incarnation, if one runs.
    pub(super) life: Option<Arc<Life>>,
    pub(super) up_since: Option<Instant>,
    /// Time of its restart, during a pause.
    pub(super) due: Option<Instant>,
    /// True for a child to forget: a temporary one that has ended, or one that was removed.
    pub(super) retired: bool,
    /// Time that its watchdog does not hold against the work with this mark.
    excused: (u64, Duration),
    contention: Contention,
    started_before: bool,
}

impl Child {
    fn new(id: u64, spec: ChildSpec) -> Self {
        Child {
            id,
            spec,
            life: None,
            up_since: None,
            due: None,
            retired: false,
            excused: (0, Duration::ZERO),
            contention: Contention::default(),
            started_before: false,
        }
    }

    pub(super) fn name(&self) -> String {
        self.spec.process.name.to_string()
    }

    /// Returns true between two incarnations: in its pause, or stopped because of a sibling that is in one.
    pub(super) fn comes_back(&self) -> bool {
        !self.retired && self.spec.process.is_waiting()
    }

    /// Begins a new incarnation.
    pub(super) fn launch(&mut self, sender: &mpsc::UnboundedSender<Event>, runtime: &Handle) -> Arc<Life> {
        let process = &self.spec.process;
        if std::mem::replace(&mut self.started_before, true) {
            process.stats.add_restart();
        }
        // A thread left behind may have set a mark since its end was noted.
        process.idle();
        process.enter(ProcessState::Starting);
        self.due = None;
        self.up_since = None;
        let life = Life::new(process.clone(), self.id, sender.clone());
        self.life = Some(life.clone());
        self.spec.launch(life.clone(), runtime);
        life
    }

    /// Notes that it will not run again by itself.
    pub(super) fn close(&mut self) {
        self.spec.body.close();
    }

    /// Looks as its watchdog does. Returns the finding; none without a watchdog or an incarnation.
    pub(super) fn watch(&mut self, now: Instant) -> Option<Watch> {
        let limit = self.spec.watchdog?;
        let life = self.life.clone()?;
        let left = match life.process.busy_for(now) {
            Some(busy) => {
                let work = Work { mark: life.process.mark(), busy, limit };
                let excuse = self.excuse() + self.contention.of(work, || life.contention());
                limit.saturating_sub(busy.saturating_sub(excuse))
            }
            None => limit,
        };
        match life.process.patient_for(now) {
            _ if left.is_zero() => Some(Watch::Hung),
            Some(waited) if waited >= limit => Some(Watch::Waits(waited)),
            _ => Some(Watch::LookAt(now + left.min(look_every(limit)))),
        }
    }

    fn excuse(&self) -> Duration {
        let (mark, excused) = self.excused;
        if self.spec.process.mark() == mark { excused } else { Duration::ZERO }
    }

    /// Grants more time to the present work: its watchdog was late by so much, so the work stood still as well. All of the time
    /// since the look before is granted, because the standstill may have begun at any moment in it.
    pub(super) fn grant(&mut self, late: Duration) {
        let Some(limit) = self.spec.watchdog else { return };
        self.excused = (self.spec.process.mark(), self.excuse() + late + look_every(limit));
    }

    /// Notes that it hangs in its present work, and logs it: its end may take as long as the hang.
    pub(super) fn note_hang(&self, now: Instant) {
        let process = &self.spec.process;
        let busy = process.busy_for(now).unwrap_or_default();
        process.hangs(now, busy);
        warn!(child = %process.name, ?busy, "hangs: it is killed");
    }

    /// Notes a wait that has become too long, and logs it once.
    pub(super) fn note_wait(&self, now: Instant, waited: Duration) {
        let process = &self.spec.process;
        if process.hangs(now, waited) {
            error!(child = %process.name, ?waited, "hangs in a wait that must not be broken off");
        }
    }
}

/// Work as a watchdog sees it: since its mark it has been busy for so long, and may be for the limit.
struct Work {
    mark: u64,
    busy: Duration,
    limit: Duration,
}

/// Time that the thread of a child had to wait for a processor in its present work: work that cannot run does not hang.
#[derive(Default)]
struct Contention {
    /// Mark of the present work.
    mark: u64,
    /// What the thread had waited when the watchdog first looked at this work, since the thread began.
    before: Duration,
}

impl Contention {
    /// Returns that time, as far as the watchdog has seen it. `waited` tells what the thread has waited since it began. A hang that
    /// spins is found in the end, also where a hundred others want the same processor.
    fn of(&mut self, work: Work, waited: impl FnOnce() -> Duration) -> Duration {
        // The kernel is not asked about work that is done before the watchdog looks again.
        if work.busy < work.limit / 8 {
            return Duration::ZERO;
        }
        let waited = waited();
        if self.mark != work.mark {
            *self = Self { mark: work.mark, before: waited };
        }
        waited.saturating_sub(self.before).min(work.limit * CONTENTION_MAX)
    }
}

/// Most limits of a watchdog that are granted for contention.
const CONTENTION_MAX: u32 = 9;

/// Time between two looks at a child. Short beside its limit: a standstill of the whole process is noticed as the lateness of
/// such a look.
fn look_every(limit: Duration) -> Duration {
    limit / 4
}

pub(super) enum Watch {
    /// It has worked on one thing for too long.
    Hung,
    /// It waits for so long already in what must not be broken off.
    Waits(Duration),
    LookAt(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_processor_is_not_held_against_the_work_that_is_under_way() {
        let mut contention = Contention::default();
        let s = Duration::from_secs;
        let mut excuse = |mark, busy, waited| {
            let work = Work { mark, busy: s(busy), limit: s(10) };
            contention.of(work, || s(waited)).as_secs()
        };
        assert_eq!(excuse(1, 1, 100), 0, "it has only begun");
        assert_eq!([excuse(1, 3, 102), excuse(1, 5, 104), excuse(1, 10, 108)], [0, 2, 6]);
        assert_eq!([excuse(2, 3, 110), excuse(2, 6, 110)], [0, 0], "other work, which has not waited");
        assert_eq!(excuse(2, 200, 400), 90, "a hang that spins is found in the end");
    }
}
