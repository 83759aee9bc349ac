//! A node's part in calls for help, in steps: desk, office, door, calls and files as the service has them, without its actors, its driver, its
//! network and its disks. A simulation of a cluster takes the steps, on a clock and with chance of its own: the same steps give the same run.
//!
//! It is for simulations alone; the service has [`start_node`](crate::start_node). What an actor does by itself, one that steps has done:
//!
//! | of | step | when |
//! |---|---|---|
//! | driver | [`act`](SteppedNode::act) | after each event |
//! | | [`take_handed`](SteppedNode::take_handed), [`next_event`](SteppedNode::next_event) | after each step, until there is nothing |
//! | `door` | [`look`](SteppedNode::look) | each 100 ms |
//! | `incident-files` | [`write_files`](SteppedNode::write_files) | some time after a command |
//! | | [`round`](SteppedNode::round) | each second |
//! | `kept-alarms` | [`write_kept`](SteppedNode::write_kept) | some time after a command or a look, and each second |
//! | `notifier` | [`take_calls`](SteppedNode::take_calls) | after each step, and at [`wake_at`](SteppedNode::wake_at) |

mod calls;
mod disk;
mod facts;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use vagn_cluster::Moment;
use vagn_cluster::trail::{AlarmId, DeedOutcome, Duty, Mark, TrailCommand, TrailEvent};
use vagn_flow::batch::{BatchBuilder, Origin, Pressure};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::Readiness;
use vagn_flow::receipt::{Answer as Waits, Receipt};
use vagn_flow::stamp::Stamp;
use vagn_flow::trust::Trust;
use vagn_nats::{Office, OfficeCommand, Unavailable};
use vagn_otp::Subscriber;
use vagn_wire::{Fate, Position, Report, VehicleId};

use self::calls::Calls;
pub use self::calls::{Answer, Call};
pub use self::disk::Disks;
pub use self::facts::{
    AlarmFacts, AlarmRecord, GroupFacts, IncidentFacts, TargetFacts, read_alarm, read_group,
};
use crate::desk::Request;
use crate::id::IncidentId;
use crate::intake::filter::AlarmFilter;
use crate::intake::known::KnownVehicle;
use crate::lane::LaneParts;
use crate::metrics::EmergencyMetrics;
use crate::notifier::{NoticeSender, NoticeSource};
use crate::office::copies::Copies;
use crate::office::deed_form::{Deed, DeedForm};
use crate::office::door_source::DoorSource;
use crate::office::files::IncidentFiles;
use crate::office::kept::{KeptError, KeptStore};
use crate::office::kept_alarms::KeptAlarms;
use crate::office::look::Look;
use crate::office::room::{Room, TrailWay};
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::shelf::Shelf;
use crate::record::standing::Standing;
use crate::record::store::{Store, StoreError};
use crate::rules::Rules;
use crate::{LaneOffice, RequestKind, Seeds, Target, Targets, TrailDesk, new_room};

/// Names of the targets, in their order.
pub const TARGETS: [&str; 2] = ["county", "state"];

/// Alarms that wait for a driver, as in the service.
const HANDED_MAX: usize = 1_024;

/// Looks between two rounds that follow the vehicles of incidents.
const LOOKS_PER_ROUND: u32 = 10;

/// Incidents that are kept after they have ended.
const ENDED_KEPT: u64 = 10_000;

/// Entries of the trail of incidents that are compared.
const ENTRIES_MAX: usize = 100_000;

/// Door of all reports.
const DOOR: Origin = Origin { door: "tcp", pressure: Pressure::Wait };

/// Settings of a node in steps.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Seed of all that this run draws.
    pub seed: u64,
    /// Most incidents that may be open.
    pub open_max: usize,
    /// Most notices to one target under way.
    pub slots: usize,
}

/// Moment by both clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since the machine began.
    pub monotonic: Duration,
    /// Wall time, ms since 1970.
    pub wall_ms: i64,
}

/// A clock that is set.
#[derive(Debug, Default)]
struct SetClock {
    micros: AtomicU64,
    wall_ms: AtomicI64,
}

