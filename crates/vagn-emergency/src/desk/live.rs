//! One incident at the desk: its record, and what only memory knows of it.

use std::time::Duration;

use super::Moment;
use super::filed::Filed;
use super::shared::MaySend;
use crate::intake::ack::{PENDING_ACKS_MAX, PendingAck};
use crate::notify::target::TargetIndex;
use crate::record::attempt::{Attempt, Message};
use crate::record::call_window::CallWindow;
use crate::record::delivery::Told;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::trail::{Event, EventKind, SubjectId};
use vagn_flow::allowance::Source;

/// Most events of one incident by the service and by targets that may wait for a store that does not work. Decisions of
/// people always may.
const EVENTS_MAX: usize = 200;

/// Most attempts of one incident that may wait for a store that does not work; the oldest go.
const LEDGER_MAX: usize = 100;

pub(super) struct Live {
    pub(super) incident: Incident,
    /// Source of its first alarm, if its door told.
    pub(super) source: Option<Source>,
    /// Grows with every change.
    version: u64,
    /// Latest version on disk; 0 before the first.
    recorded: u64,
    /// To be written although nothing has changed: the store was opened anew, and may not have it.
    rewrite: bool,
    acks: Vec<VersionedAck>,
    /// Arrival of its alarm, until the first attempt.
    pub(super) arrived: Option<Duration>,
    /// Arrival of its latest report, or the time when it was restored; on the monotonic clock, since the wall clock may
    /// jump and then stand still for hours.
    last_report: Duration,
    /// Time that it had been quiet by then.
    quiet_before: Duration,
    /// That time was taken from a wall clock that may have been wrong.
    is_quiet_unsure: bool,
    /// Attempts that have begun.
    begun: u32,
    /// By target, in the order of the rules.
    retries: Vec<Retries>,
    /// Events that are not in the trail yet.
    events: Vec<NumberedEvent>,
    /// Number of the latest event.
    last_event: u64,
    /// Attempts that are not in the ledger yet.
    ledger: Vec<Attempt>,
    /// Windows of sealed calls that are not on disk yet, with the version that they belong to.
    calls: Vec<(u64, CallWindow)>,
    /// Time when its vehicle was last looked up to follow it.
    pub(super) followed: Duration,
    /// Its position is to be looked up if it has none.
    pub(super) wants_fix: bool,
    /// Indexes that it is in.
    pub(super) filed: Filed,
    /// As the trail of a cluster has it, at a desk that acts upon nothing else; `None` while the trail does not have it.
    pub(super) in_trail: Option<Box<Incident>>,
    /// Its opening may go out although the trail does not have it.
    pub(super) is_released: bool,
}

/// A sender that waits until this version is on disk.
struct VersionedAck {
    version: u64,
    ack: PendingAck,
}

/// An event with its number within the incident, from 1.
struct NumberedEvent {
    number: u64,
    event: Event,
}

/// What only memory knows of one delivery.
#[derive(Debug, Clone, Copy, Default)]
struct Retries {
    /// Attempts that failed since the target last accepted something.
    failures: u32,
    /// Time when the target last accepted something.
    accepted: Option<Duration>,
}

/// An attempt that begins.
pub(super) struct Begun {
    pub(super) message: Message,
    /// Number of the message within the incident; 0 for the first.
    pub(super) message_number: u64,
    pub(super) told: Told,
    /// Number of the attempt within the incident, from 1.
    pub(super) attempt: u32,
    /// Arrival of the alarm, if this is the first attempt.
    pub(super) arrived: Option<Duration>,
}

impl Live {
    /// Returns an incident that was opened by an alarm of these arrivals.
    pub(super) fn open(
        incident: Incident,
        arrived: Duration,
        last_arrived: Duration,
        acks: Vec<PendingAck>,
    ) -> Self {
        let acks = acks.into_iter().map(|ack| VersionedAck { version: 1, ack }).collect();
        Self { arrived: Some(arrived), acks, recorded: 0, ..Self::at(incident, last_arrived) }
    }

