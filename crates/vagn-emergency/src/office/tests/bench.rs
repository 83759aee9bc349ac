//! A node without actors and without a driver: a test does what both would do, step by step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tempfile::TempDir;
use vagn_cluster::trail::{
    Alarm as TrailAlarm, AlarmId, CopyOutcome, DeedId, DeedTaken, DeskState, Duty, Mark, Taken, Term,
    TrailEvent, TrailId,
};
use vagn_cluster::{Incarnation, ReadId};
use vagn_flow::clock::{Clock, ManualClock};
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::readiness::Readiness;
use vagn_flow::trust::Trust;
use vagn_seal::KeyId;

use crate::desk::{Request, RequestKind};
use crate::fix::Fix;
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::replays::CallSeal;
use crate::metrics::EmergencyMetrics;
use crate::notify::notice::{EndedNotice, Notice};
use crate::office::alarm_form::AlarmForm;
use crate::office::answers::Heard;
use crate::office::copies::{CopyRead, TakenPiece};
use crate::office::deed_form::{Deed, DeedForm, DeedRefusal};
use crate::office::files::IncidentFiles;
use crate::office::room::Room;
use crate::office::trail_desk::TrailDesk;
use crate::record::attempt::Outcome;
use crate::record::incident::Incident;
use crate::record::standing::Standing;
use crate::record::store::Store;
use crate::rules::Rules;
use crate::tests::setup::{fleet, strangers, turn};
use crate::{Parts, Seeds, Targets, build_node};

/// Time at which a test begins.
pub(super) const NOW_MS: i64 = 1_700_000_000_000;

/// A clock that panics once in whoever asks for the wall time, when it is set to.
struct Tripwire {
    clock: Arc<ManualClock>,
    is_set: Arc<AtomicBool>,
}

impl Clock for Tripwire {
    fn now_ms(&self) -> i64 {
        assert!(!self.is_set.swap(false, Ordering::Relaxed), "the tripwire");
        self.clock.now_ms()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

pub(in crate::office) struct Bench {
    dir: TempDir,
    pub(super) readiness: Arc<Readiness>,
    pub(in crate::office) room: Arc<Room>,
    files: IncidentFiles,
    pub(super) desk: TrailDesk,
    answers: Heard,
    pub(in crate::office) clock: Arc<ManualClock>,
    /// Notices that are under way, and their reign.
    pub(super) out: Vec<(u64, Notice)>,
    last_deed: u128,
    tripwire: Arc<AtomicBool>,
}

/// Parts of a node that keeps its files in `dir`.
pub(super) fn parts(dir: &Path, clock: Arc<ManualClock>) -> Parts {
    Parts {
        data_dir: dir.into(),
        before: None,
        part_list: None,
        targets: Targets::default(),
        open_max: 100,
        per_source_max: 100,
        known_after: Duration::from_secs(600),
        resolve_after: Duration::from_secs(3_600),
        vehicles: strangers(),
        seeds: Seeds { ids: 1, jitter: 2 },
        trust: Trust::blind(clock.clone()),
        clock,
        metrics: EmergencyMetrics::new(&MetricRegistry::new()),
        readiness: Arc::new(Readiness::default()),
        replays: Counter::default(),
        hang_limit: Duration::from_secs(2),
        runtime: None,
    }
}

impl Bench {
    /// A node with two targets, whose store is open. Its fleet knows vehicles whose ids begin with `known`, and cannot tell of those
    /// with `elsewhere`.
    pub(in crate::office) fn new() -> Self {
        let bench = Self::in_dir(tempfile::tempdir().unwrap(), None);
        bench.room.kept.note_read();
        bench
    }

    /// Such a node that keeps its files in `dir`, where a single machine has left its own in another directory.
    pub(super) fn in_dir(dir: TempDir, before: Option<&Path>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW_MS));
        clock.advance(Duration::from_secs(10));
        let tripwire = Arc::new(AtomicBool::new(false));
        let watched = Tripwire { clock: clock.clone(), is_set: tripwire.clone() };
        let vehicles = fleet(|id| match () {
            () if id.starts_with("known") => KnownVehicle { standing: Standing::Known, last_fix: None },
            () if id.starts_with("elsewhere") => KnownVehicle::UNDECIDED,
            () => KnownVehicle::STRANGER,
        });
        let parts = Parts { clock: Arc::new(watched), vehicles, ..parts(dir.path(), clock.clone()) };
        let readiness = parts.readiness.clone();
        let chain = vec![turn("county", 60), turn("state", 60)];
        let rules = Rules { chain, ..Rules::new(100, &Targets::default()) };
        let (_, node, _) = build_node(parts, rules, 50);
        let room = node.room.clone();
        let mut files = IncidentFiles::new(room.clone(), dir.path().into(), before.map(Path::to_owned));
        let mut answers = room.answers.open();
        room.files.ask();
        files.work();
        assert!(matches!(answers.next(), Some(TrailEvent::Restored(_))));
        let desk = TrailDesk::new(room.clone(), 5);
        Self { dir, readiness, room, files, desk, answers, clock, out: Vec::new(), last_deed: 0, tripwire }
    }

