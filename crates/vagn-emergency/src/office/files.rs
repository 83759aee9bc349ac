//! Actor `incident-files`: applies groups of the trail to the incident store, and shows what it has.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::{error, info, warn};
use vagn_cluster::DiskFault;
use vagn_cluster::trail::{Mark, TrailEvent};
use vagn_otp::{Actor, Addr, Context, Failure, Handle, Pulse};
use vagn_seal::KeyId;

use crate::office::copies::{Copies, CopyQueue, CopyTaken};
use crate::office::room::Room;
use crate::record::alarms::KnownAlarms;
use crate::record::group::Group;
use crate::record::incident::Incident;
use crate::record::store::{Before, Store, StoreError};

/// Time between two rounds that open a store that failed, and show the state of the lane.
const ROUND: Duration = Duration::from_secs(1);

/// Incidents of a store that are shown together, under the desk's lock: a few milliseconds, for which readers have to wait.
const SHOWN_AT_ONCE: usize = 512;

/// What is to be done with the store. It belongs to no life of the actor.
#[derive(Default)]
pub(crate) struct FilesQueue {
    save: Mutex<Option<Save>>,
    /// A driver waits to hear what the store has.
    is_asked: Mutex<bool>,
    /// The mark that the store has, as far as this run knows.
    mark: Mutex<Option<Vec<u8>>>,
    /// The store of which all is shown. A life that ends before it has shown all leaves it to the next one.
    shown: Mutex<Weak<Store>>,
    /// Held while something is applied and shown, so that two lives do not mix what they show.
    showing: Mutex<()>,
    /// What a single machine has left was looked after in this run.
    is_taken_over: AtomicBool,
    bell: Mutex<Option<Addr<IncidentFiles>>>,
    pub(crate) copies: CopyQueue,
}

/// Groups that are to be applied.
#[derive(Debug, Clone)]
struct Save {
    mark: Arc<[u8]>,
    groups: Vec<Arc<[u8]>>,
}

impl FilesQueue {
    /// Wakes this actor from now on.
    pub(crate) fn connect(&self, actor: Addr<IncidentFiles>) {
        *self.bell.lock() = Some(actor);
    }

    /// Has the driver told what the store has, once it is open. What an earlier driver wanted saved is done with.
    pub(crate) fn ask(&self) {
        *self.save.lock() = None;
        self.copies.forget();
        *self.is_asked.lock() = true;
        self.ring();
    }

    /// Has groups applied. The driver has one save under way at a time.
    pub(crate) fn save(&self, mark: Vec<u8>, groups: Vec<Arc<[u8]>>) {
        *self.save.lock() = Some(Save { mark: mark.into(), groups });
        self.ring();
    }

    /// Returns the mark that the store has.
    pub(crate) fn mark(&self) -> Option<Vec<u8>> {
        self.mark.lock().clone()
    }

    /// Returns true when all of this store is shown.
    fn has_shown(&self, store: &Arc<Store>) -> bool {
        self.shown.lock().as_ptr() == Arc::as_ptr(store)
    }

    /// Has the actor look for something to do.
    pub(crate) fn ring(&self) {
        if let Some(actor) = &*self.bell.lock() {
            // If its mailbox is full it is awake, and if it is being restarted it looks when it begins.
            actor.try_tell(Work).ok();
        }
    }
}

/// Actor that writes the incident store of a node.
pub(crate) struct IncidentFiles {
    room: Arc<Room>,
    copies: Copies,
    /// Directory in which a single machine may have left incidents.
    before: Option<PathBuf>,
    /// Sign of life: what a store holds may be much.
    pulse: Option<Pulse>,
}

impl IncidentFiles {
    pub(crate) fn new(room: Arc<Room>, folder: PathBuf, before: Option<PathBuf>) -> Self {
        Self { before, ..Self::copying(room, Copies::new(folder)) }
    }

    /// An actor that puts copies aside in its own way, where no single machine has left anything.
    pub(crate) fn copying(room: Arc<Room>, copies: Copies) -> Self {
        Self { room, copies, before: None, pulse: None }
    }

    fn beat(&self) {
        self.pulse.iter().for_each(Pulse::beat);
    }

