//! The answer over UDP to an alarm that carried `Seq`.
//!
//! A map `{ID: str, Seq: u64, Stored: true}`, everything in its shortest form: three bytes shorter than the shortest alarm
//! that asks for it, which has `Emergency` in place of `Stored`. `Incident: str` is added if the answer is then still not
//! longer than the alarm. So an attacker that forges a sender address cannot amplify traffic.

use crate::ack::{AckFields, BadAck};
use crate::encode::{flag, text, uint};
use crate::marker::FIXMAP;
use crate::{Reject, Report, VehicleId};

/// Answer that an alarm is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAck<'a> {
    /// Id of the vehicle that raised the alarm.
    pub vehicle_id: VehicleId<'a>,
    /// `Seq` of the alarm.
    pub seq: u64,
    /// Id of the incident that it opened or updated, if there was room for it.
    pub incident: Option<&'a str>,
}

impl<'a> StoredAck<'a> {
    /// Gives the answer that a report over UDP asks for: an alarm with `Seq` does.
    #[inline]
    pub fn asked_by(report: &Report<'a>) -> Option<Self> {
        let seq = report.seq.filter(|_| report.emergency)?;
        Some(Self { vehicle_id: report.vehicle_id, seq, incident: None })
    }

    /// Appends the answer to an alarm of `alarm_len` bytes to `out`. The incident is left out if the answer would be longer
    /// than the alarm.
    pub fn encode(&self, alarm_len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(FIXMAP | 3);
        text(out, "ID", self.vehicle_id.as_str());
        uint(out, "Seq", self.seq);
        flag(out, "Stored", true);
        let Some(incident) = self.incident else { return };
        let bare_len = out.len();
        out[start] = FIXMAP | 4;
        text(out, "Incident", incident);
        if out.len() - start > alarm_len {
            out.truncate(bare_len);
            out[start] = FIXMAP | 3;
        }
    }

    /// Appends the answer that is sealed for the sender of an envelope: the id of the vehicle only if the call had it. It is
    /// not longer than a call with the same `ID` and `Seq`.
    pub fn encode_sealed(vehicle_id: Option<VehicleId<'_>>, seq: u64, out: &mut Vec<u8>) {
        out.push(FIXMAP | if vehicle_id.is_some() { 3 } else { 2 });
        if let Some(vehicle_id) = vehicle_id {
            text(out, "ID", vehicle_id.as_str());
        }
        uint(out, "Seq", seq);
        flag(out, "Stored", true);
    }

    /// Reads a datagram that may be such an answer. Unknown keys are skipped, and bytes after the map are ignored.
    ///
    /// # Errors
    /// [`BadAck`] when it is something else, for example the two bytes that the original answers.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, BadAck> {
        let fields = AckFields::read(datagram)?;
        let (fields, _) = fields.ok_or(BadAck::Frame(Reject::Truncated))?;
        fields.finish_stored()
    }
}
