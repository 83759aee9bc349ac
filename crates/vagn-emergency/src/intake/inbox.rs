//! The inbox: alarms that wait for the desk, those of known vehicles in a lane of their own.
//!
//! It belongs to no actor, so nothing that waits here is lost when one crashes. Repeats of an alarm are merged on the
//! way in: a vehicle that repeats itself a thousand times takes one entry. Strangers are let in last, a few at a time, and
//! only so many a second from one source; so a flood of invented vehicles is refused here, where it costs least.
//!
//! A vehicle that cannot be looked up may be a known one. It has a lane of its own, and is not counted with the strangers of
//! its source: their number says nothing about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vagn_flow::allowance::{Allowances, Quota, Source};
use vagn_flow::clock::Clock;
use vagn_otp::Offer;
use vagn_wire::VehicleId;

use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::ids::IdMaker;
use crate::intake::known::KnownVehicles;
use crate::intake::no_room::{NoRoom, RefusedAlarms};
use crate::intake::replays::Replays;
use crate::intake::waiting::{Put, WaitingAlarms};
use crate::record::standing::Standing;

/// Most alarms of known vehicles that may wait at a time. They wait for microseconds, unless both actors behind the inbox
/// are gone.
pub(super) const ALARMS_MAX: usize = 8_192;

/// Most alarms of all others.
pub(super) const STRANGERS_MAX: usize = 8_192;

/// The same for vehicles that could not be looked up.
pub(super) const UNDECIDED_MAX: usize = 8_192;

/// Alarms of strangers that are taken out at a time, and of undecided vehicles: what comes from a known vehicle meanwhile waits for
/// no more than these. To let so many in takes a millisecond or two.
pub(super) const STRANGERS_AT_ONCE: usize = 64;

/// Takes from the lanes of those that are not known after which all is out that waited before the first.
pub(crate) const TAKES_MAX: usize = STRANGERS_MAX.div_ceil(STRANGERS_AT_ONCE);

/// Most datagrams of known vehicles that may wait for an ack at a time; further senders repeat. The acks are sent under the
/// desk's lock, at a microsecond or two each.
pub(super) const ACK_REQUESTS_MAX: usize = 1_024;

/// The same for all others.
pub(super) const STRANGER_ACKS_MAX: usize = ACK_REQUESTS_MAX / 2;

/// Longest that a publisher waits to hear who is known, once for a batch. A writer lets readers in after some 50 µs, unless it has
/// lost its processor meanwhile: in a flood on one core, until all other threads have had their turns, for which 5 ms are too
/// short. The wait costs the publisher little, since it leaves its processor to the writer.
const LOOK_UP_WITHIN: Duration = Duration::from_millis(100);

/// Time in which a source may send as many alarms of strangers as it may have incidents of them.
const QUOTA_WITHIN: Duration = Duration::from_secs(5);

/// Wakes the actor that empties the inbox. Must not wait.
pub(crate) type Bell = Box<dyn Fn() + Send + Sync>;

/// Alarms that wait for the desk.
pub struct Inbox {
    lanes: Mutex<Lanes>,
    refused: Mutex<RefusedAlarms>,
    ids: Mutex<IdMaker>,
    /// For senders of datagrams that wait for an ack.
    seats: Arc<Semaphore>,
    stranger_seats: Arc<Semaphore>,
    /// For alarms of strangers, by source.
    allowances: Mutex<Allowances>,
    /// For alarms of undecided vehicles, by source. Strangers do not use it up.
    undecided_allowances: Mutex<Allowances>,
    clock: Arc<dyn Clock>,
    /// Who is undecided here another node is asked about, before a limit holds against it.
    asks_owners: AtomicBool,
    vehicles: Arc<dyn KnownVehicles>,
    pub(super) replays: Arc<Replays>,
    /// Datagrams that get no ack, as all seats are taken.
    acks_refused: Counter,
    bell: OnceLock<Bell>,
}

/// The lanes of the inbox.
struct Lanes {
    known: WaitingAlarms,
    undecided: WaitingAlarms,
    strangers: WaitingAlarms,
    /// Beginning of the latest turn of those that are not known, on the monotonic clock.
    others_turn: Duration,
}