    pub(crate) fn work(&mut self) {
        let room = self.room.clone();
        let (lane, queue) = (&room.lane, &room.files);
        lane.shelf.open(lane.clock.monotonic(), &|| self.beat());
        let Some(store) = lane.shelf.store() else { return };
        if let Err(err) = self.show_anew(&store) {
            return lane.store_failed(&err);
        }
        if !queue.has_shown(&store) {
            // An earlier life is at it.
            return;
        }
        lane.set_recalled();
        // Alarms are taken meanwhile, and no driver works yet.
        if let Err(err) = self.take_over(&store) {
            return lane.store_failed(&err);
        }
        if std::mem::take(&mut *queue.is_asked.lock()) {
            self.copies.begin(&room);
            self.room.answers.tell(TrailEvent::Restored(queue.mark()));
        }
        let save = queue.save.lock().clone();
        if let Some(save) = save {
            self.save(&store, &save);
        }
        if let Some(taken) = self.copies.take(&room, &store) {
            self.taken(&store, taken);
        }
        self.copies.work(&room, &store);
    }

    /// Puts what a single machine has left open into the rest of the store, for the desk of the leader.
    fn take_over(&self, store: &Store) -> Result<(), StoreError> {
        let Some(dir) = self.before.as_ref().filter(|_| self.is_to_take_over()) else { return Ok(()) };
        if let Some(before) = Before::read(dir, store.taken_over()?) {
            store.take_over(&before)?;
            if let Some(fault) = &before.fault {
                self.room.lane.gauges.warn_of_before(fault);
            }
            let incidents = before.open.len();
            info!(incidents, "what a single machine had open is handed to the leader");
        }
        self.room.files.is_taken_over.store(true, Ordering::Release);
        Ok(())
    }

    fn is_to_take_over(&self) -> bool {
        self.before.is_some() && !self.room.files.is_taken_over.load(Ordering::Acquire)
    }

    /// Returns true when the next work may take long: all of a copy, or a whole store that is read.
    fn is_long(&self) -> bool {
        self.room.files.copies.is_taking() || self.is_to_take_over()
    }

    /// Answers a piece of a copy; behind the last one shows what the store has now.
    fn taken(&self, store: &Arc<Store>, taken: Result<CopyTaken, DiskFault>) {
        let queue = &self.room.files;
        if let Ok(CopyTaken::Replaced(mark)) = &taken {
            *queue.shown.lock() = Weak::new();
            *queue.mark.lock() = Some(mark.write());
            *self.room.known.lock() = KnownAlarms::default();
            if let Err(err) = self.show_anew(store) {
                // It is read again when the store is opened anew.
                self.room.lane.store_failed(&err);
            }
        }
        queue.copies.taken();
        self.room.answers.tell(TrailEvent::CopyTaken(taken.map(drop)));
    }

    /// Shows all that a store has, where that is not shown: it was opened, has another content, or an earlier life ended before it had shown what
    /// it applied.
    fn show_anew(&self, store: &Arc<Store>) -> Result<(), StoreError> {
        let queue = &self.room.files;
        let Some(_showing) = queue.showing.try_lock() else { return Ok(()) };
        if !queue.has_shown(store) {
            self.show(store, store.read_live(&|| self.beat())?)?;
            *queue.shown.lock() = Arc::downgrade(store);
        }
        Ok(())
    }

    /// Shows all that a store has.
    fn show(&self, store: &Store, live: Vec<Incident>) -> Result<(), StoreError> {
        let lane = &self.room.lane;
        let queue = &self.room.files;
        let applied = store.applied()?;
        lane.replays.learn(store.call_windows()?);
        lane.set_head(store.trail(0, 0)?.0.head);
        let known = queue.mark.lock().clone();
        let awaited = queue.save.lock().as_ref().map(|save| save.mark.to_vec());
        if known.is_some() && applied.mark != known && applied.mark != awaited {
            // It has lost what the trail's driver believes to be there. The next run reads it from the trail again.
            error!(
                "the incident store has lost groups of the trail; restart this node, which reads them again"
            );
            self.answer_broken();
        }
        self.room.known.lock().learn(applied.alarms, applied.deeds, self.room.alarms_max);
        *queue.mark.lock() = applied.mark;
        let now = lane.moment();
        lane.desk.lock().begin_show(&live);
        let mut live = live.into_iter();
        while live.len() > 0 {
            self.beat();
            lane.desk.lock().show_part(live.by_ref().take(SHOWN_AT_ONCE), now);
        }
        self.room.calls.applied_anew();
        Ok(())
    }

