//! The holders of all places of a port, and the choice of the one whose place a newcomer gets when all are taken.
//!
//! A crowd of many sources that asks nothing could hold a port for ever, however small the part of each source is. So places are only
//! as safe as they are used: a newcomer gets that of a connection on which nothing was asked, or nothing any more. A request counts from
//! the time that it is whole, so that half of one holds nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use fastrand::Rng;

use super::holder::Holder;
use crate::allowance::Source;

/// Most holders that are looked at for one newcomer, so that a crowd of newcomers costs little.
const SAMPLE: usize = 64;

/// Age from which a connection should have asked something: handshake and request of an honest client take less, even over a slow network.
const ASKS_WITHIN_MS: u64 = 2_000;

/// Time without a request after which a connection can be displaced: a client that asks now and then comes back sooner.
const IDLE_MS: u64 = 15_000;

/// All holders.
#[derive(Debug)]
pub(super) struct Holders {
    count: usize,
    /// Those on whose connections nothing was asked yet.
    unasked: Vec<Arc<Holder>>,
    asked: Vec<Arc<Holder>>,
    by_source: HashMap<Source, Held>,
    rng: Rng,
}

/// Places that one source holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) all: usize,
    unasked: usize,
}

impl Holders {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            count: 0,
            unasked: Vec::new(),
            asked: Vec::new(),
            by_source: HashMap::new(),
            rng: Rng::with_seed(seed),
        }
    }

    /// Returns the number of places that are held, also by connections that have been displaced and have not left yet.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn of(&self, source: Source) -> Held {
        self.by_source.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, holder: &Arc<Holder>) {
        self.count += 1;
        let held = self.by_source.entry(holder.source).or_default();
        held.all += 1;
        held.unasked += 1;
        self.enlist(holder);
    }

    pub(super) fn remove(&mut self, holder: &Holder) {
        self.strike(holder);
        self.count -= 1;
        if let Entry::Occupied(mut held) = self.by_source.entry(holder.source) {
            held.get_mut().all -= 1;
            held.get_mut().unasked -= usize::from(!holder.was_asked());
            if held.get().all == 0 {
                held.remove();
            }
        }
    }

    /// Notes that something was asked on the connection for the first time.
    pub(super) fn asked(&mut self, holder: &Arc<Holder>) {
        // A second stream of HTTP/2 may have been faster.
        if holder.was_asked() {
            return;
        }
        let is_listed = self.strike(holder);
        holder.set_asked();
        if let Some(held) = self.by_source.get_mut(&holder.source) {
            held.unasked -= 1;
        }
        if is_listed {
            self.enlist(holder);
        }
    }

    /// Lets a newcomer have the place of the holder that is returned.
    pub(super) fn displace(&mut self, newcomer: Source, now_ms: u64) -> Option<Arc<Holder>> {
        let holder = self.silent(newcomer, now_ms).or_else(|| self.idle(newcomer, now_ms));
        let holder = holder.or_else(|| self.young(newcomer, now_ms))?;
        // It is no more to be chosen.
        self.strike(&holder);
        Some(holder)
    }

    /// Takes a holder back that was displaced, as it was asked something before it was told.
    pub(super) fn keep(&mut self, holder: &Arc<Holder>) {
        if holder.position().is_none() {
            self.enlist(holder);
        }
    }

    /// Finds a connection on which nothing was asked in good time: of the source with most such ones, the oldest.
    ///
    /// Places that a source uses do not count against it, else a proxy could not grow while a crowd has one place for each address.
    fn silent(&mut self, newcomer: Source, now_ms: u64) -> Option<Arc<Holder>> {
        let own = self.of(newcomer).unasked;
        let held = |holder: &Holder| self.by_source.get(&holder.source).map_or(0, |held| held.unasked);
        sample(&self.unasked, &mut self.rng)
            .filter(|holder| holder.silent_ms(now_ms) >= ASKS_WITHIN_MS && is_fair(held(holder), own))
            .max_by_key(|holder| (held(holder), holder.silent_ms(now_ms)))
            .cloned()
    }

    /// Finds a connection on which nothing is asked any more: of the source with most places, the one that has been idle longest.
    fn idle(&mut self, newcomer: Source, now_ms: u64) -> Option<Arc<Holder>> {
        let own = self.of(newcomer).all;
        let held = |holder: &Holder| self.by_source.get(&holder.source).map_or(0, |held| held.all);
        sample(&self.asked, &mut self.rng)
            .filter(|holder| !holder.is_busy() && is_idle(holder, now_ms))
            .filter(|holder| is_fair(held(holder), own))
            .max_by_key(|holder| (held(holder), holder.idle_ms(now_ms)))
            .cloned()
    }

    /// Finds the oldest connection on which nothing was asked yet, for a source that has no place at all: while more sources than there
    /// are places come and go, each gets as much time to ask as there is.
    fn young(&mut self, newcomer: Source, now_ms: u64) -> Option<Arc<Holder>> {
        if self.of(newcomer).all > 0 {
            return None;
        }
        sample(&self.unasked, &mut self.rng).max_by_key(|holder| holder.age_ms(now_ms)).cloned()
    }

    fn enlist(&mut self, holder: &Arc<Holder>) {
        let list = self.list(holder);
        holder.set_position(Some(list.len()));
        list.push(holder.clone());
    }

    /// Takes a holder out of its list; returns false if it was in none.
    fn strike(&mut self, holder: &Holder) -> bool {
        let Some(at) = holder.position() else { return false };
        holder.set_position(None);
        let list = self.list(holder);
        list.swap_remove(at);
        if let Some(moved) = list.get(at) {
            moved.set_position(Some(at));
        }
        true
    }

    fn list(&mut self, holder: &Holder) -> &mut Vec<Arc<Holder>> {
        if holder.was_asked() { &mut self.asked } else { &mut self.unasked }
    }
}

/// Returns true if a source that holds `own` places may get one of a source that holds `theirs`: if it has none, or if afterwards it still has no
/// more. So sources with about as many places do not throw out each other's connections for ever.
fn is_fair(theirs: usize, own: usize) -> bool {
    own == 0 || theirs >= own + 2
}

/// Returns true if nothing was asked for long on a connection that has no request under way, or only by half.
fn is_idle(holder: &Holder, now_ms: u64) -> bool {
    holder.idle_ms(now_ms) >= IDLE_MS
        || holder.awaits_ms(now_ms).is_some_and(|awaits_ms| awaits_ms >= ASKS_WITHIN_MS)
}

fn sample<'a>(list: &'a [Arc<Holder>], rng: &'a mut Rng) -> impl Iterator<Item = &'a Arc<Holder>> {
    let takes_all = list.len() <= SAMPLE;
    (0..list.len().min(SAMPLE)).map(move |at| &list[if takes_all { at } else { rng.usize(..list.len()) }])
}
