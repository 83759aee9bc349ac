//! A window of numbers: the highest one, and which of the 63 below it came.

/// Numbers below the highest that are remembered.
const BELOW: u64 = 63;

/// Numbers that came. 16 bytes, at any address that is a multiple of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C, packed(4))]
pub struct NumberWindow {
    highest: u64,
    /// Bit `n` is set when the number `highest - n` came; none is while there is no highest one.
    seen: u64,
}

impl NumberWindow {
    /// Window in which nothing came.
    pub const NONE: Self = Self { highest: 0, seen: 0 };

    /// Returns the window in which this number alone came.
    #[inline]
    pub const fn of(number: u64) -> Self {
        Self { highest: number, seen: 1 }
    }

    /// Returns the window that was kept as these [parts](Self::parts).
    pub const fn of_parts(highest: u64, seen: u64) -> Self {
        Self { highest, seen }
    }

    /// Returns what is to be kept of it: the highest number, and in bit `n` whether the one that is `n` below it came.
    pub const fn parts(self) -> (u64, u64) {
        (self.highest, self.seen)
    }

    /// Returns true when the number came.
    #[inline]
    pub fn has(self, number: u64) -> bool {
        self.highest.checked_sub(number).is_some_and(|below| below <= BELOW && self.seen >> below & 1 == 1)
    }

    /// Returns true when the number is not above the highest one.
    #[inline]
    pub fn reaches(self, number: u64) -> bool {
        self.seen != 0 && number <= self.highest
    }

    /// Returns true when the number is too far below the highest one to tell if it came.
    #[inline]
    pub fn is_below(self, number: u64) -> bool {
        self.reaches(number) && self.highest - number > BELOW
    }

    /// Notes that a number came.
    #[inline]
    pub fn note(&mut self, number: u64) {
        if self.reaches(number) {
            self.seen |= bit(self.highest - number);
        } else {
            let above = if self.seen == 0 { u64::MAX } else { number - self.highest };
            let below = if above <= BELOW { self.seen << above } else { 0 };
            (self.highest, self.seen) = (number, below | 1);
        }
    }

    /// Adds what another window has.
    pub fn merge(&mut self, other: Self) {
        let (newer, older) = if other.highest > self.highest { (other, *self) } else { (*self, other) };
        let apart = newer.highest - older.highest;
        let below = if apart <= BELOW { older.seen << apart } else { 0 };
        *self = Self { highest: newer.highest, seen: newer.seen | below };
    }
}

/// Returns the bit of the number that is so far below the highest; none beyond the window.
#[inline]
fn bit(below: u64) -> u64 {
    if below <= BELOW { 1 << below } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noted(numbers: &[u64]) -> NumberWindow {
        let mut window = NumberWindow::NONE;
        numbers.iter().for_each(|number| window.note(*number));
        window
    }

    proptest! {
        #[test]
        fn knows_what_came_within_its_reach_and_nothing_else(numbers in prop::collection::vec(0_u64..200, 1..100)) {
            let window = noted(&numbers);
            let highest = *numbers.iter().max().unwrap();
            for number in 0..300 {
                let is_below = highest.saturating_sub(number) > BELOW;
                prop_assert_eq!(window.has(number), numbers.contains(&number) && !is_below);
                prop_assert_eq!(window.is_below(number), is_below);
                prop_assert_eq!(window.reaches(number), number <= highest);
            }
        }

        #[test]
        fn two_windows_make_the_one_that_has_all(
            one in prop::collection::vec(0_u64..100, 0..20),
            other in prop::collection::vec(0_u64..100, 0..20),
        ) {
            let mut merged = noted(&one);
            merged.merge(noted(&other));
            prop_assert_eq!(merged, noted(&[&one[..], &other[..]].concat()));
        }
    }

    #[test]
    fn a_leap_of_any_width_leaves_only_the_newest() {
        let mut window = NumberWindow::of(1);
        for number in [2, 1 << 40, u64::MAX] {
            assert!(!window.has(number));
            window.note(number);
            assert!(window.has(number));
        }
        assert_eq!(window.parts(), (u64::MAX, 1));
        assert_eq!(NumberWindow::of_parts(u64::MAX, 1), window);
    }
}
