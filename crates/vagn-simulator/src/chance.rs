//! Chance: all that a run does not know beforehand is drawn here, from one number.

use std::ops::RangeInclusive;

use vagn_cluster::{fold, mix};

/// A generator of numbers (splitmix64): its steps are written here, so that a seed means the same run in every version of every
/// library.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x7661_676e))
    }

    /// Makes a generator for one purpose: what it draws does not depend on how often others were asked.
    pub(crate) fn fork(&self, purpose: u64) -> Self {
        Self(fold(self.0, purpose))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws a number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(end)) >> 64) as u64
    }

    pub(crate) fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    pub(crate) fn signed(&mut self, range: RangeInclusive<i64>) -> i64 {
        range.start() + self.below(range.start().abs_diff(*range.end()) + 1) as i64
    }

    /// Says yes `times` in 10 000.
    pub(crate) fn often(&mut self, times: u64) -> bool {
        times > 0 && self.below(10_000) < times
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_numbers_for_ever() {
        let mut chance = Chance::new(7);
        let drawn: Vec<u64> = (0..5).map(|_| chance.below(1_000)).collect();
        assert_eq!(drawn, (0..5).scan(Chance::new(7), |c, _| Some(c.below(1_000))).collect::<Vec<_>>());
        let mut other = Chance::new(8);
        assert_ne!(drawn, (0..5).map(|_| other.below(1_000)).collect::<Vec<_>>());
    }

    #[test]
    fn purposes_do_not_disturb_each_other() {
        let root = Chance::new(1);
        let (mut a, mut b) = (root.fork(1), root.fork(2));
        let first = root.fork(1).word();
        b.word();
        assert_eq!(a.word(), first);
        assert_ne!(b.word(), a.word());
    }

    #[test]
    fn ends_of_ranges_are_drawn_too() {
        let mut chance = Chance::new(3);
        let drawn: Vec<i64> = (0..200).map(|_| chance.signed(-2..=2)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&2)));
        assert_eq!((0..10_000).filter(|_| chance.often(10_000)).count(), 10_000);
        assert_eq!((0..10_000).filter(|_| chance.often(0)).count(), 0);
    }
}
