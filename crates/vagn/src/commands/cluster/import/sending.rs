//! Sends reports to the shards until each has met its fate, or nothing moves any more.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use indicatif::ProgressBar;
use tokio::time::{Instant, sleep, timeout_at};
use vagn_cluster::NewChange;
use vagn_nats::{Handle, Unavailable};
use vagn_shard::FleetShard;
use vagn_wire::Fate;

use super::fleet::Rows;

/// Groups that are under way at most.
const GROUPS_MAX: usize = 16;

/// Reports of a group of those that are sent again.
const GROUP: usize = 1_000;

/// Reports that wait to be sent again before no new ones are read.
const AGAIN_MAX: usize = 16_000;

/// Pause before what was not stored is sent again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Longest time in which no vehicle meets its fate.
const STILL_MAX: Duration = Duration::from_secs(60);

/// Vehicles, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// New in the cluster, or newer there now.
    pub(super) imported: u64,
    /// In the cluster with this position, or a newer one.
    pub(super) there: u64,
    /// Refused, as it has no position.
    pub(super) no_fix: u64,
    /// Not sent, as its time lies ahead.
    pub(super) ahead: u64,
}

impl Tally {
    /// Counts the vehicles that need not be sent again.
    pub(super) fn settled(&self) -> u64 {
        self.imported + self.there + self.no_fix + self.ahead
    }

    fn add(&mut self, more: Self) {
        self.imported += more.imported;
        self.there += more.there;
        self.no_fix += more.no_fix;
    }
}

/// Sends all rows.
pub(super) async fn send(handle: &Handle<FleetShard>, mut rows: Rows, progress: &ProgressBar) -> Tally {
    let (mut tally, mut again) = (Tally::default(), VecDeque::new());
    let mut under_way = FuturesUnordered::new();
    let mut until = Instant::now() + STILL_MAX;
    loop {
        while under_way.len() < GROUPS_MAX
            && let Some(group) = next_group(&mut rows, &mut again)
        {
            under_way.push(submit(handle, group));
        }
        tally.ahead = rows.ahead;
        progress.set_position(tally.settled());
        let Ok(Some((settled, left))) = timeout_at(until, under_way.next()).await else { return tally };
        tally.add(settled);
        again.extend(left);
        let now = Instant::now();
        if settled != Tally::default() {
            until = now + STILL_MAX;
        } else if now >= until {
            return tally;
        }
    }
}

/// Returns reports that were not sent yet; behind them, and before them where many wait, those to be sent again.
fn next_group(rows: &mut Rows, again: &mut VecDeque<NewChange>) -> Option<Vec<NewChange>> {
    let new = if again.len() < AGAIN_MAX { rows.next_group() } else { None };
    new.or_else(|| {
        let group: Vec<_> = again.drain(..again.len().min(GROUP)).collect();
        (!group.is_empty()).then_some(group)
    })
}

/// Submits a group. Returns what became of it, and those to be sent again.
async fn submit(handle: &Handle<FleetShard>, group: Vec<NewChange>) -> (Tally, Vec<NewChange>) {
    let fates = match handle.submit(group.clone()) {
        Ok(fates) => fates.await.unwrap_or_default(),
        Err(Unavailable) => Vec::new(),
    };
    let (mut tally, mut left) = (Tally::default(), Vec::new());
    for (at, change) in group.into_iter().enumerate() {
        match fates.get(at) {
            Some(Fate::Stored) => tally.imported += 1,
            Some(Fate::Duplicate | Fate::Stale) => tally.there += 1,
            Some(Fate::Invalid | Fate::Unauthenticated) => tally.no_fix += 1,
            // It may be stored all the same: then it is a duplicate the next time.
            Some(Fate::Shed | Fate::Failed) | None => left.push(change),
        }
    }
    if !left.is_empty() {
        sleep(AGAIN_AFTER).await;
    }
    (tally, left)
}
