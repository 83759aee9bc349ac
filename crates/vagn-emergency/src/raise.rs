//! Raising: a person makes a real incident of a call for help that could not be proved.

use vagn_wire::{Kind, Position, Report, VehicleId};

use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::lane::Lane;
use crate::show::view::Detail;

/// A call that could not be proved, and the person who believes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Raise {
    /// Vehicle id, or another name by which the caller is to be known.
    pub vehicle_id: Box<str>,
    /// Place, as far as it could be read.
    pub position: Option<Position>,
    /// Time at which it was heard last, ms since 1970.
    pub heard_ms: i64,
    /// What set it off, if it said so.
    pub kind: Option<Kind>,
    /// The vehicle's own id for the incident.
    pub vehicle_incident: Option<Box<str>>,
    /// Name of the person.
    pub by: Box<str>,
}

/// Result of raising a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Raised {
    /// This is the incident: a new one, or the one that the vehicle has open.
    Done(Box<Detail>),
    /// All places for incidents are taken.
    NoRoom,
}

impl Lane {
    /// Returns the alarm that a person makes of a call; `None` when it has no vehicle id that can be.
    pub(crate) fn alarm_of(&self, raise: Raise) -> Option<Alarm> {
        let Raise { vehicle_id, position, heard_ms, kind, vehicle_incident, by } = raise;
        let id = VehicleId::new(&vehicle_id).ok()?;
        let now = self.moment();
        // Without a place the alarm has an error in place of it, as one that was sent without.
        let nowhere = Position::new(0.0, 0.0).ok()?;
        let mut report = Report::new(id, position.unwrap_or(nowhere));
        report.position = position.ok_or(vagn_wire::Reject::NoLatitude);
        (report.emergency, report.kind, report.incident) = (true, kind, vehicle_incident.as_deref());
        // Its own time, and not that of the raise: a person may have looked long after it came.
        report.event_time_ms = Some(heard_ms.min(now.ms));
        let mut alarm = Alarm::new(self.inbox.next_id(now.ms), &report, now.ms, now.at);
        // When it was there is not known for sure, so its place counts as a last known one.
        alarm.fix = alarm.fix.map(|fix| crate::fix::Fix { trusted: false, ..fix });
        alarm.raised_by = Some(by);
        Some(alarm)
    }

    /// Opens an incident for a call that a person has raised, or adds it to the one that is open. `None` without a place for it.
    pub(crate) fn raise(&self, raise: Raise) -> Option<IncidentId> {
        let vehicle_id = raise.vehicle_id.clone();
        let alarm = self.alarm_of(raise)?;
        // Without the desk's lock: a fleet that does not answer must not hold up alarms.
        let last_fix = self.lookup.look_up(&vehicle_id).last_fix;
        let raised = self.desk.lock().raise(alarm, last_fix).ok();
        self.announce();
        self.locate();
        self.signals.wake_notifier();
        raised
    }
}
