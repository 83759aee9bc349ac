//! What ticks bear out of how much a replica has.
//!
//! A broker that is cut off from the majority goes on telling the end of its stream, for ten seconds and more, and nothing in what it tells
//! shows that. But a tick that is in the stream went through a majority, and so did all before it: who has applied it lacks nothing that
//! was stored when it was published. No clock but that of this node is needed:
//!
//! - Its own tick counts from the moment at which it published it, however late it comes.
//! - A tick of another owner counts from the moment at which it came here. It may have lain at the brokers: after a start, or after a
//!   silence, what comes can be old. So it counts only where the one before it counted a moment ago. To begin again, a node publishes a tick
//!   of its own.
//!
//! The wall clock of a tick counts for nothing: clocks may differ by more than an age that matters. Nothing of it is on disk: what an earlier
//! run had may be as old as can be.

use std::collections::VecDeque;

/// Time for which ticks may stay away before those of others count no more: three owners by turns publish one within 4 s.
pub(crate) const PULSE_MS: u64 = 6_000;

/// Span between two entries whose coming is remembered.
const STEP_MS: u64 = 100;

/// Most entries whose coming is remembered.
const CAME_MAX: usize = 256;

/// Ticks as a replica sees them.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// Entries that are not applied yet, each with the moment at which it came: some of them.
    came: VecDeque<(u64, u64)>,
    beat_ms: Option<u64>,
}

impl Pulse {
    /// An entry came.
    pub(crate) fn came(&mut self, sequence: u64, now_ms: u64) {
        let is_new = self.came.back().is_none_or(|(_, at_ms)| *at_ms + STEP_MS <= now_ms);
        // Without it, what is behind counts as older than it is.
        if is_new && self.came.len() < CAME_MAX {
            self.came.push_back((sequence, now_ms));
        }
    }

    /// A tick was applied. `published_ms` is known of an own one of this run.
    pub(crate) fn ticked(&mut self, sequence: u64, published_ms: Option<u64>) {
        let mut came_ms = None;
        while let Some((_, at_ms)) = self.came.front().filter(|(first, _)| *first <= sequence).copied() {
            came_ms = Some(at_ms);
            // It stands for those behind it, until the next one that is remembered.
            match self.came.get(1) {
                Some((next, _)) if *next <= sequence => drop(self.came.pop_front()),
                _ => break,
            }
        }
        let goes_on = |at_ms: &u64| self.beat_ms.is_some_and(|beat_ms| *at_ms < beat_ms + PULSE_MS);
        let borne_out_ms = published_ms.or(came_ms.filter(goes_on));
        self.beat_ms = self.beat_ms.max(borne_out_ms);
    }

    /// Moment at which the replica lacked nothing, as the last tick that counted bears out.
    pub(crate) fn beat_ms(&self) -> Option<u64> {
        self.beat_ms
    }

    /// True where ticks of others count no more.
    pub(crate) fn is_lost(&self, now_ms: u64) -> bool {
        self.beat_ms.is_none_or(|beat_ms| now_ms >= beat_ms + PULSE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_others_count_behind_one_of_this_node_and_not_after_a_silence() {
        let mut pulse = Pulse::default();
        let mut tick = |sequence, came_ms, published_ms| {
            pulse.came(sequence, came_ms);
            pulse.ticked(sequence, published_ms);
            pulse.beat_ms()
        };
        assert_eq!(tick(1, 1_000, None), None, "it may have lain there for a day");
        assert_eq!(tick(2, 3_000, Some(2_500)), Some(2_500));
        assert_eq!(tick(3, 4_000, None), Some(4_000));
        assert_eq!(tick(4, 9_999, None), Some(9_999));
        assert_eq!(tick(5, 9_999 + PULSE_MS, None), Some(9_999), "after a silence");
        assert_eq!(tick(6, 30_000, Some(12_000)), Some(12_000), "it was under way for long");
        assert_eq!(tick(7, 30_100, None), Some(12_000));
        assert_eq!(tick(8, 30_200, Some(30_150)), Some(30_150));
    }

    #[test]
    fn what_is_applied_late_counts_from_when_it_came() {
        let mut pulse = Pulse::default();
        pulse.came(1, 1_000);
        pulse.ticked(1, Some(1_000));
        for sequence in 2..2_000 {
            pulse.came(sequence, 1_000 + sequence);
        }
        for (sequence, beat_ms) in [(2, 1_000), (1_150, 2_101), (1_160, 2_101), (1_999, 2_901)] {
            pulse.ticked(sequence, None);
            let told = pulse.beat_ms().unwrap();
            assert!(told >= beat_ms - STEP_MS && told <= 1_000 + sequence, "{sequence}: {told}");
        }
        assert!(!pulse.is_lost(2_900 + PULSE_MS - STEP_MS) && pulse.is_lost(3_000 + PULSE_MS));
        for sequence in 2_000..200_000 {
            pulse.came(sequence, sequence * 200);
        }
        assert!(pulse.came.len() <= CAME_MAX);
    }
}
