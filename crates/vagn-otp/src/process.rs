//! The process list: the running processes and their counters as data, and faults on demand.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::exit::ExitReason;
use crate::fault::Fault;
use crate::stats::Stats;
use crate::supervisor::Event;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sync::time::Instant;

/// Kind of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Starts and restarts others.
    Supervisor,
    /// Handles messages, one after another.
    Actor,
    /// Runs as an async task.
    Task,
    /// Runs on an OS thread.
    Thread,
    /// One worker of a pool, on its own thread.
    Worker,
}

impl Kind {
    /// Returns the kind as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Supervisor => "supervisor",
            Kind::Actor => "actor",
            Kind::Task => "task",
            Kind::Thread => "thread",
            Kind::Worker => "worker",
        }
    }
}

/// State of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// Not started yet, or being started.
    Starting,
    /// Started, and at work.
    Running,
    /// Told to stop, and not gone yet.
    Stopping,
    /// Ended, and to be followed by a new incarnation.
    Waiting,
    /// Ended, and not to be restarted by itself.
    Ended,
}

impl ProcessState {
    /// Returns the state as one lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            ProcessState::Starting => "starting",
            ProcessState::Running => "running",
            ProcessState::Stopping => "stopping",
            ProcessState::Waiting => "waiting",
            ProcessState::Ended => "ended",
        }
    }

    /// Returns true if a stop has to wait for the process.
    pub(crate) fn is_pending(self) -> bool {
        !matches!(self, ProcessState::Waiting | ProcessState::Ended)
    }
}

/// Entry of a process in the list.
#[derive(Debug, Clone)]
pub struct ProcessInfo {
    /// Names from the root down, joined by `/`.
    pub path: String,
    /// Name among its siblings.
    pub name: String,
    /// Path of its supervisor; none for the root.
    pub parent: Option<String>,
    /// Kind of process.
    pub kind: Kind,
    /// Present state.
    pub state: ProcessState,
    /// Time spent in that state.
    pub since: Duration,
    /// Messages waiting; for a pool, the jobs in all its lanes.
    pub mailbox_depth: usize,
    /// The most messages that may wait; 0 without a mailbox.
    pub mailbox_capacity: usize,
    /// Age of the oldest message waiting, as [`Backlog::oldest`](crate::Backlog::oldest).
    pub mailbox_oldest: Duration,
    /// Time that messages have waited without any being taken, as [`Backlog::stalled`](crate::Backlog::stalled).
    pub mailbox_stalled: Duration,
    /// Messages accepted into the mailbox.
    pub sent: u64,
    /// Messages refused because the mailbox was full.
    pub full: u64,
    /// Messages refused because the process had ended.
    pub down: u64,
    /// Messages accepted, but never handled to the end.
    pub lost: u64,
    /// Messages handled to the end.
    pub handled: u64,
    /// Times that an actor or a pool's worker woke from waiting.
    pub wakeups: u64,
    /// Time spent handling, the present message included.
    pub busy: Duration,
    /// Incarnations after the first.
    pub restarts: u64,
    /// Threads that were left behind and still run.
    pub abandoned: u64,
    /// Time spent in what its watchdog has found it to hang in; none while it does not hang.
    pub hung: Option<Duration>,
    /// Reason for the end of its last incarnation.
    pub last_exit: Option<ExitReason>,
}

/// The entry of one process: made with its spec, kept over its restarts.
pub(crate) struct Process {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) stats: Arc<Stats>,
    born: Instant,
    /// Begin of the present message, or time of the last beat, in ns since `born` plus one; 0: idle.
    mark: AtomicU64,
    /// Begin of a wait that the watchdog leaves alone but that should end, in the same form; 0: none.
    patient_mark: AtomicU64,
    fault: AtomicU8,
    status: Mutex<Status>,
    supervisor: Mutex<Option<(u64, UnboundedSender<Event>)>>,
    children: Mutex<Vec<Arc<Process>>>,
}

struct Status {
    state: ProcessState,
    since: Instant,
    /// Begin of what it hangs in, as its watchdog has found.
    hung_since: Option<Instant>,
    last_exit: Option<ExitReason>,
}

