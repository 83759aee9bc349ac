//! Supervisors: one incarnation at a time, an end to every stop, and an account of every message.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::future::{block_on, spawn};
use shuttle::thread;
use vagn_schedules::Strategy::{self, OneForAll, OneForOne};
use vagn_schedules::{Actor, Addr, CallError, ChildSpec, Context, Exit, Handle, Root, Supervisor};

use crate::{holds, joined};

const LONG: Duration = Duration::from_secs(600);

/// Counts its incarnations.
struct Part(Arc<Lives>);

#[derive(Default)]
struct Lives {
    alive: AtomicUsize,
    overlaps: AtomicUsize,
}

impl Part {
    fn new(lives: Arc<Lives>) -> Part {
        if lives.alive.fetch_add(1, Ordering::SeqCst) > 0 {
            lives.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        Part(lives)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Part {}

struct Fail;
struct Note;

impl Handle<Fail> for Part {
    type Reply = ();

    async fn handle(&mut self, _: Fail, ctx: &mut Context<Self>) {
        ctx.fail("told to");
    }
}

impl Handle<Note> for Part {
    type Reply = ();

    async fn handle(&mut self, _: Note, _: &mut Context<Self>) {}
}

struct Tree {
    root: Root,
    parts: Vec<(Addr<Part>, Arc<Lives>)>,
}

impl Tree {
    /// Starts parts of these names. `None`: one of them has taken too long to start, as some schedules let it.
    fn start(strategy: Strategy, names: &[&str]) -> Option<Tree> {
        let mut supervisor = Supervisor::new("root", strategy).intensity(usize::MAX, LONG);
        let mut parts = Vec::new();
        for name in names {
            let lives = Arc::new(Lives::default());
            let made = lives.clone();
            let (addr, spec) = ChildSpec::actor(name, 8, move || Part::new(made.clone()));
            // Never two at once, not even when the first takes long to end.
            supervisor = supervisor.child(spec.never_abandon());
            parts.push((addr, lives));
        }
        let root = block_on(supervisor.start()).ok()?;
        Some(Tree { root, parts })
    }

    /// Checks that every part answers.
    fn is_well(&self) {
        for (addr, lives) in &self.parts {
            let answer = block_on(addr.call(Note, LONG));
            assert!(matches!(answer, Ok(()) | Err(CallError::Timeout | CallError::Crashed)), "{answer:?}");
            assert_eq!(lives.overlaps.load(Ordering::SeqCst), 0, "{} twice at once", addr.name());
        }
    }

    /// Stops the tree, and checks that nothing of it is left.
    fn stop(self) {
        assert_eq!(block_on(self.root.stop()), Exit::Stopped);
        for (addr, lives) in &self.parts {
            let stats = addr.stats();
            assert_eq!(stats.sent(), stats.handled() + stats.lost(), "messages of {}", addr.name());
            let left = [&lives.alive, &lives.overlaps].map(|count| count.load(Ordering::SeqCst));
            assert_eq!(left, [0, 0], "{}: left, and twice at once", addr.name());
            assert_eq!(block_on(addr.call(Note, LONG)), Err(CallError::Down));
        }
    }
}

#[test]
fn a_part_that_is_killed_while_it_fails_has_one_incarnation_at_a_time() {
    holds(a_kill_beside_a_failure);
}

pub(crate) fn a_kill_beside_a_failure() {
    let Some(tree) = Tree::start(OneForOne, &["a"]) else { return };
    let addr = tree.parts[0].0.clone();
    let sender = thread::spawn(move || drop(addr.try_tell(Fail)));
    tree.root.processes().kill("a");
    joined(sender);
    tree.is_well();
    tree.stop();
}

#[test]
fn two_failures_at_once_are_both_repaired() {
    holds(two_failures);
}

fn two_failures() {
    for strategy in [OneForOne, OneForAll] {
        let Some(tree) = Tree::start(strategy, &["a", "b"]) else { return };
        let senders = [0, 1].map(|at| {
            let addr = tree.parts[at].0.clone();
            spawn(async move { addr.try_tell(Fail).is_ok() })
        });
        senders.into_iter().for_each(|sender| drop(block_on(sender)));
        tree.is_well();
        tree.stop();
    }
}

#[test]
fn a_stop_ends_in_the_middle_of_failures_and_accounts_for_every_message() {
    holds(a_stop_among_failures);
}

fn a_stop_among_failures() {
    let Some(tree) = Tree::start(OneForAll, &["a", "b"]) else { return };
    let senders = [0, 1].map(|at| {
        let addr = tree.parts[at].0.clone();
        thread::spawn(move || {
            drop(addr.try_tell(Note));
            drop(addr.try_tell(Fail));
            drop(addr.try_tell(Note));
        })
    });
    tree.root.processes().kill("b");
    assert_eq!(block_on(tree.root.stop()), Exit::Stopped);
    senders.into_iter().for_each(joined);
    tree.stop();
}

#[test]
fn a_part_that_is_removed_while_it_fails_does_not_come_back() {
    holds(a_removal_beside_a_failure);
}

fn a_removal_beside_a_failure() {
    let lives = Arc::new(Lives::default());
    let made = lives.clone();
    let (addr, spec) = ChildSpec::actor("a", 8, move || Part::new(made.clone()));
    let supervisor = Supervisor::new("root", OneForOne).intensity(usize::MAX, LONG);
    let handle = supervisor.handle();
    let Ok(root) = block_on(supervisor.start()) else { return };
    let added = block_on(handle.add(spec.never_abandon()));
    let sender = addr.clone();
    let sender = thread::spawn(move || drop(sender.try_tell(Fail)));
    assert_eq!(block_on(handle.remove("a")), added.is_ok());
    joined(sender);
    assert_eq!(block_on(addr.call(Note, LONG)), Err(CallError::Down));
    assert_eq!(lives.alive.load(Ordering::SeqCst), 0);
    assert_eq!(block_on(root.stop()), Exit::Stopped);
    assert_eq!(addr.stats().sent(), addr.stats().handled() + addr.stats().lost());
}