impl SetClock {
    fn set(&self, now: Now) {
        self.micros.store(now.monotonic.as_micros() as u64, Ordering::Relaxed);
        self.wall_ms.store(now.wall_ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}

/// Way to whoever drives the node.
#[derive(Debug, Default)]
struct Handed(Mutex<VecDeque<(AlarmId, Vec<u8>)>>);

impl TrailWay for Handed {
    fn alarm(&self, alarm: AlarmId, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        let mut handed = self.0.lock();
        if handed.len() >= HANDED_MAX {
            return Err(bytes);
        }
        handed.push_back((alarm, bytes));
        Ok(())
    }

    fn deed(&self, _: Vec<u8>) -> BoxFuture<'static, Result<DeedOutcome, Unavailable>> {
        // Whoever steps tells the node of deeds by itself.
        ready(Err(Unavailable)).boxed()
    }

    fn has_ended(&self) -> bool {
        false
    }
}

/// A node.
pub struct SteppedNode {
    room: Arc<Room>,
    files: IncidentFiles,
    kept: KeptAlarms,
    office: LaneOffice,
    door: DoorSource,
    calls: Calls,
    handed: Arc<Handed>,
    clock: Arc<SetClock>,
    reports: Arc<ReportMetrics>,
    /// Senders that wait to hear what became of a report.
    senders: BTreeMap<u64, Waits>,
    disks: Disks,
    looks: u32,
    tags: fastrand::Rng,
}

impl SteppedNode {
    /// Begins a run of a node, with its desk.
    pub fn start(disks: &Disks, settings: Settings, now: Now) -> (Self, TrailDesk) {
        let clock = Arc::new(SetClock::default());
        clock.set(now);
        let targets = targets(settings.slots);
        let mut rng = fastrand::Rng::with_seed(settings.seed);
        let registry = MetricRegistry::new();
        let lane = LaneParts {
            rules: Rules::new(settings.open_max, &targets),
            shelf: shelf(disks),
            vehicles: Arc::new(|_: &str| KnownVehicle { standing: Standing::Known, last_fix: None }),
            seeds: Seeds { ids: rng.u64(..), jitter: rng.u64(..) },
            clock: clock.clone(),
            trust: Trust::blind(clock.clone()),
            metrics: EmergencyMetrics::new(&registry),
            readiness: Arc::new(Readiness::default()),
            replays: Counter::default(),
        };
        let room = new_room(lane, ENDED_KEPT);
        let calls = Calls::default();
        let slots = &room.lane.metrics.slots;
        let sender = NoticeSender::new(&targets, clock.clone(), slots).by(calls.messenger(clock.clone()));
        let kept = disks.kept.clone();
        let open_kept = move || {
            let file = kept.open().map_err(|err| KeptError::Open(err.to_string()))?;
            KeptStore::on(file)
        };
        let handed = Arc::new(Handed::default());
        let look = Look::stepped(clock.clone());
        let node = Self {
            files: IncidentFiles::copying(room.clone(), Copies::aside(Box::new(disks.aside.clone()))),
            kept: KeptAlarms::opening(room.clone(), Box::new(open_kept)),
            office: LaneOffice::looking(room.clone(), Arc::new(sender), look),
            door: DoorSource(room.clone()),
            calls,
            handed: handed.clone(),
            clock,
            reports: ReportMetrics::new(&registry),
            senders: BTreeMap::new(),
            disks: disks.clone(),
            looks: 0,
            tags: rng.fork(),
            room,
        };
        let desk = TrailDesk::new(node.room.clone(), rng.u64(..));
        node.room.connect(handed);
        (node, desk)
    }

    /// Sets the clock of the machine.
    pub fn set_time(&self, now: Now) {
        self.clock.set(now);
    }

