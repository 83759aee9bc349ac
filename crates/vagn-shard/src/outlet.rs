//! The outlet of a shard, which tells its followers on this node. It decides nothing: a shard without followers is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use vagn_cluster::ShardId;
use vagn_store::{Changes, Gone, Key, Move, OrderNumber, Updates};
use vagn_wire::Oddities;

/// Hears what a shard stores, on the node's thread: it must not wait.
pub trait Outlet: Send + Sync {
    /// Returns true while the fleet has a follower. Otherwise changes are not even made.
    fn is_followed(&self) -> bool;

    /// Tells what the live index shows from now on.
    fn tell(&self, changes: Changes);

    /// Tells that a report of a vehicle was odd, with or without followers.
    fn odd(&self, key: Key<'_>, receive_time_ms: i64, odd: Oddities);

    /// Tells how many sealed reports of an entry came before, or are too old to tell.
    fn replays(&self, _reports: u64) {}

    /// Tells which of these vehicles have been in a shard of this node for long; `None` for those of other shards, or that are not counted here.
    fn known(&self, _partition: u32, keys: &[Key<'_>]) -> Vec<Option<bool>> {
        vec![None; keys.len()]
    }
}

/// States of shards that this process has made. Each has its number in place of a writer's first order number: a shard that is copied
/// anew, or read again from the same snapshot, may have its vehicles in other rows.
static STATES: AtomicU64 = AtomicU64::new(1);

/// Tells the outlet of a shard, if it has one.
pub(crate) struct Teller {
    partition: u32,
    begun: OrderNumber,
    outlet: RwLock<Option<Arc<dyn Outlet>>>,
}

impl Teller {
    pub(crate) fn new(shard: ShardId) -> Self {
        let begun = OrderNumber(STATES.fetch_add(1, Ordering::Relaxed));
        Self { partition: u32::from(shard.0), begun, outlet: RwLock::new(None) }
    }

    /// Gives an outlet, in place of any before; followers look at the fleet anew.
    pub(crate) fn attach(&self, outlet: Arc<dyn Outlet>, end: OrderNumber) {
        *self.outlet.write() = Some(outlet);
        self.tell(|| self.untold(end));
    }

    pub(crate) fn detach(&self) {
        *self.outlet.write() = None;
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.outlet.read().as_ref().is_some_and(|outlet| outlet.is_followed())
    }

    /// Returns which of these vehicles are known.
    pub(crate) fn known(&self, keys: &[Key<'_>]) -> Vec<Option<bool>> {
        let outlet = self.outlet.read();
        outlet.as_ref().map_or_else(|| vec![None; keys.len()], |outlet| outlet.known(self.partition, keys))
    }

    /// Tells what updates have stored; `moves` is `None` when there was no follower before they were written.
    pub(crate) fn tell_moves(&self, end: OrderNumber, updates: &mut Updates, moves: Option<Vec<Move>>) {
        match moves {
            Some(moves) if moves.is_empty() => {}
            Some(moves) => self.tell(|| self.untold(end).with_moves(std::mem::take(updates), moves)),
            // A follower that came meanwhile may have looked at the fleet before these were shown.
            None => self.tell(|| self.untold(end)),
        }
    }

    /// Tells of vehicles that were deleted or forgotten.
    pub(crate) fn tell_gone(&self, end: OrderNumber, gone: Vec<Gone>) {
        if !gone.is_empty() {
            self.tell(|| self.untold(end).with_gone(gone));
        }
    }

    /// Tells what is odd about updates, by index, and how many of them are replays.
    pub(crate) fn tell_odd(
        &self,
        updates: &Updates,
        odd: impl Iterator<Item = (usize, Oddities)>,
        replays: u64,
    ) {
        // Locked only where there is something to tell.
        let mut odd = odd.peekable();
        if odd.peek().is_none() && replays == 0 {
            return;
        }
        let outlet = self.outlet.read();
        let Some(outlet) = outlet.as_ref() else { return };
        for (at, odd) in odd {
            if let Some(update) = updates.get(at) {
                outlet.odd(update.key, update.sighting.receive_time_ms, odd);
            }
        }
        if replays > 0 {
            outlet.replays(replays);
        }
    }

    fn untold(&self, end: OrderNumber) -> Changes {
        Changes::untold(self.partition, self.begun, end)
    }

    fn tell(&self, changes: impl FnOnce() -> Changes) {
        if let Some(outlet) = &*self.outlet.read()
            && outlet.is_followed()
        {
            outlet.tell(changes());
        }
    }
}
