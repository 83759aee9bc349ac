//! One incarnation of a child, shared by the child and its supervisor: orders go down, news comes up.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use crate::contention;
use crate::exit::ExitReason;
use crate::fault::Fault;
use crate::park;
use crate::process::Process;
use crate::supervisor::Event;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use crate::sync::time::Instant;

/// An order to a child. Orders only get more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Run,
    /// Stop soon: a new incarnation follows and does the rest.
    Restart,
    /// Stop for good while the siblings go on: an actor empties its mailbox, a worker leaves the lanes to the others.
    Remove,
    /// Stop for good: all that was accepted is handled first.
    Shutdown,
    /// Stop at the next await.
    Kill,
}

impl Order {
    fn from_u8(value: u8) -> Order {
        [Order::Run, Order::Restart, Order::Remove, Order::Shutdown][..]
            .get(usize::from(value))
            .copied()
            // Only one is left.
            .unwrap_or(Order::Kill)
    }
}

/// Stage of an incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Stage {
    Starting,
    Up,
    Ended,
}

impl Stage {
    fn from_u8(value: u8) -> Stage {
        [Stage::Starting, Stage::Up].get(usize::from(value)).copied().unwrap_or(Stage::Ended)
    }
}

/// One incarnation. It has its own orders, so that one left behind stays stopped while its successor runs.
pub(crate) struct Life {
    pub(crate) process: Arc<Process>,
    /// Number of the child within its supervisor.
    pub(crate) child: u64,
    order: AtomicU8,
    stage: AtomicU8,
    /// True once it was ready, even if it has ended since.
    was_up: AtomicBool,
    fate: Mutex<Fate>,
    /// Rings at every change, for waits outside of the work itself.
    bell: Notify,
    /// Wakes the work, when it is a future, at every order.
    work: Mutex<Option<Waker>>,
    supervisor: UnboundedSender<Event>,
    /// Kernel's number of the thread that is its own; 0 without one.
    thread: AtomicU32,
}

#[derive(Default)]
struct Fate {
    exit: Option<ExitReason>,
    abandoned: bool,
}

impl Life {
    pub(crate) fn new(process: Arc<Process>, child: u64, supervisor: UnboundedSender<Event>) -> Arc<Life> {
        Arc::new(Life {
            process,
            child,
            order: AtomicU8::new(Order::Run as u8),
            stage: AtomicU8::new(Stage::Starting as u8),
            was_up: AtomicBool::new(false),
            fate: Mutex::new(Fate::default()),
            bell: Notify::new(),
            work: Mutex::new(None),
            supervisor,
            thread: AtomicU32::new(0),
        })
    }

