//! The keeper: follows the fleet while a client looks at the map, and keeps the counts and the fixes before.
//!
//! It sleeps until a tile needs it, and again a minute after the last that did; asleep it is no subscriber, so that changes
//! are not even made. Awake it first looks at the fleet, some rows at a time, and takes the changes in between. It stands
//! back behind all others: when its queue overflows, the oldest changes are dropped, and it looks at their partition
//! again, at most once a second. So under a flood it costs one look a second and no more.

mod looks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, RwLock};
use tokio::sync::watch;
use vagn_flow::clock::Clock;
use vagn_otp::{ChildSpec, Failure, Policy, PopError, Queue, QueueSubscriber, Subscription, ThreadContext};
use vagn_store::{Changes, Fleet, Sight};

use crate::Positions;
use crate::counts::{Census, Levels, Taken};
use crate::fixes::Fixes;
use crate::mercator::{Cell, grid};
use crate::metrics::TileMetrics;
pub(crate) use looks::Looks;

/// Rows looked at under one lock: some 30 µs that a writer may have to wait.
const ROWS_AT_ONCE: u32 = 1024;
/// Time without a tile that needs it after which the keeper goes to sleep.
const AWAKE_FOR: Duration = Duration::from_secs(60);
/// Longest the thread waits before it looks whether it is to stop.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Time between two rounds in which fixes that no client looks at are forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Parts that the keeper is made of.
#[derive(Clone)]
pub(crate) struct KeeperParts {
    pub(crate) positions: Positions,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: TileMetrics,
}

/// The keeper as the makers of tiles see it, and the work of its thread.
pub(crate) struct Keeper {
    parts: KeeperParts,
    /// Form of the places that it counts.
    sight: Sight,
    queue: Queue<Arc<Changes>>,
    /// Time of the last question that needs the keeper, ms on the monotonic clock, plus one; 0: none so far.
    asked: AtomicU64,
    wake: (Mutex<()>, Condvar),
    /// Kept beside the thread, because a subscription outlives a crash of the thread.
    subscription: Mutex<Option<Subscription<Arc<Changes>>>>,
    /// By partition: changes were dropped since its last look began.
    lost: Arc<[AtomicBool]>,
    census: RwLock<Option<Census>>,
    /// True once every partition has been looked at.
    seen: watch::Sender<bool>,
    pub(crate) fixes: Mutex<Fixes>,
}

impl Keeper {
    /// Most batches of changes that may wait: some 130 ms of a million a second, and at most 32 MB.
    pub(crate) const QUEUE: usize = 512;

    pub(crate) fn new(parts: KeeperParts, sight: Sight) -> Arc<Self> {
        let lost = (0..parts.fleet.partitions()).map(|_| AtomicBool::new(false)).collect();
        Arc::new(Self {
            fixes: Mutex::new(Fixes::new(parts.metrics.fixes_refused.clone())),
            parts,
            sight,
            queue: Queue::new(Keeper::QUEUE),
            asked: AtomicU64::new(0),
            wake: Default::default(),
            subscription: Mutex::new(None),
            lost,
            census: RwLock::new(None),
            seen: watch::Sender::new(false),
        })
    }

    /// Returns the child that runs the keeper, at this nice value.
    pub(crate) fn child(self: &Arc<Self>, nice: i32) -> ChildSpec {
        let keeper = self.clone();
        let queue = self.queue.clone();
        ChildSpec::thread(self.name(), move |ctx| keeper.run(&ctx)).nice(nice).shows_queue(&queue)
    }

