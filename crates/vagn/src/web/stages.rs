//! The stages of the service as the web sees them: questions go to the query pool, deletions to the storage of the vehicle's
//! partition.

use std::sync::Arc;
use std::time::Duration;

use vagn_otp::Addr;
use vagn_store::{BBox, Hit, Nearby, Vehicle, VehicleIdBuf, partition};

use super::services::{Asked, Unavailable, Vehicles};
use crate::query::{Queries, Unanswered};
use crate::storage::{Delete, Storage};

/// How long a deletion may take, its time in the storage's mailbox included. It waits behind writes, and for the disk.
const DELETE_WITHIN: Duration = Duration::from_secs(5);

/// The fleet, behind its pool and its storages.
pub struct FleetStages {
    /// Answers questions.
    pub queries: Queries,
    /// One per partition, in order.
    pub storages: Arc<[Addr<Storage>]>,
}

impl Vehicles for FleetStages {
    fn nearby(&self, question: Nearby) -> Asked<'_, Vec<Hit>> {
        Box::pin(async move { Ok(self.queries.nearby(question).await?) })
    }

    fn inside(&self, bbox: BBox, limit: usize) -> Asked<'_, Vec<Vehicle>> {
        Box::pin(async move { Ok(self.queries.inside(bbox, limit).await?) })
    }

    fn one(&self, id: VehicleIdBuf) -> Asked<'_, Option<Vehicle>> {
        Box::pin(async move { Ok(self.queries.one(id).await?) })
    }

    fn delete(&self, id: VehicleIdBuf) -> Asked<'_, bool> {
        let storage = &self.storages[partition(id.key().hash(), self.storages.len())];
        Box::pin(async move {
            let deleted = storage.call(Delete(id), DELETE_WITHIN).await?;
            // The storage has logged why it could not.
            deleted.map_err(|_| Unavailable::Crashed)
        })
    }
}

impl From<Unanswered> for Unavailable {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotReady => Self::NotReady,
            Unanswered::Pool(err) => err.into(),
        }
    }
}
