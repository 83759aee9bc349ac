//! Asked: alarms of vehicles that cannot be looked up at this node, until an owner of their shard has said who is known. Limits for strangers hold
//! after that. Where no owner says so in time, an alarm goes on as one of an undecided vehicle, and the leader asks again while its incident is open.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::time::{interval, timeout};
use vagn_otp::{Failure, TaskContext};

use crate::desk::VehicleOf;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::no_room::RefusedAlarms;
use crate::office::arrivals::take_in;
use crate::office::door::Door;
use crate::office::room::Room;
use crate::record::standing::Standing;

/// Most alarms that wait for an answer: as many as the lane of undecided vehicles in the inbox has.
pub(super) const ASKED_MAX: usize = 8_192;

/// Most vehicles in a question.
pub const ASKED_AT_ONCE: usize = 256;

/// Most questions under way: one that waits for an owner that is gone holds up no other.
const QUESTIONS_MAX: usize = 8;

/// Longest wait for an answer. After 50 ms the node asks another owner.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// Time after which an alarm waits for no answer any more, whatever became of the question.
pub(super) const ASKED_WITHIN: Duration = Duration::from_millis(250);

/// Most vehicles of open incidents that wait for a question of the leader; the others follow when these have been asked about.
const OPEN_MAX: usize = 8_192;

/// Pause between two signs of life.
const BEAT_EVERY: Duration = Duration::from_millis(500);

/// The way to the owners of vehicles.
pub trait Owners: Send + Sync {
    /// Returns the standings of these vehicles, at most [`ASKED_AT_ONCE`], in order: undecided where no owner says `within` this time.
    fn standings(&self, vehicle_ids: Vec<Box<str>>, within: Duration) -> BoxFuture<'static, Vec<Standing>>;
}

/// The way to the owners, if there are others.
#[derive(Default)]
pub(crate) struct Asker {
    owners: OnceLock<Arc<dyn Owners>>,
    pub(super) news: Notify,
}

impl Asker {
    /// Asks these from now on. Only the first counts.
    pub(crate) fn connect(&self, owners: Arc<dyn Owners>) {
        self.owners.get_or_init(|| owners);
    }

    fn asks(&self) -> bool {
        self.owners.get().is_some()
    }

    /// Returns true for an alarm whose vehicle an owner is to be asked about.
    pub(super) fn asks_about(&self, alarm: &Alarm, vehicle: &KnownVehicle) -> bool {
        self.asks() && [alarm.standing, vehicle.standing] == [Standing::Undecided; 2]
    }
}

/// Alarms whose vehicles an owner is asked about, in order of arrival for each vehicle.
#[derive(Default)]
pub(super) struct Asked {
    vehicles: HashMap<Box<str>, AskedVehicle>,
    /// Those that are in no question yet.
    next: VecDeque<Box<str>>,
    alarms: usize,
    /// Undecided vehicles of open incidents, of which the leader asks.
    open: VecDeque<VehicleOf>,
}

struct AskedVehicle {
    alarms: Vec<Alarm>,
    vehicle: KnownVehicle,
    since: Duration,
}

/// What an owner is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum About {
    /// Vehicles of alarms that wait.
    Alarms(Vec<Box<str>>),
    /// Vehicles of open incidents.
    Open(Vec<VehicleOf>),
}

impl About {
    fn vehicle_ids(&self) -> Vec<Box<str>> {
        match self {
            Self::Alarms(vehicle_ids) => vehicle_ids.clone(),
            Self::Open(open) => open.iter().map(|(_, vehicle_id)| vehicle_id.clone()).collect(),
        }
    }
}

impl Asked {
    pub(super) fn count(&self) -> usize {
        self.alarms
    }

    pub(super) fn is_full(&self) -> bool {
        self.alarms >= ASKED_MAX
    }

    /// Lets an alarm wait for what an owner says of its vehicle.
    pub(super) fn put(&mut self, alarm: Alarm, vehicle: KnownVehicle, now: Duration) {
        self.alarms += 1;
        match self.vehicles.get_mut(&alarm.vehicle_id) {
            Some(asked) => asked.alarms.push(alarm),
            None => {
                let vehicle_id = alarm.vehicle_id.clone();
                self.next.push_back(vehicle_id.clone());
                self.vehicles.insert(vehicle_id, AskedVehicle { alarms: vec![alarm], vehicle, since: now });
            }
        }
    }

    /// Has the leader ask about these, once it has about those before.
    pub(super) fn put_open(&mut self, open: Vec<VehicleOf>) {
        if self.open.is_empty() {
            self.open.extend(open.into_iter().take(OPEN_MAX));
        }
    }