    /// Returns an incident from the store. Only the wall clock can tell how long it has been quiet; if its latest
    /// report is still to come by that clock, it has been quiet for no time at all.
    pub(super) fn restore(incident: Incident, now: Moment) -> Self {
        let quiet_before = gap(&incident, now);
        Self { quiet_before, is_quiet_unsure: !now.is_sure, ..Self::at(incident, now.at) }
    }

    /// Returns an incident that was never written, with all that is new in it.
    pub(super) fn unrecorded(draft: Draft, last_report: Duration) -> Self {
        let Draft { incident, version, events, attempts, .. } = draft;
        let mut live = Self { version, recorded: 0, wants_fix: false, ..Self::at(incident, last_report) };
        live.ledger = attempts;
        live.note_all(events);
        live
    }

    fn at(incident: Incident, last_report: Duration) -> Self {
        Self {
            begun: incident.notices.attempts,
            incident,
            source: None,
            version: 1,
            recorded: 1,
            rewrite: false,
            acks: Vec::new(),
            arrived: None,
            last_report,
            quiet_before: Duration::ZERO,
            is_quiet_unsure: false,
            retries: Vec::new(),
            events: Vec::new(),
            last_event: 0,
            ledger: Vec::new(),
            calls: Vec::new(),
            followed: last_report,
            wants_fix: true,
            filed: Filed::default(),
            in_trail: None,
            is_released: false,
        }
    }

    /// Learns what `record`, from the store, has of this incident that it does not have itself.
    pub(super) fn learn(&mut self, record: &Incident) {
        self.change().learn(record);
        self.begun = self.begun.max(record.notices.attempts);
    }

    /// Counts a change, so that the incident is written again.
    pub(super) fn touch(&mut self) {
        self.version += 1;
    }

    /// Counts a change, and returns the incident to make it.
    pub(super) fn change(&mut self) -> &mut Incident {
        self.touch();
        &mut self.incident
    }

    /// Returns true when it has never been written.
    pub(super) fn is_new(&self) -> bool {
        self.recorded == 0
    }

    /// Returns true when it is on disk, and is to be written again.
    pub(super) fn is_changed(&self) -> bool {
        !self.is_new() && (self.rewrite || !self.is_recorded())
    }

