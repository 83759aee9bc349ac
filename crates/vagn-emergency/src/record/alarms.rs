//! Alarms that the trail has: which incident each is about, and what was recorded of it.

use std::collections::{BTreeMap, VecDeque};

use crate::id::IncidentId;

/// Sittings that are remembered of an alarm. A vehicle that repeats itself at more doors at once may have a report counted twice.
const SITTINGS_MAX: usize = 4;

/// Deeds that a store remembers. A copy of one comes seconds after it, and a leader has 256 under way.
pub(crate) const DEEDS_KEPT: usize = 1_024;

/// Incidents through which an id leads at most: one that took another in may have been taken in itself, out of a store that was replaced.
pub(crate) const JOINS_MAX: usize = 4;

/// Bytes of the incident's id.
const ID_LEN: usize = 16;

/// What is recorded of an alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AlarmState {
    /// Incident that it is about.
    pub(crate) incident: IncidentId,
    /// Reports of each sitting that are recorded; the latest sitting last. A door begins a sitting when it takes the alarm in, and counts
    /// its reports until the trail has them.
    sittings: Vec<(u64, u64)>,
}

/// The bytes are no state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadState;

impl AlarmState {
    pub(crate) fn new(incident: IncidentId) -> Self {
        Self { incident, sittings: Vec::new() }
    }

    /// Returns how many reports of a sitting are known.
    pub(crate) fn known(&self, sitting: u64) -> u64 {
        let of = self.sittings.iter().find(|(known, _)| *known == sitting);
        of.map_or(0, |(_, reports)| *reports)
    }

    /// Returns the sittings, and the reports of each that are known.
    pub(crate) fn sittings(&self) -> &[(u64, u64)] {
        &self.sittings
    }

    /// Notes the reports of a sitting.
    pub(crate) fn note(&mut self, sitting: u64, reports: u64) {
        let reports = reports.max(self.known(sitting));
        self.sittings.retain(|(known, _)| *known != sitting);
        if self.sittings.len() == SITTINGS_MAX {
            self.sittings.remove(0);
        }
        self.sittings.push((sitting, reports));
    }

    /// Returns the byte form: the incident, then each sitting and its reports; all numbers big-endian.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.incident.as_u128().to_be_bytes().to_vec();
        for (sitting, reports) in &self.sittings {
            bytes.extend(sitting.to_be_bytes());
            bytes.extend(reports.to_be_bytes());
        }
        bytes
    }

    /// Reads the byte form.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, BadState> {
        let (incident, rest) = bytes.split_first_chunk::<ID_LEN>().ok_or(BadState)?;
        let (sittings, []) = rest.as_chunks::<16>() else { return Err(BadState) };
        if sittings.len() > SITTINGS_MAX {
            return Err(BadState);
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).map_err(|_| BadState);
        let sitting = |pair: &[u8; 16]| Ok((number(&pair[..8])?, number(&pair[8..])?));
        Ok(Self {
            incident: IncidentId::from_u128(u128::from_be_bytes(*incident)),
            sittings: sittings.iter().map(sitting).collect::<Result<_, _>>()?,
        })
    }
}

/// Alarms and deeds that a node's store has, in memory: a leader asks for each alarm that comes, and must not wait for a disk.
#[derive(Debug, Default)]
pub(crate) struct KnownAlarms {
    alarms: BTreeMap<u128, AlarmState>,
    deeds: VecDeque<u128>,
}

impl KnownAlarms {
    pub(crate) fn get(&self, alarm: IncidentId) -> Option<&AlarmState> {
        self.alarms.get(&alarm.as_u128())
    }

    pub(crate) fn has_deed(&self, deed: u128) -> bool {
        self.deeds.contains(&deed)
    }

    /// Takes in what the store has more of. Of many the latest `max` stay, as in the store.
    pub(crate) fn learn(
        &mut self,
        alarms: impl IntoIterator<Item = (u128, AlarmState)>,
        deeds: impl IntoIterator<Item = u128>,
        max: usize,
    ) {
        self.alarms.extend(alarms);
        while self.alarms.len() > max {
            self.alarms.pop_first();
        }
        self.deeds.extend(deeds);
        let surplus = self.deeds.len().saturating_sub(DEEDS_KEPT);
        self.deeds.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_nothing_else_is() {
        let mut state = AlarmState::new(IncidentId::from_u128(7));
        for sitting in 1..=6 {
            state.note(sitting, sitting * 10);
        }
        state.note(6, 3);
        assert_eq!((state.known(6), state.known(3), state.known(2)), (60, 30, 0));
        let bytes = state.to_bytes();
        assert_eq!(AlarmState::from_bytes(&bytes), Ok(state));
        for end in 0..bytes.len() {
            let is_state = end == ID_LEN || (end > ID_LEN && (end - ID_LEN).is_multiple_of(16));
            assert_eq!(AlarmState::from_bytes(&bytes[..end]).is_ok(), is_state, "{end}");
        }
        assert!(AlarmState::from_bytes(&[&bytes[..], &[0; 16]].concat()).is_err());
    }
}
