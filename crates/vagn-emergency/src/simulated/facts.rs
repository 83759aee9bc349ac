//! Facts: what stands in the byte forms that go between nodes, and in stores, as a judge from outside must know it.

use crate::id::IncidentId;
use crate::office::alarm_form::AlarmForm;
use crate::record::alarms::AlarmState;
use crate::record::delivery::Told;
use crate::record::group::Group;
use crate::record::incident::Incident;
use crate::record::store::Applied;

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentFacts {
    /// Id of the incident.
    pub id: u128,
    /// Id of the vehicle.
    pub vehicle: String,
    /// Reports of the vehicle.
    pub reports: u64,
    /// It is over.
    pub is_resolved: bool,
    /// A person has acknowledged it.
    pub is_acknowledged: bool,
    /// A notice went out before it was recorded.
    pub is_unrecorded: bool,
    /// What there is to tell of it, in words.
    pub to_tell: String,
    /// What its targets know.
    pub targets: Vec<TargetFacts>,
}

/// What a target knows of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetFacts {
    /// Name of the target.
    pub name: String,
    /// It has accepted the opening.
    pub is_accepted: bool,
    /// What it was told last, in words.
    pub told: String,
    /// It is owed a message.
    pub is_owed: bool,
}

/// An alarm as its door tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmFacts {
    /// Id of the vehicle.
    pub vehicle: String,
    /// Number of the sitting.
    pub sitting: u64,
    /// Reports of the sitting.
    pub reports: u64,
}

/// A group of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFacts {
    /// Incidents, as they are from this group on.
    pub incidents: Vec<IncidentFacts>,
    /// Alarms, each with its incident and the reports of its sittings.
    pub alarms: Vec<AlarmRecord>,
    /// Deeds.
    pub deeds: Vec<u128>,
}

/// What is recorded of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRecord {
    /// Id of the alarm.
    pub alarm: u128,
    /// Incident that it is about.
    pub incident: u128,
    /// Numbers of sittings, and the reports of each.
    pub sittings: Vec<(u64, u64)>,
}

/// Reads an alarm; `None` if the bytes are none.
pub fn read_alarm(bytes: &[u8]) -> Option<AlarmFacts> {
    let form = AlarmForm::from_bytes(bytes).ok()?;
    let vehicle = form.alarm(IncidentId::from_u128(0), std::time::Duration::ZERO).vehicle_id.into();
    Some(AlarmFacts { vehicle, sitting: form.sitting, reports: form.reports })
}

/// Reads a group; `None` if the bytes are none.
pub fn read_group(content: &[u8]) -> Option<GroupFacts> {
    let group = Group::from_bytes(content).ok()?;
    let alarms = group.alarms.iter().map(|(alarm, state)| AlarmRecord {
        alarm: alarm.as_u128(),
        incident: state.incident.as_u128(),
        sittings: state.sittings().to_vec(),
    });
    Some(GroupFacts {
        alarms: alarms.collect(),
        incidents: group.drafts.iter().map(|draft| IncidentFacts::of(&draft.incident)).collect(),
        deeds: group.deeds,
    })
}

impl GroupFacts {
    pub(super) fn of(incidents: &[Incident], applied: Applied) -> Self {
        let record = |(alarm, state): &(u128, AlarmState)| AlarmRecord {
            alarm: *alarm,
            incident: state.incident.as_u128(),
            sittings: state.sittings().to_vec(),
        };
        Self {
            incidents: incidents.iter().map(IncidentFacts::of).collect(),
            alarms: applied.alarms.iter().map(record).collect(),
            deeds: applied.deeds,
        }
    }
}

/// Says in words what a target is told.
pub(super) fn words(told: Told) -> String {
    format!("{told:?}")
}

impl IncidentFacts {
    pub(super) fn of(incident: &Incident) -> Self {
        let now = incident.to_tell();
        let targets = incident.notices.deliveries.iter().map(|delivery| TargetFacts {
            name: delivery.target.as_ref().into(),
            is_accepted: delivery.accepted_ms.is_some(),
            told: words(delivery.told),
            is_owed: delivery.owed(now).is_some(),
        });
        Self {
            id: incident.id.as_u128(),
            vehicle: incident.vehicle_id.as_ref().into(),
            reports: incident.alarm.reports,
            is_resolved: incident.is_resolved(),
            is_acknowledged: incident.progress.acknowledged.is_some(),
            is_unrecorded: incident.notices.unrecorded,
            to_tell: words(now),
            targets: targets.collect(),
        }
    }
}
