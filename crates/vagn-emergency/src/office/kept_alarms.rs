//! Actor `kept-alarms`: writes what a door keeps, many changes with one sync.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tracing::{error, info};
use vagn_cluster::trail::{AlarmId, KeptAlarm, TrailEvent};
use vagn_otp::{Actor, Addr, Context, Failure, Handle};

use crate::id::IncidentId;
use crate::office::alarm_form::AlarmForm;
use crate::office::answers::Answers;
use crate::office::kept::{Change, Changed, KeptError, KeptStore};
use crate::office::room::Room;

/// Changes that may wait for the disk.
pub(crate) const CHANGES_MAX: usize = 16_384;

/// Changes that are written together.
const TOGETHER: usize = 512;

/// Alarms that are read together when a run begins.
const READ_TOGETHER: usize = 512;

/// Time between two tries with a disk that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What is to be written and read. It belongs to no life of the actor.
#[derive(Default)]
pub(crate) struct KeptQueue {
    changes: Mutex<VecDeque<Change>>,
    /// Held by the life that writes.
    claimed: Mutex<()>,
    reads: Mutex<Reads>,
    store: Mutex<Option<Arc<KeptStore>>>,
    fault: Mutex<Option<String>>,
    /// The door knows what an earlier run kept, or nobody can say it.
    is_read: AtomicBool,
    count: AtomicU64,
    bell: Mutex<Option<Addr<KeptAlarms>>>,
}

/// Reads of drivers.
#[derive(Default)]
struct Reads {
    last: u64,
    /// The read that the driver waits for.
    asked: Option<Read>,
}

/// A read of what is kept.
#[derive(Debug, Clone, Copy)]
struct Read {
    number: u64,
    after: Option<AlarmId>,
    max: usize,
}

impl KeptQueue {
    /// Wakes this actor from now on.
    pub(crate) fn connect(&self, actor: Addr<KeptAlarms>) {
        *self.bell.lock() = Some(actor);
    }

    /// Has a change written, behind all before it.
    ///
    /// # Errors
    /// The change: too many wait.
    pub(crate) fn push(&self, change: Change) -> Result<(), Change> {
        {
            let mut changes = self.changes.lock();
            let max = match change {
                Change::Keep { .. } => CHANGES_MAX,
                // What is let go makes room.
                Change::Note { .. } | Change::LetGo { .. } => CHANGES_MAX * 2,
                // Under its old id an alarm is called about as one that is over. A door has no more alarms than these.
                Change::Rename { .. } => CHANGES_MAX * 3,
            };
            if changes.len() >= max {
                return Err(change);
            }
            changes.push_back(change);
        }
        self.ring();
        Ok(())
    }

    /// Has alarms read, behind all changes so far.
    pub(crate) fn read(&self, after: Option<AlarmId>, max: usize) {
        let mut reads = self.reads.lock();
        reads.last += 1;
        reads.asked = Some(Read { number: reads.last, after, max });
        drop(reads);
        self.ring();
    }

    /// Forgets what an earlier driver has asked.
    pub(crate) fn forget_read(&self) {
        self.reads.lock().asked = None;
    }

    /// Returns true once the door knows what an earlier run kept, or the disk cannot say it.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Acquire)
    }

    pub(crate) fn note_read(&self) {
        self.is_read.store(true, Ordering::Release);
    }

    fn asked(&self) -> Option<Read> {
        self.reads.lock().asked
    }

    /// Answers a read, unless another driver has begun meanwhile: alarms that it did not ask for it would take for those that it did.
    fn answer(&self, read: Read, (alarms, is_end): (Vec<KeptAlarm>, bool), answers: &Answers) {
        let mut reads = self.reads.lock();
        if reads.asked.take_if(|asked| asked.number == read.number).is_some() {
            answers.tell(TrailEvent::Kept { alarms, is_end });
        }
    }

    /// Returns the right to write what waits. A life of the actor has it from before it reads changes until they have left the queue.
    pub(super) fn claim(&self) -> Option<MutexGuard<'_, ()>> {
        self.claimed.try_lock()
    }

    fn ring(&self) {
        if let Some(actor) = &*self.bell.lock() {
            // If its mailbox is full it is awake, and if it is being restarted it looks when it begins.
            actor.try_tell(Work).ok();
        }
    }

    /// Returns all that is kept.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<KeptAlarm> {
        self.store.lock().as_ref().expect("it is open").read(None, usize::MAX).expect("it is whole").0
    }

    /// Counts the alarms that are kept.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns the alarms that are on disk.
    pub(crate) fn on_disk(&self) -> Vec<KeptAlarm> {
        let store = self.store.lock().clone();
        store.and_then(|store| store.read(None, usize::MAX).ok()).map_or_else(Vec::new, |(alarms, _)| alarms)
    }

    /// Returns the reason for which nothing can be kept now.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }
}

