//! Pauses before a restart, which grow while restarts do not help.

use std::time::Duration;

use crate::sync::time::Instant;

#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Backoff { min, max: max.max(min), next: min }
    }

    /// Returns the next pause. `up_since` is the time at which the failed incarnation became ready, if it did. After a run of
    /// `max` the pause is `min` again.
    pub(super) fn pause(&mut self, up_since: Option<Instant>, now: Instant) -> Duration {
        if up_since.is_some_and(|since| now.duration_since(since) >= self.max) {
            self.next = self.min;
        }
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_anew_after_a_calm_time() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(350));
        let now = Instant::now();
        let pauses: Vec<_> = (0..4).map(|_| backoff.pause(None, now)).collect();
        assert_eq!(pauses, [ms(100), ms(200), ms(350), ms(350)]);
        assert_eq!(backoff.pause(Some(now), now + ms(349)), ms(350), "not calm for long enough");
        assert_eq!(backoff.pause(Some(now), now + ms(350)), ms(100));
    }
}
