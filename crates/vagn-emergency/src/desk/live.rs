//! One incident at the desk: its record, and what only memory knows of it.

use std::time::Duration;

use super::Moment;
use crate::intake::ack::{PENDING_ACKS_MAX, PendingAck};
use crate::intake::alarm::Alarm;
use crate::notify::target::TargetIndex;
use crate::record::attempt::Attempt;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::trail::{Event, EventKind, SubjectId};

/// Changes of one incident by us and by targets that may wait for a store that does not work; what people decide always may.
const NOTES_MAX: usize = 200;

/// Attempts of one incident that may wait for a store that does not work; the oldest go.
const LEDGER_MAX: usize = 100;

pub(super) struct Live {
    pub(super) incident: Incident,
    pub(super) version: u64,
    pub(super) recorded: u64,
    pub(super) acks: Vec<(u64, PendingAck)>,
    /// When it arrived, while nobody has called about it.
    pub(super) arrived: Option<Duration>,
    /// When its latest report arrived, or when it was restored; on the monotonic clock, since the wall clock may jump and
    /// then stand still for hours.
    last_report: Duration,
    /// How long it had been quiet by then.
    quiet_before: Duration,
    /// When its turn passes on to the next target.
    pub(super) turn_ends: Option<Duration>,
    /// Attempts that have begun.
    pub(super) begun: u32,
    /// By target, in the order of the rules.
    retries: Vec<Retries>,
    /// Changes that are not in the trail yet, by number.
    notes: Vec<(u64, Event)>,
    noted: u64,
    /// Attempts that are not in the ledger yet.
    pub(super) ledger: Vec<Attempt>,
    /// When it was last looked where its vehicle is.
    pub(super) followed: Duration,
}

/// What only memory knows of one delivery.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Retries {
    /// Attempts that came to nothing since the last answer.
    pub(super) failures: u32,
    /// When the target last accepted something.
    pub(super) told: Option<Duration>,
}

impl Live {
    /// An incident that its first report opens.
    pub(super) fn open(incident: Incident, call: &Alarm, acks: Vec<(u64, PendingAck)>) -> Self {
        Self { arrived: Some(call.arrived), acks, recorded: 0, ..Self::at(incident, call.last_arrived) }
    }

    /// An incident from the store. Only the wall clock can tell how long it has been quiet; when it says that its latest
    /// report is still to come, the incident has been quiet for no time at all.
    pub(super) fn restore(incident: Incident, now: Moment) -> Self {
        let gap_ms = now.ms.saturating_sub(incident.alarm.updated_ms).max(0);
        Self { quiet_before: Duration::from_millis(gap_ms.unsigned_abs()), ..Self::at(incident, now.at) }
    }

    fn at(incident: Incident, last_report: Duration) -> Self {
        Self {
            begun: incident.notices.attempts,
            incident,
            version: 1,
            recorded: 1,
            acks: Vec::new(),
            arrived: None,
            last_report,
            quiet_before: Duration::ZERO,
            turn_ends: None,
            retries: Vec::new(),
            notes: Vec::new(),
            noted: 0,
            ledger: Vec::new(),
            followed: last_report,
        }
    }

    pub(super) fn last_report(&self) -> Duration {
        self.last_report
    }

    pub(super) fn heard(&mut self, at: Duration) {
        self.last_report = self.last_report.max(at);
        self.quiet_before = Duration::ZERO;
    }

    pub(super) fn quiet(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_report).saturating_add(self.quiet_before)
    }

    pub(super) fn goes_on(&self, now: Duration, quiet_max: Duration) -> bool {
        self.incident.goes_on(self.quiet(now), quiet_max)
    }

    /// Keeps the sender waiting until the incident is on disk as it is now.
    pub(super) fn wait(&mut self, ack: PendingAck) {
        if self.acks.len() < PENDING_ACKS_MAX { self.acks.push((self.version, ack)) } else { ack.refuse() }
    }

    pub(super) fn retries(&mut self, target: TargetIndex) -> &mut Retries {
        if self.retries.len() <= target.0 {
            self.retries.resize(target.0 + 1, Retries::default());
        }
        &mut self.retries[target.0]
    }

    /// Puts somebody's change on the trail.
    pub(super) fn note(&mut self, by: &str, at_ms: i64, action: EventKind, reason: &str) {
        if self.notes.len() >= NOTES_MAX && !action.is_decision() {
            return;
        }
        let (by, reason) = (by.into(), reason.into());
        self.noted += 1;
        self.notes.push((
            self.noted,
            Event { at_ms, subject: SubjectId::Incident(self.incident.id), action, by, reason },
        ));
    }

    /// The changes that are not in the trail yet.
    pub(super) fn notes(&self) -> impl Iterator<Item = &Event> {
        self.notes.iter().map(|(_, note)| note)
    }

    /// As it is to be written now.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            incident: self.incident.clone(),
            version: self.version,
            events: self.notes().cloned().collect(),
            last_event: self.noted,
            attempts: self.ledger.clone(),
        }
    }

    /// `draft` is on disk. Another may have been written meanwhile.
    pub(super) fn recorded(&mut self, draft: &Draft) {
        self.recorded = self.recorded.max(draft.version);
        self.notes.retain(|(number, _)| *number > draft.last_event);
        self.ledger.retain(|attempt| draft.attempts.iter().all(|written| written.number != attempt.number));
    }

    /// Puts an attempt on the ledger.
    pub(super) fn enter(&mut self, attempt: Attempt) {
        if self.ledger.len() == LEDGER_MAX {
            self.ledger.remove(0);
        }
        self.ledger.push(attempt);
    }
}
