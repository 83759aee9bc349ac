//! Tables of the incident store, beside those of the trail.

use redb::{Table, TableDefinition, WriteTransaction};

use super::mark::{self, StoreMark};
use crate::disk::raw::{RawTable, raw};
use crate::disk::rows::Rows;
use crate::trail;

/// Incidents in their stored form, by id.
pub(super) const INCIDENTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("incidents");
/// Ids of incidents that are not resolved.
pub(super) const LIVE: TableDefinition<'_, u128, ()> = TableDefinition::new("live");
/// Ids of real incidents that have ended, so that the oldest of them can go when there are too many.
pub(super) const ENDED: TableDefinition<'_, u128, ()> = TableDefinition::new("ended");
/// Ids of drills that have ended. They stand apart, so that they displace no real ones.
pub(super) const ENDED_DRILLS: TableDefinition<'_, u128, ()> = TableDefinition::new("ended_drills");
/// Attempts as JSON, by incident and number.
pub(super) const LEDGER: TableDefinition<'_, (u128, u32), &[u8]> = TableDefinition::new("ledger");
/// Highest sequence and those just below it of sealed calls, by key and vehicle. They outlast the incidents.
pub(super) const CALLS: TableDefinition<'_, (u64, &str), (u64, u64)> = TableDefinition::new("calls");

/// A set of incident ids.
pub(super) type IdTable<'txn> = Table<'txn, u128, ()>;

/// All tables of incidents, open for writing.
pub(super) struct IncidentTables<'txn> {
    pub(super) incidents: Table<'txn, u128, &'static [u8]>,
    pub(super) live: IdTable<'txn>,
    pub(super) ended: IdTable<'txn>,
    pub(super) ended_drills: IdTable<'txn>,
    pub(super) ledger: Table<'txn, (u128, u32), &'static [u8]>,
    pub(super) calls: Table<'txn, (u64, &'static str), (u64, u64)>,
}

impl<'txn> IncidentTables<'txn> {
    /// Opens the tables, which makes those that are not there yet.
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            incidents: txn.open_table(INCIDENTS)?,
            live: txn.open_table(LIVE)?,
            ended: txn.open_table(ENDED)?,
            ended_drills: txn.open_table(ENDED_DRILLS)?,
            ledger: txn.open_table(LEDGER)?,
            calls: txn.open_table(CALLS)?,
        })
    }
}

/// Makes all tables of the file, those of the trail as well. A store without a mark gets `mark`, or a new one.
pub(super) fn create(txn: &WriteTransaction, mark: Option<StoreMark>) -> Result<(), redb::Error> {
    IncidentTables::open(txn)?;
    mark::create(txn, mark)?;
    trail::create(txn)
}

/// Returns the tables of incidents as those whose rows are copied between nodes.
pub(super) fn raw_tables() -> Vec<Box<dyn RawTable>> {
    vec![raw(INCIDENTS), raw(LIVE), raw(ENDED), raw(ENDED_DRILLS), raw(CALLS), raw(LEDGER)]
}

/// Copies the tables of incidents.
pub(super) fn copy(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    rows.copy(INCIDENTS)?;
    rows.copy(LIVE)?;
    rows.copy(ENDED)?;
    rows.copy(ENDED_DRILLS)?;
    rows.copy(CALLS)?;
    rows.copy(LEDGER)
}
