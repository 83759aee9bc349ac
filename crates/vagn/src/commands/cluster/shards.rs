//! Copies all shards into memory, each whole, and tells which is missing where one cannot be had.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};
use vagn_cluster::{Node, OwnerView, ShardId, ShardView, Stage};
use vagn_nats::Handle;
use vagn_shard::FleetShard;

use super::guest::{LOOK_EVERY, READY_WITHIN, bar, unowned};

/// Time for which mirrors are asked for with each look.
const MIRRORED_FOR: Duration = Duration::from_secs(60);

/// Longest wait for the next shard: a copy of a shard shows nothing of itself until it is whole.
const STILL_MAX: Duration = Duration::from_secs(300);

/// Makes what is wanted of a shard that is whole.
type Of<T> = fn(&Node<FleetShard>, ShardId) -> Option<T>;

/// Shards as they were at a look.
struct Look<T> {
    shards: Vec<Shard>,
    /// What is wanted of one of those that are whole, and its number: one at a time, as it may take long to make.
    made: Option<(u16, T)>,
}

struct Shard {
    number: u16,
    /// An owner with all it has was heard lately.
    is_owned: bool,
    /// An owner that should have all of it was heard lately, and does not follow its stream.
    is_in_doubt: bool,
}

impl<T> Look<T> {
    /// Looks at all shards, and makes what is wanted of one that is whole and not among those that were taken.
    fn of(node: &Node<FleetShard>, taken: &BTreeSet<u16>, of: Of<T>) -> Self {
        let mirrors = node.mirrors();
        let (mut shards, mut made) = (Vec::new(), None);
        for number in 0..node.shard_count().unwrap_or(0) {
            let owners = node.owner_views(ShardId(number));
            let is_whole =
                || mirrors.iter().any(|own| own.shard == ShardId(number) && is_whole(own, &owners));
            if made.is_none() && !taken.contains(&number) && is_whole() {
                made = of(node, ShardId(number)).map(|made| (number, made));
            }
            let is_owned = owners.iter().any(OwnerView::has_all);
            shards.push(Shard { number, is_owned, is_in_doubt: owners.iter().any(has_less) });
        }
        Self { shards, made }
    }

    fn where_it_is(&self, holds: impl Fn(&Shard) -> bool) -> Vec<u16> {
        self.shards.iter().filter(|shard| holds(shard)).map(|shard| shard.number).collect()
    }
}

/// True for a mirror that has all of its shard: of its stream as it is now, by a tick of this node, which was published after it began; and of
/// what owners have on disk. A stream that has lost its end lacks what an owner still has, until the shard is repaired.
fn is_whole(mirror: &ShardView, owners: &[OwnerView]) -> bool {
    let synced = owners.iter().filter_map(|owner| owner.synced).max();
    mirror.stage == Stage::CaughtUp
        && synced.is_none_or(|synced| mirror.applied >= synced)
        && !owners.iter().any(has_less)
}

/// True for an owner that was heard lately and does not follow the stream, though it had all: it stands before what was lost, perhaps.
fn has_less(owner: &OwnerView) -> bool {
    owner.is_full && owner.synced.is_some() && !owner.caught_up
}

