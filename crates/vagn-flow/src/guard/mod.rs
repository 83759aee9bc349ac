//! The guard: the proof that a report needs before it is taken in, and the one place where envelopes are opened.
//!
//! | file | holds |
//! |---|---|
//! | here | the judgement of open reports, by mode; the opening of envelopes |
//! | `opened.rs` | the reports of an envelope, each with its seal |
//! | `unproven.rs` | calls for help that could not be proved, for persons to look at |
//! | `noted.rs` | keys that an operator should know of, and epochs that have begun |
//!
//! It keeps no state of vehicles, so several doors need no common one: repeats are judged where the vehicle lives.

mod noted;
mod opened;
#[cfg(test)]
mod tests;
pub mod unproven;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use vagn_seal::{Envelope, KeyId, KeyTable, Lane, NotOpened, Opened, Speaker};
use vagn_wire::{Report, VehicleId};

use crate::allowance::Source;
use crate::answers::AnswerSequence;
use crate::clock::{Clock, SystemClock};
use crate::fate::Share;
use crate::metrics::ReportMetrics;
use crate::open::{Mark, open};
use crate::proof::{DeviceMode, NoProof, Proof};
use crate::reply::{ReplyTo, SealedReply};
pub use noted::Noted;
pub use opened::{Content, Entry};
use unproven::{Sighted, Unproven};

/// Judges reports as they come in at the doors.
pub struct Guard {
    mode: AtomicU8,
    keys: Arc<KeyTable>,
    lacks_keys: AtomicBool,
    reports: Arc<ReportMetrics>,
    answers: Option<Arc<AnswerSequence>>,
    unproven: Arc<Unproven>,
    noted: Noted,
    /// Envelopes with calls in them.
    calls: AtomicU64,
    clock: Arc<dyn Clock>,
}

/// Parts of a guard.
pub struct GuardParts {
    /// Proof that open reports need.
    pub mode: DeviceMode,
    /// Keys in force.
    pub keys: Arc<KeyTable>,
    /// Counts what is refused.
    pub reports: Arc<ReportMetrics>,
    /// Sequence of sealed answers; without one there are none.
    pub answers: Option<Arc<AnswerSequence>>,
    /// Tells when calls came that could not be proved.
    pub clock: Arc<dyn Clock>,
}

impl Guard {
    /// Returns a guard of these parts.
    pub fn new(parts: GuardParts) -> Arc<Self> {
        let GuardParts { mode, keys, reports, answers, clock } = parts;
        let unproven = Arc::new(Unproven::new(clock.clone()));
        let mode = AtomicU8::new(mode as u8);
        Arc::new(Self {
            mode,
            keys,
            lacks_keys: AtomicBool::new(false),
            reports,
            answers,
            unproven,
            noted: Noted::default(),
            calls: AtomicU64::new(0),
            clock,
        })
    }

    /// Returns a guard without keys that takes in every open report.
    pub fn open_to_all(reports: Arc<ReportMetrics>) -> Arc<Self> {
        let clock = Arc::new(SystemClock::new());
        let mode = DeviceMode::Open;
        Self::new(GuardParts { mode, keys: Arc::default(), reports, answers: None, clock })
    }

    /// Returns the keys in force.
    pub fn keys(&self) -> &Arc<KeyTable> {
        &self.keys
    }

    /// Returns the calls that could not be proved.
    pub fn unproven(&self) -> &Arc<Unproven> {
        &self.unproven
    }

    /// Returns the notes about keys.
    pub fn noted(&self) -> &Noted {
        &self.noted
    }

    /// Returns the proof that open reports need, by the setting.
    pub fn mode(&self) -> DeviceMode {
        DeviceMode::of(self.mode.load(Ordering::Relaxed))
    }

