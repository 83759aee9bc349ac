//! Mood of a target: whether it accepts notices, so that the log hears of a change once and not once per notice.

use std::time::Duration;

use tracing::{info, warn};

use crate::notify::target::Target;
use crate::record::attempt::Outcome;

/// Shortest time between two log messages that one target fails.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Mood of one target, as the log knows it.
#[derive(Default)]
pub(crate) struct TargetMood {
    /// True from the message that the target fails until the message that it works again.
    failing: bool,
    /// Time of the latest message that it fails, on the monotonic clock.
    told: Option<Duration>,
}

/// A change for the log.
#[derive(Debug, PartialEq, Eq)]
enum MoodChange {
    Fails,
    WorksAgain,
}

impl TargetMood {
    /// Logs the change, if any, that an outcome at `now` brings.
    pub(crate) fn hear(&mut self, target: &Target, outcome: &Outcome, now: Duration) {
        match self.change(outcome.accepted(), now) {
            Some(MoodChange::Fails) => {
                warn!(%target, ?outcome, "emergency calls are not accepted; trying again");
            }
            Some(MoodChange::WorksAgain) => info!(%target, "emergency calls are accepted again"),
            None => {}
        }
    }

    fn change(&mut self, accepted: bool, now: Duration) -> Option<MoodChange> {
        // A target may refuse every other notice.
        let may_tell = self.told.is_none_or(|told| now.saturating_sub(told) >= TOLD_EVERY);
        let change = match (self.failing, accepted) {
            (true, true) => MoodChange::WorksAgain,
            (false, false) if may_tell => MoodChange::Fails,
            _ => return None,
        };
        self.failing = !accepted;
        if self.failing {
            self.told = Some(now);
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_flaps_is_told_of_once_a_minute() {
        let mut mood = TargetMood::default();
        let mut change = |second, accepted| mood.change(accepted, Duration::from_secs(second));
        assert_eq!(change(0, true), None, "nothing was wrong");
        assert_eq!((change(1, false), change(2, false)), (Some(MoodChange::Fails), None));
        assert_eq!((change(3, true), change(4, true)), (Some(MoodChange::WorksAgain), None));
        assert!((5..61).all(|second| change(second, second % 2 == 0).is_none()));
        assert_eq!(
            (change(61, false), change(62, true)),
            (Some(MoodChange::Fails), Some(MoodChange::WorksAgain))
        );
    }
}
