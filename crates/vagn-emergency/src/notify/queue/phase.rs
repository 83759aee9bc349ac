//! Phases of what a target is owed, and the sorts of notices.

use std::time::Duration;

use crate::record::standing::Standing;

/// Rank of a key. The lowest goes first.
pub(crate) trait Rank: Copy + Ord {
    /// Returns true for ranks that slots are kept for, and that are served before all others.
    fn is_preferred(self) -> bool;

    /// Returns true for ranks whose first notices wait for no probe of a target that is down.
    fn is_never_held_back(self) -> bool;
}

impl Rank for Standing {
    fn is_preferred(self) -> bool {
        self == Self::Known
    }

    fn is_never_held_back(self) -> bool {
        // An undecided vehicle may be a known one.
        self != Self::Stranger
    }
}

/// Sort of a notice. The lowest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoticeSort<R> {
    /// First notice about its key.
    First(R),
    /// Retry of a notice that was not accepted, or a reminder.
    Repeat(R),
    /// News about a key that the target has accepted.
    Update,
}

impl<R: Rank> NoticeSort<R> {
    /// Returns true for first notices of a preferred rank, which may use every slot.
    pub(super) fn is_preferred_first(self) -> bool {
        matches!(self, Self::First(rank) if rank.is_preferred())
    }

    /// Returns true for first notices and repeats of a preferred rank.
    pub(super) fn is_preferred(self) -> bool {
        self.rank().is_some_and(R::is_preferred)
    }

    /// Returns true for first notices that wait for no probe.
    pub(super) fn is_never_held_back(self) -> bool {
        matches!(self, Self::First(rank) if rank.is_never_held_back())
    }

    /// Returns the rank, if the sort has one: what is owed to a lower rank waits.
    pub(super) fn rank(self) -> Option<R> {
        match self {
            Self::First(rank) | Self::Repeat(rank) => Some(rank),
            Self::Update => None,
        }
    }

    /// Returns the same sort with another rank.
    fn of_rank(self, rank: R) -> Self {
        match self {
            Self::First(_) => Self::First(rank),
            Self::Repeat(_) => Self::Repeat(rank),
            Self::Update => self,
        }
    }

    /// Returns the sort of the next try, if this one fails.
    pub(super) fn retry(self) -> Self {
        match self {
            // The target may have it although no answer came: it is no first notice any more.
            Self::First(rank) => Self::Repeat(rank),
            Self::Repeat(_) | Self::Update => self,
        }
    }
}

/// Phase of what the target is owed about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase<R> {
    /// Not on disk yet: may be sent for the first time when it is, at the latest at `until`.
    Held { rank: R, until: Duration },
    /// May be sent for the first time.
    Fresh { rank: R },
    /// Is to be sent at `until`. A firm wait holds although the target answers again: the target asked for it.
    Waiting { sort: NoticeSort<R>, until: Duration, firm: bool },
    /// Is to be sent now.
    Due { sort: NoticeSort<R> },
    /// Is being sent now.
    UnderWay { sort: NoticeSort<R> },
}

impl<R: Rank> Phase<R> {
    /// Returns the same phase with another rank.
    pub(super) fn of_rank(self, rank: R) -> Self {
        match self {
            Self::Held { until, .. } => Self::Held { rank, until },
            Self::Fresh { .. } => Self::Fresh { rank },
            Self::Waiting { sort, until, firm } => Self::Waiting { sort: sort.of_rank(rank), until, firm },
            Self::Due { sort } => Self::Due { sort: sort.of_rank(rank) },
            Self::UnderWay { sort } => Self::UnderWay { sort: sort.of_rank(rank) },
        }
    }
}
