//! Copies all shards into memory, each whole, and tells which is missing where one cannot be had.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};
use vagn_cluster::{Node, OwnerView, ShardId, Stage};
use vagn_nats::Handle;
use vagn_shard::FleetShard;
use vagn_store::Reader;

use super::super::guest::{LOOK_EVERY, READY_WITHIN, bar, unowned};

/// Time for which mirrors are asked for with each look.
const MIRRORED_FOR: Duration = Duration::from_secs(60);

/// Longest wait for the next shard: a copy of a shard shows nothing of itself until it is whole.
const STILL_MAX: Duration = Duration::from_secs(300);

/// Shards as they were at a look.
struct Look {
    shards: Vec<Shard>,
}

struct Shard {
    number: u16,
    /// An owner with all it has was heard lately.
    is_owned: bool,
    /// The whole shard, once it is here.
    content: Option<Reader>,
}

impl Look {
    fn of(node: &Node<FleetShard>) -> Self {
        let mirrors = node.mirrors();
        let shard = |number| {
            let owners = node.owner_views(ShardId(number));
            // By a tick of this node, which was published after it began: so all is here that was stored before.
            let is_whole =
                mirrors.iter().any(|own| own.shard == ShardId(number) && own.stage == Stage::CaughtUp);
            let content = node.shown(ShardId(number)).filter(|_| is_whole).map(FleetShard::reader);
            Shard { number, is_owned: owners.iter().any(OwnerView::has_all), content }
        };
        Self { shards: (0..node.shard_count().unwrap_or(0)).map(shard).collect() }
    }

    fn lacking(&self) -> Vec<u16> {
        self.shards.iter().filter(|shard| shard.content.is_none()).map(|shard| shard.number).collect()
    }

    fn unowned(&self) -> Vec<u16> {
        self.shards.iter().filter(|shard| !shard.is_owned).map(|shard| shard.number).collect()
    }

    /// Returns the shards if all are here.
    fn whole(self) -> Option<Vec<Reader>> {
        let contents: Option<Vec<_>> = self.shards.into_iter().map(|shard| shard.content).collect();
        contents.filter(|contents| !contents.is_empty())
    }
}

/// Copies all shards. What was answered as stored before the call is in them.
///
/// # Errors
/// A shard has no owner, or was not copied for long.
pub(super) async fn copied(handle: &Handle<FleetShard>) -> anyhow::Result<Vec<Reader>> {
    let begun = Instant::now();
    let progress = bar("copied {pos} of {len} shards", 0);
    let mut wait = Wait { fewest: usize::MAX, since: begun, owned_at: begun };
    loop {
        // Refused while the node has too much to do; the next look asks again.
        handle.mirror(MIRRORED_FOR).ok();
        sleep(LOOK_EVERY).await;
        let Ok(look) = handle.look(Look::of).await else {
            wait.give_up(&[], &[])?;
            continue;
        };
        let (lacking, lost) = (look.lacking(), look.unowned());
        progress.set_length(look.shards.len() as u64);
        progress.set_position((look.shards.len() - lacking.len()) as u64);
        if let Some(shards) = look.whole() {
            progress.finish_and_clear();
            return Ok(shards);
        }
        wait.note(lacking.len(), lost.is_empty());
        wait.give_up(&lacking, &lost)?;
    }
}

/// How long nothing has come. What comes and goes again is nothing.
struct Wait {
    /// Fewest shards that lacked at a look.
    fewest: usize,
    /// When they were so few.
    since: Instant,
    /// When each shard had an owner with all of it.
    owned_at: Instant,
}

impl Wait {
    fn note(&mut self, lacking: usize, is_owned: bool) {
        let now = Instant::now();
        if lacking < self.fewest {
            (self.fewest, self.since) = (lacking, now);
        }
        if is_owned {
            self.owned_at = now;
        }
    }

    /// Ends the wait when nothing has come for too long.
    fn give_up(&self, lacking: &[u16], lost: &[u16]) -> anyhow::Result<()> {
        let again = "see `vagn cluster status`, and run it again";
        if let Some(why) = unowned(lost).filter(|_| self.owned_at.elapsed() >= READY_WITHIN) {
            bail!("nothing was exported: for {} s, {why}; {again}", READY_WITHIN.as_secs());
        }
        if self.since.elapsed() >= STILL_MAX {
            let shards: Vec<_> = lacking.iter().map(u16::to_string).collect();
            let still_s = STILL_MAX.as_secs();
            bail!(
                "nothing was exported: for {still_s} s, no further copy came; these shards lack: {}; {again}",
                shards.join(", ")
            );
        }
        Ok(())
    }
}
