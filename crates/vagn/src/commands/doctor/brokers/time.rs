//! Clocks of brokers against that of this machine: a broker bounds when a report counts as arrived.

use std::collections::BTreeMap;

use vagn_nats::Streams;

use super::{Finding, some};

/// Largest difference that is no fault: reports count as arrived within a second of their shard's time.
const SLACK_MS: i64 = 1_000;

/// What a broker's clock showed at some time between the question and the answer.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) broker: String,
    pub(super) shown_ms: i64,
    pub(super) asked_ms: i64,
    pub(super) answered_ms: i64,
}

impl Reading {
    /// Returns by how much the broker is ahead at least; negative: behind.
    fn ahead_ms(&self) -> i64 {
        let Self { shown_ms, asked_ms, answered_ms, .. } = self;
        (shown_ms - answered_ms).max(0) + (shown_ms - asked_ms).min(0)
    }
}

/// Clocks of the leaders of streams, which were asked for between these times.
pub(super) fn of(streams: &Streams, asked_ms: i64, answered_ms: i64) -> Vec<Reading> {
    let told = streams.seen.iter().filter_map(|stream| {
        let (broker, shown_ms) = (stream.leader.clone()?, stream.now_ms?);
        Some(Reading { broker, shown_ms, asked_ms, answered_ms })
    });
    told.collect()
}

pub(super) fn judge(readings: &[Reading]) -> Vec<Finding> {
    let mut ahead: BTreeMap<&str, i64> = BTreeMap::new();
    for reading in readings {
        let known = ahead.entry(&reading.broker).or_default();
        if reading.ahead_ms().abs() > known.abs() {
            *known = reading.ahead_ms();
        }
    }
    if ahead.is_empty() {
        return Vec::new();
    }
    let off: Vec<String> = ahead
        .iter()
        .filter(|(_, ms)| ms.abs() > SLACK_MS)
        .map(|(name, ms)| {
            format!("{name} by {:.1} s {}", ms.abs() as f64 / 1e3, if *ms > 0 { "ahead" } else { "behind" })
        })
        .collect();
    if off.is_empty() {
        return vec![Finding::ok(format!(
            "brokers: clocks of {} agree with this machine's",
            some(ahead.keys().copied())
        ))];
    }
    let what =
        format!("brokers: clocks that differ from this machine's: {}", some(off.iter().map(String::as_str)));
    vec![Finding::warn(what, "keep the clocks of all machines right with chrony or systemd-timesyncd")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn check(shown_ms: i64, ahead_ms: i64, level: Level) {
        let reading = Reading { broker: "n1".into(), shown_ms, asked_ms: 10_000, answered_ms: 12_000 };
        assert_eq!(reading.ahead_ms(), ahead_ms);
        assert_eq!(judge(&[reading])[0].level(), level);
    }

    #[test]
    fn a_clock_that_no_delay_explains_is_found() {
        check(10_000, 0, Level::Ok);
        check(12_000, 0, Level::Ok);
        check(13_000, 1_000, Level::Ok);
        check(13_001, 1_001, Level::Warn);
        check(8_999, -1_001, Level::Warn);
        assert_eq!(judge(&[]), []);
    }
}
