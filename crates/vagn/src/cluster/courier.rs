//! The courier: takes reports to the node, and brings their fates back to those who owe them.
//!
//! It holds a bounded number of them. While the node takes nothing, reports of senders that do not wait are shed, the others wait for a
//! while, all beside each other. When it holds as many as it may, the queue before it fills, and then ingest sheds, as before a storage
//! that has no room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use vagn_cluster::NewChange;
use vagn_nats::{Handle, Unavailable};
use vagn_otp::{ChildSpec, Failure, Queue, TaskContext};
use vagn_wire::Fate;

use super::link::NodeLink;
use crate::write::Settlement;

/// Reports that are under way at most: about 64 MiB of memory.
const UNDER_WAY_MAX: usize = 1 << 18;

/// Submissions that are under way at most. Where each has a single report, they are the dearer part.
const SUBMISSIONS_MAX: usize = 16_384;

/// Longest that reports of senders that wait stay with a node that takes nothing.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Pause before the node is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Longest wait for fates. The node gives up after 5 s; this is for one that does not.
const FATES_WITHIN: Duration = Duration::from_secs(8);

/// Longest that a stop waits for fates that are under way.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Reports on their way to the shards, with the duty to say what becomes of them. Dropped, they have failed.
#[derive(Debug)]
pub struct Submission {
    /// A change for each report, in order.
    pub changes: Vec<NewChange>,
    /// The duty.
    pub settlement: Settlement,
    /// Their senders wait for room; else they are shed where there is none.
    pub waits: bool,
}

impl Submission {
    /// Counts and answers one fate for all.
    pub fn settle(self, fate: Fate) {
        let Self { changes, settlement, .. } = self;
        if let Some(awaiting) = settlement.count(changes.len(), |_| fate) {
            awaiting.settle();
        }
    }
}

/// The child's parts.
pub struct Courier<S> {
    queue: Queue<Submission>,
    link: NodeLink<S>,
    under_way: Arc<AtomicUsize>,
}

impl<S> Clone for Courier<S> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), link: self.link.clone(), under_way: self.under_way.clone() }
    }
}