    /// Ends, and returns its directory.
    pub(super) fn end_run(self) -> TempDir {
        self.room.lane.shelf.put_away();
        self.dir
    }

    /// Begins to lead in this term.
    pub(super) fn lead(&mut self, term: u64) {
        self.desk.recall(Some(Term(term).numbers()));
        self.desk.set_duty(Duty::Full);
    }

    /// Returns the next group, if there is one, as the trail has it behind `sequence`; the desk hears that it is recorded.
    pub(super) fn record(&mut self, sequence: u64) -> Option<Arc<[u8]>> {
        let draft = self.desk.draft()?;
        self.desk.recorded(sequence);
        Some(draft.content.into())
    }

    /// Applies a group that stands at `sequence`.
    pub(super) fn apply(&mut self, group: &Arc<[u8]>, sequence: u64) {
        self.save(group, sequence);
        self.go_on(sequence);
    }

    /// Begins to apply a group that stands at `sequence`: the actor panics once the store has it, before it is shown.
    pub(super) fn apply_and_panic(&mut self, group: &Arc<[u8]>, sequence: u64) {
        self.save(group, sequence);
        self.tripwire.store(true, Ordering::Relaxed);
        catch_unwind(AssertUnwindSafe(|| self.files.work())).unwrap_err();
        assert!(self.answers.next().is_none());
        self.files = IncidentFiles::new(self.room.clone(), self.dir.path().into(), None);
    }

    /// The actor does what is left of a save, up to `sequence`.
    pub(super) fn go_on(&mut self, sequence: u64) {
        self.files.work();
        assert!(matches!(self.answers.next(), Some(TrailEvent::Saved(Ok(())))));
        self.desk.saved(sequence);
    }

    fn save(&mut self, group: &Arc<[u8]>, sequence: u64) {
        let trail = TrailId { epoch: 1, incarnation: Incarnation(9) };
        let term = Term(1);
        let mark =
            Mark { trail, sequence, entry_hash: 1, running_hash: sequence, term, settings_hash: Some(7) };
        self.room.files.save(mark.write(), vec![group.clone()]);
    }

    /// Hands an alarm over.
    pub(super) fn take(&mut self, alarm: &Handed) -> Taken {
        self.desk.take(&alarm.as_told())
    }

    /// Sends what is due, and returns what it is: target, key and message.
    pub(super) fn send(&mut self, duty: Duty) -> Vec<(String, String, &'static str)> {
        let (reign, notices) = self.desk.work(Vec::new(), duty);
        let told = notices.iter();
        let told = told.map(|it| (it.target.to_string(), it.key.to_string(), it.message.event_type()));
        let told = told.collect();
        self.out.extend(notices.into_iter().map(|notice| (reign, notice)));
        told
    }

