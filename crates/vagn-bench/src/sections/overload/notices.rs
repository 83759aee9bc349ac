//! The notices that `vagn sink` accepted.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::COPIES;
use super::WITHIN;
use super::alarms::vehicle_id;

/// A notice as it was first accepted.
pub(super) struct Notice {
    /// Arrival of the alarm, in ms since 1970.
    received_ms: i64,
    /// Age of the alarm when the notice was sent.
    pub(super) age_s: f64,
}

/// First notices by vehicle id, filled while the sink runs.
#[derive(Default)]
pub(super) struct Notices(Mutex<BTreeMap<String, Notice>>);

impl Notices {
    /// Reads the sink's output to its end.
    pub(super) fn listen(&self, output: impl BufRead) {
        for line in output.lines().map_while(Result::ok) {
            if let Some((vehicle_id, notice)) = read(&line) {
                self.lock().entry(vehicle_id).or_insert(notice);
            }
        }
    }

    /// Waits until so many vehicles have one, or the time is up.
    pub(super) fn wait_for(&self, vehicles: usize) {
        let started = Instant::now();
        while self.lock().len() < vehicles && started.elapsed() < WITHIN {
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Notice>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(line: &str) -> Option<(String, Notice)> {
    let value: Value = serde_json::from_str(line).ok()?;
    if value["outcome"] != "accepted" {
        return None;
    }
    let call = &value["call"];
    let received: jiff::Timestamp = call["received_at"].as_str()?.parse().ok()?;
    let notice = Notice { received_ms: received.as_millisecond(), age_s: call["age_s"].as_f64()? };
    Some((call["vehicle_id"].as_str()?.to_owned(), notice))
}

/// Index of the copy that caused the notice: the last one that had been sent when the alarm was received.
pub(super) fn first_copy(
    notices: &BTreeMap<String, Notice>,
    vehicle: usize,
    sent_ms: &[[i64; COPIES]],
) -> Option<usize> {
    let received_ms = notices.get(&vehicle_id(vehicle))?.received_ms;
    sent_ms[vehicle].iter().rposition(|sent_ms| *sent_ms <= received_ms + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_copy_that_was_received_first() {
        for (received_ms, want) in [(1000, Some(0)), (1990, Some(0)), (2000, Some(1)), (9000, Some(2))] {
            let notices = [(vehicle_id(0), Notice { received_ms, age_s: 0.0 })].into();
            assert_eq!(first_copy(&notices, 0, &[[1000, 2000, 3000]]), want);
        }
        assert_eq!(first_copy(&BTreeMap::new(), 0, &[[1000, 2000, 3000]]), None);
    }

    #[test]
    fn reads_what_the_sink_prints() {
        let line = r#"{"outcome":"accepted","call":{"vehicle_id":"a","received_at":"1970-01-01T00:00:01.500Z","age_s":0.004}}"#;
        let (id, notice) = read(line).unwrap();
        assert_eq!((id.as_str(), notice.received_ms, notice.age_s), ("a", 1500, 0.004));
        assert!(read(&line.replace("accepted", "failed")).is_none());
    }
}