    fn name(&self) -> &'static str {
        match self.sight {
            Sight::Exact => "keeper",
            Sight::Coarse => "keeper-coarse",
        }
    }

    /// Wakes the keeper, or keeps it awake.
    pub(crate) fn ask(&self) {
        let before = self.asked.swap(self.now_ms() + 1, Ordering::Relaxed);
        if before == 0 || !self.is_awake() {
            let _held = self.wake.0.lock();
            self.wake.1.notify_all();
        }
    }

    /// Waits until the counts are those of the whole fleet. Returns false when that takes longer than `within`.
    pub(crate) async fn seen(&self, within: Duration) -> bool {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(within, seen.wait_for(|seen| *seen)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Reads the counts, if they are those of the whole fleet.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Levels) -> T) -> Option<T> {
        let census = self.census.read();
        census.as_ref().filter(|_| *self.seen.borrow()).map(|census| read(census.levels()))
    }

    fn is_awake(&self) -> bool {
        self.subscription.lock().is_some()
    }

    fn now_ms(&self) -> u64 {
        self.parts.clock.monotonic().as_millis() as u64
    }

    /// Returns true while a tile needed it in the last minute.
    fn is_wanted(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        asked > 0 && self.now_ms().saturating_sub(asked - 1) < AWAKE_FOR.as_millis() as u64
    }

    fn run(&self, ctx: &ThreadContext) -> Result<(), Failure> {
        ctx.ready();
        while !ctx.stopping() {
            ctx.beat();
            if self.is_wanted() {
                self.follow(ctx)?;
            } else {
                let mut held = self.wake.0.lock();
                // Looked at again under the lock, under which it is notified.
                if !self.is_wanted() {
                    self.wake.1.wait_for(&mut held, LOOK_UP);
                }
            }
        }
        self.sleep();
        Ok(())
    }

    /// Follows the fleet until no client looks any more.
    fn follow(&self, ctx: &ThreadContext) -> Result<(), Failure> {
        let mut looks = self.wake_up();
        let mut tidied = self.parts.clock.monotonic();
        while self.is_wanted() && !ctx.stopping() {
            ctx.beat();
            let is_looking = {
                let _busy = ctx.busy();
                self.look(&mut looks)
            };
            // A look goes on at once, whether there are changes or not.
            let first = if is_looking { self.queue.try_pop() } else { self.wait()? };
            let _busy = ctx.busy();
            ctx.stats().add_handled(self.take(first, &mut looks));
            let now = self.parts.clock.monotonic();
            if now.saturating_sub(tidied) >= TIDY_EVERY {
                self.fixes.lock().tidy(now);
                tidied = now;
            }
        }
        self.sleep();
        Ok(())
    }

    /// Waits a while for changes.
    fn wait(&self) -> Result<Option<Arc<Changes>>, Failure> {
        match self.queue.pop_blocking(LOOK_UP) {
            Ok(changes) => Ok(Some(changes)),
            Err(PopError::Empty) => Ok(None),
            Err(PopError::Closed) => Err("the queue of changes is closed".into()),
        }
    }

    /// Begins to follow the fleet, of which nothing is known. Returns the looks that are due.
    pub(crate) fn wake_up(&self) -> Looks {
        *self.census.write() = Some(Census::new(self.parts.fleet.partitions(), self.sight));
        self.seen.send_replace(false);
        let mut subscription = self.subscription.lock();
        if subscription.is_none() {
            let lost = self.lost.clone();
            let metrics = self.parts.metrics.clone();
            let subscriber =
                QueueSubscriber::new(&self.queue, Policy::DropOldest, |changes: &Arc<Changes>| {
                    Some(changes.clone())
                });
            let subscriber = subscriber.on_drop(move |changes: Arc<Changes>| {
                metrics.lost.inc();
                if let Some(lost) = lost.get(changes.partition as usize) {
                    lost.store(true, Ordering::Release);
                }
            });
            self.parts.metrics.awake.inc();
            *subscription = Some(self.parts.positions.subscribe(self.name(), subscriber));
        }
        Looks::new(self.parts.fleet.partitions())
    }

    pub(crate) fn sleep(&self) {
        if let Some(subscription) = self.subscription.lock().take() {
            subscription.unsubscribe();
            self.parts.metrics.awake.dec();
        }
        while self.queue.try_pop().is_some() {}
        self.seen.send_replace(false);
        *self.census.write() = None;
        self.fixes.lock().clear();
    }

    /// Takes the changes that wait, `first` first, and counts them. No more than fit into the queue: a look must come to
    /// its end even if changes come faster than they are taken.
    fn take(&self, first: Option<Arc<Changes>>, looks: &mut Looks) -> u64 {
        let mut taken = 0;
        let mut next = first;
        while let Some(changes) = next {
            self.take_one(&changes, looks);
            taken += 1;
            next = if taken < Keeper::QUEUE as u64 { self.queue.try_pop() } else { None };
        }
        taken
    }

    fn take_one(&self, changes: &Changes, looks: &mut Looks) {
        let taken = self.census.write().as_mut().map_or(Taken::Whole, |census| census.take(changes));
        let partition = changes.partition as usize;
        match taken {
            Taken::Whole => {}
            Taken::Partly => looks.want(partition, false),
            Taken::Anew => {
                looks.want(partition, true);
                self.seen.send_replace(false);
            }
        }
        self.fixes.lock().take(changes, taken == Taken::Anew);
    }

    /// Looks at the next rows of a partition that is to be looked at. Returns false when there is none.
    fn look(&self, looks: &mut Looks) -> bool {
        for (partition, lost) in self.lost.iter().enumerate() {
            if lost.swap(false, Ordering::AcqRel) {
                looks.want(partition, false);
            }
        }
        let now = self.parts.clock.monotonic();
        let Some(look) = looks.next(now, &self.parts.fleet) else { return false };
        let mut found = Vec::with_capacity(ROWS_AT_ONCE as usize);
        let grid = grid();
        let sight = self.sight;
        let there_are_more = look.reader.visit_rows(look.next, ROWS_AT_ONCE, |vehicle| {
            found.push((vehicle.row, grid.cell(sight.place(vehicle.sighting.position))));
        });
        self.enter(look.partition, look.next, &found, there_are_more);
        if there_are_more {
            look.next += ROWS_AT_ONCE;
        } else {
            self.parts.metrics.looks.inc();
            looks.end();
            self.seen.send_replace(looks.all_seen());
        }
        true
    }

    /// Does one round of its work without a wait. Returns false when there is nothing to do.
    #[cfg(test)]
    pub(crate) fn step(&self, looks: &mut Looks) -> bool {
        let is_looking = self.look(looks);
        self.take(self.queue.try_pop(), looks) > 0 || is_looking
    }

    /// Enters what the rows from `from` on were found to hold.
    fn enter(&self, partition: usize, from: u32, found: &[(u32, Cell)], there_are_more: bool) {
        let mut census = self.census.write();
        let Some(census) = census.as_mut() else { return };
        if !there_are_more {
            census.end(partition, from);
            return;
        }
        let mut next = from;
        for (row, cell) in found {
            for vacant in next..*row {
                census.put(partition, vacant, None);
            }
            census.put(partition, *row, Some(*cell));
            next = row + 1;
        }
        for vacant in next..from + ROWS_AT_ONCE {
            census.put(partition, vacant, None);
        }
    }
}
