//! Actor `notifier`: sends notices about every incident to the targets, until they are accepted or a person resolves it.
//!
//! It keeps only the notices under way. What is owed stands at the desk; what was under way at a crash is tried again under
//! the same key. No target waits for another: each has slots of its own.

mod mood;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use vagn_otp::{Failure, TaskContext};

use crate::lane::Lane;
use crate::notify::client::{self, NoClient, NoticeClient};
use crate::notify::notice::{EndedNotice, Notice};
use crate::notify::target::{Target, Targets};
use crate::record::attempt::Outcome;
use mood::TargetMood;

/// Longest sleep. The watchdog takes an actor for hung that gives no sign of life for longer.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Longest time for first notices and notices under way once the service stops. The rest is sent after the restart.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// Sender of the lane's notices.
pub(crate) struct Notifier {
    lane: Arc<Lane>,
    /// In the order of [`TargetIndex`](crate::notify::target::TargetIndex).
    targets: Vec<TargetClient>,
}

/// A target with its client.
struct TargetClient {
    target: Target,
    /// True for the target of drills, which gets nothing else.
    is_drill: bool,
    /// Made once: certificates that cannot be read at a restart of the actor must not end what works.
    client: OnceLock<NoticeClient>,
}

impl TargetClient {
    fn new(target: &Target, is_drill: bool) -> Self {
        Self { target: target.clone(), is_drill, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&NoticeClient, NoClient> {
        match self.client.get() {
            Some(client) => Ok(client),
            None => NoticeClient::new(&self.target).map(|made| self.client.get_or_init(|| made)),
        }
    }
}

impl Notifier {
    /// Returns a sender of what `lane` owes to `targets`.
    pub(crate) fn new(lane: Arc<Lane>, targets: &Targets) -> Self {
        let chain = targets.chain.iter().map(|target| TargetClient::new(target, false));
        let drill = targets.drill.iter().map(|target| TargetClient::new(target, true));
        Self { lane, targets: chain.chain(drill).collect() }
    }

    async fn send(&self, notice: Notice) -> EndedNotice {
        let target = &self.targets[notice.target_index.0];
        // The desk keeps drills and real incidents apart. If it ever fails to, no helper must set out for a drill.
        if target.is_drill != notice.incident.drill {
            return self.unsent(&notice, "a drill and a real target, or the other way round".into());
        }
        match target.client() {
            Ok(client) => {
                client::send(client, &target.target, &notice, self.lane.head(), &*self.lane.clock).await
            }
            Err(err) => self.unsent(&notice, err.to_string()),
        }
    }

    fn unsent(&self, notice: &Notice, reason: String) -> EndedNotice {
        notice.end(self.lane.clock.now_ms(), Duration::ZERO, Outcome::Failed { reason })
    }

    fn note(&self, ended: EndedNotice) {
        let settled = ended.attempt.outcome.accepted() || ended.attempt.outcome.dead().is_some();
        self.lane.attempted(ended);
        // A result is written at once; a failure can wait for the next round.
        if settled {
            self.lane.signals.ring();
        }
    }
}

/// Runs one incarnation of the actor.
///
/// # Errors
/// None: what goes wrong with a target is the outcome of an attempt.
pub(crate) async fn run(notifier: Arc<Notifier>, ctx: TaskContext) -> Result<(), Failure> {
    let lane = &*notifier.lane;
    // The notices of the incarnation before are cut off. They are tried again under the same keys.
    lane.desk.lock().hung_up();
    ctx.ready();
    let mut under_way = FuturesUnordered::new();
    let mut moods: Vec<TargetMood> = notifier.targets.iter().map(|_| TargetMood::default()).collect();
    let mut stop_at = None;
    loop {
        ctx.beat().await;
        // If the incidents actor hangs, alarms would wait in the inbox for its watchdog.
        lane.rescue(stop_at.is_some());
        while let Some(notice) = lane.next_notice() {
            under_way.push(notifier.send(notice));
        }
        lane.announce();
        if let Some(stop_at) = stop_at {
            let has_work = !under_way.is_empty() || lane.desk.lock().has_fresh();
            if !has_work || Instant::now() >= stop_at {
                return Ok(());
            }
        }
        tokio::select! {
            Some(ended) = under_way.next() => {
                let index = ended.target_index.0;
                moods[index].hear(&notifier.targets[index].target, &ended.attempt.outcome, lane.clock.monotonic());
                notifier.note(ended);
            }
            () = lane.signals.notifier_woken() => {}
            () = sleep(nap(lane)) => {}
            () = ctx.stopping(), if stop_at.is_none() => stop_at = Some(Instant::now() + FINISH_WITHIN),
        }
    }
}

fn nap(lane: &Lane) -> Duration {
    let now = lane.clock.monotonic();
    lane.wake_at().map_or(LOOK_EVERY, |at| at.saturating_sub(now).min(LOOK_EVERY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_incarnation_sends_with_the_same_client() {
        let second = Duration::from_secs(1);
        let target = Target::new("primary", "http://127.0.0.1:1/", "", second, 1, second).unwrap();
        let target = TargetClient::new(&target, false);
        assert!(std::ptr::eq(target.client().unwrap(), target.client().unwrap()));
    }
}