    /// Notes that it runs on the calling thread, which is its own.
    pub(crate) fn runs_here(&self) {
        self.thread.store(contention::thread_number().unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns the time that its own thread has waited for a processor so far; zero without such a thread.
    pub(crate) fn contention(&self) -> Duration {
        match self.thread.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            thread => contention::waited(thread).unwrap_or_default(),
        }
    }

    pub(crate) fn order(&self) -> Order {
        Order::from_u8(self.order.load(Ordering::Acquire))
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.order() > Order::Run
    }

    /// Gives an order; a weaker one than before changes nothing.
    pub(crate) fn raise(&self, order: Order) {
        if self.order.fetch_max(order as u8, Ordering::AcqRel) < order as u8 {
            self.bell.notify_waiters();
            // Taken, and woken without the lock: the work hands in a new waker when it is polled.
            let work = self.work.lock().take();
            work.inspect(Waker::wake_by_ref);
        }
    }

    /// Lets every order wake the work from now on, so that it needs only look at [`order`](Self::order) when it is polled, which
    /// costs less than to wait for one. Call it before each poll of the work.
    pub(crate) fn wake_on_order(&self, cx: &Context<'_>) {
        match &mut *self.work.lock() {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Waits for an order at least this urgent.
    pub(crate) async fn ordered(&self, order: Order) -> Order {
        self.until(|life| life.order() >= order).await;
        self.order()
    }

    pub(crate) fn stage(&self) -> Stage {
        Stage::from_u8(self.stage.load(Ordering::Acquire))
    }

    /// Notes that the child has started.
    pub(crate) fn ready(&self) {
        self.was_up.store(true, Ordering::Release);
        if self.stage.fetch_max(Stage::Up as u8, Ordering::AcqRel) == Stage::Starting as u8 {
            self.bell.notify_waiters();
        }
    }

    /// Returns true if it has failed before it was ready.
    pub(crate) fn failed_to_start(&self) -> bool {
        self.stage() == Stage::Ended && !self.was_up.load(Ordering::Acquire) && !self.exit().is_normal()
    }

    /// Waits until the child has started or ended.
    pub(crate) async fn started(&self) {
        self.until(|life| life.stage() > Stage::Starting).await;
    }

    /// Waits until the end of this incarnation has begun.
    pub(crate) async fn ending(&self) {
        self.until(|life| life.order() >= Order::Shutdown || life.stage() == Stage::Ended).await;
    }

    /// Waits until nothing of this incarnation is left.
    pub(crate) async fn ended(&self) {
        self.until(|life| life.stage() == Stage::Ended).await;
    }

    /// Notes the end of the incarnation. Only the first end counts.
    pub(crate) fn end(self: &Arc<Self>, exit: ExitReason) {
        if !self.settle(exit) {
            return;
        }
        // After the exit is noted, for a waiter that sees this stage reads the exit.
        self.stage.store(Stage::Ended as u8, Ordering::Release);
        self.bell.notify_waiters();
        // The receiver is gone once the tree is.
        self.supervisor.send(Event::Ended(self.clone())).ok();
    }

    /// Notes the exit, and returns true if it is the first.
    fn settle(&self, exit: ExitReason) -> bool {
        let mut fate = self.fate.lock();
        if fate.exit.is_some() {
            return false;
        }
        fate.exit = Some(exit);
        if fate.abandoned {
            // It has ended after all.
            self.process.stats.abandoned.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    /// Returns the reason for its end.
    pub(crate) fn exit(&self) -> ExitReason {
        self.fate.lock().exit.clone().unwrap_or(ExitReason::Killed)
    }

    /// Notes the begin of something that the watchdog measures.
    pub(crate) fn begin(&self, at: Instant) {
        if self.may_speak() {
            self.process.begin(at);
        }
    }

    /// Notes its end, and counts it as handled.
    pub(crate) fn finish(&self, at: Instant) {
        if self.may_speak() {
            self.process.finish(at);
        }
        // Counted even after a kill: the message of a thread left behind was handled after all.
        self.process.stats.add_handled(1);
    }

    /// Lets the watchdog measure from now.
    pub(crate) fn beat(&self) {
        self.begin(Instant::now());
    }

    /// Keeps the watchdog away until the next begin or beat.
    pub(crate) fn idle(&self) {
        if self.may_speak() {
            self.process.idle();
        }
    }

    /// Keeps the watchdog away from a wait that should end all the same.
    pub(crate) fn be_patient(&self) {
        if self.may_speak() {
            self.process.be_patient(Instant::now());
        }
    }

    /// Ends that wait.
    pub(crate) fn end_patience(&self) {
        if self.may_speak() {
            self.process.end_patience();
        }
    }

    /// Suffers an injected fault, if there is one. It hangs as a future that stays pending.
    pub(crate) async fn suffer(&self) {
        match self.process.take_fault() {
            None => {}
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    /// The same on a plain thread. It hangs until the thread is killed, and then panics: the thread must do no more.
    pub(crate) fn suffer_blocking(&self) {
        let fault = if self.may_speak() { self.process.take_fault() } else { None };
        match fault {
            None => {}
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => {
                // Not for ever: a thread that cannot end would be left behind after each drill.
                park::wait(std::pin::pin!(self.ordered(Order::Kill)), Duration::MAX);
                panic!("killed in an injected hang");
            }
        }
    }

    /// Returns false once it was killed: one that is left behind must not be taken for its successor.
    fn may_speak(&self) -> bool {
        self.order() < Order::Kill
    }

    /// Counts it as left behind, if it still runs. Its order stays at `Kill`.
    pub(crate) fn abandon(&self) {
        let mut fate = self.fate.lock();
        if fate.exit.is_none() && !fate.abandoned {
            fate.abandoned = true;
            self.process.stats.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn until(&self, met: impl Fn(&Life) -> bool) {
        loop {
            // Enabled before the look, so that no change between the look and the wait is missed.
            let mut bell = std::pin::pin!(self.bell.notified());
            bell.as_mut().enable();
            if met(self) {
                return;
            }
            bell.await;
        }
    }
}