    /// Asks for another proof from now on.
    pub fn set_mode(&self, mode: DeviceMode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Says whether vehicles may have keys that are not in the table. Then `mixed` is as strict as `required`: the vehicles without one are not
    /// known.
    pub fn set_lacks_keys(&self, lacks_keys: bool) {
        self.lacks_keys.store(lacks_keys, Ordering::Relaxed);
    }

    /// Returns true when vehicles may have keys that are not in the table.
    pub fn lacks_keys(&self) -> bool {
        self.lacks_keys.load(Ordering::Relaxed)
    }

    /// Returns the proof that open reports need now.
    fn asks(&self) -> DeviceMode {
        match self.mode() {
            DeviceMode::Mixed if self.lacks_keys() => DeviceMode::Required,
            mode => mode,
        }
    }

    /// Returns true when open reports are taken in as they come: then none needs to be [checked](Self::check).
    #[inline]
    pub fn takes_all(&self) -> bool {
        match self.asks() {
            DeviceMode::Open => true,
            DeviceMode::Mixed => self.keys.is_empty(),
            DeviceMode::Required => false,
        }
    }

    /// Judges an open report. One without the proof that it needs is counted here, and gets no further.
    ///
    /// # Errors
    /// [`NoProof::NoSeal`].
    pub fn check(
        &self,
        report: &[u8],
        proof: Proof,
        source: impl FnOnce() -> Option<Source>,
    ) -> Result<(), NoProof> {
        if self.takes_all() {
            return Ok(());
        }
        let opened = open(report);
        let is_lacking = match &opened {
            Ok(report) => !self.takes(report, proof),
            // What cannot be read has no vehicle; it is refused for that, or for what it lacks where nothing else is taken.
            Err(_) => self.asks() == DeviceMode::Required && proof == Proof::None,
        };
        if !is_lacking {
            return Ok(());
        }
        let call = opened.ok().filter(|report| report.emergency);
        self.refuse(NoProof::NoSeal, call.map(|report| Sighted::of(&report, None)), source);
        Err(NoProof::NoSeal)
    }

    /// Returns true when an open report has the proof that it needs where not [all are taken](Self::takes_all).
    pub fn takes(&self, report: &Report<'_>, proof: Proof) -> bool {
        let is_token_enough = proof == Proof::Token || self.asks() != DeviceMode::Required;
        is_token_enough && !self.keys.has_own_key(report.vehicle_id)
    }

    /// Opens an envelope into `content`. One that stays closed is counted as one report. Reports in it that the key may not send
    /// are counted here, too, and are in `content` as refused.
    ///
    /// # Errors
    /// The reason that it stays closed.
    pub fn open(
        &self,
        envelope: &[u8],
        source: impl Fn() -> Option<Source>,
        content: &mut Content,
    ) -> Result<(), NoProof> {
        // Taken out, so that what is opened into it may be read while the rest is written.
        let mut clear = std::mem::take(&mut content.clear);
        let fill = |opened: &Opened<'_>, speaker: Speaker<'_>| content.fill(opened, envelope.len(), speaker);
        let opened = self.keys.open_for(envelope, &mut clear, fill);
        let result = self.take_apart(opened.map(|(opened, ())| opened), envelope, &source, content);
        content.clear = clear;
        if result.is_ok() {
            self.look_over(content, &source);
        }
        result
    }

    /// Loads what opening the envelopes among these datagrams needs, for all of them at once. To be called just before.
    #[inline]
    pub fn load<'e>(&self, datagrams: impl Iterator<Item = &'e [u8]>) {
        self.keys.load(datagrams);
    }

    /// Judges an envelope whose reports are in `content` if it was opened.
    fn take_apart(
        &self,
        opened: Result<Opened<'_>, NotOpened>,
        envelope: &[u8],
        source: &impl Fn() -> Option<Source>,
        content: &mut Content,
    ) -> Result<(), NoProof> {
        let taken = opened.and_then(|opened| {
            self.note_key(&opened);
            if content.has_call() {
                content.number(self.calls.fetch_add(1, Ordering::Relaxed) + 1);
            }
            self.judge(opened.key_id, content)
        });
        taken.map_err(|why| {
            content.clear_reports();
            self.refuse_closed(envelope, why, source)
        })
    }

    fn judge(&self, key_id: KeyId, content: &mut Content) -> Result<(), NotOpened> {
        let is_refused = content.judge(|vehicle_id| self.keys.may_speak(key_id, vehicle_id));
        // A key that was revoked since then speaks for no vehicle, and that is the reason.
        let is_revoked = is_refused && self.keys.speaker(key_id, |_| ()).is_none();
        if is_revoked { Err(NotOpened::Revoked) } else { Ok(()) }
    }

    /// Judges the reports that were taken out, and compares the lane.
    fn look_over(&self, content: &Content, source: &impl Fn() -> Option<Source>) {
        let mut calls = false;
        for entry in content.entries() {
            calls |= entry.mark.is_alarm;
            if entry.refused.is_some() {
                let report = open(entry.bytes).ok().filter(|report| report.emergency);
                let sighted = report.map(|report| Sighted::of(&report, Some(entry.seal.key_id)));
                self.refuse(NoProof::WrongVehicle, sighted, source);
            }
        }
        if calls != (content.lane() == Lane::Call) {
            self.reports.seal_lane_mismatches.inc();
        }
    }

