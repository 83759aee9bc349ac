//! Actor `notifier`: sends notices about every incident to the targets, until they are accepted or a person resolves it.
//!
//! It keeps only the notices under way. What is owed stands at the desk; what was under way at a crash is tried again under
//! the same key. No target waits for another: each has slots of its own.

mod mood;
mod sender;
mod source;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use vagn_flow::clock::Clock;
use vagn_otp::{Failure, TaskContext};

pub(crate) use mood::TargetMood;
pub(crate) use sender::{Messenger, NoticeSender};
pub(crate) use source::NoticeSource;

use crate::notify::in_use::SlotMetrics;
use crate::notify::notice::EndedNotice;
use crate::notify::target::Targets;

/// Longest sleep. The watchdog takes an actor for hung that gives no sign of life for longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest time for first notices and notices under way once the service stops. The rest is sent after the restart.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Sender of what one source owes.
pub(crate) struct Notifier<S> {
    source: Arc<S>,
    sender: NoticeSender,
    clock: Arc<dyn Clock>,
}

impl<S: NoticeSource> Notifier<S> {
    /// Returns a sender of what `source` owes to `targets`.
    pub(crate) fn new(source: Arc<S>, targets: &Targets, clock: Arc<dyn Clock>, slots: &SlotMetrics) -> Self {
        Self { source, sender: NoticeSender::new(targets, clock.clone(), slots), clock }
    }

    fn note(&self, ended: EndedNotice) {
        let settled = ended.attempt.outcome.accepted() || ended.attempt.outcome.dead().is_some();
        self.source.attempted(ended);
        // A result is written at once; a failure can wait for the next round.
        if settled {
            self.source.ring();
        }
    }

    fn nap(&self) -> Duration {
        let now = self.clock.monotonic();
        self.source.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY))
    }
}

/// Runs one incarnation of the actor.
///
/// # Errors
/// None: what goes wrong with a target is the outcome of an attempt.
pub(crate) async fn run<S: NoticeSource>(
    notifier: Arc<Notifier<S>>,
    ctx: TaskContext,
) -> Result<(), Failure> {
    let Notifier { source, sender, clock } = &*notifier;
    // The notices of the incarnation before are cut off. They are tried again under the same keys.
    source.hung_up();
    ctx.ready();
    let mut under_way = FuturesUnordered::new();
    let mut moods: Vec<TargetMood> = sender.targets().map(|_| TargetMood::default()).collect();
    let mut stop_at = None;
    loop {
        ctx.beat().await;
        // If the incidents actor hangs, alarms would wait in the inbox for its watchdog.
        source.rescue(stop_at.is_some());
        while let Some(notice) = source.next_notice() {
            under_way.push(sender.send(notice, source.head()));
        }
        source.announce();
        if let Some(stop_at) = stop_at {
            let has_work = !under_way.is_empty() || source.has_fresh();
            if !has_work || Instant::now() >= stop_at {
                return Ok(());
            }
        }
        tokio::select! {
            Some(ended) = under_way.next() => {
                let target = sender.target(ended.target_index);
                moods[ended.target_index.0].hear(target, &ended.attempt.outcome, clock.monotonic());
                notifier.note(ended);
            }
            () = source.woken() => {}
            () = sleep(notifier.nap()) => {}
            () = ctx.stopping(), if stop_at.is_none() => stop_at = Some(Instant::now() + FINISH_WITHIN),
        }
    }
}
