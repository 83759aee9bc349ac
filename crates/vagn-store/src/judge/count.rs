//! The numbers that a vehicle's reports had: the highest one, and which of the 63 below it were seen.

use super::KeyTag;
use super::window::NumberWindow;

/// Highest bit of `key`: the last envelope came again.
const REPEATED: u32 = 1 << 31;

/// Numbers seen of one vehicle, under one key or none. 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C, packed(4))]
pub(crate) struct Count {
    seen: NumberWindow,
    /// Tag of the key under which it counts, and [`REPEATED`].
    key: u32,
}

const _: () = assert!(size_of::<Count>() == 20, "kept for each vehicle that sends numbers");

impl Count {
    /// Count of a vehicle that sent no number yet, and no seal.
    pub(crate) const NONE: Self = Self { seen: NumberWindow::NONE, key: 0 };

    /// Begins under another key, or under none.
    pub(crate) fn begin(key: Option<KeyTag>) -> Self {
        Self { key: key.map_or(0, KeyTag::bits), ..Self::NONE }
    }

    /// Returns true when it holds nothing.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Returns the key under which it counts.
    #[inline]
    pub(crate) fn key(&self) -> Option<KeyTag> {
        KeyTag::of_bits(self.key & !REPEATED)
    }

    /// Returns true when the number was seen.
    #[inline]
    pub(crate) fn has(&self, number: u64) -> bool {
        self.seen.has(number)
    }

    /// Returns true when the number is not above the highest one.
    #[inline]
    pub(crate) fn reaches(&self, number: u64) -> bool {
        self.seen.reaches(number)
    }

    /// Returns true when the number is too far below the highest one to tell if it was seen.
    #[inline]
    pub(crate) fn is_below_window(&self, number: u64) -> bool {
        self.seen.is_below(number)
    }

    /// Notes a number as seen.
    #[inline]
    pub(crate) fn note(&mut self, number: u64) {
        self.seen.note(number);
    }

    /// Begins anew with this number, under the same key.
    #[inline]
    pub(crate) fn restart(&mut self, number: u64) {
        self.seen = NumberWindow::of(number);
    }

    /// Takes in the number of a report that log or snapshot has, as judging left it there.
    #[inline]
    pub(crate) fn take(&mut self, number: Option<u64>, restarts: bool) {
        match number {
            Some(number) if restarts => self.restart(number),
            Some(number) => self.note(number),
            None => {}
        }
    }

    /// Adds what another count under the same key has seen.
    pub(crate) fn merge(&mut self, other: &Self) {
        let mut seen = self.seen;
        seen.merge(other.seen);
        self.seen = seen;
    }

    /// Returns true when both are the same but for the envelope under way, which no restart outlives.
    #[inline]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let (mut one, mut other) = (*self, *other);
        one.set_repeated(false);
        other.set_repeated(false);
        one == other
    }

    /// Returns true when the reports of the envelope under way came before.
    #[inline]
    pub(super) fn is_repeated(&self) -> bool {
        self.key & REPEATED != 0
    }

    /// Remembers if the envelope under way came before, for its further reports.
    #[inline]
    pub(crate) fn set_repeated(&mut self, repeated: bool) {
        self.key = if repeated { self.key | REPEATED } else { self.key & !REPEATED };
    }

    /// Returns what log and snapshot keep of it.
    pub(crate) fn parts(&self) -> (u64, u64, u32) {
        let (highest, seen) = self.seen.parts();
        (highest, seen, self.key)
    }

    /// Returns the count of which log or snapshot kept these parts.
    pub(crate) fn of_parts(highest: u64, seen: u64, key: u32) -> Self {
        Self { seen: NumberWindow::of_parts(highest, seen), key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(numbers: &[u64]) -> Count {
        let mut count = Count::NONE;
        for number in numbers {
            count.note(*number);
        }
        count
    }

    #[test]
    fn remembers_the_highest_number_and_63_below_it() {
        let count = counted(&[100, 7, 164, 101]);
        assert!(count.has(164) && count.has(101) && !count.has(100) && !count.has(102) && !count.has(165));
        assert!(count.reaches(164) && count.reaches(0) && !count.reaches(165));
        assert!(count.is_below_window(100) && !count.is_below_window(101) && !count.is_below_window(165));
    }

    #[test]
    fn has_seen_nothing_at_first() {
        let count = Count::NONE;
        assert!(!count.has(0) && !count.reaches(0) && !count.is_below_window(0) && count.is_none());
        let zero = counted(&[0]);
        assert!(zero.has(0) && zero.reaches(0) && !zero.is_none());
    }

    #[test]
    fn the_ends_of_the_range_are_numbers_like_others() {
        let count = counted(&[0, u64::MAX]);
        assert!(count.has(u64::MAX) && !count.has(0) && count.is_below_window(0));
        let mut count = count;
        count.restart(3);
        assert!(count.has(3) && !count.has(u64::MAX) && !count.reaches(4));
    }

    #[test]
    fn belongs_to_a_key() {
        let key = KeyTag::of_key_id([1, 2, 3, 4, 5, 6, 7, 8]);
        let mut count = Count::begin(Some(key));
        assert_eq!((count.key(), count.reaches(0), count.is_none()), (Some(key), false, false));
        count.set_repeated(true);
        assert!(count.is_repeated() && count.key() == Some(key));
        count.set_repeated(false);
        assert_eq!(count, Count::begin(Some(key)));
        let (highest, seen, key) = count.parts();
        assert_eq!(Count::of_parts(highest, seen, key), count);
    }
}
