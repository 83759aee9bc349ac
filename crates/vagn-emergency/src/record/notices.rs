//! Notices of an incident: what its targets were told, attempt by attempt.

use crate::record::attempt::Attempt;
use crate::record::delivery::Delivery;

/// Latest attempts that an incident carries with it; the ledger in the store has more.
const ATTEMPTS_KEPT: usize = 4;

/// Notices of one incident, and what became of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Notices {
    /// A notice went out before the incident was on disk, because the disk was slow or broken.
    pub unrecorded: bool,
    /// Attempts that have ended.
    pub attempts: u32,
    /// The latest of them.
    pub latest_attempts: Vec<Attempt>,
    /// Deliveries, one per target that has had its turn.
    pub deliveries: Vec<Delivery>,
    /// Number of messages after the first, to all targets together; the next one's key is made of it.
    pub follow_ups: u64,
}

impl Notices {
    /// Returns the delivery to `target`, which begins now if it has not yet.
    pub fn delivery(&mut self, target: &str, now_ms: i64) -> &mut Delivery {
        let known = self.deliveries.iter().position(|delivery| &*delivery.target == target);
        let at = known.unwrap_or_else(|| {
            self.deliveries.push(Delivery::new(target, now_ms));
            self.deliveries.len() - 1
        });
        &mut self.deliveries[at]
    }

    /// Returns the delivery to `target`, if it has begun.
    pub fn delivery_to(&self, target: &str) -> Option<&Delivery> {
        self.deliveries.iter().find(|delivery| &*delivery.target == target)
    }

    /// Learns what other notices of the same incident have come to: what a target has accepted is not sent again.
    pub(crate) fn learn(&mut self, other: &Self) {
        self.attempts = self.attempts.max(other.attempts);
        self.follow_ups = self.follow_ups.max(other.follow_ups);
        for theirs in other.deliveries.iter().filter(|delivery| delivery.accepted_ms.is_some()) {
            let ours = self.delivery(&theirs.target, theirs.engaged_ms);
            if ours.accepted_ms.is_none() {
                *ours = theirs.clone();
            }
        }
    }

    /// Counts an attempt that has ended, and keeps it among the latest.
    pub(crate) fn add(&mut self, attempt: Attempt) {
        // Not plus one: attempts at several targets run at once, and end in any order.
        self.attempts = self.attempts.max(attempt.number);
        if self.latest_attempts.len() == ATTEMPTS_KEPT {
            self.latest_attempts.remove(0);
        }
        self.latest_attempts.push(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::attempt::{Message, Outcome};

    #[test]
    fn counts_all_attempts_and_carries_the_latest() {
        let mut notices = Notices::default();
        for number in 1..=40 {
            notices.add(Attempt {
                number,
                target: "county".into(),
                message: Message::Opened,
                at_ms: 3,
                took_ms: 4,
                outcome: Outcome::Refused { status: 503, retry_after_s: None },
                next_ms: None,
            });
        }
        assert_eq!((notices.attempts, notices.latest_attempts.len()), (40, ATTEMPTS_KEPT));
        assert_eq!(notices.latest_attempts.last().unwrap().number, 40);
    }
}