const NO_FAULT: u8 = 0;
const PANIC: u8 = 1;
const HANG: u8 = 2;

impl Process {
    pub(crate) fn new(name: &str, kind: Kind) -> Arc<Process> {
        let now = Instant::now();
        // Marks are kept as one number since `born`, for an `Instant` does not fit into an atomic.
        Arc::new(Process {
            name: name.into(),
            kind,
            stats: Arc::new(Stats::default()),
            born: now,
            mark: AtomicU64::new(0),
            patient_mark: AtomicU64::new(0),
            fault: AtomicU8::new(NO_FAULT),
            status: Mutex::new(Status {
                state: ProcessState::Starting,
                since: now,
                hung_since: None,
                last_exit: None,
            }),
            supervisor: Mutex::new(None),
            children: Mutex::new(Vec::new()),
        })
    }

    fn stamp(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_nanos()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Notes the begin of something that the watchdog measures.
    pub(crate) fn begin(&self, at: Instant) {
        self.mark.store(self.stamp(at), Ordering::Relaxed);
    }

    /// Notes its end, and counts the time as busy.
    pub(crate) fn finish(&self, at: Instant) {
        let begun = self.mark.swap(0, Ordering::Relaxed);
        self.stats.busy_ns.fetch_add(self.stamp(at).saturating_sub(begun), Ordering::Relaxed);
    }

    /// Keeps the watchdog away until the next begin.
    pub(crate) fn idle(&self) {
        self.mark.store(0, Ordering::Relaxed);
    }

    /// Returns the time spent on the present message, or since the last beat; none when idle.
    pub(crate) fn busy_for(&self, now: Instant) -> Option<Duration> {
        self.since_mark(&self.mark, now)
    }

    fn since_mark(&self, mark: &AtomicU64, now: Instant) -> Option<Duration> {
        match mark.load(Ordering::Relaxed) {
            0 => None,
            mark => Some(Duration::from_nanos(self.stamp(now).saturating_sub(mark))),
        }
    }

    /// Begins a wait that the watchdog leaves alone, but that should end.
    pub(crate) fn be_patient(&self, at: Instant) {
        self.idle();
        self.patient_mark.store(self.stamp(at), Ordering::Relaxed);
    }

    /// Ends such a wait.
    pub(crate) fn end_patience(&self) {
        self.patient_mark.store(0, Ordering::Relaxed);
        self.recovered();
    }

    /// Returns the time spent in such a wait so far.
    pub(crate) fn patient_for(&self, now: Instant) -> Option<Duration> {
        self.since_mark(&self.patient_mark, now)
    }

    /// The mark that the watchdog measures from; 0 when there is none. It changes with each begin and beat.
    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    /// Notes that it has hung for so long. Returns true if that is news.
    pub(crate) fn hangs(&self, now: Instant, hung: Duration) -> bool {
        self.status.lock().hung_since.replace(now.checked_sub(hung).unwrap_or(now)).is_none()
    }

    /// Notes that it does not hang any more.
    fn recovered(&self) {
        self.status.lock().hung_since = None;
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.status.lock().state == ProcessState::Waiting
    }

    pub(crate) fn enter(&self, state: ProcessState) {
        let mut status = self.status.lock();
        status.state = state;
        status.since = Instant::now();
    }

    pub(crate) fn ended(&self, state: ProcessState, exit: ExitReason) {
        // The mark of the message it ended in must not count against the next incarnation.
        self.idle();
        self.end_patience();
        self.enter(state);
        self.status.lock().last_exit = Some(exit);
    }

    pub(crate) fn attach(&self, child: u64, supervisor: UnboundedSender<Event>) {
        *self.supervisor.lock() = Some((child, supervisor));
    }

    pub(crate) fn adopt(&self, child: Arc<Process>) {
        self.children.lock().push(child);
    }

    pub(crate) fn orphan(&self, child: &Arc<Process>) {
        self.children.lock().retain(|other| !Arc::ptr_eq(other, child));
    }

    fn inject(&self, fault: Fault) {
        let code = if fault == Fault::Panic { PANIC } else { HANG };
        self.fault.store(code, Ordering::Release);
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        // One load on the way of every message; the swap only when there is something to take.
        if self.fault.load(Ordering::Relaxed) == NO_FAULT {
            return None;
        }
        match self.fault.swap(NO_FAULT, Ordering::AcqRel) {
            PANIC => Some(Fault::Panic),
            HANG => Some(Fault::Hang),
            _ => None,
        }
    }

    fn info(&self, parent: Option<&str>, now: Instant) -> ProcessInfo {
        let status = self.status.lock();
        let stats = &self.stats;
        let backlog = stats.backlog();
        // The mark of a task or thread is its last beat, which says nothing about work.
        let present = self.busy_for(now).filter(|_| matches!(self.kind, Kind::Actor | Kind::Worker));
        ProcessInfo {
            path: parent.map_or_else(|| self.name.to_string(), |parent| format!("{parent}/{}", self.name)),
            name: self.name.to_string(),
            parent: parent.map(str::to_owned),
            kind: self.kind,
            state: status.state,
            since: now.saturating_duration_since(status.since),
            mailbox_depth: backlog.depth,
            mailbox_capacity: backlog.capacity,
            mailbox_oldest: backlog.oldest,
            mailbox_stalled: backlog.stalled,
            sent: stats.sent(),
            full: stats.full(),
            down: stats.down(),
            lost: stats.lost(),
            handled: stats.handled(),
            wakeups: stats.wakeups(),
            busy: Duration::from_nanos(stats.busy_ns()) + present.unwrap_or_default(),
            restarts: stats.restarts(),
            abandoned: stats.abandoned(),
            hung: status.hung_since.map(|since| now.saturating_duration_since(since)),
            last_exit: status.last_exit.clone(),
        }
    }

    fn walk(self: &Arc<Self>, parent: Option<&str>, visit: &mut dyn FnMut(&Arc<Process>, ProcessInfo)) {
        let info = self.info(parent, Instant::now());
        let path = info.path.clone();
        visit(self, info);
        // A copy, so that a slow visitor does not hold up the supervisor.
        let children = self.children.lock().clone();
        for child in &children {
            child.walk(Some(&path), visit);
        }
    }
}

/// The process list of a running tree. Cheap to clone.
#[derive(Clone)]
pub struct Processes {
    pub(crate) root: Arc<Process>,
}

impl Processes {
    /// Lists every process: parents before children, children in start order.
    pub fn list(&self) -> Vec<ProcessInfo> {
        let mut list = Vec::new();
        self.root.walk(None, &mut |_, info| list.push(info));
        list
    }