impl Lanes {
    fn of(&mut self, standing: Standing) -> &mut WaitingAlarms {
        match standing {
            Standing::Known => &mut self.known,
            Standing::Undecided => &mut self.undecided,
            Standing::Stranger => &mut self.strangers,
        }
    }

    fn len(&self) -> usize {
        self.known.len() + self.undecided.len() + self.strangers.len()
    }
}

impl Inbox {
    /// Returns an empty inbox. `vehicles` tells strangers, of which a source may have `per_source_max` incidents; ids and the
    /// memory of sources are random by `seed`.
    pub fn new(
        clock: Arc<dyn Clock>,
        vehicles: Arc<dyn KnownVehicles>,
        per_source_max: usize,
        seed: u64,
    ) -> Self {
        let burst = u32::try_from(per_source_max.max(1)).unwrap_or(u32::MAX);
        let quota = Quota { burst, every: QUOTA_WITHIN / burst };
        let lanes = Lanes {
            known: WaitingAlarms::new(ALARMS_MAX),
            undecided: WaitingAlarms::new(UNDECIDED_MAX),
            strangers: WaitingAlarms::new(STRANGERS_MAX),
            others_turn: Duration::ZERO,
        };
        Self {
            lanes: Mutex::new(lanes),
            refused: Mutex::default(),
            ids: Mutex::new(IdMaker::new(seed)),
            seats: Arc::new(Semaphore::new(ACK_REQUESTS_MAX)),
            stranger_seats: Arc::new(Semaphore::new(STRANGER_ACKS_MAX)),
            allowances: Mutex::new(Allowances::new(quota, seed.rotate_left(32))),
            undecided_allowances: Mutex::new(Allowances::new(quota, seed.rotate_left(16))),
            clock,
            asks_owners: AtomicBool::new(false),
            vehicles,
            replays: Arc::new(Replays::new(Counter::default())),
            acks_refused: Counter::default(),
            bell: OnceLock::new(),
        }
    }

    /// Lets it look sealed calls up in this table.
    pub(crate) fn with_replays(self, replays: Arc<Replays>) -> Self {
        Self { replays, ..self }
    }

    /// Counts the datagrams here that get no ack.
    pub(crate) fn with_acks_refused(self, acks_refused: Counter) -> Self {
        Self { acks_refused, ..self }
    }

    /// Lets in all undecided vehicles from now on: their alarms are asked about, and refused then.
    pub(crate) fn ask_owners(&self) {
        self.asks_owners.store(true, Ordering::Relaxed);
    }

    /// Rings `bell` for each new alarm from now on. Only the first bell counts.
    pub fn attach(&self, bell: Bell) {
        self.bell.get_or_init(|| bell);
    }

    /// Returns how many alarms were refused here since the last time.
    pub(crate) fn take_refused(&self) -> RefusedAlarms {
        std::mem::take(&mut *self.refused.lock())
    }

    /// Takes out all alarms of known vehicles, in order of arrival.
    pub fn take_known(&self) -> Vec<Alarm> {
        let mut taken = Vec::new();
        self.lanes.lock().known.take(ALARMS_MAX, &mut taken);
        taken
    }

