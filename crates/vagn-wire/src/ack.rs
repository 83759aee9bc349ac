//! The answer over TCP to a report that carried `Seq`.
//!
//! A map `{ID: str, Seq: u64, Fate: str}`, with `Incident: str` when the report opened or updated one. Answers come one
//! after another in the stream, not necessarily in the order of the reports.

use crate::decode::cursor::{Cursor, Value};
use crate::encode::{text, uint64};
use crate::id::name;
use crate::marker::FIXMAP;
use crate::{Fate, Reject, StoredAck, VehicleId, object_len};

/// Answer to one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Id of the vehicle that sent the report.
    pub vehicle_id: VehicleId<'a>,
    /// `Seq` of the report.
    pub seq: u64,
    /// Fate of its position.
    pub fate: Fate,
    /// Id of the incident that the report's flag opened or updated. The incident is on disk.
    pub incident: Option<&'a str>,
}

/// Reason why an answer could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAck {
    /// The bytes are no msgpack object, or too long an object.
    #[error("ack cannot be read")]
    Frame(#[source] Reject),
    /// The object is not a map.
    #[error("ack is not a map")]
    NotAMap,
    /// The named key is missing, or its value cannot be used.
    #[error("ack has no usable {0}")]
    Field(&'static str),
}

/// Appends the answer to `out`.
pub fn encode(ack: &Ack<'_>, out: &mut Vec<u8>) {
    out.push(FIXMAP | if ack.incident.is_some() { 4 } else { 3 });
    text(out, "ID", ack.vehicle_id.as_str());
    uint64(out, "Seq", ack.seq);
    text(out, "Fate", ack.fate.as_str());
    if let Some(incident) = ack.incident {
        text(out, "Incident", incident);
    }
}

/// Reads the first answer in `stream`, and gives its length in bytes; `None` when more bytes are needed.
///
/// # Errors
/// [`BadAck`] when the stream does not continue with an answer. Unknown keys are skipped.
pub fn decode(stream: &[u8]) -> Result<Option<(Ack<'_>, usize)>, BadAck> {
    let Some((fields, len)) = AckFields::read(stream)? else { return Ok(None) };
    fields.finish().map(|ack| Some((ack, len)))
}

/// Values of an answer, as far as they have been read.
#[derive(Default)]
pub(crate) struct AckFields<'a> {
    vehicle_id: Option<VehicleId<'a>>,
    seq: Option<u64>,
    fate: Option<Fate>,
    stored: bool,
    incident: Option<&'a str>,
}

impl<'a> AckFields<'a> {
    /// Reads the first object of `bytes`, and gives its length in bytes; `None` when it is not complete.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, BadAck> {
        let Some(len) = object_len(bytes).map_err(BadAck::Frame)? else { return Ok(None) };
        let mut cursor = Cursor::new(&bytes[..len]);
        let Value::Map(pairs) = cursor.value().map_err(BadAck::Frame)? else { return Err(BadAck::NotAMap) };
        let mut fields = Self::default();
        for _ in 0..pairs {
            fields.pair(&mut cursor).map_err(BadAck::Frame)?;
        }
        Ok(Some((fields, len)))
    }

    fn pair(&mut self, cursor: &mut Cursor<'a>) -> Result<(), Reject> {
        let key = cursor.value()?;
        cursor.skip(key.children())?;
        let value = cursor.value()?;
        match (key, value) {
            (Value::Text(b"ID"), Value::Text(id)) => self.vehicle_id = VehicleId::from_bytes(id).ok(),
            (Value::Text(b"Seq"), Value::Int(seq)) => self.seq = u64::try_from(seq).ok(),
            (Value::Text(b"Seq"), Value::Big(seq)) => self.seq = Some(seq),
            (Value::Text(b"Fate"), Value::Text(word)) => {
                self.fate = name(word).and_then(|word| word.parse().ok())
            }
            (Value::Text(b"Stored"), Value::Bool(stored)) => self.stored = stored,
            (Value::Text(b"Incident"), Value::Text(id)) => self.incident = name(id),
            _ => {}
        }
        cursor.skip(value.children())
    }

    fn finish(self) -> Result<Ack<'a>, BadAck> {
        Ok(Ack {
            vehicle_id: self.vehicle_id.ok_or(BadAck::Field("ID"))?,
            seq: self.seq.ok_or(BadAck::Field("Seq"))?,
            fate: self.fate.ok_or(BadAck::Field("Fate"))?,
            incident: self.incident,
        })
    }

    pub(crate) fn finish_stored(self) -> Result<StoredAck<'a>, BadAck> {
        if !self.stored {
            return Err(BadAck::Field("Stored"));
        }
        Ok(StoredAck {
            vehicle_id: self.vehicle_id.ok_or(BadAck::Field("ID"))?,
            seq: self.seq.ok_or(BadAck::Field("Seq"))?,
            incident: self.incident,
        })
    }
}
