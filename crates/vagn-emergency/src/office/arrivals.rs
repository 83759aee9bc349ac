//! Arrivals: how an alarm finds the sitting to which it belongs, or begins one, or finds no room.

use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::no_room::{NoRoom, RefusedAlarms};
use crate::office::alarm_form::AlarmForm;
use crate::office::door::call_about;
use crate::office::room::Room;
use crate::office::sittings::Waiting;

/// Most alarms under other seals that wait behind one of the same incident.
const BEHIND_MAX: usize = 64;

/// Takes in an alarm. Returns its id if it is to be handed over.
pub(super) fn take_in(
    waiting: &mut Waiting,
    mut alarm: Alarm,
    vehicle: KnownVehicle,
    room: &Room,
    refused: &mut RefusedAlarms,
) -> Option<IncidentId> {
    let desk = room.lane.desk.lock();
    let about = waiting.belongs_to(&alarm).or_else(|| desk.incident_of(&alarm));
    let about = about.or_else(|| waiting.turned_away.id_of(&alarm, room.lane.rules.quiet_max));
    let refusal = if about.is_none() { desk.refuses(&alarm, &vehicle) } else { None };
    drop(desk);
    if let Some(reason) = refusal {
        refused.add(reason, alarm.source);
        alarm.acks.into_iter().for_each(PendingAck::refuse);
        return None;
    }
    let id = about.unwrap_or(alarm.id);
    alarm.id = id;
    if let Some(sitting) = waiting.alarms.get_mut(&id) {
        match (sitting.alarm.seal, alarm.seal) {
            (waits, new) if waits == new => sitting.add(alarm),
            (Some(waits), Some(new)) if (waits.key_id, waits.sequence) == (new.key_id, new.sequence) => {
                room.lane.replays.count(alarm.has_position());
                alarm.acks.into_iter().for_each(PendingAck::repeat);
                return None;
            }
            _ if sitting.behind.len() < BEHIND_MAX => {
                sitting.behind.push_back(alarm);
                return None;
            }
            _ => {
                refused.add(NoRoom::Inbox, alarm.source);
                alarm.acks.into_iter().for_each(PendingAck::refuse);
                return None;
            }
        }
        return Some(id);
    }
    if waiting.is_full() {
        refused.add(NoRoom::Inbox, alarm.source);
        std::mem::take(&mut alarm.acks).into_iter().for_each(PendingAck::refuse);
        waiting.turned_away.note(&alarm);
        call_about(room, &AlarmForm::new(&alarm, vehicle, 0, room.run), id);
        return None;
    }
    waiting.insert(alarm, vehicle);
    Some(id)
}
