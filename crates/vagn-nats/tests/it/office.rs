//! The rest of a node with calls for help: a store in memory that outlives it, calls that take a while, and the target that gets them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};
use vagn_cluster::Moment;
use vagn_cluster::trail::{AlarmId, CopyOutcome, Duty, KeptAlarm, Mark, TrailEvent, Why};
use vagn_nats::{Office, OfficeCommand};

use crate::desk::{Desk, Meaning, Message, Store, read_alarm};

/// Time that a call takes.
const CALL: Duration = Duration::from_millis(5);

/// Longest piece of a copy.
const PIECE: usize = 4_096;

/// Pause between two calls of a door about an alarm.
const AGAIN: Duration = Duration::from_millis(200);

/// Pause after which the desk is asked again what is due, when the target has refused something.
const LOOK: Duration = Duration::from_millis(250);

/// Gets all calls.
#[derive(Default)]
pub(crate) struct Target {
    /// Accepts nothing.
    pub(crate) is_deaf: AtomicBool,
    calls: Mutex<Vec<Call>>,
    /// Vehicles that called anew after their incident was over, as often as they did.
    anew: Mutex<Vec<u64>>,
}

/// A call that the target got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) node: u64,
    /// Incident and number.
    key: (u64, u64),
    meaning: Meaning,
    pub(crate) at: Instant,
    pub(crate) is_accepted: bool,
}

impl Target {
    fn take(&self, node: u64, message: Message) -> bool {
        let is_accepted = !self.is_deaf.load(Ordering::Relaxed);
        let Message { incident, number, meaning } = message;
        let call = Call { node, key: (incident, number), meaning, at: Instant::now(), is_accepted };
        self.calls.lock().unwrap().push(call);
        is_accepted
    }

    fn expect_anew(&self, vehicle: u64) {
        self.anew.lock().unwrap().push(vehicle);
    }

    /// Calls that said this.
    pub(crate) fn of(&self, meaning: Meaning) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.meaning == meaning).copied().collect()
    }

    pub(crate) fn has(&self, meaning: Meaning) -> bool {
        self.of(meaning).iter().any(|call| call.is_accepted)
    }

    /// Checks that no key meant two things, and that each vehicle was called about under one for each time that it called anew.
    pub(crate) fn check_keys(&self) {
        let calls = self.calls.lock().unwrap();
        let mut meanings: BTreeMap<(u64, u64), Meaning> = BTreeMap::new();
        let mut keys: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
        for call in &*calls {
            assert_eq!(*meanings.entry(call.key).or_insert(call.meaning), call.meaning, "{:?}", call.key);
            if let Meaning::Opening(vehicle) = call.meaning {
                keys.entry(vehicle).or_default().insert(call.key);
            }
        }
        for (vehicle, keys) in keys {
            let anew = self.anew.lock().unwrap().iter().filter(|anew| **anew == vehicle).count();
            assert_eq!(keys.len(), 1 + anew, "vehicle {vehicle} was called about under {keys:?}");
        }
    }
}

/// What came of something that takes time.
enum Came {
    /// A call of the desk.
    Attempted(Message, bool),
    /// A call of the door.
    Alone(AlarmId, bool),
    /// It is time for another one.
    Again(AlarmId),
    /// It is time for the desk to look what is due.
    Look,
}

/// Carries out what a node asks for.
pub(crate) struct Memory {
    node: u64,
    store: Arc<Mutex<Store>>,
    target: Arc<Target>,
    /// Alarms whose sender may hear `stored`.
    stored: Arc<Mutex<Vec<AlarmId>>>,
    events: VecDeque<TrailEvent>,
    under_way: FuturesUnordered<BoxFuture<'static, Came>>,
    /// Vehicles of the alarms about which the door calls.
    alone: BTreeMap<AlarmId, u64>,
    attempted: Vec<(Message, bool)>,
    /// Store as it was at a mark, for other nodes.
    picture: Option<(Mark, Vec<u8>)>,
}

impl Memory {
    pub(crate) fn open(
        node: u64,
        store: Arc<Mutex<Store>>,
        target: Arc<Target>,
        stored: Arc<Mutex<Vec<AlarmId>>>,
    ) -> Self {
        let mark = store.lock().unwrap().mark.map(|mark| mark.write());
        let events = VecDeque::from([TrailEvent::Restored(mark)]);
        Self {
            node,
            store,
            target,
            stored,
            events,
            under_way: FuturesUnordered::new(),
            alone: BTreeMap::new(),
            attempted: Vec::new(),
            picture: None,
        }
    }

    /// Makes its store one that never tells what it has.
    pub(crate) fn stuck(mut self) -> Self {
        self.events.clear();
        self
    }

    /// Returns the store and the target.
    pub(crate) fn shared(&self) -> (Arc<Mutex<Store>>, Arc<Target>) {
        (self.store.clone(), self.target.clone())
    }

    fn call(&self, message: Message, came: impl FnOnce(bool) -> Came + Send + 'static) {
        let (node, target) = (self.node, self.target.clone());
        let call = async move {
            sleep(CALL).await;
            came(target.take(node, message))
        };
        self.under_way.push(call.boxed());
    }

    fn call_alone(&self, alarm: AlarmId) {
        if let Some(vehicle) = self.alone.get(&alarm) {
            let message =
                Message { incident: alarm.0 as u64, number: 0, meaning: Meaning::Opening(*vehicle) };
            self.call(message, move |is_accepted| Came::Alone(alarm, is_accepted));
        }
    }

