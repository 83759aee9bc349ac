//! Counts of what was dropped or given up, by reason. None of it is an error by itself: a node does without, or asks again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Reason why something was dropped or given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// A request found no connection.
    NoConnection,
    /// Brokers did not answer a request in time.
    NoAnswer,
    /// A message to other nodes found no connection, or no room in it.
    NotSent,
    /// A message of another node could not be read.
    Damaged,
    /// A part of a message whose other parts did not come.
    PartsMissing,
    /// A subscription was silent, and ended.
    Silent,
    /// A subscription was refused or broke off.
    Broken,
    /// A subscription had a gap, and ended.
    Gap,
    /// A request of the service found the driver busy.
    Busy,
}

impl Loss {
    /// All reasons, in their order.
    pub const ALL: [Self; 9] = [
        Self::NoConnection,
        Self::NoAnswer,
        Self::NotSent,
        Self::Damaged,
        Self::PartsMissing,
        Self::Silent,
        Self::Broken,
        Self::Gap,
        Self::Busy,
    ];

    /// Returns the name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoConnection => "no_connection",
            Self::NoAnswer => "no_answer",
            Self::NotSent => "not_sent",
            Self::Damaged => "damaged",
            Self::PartsMissing => "parts_missing",
            Self::Silent => "silent",
            Self::Broken => "broken",
            Self::Gap => "gap",
            Self::Busy => "busy",
        }
    }
}

/// Counts by reason, since the start.
#[derive(Debug, Default)]
pub struct Counts {
    by_reason: [AtomicU64; Loss::ALL.len()],
}

impl Counts {
    pub(crate) fn add(&self, loss: Loss) {
        self.by_reason[loss as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how often something was lost for this reason.
    pub fn of(&self, loss: Loss) -> u64 {
        self.by_reason[loss as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (at, loss) in Loss::ALL.into_iter().enumerate() {
            (0..=at).for_each(|_| counts.add(loss));
        }
        let counted: Vec<u64> = Loss::ALL.into_iter().map(|loss| counts.of(loss)).collect();
        assert_eq!(counted, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
