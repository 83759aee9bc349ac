//! A node of a cluster, as the rest of the service has it: what its driver of the trail is made of, and what persons ask of the one desk.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use tracing::warn;
use vagn_cluster::trail::{ALARM_MAX, DeedOutcome, Mark};
use vagn_nats::TrailHandle;
use vagn_otp::{Addr, CallError};
use vagn_seal::KeyId;

use crate::desk::{Refusal, Request, RequestKind};
use crate::id::IncidentId;
use crate::incidents::RequestOutcome;
use crate::lane::Attend;
use crate::notifier::NoticeSender;
use crate::notify::target::{Target, Targets};
use crate::office::alarm_form::AlarmForm;
use crate::office::deed_form::{Deed, DeedForm, DeedRefusal};
use crate::office::door_actor::{DoorActor, LookUp};
use crate::office::files::{ForgetWindows, IncidentFiles};
use crate::office::lane_office::LaneOffice;
use crate::office::room::Room;
use crate::office::trail_desk::TrailDesk;
use crate::raise::{Raise, Raised};
use crate::reader::{GetIncident, GetRecord, Reader};
use crate::record::attempt::MessageKey;
use crate::record::draft::Draft;
use crate::record::group::DeedResult;
use crate::record::progress::State;
use crate::selection::Selection;
use crate::show::view::Detail;

/// Incidents that one deed resolves: their ids have room in it, and what it changes in a few groups of the trail.
pub(crate) const DEED_IDS_MAX: usize = 200;

/// Longest wait until this node has applied what the trail has.
const APPLIED_WITHIN: Duration = Duration::from_secs(1);

/// The part of a node in the one desk of a cluster.
#[derive(Clone)]
pub struct NodeLane {
    pub(crate) room: Arc<Room>,
    pub(crate) sender: Arc<NoticeSender>,
    pub(crate) settings_hash: u64,
    pub(crate) jitter: u64,
}

/// What the door of a node and its files have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    /// Alarms of this door that the trail does not have yet.
    pub waiting: usize,
    /// Of these, those for which the leader has no room.
    pub without_room: usize,
    /// Of the others, those that have waited for 10 s.
    pub late: usize,
    /// Alarms of this door that are kept on disk until the trail has them.
    pub kept: usize,
    /// Alarms about which this node calls by itself now.
    pub calling_alone: usize,
    /// Last entry of the trail that the incident store has.
    pub applied: u64,
    /// Reason for which the incident store does not work.
    pub store_fault: Option<String>,
    /// Reason for which no alarm can be kept on disk.
    pub kept_fault: Option<String>,
}

/// Reason why it is not known whether something was done that a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeedError {
    /// This node did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// No leader of the cluster recorded it in time. It may be done all the same.
    #[error("no leader of the cluster recorded it in time; it may be done all the same")]
    NoLeader,
    /// Only the door of this node knows the incident: the leader does not have it yet. Nothing is done.
    #[error("the leader of the cluster does not have the incident yet; it is known to this node alone")]
    NotYet,
}

impl NodeLane {
    /// Returns desk and office for one run of the driver of the trail. The office tells what the store has once that is open.
    pub fn open(&self) -> (TrailDesk, LaneOffice) {
        let desk = TrailDesk::new(self.room.clone(), self.jitter);
        (desk, LaneOffice::new(self.room.clone(), self.sender.clone()))
    }

    /// Lets the door hand over to this driver from now on, and hands over anew what waits.
    pub fn connect(&self, trail: TrailHandle<TrailDesk>) {
        self.room.connect(Arc::new(trail));
    }

    /// Returns the hash of the settings that must be equal on all nodes.
    pub fn settings_hash(&self) -> u64 {
        self.settings_hash
    }

    /// Returns what door and files have.
    pub fn status(&self) -> NodeStatus {
        let room = &self.room;
        let mark = room.files.mark().and_then(|mark| Mark::read(&mark).ok());
        let (without_room, late) = room.door.count_stuck(room.lane.clock.monotonic());
        NodeStatus {
            waiting: room.door.count(),
            without_room,
            late,
            kept: room.kept.count() as usize,
            calling_alone: room.calls.count(),
            applied: mark.map_or(0, |mark| mark.sequence),
            store_fault: room.lane.shelf.failure(),
            kept_fault: room.kept.fault(),
        }
    }
}

impl NodeLane {
    /// Returns the vehicle of an alarm that waits at this node's door, or of an incident that is open here. From memory.
    pub fn vehicle_of(&self, id: IncidentId) -> Option<Box<str>> {
        let at_door = self.room.door.vehicle_of(id);
        at_door.or_else(|| self.room.lane.desk.lock().get(id).map(|incident| incident.vehicle_id.clone()))
    }
}

