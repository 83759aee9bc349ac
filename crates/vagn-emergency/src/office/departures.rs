//! Departures: how an alarm ends at its door. The trail has it, the leader refuses it for a limit, or it goes on under another id.

use vagn_cluster::trail::AlarmId;

use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::no_room::{NoRoom, RefusedAlarms};
use crate::office::alarm_form::AlarmForm;
use crate::office::door::Door;
use crate::office::kept::Change;
use crate::office::room::Room;

/// What leaves the door with an alarm that waits no more.
#[derive(Default)]
struct Gone {
    granted: Vec<PendingAck>,
    rest: Rest,
}

/// What is left of such an alarm.
#[derive(Default)]
struct Rest {
    /// Sitting of an earlier run that the disk has of the same alarm.
    kept_before: Option<Vec<u8>>,
    /// Another alarm has waited behind it.
    has_next: bool,
}

impl Door {
    /// The trail has an alarm with these bytes: the senders of these reports hear it, and nobody calls any more.
    pub(crate) fn let_go(&self, id: IncidentId, form: &AlarmForm, room: &Room) {
        let gone = self.settle(id, form);
        // Behind that: whoever is about to call finds that the alarm waits no more.
        room.calls.let_go(id);
        room.grants.grant(id, form.sealed_sitting(), gone.granted, room);
        self.go_on_without(id, gone.rest, room);
    }

    /// The leader refuses an alarm with these bytes for a limit: the senders of these reports hear that it is not stored. If that `ends` it, it waits no more.
    pub(crate) fn refuse(
        &self,
        id: IncidentId,
        form: &AlarmForm,
        (limit, ends): (NoRoom, bool),
        room: &Room,
    ) {
        let (was_told, acks) = {
            let mut waiting = self.waiting.lock();
            if !waiting.alarms.contains_key(&id) {
                drop(waiting);
                // It found the door full, and waits at the driver alone.
                if ends {
                    room.calls.end(id, limit);
                }
                return;
            }
            let sitting = waiting.alarms.get_mut(&id).filter(|sitting| sitting.number == form.sitting);
            let Some(sitting) = sitting else { return };
            let heard = sitting.acks.extract_if(.., |(reports, _)| *reports <= form.reports);
            let acks: Vec<PendingAck> = heard.map(|(_, ack)| ack).collect();
            (std::mem::replace(&mut sitting.lacks_room, true), acks)
        };
        acks.into_iter().for_each(PendingAck::refuse);
        if !was_told {
            let mut refused = RefusedAlarms::default();
            refused.add(limit, form.alarm(id, room.lane.clock.monotonic()).source);
            room.lane.gauges.refused(refused, &room.lane.desk);
        }
        if ends {
            let gone = self.settle(id, form);
            // Behind that, as in `let_go`.
            room.calls.end(id, limit);
            self.go_on_without(id, gone.rest, room);
        }
    }

    /// An alarm calls anew, under another id from now on. Returns what there is to hand over under it.
    pub(crate) fn reopen(&self, id: IncidentId, new: IncidentId, room: &Room) -> Option<Vec<u8>> {
        let bytes = self.waiting.lock().rename(id, new).map(|sitting| sitting.form(room.run).to_bytes());
        // Behind that, as in `let_go`.
        room.calls.let_go(id);
        bytes
    }

    fn settle(&self, id: IncidentId, form: &AlarmForm) -> Gone {
        let mut waiting = self.waiting.lock();
        let Some(sitting) = waiting.alarms.get_mut(&id).filter(|sitting| sitting.number == form.sitting)
        else {
            return Gone::default();
        };
        let heard = sitting.acks.extract_if(.., |(reports, _)| *reports <= form.reports);
        let granted: Vec<PendingAck> = heard.map(|(_, ack)| ack).collect();
        if sitting.alarm.reports > form.reports {
            // The driver had less than the sitting has: who handed over last had begun before another.
            sitting.is_handed = false;
            return Gone { granted, ..Gone::default() };
        }
        let kept_before = sitting.kept_before.take();
        Gone { granted, rest: Rest { kept_before, has_next: waiting.end(id) } }
    }

    fn go_on_without(&self, id: IncidentId, Rest { kept_before, has_next }: Rest, room: &Room) {
        if let Some(bytes) = kept_before {
            room.change_kept(Change::LetGo { alarm: AlarmId(id.as_u128()), bytes });
        }
        if has_next {
            self.hand(id, room);
        }
    }
}
