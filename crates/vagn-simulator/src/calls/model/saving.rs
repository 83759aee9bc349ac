//! Saving: groups that come into a machine's store, and alarms that it keeps for its own door.

use std::sync::Arc;

use vagn_cluster::DiskFault;
use vagn_cluster::trail::{AlarmId, KeptAlarm, Mark, TrailEvent};

use super::Model;
use super::store::Store;
use crate::agenda::MILLI;
use crate::calls::world::{Due, World};

impl World<Model> {
    /// Writes to a machine's store, unless its disk is full.
    pub(super) fn write<T>(&self, id: usize, change: impl FnOnce(&mut Store) -> T) -> Result<(), DiskFault> {
        let mut store = self.machines[id].own.store.borrow_mut();
        if store.full {
            return Err(DiskFault::Full);
        }
        change(&mut store);
        Ok(())
    }

    pub(crate) fn saved(&mut self, id: usize, run: u64, mark: Mark, groups: &[Arc<[u8]>]) {
        if self.machines[id].run != run {
            return;
        }
        let result = self.write(id, |store| store.apply(mark, groups));
        self.forget_what_is_over(id);
        self.event(id, Some(run), 0, TrailEvent::Saved(result));
    }

    pub(crate) fn read_kept(&mut self, id: usize, after: Option<AlarmId>, max: usize) {
        let (alarms, is_end) = {
            let store = self.machines[id].own.store.borrow();
            let behind = store.kept.iter().filter(|(alarm, _)| after.is_none_or(|after| **alarm > after));
            let alarms: Vec<_> = behind
                .take(max)
                .map(|(alarm, (bytes, note))| KeptAlarm {
                    alarm: *alarm,
                    bytes: bytes.clone(),
                    note: note.clone(),
                })
                .collect();
            let last = alarms.last().map(|kept| kept.alarm).or(after);
            let is_end = store.kept.keys().next_back().copied() <= last;
            (alarms, is_end)
        };
        let run = Some(self.machines[id].run);
        let event = TrailEvent::Kept { alarms, is_end };
        self.agenda.after(MILLI, Due::Event { to: id, run, request: 0, event });
    }
}