/// Function that opens the store of kept alarms.
pub(crate) type KeptOpener = Box<dyn Fn() -> Result<KeptStore, KeptError> + Send + Sync>;

/// Actor that writes what a door keeps.
pub(crate) struct KeptAlarms {
    room: Arc<Room>,
    opener: KeptOpener,
}

impl KeptAlarms {
    pub(crate) fn new(room: Arc<Room>, folder: PathBuf) -> Self {
        Self::opening(room, Box::new(move || KeptStore::open(&folder)))
    }

    pub(crate) fn opening(room: Arc<Room>, opener: KeptOpener) -> Self {
        Self { room, opener }
    }

    pub(crate) fn work(&self) {
        let queue = &self.room.kept;
        // An earlier life hangs in the disk. If it comes back, what it wrote leaves the queue with it, and must not leave it twice.
        let Some(_claim) = queue.claim() else { return self.note_fault(&KeptError::Busy.to_string()) };
        while let Some(store) = self.store() {
            self.read_earlier(&store);
            // They leave the queue when they are on disk: a crash in between loses none, and to make one again changes nothing.
            let changes: Vec<Change> = queue.changes.lock().iter().take(TOGETHER).cloned().collect();
            if changes.is_empty() {
                return self.answer_read(&store);
            }
            match store.change(&changes) {
                Ok(changed) => self.changed(&changes, changed),
                // They stay in the queue: what hangs may still write them.
                Err(err @ KeptError::Busy) => return self.note_fault(&err.to_string()),
                Err(err) => return self.failed(&changes, &err.to_string()),
            }
        }
        // Alarms must not wait for a disk that may never open.
        queue.note_read();
        let changes: Vec<Change> = queue.changes.lock().iter().cloned().collect();
        self.give_back(&changes);
    }

    /// Tells the door what an earlier run kept, before it takes in other alarms: repeats belong to these. No driver need live for that.
    fn read_earlier(&self, store: &KeptStore) {
        let mut after = None;
        while !self.room.kept.is_read() {
            match store.read(after, READ_TOGETHER) {
                Ok((alarms, is_end)) => {
                    after = alarms.last().map(|kept| kept.alarm).or(after);
                    alarms.iter().for_each(|kept| self.remember(kept));
                    if is_end {
                        self.room.kept.note_read();
                    }
                }
                // It is tried again. The door waits no longer than it may.
                Err(err) => return self.note_fault(&err.to_string()),
            }
        }
    }

    fn remember(&self, kept: &KeptAlarm) {
        // One that cannot be read is named when the driver reads it.
        if let Ok(form) = AlarmForm::from_bytes(&kept.bytes) {
            let id = IncidentId::from_u128(kept.alarm.0);
            self.room.door.remember(id, (&kept.bytes, &form), &kept.note, &self.room);
        }
    }

    fn store(&self) -> Option<Arc<KeptStore>> {
        let queue = &self.room.kept;
        if let Some(store) = &*queue.store.lock() {
            // Only a new process can say what a file has whose sync has failed.
            return Some(store.clone()).filter(|store| !store.sync_failed());
        }
        match (self.opener)() {
            Ok(store) => {
                let store = Arc::new(store);
                queue.count.store(store.count(), Ordering::Relaxed);
                if queue.fault.lock().take().is_some() {
                    info!("alarms are kept on disk again");
                }
                *queue.store.lock() = Some(store.clone());
                Some(store)
            }
            Err(err) => {
                self.note_fault(&err.to_string());
                None
            }
        }
    }

    fn changed(&self, changes: &[Change], changed: Changed) {
        let queue = &self.room.kept;
        if take_first(&mut queue.changes.lock(), changes).is_none() {
            return;
        }
        queue.count.store(changed.count, Ordering::Relaxed);
        *queue.fault.lock() = None;
        for (alarm, bytes) in changed.no_room {
            self.room.not_kept(alarm, bytes);
        }
    }

    fn failed(&self, changes: &[Change], why: &str) {
        self.note_fault(why);
        let is_broken = self.room.kept.store.lock().as_ref().is_some_and(|store| store.sync_failed());
        if !is_broken {
            // The database must be opened anew after a fault.
            *self.room.kept.store.lock() = None;
        }
        self.give_back(changes);
    }

