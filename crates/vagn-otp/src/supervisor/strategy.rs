//! The strategies: the children that are restarted together.

use std::ops::Range;

/// The children that are restarted when one fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Only the child that failed.
    OneForOne,
    /// All children of the supervisor.
    OneForAll,
    /// The child that failed, and those started after it.
    RestForOne,
}

impl Strategy {
    /// Returns the positions of the children that are restarted with the one at `failed`.
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
    fn a_failure_restarts_the_children_that_the_strategy_names() {
        assert_eq!(OneForOne.group(1, 3), 1..2);
        assert_eq!(OneForAll.group(1, 3), 0..3);
        assert_eq!(RestForOne.group(1, 3), 1..3);
    }
}
