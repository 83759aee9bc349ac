//! What the service answers over UDP to a call for help that carried `Seq`.
//!
//! A map `{ID: str, Seq: u64, Stored: true}`, everything in its shortest form: three bytes shorter than the shortest call
//! that asks for it, which has `Emergency` in place of `Stored`. `Incident: str` comes along if the answer still is not
//! longer than the call. So whoever forges a sender gains nothing.

use crate::ack::{BadAck, Fields};
use crate::encode::{flag, text, uint};
use crate::marker::FIXMAP;
use crate::{Reject, Report, VehicleId};

/// The call for help is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredAck<'a> {
    /// The vehicle that called.
    pub vehicle_id: VehicleId<'a>,
    /// The call's `Seq`.
    pub seq: u64,
    /// The incident it opened or updated, if there was room to say so.
    pub incident: Option<&'a str>,
}

impl<'a> StoredAck<'a> {
    /// The answer that `report` asks for, if it does and comes over UDP.
    #[inline]
    pub fn asked_by(report: &Report<'a>) -> Option<Self> {
        let seq = report.seq.filter(|_| report.emergency)?;
        Some(Self { vehicle_id: report.vehicle_id, seq, incident: None })
    }

    /// Appends the answer to a call of `call_len` bytes to `out`: with the incident, unless it were longer than the call.
    pub fn encode(&self, call_len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(FIXMAP | 3);
        text(out, "ID", self.vehicle_id.as_str());
        uint(out, "Seq", self.seq);
        flag(out, "Stored", true);
        let Some(incident) = self.incident else { return };
        let bare_len = out.len();
        out[start] = FIXMAP | 4;
        text(out, "Incident", incident);
        if out.len() - start > call_len {
            out.truncate(bare_len);
            out[start] = FIXMAP | 3;
        }
    }

    /// Reads a datagram that may be such an answer. Unknown keys are skipped, bytes after the map ignored.
    ///
    /// # Errors
    /// [`BadAck`] when it is none: the original's two bytes, for example.
    pub fn decode(datagram: &'a [u8]) -> Result<Self, BadAck> {
        let fields = Fields::read(datagram)?;
        let (fields, _) = fields.ok_or(BadAck::Frame(Reject::Truncated))?;
        fields.finish_stored()
    }
}