    /// Gives alarms back that are not kept. What else was to be changed stays in the queue.
    fn give_back(&self, changes: &[Change]) {
        let mut queue = self.room.kept.changes.lock();
        let Some(first) = take_first(&mut queue, changes) else { return };
        let (mut alarms, mut rest) = (Vec::new(), Vec::new());
        for change in first {
            match change {
                Change::Keep { alarm, bytes } => alarms.push((alarm, bytes)),
                change => rest.push(change),
            }
        }
        rest.into_iter().rev().for_each(|change| queue.push_front(change));
        drop(queue);
        alarms.into_iter().for_each(|(alarm, bytes)| self.room.not_kept(alarm, bytes));
    }

    fn note_fault(&self, why: &str) {
        if self.room.kept.fault.lock().replace(why.to_owned()).as_deref() != Some(why) {
            error!("{why}");
        }
    }

    fn answer_read(&self, store: &KeptStore) {
        let Some(read) = self.room.kept.asked() else { return };
        match store.read(read.after, read.max) {
            Ok(kept) => self.room.kept.answer(read, kept, &self.room.answers),
            // It is tried again: the driver waits for it.
            Err(err) => self.note_fault(&err.to_string()),
        }
    }
}

/// Takes these changes out of the queue; `None` where another life of the actor has done it, which came back from the disk meanwhile.
fn take_first(queue: &mut VecDeque<Change>, changes: &[Change]) -> Option<Vec<Change>> {
    let are_first =
        queue.len() >= changes.len() && queue.iter().zip(changes).all(|(one, other)| one == other);
    are_first.then(|| queue.drain(..changes.len()).collect())
}

impl Actor for KeptAlarms {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result<(), Failure> {
        ctx.tell_self_after(Duration::ZERO, Again);
        Ok(())
    }

    async fn stopped(&mut self) {
        self.work();
    }
}

/// Says that there is something to write or to read.
pub(crate) struct Work;

impl Handle<Work> for KeptAlarms {
    type Reply = ();

    async fn handle(&mut self, _: Work, _: &mut Context<Self>) {
        self.work();
    }
}

/// Tries what is left.
struct Again;

impl Handle<Again> for KeptAlarms {
    type Reply = ();

    async fn handle(&mut self, _: Again, ctx: &mut Context<Self>) {
        ctx.tell_self_after(AGAIN, Again);
        self.work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::office::tests::bench::Bench;

    #[test]
    fn no_driver_hears_the_answer_to_what_an_earlier_one_has_asked() {
        let bench = Bench::new();
        let (kept, answers) = (&bench.room.kept, &bench.room.answers);
        let of = |alarm| KeptAlarm { alarm: AlarmId(alarm), bytes: vec![1], note: Vec::new() };
        kept.read(Some(AlarmId(7)), 2);
        let earlier = kept.asked().unwrap();
        // The disk is slow, and a new driver begins.
        kept.forget_read();
        let mut heard = answers.open();
        kept.answer(earlier, (vec![of(8)], false), answers);
        assert!(heard.next().is_none(), "before it has asked");
        kept.read(None, 2);
        let own = kept.asked().unwrap();
        kept.answer(earlier, (vec![of(8)], false), answers);
        assert!(heard.next().is_none(), "it would never hear of those before 8");
        kept.answer(own, (vec![of(1), of(8)], true), answers);
        assert!(matches!(heard.next(), Some(TrailEvent::Kept { alarms, .. }) if alarms.len() == 2));
    }

    #[test]
    fn a_life_that_comes_back_from_the_disk_takes_nothing_out_of_the_queue_that_it_did_not_write() {
        let bench = Bench::new();
        let folder = tempfile::tempdir().unwrap();
        let actor = KeptAlarms::new(bench.room.clone(), folder.path().into());
        let keep = |alarm: u128| Change::Keep { alarm: AlarmId(alarm), bytes: vec![1] };
        let queue = &bench.room.kept;
        [1, 2, 3].into_iter().for_each(|alarm| queue.push(keep(alarm)).unwrap());
        // Two lives have written the first one.
        for _ in 0..2 {
            actor.changed(&[keep(1)], Changed { count: 1, no_room: Vec::new() });
        }
        actor.give_back(&[keep(1)]);
        assert_eq!(*queue.changes.lock(), [keep(2), keep(3)]);
        actor.work();
        assert_eq!((queue.changes.lock().len(), queue.count()), (0, 2));
    }
}
