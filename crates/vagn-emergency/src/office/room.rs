//! Room: what the actors of a node and its driver share. None of it belongs to any of them, so each may crash or hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tracing::error;
use vagn_cluster::trail::{AlarmId, DeedOutcome, TrailEvent};
use vagn_flow::allowance::Source;
use vagn_nats::{TrailHandle, Unavailable};

use crate::fix::Fix;
use crate::id::IncidentId;
use crate::intake::no_room::{NoRoom, RefusedAlarms};
use crate::lane::Lane;
use crate::metrics::{AttemptLabel, EmergencyMetrics};
use crate::notify::notice::EndedNotice;
use crate::office::answers::Answers;
use crate::office::asked::{Asker, Owners};
use crate::office::calls::DoorCalls;
use crate::office::door::Door;
use crate::office::files::FilesQueue;
use crate::office::grants::Grants;
use crate::office::kept::Change;
use crate::office::kept_alarms::KeptQueue;
use crate::office::losses::Loss;
use crate::office::results::Results;
use crate::office::trail_desk::TrailDesk;
use crate::record::alarms::KnownAlarms;
use crate::record::standing::Standing;

/// Positions of vehicles that wait for the desk of a leader.
const FOUND_MAX: usize = 4_096;

/// Vehicles that were looked up again and wait for the desk of a leader: for these its driver stands still.
const DECIDED_MAX: usize = 1_024;

/// Longest time for the vehicles of one round.
const ROUND_WITHIN: Duration = Duration::from_millis(20);

/// Time without a sign of life after which a driver counts as hung.
const PULSE_MAX: Duration = Duration::from_secs(2);

/// Way to the driver of the trail.
pub(crate) trait TrailWay: Send + Sync {
    /// Hands an alarm over, or gives its bytes back where nobody takes it now.
    fn alarm(&self, alarm: AlarmId, bytes: Vec<u8>) -> Result<(), Vec<u8>>;

    /// Has the desk of the leader do something.
    fn deed(&self, bytes: Vec<u8>) -> BoxFuture<'static, Result<DeedOutcome, Unavailable>>;

    /// Returns true when nobody drives it any more.
    fn has_ended(&self) -> bool;
}

impl TrailWay for TrailHandle<TrailDesk> {
    fn alarm(&self, alarm: AlarmId, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        Self::alarm(self, alarm, bytes)
    }

    fn deed(&self, bytes: Vec<u8>) -> BoxFuture<'static, Result<DeedOutcome, Unavailable>> {
        let trail = self.clone();
        async move { Self::deed(&trail, bytes).await }.boxed()
    }

    fn has_ended(&self) -> bool {
        Self::has_ended(self)
    }
}

/// Shared part of a node.
pub(crate) struct Room {
    /// The lane. Its desk shows what this node has applied, and its shelf holds the store.
    pub(crate) lane: Arc<Lane>,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) door: Door,
    pub(crate) asker: Asker,
    pub(crate) grants: Grants,
    pub(crate) calls: Arc<DoorCalls>,
    pub(crate) known: Arc<Mutex<KnownAlarms>>,
    /// Most alarms that are known.
    pub(crate) alarms_max: usize,
    pub(crate) kept: KeptQueue,
    pub(crate) files: FilesQueue,
    pub(crate) answers: Answers,
    pub(crate) results: Results,
    /// Which targets answer the desk of a leader; `None` at all others.
    pub(crate) targets_up: Mutex<Option<Vec<bool>>>,
    /// Number drawn by chance for this run.
    pub(crate) run: u64,
    tags: AtomicU64,
    /// Beginning of this run, on the monotonic clock.
    pub(crate) began: Duration,
    trail: Mutex<Option<Arc<dyn TrailWay>>>,
    found: Mutex<Vec<(IncidentId, Fix)>>,
    decided: Mutex<Vec<(IncidentId, Standing)>>,
    leads: AtomicBool,
    /// Latest sign of life of the driver, ms on the monotonic clock.
    pulse_ms: AtomicU64,
}

/// Parts of a room.
pub(crate) struct RoomParts {
    pub(crate) lane: Arc<Lane>,
    pub(crate) metrics: Arc<EmergencyMetrics>,
    pub(crate) calls: Arc<DoorCalls>,
    pub(crate) known: Arc<Mutex<KnownAlarms>>,
    pub(crate) alarms_max: usize,
    pub(crate) run: u64,
}

impl Room {
    pub(crate) fn new(parts: RoomParts) -> Self {
        let RoomParts { lane, metrics, calls, known, alarms_max, run } = parts;
        Self {
            began: lane.clock.monotonic(),
            lane,
            answers: Answers::new(metrics.clone()),
            metrics,
            door: Door::new(run),
            asker: Asker::default(),
            grants: Grants::default(),
            calls,
            known,
            alarms_max,
            kept: KeptQueue::default(),
            files: FilesQueue::default(),
            results: Results::default(),
            targets_up: Mutex::default(),
            run,
            tags: AtomicU64::new(run),
            trail: Mutex::default(),
            found: Mutex::default(),
            decided: Mutex::default(),
            leads: AtomicBool::new(false),
            pulse_ms: AtomicU64::new(0),
        }
    }