    /// Returns what is to be asked next: first what alarms wait for.
    pub(super) fn question(&mut self) -> Option<About> {
        if !self.next.is_empty() {
            let some = self.next.len().min(ASKED_AT_ONCE);
            return Some(About::Alarms(self.next.drain(..some).collect()));
        }
        let some = self.open.len().min(ASKED_AT_ONCE);
        (some > 0).then(|| About::Open(self.open.drain(..some).collect()))
    }

    /// Takes out the alarms of a vehicle.
    pub(super) fn take(&mut self, vehicle_id: &str) -> impl Iterator<Item = (Alarm, KnownVehicle)> + use<> {
        let asked = self.vehicles.remove(vehicle_id);
        let (alarms, vehicle) =
            asked.map_or((Vec::new(), KnownVehicle::UNDECIDED), |asked| (asked.alarms, asked.vehicle));
        self.alarms -= alarms.len();
        alarms.into_iter().map(move |alarm| (alarm, vehicle))
    }

    /// Returns the vehicles whose alarms have waited since `latest` or longer.
    pub(super) fn late(&self, latest: Duration) -> Vec<Box<str>> {
        let late = self.vehicles.iter().filter(|(_, asked)| asked.since <= latest);
        late.map(|(vehicle_id, _)| vehicle_id.clone()).collect()
    }
}

impl Door {
    /// Returns what an owner is to be asked about next.
    pub(super) fn question(&self) -> Option<About> {
        self.waiting.lock().asked.question()
    }

    /// Has owners be asked about undecided vehicles of open incidents.
    pub(crate) fn ask_open(&self, open: Vec<VehicleOf>, room: &Room) {
        if room.asker.asks() && !open.is_empty() {
            self.waiting.lock().asked.put_open(open);
            room.asker.news.notify_one();
        }
    }

    /// Takes in the alarms of vehicles of which owners have said what they are. What strangers may take from one source holds from here on.
    pub(super) fn answered(&self, told: impl Iterator<Item = (Box<str>, Standing)>, room: &Room) {
        let mut refused = RefusedAlarms::default();
        let ids = {
            let mut waiting = self.waiting.lock();
            for (vehicle_id, standing) in told {
                let alarms = waiting.asked.take(&vehicle_id).map(|(alarm, vehicle)| {
                    (Alarm { standing, ..alarm }, KnownVehicle { standing, ..vehicle })
                });
                waiting.told.extend(alarms);
            }
            let mut ids = Vec::new();
            while let Some((alarm, vehicle)) = waiting.told.pop_front() {
                match room.lane.inbox.forbids(alarm.standing, alarm.source) {
                    Some(reason) => {
                        refused.add(reason, alarm.source);
                        alarm.acks.into_iter().for_each(PendingAck::refuse);
                    }
                    None => ids.extend(take_in(&mut waiting, alarm, vehicle, room, &mut refused)),
                }
            }
            ids
        };
        room.lane.gauges.refused(refused, &room.lane.desk);
        ids.into_iter().for_each(|id| self.hand(id, room));
    }

    /// Takes in alarms of vehicles of which no owner has said anything `since` then.
    pub(crate) fn wait_no_more(&self, since: Duration, room: &Room) {
        let (late, has_left) = {
            let waiting = self.waiting.lock();
            (waiting.asked.late(since), !waiting.told.is_empty())
        };
        if has_left || !late.is_empty() {
            self.answered(late.into_iter().map(|vehicle_id| (vehicle_id, Standing::Undecided)), room);
        }
    }
}

/// Asks owners about all that waits, until the task is stopped. What it leaves the door takes in by itself.
pub(crate) async fn run(room: Arc<Room>, ctx: TaskContext) -> Result<(), Failure> {
    let mut beat = interval(BEAT_EVERY);
    let mut questions = FuturesUnordered::new();
    ctx.ready();
    loop {
        while questions.len() < QUESTIONS_MAX
            && let Some(owners) = room.asker.owners.get()
            && let Some(about) = room.door.question()
        {
            let answer = owners.standings(about.vehicle_ids(), ANSWER_WITHIN);
            questions.push(async move { (about, timeout(ANSWER_WITHIN, answer).await.unwrap_or_default()) });
        }
        tokio::select! {
            biased;
            () = ctx.stopping() => return Ok(()),
            _ = beat.tick() => ctx.beat().await,
            Some((about, standings)) = questions.next(), if !questions.is_empty() => {
                answered(&room, about, standings);
            }
            () = room.asker.news.notified() => {}
        }
    }
}

/// Takes in what owners say.
pub(super) fn answered(room: &Room, about: About, standings: Vec<Standing>) {
    let standings = standings.into_iter().chain(std::iter::repeat(Standing::Undecided));
    match about {
        About::Alarms(vehicle_ids) => room.door.answered(vehicle_ids.into_iter().zip(standings), room),
        About::Open(open) => room.note_decided(open.into_iter().map(|(id, _)| id).zip(standings)),
    }
}
