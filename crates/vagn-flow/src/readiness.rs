//! Whether the service is fit to be used, and what an operator should know about it: the content of `/readyz`.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What stands in the way, and what to worry about, each under a name of its own.
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
    /// Nothing is missing.
    pub ready: bool,
    /// What is not there yet or not any more, by name.
    pub missing: BTreeMap<String, String>,
    /// What works, but not as it should, by name.
    pub warnings: BTreeMap<String, String>,
}

impl Readiness {
    /// The service is not ready while `name` is missing. True when that is news.
    pub fn missing(&self, name: impl Into<String>, why: impl Into<String>) -> bool {
        let why = why.into();
        self.notes.lock().missing.insert(name.into(), why.clone()) != Some(why)
    }

    /// The same, unless a reason is known already.
    pub fn missing_for_now(&self, name: impl Into<String>, why: impl Into<String>) {
        self.notes.lock().missing.entry(name.into()).or_insert_with(|| why.into());
    }

    /// `name` is not missing any more.
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

    /// Something that an operator should know, until it is over.
    pub fn warn(&self, name: impl Into<String>, what: impl Into<String>) {
        self.notes.lock().warnings.insert(name.into(), what.into());
    }

    /// The same; true when nothing like it was known.
    pub fn warn_first(&self, name: impl Into<String>, what: impl Into<String>) -> bool {
        self.notes.lock().warnings.insert(name.into(), what.into()).is_none()
    }

    /// The warning `name` is over.
    pub fn clear(&self, name: &str) {
        self.notes.lock().warnings.remove(name);
    }

    /// How things stand now.
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