    fn save(&self, store: &Arc<Store>, save: &Save) {
        let lane = &self.room.lane;
        let groups: Result<Vec<Group>, _> =
            save.groups.iter().map(|group| Group::from_bytes(group)).collect();
        let groups = match groups {
            Ok(groups) => groups,
            Err(err) => {
                error!(error = %err, "a group of the trail is not applied");
                return self.answer_broken();
            }
        };
        let queue = &self.room.files;
        let Some(_showing) = queue.showing.try_lock() else { return };
        // An earlier life of the actor, or a commit that seemed to fail, has done it: what the store has is shown.
        if queue.mark().as_deref() == Some(&*save.mark) {
            groups.iter().for_each(|group| self.room.results.note(&group.results));
            return self.answer_saved(save);
        }
        match store.apply(&groups, &save.mark) {
            Ok(head) => {
                *queue.shown.lock() = Weak::new();
                lane.set_head(head);
                lane.shelf.saved();
                *queue.mark.lock() = Some(save.mark.to_vec());
                self.applied(&groups);
                *queue.shown.lock() = Arc::downgrade(store);
                self.answer_saved(save);
            }
            Err(StoreError::Busy) => warn!("the incident store is still busy with an earlier save"),
            Err(err) => {
                lane.shelf.failed(&err, lane.clock.monotonic());
                if store.sync_failed() {
                    self.answer_broken();
                }
            }
        }
    }

    /// Shows what was applied.
    fn applied(&self, groups: &[Group]) {
        let lane = &self.room.lane;
        let now = lane.moment();
        for group in groups {
            let alarms = group.alarms.iter().map(|(alarm, state)| (alarm.as_u128(), state.clone()));
            self.room.known.lock().learn(alarms, group.deeds.iter().copied(), self.room.alarms_max);
            let mut desk = lane.desk.lock();
            for draft in &group.drafts {
                let vehicle_id = &draft.incident.vehicle_id;
                lane.replays.learn(draft.calls.iter().map(|window| (vehicle_id.clone(), *window)));
                desk.apply(draft, now);
            }
            for (alarm, state) in &group.alarms {
                desk.settle_called(*alarm, state.incident, now);
            }
            drop(desk);
            self.room.calls.applied(group.alarms.iter().map(|(alarm, _)| *alarm));
            self.room.results.note(&group.results);
        }
        self.room.grants.look(&self.room);
        lane.announce();
        lane.saved();
    }

    fn answer_saved(&self, save: &Save) {
        let mut waits = self.room.files.save.lock();
        if waits.as_ref().is_some_and(|waits| Arc::ptr_eq(&waits.mark, &save.mark)) {
            *waits = None;
            self.room.answers.tell(TrailEvent::Saved(Ok(())));
        }
    }

    fn answer_broken(&self) {
        if self.room.files.save.lock().take().is_some() {
            self.room.answers.tell(TrailEvent::Saved(Err(DiskFault::Broken)));
        }
    }

    /// Does what is to be done each second.
    pub(crate) fn round(&mut self) {
        self.work();
        let lane = &self.room.lane;
        // A store that does not open holds up no call: the node takes them.
        if lane.clock.monotonic() >= self.room.began + lane.rules.recall_within {
            lane.set_recalled();
        }
        self.tidy();
        lane.desk.lock().note_up(self.room.targets_up.lock().clone());
        lane.announce_stirred();
        lane.saved();
        lane.show();
    }

    /// Tells the calls of the door how far this node has applied the trail, where nothing waits to be applied.
    fn tidy(&self) {
        let files = &self.room.files;
        let applied = files.mark().and_then(|mark| Mark::read(&mark).ok());
        if let Some(mark) = applied.filter(|_| files.save.lock().is_none()) {
            self.room.calls.tidy(mark.sequence);
        }
    }
}

impl Actor for IncidentFiles {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        self.pulse = Some(ctx.pulse());
        ctx.tell_self_after(Duration::ZERO, Round);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.work();
        self.room.lane.shelf.put_away();
    }
}

/// Says that there is something to do.
pub(crate) struct Work;

impl Handle<Work> for IncidentFiles {
    type Reply = ();

    async fn handle(&mut self, _: Work, ctx: &mut Context<Self>) {
        let _patient = self.is_long().then(|| ctx.patient());
        self.work();
    }
}

struct Round;

impl Handle<Round> for IncidentFiles {
    type Reply = ();

    async fn handle(&mut self, _: Round, ctx: &mut Context<Self>) {
        ctx.tell_self_after(ROUND, Round);
        let _patient = self.is_long().then(|| ctx.patient());
        self.round();
    }
}

/// Forgets the windows of keys that were revoked.
pub(crate) struct ForgetWindows(pub(crate) Box<[KeyId]>);

impl Handle<ForgetWindows> for IncidentFiles {
    type Reply = ();

    async fn handle(&mut self, ForgetWindows(key_ids): ForgetWindows, _: &mut Context<Self>) {
        self.room.lane.replays.forget(&key_ids);
        if let Some(Err(err)) = self.room.lane.shelf.store().map(|store| store.forget_keys(&key_ids)) {
            // It costs some bytes: nothing that the keys seal is opened any more.
            warn!(error = %err, "failed to remove the windows of revoked keys");
        }
    }
}