    /// Returns the process of this path, or else the first of this name.
    pub fn get(&self, name: &str) -> Option<ProcessInfo> {
        self.find(name).map(|(_, info)| info)
    }

    /// Lets a process fail at its next message, job or beat. Returns false if there is none of this path or name, or if it is a
    /// supervisor.
    pub fn inject(&self, name: &str, fault: Fault) -> bool {
        let found = self.find(name).filter(|(process, _)| process.kind != Kind::Supervisor);
        found.map(|(process, _)| process.inject(fault)).is_some()
    }

    /// Kills the present incarnation of a process, as if it had crashed. Returns false if there is none of this path or name, or
    /// if it is the root.
    pub fn kill(&self, name: &str) -> bool {
        let Some((process, _)) = self.find(name) else { return false };
        let supervisor = process.supervisor.lock().clone();
        supervisor.is_some_and(|(child, events)| events.send(Event::Kill(child)).is_ok())
    }

    fn find(&self, name: &str) -> Option<(Arc<Process>, ProcessInfo)> {
        let mut by_path = None;
        let mut by_name = None;
        self.root.walk(None, &mut |process, info| {
            // The first of several: names may repeat in other branches.
            if info.path == name {
                by_path.get_or_insert((process.clone(), info));
            } else if info.name == name {
                by_name.get_or_insert((process.clone(), info));
            }
        });
        by_path.or(by_name)
    }
}
