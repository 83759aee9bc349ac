//! The questions of the API, put to the stages that know: the query pool, the storages, the emergency lane.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::info;
use vagn_cluster::NewChange;
use vagn_store::{Answer, BBox, Fleet, Hit, Nearby, Question, Sight, Vehicle, VehicleIdBuf, Whole};

use super::stages::Keeping;
use crate::cluster::NodeLink;
use crate::odd::{OddFleet, OddSince};
use crate::query::{Queries, Unanswered};
use crate::storage::Delete;
use vagn_api::services::{Asked, Found, Incidents, Look, Odd, Unavailable, Vehicles};
use vagn_emergency::show::feed::Feed;
use vagn_emergency::show::targets::TargetReport;
use vagn_emergency::{
    Detail, EmergencyHandle, Filter, IncidentId, Page, Raise, Raised, Request, RequestOutcome, ResolvedMany,
    Selection, TrailPage,
};
use vagn_flow::clock::Clock;
use vagn_live::{OpenIncidents, OpenVehicles};
use vagn_shard::FleetShard;
use vagn_wire::{Fate, VehicleId};

/// Longest a deletion may wait for its storage.
const DELETE_WITHIN: Duration = Duration::from_secs(5);
/// Longest a look at the incidents may take.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// Longest a person waits for what was done to be on disk.
const ACT_WITHIN: Duration = Duration::from_secs(5);

/// The pool that reads, and the storages that write.
pub(super) struct LiveVehicles {
    pub(super) queries: Queries,
    pub(super) fleet: Arc<Fleet>,
    pub(super) keeping: Keeping,
    pub(super) odd: OddFleet,
    pub(super) clock: Arc<dyn Clock>,
}

impl LiveVehicles {
    async fn ask<T>(
        &self,
        question: Question,
        take: fn(Answer) -> Option<T>,
    ) -> Result<Whole<T>, Unavailable> {
        let answer = self.queries.ask(question).await?;
        Ok(answer.map(|answer| take(answer).expect("an answer is of the kind of its question")))
    }
}

impl Vehicles for LiveVehicles {
    fn nearest(&self, sight: Sight, nearby: Nearby) -> Asked<'_, Whole<Vec<Hit>>> {
        Box::pin(self.ask(Question::Nearest { sight, nearby }, Answer::hits))
    }

    fn inside(&self, sight: Sight, bbox: BBox, limit: usize) -> Asked<'_, Whole<Vec<Vehicle>>> {
        Box::pin(self.ask(Question::Inside { sight, bbox, limit }, Answer::vehicles))
    }

    fn one(&self, sight: Sight, id: VehicleIdBuf) -> Asked<'_, Whole<Option<Vehicle>>> {
        Box::pin(self.ask(Question::One { sight, id }, Answer::vehicle))
    }

    fn find(&self, name: &'static str, look: Look) -> Asked<'_, Found> {
        if let Keeping::Cluster(cluster) = &self.keeping {
            cluster.looked_at();
        }
        Box::pin(async move { Ok(self.queries.find(name, move |fleet| look(fleet)).await?) })
    }

    fn delete(&self, id: VehicleIdBuf) -> Asked<'_, bool> {
        match &self.keeping {
            Keeping::Storages(storages) => {
                let storage = &storages[self.fleet.home(id.key())];
                Box::pin(async move {
                    let deleted: Result<bool, String> = storage.call(Delete(id), DELETE_WITHIN).await?;
                    // What stopped the storage is in its log and in /readyz; the caller can only come back later.
                    deleted.map_err(|_| Unavailable::NotReady)
                })
            }
            Keeping::Cluster(cluster) => Box::pin(async move { delete(&cluster.link, &id).await }),
        }
    }

    fn odd(&self, id: &VehicleIdBuf) -> Vec<Odd> {
        let odd = self.odd.of(self.fleet.home(id.key()), id, self.clock.now_ms()).into_iter();
        odd.map(|OddSince { oddity, since_ms, last_ms, reports }| Odd { oddity, since_ms, last_ms, reports })
            .collect()
    }
}

