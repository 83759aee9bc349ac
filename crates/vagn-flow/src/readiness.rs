//! Readiness: is the service fit to be used, for which purpose, and what should an operator know? The content of `/readyz`.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Purpose of the service that a missing part can make impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Take alarms in and notify the targets.
    TakeAlarms,
    /// Answer questions about the fleet.
    Ask,
    /// Store positions.
    Store,
}

impl Purpose {
    /// All purposes.
    pub const ALL: &[Self] = &[Self::TakeAlarms, Self::Ask, Self::Store];
    /// Purposes that need the whole fleet. Alarms do not: they are taken whatever becomes of positions.
    pub const FLEET: &[Self] = &[Self::Ask, Self::Store];
}

/// Obstacles and warnings, each under a name of its own.
#[derive(Debug, Default)]
pub struct Readiness {
    notes: Mutex<Notes>,
    changed: Notify,
}

#[derive(Debug, Default, Clone)]
struct Notes {
    missing: BTreeMap<String, Obstacle>,
    warnings: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Obstacle {
    why: String,
    blocks: &'static [Purpose],
    /// True where free space on the disk is all that lacks.
    no_space: bool,
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
    /// True if alarms are taken in and targets are notified.
    pub can_take_alarms: bool,
    /// True if questions about the fleet are answered.
    pub can_ask: bool,
    /// True if positions are stored.
    pub can_store: bool,
}

impl ReadyReport {
    /// Adds a part that is missing, and the purposes that this makes impossible.
    pub fn add_missing(&mut self, name: impl Into<String>, blocks: &[Purpose], why: impl Into<String>) {
        self.missing.insert(name.into(), why.into());
        self.ready = false;
        self.block(blocks);
    }

    /// Notes that these purposes are impossible.
    pub fn block(&mut self, purposes: &[Purpose]) {
        for purpose in purposes {
            match purpose {
                Purpose::TakeAlarms => self.can_take_alarms = false,
                Purpose::Ask => self.can_ask = false,
                Purpose::Store => self.can_store = false,
            }
        }
    }
}

impl Readiness {
    /// Notes that `name` is missing, which makes the purposes `blocks` impossible. Until it is there the service is not ready.
    /// Returns true if the reason is new.
    pub fn missing(
        &self,
        name: impl Into<String>,
        blocks: &'static [Purpose],
        why: impl Into<String>,
    ) -> bool {
        self.note(name.into(), Obstacle { why: why.into(), blocks, no_space: false })
    }

    /// Does as [`missing`](Self::missing), for a part that lacks nothing but free space on its disk.
    pub fn lacks_space(
        &self,
        name: impl Into<String>,
        blocks: &'static [Purpose],
        why: impl Into<String>,
    ) -> bool {
        self.note(name.into(), Obstacle { why: why.into(), blocks, no_space: true })
    }

    fn note(&self, name: String, obstacle: Obstacle) -> bool {
        self.notes.lock().missing.insert(name, obstacle.clone()) != Some(obstacle)
    }

    /// Tells if a part lacks free space on its disk.
    pub fn is_out_of_space(&self) -> bool {
        self.notes.lock().missing.values().any(|obstacle| obstacle.no_space)
    }

    /// Does as [`missing`](Self::missing), but keeps the reason that is known already.
    pub fn missing_for_now(
        &self,
        name: impl Into<String>,
        blocks: &'static [Purpose],
        why: impl Into<String>,
    ) {
        let mut notes = self.notes.lock();
        notes.missing.entry(name.into()).or_insert_with(|| Obstacle {
            why: why.into(),
            blocks,
            no_space: false,
        });
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

    /// Does as [`warn`](Self::warn). Returns true if there was no such warning.
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
        let mut report = ReadyReport {
            ready: true,
            missing: BTreeMap::new(),
            warnings,
            can_take_alarms: true,
            can_ask: true,
            can_store: true,
        };
        for (name, Obstacle { why, blocks, .. }) in missing {
            report.add_missing(name, blocks, why);
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_ready_when_nothing_is_missing_and_warns_all_the_same() {
        let readiness = Readiness::default();
        readiness.missing("partition 0", Purpose::FLEET, "recovering");
        readiness.warn("emergency", "no target");
        assert!(!readiness.report().ready);
        readiness.present("partition 0");
        let report = readiness.report();
        assert!(report.ready);
        assert_eq!(report.warnings["emergency"], "no target");
    }
    #[test]
    fn a_part_without_space_is_told_from_one_that_is_missing_for_another_reason() {
        let readiness = Readiness::default();
        readiness.missing("partition 0", &[Purpose::Store], "the disk failed");
        assert!(!readiness.is_out_of_space());
        assert!(readiness.lacks_space("partition 1", &[Purpose::Store], "full"));
        assert!(!readiness.lacks_space("partition 1", &[Purpose::Store], "full"), "no news");
        assert!(readiness.is_out_of_space() && !readiness.report().can_store);
        readiness.present("partition 1");
        assert!(!readiness.is_out_of_space());
    }

    #[test]
    fn a_missing_part_blocks_only_its_own_purposes() {
        let readiness = Readiness::default();
        readiness.missing("partition 0", &[Purpose::Store], "too little free space");
        let full = readiness.report();
        assert!(full.can_take_alarms && full.can_ask && !full.can_store && !full.ready);
        readiness.missing("partition 1", Purpose::FLEET, "recovering");
        let recovering = readiness.report();
        assert!(recovering.can_take_alarms && !recovering.can_ask);
        readiness.missing("service", Purpose::ALL, "stopping");
        assert!(!readiness.report().can_take_alarms);
    }
}