    /// Ends all that is under way.
    pub(super) fn end(&mut self, status: u16, duty: Duty) {
        let outcome = match status {
            200 => Outcome::Accepted { status },
            _ => Outcome::Refused { status, retry_after_s: None },
        };
        let end = |notice: &Notice| notice.end(NOW_MS, Duration::from_millis(1), outcome.clone());
        let ended: Vec<(u64, EndedNotice)> =
            self.out.drain(..).map(|(reign, notice)| (reign, end(&notice))).collect();
        let (reign, notices) = self.desk.work(ended, duty);
        self.out.extend(notices.into_iter().map(|notice| (reign, notice)));
    }

    /// A person wants something about an incident.
    pub(super) fn act(&mut self, id: IncidentId, action: RequestKind) -> Result<DeedTaken, DeedRefusal> {
        let request = Request { action, by: "Anna".into(), note: "car 4".into() };
        self.deed(Deed::about(id, request, None))
    }

    pub(super) fn deed(&mut self, deed: Deed) -> Result<DeedTaken, DeedRefusal> {
        self.last_deed += 1;
        let bytes = DeedForm { tag: self.last_deed as u64, deed }.to_bytes();
        let done = self.desk.deed(DeedId(self.last_deed), &bytes);
        if done.is_ok() {
            let again = self.desk.deed(DeedId(self.last_deed), &bytes);
            assert_eq!(again, Ok(DeedTaken::Open), "a copy of it is not done anew");
        }
        done.map_err(|answer| DeedRefusal::from_bytes(&answer))
    }

