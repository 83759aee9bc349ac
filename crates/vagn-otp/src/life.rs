//! One incarnation of a child, as its supervisor and the child itself see it: orders go down, news comes up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::exit::ExitReason;
use crate::fault::Fault;
use crate::park;
use crate::process::Process;
use crate::supervisor::Event;

/// What a child is told to do. Orders only ever get more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Order {
    Run,
    /// Stop soon: a new incarnation follows and will do what is left.
    Restart,
    /// Stop for good while the siblings go on: an actor empties its mailbox, a worker leaves the lanes to the others.
    Remove,
    /// Stop for good: whatever was accepted is handled first.
    Shutdown,
    /// Stop at the next await, whatever is being done.
    Kill,
}

impl Order {
    fn from_u8(value: u8) -> Order {
        [Order::Run, Order::Restart, Order::Remove, Order::Shutdown][..]
            .get(usize::from(value))
            .copied()
            .unwrap_or(Order::Kill)
    }
}

/// Where an incarnation stands.
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

/// One incarnation. It has its own orders, so that one left behind stays stopped whatever its successor does.
pub(crate) struct Life {
    pub(crate) process: Arc<Process>,
    /// Which child of its supervisor this is.
    pub(crate) child: u64,
    order: AtomicU8,
    stage: AtomicU8,
    /// It got as far as being ready, whatever came then.
    was_up: AtomicBool,
    fate: Mutex<Fate>,
    /// Rings at every change, for whoever waits beside the work itself.
    bell: Notify,
    /// Wakes the work, when it is a future, at every order.
    work: Mutex<Option<Waker>>,
    supervisor: UnboundedSender<Event>,
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
        })
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
            let work = self.work.lock().take();
            work.inspect(Waker::wake_by_ref);
        }
    }

    /// To be called before the work is polled: every order wakes it from now on, so that it needs only look at
    /// [`order`](Self::order) when polled. Costs less than waiting for one.
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

    /// The child has started.
    pub(crate) fn ready(&self) {
        self.was_up.store(true, Ordering::Release);
        if self.stage.fetch_max(Stage::Up as u8, Ordering::AcqRel) == Stage::Starting as u8 {
            self.bell.notify_waiters();
        }
    }

    /// True when it has ended without ever having been ready, and not because it was done.
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

    /// The incarnation is no more. Only the first end counts.
    pub(crate) fn end(self: &Arc<Self>, exit: ExitReason) {
        let mut fate = self.fate.lock();
        if fate.exit.is_some() {
            return;
        }
        fate.exit = Some(exit);
        if fate.abandoned {
            self.process.stats.abandoned.fetch_sub(1, Ordering::Relaxed);
        }
        drop(fate);
        self.stage.store(Stage::Ended as u8, Ordering::Release);
        self.bell.notify_waiters();
        // Nobody listens any more when the tree is gone.
        drop(self.supervisor.send(Event::Ended(self.clone())));
    }

    /// How it ended.
    pub(crate) fn exit(&self) -> ExitReason {
        self.fate.lock().exit.clone().unwrap_or(ExitReason::Killed)
    }

    /// Something begins that the watchdog measures.
    pub(crate) fn begin(&self, at: Instant) {
        if self.may_speak() {
            self.process.begin(at);
        }
    }

    /// It ended: one more handled.
    pub(crate) fn finish(&self, at: Instant) {
        if self.may_speak() {
            self.process.finish(at);
        }
        self.process.stats.add_handled(1);
    }

    /// It goes on: the watchdog measures from now.
    pub(crate) fn beat(&self) {
        self.begin(Instant::now());
    }

    /// Nothing is being done that the watchdog should measure.
    pub(crate) fn idle(&self) {
        if self.may_speak() {
            self.process.idle();
        }
    }

    /// Suffers an injected fault, if there is one. Hangs by pending.
    pub(crate) async fn suffer(&self) {
        match self.process.take_fault() {
            None => {}
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    /// The same on a plain thread. Hangs until the thread is killed, and then ends it: it must do no more.
    pub(crate) fn suffer_blocking(&self) {
        let fault = if self.may_speak() { self.process.take_fault() } else { None };
        match fault {
            None => {}
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => {
                park::wait(std::pin::pin!(self.ordered(Order::Kill)), Duration::MAX);
                panic!("killed in an injected hang");
            }
        }
    }

    /// An incarnation that was killed, and perhaps left behind, must not be taken for its successor.
    fn may_speak(&self) -> bool {
        self.order() < Order::Kill
    }

    /// Leaves behind what cannot be stopped. Its orders stay at `Kill`.
    pub(crate) fn abandon(&self) {
        let mut fate = self.fate.lock();
        if fate.exit.is_none() && !fate.abandoned {
            fate.abandoned = true;
            self.process.stats.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn until(&self, met: impl Fn(&Life) -> bool) {
        loop {
            let mut bell = std::pin::pin!(self.bell.notified());
            bell.as_mut().enable();
            if met(self) {
                return;
            }
            bell.await;
        }
    }
}