/// Copies all shards into memory, and gives what is wanted of each to `take` once it is whole, in any order. What was answered as stored before the
/// call is in it. `undone` says what has not happened where that fails.
///
/// # Errors
/// A shard has no owner, was not copied for long, or was not taken.
pub(super) async fn each<T: Send + 'static>(
    handle: &Handle<FleetShard>,
    undone: &str,
    of: Of<T>,
    mut take: impl FnMut(T) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let begun = Instant::now();
    let progress = bar("copied {pos} of {len} shards", 0);
    let mut taken = BTreeSet::new();
    let mut wait = Wait { undone, since: begun, owned_at: begun };
    loop {
        // Refused while the node has too much to do; the next look asks again.
        handle.mirror(MIRRORED_FOR).ok();
        let before = taken.clone();
        let Ok(look) = handle.look(move |node| Look::of(node, &before, of)).await else {
            wait.give_up(&[], &[], &[])?;
            sleep(LOOK_EVERY).await;
            continue;
        };
        let lost = look.where_it_is(|shard| !shard.is_owned);
        let doubts = look.where_it_is(|shard| shard.is_in_doubt);
        let count = look.shards.len();
        progress.set_length(count as u64);
        if let Some((number, made)) = look.made {
            take(made)?;
            taken.insert(number);
            progress.set_position(taken.len() as u64);
            wait.since = Instant::now();
        } else {
            sleep(LOOK_EVERY).await;
        }
        if count > 0 && taken.len() == count {
            progress.finish_and_clear();
            return Ok(());
        }
        let lacking: Vec<u16> = (0..count as u16).filter(|number| !taken.contains(number)).collect();
        if lost.is_empty() {
            wait.owned_at = Instant::now();
        }
        wait.give_up(&lacking, &lost, &doubts)?;
    }
}

/// How long nothing has come.
struct Wait<'a> {
    undone: &'a str,
    /// When the last shard came.
    since: Instant,
    /// When each shard had an owner with all of it.
    owned_at: Instant,
}

impl Wait<'_> {
    /// Ends the wait when nothing has come for too long.
    fn give_up(&self, lacking: &[u16], lost: &[u16], doubts: &[u16]) -> anyhow::Result<()> {
        let again = "see `vagn cluster status`, and run it again";
        let undone = self.undone;
        if let Some(why) = unowned(lost).filter(|_| self.owned_at.elapsed() >= READY_WITHIN) {
            bail!("{undone}: for {} s, {why}; {again}", READY_WITHIN.as_secs());
        }
        if self.since.elapsed() >= STILL_MAX {
            let still_s = STILL_MAX.as_secs();
            bail!(
                "{undone}: for {still_s} s, no further copy came; these shards lack: {}{}; {again}",
                named(lacking),
                in_doubt(doubts)
            );
        }
        Ok(())
    }
}

fn named(shards: &[u16]) -> String {
    shards.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Says of which shards an owner may have more than the stream.
fn in_doubt(shards: &[u16]) -> String {
    match shards {
        [] => String::new(),
        shards => format!(
            "; of {} an owner has stopped or lags, and may have what the others lack: repair the shard, or stop that node",
            named(shards)
        ),
    }
}

#[cfg(test)]
mod tests {
    use vagn_cluster::{NodeId, StreamId};

    use super::*;

    #[test]
    fn a_mirror_is_whole_only_with_all_that_owners_have_on_disk() {
        let shard = ShardId(0);
        let stream = StreamId { shard, epoch: 1 };
        let mirror = |applied| ShardView {
            shard,
            stream,
            stage: Stage::CaughtUp,
            received: applied,
            applied,
            tick: None,
        };
        let owner = |node, synced, caught_up| OwnerView {
            node: NodeId(node),
            is_full: true,
            synced: Some(synced),
            caught_up,
        };
        let silent = OwnerView { synced: None, ..owner(1, 0, false) };
        assert!(is_whole(&mirror(100), &[owner(1, 100, true), owner(2, 100, true)]));
        assert!(is_whole(&mirror(91), &[silent, owner(2, 90, true)]));
        // The stream has lost its end, and the first owner has not noticed as yet.
        assert!(!is_whole(&mirror(91), &[owner(1, 100, true), owner(2, 90, true)]));
        // It has, and the ticks of the other have gone past it.
        assert!(!is_whole(&mirror(101), &[owner(1, 100, false), owner(2, 101, true)]));
        // One that still copies the shard has nothing that others lack.
        let joining = OwnerView { is_full: false, ..owner(1, 50, false) };
        assert!(is_whole(&mirror(100), &[joining, owner(2, 100, true)]));
    }
}
