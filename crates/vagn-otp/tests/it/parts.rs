//! The parts of the trees in the tests: an actor that writes down its starts and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use vagn_otp::testkit::{PATIENCE, until};
use vagn_otp::{Actor, Addr, CallError, ChildSpec, Context, Failure, Handle, Root, Strategy, Supervisor};

pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Events in order: `+a` a started, `-a` a stopped, `!a` an incarnation of a was dropped.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    /// Returns the events since the last call, on one line.
    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock()).join(" ")
    }

    pub(crate) fn read(&self) -> String {
        self.0.lock().join(" ")
    }

    /// Waits until the journal reads like this, and starts a new one.
    pub(crate) async fn expect(&self, text: &str) {
        let patience =
            tokio::time::timeout(PATIENCE / 2, until(|| (self.read() == text).then_some(()))).await;
        assert!(patience.is_ok(), "expected: {text}\n   found: {}", self.read());
        self.take();
    }
}

/// An actor that can be made to misbehave in every way.
pub(crate) struct Part {
    name: &'static str,
    set: Arc<Settings>,
}

/// Behaviour of all incarnations of a part.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) journal: Journal,
    pub(crate) fail_start: AtomicBool,
    /// Number of starts to come that panic.
    pub(crate) starts_to_panic: AtomicUsize,
    pub(crate) panic_in_stop: AtomicBool,
    pub(crate) hang_in_stop: AtomicBool,
    /// Only starts and stops are written down.
    pub(crate) quiet: bool,
    alive: AtomicUsize,
    overlaps: AtomicUsize,
}

impl Settings {
    /// Writes only starts and stops into the journal.
    pub(crate) fn quiet(journal: &Journal) -> Settings {
        Settings { journal: journal.clone(), quiet: true, ..Settings::default() }
    }

    pub(crate) fn set(flag: &AtomicBool) {
        flag.store(true, Ordering::SeqCst);
    }

    /// Returns the number of incarnations that began while another was still there.
    pub(crate) fn overlaps(&self) -> usize {
        self.overlaps.load(Ordering::SeqCst)
    }

    pub(crate) fn clear(flag: &AtomicBool) {
        flag.store(false, Ordering::SeqCst);
    }
}

impl Part {
    fn new(name: &'static str, set: Arc<Settings>) -> Self {
        if set.alive.fetch_add(1, Ordering::SeqCst) > 0 {
            set.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        Part { name, set }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.set.alive.fetch_sub(1, Ordering::SeqCst);
        if !self.set.quiet {
            self.set.journal.note(format!("!{}", self.name));
        }
    }
}

impl Actor for Part {
    async fn started(&mut self, _: &mut Context<Self>) -> Result<(), Failure> {
        let left = self.set.starts_to_panic.load(Ordering::SeqCst);
        self.set.starts_to_panic.store(left.saturating_sub(1), Ordering::SeqCst);
        assert!(left == 0, "panic in start");
        if self.set.fail_start.load(Ordering::SeqCst) {
            return Err("cannot start".into());
        }
        self.set.journal.note(format!("+{}", self.name));
        Ok(())
    }

    async fn stopped(&mut self) {
        assert!(!self.set.panic_in_stop.load(Ordering::SeqCst), "panic in stop");
        if self.set.hang_in_stop.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.set.journal.note(format!("-{}", self.name));
    }
}

/// Makes the part panic.
pub(crate) struct Crash;
/// Makes the part end normally.
pub(crate) struct Finish;
/// Takes this much time to handle.
pub(crate) struct Work(pub(crate) Duration);
/// Is written into the journal.
pub(crate) struct Note(pub(crate) u32);

impl Handle<Crash> for Part {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("{} crashed", self.name);
    }
}

impl Handle<Finish> for Part {
    type Reply = ();

    async fn handle(&mut self, _: Finish, ctx: &mut Context<Self>) {
        ctx.stop_self();
    }
}

impl Handle<Work> for Part {
    type Reply = ();

    async fn handle(&mut self, work: Work, _: &mut Context<Self>) {
        tokio::time::sleep(work.0).await;
    }
}

impl Handle<Note> for Part {
    type Reply = u32;

    async fn handle(&mut self, note: Note, _: &mut Context<Self>) -> u32 {
        self.set.journal.note(format!("{}{}", self.name, note.0));
        note.0
    }
}

/// A part's address, its child spec, and the settings of its incarnations, which write into this journal.
pub(crate) fn part(name: &'static str, journal: &Journal) -> (Addr<Part>, ChildSpec, Arc<Settings>) {
    part_with(name, Settings { journal: journal.clone(), ..Settings::default() })
}

pub(crate) fn part_with(name: &'static str, set: Settings) -> (Addr<Part>, ChildSpec, Arc<Settings>) {
    let set = Arc::new(set);
    let made = set.clone();
    let (addr, spec) = ChildSpec::actor(name, 1024, move || Part::new(name, made.clone()));
    (addr, spec, set)
}

pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three parts under one supervisor.
pub(crate) struct Trio {
    pub(crate) journal: Journal,
    pub(crate) addrs: Vec<Addr<Part>>,
    pub(crate) sets: Vec<Arc<Settings>>,
    pub(crate) root: Root,
}

impl Trio {
    /// Starts them; `shape` may change each spec, given its position.
    pub(crate) async fn start(strategy: Strategy, shape: impl Fn(usize, ChildSpec) -> ChildSpec) -> Trio {
        vagn_otp::quiet_panics();
        let journal = Journal::default();
        let mut supervisor = Supervisor::new("root", strategy);
        let mut addrs = Vec::new();
        let mut sets = Vec::new();
        for (at, name) in NAMES.into_iter().enumerate() {
            let (addr, spec, set) = part_with(name, Settings::quiet(&journal));
            supervisor = supervisor.child(shape(at, spec));
            addrs.push(addr);
            sets.push(set);
        }
        let root = supervisor.start().await.expect("three healthy parts start");
        assert_eq!(journal.take(), "+a +b +c");
        Trio { journal, addrs, sets, root }
    }

    pub(crate) async fn crash(&self, at: usize) {
        assert_eq!(self.addrs[at].call(Crash, LONG).await, Err(CallError::Crashed));
    }

    /// Checks that every part answers, and never had two incarnations at once.
    pub(crate) async fn assert_well(&self) {
        for (at, addr) in self.addrs.iter().enumerate() {
            assert_eq!(addr.call(Work(Duration::ZERO), LONG).await, Ok(()), "part {}", NAMES[at]);
        }
        self.assert_no_overlap();
    }

    pub(crate) fn assert_no_overlap(&self) {
        assert!(self.sets.iter().all(|set| set.overlaps() == 0));
    }

    pub(crate) fn restarts(&self) -> Vec<u64> {
        self.addrs.iter().map(|addr| addr.stats().restarts()).collect()
    }
}
