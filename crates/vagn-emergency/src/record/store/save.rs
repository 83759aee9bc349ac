//! Saving: drafts go in, all or none, and the oldest ended incidents go out.

use std::sync::atomic::Ordering;

use redb::{ReadableTable, ReadableTableMetadata, WriteTransaction};

use super::keeper::LatestSave;
use super::schema::{IdTable, IncidentTables};
use super::{Store, StoreError, mark};
use crate::record::attempt::Attempt;
use crate::record::call_window::CallWindow;
use crate::record::draft::Draft;
use crate::record::journal::{JournalEntry, content_of};
use crate::record::stored;
use crate::trail::{self, Head, Salts};

/// Latest attempts that the ledger keeps of one incident.
const LEDGER_KEPT: u32 = 1_000;

/// Real incidents that are kept for each drill: drills tell little once they have ended.
const REAL_PER_DRILL: u64 = 20;

/// Ended incidents that one save removes at most, so that no save takes long.
const REMOVED_AT_ONCE: u64 = 256;

impl Store {
    /// Writes these drafts, all or none, and returns the new head of the trail when they are on disk, in the journal too.
    /// There is no other way into the store.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when an earlier save has not returned; [`StoreError::Failed`] when the disk would not.
    pub fn save(&self, drafts: &[Draft]) -> Result<Head, StoreError> {
        // Neither waits: an earlier save that hangs in a sync must not take this thread as well.
        let mut journal = self.journal.try_lock().ok_or(StoreError::Busy)?;
        let txn = self.begin()?;
        let (save, head) = self.write_new(&txn, drafts)?;
        IncidentTables::open(&txn)
            .and_then(|mut tables| tables.prune(self.kept_now()))
            .map_err(StoreError::Failed)?;
        let number = save.number;
        journal.append(save);
        journal.commit(txn, number).map_err(|err| StoreError::Failed(err.into()))?;
        Ok(head)
    }

    /// Notes whether the wall clock may be wrong. Ids carry its time, and the oldest incidents go by them, so under a wrong clock
    /// just those of today might go. Until it is believed, twice as many are kept.
    pub(crate) fn doubt_clock(&self, is_doubted: bool) {
        self.is_clock_doubted.store(is_doubted, Ordering::Relaxed);
    }

    fn kept_now(&self) -> u64 {
        let is_doubted = self.is_clock_doubted.load(Ordering::Relaxed);
        if is_doubted { self.ended_kept.saturating_mul(2) } else { self.ended_kept }
    }

    /// Writes a new save. Returns it as the journal is to have it, and the head of the trail.
    pub(super) fn write_new(
        &self,
        txn: &WriteTransaction,
        drafts: &[Draft],
    ) -> Result<(LatestSave, Head), StoreError> {
        let before = trail::head(txn).map_err(StoreError::Failed)?;
        let number = mark::count(txn).map_err(StoreError::Failed)?;
        let mut salts = Salts::default();
        let head = self.write(txn, drafts, &mut salts).map_err(StoreError::Failed)?;
        Ok((LatestSave { number, content: content_of(before, head, &salts, drafts) }, head))
    }

    /// Writes a save of the journal again. Returns the head of the trail.
    pub(super) fn write_again(
        &self,
        txn: &WriteTransaction,
        entry: &JournalEntry,
    ) -> Result<Head, StoreError> {
        mark::set(txn, entry.number).map_err(StoreError::Failed)?;
        let mut salts = entry.salts.clone().again();
        self.write(txn, &entry.drafts, &mut salts).map_err(StoreError::Failed)
    }

    pub(super) fn begin(&self) -> Result<WriteTransaction, StoreError> {
        match self.db.try_begin_write() {
            Err(redb::TransactionError::WouldBlock) => Err(StoreError::Busy),
            begun => begun.map_err(|err| StoreError::Failed(err.into())),
        }
    }

    pub(super) fn write(
        &self,
        txn: &WriteTransaction,
        drafts: &[Draft],
        salts: &mut Salts,
    ) -> Result<Head, redb::Error> {
        let mut tables = IncidentTables::open(txn)?;
        for draft in drafts {
            tables.put(draft)?;
        }
        drop(tables);
        let events = drafts.iter().flat_map(|draft| &draft.events);
        trail::append_with(txn, events, trail::KEPT, salts)
    }
}

impl IncidentTables<'_> {
    fn put(&mut self, draft: &Draft) -> Result<(), redb::Error> {
        let incident = &draft.incident;
        let id = incident.id.as_u128();
        self.incidents.insert(id, stored::to_bytes(incident).as_slice())?;
        let ended = if incident.drill { &mut self.ended_drills } else { &mut self.ended };
        if incident.is_resolved() {
            move_id(id, &mut self.live, ended)?;
        } else {
            move_id(id, ended, &mut self.live)?;
        }
        for attempt in &draft.attempts {
            self.put_attempt(id, attempt)?;
        }
        draft.calls.iter().try_for_each(|window| self.put_window(&incident.vehicle_id, *window))
    }

    /// Writes what was taken of a vehicle's sealed calls, with what is there: two incidents of it may tell of the same key.
    fn put_window(&mut self, vehicle_id: &str, window: CallWindow) -> Result<(), redb::Error> {
        let key_id = window.key_id;
        let key = (u64::from_be_bytes(key_id.0), vehicle_id);
        let mut merged = window;
        if let Some(kept) = self.calls.get(key)? {
            let (highest, taken) = kept.value();
            merged.merge(CallWindow::of_parts(key_id, highest, taken));
        }
        self.calls.insert(key, merged.parts())?;
        Ok(())
    }

    fn put_attempt(&mut self, id: u128, attempt: &Attempt) -> Result<(), redb::Error> {
        let row = serde_json::to_vec(attempt).expect("numbers and texts can always be written");
        self.ledger.insert((id, attempt.number), row.as_slice())?;
        // Attempts are numbered one after the other, so one old row goes for each new one.
        if let Some(old) = attempt.number.checked_sub(LEDGER_KEPT) {
            self.ledger.remove((id, old))?;
        }
        Ok(())
    }

    /// Removes the oldest of too many ended incidents.
    pub(super) fn prune(&mut self, ended_kept: u64) -> Result<(), redb::Error> {
        let drills_kept = (ended_kept / REAL_PER_DRILL).max(1);
        let mut oldest = take_oldest(&mut self.ended, ended_kept)?;
        oldest.extend(take_oldest(&mut self.ended_drills, drills_kept)?);
        for id in oldest {
            self.incidents.remove(id)?;
            self.ledger.retain_in((id, 0)..=(id, u32::MAX), |_, _| false)?;
        }
        Ok(())
    }
}

fn move_id(id: u128, from: &mut IdTable<'_>, to: &mut IdTable<'_>) -> Result<(), redb::Error> {
    to.insert(id, ())?;
    from.remove(id)?;
    Ok(())
}

/// Takes the oldest ids out of a table that has more than `kept`, a bounded number of them.
fn take_oldest(ids: &mut IdTable<'_>, kept: u64) -> Result<Vec<u128>, redb::Error> {
    let surplus = ids.len()?.saturating_sub(kept).min(REMOVED_AT_ONCE);
    let mut oldest = Vec::new();
    for _ in 0..surplus {
        oldest.extend(ids.pop_first()?.map(|(id, _)| id.value()));
    }
    Ok(oldest)
}
