//! Rules that decide what becomes of an update: the rule of judging, and outcomes that were decided before.

use vagn_wire::Fate;

use super::planned::Marks;
use crate::judge::{Count, Verdict, is_plainly_newer, judge};
use crate::{Sighting, Update};

/// Decides the fates of updates.
pub(crate) trait Rule {
    /// Returns the outcome of the update at `at`, of a vehicle whose last stored position is `kept`, and brings its count up
    /// to date.
    fn outcome(&self, at: usize, update: &Update<'_>, kept: Option<&Sighting>, count: &mut Count) -> Verdict;

    /// Returns true when the outcome is stored, with nothing to note beside, for any vehicle without count whose last
    /// position has the time `kept_ms`: most updates, and the cheapest. False says nothing.
    fn is_surely_stored(&self, update: &Update<'_>, kept_ms: i64) -> bool;
}

/// The rule of judging, for reports that were not judged yet.
pub(crate) struct AsTheyCome;

impl Rule for AsTheyCome {
    #[inline(always)]
    fn outcome(&self, _: usize, update: &Update<'_>, kept: Option<&Sighting>, count: &mut Count) -> Verdict {
        judge(kept, count, update.sighting, update.evidence)
    }

    #[inline(always)]
    fn is_surely_stored(&self, update: &Update<'_>, kept_ms: i64) -> bool {
        is_plainly_newer(kept_ms, update.sighting, update.evidence)
    }
}

/// Outcome of an update that was judged before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outcome {
    /// Stored, or late.
    Written(Marks),
    /// The last position stored of the vehicle, and its count: they replace what differs.
    Last(Count),
}

/// Updates that were judged before, with the outcome of each: judging them again from an unknown beginning could give
/// another one.
pub(crate) struct AsJudged<'a>(pub(crate) &'a [Outcome]);

impl Rule for AsJudged<'_> {
    fn outcome(&self, at: usize, update: &Update<'_>, kept: Option<&Sighting>, count: &mut Count) -> Verdict {
        match self.0[at] {
            Outcome::Written(Marks { late, restarts, continues }) => {
                count.take(update.sighting.seq, restarts);
                let fate = if late { Fate::Stale } else { Fate::Stored };
                Verdict { restarts, continues, ..Verdict::of(fate) }
            }
            Outcome::Last(last) => {
                *count = last;
                let is_there = kept == Some(update.sighting);
                Verdict::of(if is_there { Fate::Duplicate } else { Fate::Stored })
            }
        }
    }

    fn is_surely_stored(&self, _: &Update<'_>, _: i64) -> bool {
        false
    }
}