    /// Returns true when it is on disk as it is.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded >= self.version
    }

    /// Returns true when its vehicle is followed: a target has accepted it, and it is not over.
    pub(super) fn is_followed(&self) -> bool {
        self.incident.progress.accepted_ms.is_some() && !self.incident.is_resolved()
    }

    pub(super) fn is_awaited(&self) -> bool {
        !self.acks.is_empty()
    }

    /// Has it written again if it was written before.
    pub(super) fn rewrite(&mut self) {
        self.rewrite = true;
    }

    pub(super) fn last_report(&self) -> Duration {
        self.last_report
    }

    /// Notes that a report arrived at `at`.
    pub(super) fn heard(&mut self, at: Duration) {
        self.last_report = self.last_report.max(at);
        self.quiet_before = Duration::ZERO;
        self.is_quiet_unsure = false;
    }

    /// Returns true when its quiet time comes from a wall clock that may have been wrong.
    pub(super) fn is_quiet_unsure(&self) -> bool {
        self.is_quiet_unsure
    }

    /// Learns anew how long it had been quiet when it was restored, by a wall clock that is believed.
    pub(super) fn learn_quiet(&mut self, now: Moment) {
        self.quiet_before = gap(&self.incident, now).saturating_sub(now.at.saturating_sub(self.last_report));
        self.is_quiet_unsure = false;
    }

    /// Returns how long no report has come.
    pub(super) fn quiet(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_report).saturating_add(self.quiet_before)
    }

    pub(super) fn goes_on(&self, now: Duration, quiet_max: Duration) -> bool {
        self.incident.goes_on(self.quiet(now), quiet_max)
    }

    /// Keeps senders waiting until the incident is on disk as it is now.
    pub(super) fn wait(&mut self, acks: impl IntoIterator<Item = PendingAck>) {
        acks.into_iter().for_each(|ack| self.wait_for(ack));
    }

    fn wait_for(&mut self, mut ack: PendingAck) {
        let version = self.version;
        if let Some(last) = self.acks.last_mut() {
            // Alarms of one sender come one behind the other.
            match last.ack.join(ack) {
                // It hears of all its reports together, so not before the latest is on disk.
                Ok(()) => return last.version = version,
                Err(of_another) => ack = of_another,
            }
        }
        if self.acks.len() < PENDING_ACKS_MAX {
            self.acks.push(VersionedAck { version, ack });
        } else {
            ack.refuse();
        }
    }

    pub(super) fn take_acks(&mut self) -> impl Iterator<Item = PendingAck> + use<> {
        std::mem::take(&mut self.acks).into_iter().map(|waiting| waiting.ack)
    }

    /// Refuses senders that have waited since before `oldest`.
    pub(super) fn refuse_acks_before(&mut self, oldest: Duration) {
        for old in self.acks.extract_if(.., |waiting| waiting.ack.since < oldest) {
            old.ack.refuse();
        }
    }

    /// Begins an attempt to tell `target` what it is owed, if that is anything.
    pub(super) fn begin_attempt(&mut self, target: &str, may: MaySend, now_ms: i64) -> Option<Begun> {
        let told = self.on_record().to_tell();
        let may_open = may == MaySend::All || self.may_open(target, may);
        let may_follow = may == MaySend::All || (may == MaySend::Recorded && self.in_trail.is_some());
        let notices = &mut self.incident.notices;
        let mut numbers = notices.follow_ups;
        let delivery = notices.delivery(target, now_ms);
        let message = delivery.owed(told)?;
        if !(if message == Message::Opened { may_open } else { may_follow }) {
            return None;
        }
        let message_number = delivery.number(message, told, &mut numbers);
        notices.follow_ups = numbers;
        self.begun = self.begun.saturating_add(1);
        Some(Begun { message, message_number, told, attempt: self.begun, arrived: self.arrived.take() })
    }

    fn may_open(&self, target: &str, may: MaySend) -> bool {
        let is_recorded = |incident: &Incident| incident.notices.delivery_to(target).is_some();
        let has_record = self.in_trail.as_deref();
        self.is_released
            || has_record.is_some_and(|incident| may == MaySend::Openings || is_recorded(incident))
    }

    /// Returns the incident as far as it may be acted upon.
    pub(super) fn on_record(&self) -> &Incident {
        self.in_trail.as_deref().unwrap_or(&self.incident)
    }

    /// Returns the incident as a target may see it.
    pub(super) fn shown(&self) -> Incident {
        let mut shown = self.incident.clone();
        if let Some(recorded) = &self.in_trail {
            shown.alarm = recorded.alarm.clone();
            shown.progress = recorded.progress.clone();
        }
        shown
    }

    /// Notes an attempt that has ended. Returns true when no target had accepted the incident before.
    pub(super) fn attempted(&mut self, attempt: Attempt) -> bool {
        let is_first = self.incident.progress.accepted_ms.is_none();
        self.change().attempted(attempt.clone());
        if self.ledger.len() == LEDGER_MAX {
            self.ledger.remove(0);
        }
        self.ledger.push(attempt);
        is_first
    }

    /// Counts a failed attempt. Returns how many failed since the target last accepted something.
    pub(super) fn failed(&mut self, target: TargetIndex) -> u32 {
        let retries = self.retries(target);
        retries.failures = retries.failures.saturating_add(1);
        retries.failures
    }

    /// Notes that the target accepted something at `at`.
    pub(super) fn accepted(&mut self, target: TargetIndex, at: Duration) {
        *self.retries(target) = Retries { failures: 0, accepted: Some(at) };
    }

    fn retries(&mut self, target: TargetIndex) -> &mut Retries {
        if self.retries.len() <= target.0 {
            self.retries.resize(target.0 + 1, Retries::default());
        }
        &mut self.retries[target.0]
    }

    /// Returns the time when the target last accepted something.
    pub(super) fn last_accepted(&self, target: TargetIndex) -> Option<Duration> {
        self.retries.get(target.0)?.accepted
    }

    /// Adds an event for the trail.
    pub(super) fn note(&mut self, by: &str, at_ms: i64, action: EventKind, reason: &str) {
        if self.events.len() >= EVENTS_MAX && !action.is_decision() {
            return;
        }
        self.last_event += 1;
        let subject = SubjectId::Incident(self.incident.id);
        let event = Event { at_ms, subject, action, by: by.into(), reason: reason.into() };
        self.events.push(NumberedEvent { number: self.last_event, event });
    }

    /// Adds events that another store had.
    pub(super) fn note_all(&mut self, events: Vec<Event>) {
        for Event { at_ms, action, by, reason, .. } in events {
            self.note(&by, at_ms, action, &reason);
        }
    }

    /// Returns the events that are not in the trail yet.
    pub(super) fn events(&self) -> Vec<Event> {
        self.events.iter().map(|numbered| numbered.event.clone()).collect()
    }

    /// Returns true when events or attempts are not written yet.
    pub(super) fn has_unwritten(&self) -> bool {
        !self.events.is_empty() || !self.ledger.is_empty()
    }

    /// Notes that another node has made as many attempts: those from here have numbers behind them.
    pub(super) fn count_attempts(&mut self, made: u32) {
        self.begun = self.begun.max(made);
    }

    /// Returns the number of an attempt that another node has made: the one that the target saw, unless another attempt has that here.
    pub(super) fn number_of(&mut self, seen: u32) -> u32 {
        self.begun = self.begun.saturating_add(1).max(seen);
        self.begun
    }

    /// Returns the attempts that are not in the ledger yet.
    pub(super) fn ledger(&self) -> Vec<Attempt> {
        self.ledger.clone()
    }

    /// Notes the window of a sealed call that was taken with the present version, in place of an older one of its key.
    pub(super) fn called(&mut self, window: Option<CallWindow>) {
        let Some(window) = window else { return };
        self.calls.retain(|(_, older)| older.key_id != window.key_id);
        self.calls.push((self.version, window));
    }

    /// Returns what is to be written now.
    pub(super) fn draft(&self) -> Draft {
        Draft {
            incident: self.incident.clone(),
            version: self.version,
            events: self.events(),
            last_event: self.last_event,
            attempts: self.ledger(),
            calls: self.calls.iter().map(|(_, window)| *window).collect(),
        }
    }

    /// Notes that `draft` is on disk; another may have been written meanwhile. Returns the senders that waited for it.
    pub(super) fn recorded(&mut self, draft: &Draft) -> Vec<PendingAck> {
        self.recorded = self.recorded.max(draft.version);
        self.rewrite = false;
        self.events.retain(|numbered| numbered.number > draft.last_event);
        self.calls.retain(|(version, _)| *version > draft.version);
        self.ledger.retain(|attempt| draft.attempts.iter().all(|written| written.number != attempt.number));
        let safe = self.acks.extract_if(.., |waiting| waiting.version <= draft.version);
        safe.map(|waiting| waiting.ack).collect()
    }
}

/// Returns the time since the latest report of an incident, by the wall clock.
fn gap(incident: &Incident, now: Moment) -> Duration {
    let heard_ms = incident.alarm.updated_ms.max(now.since_ms);
    Duration::from_millis(now.ms.saturating_sub(heard_ms).max(0).unsigned_abs())
}
