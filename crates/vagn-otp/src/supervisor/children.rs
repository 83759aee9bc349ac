//! The children and the settings of a supervisor, kept over its own restarts.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::intensity::Intensity;
use super::{AutoShutdown, Event, Strategy};
use crate::child::ChildSpec;
use crate::life::Life;
use crate::process::{Process, ProcessState};

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
    started_before: bool,
}

impl Child {
    fn new(id: u64, spec: ChildSpec) -> Self {
        Child { id, spec, life: None, up_since: None, due: None, retired: false, started_before: false }
    }

    pub(super) fn name(&self) -> String {
        self.spec.process.name.to_string()
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
    pub(super) fn watch(&self, now: Instant) -> Option<Watch> {
        let limit = self.spec.watchdog?;
        let life = self.life.as_ref()?;
        match life.process.busy_for(now) {
            Some(busy) if busy >= limit => Some(Watch::Hung),
            Some(busy) => Some(Watch::LookAt(now + (limit - busy))),
            None => Some(Watch::LookAt(now + limit)),
        }
    }
}

pub(super) enum Watch {
    Hung,
    LookAt(Instant),
}