impl<S: Send + 'static> Courier<S> {
    /// A courier that takes from this queue.
    pub fn new(queue: Queue<Submission>, link: NodeLink<S>) -> Self {
        Self { queue, link, under_way: Arc::default() }
    }

    /// Returns the number of reports that are under way.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Returns the child.
    pub fn child(&self) -> ChildSpec {
        let courier = self.clone();
        let child = ChildSpec::task("courier", move |ctx| {
            let courier = courier.clone();
            async move { courier.run(&ctx).await }
        });
        child.shows_queue(&self.queue)
    }

    async fn run(&self, ctx: &TaskContext) -> Result<(), Failure> {
        let mut held = Held::default();
        let mut beat = interval(BEAT_EVERY);
        let mut again = interval(ASK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ctx.ready();
        loop {
            let has_room = held.submissions() < SUBMISSIONS_MAX
                && self.under_way() + held.stalled_reports < UNDER_WAY_MAX;
            tokio::select! {
                // What lets go comes before what takes more.
                biased;
                () = ctx.stopping() => break,
                _ = beat.tick() => ctx.beat().await,
                _ = again.tick(), if held.is_stalled() => self.offer_again(&mut held),
                Some(()) = held.fates.next(), if !held.fates.is_empty() => {}
                submission = self.queue.pop(), if has_room => match submission {
                    Some(submission) => self.take(submission, &mut held),
                    None => break,
                },
            }
        }
        let rest = async {
            while let Some(submission) = self.queue.try_pop() {
                self.take(submission, &mut held);
            }
            while held.submissions() > 0 {
                tokio::select! {
                    biased;
                    _ = again.tick(), if held.is_stalled() => self.offer_again(&mut held),
                    Some(()) = held.fates.next(), if !held.fates.is_empty() => {}
                }
            }
        };
        // What is left is dropped, and has failed.
        timeout(FINISH_WITHIN, rest).await.ok();
        Ok(())
    }

    /// Hands reports to the node, behind those that it has refused. What it takes not is kept for a while or shed.
    fn take(&self, submission: Submission, held: &mut Held) {
        self.offer_again(held);
        // While it is stalled, the next one need not try: it would only be refused, and counted.
        let taken = match held.is_stalled() {
            true => Err(submission),
            false => self.submit(submission, Handle::offer),
        };
        match taken {
            Ok(fates) => held.fates.push(fates),
            Err(refused) if refused.waits => held.stall(refused),
            Err(refused) => refused.settle(Fate::Shed),
        }
    }

    /// Offers what the node has refused once more, the oldest first, and sheds what has waited for long enough.
    fn offer_again(&self, held: &mut Held) {
        while let Some((submission, until)) = held.next_stalled() {
            match self.submit(submission, Handle::offer_again) {
                Ok(fates) => held.fates.push(fates),
                Err(refused) if Instant::now() < until => return held.put_back(refused, until),
                Err(refused) => refused.settle(Fate::Shed),
            }
        }
    }

    /// Hands reports to the node. Returns what settles them once their fates come; or they come back where it takes nothing.
    fn submit(
        &self,
        submission: Submission,
        offer: impl FnOnce(&Handle<S>, Vec<NewChange>) -> Result<oneshot::Receiver<Vec<Fate>>, Vec<NewChange>>,
    ) -> Result<BoxFuture<'static, ()>, Submission> {
        let Submission { changes, settlement, waits } = submission;
        let reports = changes.len();
        let offered = match self.link.handle() {
            Ok(handle) => offer(&handle, changes),
            Err(Unavailable) => Err(changes),
        };
        let fates = match offered {
            Ok(fates) => fates,
            Err(changes) => return Err(Submission { changes, settlement, waits }),
        };
        let under_way = UnderWay::new(&self.under_way, reports);
        Ok(Box::pin(async move {
            let come = timeout(FATES_WITHIN, fates).await;
            drop(under_way);
            // Without fates the settlement is dropped: they have failed, which means here that they may be stored.
            if let Ok(Ok(fates)) = come
                && fates.len() == reports
                && let Some(awaiting) = settlement.count(reports, |at| fates[at])
            {
                awaiting.settle();
            }
        }))
    }
}

/// Submissions that the courier holds.
#[derive(Default)]
struct Held {
    /// Those that the node has taken, until their fates come.
    fates: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Those that it has refused and whose senders wait, each with the end of the wait, the oldest first.
    stalled: VecDeque<(Submission, Instant)>,
    /// Reports of the latter.
    stalled_reports: usize,
}

impl Held {
    fn submissions(&self) -> usize {
        self.fates.len() + self.stalled.len()
    }

    /// True while the node takes nothing and somebody waits for it.
    fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }

    fn stall(&mut self, submission: Submission) {
        self.stalled_reports += submission.changes.len();
        self.stalled.push_back((submission, Instant::now() + WAIT_MAX));
    }

    fn next_stalled(&mut self) -> Option<(Submission, Instant)> {
        let next = self.stalled.pop_front()?;
        self.stalled_reports -= next.0.changes.len();
        Some(next)
    }

    fn put_back(&mut self, submission: Submission, until: Instant) {
        self.stalled_reports += submission.changes.len();
        self.stalled.push_front((submission, until));
    }
}

/// Counts reports that are under way.
struct UnderWay {
    count: Arc<AtomicUsize>,
    reports: usize,
}

