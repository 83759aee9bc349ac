//! Gathering: how long a busy receiver naps so that more packets wait when it looks again.
//!
//! Waking for each packet costs two to three times what a packet out of a full queue costs. An idle receiver waits in
//! the kernel and wakes at once; it gains nothing from a nap. Pure: packets and times in, a nap out.

use std::time::Duration;

/// Longest nap; adds at most this to the age of a position.
pub(super) const NAP_MAX: Duration = Duration::from_millis(10);

/// A shorter nap gathers too little for what the timer costs.
pub(super) const NAP_MIN: Duration = Duration::from_micros(500);

/// Below this rate, in packets per second, waking for each costs next to nothing.
const BUSY_RATE: f64 = 1_000.0;

/// Packets a nap should gather: enough for eight receives. At 250 000/s that is 2 ms, which took the cost of a packet from
/// 774 ns (500 µs) to 616 ns.
const TARGET: f64 = 512.0;

/// Size that the kernel books for a small datagram, in bytes.
const PACKET_COST: usize = 768;

/// A nap may fill this part of the buffer, so that a rate that quadruples meanwhile loses nothing.
const BUFFER_SHARE: usize = 4;

/// Time over which the rate is averaged, in seconds.
const MEMORY: f64 = 0.02;

/// The rate so far, and what to do about it.
#[derive(Debug)]
pub(super) struct Gather {
    target: f64,
    rate: f64,
}

impl Gather {
    /// For a socket whose buffer the kernel reports as `buffer_bytes`.
    pub(super) fn new(buffer_bytes: usize) -> Self {
        let fits = (buffer_bytes / PACKET_COST / BUFFER_SHARE) as f64;
        Self { target: TARGET.min(fits), rate: 0.0 }
    }

    /// Takes in that `packets` came in the time `since` the last call, and says how long to nap now. `more` says that
    /// the last call to the kernel filled up: then the rest already waits and nothing needs gathering.
    pub(super) fn nap(&mut self, packets: usize, since: Duration, more: bool) -> Option<Duration> {
        let window = since.as_secs_f64() + MEMORY;
        self.rate = (self.rate * MEMORY + packets as f64) / window;
        if more || self.rate < BUSY_RATE {
            return None;
        }
        let nap = Duration::from_secs_f64(self.target / self.rate);
        (nap >= NAP_MIN).then(|| nap.min(NAP_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 16 << 20;
    const DEFAULT: usize = 212_992;

    /// Feeds a steady rate in steps of 2 ms and returns the last nap, in microseconds.
    fn steady(buffer_bytes: usize, per_second: usize) -> Option<u128> {
        let mut gather = Gather::new(buffer_bytes);
        let step = Duration::from_millis(2);
        let naps = (0..500).map(|_| gather.nap(per_second / 500, step, false));
        naps.last().flatten().map(|nap| nap.as_micros())
    }

    #[track_caller]
    fn check(buffer_bytes: usize, per_second: usize, micros: Option<u128>) {
        let got = steady(buffer_bytes, per_second);
        let near = match (got, micros) {
            (Some(got), Some(want)) => got.abs_diff(want) <= 1 + want / 50,
            (got, want) => got == want,
        };
        assert!(near, "{per_second}/s into {buffer_bytes} bytes: {got:?}, not {micros:?}");
    }

    #[test]
    fn naps_longer_the_slower_packets_come_and_not_at_all_when_idle() {
        check(LARGE, 0, None);
        check(LARGE, 500, None);
        check(LARGE, 5_000, Some(10_000));
        check(LARGE, 64_000, Some(8_000));
        check(LARGE, 128_000, Some(4_000));
        check(LARGE, 250_000, Some(2_048));
        check(LARGE, 1_000_000, Some(512));
        check(LARGE, 2_000_000, None);
    }

    #[test]
    fn never_naps_a_small_buffer_full() {
        check(DEFAULT, 5_000, Some(10_000));
        check(DEFAULT, 100_000, Some(690));
        check(DEFAULT, 250_000, None);
        check(0, 250_000, None);
    }

    #[test]
    fn takes_what_already_waits_without_a_nap() {
        let mut gather = Gather::new(LARGE);
        assert_eq!(gather.nap(10_000, Duration::from_millis(10), true), None);
        assert!(gather.nap(63, Duration::from_millis(1), false).is_some());
    }

    #[test]
    fn is_idle_again_after_silence() {
        let mut gather = Gather::new(LARGE);
        assert!(gather.nap(10_000, Duration::from_millis(10), false).is_some());
        assert_eq!(gather.nap(1, Duration::from_secs(60), false), None);
        assert_eq!(gather.nap(1, Duration::ZERO, false), None);
    }
}