    /// Takes out some alarms of undecided vehicles, and then some of strangers, in order of arrival.
    pub fn take_others(&self) -> Vec<Alarm> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes.lock();
        lanes.undecided.take(STRANGERS_AT_ONCE, &mut taken);
        lanes.strangers.take(STRANGERS_AT_ONCE, &mut taken);
        taken
    }

    /// Returns true when alarms wait.
    pub(crate) fn has_some(&self) -> bool {
        self.lanes.lock().len() > 0
    }

    /// Notes that it is the turn of those that are not known. They wait in turn, so what is left waits from now on.
    pub(crate) fn begin_turn(&self) {
        let now = self.now();
        self.lanes.lock().others_turn = now;
    }

    /// Returns the arrival of the known vehicle that has waited longest, on the monotonic clock.
    pub fn known_since(&self) -> Option<Duration> {
        self.lanes.lock().known.oldest()
    }

    /// Returns the time since when nothing has been done for one of the others: its arrival, or the latest turn if that came
    /// later.
    pub fn others_since(&self) -> Option<Duration> {
        let lanes = self.lanes.lock();
        let oldest = lanes.undecided.oldest().into_iter().chain(lanes.strangers.oldest()).min();
        oldest.map(|arrived| arrived.max(lanes.others_turn))
    }

    /// Returns how many alarms wait, and how many may.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.lanes.lock().len(), ALARMS_MAX + UNDECIDED_MAX + STRANGERS_MAX)
    }

    /// Returns the time on the monotonic clock.
    pub(super) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// Makes the id of the incident that an alarm may open.
    pub(crate) fn next_id(&self, now_ms: i64) -> IncidentId {
        self.ids.lock().next(now_ms)
    }

    /// Takes a seat for a datagram that waits for an ack, if one is left for a vehicle of this standing.
    pub(super) fn take_seat(&self, standing: Standing) -> Option<OwnedSemaphorePermit> {
        let seats = if standing == Standing::Known { &self.seats } else { &self.stranger_seats };
        let seat = seats.clone().try_acquire_owned().ok();
        if seat.is_none() {
            self.acks_refused.inc();
        }
        seat
    }

    /// Returns the standings of these vehicles, as far as that is quick.
    pub(super) fn standings(&self, vehicle_ids: &[VehicleId<'_>]) -> Vec<Standing> {
        self.vehicles.standings(vehicle_ids, LOOK_UP_WITHIN)
    }

    /// Returns the reason if `source` may not send another alarm of a vehicle of this standing now.
    pub(crate) fn forbids(&self, standing: Standing, source: Option<Source>) -> Option<NoRoom> {
        let (allowances, reason) = match standing {
            Standing::Known => return None,
            Standing::Undecided if self.asks_owners.load(Ordering::Relaxed) => return None,
            Standing::Undecided => (&self.undecided_allowances, NoRoom::Undecided),
            Standing::Stranger => (&self.allowances, NoRoom::Rate),
        };
        // Those of unknown sources share one.
        let source = source.unwrap_or(Source::from(std::net::IpAddr::from([0, 0, 0, 0])));
        allowances.lock().take(source, self.now()).err().map(|_| reason)
    }

    /// Counts an alarm that is not put into the inbox.
    pub(super) fn refuse(
        &self,
        reason: NoRoom,
        source: Option<Source>,
        acks: impl IntoIterator<Item = PendingAck>,
    ) {
        acks.into_iter().for_each(PendingAck::refuse);
        self.refused.lock().add(reason, source);
    }

    /// Puts in the alarms of one batch, with none of another between them: a vehicle's calls in one envelope must come to the
    /// desk before its next envelope, which they would look older than.
    pub(super) fn put_all(&self, alarms: Vec<Alarm>) -> Offer {
        let put: Vec<_> = {
            let mut lanes = self.lanes.lock();
            alarms.into_iter().map(|alarm| lanes.of(alarm.standing).put(alarm)).collect()
        };
        let mut offer = Offer::Taken;
        for put in put {
            if self.after(put) == Offer::Full {
                offer = Offer::Full;
            }
        }
        offer
    }

    /// Does what follows for the senders of an alarm, and rings for a new one.
    fn after(&self, put: Put) -> Offer {
        let offer = match put {
            Put::Repeat(refused) => {
                self.acks_refused.inc_by(refused.iter().filter(|ack| ack.is_datagram()).count() as u64);
                refused.into_iter().for_each(PendingAck::refuse);
                return Offer::Taken;
            }
            Put::Replay(alarm) => {
                self.replays.count(alarm.has_position());
                alarm.acks.into_iter().for_each(PendingAck::repeat);
                return Offer::Taken;
            }
            Put::New => Offer::Taken,
            Put::NoRoom(alarm) => {
                self.refuse(NoRoom::Inbox, alarm.source, alarm.acks);
                if alarm.standing != Standing::Known {
                    return Offer::Full;
                }
                Offer::Full
            }
        };
        // A known vehicle that found no room rings as well: the actor counts it, and makes room.
        if let Some(bell) = self.bell.get() {
            bell();
        }
        offer
    }
}
