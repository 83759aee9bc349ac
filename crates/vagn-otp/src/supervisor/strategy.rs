//! Who is restarted with whom.

use std::ops::Range;

/// Which children are restarted when one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// That one.
    OneForOne,
    /// All of them.
    OneForAll,
    /// That one and those started after it.
    RestForOne,
}

impl Strategy {
    /// The children, by position, that go down and up with the one at `failed`.
    pub(super) fn group(self, failed: usize, len: usize) -> Range<usize> {
        match self {
            Strategy::OneForOne => failed..failed + 1,
            Strategy::OneForAll => 0..len,
            Strategy::RestForOne => failed..len,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy::{OneForAll, OneForOne, RestForOne};

    #[test]
    fn a_failure_takes_along_whom_the_strategy_says() {
        assert_eq!(OneForOne.group(1, 3), 1..2);
        assert_eq!(OneForAll.group(1, 3), 0..3);
        assert_eq!(RestForOne.group(1, 3), 1..3);
    }
}