    fn note_key(&self, opened: &Opened<'_>) {
        if opened.is_first_of_epoch {
            self.noted.begun(opened.key_id, opened.epoch);
        }
        self.noted.taken(opened.key_id, opened.epoch);
        self.noted.numbered(opened.key_id, opened.sequence, || self.clock.now_ms());
    }

    fn refuse_closed(
        &self,
        envelope: &[u8],
        why: NotOpened,
        source: impl FnOnce() -> Option<Source>,
    ) -> NoProof {
        let reason = NoProof::from(why);
        let envelope = Envelope::parse(envelope).filter(|envelope| envelope.lane == Lane::Call);
        let sighted = envelope.map(|envelope| self.closed_call(envelope.key_id));
        self.refuse(reason, sighted, source);
        reason
    }

    /// Returns what is known of a call in an envelope that stays closed.
    fn closed_call(&self, key_id: KeyId) -> Sighted {
        let vehicle_id = self.keys.speaker(key_id, |speaker| match speaker {
            Speaker::Vehicle(vehicle_id) => Some(vehicle_id.as_str().into()),
            Speaker::Gateway { .. } => None,
        });
        Sighted::closed(key_id, vehicle_id.flatten())
    }

    fn refuse(&self, reason: NoProof, call: Option<Sighted>, source: impl FnOnce() -> Option<Source>) {
        Share::received(&self.reports, 1).refuse(reason);
        if let Some(call) = call {
            let has_key = self.has_key(reason, &call);
            if !self.unproven.note(reason, call, has_key, source()) {
                self.reports.unproven_lost.inc();
            }
        }
    }

    /// Returns true when there is a key for the vehicle of a call, or the key that it names is there or was revoked: a sender can make
    /// up vehicles and keys, but not those. A vehicle in clear whose key was revoked counts as made up: only the registry knows it.
    fn has_key(&self, reason: NoProof, call: &Sighted) -> bool {
        let vehicle_id = call.vehicle_id.as_deref().and_then(|id| VehicleId::new(id).ok());
        if vehicle_id.is_some_and(|vehicle_id| self.keys.has_own_key(vehicle_id)) {
            return true;
        }
        match reason {
            NoProof::BadTag | NoProof::Revoked => true,
            // The epoch may be the one that is not known.
            NoProof::UnknownKey => {
                call.key_id.is_some_and(|key_id| self.keys.speaker(key_id, |_| ()).is_some())
            }
            NoProof::NoSeal | NoProof::WrongVehicle => false,
        }
    }

    /// Returns the way back to the sender of an envelope with calls in it: it hears once all of them are on disk. `None` when
    /// there is nothing to answer, or no way to.
    pub fn reply(&self, content: &Content, sender: ReplyTo) -> Option<ReplyTo> {
        let sequence = self.answers.clone()?;
        let calls: Vec<_> = content.entries().filter(|entry| entry.mark.is_alarm).collect();
        let last = calls.last()?;
        if calls.iter().any(|call| call.refused.is_some()) {
            return None;
        }
        let report = open(last.bytes).ok()?;
        let mut answer = Vec::new();
        let seq = report.seq.unwrap_or(last.seal.sequence);
        let own_id = Some(report.vehicle_id).filter(|_| !last.was_completed);
        vagn_wire::StoredAck::encode_sealed(own_id, seq, &mut answer);
        let sealed = SealedReply::new(self.keys.clone(), sequence, last.seal, answer, calls.len());
        let fits = sealed.len() <= content.envelope_len();
        fits.then(|| sender.sealed(sealed))
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").field("mode", &self.mode()).finish_non_exhaustive()
    }
}

impl Sighted {
    /// Returns what is known of a call whose report can be read.
    fn of(report: &Report<'_>, key_id: Option<KeyId>) -> Self {
        Self {
            vehicle_id: Some(report.vehicle_id.as_str().into()),
            key_id,
            position: report.position.ok(),
            kind: report.kind,
            vehicle_incident: report.incident.map(Into::into),
        }
    }

    /// Returns what is known of a call that stays closed.
    fn closed(key_id: KeyId, vehicle_id: Option<Box<str>>) -> Self {
        Self { vehicle_id, key_id: Some(key_id), position: None, kind: None, vehicle_incident: None }
    }
}

impl Content {
    /// Fills in the reports of an envelope whose key belongs to `speaker`.
    fn fill(&mut self, opened: &Opened<'_>, len: usize, speaker: Speaker<'_>) {
        self.take_in(opened, len, speaker, Mark::of);
    }
}
