//! Key of an alarm: what two reports of the same alarm have in common.

use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;
use vagn_seal::KeyId;
use vagn_wire::{Kind, Report};

use crate::intake::alarm::Alarm;
use crate::intake::replays::CallSeal;

/// Key that waits in the inbox.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AlarmKey {
    vehicle_id: Box<str>,
    drill: bool,
    vehicle_incident: Option<Box<str>>,
    /// Key and sequence of a sealed one: what came in another envelope is another alarm, so that a replay is told from it.
    seal: Option<(KeyId, u64)>,
}

/// The same, borrowed, so that a look-up allocates nothing.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct AlarmKeyRef<'a> {
    vehicle_id: &'a str,
    drill: bool,
    vehicle_incident: Option<&'a str>,
    seal: Option<(KeyId, u64)>,
}

impl AlarmKey {
    fn borrow(&self) -> AlarmKeyRef<'_> {
        AlarmKeyRef {
            vehicle_id: &self.vehicle_id,
            drill: self.drill,
            vehicle_incident: self.vehicle_incident.as_deref(),
            seal: self.seal,
        }
    }
}

impl<'a> AlarmKeyRef<'a> {
    pub(super) fn of(alarm: &'a Alarm) -> Self {
        Self {
            vehicle_id: &alarm.vehicle_id,
            drill: alarm.is_drill(),
            vehicle_incident: alarm.vehicle_incident.as_deref(),
            seal: alarm.seal.map(|seal| (seal.key_id, seal.sequence)),
        }
    }

    /// Returns the key of the alarm in a report.
    pub(super) fn of_report(report: &Report<'a>, seal: Option<CallSeal>) -> Self {
        Self {
            vehicle_id: report.vehicle_id.as_str(),
            drill: report.kind == Some(Kind::Test),
            vehicle_incident: report.incident,
            seal: seal.map(|seal| (seal.key_id, seal.sequence)),
        }
    }

    pub(super) fn to_owned(&self) -> AlarmKey {
        AlarmKey {
            vehicle_id: self.vehicle_id.into(),
            drill: self.drill,
            vehicle_incident: self.vehicle_incident.map(Into::into),
            seal: self.seal,
        }
    }
}

impl Hash for AlarmKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The same as of the borrowed key, or a look-up would miss.
        self.borrow().hash(state);
    }
}

impl Equivalent<AlarmKey> for AlarmKeyRef<'_> {
    fn equivalent(&self, key: &AlarmKey) -> bool {
        *self == key.borrow()
    }
}