impl UnderWay {
    fn new(count: &Arc<AtomicUsize>, reports: usize) -> Self {
        count.fetch_add(reports, Ordering::Relaxed);
        Self { count: count.clone(), reports }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.count.fetch_sub(self.reports, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::tests::idle_node;
    use super::*;
    use tokio::time::sleep;
    use vagn_flow::fate::Share;
    use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
    use vagn_nats::Loss;
    use vagn_otp::testkit::until;
    use vagn_otp::{Root, Strategy, Supervisor};
    use vagn_shard::FleetShard;

    struct Fixture {
        metrics: Arc<ReportMetrics>,
        queue: Queue<Submission>,
        link: NodeLink<FleetShard>,
        courier: Courier<FleetShard>,
        _root: Root,
    }

    impl Fixture {
        async fn start() -> Self {
            let (queue, link) = (Queue::new(8), NodeLink::default());
            let courier = Courier::new(queue.clone(), link.clone());
            let root =
                Supervisor::new("test", Strategy::OneForOne).child(courier.child()).start().await.unwrap();
            let metrics = ReportMetrics::new(&MetricRegistry::new());
            Self { metrics, queue, link, courier, _root: root }
        }

        fn push(&self, waits: bool) {
            let changes = vec![NewChange::Deletion { vehicle_id: b"bus".to_vec() }];
            let settlement = Settlement { share: Share::received(&self.metrics, 1), answer: None };
            self.queue.try_push(Submission { changes, settlement, waits }).unwrap();
        }

        fn count(&self, fate: Fate) -> u64 {
            self.metrics.fate(fate).get()
        }

        async fn until(&self, fate: Fate, count: u64) {
            until(|| (self.count(fate) == count).then_some(())).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_node_reports_are_shed_and_those_whose_senders_wait_a_second_later() {
        let fixture = Fixture::start().await;
        let began = Instant::now();
        fixture.push(false);
        fixture.until(Fate::Shed, 1).await;
        assert!(began.elapsed() < WAIT_MAX);
        fixture.push(true);
        fixture.until(Fate::Shed, 2).await;
        assert!(began.elapsed() >= WAIT_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_whose_senders_wait_go_to_a_node_that_comes_in_time() {
        let fixture = Fixture::start().await;
        fixture.push(true);
        sleep(WAIT_MAX / 2).await;
        let _node = idle_node(&fixture.link);
        until(|| (fixture.courier.under_way() == 1).then_some(())).await;
        assert_eq!(fixture.count(Fate::Shed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn reports_of_a_node_that_ends_have_failed_and_so_have_those_without_a_fate_in_time() {
        let fixture = Fixture::start().await;
        let node = idle_node(&fixture.link);
        fixture.push(false);
        until(|| (fixture.courier.under_way() == 1).then_some(())).await;
        drop(node);
        fixture.until(Fate::Failed, 1).await;
        let _node = idle_node(&fixture.link);
        fixture.push(false);
        sleep(FATES_WITHIN * 2).await;
        fixture.until(Fate::Failed, 2).await;
        assert_eq!((fixture.courier.under_way(), fixture.count(Fate::Shed)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_hold_up_nobody_and_wait_beside_each_other() {
        let fixture = Fixture::start().await;
        let (node, leads) = idle_node(&fixture.link);
        fixture.push(false);
        until(|| (fixture.courier.under_way() == 1).then_some(())).await;
        drop(leads);
        let began = Instant::now();
        [true, true, true, false].into_iter().for_each(|waits| fixture.push(waits));
        fixture.until(Fate::Shed, 1).await;
        drop(node);
        fixture.until(Fate::Failed, 1).await;
        assert!(began.elapsed() < WAIT_MAX, "{:?}", began.elapsed());
        fixture.until(Fate::Shed, 4).await;
        assert!((WAIT_MAX..WAIT_MAX * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_node_that_is_busy_is_counted_once() {
        let fixture = Fixture::start().await;
        let _node = idle_node(&fixture.link);
        let handle = fixture.link.handle().unwrap();
        while handle.mirror(Duration::ZERO).is_ok() {}
        let busy = || handle.brokers().counts().of(Loss::Busy);
        assert_eq!(busy(), 1);
        fixture.push(true);
        fixture.until(Fate::Shed, 1).await;
        assert_eq!(busy(), 2);
    }
}
