//! What the web asks, put to the stages that know: the query pool, the storages, the emergency lane.

use std::sync::Arc;
use std::time::Duration;

use vagn_otp::Addr;
use vagn_store::{BBox, Hit, Nearby, Vehicle, VehicleIdBuf, partition};

use crate::emergency::{EmergencyHandle, Filter, IncidentId, IncidentView, Page};
use crate::query::{Queries, Unanswered};
use crate::storage::{Delete, Storage};
use crate::web::services::{Asked, Incidents, Unavailable, Vehicles};

/// Longest a deletion may wait for its storage.
const DELETE_WITHIN: Duration = Duration::from_secs(5);
/// Longest a look at the incidents may take.
const INCIDENTS_WITHIN: Duration = Duration::from_secs(2);

/// The pool that reads, and the storages that write.
pub(super) struct LiveVehicles {
    pub(super) queries: Queries,
    pub(super) storages: Arc<[Addr<Storage>]>,
}

impl Vehicles for LiveVehicles {
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
            let deleted: Result<bool, String> = storage.call(Delete(id), DELETE_WITHIN).await?;
            // What stopped the storage is in its log and in /readyz; the caller can only come back later.
            deleted.map_err(|_| Unavailable::NotReady)
        })
    }
}

/// The emergency lane, read only.
pub(super) struct ListedIncidents(pub(super) EmergencyHandle);

impl Incidents for ListedIncidents {
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page> {
        Box::pin(async move { Ok(self.0.list(filter, limit, after, INCIDENTS_WITHIN).await?) })
    }

    fn one(&self, id: IncidentId) -> Asked<'_, Option<IncidentView>> {
        Box::pin(async move { Ok(self.0.get(id, INCIDENTS_WITHIN).await?) })
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