/// What must be equal on all nodes, apart from the targets.
pub(crate) struct Bounds {
    pub(crate) open_max: usize,
    pub(crate) per_source_max: usize,
    pub(crate) known_after: Duration,
    pub(crate) resolve_after: Duration,
    pub(crate) ended_kept: u64,
}

/// Returns the hash of the settings of a desk. A secret is known by what it signs.
pub(crate) fn settings_hash(targets: &Targets, bounds: &Bounds) -> u64 {
    let mut hash = Sha256::new();
    let mut put = |text: String| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    let mut put_target = |kind: &str, target: &Target| {
        let key = MessageKey { incident: IncidentId::from_u128(0), number: 0 };
        let signature = target.headers(key, 0, b"settings").get("webhook-signature").cloned();
        let Target { timeout, slots, escalate_after, .. } = target;
        put(format!("{kind} {} {}", target.name(), target.url()));
        put(format!("{signature:?} {timeout:?} {slots} {escalate_after:?}"));
    };
    targets.chain.iter().for_each(|target| put_target("chain", target));
    targets.drill.iter().for_each(|target| put_target("drill", target));
    let Bounds { open_max, per_source_max, known_after, resolve_after, ended_kept } = bounds;
    put(format!("{open_max} {per_source_max} {known_after:?} {resolve_after:?} {ended_kept}"));
    let hash: [u8; 32] = hash.finalize().into();
    let (first, _) = hash.split_first_chunk().expect("a SHA-256 has 32 bytes");
    u64::from_be_bytes(*first)
}

/// What carries requests out on a node.
#[derive(Clone)]
pub(crate) struct NodeWork {
    pub(crate) room: Arc<Room>,
    pub(crate) door: Addr<DoorActor>,
    pub(crate) files: Addr<IncidentFiles>,
}

type Answer = Result<Option<DeedResult>, DeedRefusal>;

impl NodeWork {
    pub(crate) async fn attend(&self, within: Duration) -> Result<(), CallError> {
        self.door.call(Attend, within).await
    }

    pub(crate) async fn forget_keys(&self, key_ids: Box<[KeyId]>, within: Duration) -> Result<(), CallError> {
        self.files.call(ForgetWindows(key_ids), within).await
    }

    /// Has the leader's desk do something. Returns what came of it as far as this node has applied it.
    async fn ask(&self, deed: Deed, within: Duration) -> Result<Answer, DeedError> {
        let end = Instant::now() + within;
        let tag = self.room.next_tag();
        let (word, about) = deed.subject();
        let bytes = DeedForm { tag, deed }.to_bytes();
        if bytes.len() > ALARM_MAX {
            return Err(CallError::Full.into());
        }
        let outcome = match self.room.trail() {
            Some(trail) => timeout(within, trail.deed(bytes)).await,
            None => Ok(Ok(DeedOutcome::Unavailable)),
        };
        match outcome {
            Ok(Ok(DeedOutcome::Done)) => {
                let left = end.saturating_duration_since(Instant::now()).min(APPLIED_WITHIN);
                Ok(Ok(self.room.results.of(tag, left).await))
            }
            Ok(Ok(DeedOutcome::Refused(answer))) => Ok(Err(DeedRefusal::from_bytes(&answer))),
            Ok(Ok(DeedOutcome::Unavailable) | Err(_)) | Err(_) => {
                let incident_id = about.map(|id| id.to_string());
                warn!(
                    incident_id,
                    deed = word,
                    "what a person wants could not be recorded in time; it may be done all the same"
                );
                Err(DeedError::NoLeader)
            }
        }
    }

    pub(crate) async fn act(
        &self,
        reader: &Addr<Reader>,
        id: IncidentId,
        request: Request,
        within: Duration,
    ) -> Result<RequestOutcome, DeedError> {
        let end = Instant::now() + within;
        let record = reader.call(GetRecord(id), within).await?.map_err(CallError::from)?;
        // An id that another incident took in leads to that one.
        let living = record.as_ref().map_or(id, |incident| incident.id);
        let over = record.filter(|incident| incident.is_resolved());
        if let Some(decision) = over.as_ref().and_then(|incident| incident.progress.resolved.clone())
            && request.action != RequestKind::Comment
        {
            return Ok(Refusal { state: State::Resolved, decision }.into());
        }
        let left = end.saturating_duration_since(Instant::now());
        match self.ask(Deed::about(living, request, over.map(Draft::of_record)), left).await? {
            Ok(_) => {
                // It is done. What it is now this node may not have applied yet.
                let detail = detail(reader, id, end).await?.ok_or(DeedError::NoLeader)?;
                Ok(RequestOutcome::Done(Box::new(detail)))
            }
            Err(refusal) => refused(&self.room, id, refusal),
        }
    }

