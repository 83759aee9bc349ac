//! Copies between the stores of a cluster's nodes, piece by piece, and the *rest*: what a store had that the copy in its place does not have.

use std::collections::BTreeMap;
use std::io::Read;

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    TableError, WriteTransaction,
};
use sha2::{Digest, Sha256};

use super::schema::INCIDENTS;
use super::{Store, StoreError, groups, schema};
use crate::disk::raw::{Place, RawTable, piece, put_all};
use crate::disk::rows::Rows;
use crate::id::IncidentId;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::rest::parts_of;
use crate::trail::{self, Event};

/// Parts of the rest, by the order in which they came: each with its name.
const REST: TableDefinition<'static, u64, (u128, &[u8])> = TableDefinition::new("rest");

/// Order of each part by its name.
const REST_NAMES: TableDefinition<'static, u128, u64> = TableDefinition::new("rest_names");

/// The rest, open for writing.
pub(super) struct RestTables<'txn> {
    rest: Table<'txn, u64, (u128, &'static [u8])>,
    names: Table<'txn, u128, u64>,
}

impl<'txn> RestTables<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self { rest: txn.open_table(REST)?, names: txn.open_table(REST_NAMES)? })
    }

    /// Puts in what is known of an incident, behind all that is there. `now` is the incident as the store has it from now on. A part that is there
    /// already stays as it is.
    pub(super) fn put(&mut self, knew: &Draft, now: Option<Incident>) -> Result<(), redb::Error> {
        for part in parts_of(knew, now) {
            let name = name_of(&part);
            if self.names.get(name)?.is_none() {
                let order = self.rest.last()?.map_or(0, |(order, _)| order.value()) + 1;
                self.names.insert(name, order)?;
                self.rest.insert(order, (name, part.as_slice()))?;
            }
        }
        Ok(())
    }
}

/// A picture of a store at one mark, of which pieces are given.
pub(crate) struct Picture {
    txn: ReadTransaction,
    /// The mark, as the store has it.
    pub(crate) mark: Vec<u8>,
    tables: Vec<Box<dyn RawTable>>,
    /// Where each piece begins that was named so far.
    places: Vec<Place>,
}

/// A piece, and the name of the place where the next one begins.
pub(crate) type Piece = (Vec<u8>, Option<Vec<u8>>);

/// The first parts of a rest by their names, and whether there are no more.
pub(crate) type RestRead = (Vec<(u128, Vec<u8>)>, bool);

impl Picture {
    /// Returns up to `max` bytes from a place on that an earlier piece has named, or from the beginning; `None` if none has.
    pub(crate) fn piece(&mut self, from: &[u8], max: usize) -> Result<Option<Piece>, StoreError> {
        let at = match from.try_into().map(u64::from_be_bytes) {
            Ok(at) => at as usize,
            Err(_) if from.is_empty() => 0,
            Err(_) => return Ok(None),
        };
        let Some(place) = self.places.get(at) else { return Ok(None) };
        let (bytes, next) = piece(&self.tables, &self.txn, place, max).map_err(StoreError::Failed)?;
        let next = next.map(|next| {
            if self.places.len() == at + 1 {
                self.places.push(next);
            }
            (at as u64 + 1).to_be_bytes().to_vec()
        });
        Ok(Some((bytes, next)))
    }
}

/// Tables that a copy has: all but what a store keeps for itself.
fn tables() -> Vec<Box<dyn RawTable>> {
    schema::raw_tables().into_iter().chain(trail::raw_tables()).chain(groups::raw_tables()).collect()
}

impl Store {
    /// Returns a picture of the store as it is now; `None` while it has no mark.
    pub(crate) fn picture(&self) -> Result<Option<Picture>, StoreError> {
        let txn = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        let Some(mark) = groups::mark(&txn).map_err(StoreError::Failed)? else { return Ok(None) };
        Ok(Some(Picture { txn, mark, tables: tables(), places: vec![Place::default()] }))
    }

    /// Puts a copy in place of all that the store has, with this mark, and what only the store had into the rest: all or nothing, and on disk when it
    /// returns.
    pub(crate) fn take_copy(&self, stream: &mut impl Read, mark: &[u8]) -> Result<(), StoreError> {
        let _journal = self.journal.try_lock().ok_or(StoreError::Busy)?;
        let before = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        let txn = self.begin()?;
        let mut put = || -> Result<(), redb::Error> {
            let tables = tables();
            tables.iter().try_for_each(|table| table.clear(&txn))?;
            put_all(&tables, &txn, stream)?;
            groups::set_mark(&txn, mark)?;
            self.put_rest(&before, &txn)
        };
        put().map_err(StoreError::Failed)?;
        txn.commit().map_err(|err| StoreError::Failed(err.into()))
    }

    fn put_rest(&self, before: &ReadTransaction, txn: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let mut lacking: BTreeMap<IncidentId, Vec<Event>> = BTreeMap::new();
        for event in trail::not_in(before, txn)? {
            if let Some(id) = event.subject.incident() {
                lacking.entry(id).or_default().push(event);
            }
        }
        let had = match before.open_table(INCIDENTS) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            opened => opened?,
        };
        let (has, mut rest) = (txn.open_table(INCIDENTS)?, RestTables::open(txn)?);
        for row in had.iter()? {
            let (id, record) = row?;
            let now = has.get(id.value())?;
            let events = lacking.remove(&IncidentId::from_u128(id.value())).unwrap_or_default();
            if events.is_empty() && now.as_ref().is_some_and(|now| now.value() == record.value()) {
                continue;
            }
            let Some(incident) = self.read(id.value(), record.value()) else { continue };
            let now = now.and_then(|now| self.read(id.value(), now.value()));
            rest.put(&Draft { events, ..Draft::of_record(incident) }, now)?;
        }
        Ok(())
    }

    /// Returns the first parts of the rest.
    pub(crate) fn rest(&self, max: usize) -> Result<RestRead, StoreError> {
        let read = || -> Result<RestRead, redb::Error> {
            let rest = match self.db.begin_read()?.open_table(REST) {
                Err(TableError::TableDoesNotExist(_)) => return Ok((Vec::new(), true)),
                opened => opened?,
            };
            let mut parts = Vec::new();
            for row in rest.iter()?.take(max) {
                let (_, row) = row?;
                let (name, part) = row.value();
                parts.push((name, part.to_vec()));
            }
            let is_end = rest.len()? <= parts.len() as u64;
            Ok((parts, is_end))
        };
        read().map_err(StoreError::Failed)
    }

    /// Lets parts of the rest go, which the trail has.
    pub(crate) fn drop_rest(&self, parts: &[u128]) -> Result<(), StoreError> {
        let txn = self.begin()?;
        let drop_all = || -> Result<(), redb::Error> {
            let (mut rest, mut names) = (txn.open_table(REST)?, txn.open_table(REST_NAMES)?);
            for name in parts {
                let order = names.remove(name)?.map(|order| order.value());
                if let Some(order) = order {
                    rest.remove(order)?;
                }
            }
            Ok(())
        };
        drop_all().map_err(StoreError::Failed)?;
        txn.commit().map_err(|err| StoreError::Failed(err.into()))
    }
}

/// Copies the tables of the rest, for a backup.
pub(super) fn copy(rows: &mut Rows<'_>) -> Result<(), redb::Error> {
    rows.copy(REST)?;
    rows.copy(REST_NAMES)
}

/// Returns the name of a part: the first half of its SHA-256, so that it is the same in each run.
fn name_of(part: &[u8]) -> u128 {
    let hash: [u8; 32] = Sha256::digest(part).into();
    let (half, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
    u128::from_be_bytes(*half)
}
