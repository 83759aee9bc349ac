//! Queries: incidents, their attempts, and the trail.

use redb::{ReadTransaction, ReadableDatabase, ReadableTable};
use tracing::error;

use super::schema::{INCIDENTS, LEDGER, LIVE};
use super::{Store, StoreError};
use crate::id::IncidentId;
use crate::record::attempt::Attempt;
use crate::record::incident::Incident;
use crate::record::stored;
use crate::trail::{self, Ends, Entry, SubjectId};

/// Incidents that are read between two signs of life.
const READ_PER_BEAT: usize = 512;

/// Entries of the trail that are read of one incident.
pub(super) const TRAIL_READ: usize = 1_000;

impl Store {
    /// Returns all that is live and can be read, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn live(&self) -> Result<Vec<Incident>, StoreError> {
        self.read_live(&|| {})
    }

    /// Does the same, and gives signs of life meanwhile: there may be very many.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn read_live(&self, beat: &dyn Fn()) -> Result<Vec<Incident>, StoreError> {
        self.query(|txn| {
            let all = txn.open_table(INCIDENTS)?;
            let mut incidents = Vec::new();
            for row in txn.open_table(LIVE)?.iter()? {
                let id = row?.0.value();
                let record = all.get(id)?;
                if incidents.len().is_multiple_of(READ_PER_BEAT) {
                    beat();
                }
                incidents.extend(record.and_then(|record| self.read(id, record.value())));
            }
            Ok(incidents)
        })
    }

    /// Returns one incident.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, id: IncidentId) -> Result<Option<Incident>, StoreError> {
        self.query(|txn| {
            let record = txn.open_table(INCIDENTS)?.get(id.as_u128())?;
            Ok(record.and_then(|record| self.read(id.as_u128(), record.value())))
        })
    }

    /// Hands incidents older than `before` to `each`, newest first, until it returns false.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn newest_first(
        &self,
        before: Option<IncidentId>,
        mut each: impl FnMut(Incident) -> bool,
    ) -> Result<(), StoreError> {
        let end = before.map_or(u128::MAX, IncidentId::as_u128);
        self.query(|txn| {
            for row in txn.open_table(INCIDENTS)?.range(..end)?.rev() {
                let (id, record) = row?;
                if self.read(id.value(), record.value()).is_some_and(|incident| !each(incident)) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Returns the latest attempts of an incident, oldest first. One that makes no sense is passed over.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn ledger(&self, id: IncidentId) -> Result<Vec<Attempt>, StoreError> {
        let id = id.as_u128();
        self.query(|txn| {
            let mut attempts = Vec::new();
            for row in txn.open_table(LEDGER)?.range((id, 0)..=(id, u32::MAX))? {
                attempts.extend(serde_json::from_slice::<Attempt>(row?.1.value()).ok());
            }
            Ok(attempts)
        })
    }

    /// Returns the latest entries of an incident's trail, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn trail_of(&self, id: IncidentId) -> Result<Vec<Entry>, StoreError> {
        self.query(|txn| trail::of(txn, SubjectId::Incident(id), TRAIL_READ))
    }

    /// Returns up to `max` entries of the trail behind number `after`, oldest first, and where the trail begins and ends.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn trail(&self, after: u64, max: usize) -> Result<(Ends, Vec<Entry>), StoreError> {
        self.query(|txn| Ok((trail::ends(txn)?, trail::after(txn, after, max)?)))
    }

    pub(super) fn query<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let txn = self.db.begin_read().map_err(|err| StoreError::Failed(err.into()))?;
        read(&txn).map_err(StoreError::Failed)
    }

    /// Returns the incident in a record. A record that makes no sense is logged once, and must not hide the others.
    pub(super) fn read(&self, id: u128, record: &[u8]) -> Option<Incident> {
        let read = stored::from_bytes(record);
        if let Err(err) = &read
            && self.note_unreadable(id)
        {
            error!(incident_id = %IncidentId::from_u128(id), error = %err, "incident record cannot be read");
        }
        read.ok()
    }

    fn note_unreadable(&self, id: u128) -> bool {
        self.unreadable.lock().insert(id)
    }
}
