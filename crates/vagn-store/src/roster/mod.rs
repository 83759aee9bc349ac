//! A roster: the vehicles of a shard whose log somebody else keeps.
//!
//! It has the live index of a partition and the rule of judging, and in place of a log a hash and a byte form of all that it holds.
//! What it holds follows from its calls alone, in their order. Slots do not count: two rosters that saw the same calls give the same
//! fates, hash and bytes, even when one of them was read from bytes in between.
//!
//! | file | holds |
//! |---|---|
//! | here | the calls |
//! | `beside.rs` | what is kept beside each row: the order of receipt, and hashes |
//! | `bytes.rs` | the byte form |

mod beside;
mod bytes;
#[cfg(test)]
mod tests;

use vagn_wire::{Fate, Oddities};

use crate::index::{AsTheyCome, NO_SLOT, Teller};
use crate::{Gone, Index, Key, Move, Plan, Reader, Updates, Writer};
use beside::Beside;

/// Updates that are shown under one lock, and vehicles that leave under one: some 50 µs that a reader may have to wait.
const AT_ONCE: usize = 256;

/// The vehicles of a shard, and their one writer.
#[derive(Debug)]
pub struct Roster {
    index: Writer,
    plan: Plan,
    beside: Beside,
}

impl Roster {
    /// A roster without vehicles and without a bound. Ids are found by a hash with this seed, which nothing else depends on; see
    /// [`Settings::hash_seed`](crate::Settings::hash_seed).
    pub fn new(hash_seed: u64) -> Roster {
        Roster::of_index(Index::with_seed(hash_seed))
    }

    fn of_index(index: Index) -> Roster {
        Roster { index: Writer::new(index), plan: Plan::default(), beside: Beside::new() }
    }

    /// Sets the greatest number of vehicles: a new one beyond is shed, those that are known stay. It is also that of the counts of sealed
    /// vehicles that left.
    pub fn bound(&mut self, max_vehicles: usize) {
        self.index.change(|index| index.bound(max_vehicles));
    }

    /// Judges the updates, shows those that are stored to readers, and appends the fate of each to `fates`. Receive numbers must rise
    /// from update to update, over all calls.
    pub fn write(&mut self, updates: &Updates, fates: &mut Vec<Fate>) {
        self.write_and_tell_to(updates, fates, &mut Teller::default());
    }

    /// As [`Roster::write`], and adds what it has stored to `moves`, for those who follow the fleet.
    pub fn write_and_tell(&mut self, updates: &Updates, fates: &mut Vec<Fate>, moves: &mut Vec<Move>) {
        moves.reserve(updates.len());
        self.write_and_tell_to(updates, fates, &mut Teller(Some(moves)));
    }

    fn write_and_tell_to(&mut self, updates: &Updates, fates: &mut Vec<Fate>, teller: &mut Teller<'_>) {
        let Self { index, plan, beside } = self;
        index.plan(&AsTheyCome, updates, plan);
        for start in (0..updates.len()).step_by(AT_ONCE) {
            let range = start..updates.len().min(start + AT_ONCE);
            index.change(|index| index.commit(updates, plan, range.clone(), teller));
            // While the rows are in the cache.
            index.look(|index| note(index, beside, updates, plan, range));
        }
        fates.extend(plan.fates());
    }

    /// Returns the updates of the last write whose reports are odd, by index, with all that is odd about each.
    pub fn odd(&self) -> impl Iterator<Item = (usize, Oddities)> {
        self.plan.odd()
    }

    /// Counts the sealed reports of the last write that came before, or are too old to tell.
    pub fn replays(&self) -> u64 {
        self.plan.replays()
    }

    /// Forgets a vehicle, but for the count that it has under a key; returns `None` when there is none of that id.
    pub fn delete(&mut self, key: Key<'_>) -> Option<Gone> {
        let gone = self.index.look(|index| index.slot_of(key).map(|slot| index.gone(slot)))?;
        self.remove(&[gone]);
        Some(gone)
    }

    /// Forgets vehicles whose last report arrived before this time, ms since 1970, at most so many. They go in the order in which their
    /// last reports were received, up to the first that arrived later: so it is all the same where they are kept, and no more of them
    /// are looked at than leave.
    pub fn forget(&mut self, before_ms: i64, most: usize) -> Vec<Gone> {
        let silent: Vec<Gone> = self.index.look(|index| {
            let oldest = self.beside.in_order().take(most);
            let silent = oldest.take_while(|slot| index.state(*slot).0.receive_time_ms < before_ms);
            silent.map(|slot| index.gone(slot)).collect()
        });
        self.remove(&silent);
        silent
    }

    fn remove(&mut self, vehicles: &[Gone]) {
        for some in vehicles.chunks(AT_ONCE) {
            self.index.change(|index| {
                for gone in some {
                    index.remove_slot(gone.row);
                    self.beside.leave(gone.row);
                }
            });
        }
    }

    /// Returns a hash of all that is kept of all vehicles, those that left included. It is the same on all machines and in all versions, and finds accidents, not
    /// an attacker's work.
    pub fn hash(&self) -> u64 {
        self.index.look(|index| self.beside.sum().wrapping_add(index.departed().sum()))
    }

    /// Returns a reader of the live index, for use beside the writer and after it.
    pub fn reader(&self) -> Reader {
        self.index.reader()
    }

    /// Counts the vehicles.
    pub fn len(&self) -> usize {
        self.index.look(Index::len)
    }

    /// Returns true when there is no vehicle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Notes beside the rows what the updates in `range` have changed.
fn note(index: &Index, beside: &mut Beside, updates: &Updates, plan: &Plan, range: std::ops::Range<usize>) {
    beside.reach(index.slots_end());
    beside.prefetch(range.clone().map(|at| plan.planned(at).slot).filter(|slot| *slot != NO_SLOT));
    for at in range {
        let planned = plan.planned(at);
        if !planned.changes() {
            continue;
        }
        if planned.is_new_vehicle() {
            beside.admit(planned.slot);
        } else if planned.fate == Fate::Stored {
            beside.hear(planned.slot);
        }
        // The row as it is after all updates of the range: what the last of its updates finds is what stays.
        let (sighting, count) = index.state(planned.slot);
        let key_hash = updates.get(at).map_or(0, |update| update.hash);
        beside.set_hash(planned.slot, beside::row_hash(key_hash, &sighting, &count));
    }
}