    /// A vehicle calls for help from this place, at this node; its sender waits under this number to hear what became of it.
    ///
    /// # Panics
    /// If `vehicle` is no vehicle id, or the place is not on Earth.
    pub fn report(&mut self, number: u64, vehicle: &str, (lat, lon): (f64, f64)) {
        let vehicle_id = VehicleId::new(vehicle).expect("an id of a vehicle");
        let position = Position::new(lat, lon).expect("a place on Earth");
        let mut report = Report::new(vehicle_id, position);
        report.emergency = true;
        let mut bytes = Vec::new();
        vagn_wire::encode(&report, &mut bytes);
        let (receipt, answer) = Receipt::new(1);
        // Its position is stored by other parts.
        receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
        let mut batch = BatchBuilder::new(DOOR);
        batch.push(&bytes);
        let stamp = Stamp { time_ms: self.clock.now_ms(), first_seq: number };
        let batch = batch.seal(stamp, Some(&receipt), &self.reports);
        batch.take_share().expect("nobody has taken it").settle_rest(Fate::Stored);
        AlarmFilter(self.room.lane.inbox.clone()).offer(&batch);
        self.senders.insert(number, answer);
        drop((batch, receipt));
        self.room.door.attend(&self.room);
    }

    /// Takes what senders have heard: their numbers, and the incident where a report is `stored`.
    pub fn take_answers(&mut self) -> Vec<(u64, Option<u128>)> {
        let mut answers = Vec::new();
        self.senders.retain(|number, waits| match waits.try_recv() {
            Ok(outcomes) => {
                let stored = outcomes.into_iter().next().filter(|outcome| outcome.fate == Fate::Stored);
                let incident = stored.and_then(|outcome| outcome.incident?.parse().ok());
                answers.push((*number, incident.map(|incident: IncidentId| incident.as_u128())));
                false
            }
            Err(tokio::sync::oneshot::error::TryRecvError::Empty) => true,
            Err(tokio::sync::oneshot::error::TryRecvError::Closed) => false,
        });
        answers
    }

    /// Does what the door does each 100 ms.
    pub fn look(&mut self) {
        self.room.door.attend(&self.room);
        self.room.door.look(&self.room);
        self.door.rescue(false);
        self.looks += 1;
        if self.looks.is_multiple_of(LOOKS_PER_ROUND) {
            self.room.look_up_vehicles();
        }
    }

    /// Does what waits for the incident store.
    pub fn write_files(&mut self) {
        self.files.work();
    }

    /// Does what the writer of that does each second.
    pub fn round(&mut self) {
        self.files.round();
    }

    /// Writes and reads alarms that are kept.
    pub fn write_kept(&mut self) {
        self.kept.work();
    }

    /// Does what its parts do when it stops in order.
    pub fn leave(&mut self) {
        self.room.door.attend_now(&self.room);
        self.room.door.call_all(&self.room);
        self.files.work();
        self.kept.work();
    }

    /// Carries out a command. Returns false for one that is not for the office.
    pub fn carry_out(&mut self, command: TrailCommand) -> bool {
        let command = OfficeCommand::of(command);
        let is_for_office = command.is_some();
        command.into_iter().for_each(|command| self.office.carry_out(command));
        is_for_office
    }

