//! Copier: the office of a node that is there to copy all incidents, and for nothing else. Its store follows the trail as that of any node does. No alarm
//! comes to it, it never leads, and nothing goes out from it.
//!
//! That the store has all which was recorded before a moment is proved by a *sign*: a deed that changes no incident. The leader appends the group that
//! names it behind all others, so a store that has this group has all that was recorded before the sign was given.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep};
use vagn_cluster::trail::{
    Alarm, AlarmId, CopyOutcome, DeedId, DeedTaken, DeskState, Draft, Duty, Mark, Taken, TrailEvent,
};
use vagn_cluster::{DiskFault, Moment};
use vagn_nats::{Office, OfficeCommand};

use crate::office::copies::{AsidePlace, aside_in};
use crate::office::deed_form::{Deed, DeedForm};
use crate::record::group::Group;
use crate::record::store::{Opening, Store, StoreError};
use crate::selection::Selection;
use crate::trail::Head;

/// Longest wait for what is under way, and pause between two looks.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// All incidents of a cluster, on their way into a store of their own. Clones are the same.
#[derive(Clone)]
pub struct IncidentCopy {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    aside: Mutex<Aside>,
    /// Signs in the store.
    signs: Mutex<BTreeSet<u64>>,
    /// Reason of the last thing that could not be done.
    fault: Mutex<Option<String>>,
}

/// Pieces of another node's store that are put aside until all are there.
struct Aside {
    place: Box<dyn AsidePlace>,
    pieces: u32,
    bytes: u64,
}