    /// Asks these about vehicles that cannot be looked up here.
    pub(crate) fn ask(&self, owners: Arc<dyn Owners>) {
        self.asker.connect(owners);
        self.lane.inbox.ask_owners();
    }

    /// Hands over to this driver from now on.
    pub(crate) fn connect(&self, trail: Arc<dyn TrailWay>) {
        *self.trail.lock() = Some(trail);
        self.beat();
        self.door.hand_all(self);
    }

    /// Returns the way to the driver, if there is one.
    pub(crate) fn trail(&self) -> Option<Arc<dyn TrailWay>> {
        self.trail.lock().clone().filter(|trail| !trail.has_ended())
    }

    /// Has something changed of what is kept. What finds no room is tried no more: an alarm that stays on disk is called about once more after
    /// a restart, under the same key.
    pub(crate) fn change_kept(&self, change: Change) {
        if self.kept.push(change).is_err() {
            self.metrics.lose(Loss::Change);
            error!("too much waits for the disk of kept alarms");
        }
    }

    /// An alarm is not kept. The driver hears it, and the door tries again by itself: the driver may have no place for it either.
    pub(crate) fn not_kept(&self, alarm: AlarmId, bytes: Vec<u8>) {
        self.door.not_kept(IncidentId::from_u128(alarm.0), self);
        self.answers.tell(TrailEvent::NotKept { alarm, bytes });
    }

    /// Counts an attempt.
    pub(crate) fn count_attempt(&self, ended: &EndedNotice) {
        let outcome = ended.attempt.outcome.word();
        let label = AttemptLabel { target: ended.attempt.target.to_string(), outcome };
        self.metrics.emergency_attempts.get_or_create(&label).inc();
        self.lane.gauges.count(if matches!(outcome, "refused" | "failed") { "retried" } else { outcome }, 1);
    }

    /// Counts an alarm for which there is no room among the calls of the door.
    pub(crate) fn uncalled(&self, source: Option<Source>) {
        let mut refused = RefusedAlarms::default();
        refused.add(NoRoom::Calls, source);
        self.lane.gauges.refused(refused, &self.lane.desk);
    }

    /// Returns a number that no other deed and no sitting of the service is likely to have.
    pub(crate) fn next_tag(&self) -> u64 {
        self.tags.fetch_add(1, Ordering::Relaxed)
    }

    /// The driver gives a sign of life.
    pub(crate) fn beat(&self) {
        let now_ms = self.lane.clock.monotonic().as_millis() as u64;
        self.pulse_ms.store(now_ms, Ordering::Release);
    }

    /// Returns true when there is a driver that lives.
    pub(crate) fn is_driven(&self) -> bool {
        let pulse = Duration::from_millis(self.pulse_ms.load(Ordering::Acquire));
        self.trail().is_some() && self.lane.clock.monotonic().saturating_sub(pulse) <= PULSE_MAX
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.leads.store(leads, Ordering::Release);
        if !leads {
            *self.targets_up.lock() = None;
            self.found.lock().clear();
            self.decided.lock().clear();
        }
    }

    /// Looks where the vehicles of open incidents are and what undecided ones are, for the desk of the leader. Waits for the fleet, so not in the driver.
    pub(crate) fn look_up_vehicles(&self) {
        self.lane.mark_known();
        if !self.leads.load(Ordering::Acquire) {
            return;
        }
        let elsewhere =
            self.lane.lookup.decide(&self.lane.desk, |decided| self.note_decided(decided.into_iter()));
        self.door.ask_open(elsewhere, self);
        let began = self.lane.clock.monotonic();
        let sought = {
            let mut desk = self.lane.desk.lock();
            let mut sought = desk.take_unlocated();
            sought.extend(desk.take_to_follow(FOUND_MAX, began));
            sought
        };
        for (id, vehicle_id) in sought {
            // The rest is looked up in its next turn.
            let is_late = self.lane.clock.monotonic() >= began + ROUND_WITHIN;
            let fix = if is_late { None } else { self.lane.lookup.look_up(&vehicle_id).last_fix };
            match fix {
                Some(fix) => self.note_found(id, fix),
                None => self.lane.desk.lock().unlocated(id),
            }
        }
    }

    /// Notes what vehicles of open incidents are, for the desk of the leader.
    pub(crate) fn note_decided(&self, standings: impl Iterator<Item = (IncidentId, Standing)>) {
        if !self.leads.load(Ordering::Acquire) {
            return;
        }
        let mut waiting = self.decided.lock();
        // The rest is looked up again in the next round.
        let room = DECIDED_MAX.saturating_sub(waiting.len());
        waiting.extend(standings.filter(|(_, standing)| *standing != Standing::Undecided).take(room));
    }

    fn note_found(&self, id: IncidentId, fix: Fix) {
        let mut found = self.found.lock();
        if found.len() < FOUND_MAX {
            found.push((id, fix));
        }
    }

    /// Takes the positions that were found.
    pub(crate) fn take_found(&self) -> Vec<(IncidentId, Fix)> {
        std::mem::take(&mut *self.found.lock())
    }

    /// Takes what undecided vehicles have turned out to be.
    pub(crate) fn take_decided(&self) -> Vec<(IncidentId, Standing)> {
        std::mem::take(&mut *self.decided.lock())
    }
}