    fn came(&mut self, came: Came) -> Option<TrailEvent> {
        match came {
            Came::Attempted(message, is_accepted) => {
                self.attempted.push((message, is_accepted));
                if !is_accepted {
                    self.under_way.push(sleep(LOOK).map(|()| Came::Look).boxed());
                }
                Some(TrailEvent::DeskChanged)
            }
            Came::Alone(alarm, true) => {
                let note = b"accepted".to_vec();
                if let Some((_, kept)) = self.store.lock().unwrap().kept.get_mut(&alarm) {
                    kept.clone_from(&note);
                }
                Some(TrailEvent::CalledAlone { alarm, note })
            }
            Came::Alone(alarm, false) => {
                self.under_way.push(sleep(AGAIN).map(move |()| Came::Again(alarm)).boxed());
                None
            }
            Came::Again(alarm) => {
                self.call_alone(alarm);
                None
            }
            Came::Look => Some(TrailEvent::DeskChanged),
        }
    }
}

/// Returns a piece of a store as it was.
fn piece(picture: Option<&(Mark, Vec<u8>)>, of: Option<Mark>, from: &[u8], max_bytes: usize) -> CopyOutcome {
    let Some((mark, bytes)) = picture.filter(|(mark, _)| of.is_none_or(|of| of == *mark)) else {
        return CopyOutcome::Gone;
    };
    let from = from.first_chunk().map_or(0, |from| u64::from_le_bytes(*from) as usize);
    let end = (from + max_bytes).min(bytes.len());
    let next = (end < bytes.len()).then(|| (end as u64).to_le_bytes().to_vec());
    CopyOutcome::Piece { mark: *mark, bytes: bytes[from..end].to_vec(), next }
}

impl Office for Memory {
    type Desk = Desk;

    fn carry_out(&mut self, command: OfficeCommand) {
        let mut store = self.store.lock().unwrap();
        match command {
            OfficeCommand::Save { mark, groups } => {
                store.save(mark, &groups);
                self.events.push_back(TrailEvent::Saved(Ok(())));
            }
            OfficeCommand::Keep { alarm, bytes } => {
                store.kept.entry(alarm).or_default().0 = bytes;
            }
            OfficeCommand::CallAlone { alarm, bytes, why } => {
                assert!(matches!(why, Why::Unanswered | Why::Kept), "{why:?}");
                drop(store);
                if self.alone.insert(alarm, read_alarm(&bytes).0).is_none() {
                    self.call_alone(alarm);
                }
            }
            OfficeCommand::LetGo { alarm, bytes } => {
                if store.kept.get(&alarm).is_some_and(|(kept, _)| *kept == bytes) {
                    store.kept.remove(&alarm);
                }
                self.alone.remove(&alarm);
                self.stored.lock().unwrap().push(alarm);
            }
            OfficeCommand::Refuse { .. } => unreachable!("its desk has no limits"),
            OfficeCommand::Reopen { alarm, bytes } => {
                // Ids of doors are shorter.
                let new = AlarmId(fastrand::u64(1 << 63..).into());
                if let Some((kept, _)) = store.kept.remove(&alarm) {
                    // Nobody has accepted a call under the new id.
                    store.kept.insert(new, (kept, Vec::new()));
                }
                self.alone.remove(&alarm);
                self.target.expect_anew(read_alarm(&bytes).0);
                self.events.push_back(TrailEvent::Alarm { alarm: new, bytes });
            }
            OfficeCommand::ReadKept { after, max } => {
                let behind = store.kept.iter().filter(|(alarm, _)| after.is_none_or(|after| **alarm > after));
                let kept = |(alarm, (bytes, note)): (&AlarmId, &(Vec<u8>, Vec<u8>))| KeptAlarm {
                    alarm: *alarm,
                    bytes: bytes.clone(),
                    note: note.clone(),
                };
                let mut alarms: Vec<KeptAlarm> = behind.map(kept).collect();
                let is_end = alarms.len() <= max;
                alarms.truncate(max);
                self.events.push_back(TrailEvent::Kept { alarms, is_end });
            }
            OfficeCommand::ReadCopy { read, of, from, max_bytes, .. } => {
                if of.is_none()
                    && let Some(mark) = store.mark
                {
                    self.picture = Some((mark, store.picture()));
                }
                let outcome = piece(self.picture.as_ref(), of, &from, max_bytes.min(PIECE));
                self.events.push_back(TrailEvent::CopyRead { read, outcome });
            }
            OfficeCommand::TakeCopy { piece, bytes, mark } => {
                store.take(piece, &bytes, mark);
                self.events.push_back(TrailEvent::CopyTaken(Ok(())));
            }
            OfficeCommand::ReadRest { max } => {
                let is_end = store.rest.len() <= max;
                let rest = store.rest.iter().take(max).map(|(deed, bytes)| (*deed, bytes.clone())).collect();
                self.events.push_back(TrailEvent::RestRead { rest, is_end });
            }
            OfficeCommand::DropRest { deed } => drop(store.rest.remove(&deed)),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<TrailEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.under_way.poll_next_unpin(cx) {
                Poll::Ready(Some(came)) => {
                    let event = self.came(came);
                    self.events.extend(event);
                }
                // What is to come begins with a command, or in `act`, and is polled then.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn act(&mut self, desk: &mut Desk, duty: Duty, now: Moment) -> bool {
        let attempted = std::mem::take(&mut self.attempted);
        let has_news = !attempted.is_empty();
        for (message, is_accepted) in attempted {
            desk.attempted(message, is_accepted, now.elapsed_ms);
        }
        for message in desk.due(now.elapsed_ms, duty) {
            self.call(message, move |is_accepted| Came::Attempted(message, is_accepted));
        }
        has_news
    }
}
