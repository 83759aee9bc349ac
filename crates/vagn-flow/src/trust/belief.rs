//! Belief: is the wall clock right, as far as the mark, the monotonic clock, the kernel and the vehicles can tell? A state
//! machine without any clock of its own.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::clock::Believed;
use crate::stamp::HELD_BACK_MAX_MS;

/// Furthest that the wall clock may leave the monotonic one while the service runs, ms.
pub(super) const APART_MAX_MS: i64 = 600_000;

/// The wall clock is followed by this part of the time that passes, where it leaves the monotonic one. The kernel slews a
/// clock by at most half of it, so that no slow correction becomes a doubt over months.
const FOLLOW: i64 = 1_000;

/// Time for which a doubted clock must agree again before it is believed without another word.
const AGREES_FOR: Duration = Duration::from_secs(10);

/// Vehicles whose own times must agree with the wall clock to end a doubt.
pub(super) const WITNESSES: usize = 10;

/// Furthest that a vehicle's own time may be from the wall clock to agree with it, ms.
const AGREE_MS: u64 = 60_000;

/// Reason of a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// At the start the clock was behind what the last run had left.
    Behind,
    /// At the start the clock was too far ahead of it.
    Ahead,
    /// The clock left the monotonic one while the service ran.
    Jumped,
}

impl Reason {
    pub(super) const ALL: [Self; 3] = [Self::Behind, Self::Ahead, Self::Jumped];

    /// Returns the value of the label `reason` in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Jumped => "jumped",
        }
    }
}

/// The word that ended a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Kernel,
    Vehicles,
    Operator,
    /// The clock agrees again with what it had left.
    Returned,
}

impl Ending {
    /// Returns a sentence for the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "the kernel calls it synchronised",
            Self::Vehicles => "the vehicles' own times agree with it",
            Self::Operator => "an operator has accepted it",
            Self::Returned => "it agrees again",
        }
    }
}

/// A change of what is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Began(Reason),
    Ended(Ending),
    /// The clock jumped, and the kernel's word for it left no doubt.
    Followed,
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// By the wall clock, ms since 1970.
    pub(super) wall_ms: i64,
    /// By the monotonic clock.
    pub(super) at: Duration,
}

impl Look {
    /// Returns the distance between the two clocks, ms.
    fn offset_ms(self) -> i64 {
        self.wall_ms.saturating_sub(millis(self.at))
    }
}

/// Belief in the wall clock.
#[derive(Debug)]
pub(super) struct Belief {
    /// The last reading that was believed. The monotonic clock carries it on.
    line: Look,
    /// The line is what an earlier run left, and the time that the service was down is unknown.
    left: bool,
    /// Furthest that the clock may be ahead of what an earlier run left, ms.
    ahead_max_ms: i64,
    /// There was no mark, and no word for the clock since: the log stands in for it.
    is_unmarked: bool,
    /// Partitions whose logs have yet to be read for that.
    awaited: BTreeSet<u32>,
    /// Newest time in the log.
    logged_ms: i64,
    /// Time since which the clock has been believed, ms since 1970. Stamps from before may come from a wrong clock, so what has
    /// them counts as heard at this time.
    since_ms: i64,
    doubt: Option<Doubt>,
}

#[derive(Debug)]
struct Doubt {
    reason: Reason,
    /// The latest look that went on with the one before; the clock jumps anew when it leaves this.
    latest: Look,
    agrees_since: Option<Duration>,
    /// Hashes of the vehicles that agree; at most [`WITNESSES`].
    witnesses: Vec<u64>,
}

impl Belief {
    /// Begins with the mark that an earlier run left, if there is one, and with the first look at the clocks. Without a mark the
    /// logs of so many partitions are awaited.
    pub(super) fn new(marked: Option<Believed>, first: Look, ahead_max_ms: i64, partitions: u32) -> Self {
        let marked_ms = marked.map(|marked| marked.now_ms);
        let since_ms = marked.map_or(first.wall_ms, |marked| marked.since_ms);
        let line = Look { wall_ms: marked_ms.unwrap_or(first.wall_ms), at: first.at };
        let left = marked_ms.is_some();
        let is_unmarked = !left;
        let awaited = if is_unmarked { (0..partitions).collect() } else { BTreeSet::new() };
        Self { line, left, ahead_max_ms, is_unmarked, awaited, logged_ms: i64::MIN, since_ms, doubt: None }
    }