    /// Reads a piece of this store.
    fn read_copy(&mut self, of: Option<Mark>, from: Vec<u8>, max_bytes: usize) -> CopyOutcome {
        let read = CopyRead { read: ReadId(1), of, least: 0, from, max_bytes };
        self.room.files.copies.read(read).unwrap();
        self.files.work();
        match self.answers.next() {
            Some(TrailEvent::CopyRead { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Takes a copy of another node's store in such pieces, while that goes on by `meanwhile`. Returns the number of pieces.
    pub(super) fn copy_of(
        &mut self,
        other: &mut Self,
        max: usize,
        mut meanwhile: impl FnMut(&mut Self),
    ) -> u32 {
        let (mut of, mut from) = (None, Vec::new());
        for piece in 0.. {
            let outcome = other.read_copy(of, from.clone(), max);
            assert_eq!(other.read_copy(outcome_mark(&outcome), from, max), outcome, "the same once more");
            let CopyOutcome::Piece { mark, bytes, next } = outcome else { panic!("{outcome:?}") };
            meanwhile(other);
            let last = next.is_none().then_some(mark);
            self.room.files.copies.take(TakenPiece { piece, bytes, mark: last });
            self.files.work();
            assert!(matches!(self.answers.next(), Some(TrailEvent::CopyTaken(Ok(())))));
            (of, from) = (Some(mark), next.clone().unwrap_or_default());
            if next.is_none() {
                return piece + 1;
            }
        }
        unreachable!("there are fewer pieces than numbers")
    }

    /// Reads the first parts of the rest.
    pub(super) fn rest(&mut self, max: usize) -> (Vec<(DeedId, Vec<u8>)>, bool) {
        self.room.files.copies.read_rest(max);
        self.files.work();
        match self.answers.next() {
            Some(TrailEvent::RestRead { rest, is_end }) => (rest, is_end),
            other => panic!("{other:?}"),
        }
    }

    /// The trail has this part of the rest.
    pub(super) fn drop_rest(&mut self, deed: DeedId) {
        self.room.files.copies.drop_rest(deed);
        self.files.work();
    }

    pub(super) fn store(&self) -> Arc<Store> {
        self.room.lane.shelf.store().unwrap()
    }

    pub(super) fn stored(&self, id: IncidentId) -> Option<Incident> {
        self.store().get(id).unwrap()
    }

    /// All that the node has, in words.
    pub(super) fn all(&self) -> String {
        let store = self.store();
        let mut ids = Vec::new();
        let mut incidents = Vec::new();
        let note = |incident: Incident| {
            ids.push(incident.id);
            incidents.push(incident);
            true
        };
        store.newest_first(None, note).unwrap();
        let ledgers: Vec<_> = ids.iter().map(|id| store.ledger(*id).unwrap()).collect();
        let trail = store.trail(0, 10_000).unwrap();
        let live = store.live().unwrap();
        let shown = self.room.lane.desk.lock().all_shown();
        assert_eq!(shown, live, "a node shows what its store has");
        let (applied, windows) = (store.applied().unwrap(), store.call_windows().unwrap());
        format!("{incidents:#?}\n{ledgers:#?}\n{trail:#?}\n{live:#?}\n{applied:#?}\n{windows:#?}")
    }
}

fn outcome_mark(outcome: &CopyOutcome) -> Option<Mark> {
    match outcome {
        CopyOutcome::Piece { mark, .. } => Some(*mark),
        _ => None,
    }
}

/// An alarm as a door hands it over.
#[derive(Clone)]
pub(super) struct Handed {
    pub(super) alarm: AlarmHeld,
    pub(super) unrecorded: bool,
    pub(super) note: Vec<u8>,
}

/// What its door has of it.
#[derive(Clone)]
pub(super) struct AlarmHeld {
    pub(super) id: IncidentId,
    pub(super) form: AlarmForm,
}

impl Handed {
    /// The first report of a vehicle, in this sitting. One whose id begins with `invented` is a stranger, and others are undecided.
    pub(super) fn new(id: u128, vehicle_id: &str, sitting: u64) -> Self {
        Self::of(Alarm { id: IncidentId::from_u128(id), ..Alarm::example(vehicle_id) }, sitting)
    }

    /// The same in an envelope that came to its door as this number.
    pub(super) fn sealed(id: u128, vehicle_id: &str, sitting: u64, number: u64) -> Self {
        let seal = Some(CallSeal { key_id: KeyId([7; 8]), sequence: 5, number });
        let id = IncidentId::from_u128(id);
        Self::of(Alarm { id, seal, ..Alarm::example(vehicle_id) }, sitting)
    }

    fn of(mut alarm: Alarm, sitting: u64) -> Self {
        if alarm.vehicle_id.starts_with("invented") {
            alarm.standing = Standing::Stranger;
        }
        let form = AlarmForm::new(&alarm, KnownVehicle::UNDECIDED, sitting, 0);
        Self { alarm: AlarmHeld { id: alarm.id, form }, unrecorded: false, note: Vec::new() }
    }

    /// It has reported again.
    pub(super) fn more(mut self) -> Self {
        self.alarm.form.reports += 1;
        self
    }

    /// It has reported again, from another place.
    pub(super) fn more_at(mut self, lat: f64) -> Self {
        let mut alarm = self.alarm.form.alarm(self.alarm.id, Duration::ZERO);
        alarm.fix = Some(Fix::at(lat, 18.06, NOW_MS + 1, true));
        alarm.reports += 1;
        self.alarm.form = AlarmForm::new(&alarm, KnownVehicle::UNDECIDED, self.alarm.form.sitting, 0);
        self
    }

    /// Its door has called.
    pub(super) fn called(mut self, note: &[u8]) -> Self {
        (self.unrecorded, self.note) = (true, note.to_vec());
        self
    }

    pub(super) fn id(&self) -> IncidentId {
        self.alarm.id
    }

    fn as_told(&self) -> TrailAlarm {
        TrailAlarm {
            id: AlarmId(self.alarm.id.as_u128()),
            bytes: self.alarm.form.to_bytes(),
            unrecorded: self.unrecorded,
            note: self.note.clone(),
        }
    }
}
