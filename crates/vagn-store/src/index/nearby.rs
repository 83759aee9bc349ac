//! The nearest vehicles to a place, exactly.
//!
//! The tree is searched best first in f32 space, keeping every vehicle that could be among the answer given
//! how far rounding can move it; the few that are left are then measured in f64 and ordered by distance and
//! id, so the answer is that of a search through all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use vagn_wire::Position;

use super::Index;
use super::blocks::Quad;
use super::node::{Child, coarse};
use super::tree::{TOP, narrow};
use crate::geo::{EARTH_RADIUS_M, distance_m, unit_vector};
use crate::prefetch::prefetch;
use crate::{Hit, Key};

/// What to look for near a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearby {
    /// The place.
    pub center: Position,
    /// How many vehicles at most.
    pub k: usize,
    /// How far away at most, in metres, included. `f64::INFINITY` for no limit.
    pub max_m: f64,
    /// Only vehicles whose event time is this or later, ms since 1970.
    pub newer_than_ms: Option<i64>,
}

/// How much the distance in space between two f32 unit vectors can differ from the true one: by this on their
/// unit sphere (0.8 m on the ground), from each of six coordinates being off by less than 3e-8 (2e-11 as it is
/// worked out, 2^-25 from rounding), which makes 1.04e-7 at worst, ...
const ERROR: f32 = 1.3e-7;
/// ... and by this part of it, from rounding on the way.
const ERROR_PART: f32 = 1e-6;

/// Bits of a distance that is not negative and not NaN: they are in the same order and compare faster.
type Ordered = u32;

impl Index {
    /// Adds the nearest vehicles to `hits`, nearest first and by [`Key`] where equally near.
    pub fn nearby(&self, nearby: &Nearby, hits: &mut Vec<Hit>) {
        if nearby.k == 0 || nearby.max_m.is_nan() || nearby.max_m < 0.0 {
            return;
        }
        let mut search = Search::new(self, nearby);
        search.run();
        hits.extend(search.exact());
    }
}

struct Search<'a> {
    index: &'a Index,
    nearby: &'a Nearby,
    center: [f32; 3],
    /// Nothing farther than this, squared, can be in the answer.
    limit: f32,
    /// What is still to be searched, the nearest on top: its distance above, a packed [`Child`] below.
    frontier: BinaryHeap<Reverse<u64>>,
    /// The k least distances so far, the greatest on top.
    best: BinaryHeap<Ordered>,
    candidates: Vec<(f32, u32)>,
}

impl<'a> Search<'a> {
    fn new(index: &'a Index, nearby: &'a Nearby) -> Search<'a> {
        Search {
            index,
            nearby,
            center: narrow(unit_vector(nearby.center)),
            limit: widen(chord(nearby.max_m)),
            frontier: BinaryHeap::with_capacity(64),
            best: BinaryHeap::with_capacity(nearby.k.min(1024) + 1),
            candidates: Vec::with_capacity(256),
        }
    }

    fn run(&mut self) {
        self.expand(TOP);
        while let Some(Reverse(next)) = self.frontier.pop() {
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
        let distances = node.distances(self.center);
        for (quarter, distance) in distances.into_iter().enumerate() {
            let child = node.child(quarter);
            if child != Child::Empty && distance <= self.limit && node.newest()[quarter] >= oldest {
                self.prefetch_leaf(child);
                self.frontier.push(Reverse(u64::from(distance.to_bits()) << 32 | u64::from(child.pack())));
            }
        }
    }

    /// What is pushed is often searched soon.
    fn prefetch_leaf(&self, child: Child) {
        if let Child::Leaf(leaf) = child {
            prefetch(&self.index.tree.leaves[leaf]);
        }
    }

    fn scan(&mut self, leaf: u32) {
        let tree = &self.index.tree;
        for &block in tree.leaves[leaf].blocks() {
            for quad in tree.blocks.quads(block) {
                self.scan_quad(quad);
            }
        }
    }

    #[inline]
    fn scan_quad(&mut self, quad: &Quad) {
        let distances = quad.distances(self.center);
        for (distance, &slot) in distances.into_iter().zip(quad.slots()) {
            if distance <= self.limit && self.is_new_enough(slot) {
                self.offer(distance, slot);
            }
        }
    }

    /// Of vehicles on one point only the first k by id can be in the answer.
    fn pick(&mut self, pile: u32) {
        let index = self.index;
        for (position, slots) in index.tree.piles[pile].points() {
            let distance = squared_distance(narrow(unit_vector(position)), self.center);
            if distance <= self.limit {
                let slots = slots.filter(|&slot| self.is_new_enough(slot)).take(self.nearby.k);
                slots.collect::<Vec<_>>().into_iter().for_each(|slot| self.offer(distance, slot));
            }
        }
    }

    fn is_new_enough(&self, slot: u32) -> bool {
        self.nearby.newer_than_ms.is_none_or(|oldest| self.index.rows[slot].event_time_ms() >= oldest)
    }

    fn offer(&mut self, distance: f32, slot: u32) {
        self.candidates.push((distance, slot));
        self.best.push(distance.to_bits());
        if self.best.len() > self.nearby.k {
            self.best.pop();
        }
        if self.best.len() == self.nearby.k
            && let Some(&farthest) = self.best.peek()
        {
            self.limit = self.limit.min(widen(f32::from_bits(farthest).sqrt()));
        }
    }

    /// Measures what is left.
    fn exact(mut self) -> impl Iterator<Item = Hit> {
        self.candidates.retain(|(distance, _)| *distance <= self.limit);
        for &(_, slot) in &self.candidates {
            self.index.prefetch_vehicle(slot);
        }
        let measure = |slot: u32| distance_m(self.nearby.center, self.index.rows[slot].position());
        let mut exact: Vec<(f64, u32)> =
            self.candidates.iter().map(|&(_, slot)| (measure(slot), slot)).collect();
        exact.retain(|(distance_m, _)| *distance_m <= self.nearby.max_m);
        exact.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| self.key(a.1).cmp(&self.key(b.1))));
        exact.truncate(self.nearby.k);
        let index = self.index;
        exact.into_iter().map(|(distance_m, slot)| Hit { vehicle: index.vehicle(slot), distance_m })
    }

    fn key(&self, slot: u32) -> Key<'a> {
        self.index.ids.key(slot)
    }
}

/// The distance in space, on the unit sphere, of points that far apart on the ground.
fn chord(distance_m: f64) -> f32 {
    let angle = distance_m / EARTH_RADIUS_M;
    if angle >= std::f64::consts::PI { f32::INFINITY } else { (2.0 * (angle / 2.0).sin()) as f32 }
}

/// The square of the greatest f32 distance that something truly no farther than what was found at `distance`
/// can have: one error for what was found and one for the other.
fn widen(distance: f32) -> f32 {
    let wide = distance * (1.0 + 2.0 * ERROR_PART) + 2.0 * ERROR;
    wide * wide
}

fn squared_distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    (0..3).map(|axis| (a[axis] - b[axis]) * (a[axis] - b[axis])).sum()
}