    pub(crate) async fn raise(
        &self,
        reader: &Addr<Reader>,
        raise: Raise,
        within: Duration,
    ) -> Result<Raised, DeedError> {
        let end = Instant::now() + within;
        self.attend(within).await?;
        let vehicle = self.door.call(LookUp(raise.vehicle_id.clone()), within).await?;
        let Some(alarm) = self.room.lane.alarm_of(raise) else { return Ok(Raised::NoRoom) };
        let form = AlarmForm::new(&alarm, vehicle, self.room.next_tag(), self.room.run);
        let deed = Deed::Raise { id: alarm.id, alarm: Box::new(form) };
        let left = end.saturating_duration_since(Instant::now());
        match self.ask(deed, left).await? {
            Ok(result) => {
                let id = result.and_then(|result| result.incident).unwrap_or(alarm.id);
                // It is done. What it is now this node may not have applied yet.
                let detail = detail(reader, id, end).await?.ok_or(DeedError::NoLeader)?;
                Ok(Raised::Done(Box::new(detail)))
            }
            Err(DeedRefusal::NoRoom) => Ok(Raised::NoRoom),
            Err(_) => Err(CallError::Down.into()),
        }
    }

    pub(crate) async fn replay(&self, by: Box<str>, within: Duration) -> Result<u64, DeedError> {
        self.count(Deed::ReplayAll { by }, within).await
    }

    /// Resolves these incidents as far as they are still chosen. Returns how many it resolved.
    pub(crate) async fn resolve_these(
        &self,
        ids: &[IncidentId],
        selection: &Selection,
        request: &Request,
        within: Duration,
    ) -> Result<u64, DeedError> {
        // Which vehicle an incident is of does not change, and a list of them may be long.
        let selection = Selection { vehicle_ids: None, ..selection.clone() };
        let (by, note) = (request.by.clone(), request.note.clone());
        self.count(Deed::ResolveThese { ids: ids.to_vec(), selection, by, note }, within).await
    }

    async fn count(&self, deed: Deed, within: Duration) -> Result<u64, DeedError> {
        match self.ask(deed, within).await? {
            Ok(result) => result.map(|result| result.count).ok_or(DeedError::NoLeader),
            Err(_) => Err(CallError::Down.into()),
        }
    }
}

/// Returns what a person hears whose deed about an incident the leader's desk has refused.
pub(crate) fn refused(
    room: &Room,
    id: IncidentId,
    refusal: DeedRefusal,
) -> Result<RequestOutcome, DeedError> {
    match refusal {
        DeedRefusal::Late { state, decision } => Ok(Refusal { state, decision }.into()),
        DeedRefusal::NotFound if room.lane.desk.lock().is_called(id) => Err(DeedError::NotYet),
        DeedRefusal::NotFound => Ok(RequestOutcome::NotFound),
        DeedRefusal::NoRoom | DeedRefusal::Unknown => Err(CallError::Down.into()),
    }
}

async fn detail(reader: &Addr<Reader>, id: IncidentId, end: Instant) -> Result<Option<Detail>, DeedError> {
    // Something is read even where all the time went by: it is done, and this is how it looks.
    let left = end.saturating_duration_since(Instant::now()).max(APPLIED_WITHIN);
    Ok(reader.call(GetIncident(id), left).await?.map_err(CallError::from)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn settings_of_which_any_bound_differs_are_others() {
        let hour = Duration::from_secs(3_600);
        let bounds = || Bounds {
            open_max: 1,
            per_source_max: 2,
            known_after: hour,
            resolve_after: hour,
            ended_kept: 3,
        };
        let all = [
            bounds(),
            Bounds { open_max: 9, ..bounds() },
            Bounds { per_source_max: 9, ..bounds() },
            Bounds { known_after: 2 * hour, ..bounds() },
            Bounds { resolve_after: 2 * hour, ..bounds() },
            Bounds { ended_kept: 9, ..bounds() },
        ];
        let hashes: BTreeSet<u64> =
            all.iter().map(|bounds| settings_hash(&Targets::default(), bounds)).collect();
        assert_eq!(hashes.len(), all.len());
        assert_eq!(
            settings_hash(&Targets::default(), &bounds()),
            settings_hash(&Targets::default(), &all[0])
        );
    }
}