impl IncidentCopy {
    /// Makes the store in the directory `dir`, which is there and has none.
    pub(crate) fn begin(dir: &Path, opening: Opening) -> Result<Self, StoreError> {
        let aside = Aside { place: aside_in(dir), pieces: 0, bytes: 0 };
        let inner = Inner {
            store: Store::open_shared(dir, opening)?,
            aside: Mutex::new(aside),
            signs: Mutex::default(),
            fault: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Returns desk and office for the driver of the trail.
    pub fn open(&self) -> (NoDesk, CopyOffice) {
        let restored = TrailEvent::Restored(None);
        let office = CopyOffice {
            copy: self.clone(),
            waiting: VecDeque::new(),
            under_way: None,
            ready: VecDeque::from([restored]),
        };
        (NoDesk, office)
    }

    /// Returns the deed that is a sign, by this number, which no other has and which is not 0.
    pub fn sign(number: u64) -> Vec<u8> {
        let (selection, nobody) = (Selection::default(), Box::<str>::default());
        let deed = Deed::ResolveThese { ids: Vec::new(), selection, by: nobody.clone(), note: nobody };
        DeedForm { tag: number, deed }.to_bytes()
    }

    /// Returns true when the store has this sign, and so all that was recorded before it was given.
    pub fn has(&self, sign: u64) -> bool {
        self.inner.signs.lock().contains(&sign)
    }

    /// Returns the reason for which the store did not take something. It is tried again as long as the driver is driven.
    pub fn fault(&self) -> Option<String> {
        self.inner.fault.lock().clone()
    }

    /// Closes the store, and returns the head of the trail in it. What was under way when the driver ended comes to its end first.
    ///
    /// # Errors
    /// It cannot be read, or a driver has it for too long.
    pub async fn close(self) -> Result<Head, StoreError> {
        let until = Instant::now() + CLOSED_WITHIN;
        let mut inner = self.inner;
        loop {
            match Arc::try_unwrap(inner) {
                Ok(Inner { store, .. }) => return Ok(store.trail(0, 0)?.0.head),
                Err(_) if Instant::now() >= until => return Err(StoreError::Busy),
                Err(shared) => inner = shared,
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn work(&self, work: &Work) -> TrailEvent {
        match work {
            Work::Save { mark, groups } => TrailEvent::Saved(self.note(self.save(mark, groups))),
            Work::Take { piece, bytes, mark } => {
                TrailEvent::CopyTaken(self.note(self.take(*piece, bytes, mark.as_ref())))
            }
        }
    }

    fn note(&self, result: Result<(), String>) -> Result<(), DiskFault> {
        *self.inner.fault.lock() = result.as_ref().err().cloned();
        result.map_err(|_| DiskFault::Full)
    }

    fn save(&self, mark: &Mark, groups: &[Arc<[u8]>]) -> Result<(), String> {
        let groups: Result<Vec<Group>, _> = groups.iter().map(|group| Group::from_bytes(group)).collect();
        let groups = groups.map_err(|err| err.to_string())?;
        self.inner.store.apply(&groups, &mark.write()).map_err(|err| err.to_string())?;
        self.inner.signs.lock().extend(groups.iter().flat_map(|group| &group.results).map(|(tag, _)| *tag));
        Ok(())
    }

    /// Puts a piece aside; with the last one, which has a mark, all of them become the content of the store.
    fn take(&self, piece: u32, bytes: &[u8], mark: Option<&Mark>) -> Result<(), String> {
        let mut aside = self.inner.aside.lock();
        aside.put(piece, bytes).map_err(|err| err.to_string())?;
        let Some(mark) = mark else { return Ok(()) };
        let mut pieces = aside.place.read().map_err(|err| err.to_string())?;
        self.inner.store.take_copy(&mut pieces, &mark.write()).map_err(|err| err.to_string())?;
        aside.place.clear().map_err(|err| err.to_string())
    }
}

impl Aside {
    fn put(&mut self, piece: u32, bytes: &[u8]) -> std::io::Result<()> {
        if piece == 0 {
            self.place.clear()?;
            (self.pieces, self.bytes) = (0, 0);
        }
        // One that comes again could not be made the content of the store.
        if piece == self.pieces {
            self.place.put(self.bytes, bytes)?;
            (self.pieces, self.bytes) = (piece + 1, self.bytes + bytes.len() as u64);
        }
        Ok(())
    }
}

/// Something that is to be done with the store.
enum Work {
    Save { mark: Mark, groups: Vec<Arc<[u8]>> },
    Take { piece: u32, bytes: Vec<u8>, mark: Option<Mark> },
}

/// The office of a copier.
pub struct CopyOffice {
    copy: IncidentCopy,
    waiting: VecDeque<Work>,
    under_way: Option<JoinHandle<TrailEvent>>,
    ready: VecDeque<TrailEvent>,
}

impl Office for CopyOffice {
    type Desk = NoDesk;

    fn carry_out(&mut self, command: OfficeCommand) {
        match command {
            OfficeCommand::Save { mark, groups } => self.waiting.push_back(Work::Save { mark, groups }),
            OfficeCommand::TakeCopy { piece, bytes, mark } => {
                self.waiting.push_back(Work::Take { piece, bytes, mark });
            }
            // Others are there to be copied from.
            OfficeCommand::ReadCopy { read, .. } => {
                self.ready.push_back(TrailEvent::CopyRead { read, outcome: CopyOutcome::Fault });
            }
            OfficeCommand::ReadKept { .. } => {
                self.ready.push_back(TrailEvent::Kept { alarms: Vec::new(), is_end: true });
            }
            // A store that had nothing before has no rest.
            OfficeCommand::ReadRest { .. } => {
                self.ready.push_back(TrailEvent::RestRead { rest: Vec::new(), is_end: true });
            }
            // They come of alarms, of which it takes none.
            OfficeCommand::Keep { .. }
            | OfficeCommand::CallAlone { .. }
            | OfficeCommand::LetGo { .. }
            | OfficeCommand::Refuse { .. }
            | OfficeCommand::Reopen { .. }
            | OfficeCommand::DropRest { .. } => {}
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<TrailEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(event);
            }
            if let Some(under_way) = &mut self.under_way {
                let ended = ready!(Pin::new(under_way).poll(cx));
                self.under_way = None;
                return Poll::Ready(
                    ended.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic())),
                );
            }
            let Some(work) = self.waiting.pop_front() else { return Poll::Pending };
            let copy = self.copy.clone();
            self.under_way = Some(spawn_blocking(move || copy.work(&work)));
        }
    }

    fn act(&mut self, _: &mut NoDesk, _: Duty, _: Moment) -> bool {
        false
    }
}

/// The desk of a node that never leads.
pub struct NoDesk;

impl DeskState for NoDesk {
    fn recall(&mut self, _: Option<RangeInclusive<u64>>) {}

    fn take(&mut self, _: &Alarm) -> Taken {
        Taken::NoRoom
    }

    fn deed(&mut self, _: DeedId, _: &[u8]) -> Result<DeedTaken, Vec<u8>> {
        Err(Vec::new())
    }

    fn draft(&mut self) -> Option<Draft> {
        None
    }

    fn recorded(&mut self, _: u64) {}

    fn saved(&mut self, _: u64) {}

    fn release(&mut self, _: AlarmId) {}

    fn set_duty(&mut self, _: Duty) {}

    fn stand_down(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use vagn_cluster::Incarnation;
    use vagn_cluster::trail::{Term, TrailId};

    use super::*;
    use crate::id::IncidentId;
    use crate::record::group::DeedResult;
    use crate::record::incident::Incident;

    const SIGN: u64 = 7;

    fn mark(sequence: u64) -> Mark {
        let trail = TrailId { epoch: 1, incarnation: Incarnation(3) };
        Mark { trail, sequence, entry_hash: 4, running_hash: 5, term: Term(6), settings_hash: None }
    }

    fn begin(dir: &tempfile::TempDir) -> (IncidentCopy, CopyOffice) {
        let copy = crate::copy_incidents(dir.path(), 1_700_000_000_000).unwrap();
        let (_, office) = copy.open();
        (copy, office)
    }

    async fn next(office: &mut CopyOffice) -> TrailEvent {
        poll_fn(|cx| office.poll_event(cx)).await
    }

    /// Saves a group of an incident and a sign.
    async fn save(office: &mut CopyOffice) {
        let incident = Incident::example(IncidentId::from_u128(9), "bus 9");
        let group = Group {
            salt: 1,
            is_clock_doubted: false,
            drafts: vec![incident.into()],
            alarms: Vec::new(),
            deeds: vec![2],
            results: vec![(SIGN, DeedResult { count: 0, incident: None })],
        };
        let groups = vec![group.to_bytes().into()];
        office.carry_out(OfficeCommand::Save { mark: mark(8), groups });
        assert!(matches!(next(office).await, TrailEvent::Saved(Ok(()))));
    }

    #[tokio::test]
    async fn a_sign_is_there_once_its_group_is() {
        let dir = tempfile::tempdir().unwrap();
        let (copy, mut office) = begin(&dir);
        assert!(matches!(next(&mut office).await, TrailEvent::Restored(None)));
        assert!(!copy.has(SIGN));
        save(&mut office).await;
        assert!(copy.has(SIGN) && !copy.has(SIGN + 1));
        let noise = vec![Arc::from(&b"noise"[..])];
        office.carry_out(OfficeCommand::Save { mark: mark(9), groups: noise });
        assert!(matches!(next(&mut office).await, TrailEvent::Saved(Err(DiskFault::Full))));
        assert!(copy.fault().is_some_and(|fault| fault.contains("cannot be read")));
        drop(office);
        assert!(copy.close().await.is_ok());
    }

    #[tokio::test]
    async fn pieces_of_another_store_become_the_copy() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (giver, mut gives) = begin(&dirs[0]);
        next(&mut gives).await;
        save(&mut gives).await;
        let (taker, mut takes) = begin(&dirs[1]);
        next(&mut takes).await;
        let mut picture = giver.inner.store.picture().unwrap().unwrap();
        let (mut from, mut piece, mut is_last) = (Vec::new(), 0, false);
        while !is_last {
            let (bytes, next_from) = picture.piece(&from, 257).unwrap().unwrap();
            is_last = next_from.is_none();
            let mark = is_last.then(|| mark(8));
            // Each comes twice, as one does whose answer was lost.
            for _ in 0..if is_last { 1 } else { 2 } {
                takes.carry_out(OfficeCommand::TakeCopy { piece, bytes: bytes.clone(), mark });
                assert!(matches!(next(&mut takes).await, TrailEvent::CopyTaken(Ok(()))));
            }
            (from, piece) = (next_from.unwrap_or_default(), piece + 1);
        }
        assert_eq!(taker.inner.store.live().unwrap(), giver.inner.store.live().unwrap());
        drop((picture, gives, takes));
        assert!(piece > 2 && taker.close().await.unwrap() == giver.close().await.unwrap());
    }
}