/// Deletes a vehicle in the shard that has it.
async fn delete(link: &NodeLink<FleetShard>, id: &VehicleIdBuf) -> Result<bool, Unavailable> {
    let deletion = NewChange::Deletion { vehicle_id: id.as_bytes().to_vec() };
    let fates = link.handle().and_then(|handle| handle.submit(vec![deletion]));
    let fates = fates.map_err(|_| Unavailable::NotReady)?;
    match timeout(DELETE_WITHIN, fates).await {
        Ok(Ok(fates)) => match fates.first() {
            Some(Fate::Stored) => Ok(true),
            Some(Fate::Shed | Fate::Failed) | None => Err(Unavailable::NotReady),
            Some(_) => Ok(false),
        },
        _ => Err(Unavailable::NotReady),
    }
}

/// The emergency lane.
pub(super) struct LiveIncidents(pub(super) EmergencyHandle);

impl Incidents for LiveIncidents {
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page> {
        Box::pin(async move { Ok(self.0.list(filter, limit, after, LOOK_WITHIN).await?) })
    }

    fn one(&self, id: IncidentId) -> Asked<'_, Option<Detail>> {
        Box::pin(async move { Ok(self.0.get(id, LOOK_WITHIN).await?) })
    }

    fn request(&self, id: IncidentId, request: Request) -> Asked<'_, RequestOutcome> {
        Box::pin(async move { Ok(self.0.act(id, request, ACT_WITHIN).await?) })
    }

    fn raise(&self, raise: Raise) -> Asked<'_, Raised> {
        Box::pin(async move {
            let (by, vehicle_id) = (raise.by.clone(), raise.vehicle_id.clone());
            let raised = self.0.raise(raise, ACT_WITHIN).await?;
            info!(%by, %vehicle_id, "a call that could not be proved is raised");
            Ok(raised)
        })
    }

    fn replay(&self, by: Box<str>) -> Asked<'_, u64> {
        Box::pin(async move {
            let replayed = self.0.replay(by.clone(), ACT_WITHIN).await?;
            info!(%by, replayed, "dead letters are sent again");
            Ok(replayed)
        })
    }

    fn resolve_many(
        &self,
        selection: Selection,
        by: Box<str>,
        note: Box<str>,
        dry_run: bool,
    ) -> Asked<'_, ResolvedMany> {
        Box::pin(async move {
            if dry_run {
                let matched = self.0.count(&selection);
                return Ok(ResolvedMany { matched, resolved: 0, recorded: true });
            }
            let done = self.0.resolve_many(selection, by.clone(), note, ACT_WITHIN).await?;
            info!(%by, resolved = done.resolved, matched = done.matched, "incidents are resolved together");
            Ok(done)
        })
    }

    fn trail(&self, after: u64, limit: usize) -> Asked<'_, Option<TrailPage>> {
        Box::pin(async move { Ok(self.0.trail(after, limit, LOOK_WITHIN).await?) })
    }

    fn feed(&self) -> Arc<Feed> {
        self.0.feed()
    }

    fn targets(&self) -> TargetReport {
        self.0.targets()
    }

    fn has_open_incident(&self, vehicle_id: &str) -> bool {
        self.0.is_calling_for_help(vehicle_id)
    }
}

impl OpenIncidents for LiveIncidents {
    fn vehicles(&self) -> OpenVehicles {
        let mut open = OpenVehicles::default();
        self.0.visit_open(|id, drill| {
            let ids = if drill { &mut open.drills } else { &mut open.real };
            ids.extend(VehicleId::new(id).ok().map(VehicleIdBuf::from));
        });
        open
    }
}

impl From<Unanswered> for Unavailable {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotReady => Self::NotReady,
            Unanswered::Pool(err) => err.into(),
            // Its node takes no more now.
            Unanswered::Node(_) => Self::Full,
        }
    }
}
