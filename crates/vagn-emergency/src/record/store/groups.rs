//! Groups of a cluster's trail in the store of one of its nodes, with the place in the trail up to which it has them.
//!
//! There is no journal here: the place is part of the same transaction, so a store that falls back a save reads that group again.

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableError,
};

use super::schema::IncidentTables;
use super::{Store, StoreError};
use crate::disk::raw::{RawTable, raw};
use crate::disk::rows::Rows;
use crate::id::IncidentId;
use crate::record::alarms::{AlarmState, BadState, DEEDS_KEPT, JOINS_MAX};
use crate::record::group::Group;
use crate::trail::{Head, Salts};

/// Alarms that were ever recorded, with the incident that each is about.
const ALARMS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("alarms");

/// The place in the trail, and the latest deeds.
const APPLIED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("applied");

const MARK: &str = "mark";
const DEEDS: &str = "deeds";

/// Alarms that are kept for each incident that is kept after its end: a vehicle that calls at two doors has two.
pub(crate) const ALARMS_PER_INCIDENT: u64 = 2;

/// Alarms that one save removes at most.
const REMOVED_AT_ONCE: u64 = 512;

/// What a store of a node says of the trail.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The mark that was saved with the last groups.
    pub(crate) mark: Option<Vec<u8>>,
    /// All alarms that it knows.
    pub(crate) alarms: Vec<(u128, AlarmState)>,
    /// The latest deeds, the last one last.
    pub(crate) deeds: Vec<u128>,
}

impl Store {
    /// Applies groups in their order, and notes the mark behind them: all or nothing, and on disk when it returns. Changes nothing where this
    /// mark is noted already: two lives of a writer may have the same groups. Returns the head of the trail of incidents.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when an earlier save has not returned; [`StoreError::Failed`] when the disk would not.
    pub(crate) fn apply(&self, groups: &[Group], mark: &[u8]) -> Result<Head, StoreError> {
        // An earlier save that hangs in a sync must not take this thread as well.
        let _journal = self.journal.try_lock().ok_or(StoreError::Busy)?;
        let txn = self.begin()?;
        if has_mark(&txn, mark).map_err(StoreError::Failed)? {
            return crate::trail::head(&txn).map_err(StoreError::Failed);
        }
        let write = || -> Result<Head, redb::Error> {
            let mut head = crate::trail::head(&txn)?;
            for group in groups {
                head = self.write(&txn, &group.drafts, &mut Salts::of_seed(group.salt))?;
                // By the doubt of the leader, so that all stores keep the same.
                let ended_kept = self.ended_kept.saturating_mul(if group.is_clock_doubted { 2 } else { 1 });
                IncidentTables::open(&txn)?.prune(ended_kept)?;
                self.put_names(&txn, group)?;
            }
            set_mark(&txn, mark)?;
            Ok(head)
        };
        let head = write().map_err(StoreError::Failed)?;
        txn.commit().map_err(|err| StoreError::Failed(err.into()))?;
        Ok(head)
    }

    fn put_names(&self, txn: &redb::WriteTransaction, group: &Group) -> Result<(), redb::Error> {
        let mut alarms = txn.open_table(ALARMS)?;
        for (alarm, state) in &group.alarms {
            alarms.insert(alarm.as_u128(), state.to_bytes().as_slice())?;
        }
        let most = self.ended_kept.saturating_mul(ALARMS_PER_INCIDENT);
        for _ in 0..alarms.len()?.saturating_sub(most).min(REMOVED_AT_ONCE) {
            alarms.pop_first()?;
        }
        if !group.deeds.is_empty() {
            let mut applied = txn.open_table(APPLIED)?;
            let mut deeds = applied.get(DEEDS)?.map_or_else(Vec::new, |bytes| read_deeds(bytes.value()));
            deeds.extend(&group.deeds);
            let surplus = deeds.len().saturating_sub(DEEDS_KEPT);
            let bytes: Vec<u8> = deeds[surplus..].iter().flat_map(|deed| deed.to_be_bytes()).collect();
            applied.insert(DEEDS, bytes.as_slice())?;
        }
        Ok(())
    }

    /// Returns the incident that took another one in: that which the alarm of this id is about. `None` for what was taken in by none, and on a
    /// single machine, which names no alarms.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(crate) fn joined_into(&self, id: IncidentId) -> Result<Option<IncidentId>, StoreError> {
        self.query(|txn| {
            let alarms = match txn.open_table(ALARMS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(None),
                opened => opened?,
            };
            let mut into = id;
            for _ in 0..JOINS_MAX {
                let Some(state) = alarms.get(into.as_u128())? else { break };
                let state = AlarmState::from_bytes(state.value()).map_err(unread)?;
                if state.incident == into {
                    break;
                }
                into = state.incident;
            }
            Ok((into != id).then_some(into))
        })
    }

    /// Returns what the store says of the trail.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(crate) fn applied(&self) -> Result<Applied, StoreError> {
        let txn = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        read(&txn).map_err(StoreError::Failed)
    }
}

pub(super) fn read(txn: &ReadTransaction) -> Result<Applied, redb::Error> {
    let mut found = Applied::default();
    let applied = match txn.open_table(APPLIED) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(found),
        opened => opened?,
    };
    found.mark = applied.get(MARK)?.map(|mark| mark.value().to_vec());
    found.deeds = applied.get(DEEDS)?.map_or_else(Vec::new, |bytes| read_deeds(bytes.value()));
    let alarms = match txn.open_table(ALARMS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(found),
        opened => opened?,
    };
    for row in alarms.iter()? {
        let (alarm, state) = row?;
        let state = AlarmState::from_bytes(state.value());
        let state = state.map_err(unread)?;
        found.alarms.push((alarm.value(), state));
    }
    Ok(found)
}

fn unread(_: BadState) -> redb::Error {
    redb::Error::Corrupted("an alarm cannot be read".into())
}

fn read_deeds(bytes: &[u8]) -> Vec<u128> {
    bytes.as_chunks::<16>().0.iter().map(|deed| u128::from_be_bytes(*deed)).collect()
}

/// Returns the tables as those whose rows are copied between nodes.
pub(super) fn raw_tables() -> Vec<Box<dyn RawTable>> {
    vec![raw(ALARMS), raw(APPLIED)]
}

fn has_mark(txn: &redb::WriteTransaction, mark: &[u8]) -> Result<bool, redb::Error> {
    Ok(txn.open_table(APPLIED)?.get(MARK)?.is_some_and(|noted| noted.value() == mark))
}

/// Notes the place in the trail.
pub(super) fn set_mark(txn: &redb::WriteTransaction, mark: &[u8]) -> Result<(), redb::Error> {
    txn.open_table(APPLIED)?.insert(MARK, mark)?;
    Ok(())
}

/// Opens the alarms that were ever recorded, by id.
pub(super) fn open_alarms(
    txn: &redb::WriteTransaction,
) -> Result<redb::Table<'_, u128, &'static [u8]>, redb::Error> {
    Ok(txn.open_table(ALARMS)?)
}

/// Copies the tables.
pub(super) fn copy(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    rows.copy(ALARMS)?;
    rows.copy(APPLIED)
}
