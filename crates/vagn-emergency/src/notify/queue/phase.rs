//! Phases of what a target is owed, and the sorts of notices.

use std::time::Duration;

use crate::record::standing::Standing;

/// Rank of a key. The lowest goes first.
pub(crate) trait Rank: Copy + Ord {
    /// Returns true for ranks that slots are kept for, and that are served before all others.
    fn is_preferred(self) -> bool;
}

impl Rank for Standing {
    fn is_preferred(self) -> bool {
        self.in_queue() == Self::Known
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
    /// Returns true for first notices of a preferred rank, which may use every slot and are never held back.
    pub(super) fn is_preferred_first(self) -> bool {
        matches!(self, Self::First(rank) if rank.is_preferred())
    }

    /// Returns true for first notices and repeats of a preferred rank.
    pub(super) fn is_preferred(self) -> bool {
        match self {
            Self::First(rank) | Self::Repeat(rank) => rank.is_preferred(),
            Self::Update => false,
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
