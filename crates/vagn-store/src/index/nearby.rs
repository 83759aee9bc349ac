//! The nearest vehicles to a position, exactly.
//!
//! The tree is searched best first in f32 space, keeping every vehicle that could be among the answer given
//! how far rounding can move it; the few that are left are then measured in f64 and ordered by distance and
//! id, so the answer is that of a search through all.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::marker::PhantomData;

use vagn_wire::Position;

use super::Index;
use super::node::{Child, coarse};
use super::tree::{TOP, narrow};
use crate::geo::{EARTH_RADIUS_M, Origin, unit_vector};
use crate::prefetch::prefetch;
use crate::{Hit, Sight, Vehicle};

/// Question for the vehicles near a position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearby {
    /// Centre of the search.
    pub center: Position,
    /// Greatest number of vehicles.
    pub k: usize,
    /// Greatest distance in metres, included. `f64::INFINITY` for no limit.
    pub max_m: f64,
    /// Only vehicles whose event time is this or later, ms since 1970.
    pub newer_than_ms: Option<i64>,
}

/// Error of the distance in space between two f32 unit vectors: at most this on their unit sphere (0.8 m on the
/// ground), from each of six coordinates being off by less than 3e-8 (2e-11 as it is worked out, 2^-25 from rounding),
/// which makes 1.04e-7 at worst, ...
const ERROR: f32 = 1.3e-7;
/// ... and this part of the distance, from rounding on the way.
const ERROR_PART: f32 = 1e-6;

/// Bits of a distance that is not negative and not NaN: they have the same order and compare faster.
type Ordered = u32;

impl Index {
    /// Adds the nearest vehicles to `hits`, nearest first and by [`Key`](crate::Key) where equally near.
    pub fn nearby(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        self.search::<ExactPlaces>(nearby, hits);
    }

    /// As [`Index::nearby`], with the coarse places of vehicles in place of the exact ones.
    pub(crate) fn nearby_coarse(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        self.search::<CoarsePlaces>(nearby, hits);
    }

    fn search<P: Places>(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        if nearby.k == 0 || nearby.max_m.is_nan() || nearby.max_m < 0.0 {
            return;
        }
        let mut search = Search::<P>::new(self, nearby, SCRATCH.take());
        search.run();
        search.measure();
        hits.extend(search.hits());
        SCRATCH.set(search.scratch.emptied());
    }

    fn is_as_new(&self, slot: u32, newer_than_ms: Option<i64>) -> bool {
        newer_than_ms.is_none_or(|oldest| self.rows[slot].event_time_ms() >= oldest)
    }
}

/// The places that a search measures, and that its hits have.
trait Places {
    /// Distance in space, on the unit sphere, within which such a place is from the exact one in the tree.
    const REACH: f32;

    fn place(position: Position) -> Position;

    fn vehicle(vehicle: Vehicle) -> Vehicle;
}

struct ExactPlaces;

impl Places for ExactPlaces {
    const REACH: f32 = 0.0;

    #[inline]
    fn place(position: Position) -> Position {
        position
    }

    #[inline]
    fn vehicle(vehicle: Vehicle) -> Vehicle {
        vehicle
    }
}

struct CoarsePlaces;

impl Places for CoarsePlaces {
    const REACH: f32 = (crate::coarse::REACH_M / EARTH_RADIUS_M) as f32;

    fn place(position: Position) -> Position {
        Sight::Coarse.place(position)
    }

    fn vehicle(vehicle: Vehicle) -> Vehicle {
        Sight::Coarse.vehicle(vehicle)
    }
}

thread_local! {
    /// Kept from query to query, so that a thread that asks often seldom allocates.
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// The lists that a search fills.
#[derive(Default)]
struct Scratch {
    /// Parts of the tree still to be searched, the nearest on top: the upper half is the distance, the lower a packed
    /// [`Child`].
    frontier: BinaryHeap<Reverse<u64>>,
    /// The k least distances so far, the greatest on top.
    best: BinaryHeap<Ordered>,
    /// Vehicles that may be in the answer, with their squared distances in space.
    candidates: Vec<(f32, u32)>,
    /// Vehicles that are in the answer, with their distances in metres.
    exact: Vec<(f64, u32)>,
}

/// Longest list that is kept for the next search: some 150 KiB per thread in all.
const KEPT_MAX: usize = 4096;

impl Scratch {
    /// Returns the lists empty, for the next search.
    fn emptied(mut self) -> Scratch {
        self.frontier.clear();
        self.best.clear();
        self.candidates.clear();
        self.exact.clear();
        self.frontier.shrink_to(KEPT_MAX);
        self.best.shrink_to(KEPT_MAX);
        self.candidates.shrink_to(KEPT_MAX);
        self.exact.shrink_to(KEPT_MAX);
        self
    }
}

struct Search<'a, P> {
    index: &'a Index,
    nearby: &'a Nearby,
    places: PhantomData<P>,
    center: [f32; 3],
    /// Nothing farther than this, squared, can be in the answer.
    limit: f32,
    scratch: Scratch,
}