    /// Returns true if the wall clock is not believed.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Returns true while there is nothing yet to compare the clock with: no mark, and logs that are not read.
    pub(super) fn awaits_log(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Returns the time since which the clock has been believed, ms since 1970.
    pub(super) fn since_ms(&self) -> i64 {
        self.since_ms
    }

    /// Returns the reason of the doubt, if there is one.
    pub(super) fn reason(&self) -> Option<Reason> {
        self.doubt.as_ref().map(|doubt| doubt.reason)
    }

    /// Returns the time that it should be by the monotonic clock, ms since 1970.
    pub(super) fn expected_ms(&self, at: Duration) -> i64 {
        self.line.wall_ms.saturating_add(millis(at.saturating_sub(self.line.at)))
    }

    /// Returns how far the wall clock is ahead of that, ms.
    pub(super) fn difference_ms(&self, look: Look) -> i64 {
        look.wall_ms.saturating_sub(self.expected_ms(look.at))
    }

    /// Takes in a look at the clocks. `kernel` says whether the kernel calls this clock synchronised; it is asked only where
    /// its word matters.
    pub(super) fn look(&mut self, look: Look, kernel: impl Fn() -> bool) -> Option<Change> {
        let agrees = self.allowed().contains(&self.difference_ms(look));
        match &mut self.doubt {
            None if agrees => {
                self.follow(look);
                None
            }
            None if kernel() => {
                self.believe(look);
                self.since_ms = look.wall_ms;
                Some(Change::Followed)
            }
            None => Some(self.begin(look)),
            Some(doubt) => {
                let ending = doubt.look(look, agrees, kernel)?;
                Some(self.end(look, ending))
            }
        }
    }

    /// Notes the newest time in the log of a partition. It stands in for a mark that is lost or damaged; an empty log says
    /// nothing.
    pub(super) fn logged(&mut self, partition: u32, time_ms: i64, look: Look) {
        self.awaited.remove(&partition);
        if time_ms <= 0 {
            return;
        }
        self.logged_ms = self.logged_ms.max(time_ms);
        let is_ahead = look.wall_ms.saturating_sub(self.logged_ms) > self.ahead_max_ms;
        if self.is_unmarked && self.reason() != Some(Reason::Jumped) && is_ahead {
            self.line = Look { wall_ms: self.logged_ms, at: look.at };
            self.left = true;
        }
    }

    /// Hears a vehicle's own time.
    pub(super) fn hear(&mut self, vehicle: u64, own_ms: i64, wall_ms: i64) {
        let Some(doubt) = &mut self.doubt else { return };
        let agrees = own_ms.abs_diff(wall_ms) <= AGREE_MS;
        if agrees && doubt.witnesses.len() < WITNESSES && !doubt.witnesses.contains(&vehicle) {
            doubt.witnesses.push(vehicle);
        }
    }

    /// Believes the wall clock on an operator's word.
    pub(super) fn accept(&mut self, look: Look) -> Option<Change> {
        self.awaited.clear();
        self.doubt.is_some().then(|| self.end(look, Ending::Operator))
    }

    fn allowed(&self) -> RangeInclusive<i64> {
        if self.left { -HELD_BACK_MAX_MS..=self.ahead_max_ms } else { -APART_MAX_MS..=APART_MAX_MS }
    }

    fn believe(&mut self, look: Look) {
        self.line = look;
        self.left = false;
    }

    /// Lets the line follow a clock that is slowly corrected.
    fn follow(&mut self, look: Look) {
        if self.left {
            self.believe(look);
            return;
        }
        let most_ms = millis(look.at.saturating_sub(self.line.at)) / FOLLOW;
        if most_ms > 0 {
            let step_ms = self.difference_ms(look).clamp(-most_ms, most_ms);
            self.line = Look { wall_ms: self.expected_ms(look.at).saturating_add(step_ms), at: look.at };
        }
    }

    fn begin(&mut self, look: Look) -> Change {
        let reason = match self.left {
            false => Reason::Jumped,
            true if self.difference_ms(look) < 0 => Reason::Behind,
            true => Reason::Ahead,
        };
        self.doubt = Some(Doubt { reason, latest: look, agrees_since: None, witnesses: Vec::new() });
        Change::Began(reason)
    }

    fn end(&mut self, look: Look, ending: Ending) -> Change {
        self.doubt = None;
        self.is_unmarked = false;
        self.awaited.clear();
        self.believe(look);
        // An operator's word is for all that was stamped. Any other word is for the present only: what was stamped in the doubt,
        // or before it by a clock that was wrong already, tells nothing of its age.
        self.since_ms =
            if ending == Ending::Operator { self.since_ms.min(look.wall_ms) } else { look.wall_ms };
        Change::Ended(ending)
    }
}

impl Doubt {
    /// Returns what ends it, if anything does.
    fn look(&mut self, look: Look, agrees: bool, kernel: impl Fn() -> bool) -> Option<Ending> {
        if look.offset_ms().abs_diff(self.latest.offset_ms()) > AGREE_MS {
            // What was said of the clock before it jumped again says nothing of it now.
            self.witnesses.clear();
            self.agrees_since = None;
        }
        self.latest = look;
        self.agrees_since = if agrees { self.agrees_since.or(Some(look.at)) } else { None };
        let returned = self.agrees_since.is_some_and(|since| look.at.saturating_sub(since) >= AGREES_FOR);
        if kernel() {
            Some(Ending::Kernel)
        } else if self.witnesses.len() >= WITNESSES {
            Some(Ending::Vehicles)
        } else {
            returned.then_some(Ending::Returned)
        }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
