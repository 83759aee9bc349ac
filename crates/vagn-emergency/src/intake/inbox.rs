//! The inbox: alarms that wait for the desk.
//!
//! It belongs to no actor, so nothing that waits here is lost when one crashes. Repeats of an alarm are merged on the
//! way in: a vehicle that repeats itself a thousand times takes one entry.

use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vagn_flow::clock::Clock;
use vagn_otp::Offer;

use crate::id::IncidentId;
use crate::intake::ack::{PENDING_ACKS_MAX, PendingAck};
use crate::intake::alarm::Alarm;
use crate::intake::ids::IdMaker;
use crate::intake::key::{AlarmKey, AlarmKeyRef};
use crate::intake::known::KnownVehicles;
use crate::record::standing::Standing;

/// Most alarms that may wait at a time. They wait for microseconds, unless both actors behind the inbox are gone.
pub(super) const ALARMS_MAX: usize = 16_384;

/// Part of these that strangers may take, so that invented vehicles leave room for known ones.
pub(super) const STRANGERS_MAX: usize = ALARMS_MAX / 2;

/// Most datagrams that may wait for an ack at a time; further senders repeat. The acks are sent under the desk's lock,
/// at a microsecond or two each.
pub(super) const ACK_REQUESTS_MAX: usize = 1_024;

/// The same for one alarm, so that a vehicle that repeats it all the time, or a forger, takes no ack from another
/// vehicle.
pub(super) const ACK_REQUESTS_PER_ALARM_MAX: usize = 16;

/// Longest that a publisher waits to hear that a vehicle is a stranger. Without an answer the alarm is let in.
const LOOK_UP_WITHIN: Duration = Duration::from_micros(100);

/// Wakes the actor that empties the inbox. Must not wait.
pub(crate) type Bell = Box<dyn Fn() + Send + Sync>;

/// Alarms that wait for the desk, one entry per vehicle, sort (real or drill) and own incident id.
pub struct Inbox {
    waiting: Mutex<Waiting>,
    refused: AtomicU64,
    ids: Mutex<IdMaker>,
    /// For senders of datagrams that wait for an ack.
    seats: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    vehicles: Arc<dyn KnownVehicles>,
    bell: OnceLock<Bell>,
}

#[derive(Debug, Default)]
struct Waiting {
    alarms: Vec<Alarm>,
    /// Index of each alarm. Hashed with a random key, so that invented ids cannot be made to collide.
    index: HashMap<AlarmKey, usize, RandomState>,
}

impl Inbox {
    /// Returns an empty inbox. `vehicles` tells strangers when it fills up; the ids are random by `seed`.
    pub fn new(clock: Arc<dyn Clock>, vehicles: Arc<dyn KnownVehicles>, seed: u64) -> Self {
        Self {
            waiting: Mutex::default(),
            refused: AtomicU64::new(0),
            ids: Mutex::new(IdMaker::new(seed)),
            seats: Arc::new(Semaphore::new(ACK_REQUESTS_MAX)),
            clock,
            vehicles,
            bell: OnceLock::new(),
        }
    }

    /// Rings `bell` for each new alarm from now on. Only the first bell counts.
    pub fn attach(&self, bell: Bell) {
        self.bell.get_or_init(|| bell);
    }

    /// Returns how many alarms found no room since the last time.
    pub fn take_refused(&self) -> u64 {
        self.refused.swap(0, Ordering::Relaxed)
    }

    /// Takes out all that waits, in order of arrival.
    pub fn take(&self) -> Vec<Alarm> {
        let mut waiting = self.waiting.lock();
        waiting.index.clear();
        std::mem::take(&mut waiting.alarms)
    }

    /// Returns the arrival of the alarm that has waited longest, on the monotonic clock.
    pub fn oldest(&self) -> Option<Duration> {
        self.waiting.lock().alarms.first().map(|alarm| alarm.arrived)
    }

    /// Returns how many alarms wait, and how many may.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.waiting.lock().alarms.len(), ALARMS_MAX)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Makes the id of the incident that an alarm may open.
    pub(super) fn next_id(&self, now_ms: i64) -> IncidentId {
        self.ids.lock().next(now_ms)
    }

    /// Takes a seat for a datagram that waits for an ack, if one is left.
    pub(super) fn take_seat(&self) -> Option<OwnedSemaphorePermit> {
        self.seats.clone().try_acquire_owned().ok()
    }

    pub(super) fn put(&self, alarm: Alarm) -> Offer {
        let max = if self.is_unwelcome(&alarm) { STRANGERS_MAX } else { ALARMS_MAX };
        let put = self.waiting.lock().put(alarm, max);
        let offer = match put {
            Put::Repeat => return Offer::Taken,
            Put::New => Offer::Taken,
            Put::NoRoom(acks) => {
                refuse(acks);
                self.refused.fetch_add(1, Ordering::Relaxed);
                Offer::Full
            }
        };
        // An alarm that found no room rings as well: the actor counts it, and makes room.
        if let Some(bell) = self.bell.get() {
            bell();
        }
        offer
    }

    /// Returns true for the alarm of a stranger. Only asked when the inbox fills up: before that, it makes no
    /// difference.
    fn is_unwelcome(&self, alarm: &Alarm) -> bool {
        let fills_up = self.waiting.lock().alarms.len() >= STRANGERS_MAX;
        fills_up && self.vehicles.look_up(&alarm.vehicle_id, LOOK_UP_WITHIN).standing == Standing::Stranger
    }
}

enum Put {
    New,
    Repeat,
    NoRoom(Vec<PendingAck>),
}

impl Waiting {
    fn put(&mut self, mut alarm: Alarm, max: usize) -> Put {
        if let Some(&at) = self.index.get(&AlarmKeyRef::of(&alarm)) {
            let first = &mut self.alarms[at];
            // Only senders beyond the limit are refused; their report counts.
            refuse(alarm.acks.extract_if(.., |ack| !has_room(first, ack)));
            first.merge(alarm);
            return Put::Repeat;
        }
        if self.alarms.len() >= max {
            return Put::NoRoom(alarm.acks);
        }
        self.index.insert(AlarmKeyRef::of(&alarm).to_owned(), self.alarms.len());
        self.alarms.push(alarm);
        Put::New
    }
}

/// Returns true when one more sender may wait for `alarm`.
fn has_room(alarm: &Alarm, ack: &PendingAck) -> bool {
    let max = if ack.is_datagram() { ACK_REQUESTS_PER_ALARM_MAX } else { PENDING_ACKS_MAX };
    alarm.acks.len() < max
}

fn refuse(acks: impl IntoIterator<Item = PendingAck>) {
    for ack in acks {
        ack.refuse();
    }
}
