//! Form of an alarm on its way from its door to the leader: all that the leader's desk must know of it.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vagn_flow::allowance::Source;
use vagn_seal::KeyId;

use crate::fix::Fix;
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::intake::replays::CallSeal;
use crate::record::standing::Standing;

/// Number of the form. It stands in front, so that another version knows at once that it cannot read on.
const FORMAT: u8 = 1;

/// An alarm as its door tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AlarmForm {
    vehicle_id: Box<str>,
    /// Standing of the vehicle, as far as its door knew.
    pub(crate) standing: Standing,
    /// Last place of the vehicle that was known apart from its alarms.
    pub(crate) last_fix: Option<Fix>,
    source: Option<Ipv6Addr>,
    kind: Option<Box<str>>,
    vehicle_incident: Option<Box<str>>,
    fix: Option<Fix>,
    origin: Option<Fix>,
    before: Option<Fix>,
    event_time_ms: i64,
    received_ms: i64,
    /// Time of the last report.
    pub(crate) last_received_ms: i64,
    /// Reports of this sitting so far: what is told grows with each.
    pub(crate) reports: u64,
    /// Random number of the sitting: from the time at which the door takes the alarm in until the trail has all of it.
    pub(crate) sitting: u64,
    seal: Option<SealForm>,
    raised_by: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct SealForm {
    key_id: u64,
    sequence: u64,
    number: u64,
}

/// The bytes are no alarm that this version knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an alarm of another node cannot be read: {0}")]
pub(crate) struct BadAlarm(String);

impl AlarmForm {
    /// Returns the sitting of an alarm that was sealed.
    pub(crate) fn sealed_sitting(&self) -> Option<u64> {
        self.seal.map(|_| self.sitting)
    }

    /// Returns the form of an alarm. Numbers of envelopes are those of one run of one node: `run` keeps them apart.
    pub(crate) fn new(alarm: &Alarm, vehicle: KnownVehicle, sitting: u64, run: u64) -> Self {
        let seal = alarm.seal.map(|seal| SealForm {
            key_id: u64::from_be_bytes(seal.key_id.0),
            sequence: seal.sequence,
            number: seal.number ^ run,
        });
        Self {
            vehicle_id: alarm.vehicle_id.clone(),
            standing: if alarm.standing == Standing::Undecided { vehicle.standing } else { alarm.standing },
            last_fix: vehicle.last_fix,
            source: alarm.source.map(Source::network),
            kind: alarm.kind.map(|kind| kind.as_str().into()),
            vehicle_incident: alarm.vehicle_incident.clone(),
            fix: alarm.fix,
            origin: alarm.origin,
            before: alarm.before,
            event_time_ms: alarm.event_time_ms,
            received_ms: alarm.received_ms,
            last_received_ms: alarm.last_received_ms,
            reports: alarm.reports,
            sitting,
            seal,
            raised_by: alarm.raised_by.clone(),
        }
    }

    /// Returns the alarm, which came to this node at `arrived` on its monotonic clock, as one that opens the incident `id`.
    pub(crate) fn alarm(&self, id: IncidentId, arrived: Duration) -> Alarm {
        Alarm {
            id,
            vehicle_id: self.vehicle_id.clone(),
            standing: self.standing,
            source: self.source.map(|network| Source::from(IpAddr::V6(network))),
            kind: self.kind.as_deref().and_then(|word| word.parse().ok()),
            vehicle_incident: self.vehicle_incident.clone(),
            fix: self.fix,
            origin: self.origin,
            before: self.before,
            event_time_ms: self.event_time_ms,
            received_ms: self.received_ms,
            last_received_ms: self.last_received_ms,
            reports: self.reports,
            arrived,
            last_arrived: arrived,
            seal: self.seal.map(|seal| CallSeal {
                key_id: KeyId(seal.key_id.to_be_bytes()),
                sequence: seal.sequence,
                number: seal.number,
            }),
            raised_by: self.raised_by.clone(),
            acks: Vec::new(),
        }
    }

    /// Returns what its door knew of the vehicle.
    pub(crate) fn vehicle(&self) -> KnownVehicle {
        KnownVehicle { standing: self.standing, last_fix: self.last_fix }
    }

    /// Returns the byte form: the number of the format, then JSON.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        serde_json::to_writer(&mut bytes, self).expect("numbers and texts can always be written");
        bytes
    }

    /// Reads the byte form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadAlarm> {
        let (format, json) = bytes.split_first().ok_or_else(|| BadAlarm("it is empty".into()))?;
        if *format != FORMAT {
            return Err(BadAlarm(format!(
                "it has format {format}, and this version reads format {FORMAT} only"
            )));
        }
        serde_json::from_slice(json).map_err(|err| BadAlarm(err.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_cluster::trail::ALARM_MAX;
    use vagn_wire::Kind;

    #[test]
    fn an_alarm_comes_to_the_leader_as_its_door_has_it() {
        let mut alarm = Alarm::example("bus 7");
        alarm.kind = Some(Kind::Manual);
        alarm.vehicle_incident = Some("ride 4".into());
        alarm.source = Some(Source::from(IpAddr::from([192, 0, 2, 7])));
        alarm.seal = Some(CallSeal { key_id: KeyId([7; 8]), sequence: 5, number: 3 });
        alarm.before = Some(Fix::at(1.0, 2.0, 3, false));
        let vehicle = KnownVehicle { standing: Standing::Stranger, last_fix: alarm.before };
        let form = AlarmForm::new(&alarm, vehicle, 9, 8);
        let bytes = form.to_bytes();
        assert_eq!(AlarmForm::from_bytes(&bytes), Ok(form.clone()));
        let came = form.alarm(alarm.id, alarm.arrived);
        alarm.standing = Standing::Stranger;
        alarm.seal = alarm.seal.map(|seal| CallSeal { number: 3 ^ 8, ..seal });
        assert_eq!(format!("{came:?}"), format!("{alarm:?}"));
        assert_eq!(form.vehicle(), vehicle);
        for end in 0..bytes.len() {
            assert!(AlarmForm::from_bytes(&bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_longest_alarm_that_a_door_can_take_has_room_on_its_way_to_the_leader() {
        // Of what an id may hold, JSON makes these characters longest.
        let longest = "\"".repeat(vagn_wire::ID_LEN_MAX);
        assert!(vagn_wire::VehicleId::new(&longest).is_ok());
        let place = Some(Fix::at(-89.123_456_789_012, -179.123_456_789_012, i64::MIN, false));
        let mut alarm = Alarm::example(&longest);
        (alarm.id, alarm.vehicle_incident) = (IncidentId::from_u128(u128::MAX), Some(longest.into()));
        (alarm.fix, alarm.origin, alarm.before) = (place, place, place);
        (alarm.event_time_ms, alarm.received_ms, alarm.last_received_ms) = (i64::MIN, i64::MIN, i64::MIN);
        (alarm.kind, alarm.reports) = (Some(Kind::Manual), u64::MAX);
        alarm.source = Some(Source::from(IpAddr::V6(Ipv6Addr::from([0xab; 16]))));
        alarm.seal = Some(CallSeal { key_id: KeyId([255; 8]), sequence: u64::MAX, number: u64::MAX });
        // Names of persons have up to 64 characters, each of four bytes, or of six where JSON has none for it.
        alarm.raised_by = Some("\u{1}".repeat(64).into());
        let vehicle = KnownVehicle { standing: Standing::Undecided, last_fix: place };
        let len = AlarmForm::new(&alarm, vehicle, u64::MAX, 0).to_bytes().len();
        assert!(len <= ALARM_MAX / 4, "{len}");
    }
}
