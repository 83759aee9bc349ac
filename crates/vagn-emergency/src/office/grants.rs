//! Grants: senders whose alarms the trail has. They hear by which incident theirs goes on, so they wait until this node has applied that: a leader says
//! that an alarm is recorded, and not that it was joined to another one. Of a sealed call that came to two doors the sender hears from one: that
//! whose sitting the trail has.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::office::room::Room;

/// Longest wait of a sender. A disk that hangs keeps nobody waiting: the alarm's own id leads on.
const APPLIED_WITHIN: Duration = Duration::from_millis(500);

/// Most alarms whose senders wait.
const WAITING_MAX: usize = 4_096;

/// Senders that wait, those of the oldest grant first.
#[derive(Default)]
pub(crate) struct Grants {
    waiting: Mutex<GrantQueue>,
}

#[derive(Default)]
struct GrantQueue {
    grants: VecDeque<Grant>,
    /// Nobody waits any more: the node stops.
    is_over: bool,
}

struct Grant {
    alarm: IncidentId,
    /// Sitting of a sealed alarm.
    sealed: Option<u64>,
    acks: Vec<PendingAck>,
    /// Beginning of the wait, on the monotonic clock.
    since: Duration,
}

impl Grants {
    /// Tells senders that the trail has their alarm, as soon as this node knows as part of which incident.
    /// `sealed` is the sitting of an alarm that was sealed.
    pub(crate) fn grant(&self, alarm: IncidentId, sealed: Option<u64>, acks: Vec<PendingAck>, room: &Room) {
        if acks.is_empty() {
            return;
        }
        let grant = Grant { alarm, sealed, acks, since: room.lane.clock.monotonic() };
        let ready = {
            let mut waiting = self.waiting.lock();
            // Looked up under the lock: what is applied behind it finds the grant.
            let is_here = room.known.lock().get(alarm).is_some();
            if is_here || waiting.is_over || waiting.grants.len() >= WAITING_MAX {
                Some(grant)
            } else {
                waiting.grants.push_back(grant);
                None
            }
        };
        ready.into_iter().for_each(|grant| grant.tell(room));
    }

    /// Tells senders whose alarms are applied, and those that have waited long enough.
    pub(crate) fn look(&self, room: &Room) {
        let oldest = room.lane.clock.monotonic().saturating_sub(APPLIED_WITHIN);
        let ready = {
            let mut waiting = self.waiting.lock();
            if waiting.grants.is_empty() {
                return;
            }
            let known = room.known.lock();
            let (ready, left): (VecDeque<Grant>, _) = std::mem::take(&mut waiting.grants)
                .into_iter()
                .partition(|grant| grant.since <= oldest || known.get(grant.alarm).is_some());
            waiting.grants = left;
            ready
        };
        ready.into_iter().for_each(|grant| grant.tell(room));
    }

    /// Tells all senders, now and from now on: the node stops.
    pub(crate) fn end(&self, room: &Room) {
        let left = {
            let mut waiting = self.waiting.lock();
            waiting.is_over = true;
            std::mem::take(&mut waiting.grants)
        };
        left.into_iter().for_each(|grant| grant.tell(room));
    }
}

impl Grant {
    fn tell(self, room: &Room) {
        let (incident, is_replay) = match room.known.lock().get(self.alarm) {
            Some(state) => (state.incident, self.sealed.is_some_and(|sitting| state.known(sitting) == 0)),
            None => (self.alarm, false),
        };
        for ack in self.acks {
            // The door at which the call counts answers.
            if is_replay { ack.repeat() } else { ack.grant(incident) }
        }
    }
}