impl<'a, P: Places> Search<'a, P> {
    fn new(index: &'a Index, nearby: &'a Nearby, scratch: Scratch) -> Search<'a, P> {
        Search {
            index,
            nearby,
            places: PhantomData,
            center: narrow(unit_vector(nearby.center)),
            // Widened, so that a vehicle exactly at the limit is among those that are measured.
            limit: widen(chord(nearby.max_m), P::REACH),
            scratch,
        }
    }

    fn run(&mut self) {
        self.expand(TOP);
        while let Some(Reverse(next)) = self.scratch.frontier.pop() {
            // All that is left is farther still: the nearest is on top.
            if f32::from_bits((next >> 32) as Ordered) > self.limit {
                break;
            }
            match Child::unpack(next as u32) {
                Child::Node(node) => self.expand(node),
                Child::Leaf(leaf) => self.scan(leaf),
                Child::Pile(pile) => self.pick(pile),
                Child::Empty => {}
            }
        }
    }

    fn expand(&mut self, node: u32) {
        let node = &self.index.tree.nodes[node];
        let oldest = self.nearby.newer_than_ms.map_or(0, coarse);
        for (distance, packed) in node.within(self.limit, self.center, oldest) {
            self.prefetch_leaf(Child::unpack(packed));
            // Distance above, child below: one number compares by distance, and the heap moves eight bytes.
            self.scratch.frontier.push(Reverse(u64::from(distance.to_bits()) << 32 | u64::from(packed)));
        }
    }

    /// Starts to load a leaf: one that is pushed is often searched soon.
    fn prefetch_leaf(&self, child: Child) {
        if let Child::Leaf(leaf) = child {
            prefetch(&self.index.tree.leaves[leaf]);
        }
    }

    fn scan(&mut self, leaf: u32) {
        let tree = &self.index.tree;
        let blocks = tree.leaves[leaf].blocks();
        for block in blocks {
            tree.blocks.prefetch_block(*block);
        }
        for &block in blocks {
            for quad in tree.blocks.quads(block) {
                for (distance, slot) in quad.within(self.limit, self.center) {
                    // Only now, since it loads the row: most entries are ruled out by their distance.
                    if self.index.is_as_new(slot, self.nearby.newer_than_ms) {
                        self.offer(distance, slot);
                    }
                }
            }
        }
    }

    /// Of vehicles on one point only the first k by id can be in the answer.
    fn pick(&mut self, pile: u32) {
        let (index, Nearby { k, newer_than_ms, .. }) = (self.index, *self.nearby);
        for (position, slots) in index.tree.piles[pile].points() {
            let distance = squared_distance(narrow(unit_vector(position)), self.center);
            if distance <= self.limit {
                // Those too old do not count: the k first by id of the others can be in the answer.
                let slots = slots.filter(|&slot| index.is_as_new(slot, newer_than_ms)).take(k);
                for slot in slots {
                    self.offer(distance, slot);
                }
            }
        }
    }

    fn offer(&mut self, distance: f32, slot: u32) {
        self.scratch.candidates.push((distance, slot));
        let best = &mut self.scratch.best;
        if best.len() < self.nearby.k {
            best.push(distance.to_bits());
        } else if let Some(mut farthest) = best.peek_mut()
            && distance.to_bits() < *farthest
        {
            *farthest = distance.to_bits();
        } else {
            return;
        }
        self.narrow_down();
    }

    /// Lowers the limit to what the k nearest so far leave possible.
    fn narrow_down(&mut self) {
        let best = &self.scratch.best;
        if best.len() == self.nearby.k
            && let Some(&farthest) = best.peek()
        {
            self.limit = self.limit.min(widen(f32::from_bits(farthest).sqrt(), P::REACH));
        }
    }

    /// Measures the candidates that are left, exactly.
    fn measure(&mut self) {
        let Search { index, nearby, limit, scratch: Scratch { candidates, exact, .. }, .. } = self;
        // The limit fell while they were gathered; each one dropped here saves a cache miss and a haversine.
        candidates.retain(|(distance, _)| distance <= limit);
        for (_, slot) in candidates.iter() {
            index.prefetch_vehicle(*slot);
        }
        let center = Origin::new(nearby.center);
        let measured = candidates
            .iter()
            .map(|&(_, slot)| (center.distance_m(P::place(index.rows[slot].position())), slot));
        // Exact only here: the search keeps all that could be within.
        exact.extend(measured.filter(|(distance_m, _)| *distance_m <= nearby.max_m));
        exact.sort_unstable_by(|a, b| {
            // By id where equally near, so that the number of partitions does not show in the answer.
            a.0.total_cmp(&b.0).then_with(|| index.ids.key(a.1).cmp(&index.ids.key(b.1)))
        });
        exact.truncate(nearby.k);
    }

    fn hits(&self) -> impl Iterator<Item = Hit> {
        let exact = self.scratch.exact.iter();
        exact.map(|&(distance_m, slot)| Hit { vehicle: P::vehicle(self.index.vehicle(slot)), distance_m })
    }
}

/// Returns the distance in space, on the unit sphere, of points that far apart on the ground.
fn chord(distance_m: f64) -> f32 {
    let angle = distance_m / EARTH_RADIUS_M;
    if angle >= std::f64::consts::PI { f32::INFINITY } else { (2.0 * (angle / 2.0).sin()) as f32 }
}

/// Returns the square of the greatest f32 distance that a vehicle truly no farther than one found at `distance` can
/// have: one error, and the reach of a place, for the one that was found and one for the other.
fn widen(distance: f32, reach: f32) -> f32 {
    let wide = distance * (1.0 + 2.0 * ERROR_PART) + 2.0 * (ERROR + reach);
    wide * wide
}

fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|axis| (a[axis] - b[axis]) * (a[axis] - b[axis])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_leaves_nothing_to_the_next_but_some_room() {
        let mut scratch = Scratch::default();
        for number in 0..3 * KEPT_MAX as u32 {
            scratch.frontier.push(Reverse(number.into()));
            scratch.best.push(number);
            scratch.candidates.push((0.0, number));
            scratch.exact.push((0.0, number));
        }
        let Scratch { frontier, best, candidates, exact } = scratch.emptied();
        assert_eq!([frontier.len(), best.len(), candidates.len(), exact.len()], [0; 4]);
        for room in [frontier.capacity(), best.capacity(), candidates.capacity(), exact.capacity()] {
            assert!((1..2 * KEPT_MAX).contains(&room), "{room}");
        }
    }
}