    /// Returns the next event of the office, if there is one.
    pub fn next_event(&mut self) -> Option<TrailEvent> {
        match self.office.poll_event(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    /// Lets desk and office act. Returns true if the desk may have something new to record.
    pub fn act(&mut self, desk: &mut TrailDesk, duty: Duty, now: Moment) -> bool {
        self.office.act(desk, duty, now)
    }

    /// Takes the alarms that the door has handed over.
    pub fn take_handed(&mut self) -> Vec<(AlarmId, Vec<u8>)> {
        self.handed.0.lock().drain(..).collect()
    }

    /// Takes the calls that go out now.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.calls.take(&self.door)
    }

    /// Says what came of a call.
    pub fn end_call(&mut self, number: u64, answer: Answer, took: Duration) {
        self.calls.end(number, answer, took, self.clock.now_ms(), &self.door);
    }

    /// Returns the time at which something may be due although nothing happens, on the monotonic clock.
    pub fn wake_at(&self) -> Option<Duration> {
        self.office.look_at().into_iter().chain(self.door.wake_at()).min()
    }

    /// Returns what a person asks of the leader about an incident, as this node sends it; `None` where its own store answers.
    pub fn request(&mut self, incident: u128, action: RequestKind) -> Option<Vec<u8>> {
        let id = IncidentId::from_u128(incident);
        let record = self.room.lane.shelf.store().and_then(|store| store.get(id).ok().flatten());
        let over = record.filter(Incident::is_resolved);
        if over.is_some() && action != RequestKind::Comment {
            return None;
        }
        let request = Request { action, by: "Anna".into(), note: "car 4".into() };
        let deed = Deed::about(id, request, over.map(Draft::of_record));
        Some(DeedForm { tag: self.tags.u64(1..), deed }.to_bytes())
    }

    /// Returns true while the door owes a call about an alarm, or has made one that was accepted.
    pub fn calls_about(&self, alarm: AlarmId) -> bool {
        self.room.calls.has(IncidentId::from_u128(alarm.0))
    }

    /// Returns the alarms that are kept on disk, with those of which the process ends now.
    pub fn kept(&self) -> Vec<AlarmId> {
        self.room.kept.on_disk().into_iter().map(|kept| kept.alarm).collect()
    }

    /// Returns the place in the trail that the store has, as far as this run knows.
    pub fn mark(&self) -> Option<Mark> {
        self.room.files.mark().and_then(|mark| Mark::read(&mark).ok())
    }

    /// Returns the incidents of the store; `None` where it is not open.
    pub fn incidents(&self) -> Option<Vec<IncidentFacts>> {
        let store = self.room.lane.shelf.store()?;
        Some(all(&store).iter().map(IncidentFacts::of).collect())
    }

    /// Returns all that the store has, as if a group had said it; `None` where it is not open.
    pub fn facts(&self) -> Option<GroupFacts> {
        let store = self.room.lane.shelf.store()?;
        Some(GroupFacts::of(&all(&store), store.applied().ok()?))
    }

    /// Returns the incidents that persons may still decide about.
    pub fn open_incidents(&self) -> Vec<IncidentFacts> {
        self.room.lane.desk.lock().all_shown().iter().map(IncidentFacts::of).collect()
    }

    /// Returns all that the store has, in words, and whether this node shows what is live there; `None` where it is not open.
    pub fn content(&self) -> Option<(String, bool)> {
        let store = self.room.lane.shelf.store()?;
        let incidents = all(&store);
        let ledgers: Vec<_> = incidents.iter().map(|incident| store.ledger(incident.id).ok()).collect();
        let (trail, live) = (store.trail(0, ENTRIES_MAX).ok()?, store.live().ok()?);
        let shown = self.room.lane.desk.lock().all_shown();
        let applied = store.applied().ok()?;
        let said =
            format!("{incidents:#?}\n{ledgers:#?}\n{trail:#?}\n{:#?}\n{:#?}", applied.alarms, applied.deeds);
        Some((said, shown == live))
    }
}

impl Drop for SteppedNode {
    /// A process that is gone writes nothing more.
    fn drop(&mut self) {
        self.disks.end_process();
    }
}

fn all(store: &Store) -> Vec<Incident> {
    let mut incidents = Vec::new();
    let note = |incident| {
        incidents.push(incident);
        true
    };
    // What cannot be read is missed by whoever compares.
    drop(store.newest_first(None, note));
    incidents
}

fn shelf(disks: &Disks) -> Shelf {
    let file = disks.incidents.clone();
    Shelf::new(Box::new(move |_| {
        let storage = file.open().map_err(|err| StoreError::Open(redb::Error::Io(err)))?;
        Store::on(storage, ENDED_KEPT)
    }))
}

fn targets(slots: usize) -> Targets {
    let second = Duration::from_secs(1);
    let target = |name: &&str| {
        Target::new(name, "http://127.0.0.1:9/", "", 2 * second, slots, 60 * second).expect("a plain address")
    };
    Targets { chain: TARGETS.iter().map(target).collect(), drill: None }
}
