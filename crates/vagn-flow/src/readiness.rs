//! Readiness: is the service fit to be used, and what should an operator know? The content of `/readyz`.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Obstacles and warnings, each under a name of its own.
#[derive(Debug, Default)]
pub struct Readiness {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Debug, Default, Clone)]
struct Notes {
    missing: BTreeMap<String, String>,
    warnings: BTreeMap<String, String>,
}

/// Readiness at one moment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReadyReport {
    /// True if nothing is missing.
    pub ready: bool,
    /// Parts that are not there yet or not any more, by name, with the reason.
    pub missing: BTreeMap<String, String>,
    /// Parts that work, but not as they should, by name.
    pub warnings: BTreeMap<String, String>,
}

impl Readiness {
    /// Notes that `name` is missing; until it is there the service is not ready. Returns true if the reason is new.
    pub fn missing(&self, name: impl Into<String>, why: impl Into<String>) -> bool {
        let why = why.into();
        self.notes.lock().missing.insert(name.into(), why.clone()) != Some(why)
    }

    /// Like [`missing`](Self::missing), but keeps the reason that is known already.
    pub fn missing_for_now(&self, name: impl Into<String>, why: impl Into<String>) {
        self.notes.lock().missing.entry(name.into()).or_insert_with(|| why.into());
    }

    /// Notes that `name` is there.
    pub fn present(&self, name: &str) {
        self.notes.lock().missing.remove(name);
        self.changed.notify_waiters();
    }

    /// Waits until nothing is missing.
    pub async fn ready(&self) {
        loop {
            let changed = self.changed.notified();
            if self.report().ready {
                return;
            }
            changed.await;
        }
    }

    /// Warns the operator until it is [cleared](Self::clear).
    pub fn warn(&self, name: impl Into<String>, what: impl Into<String>) {
        self.notes.lock().warnings.insert(name.into(), what.into());
    }

    /// Like [`warn`](Self::warn); returns true if there was no such warning.
    pub fn warn_first(&self, name: impl Into<String>, what: impl Into<String>) -> bool {
        self.notes.lock().warnings.insert(name.into(), what.into()).is_none()
    }

    /// Ends the warning `name`.
    pub fn clear(&self, name: &str) {
        self.notes.lock().warnings.remove(name);
    }

    /// Returns the readiness at this moment.
    pub fn report(&self) -> ReadyReport {
        let Notes { missing, warnings } = self.notes.lock().clone();
        ReadyReport { ready: missing.is_empty(), missing, warnings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_nothing_is_missing_and_warns_all_the_same() {
        let readiness = Readiness::default();
        readiness.missing("partition 0", "recovering");
        readiness.warn("emergency", "no target");
        assert!(!readiness.report().ready);
        readiness.present("partition 0");
        let report = readiness.report();
        assert!(report.ready);
        assert_eq!(report.warnings["emergency"], "no target");
    }
}
