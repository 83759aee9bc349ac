//! The payload of a report: the part of an entry beside the vehicle's id and the arrival.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | flags: which of the following are there, and what is told by a flag alone |
//! | 8, 8 | latitude, longitude |
//! | 8 | the vehicle's own time as it was read, ms since 1970 |
//! | 8 | number of the report: `Seq`, or the sequence of its seal |
//! | 4 | speed |
//! | 4 | heading |
//! | 4 | tag of the seal's key |
//! | 2 | oddities |
//!
//! Which time counts is not in it: that is judged by the shard, from the arrival that all replicas have. Numbers are little-endian.

use vagn_cluster::Damaged;
use vagn_cluster::bytes::{Reader, Write};
use vagn_store::{Evidence, KeyTag, Seal, Sighting};
use vagn_wire::{Oddities, Position, Reject, Report, VehicleId};

const VERSION: u8 = 1;

const TIME: u8 = 1;
const NUMBER: u8 = 2;
const SPEED: u8 = 4;
const HEADING: u8 = 8;
const EMERGENCY: u8 = 16;
const SEALED: u8 = 32;
const MORE: u8 = 64;
const ODD: u8 = 128;

/// Seal of a report. Its sequence is the number of the report, whatever `Seq` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealOf {
    /// Key of the seal.
    pub key: KeyTag,
    /// Sequence of the seal.
    pub sequence: u64,
    /// Not the first report of its vehicle in its envelope.
    pub more: bool,
}

/// A report as it lies in an entry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Payload {
    position: Position,
    event_time_ms: Option<i64>,
    /// None for a sealed report.
    seq: Option<u64>,
    speed_mps: Option<f32>,
    heading_deg: Option<f32>,
    emergency: bool,
    odd: Oddities,
    seal: Option<SealOf>,
}

impl Payload {
    /// Appends the payload of a report.
    ///
    /// # Errors
    /// The reason why its position cannot be used; then nothing is appended, for it is no report of a position.
    #[inline]
    pub fn write(report: &Report<'_>, seal: Option<SealOf>, out: &mut Vec<u8>) -> Result<(), Reject> {
        let position = report.position?;
        let Report { event_time_ms, seq, speed_mps, heading_deg, emergency, odd, .. } = *report;
        let seq = seq.filter(|_| seal.is_none());
        Payload { position, event_time_ms, seq, speed_mps, heading_deg, emergency, odd, seal }.put(out);
        Ok(())
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let Payload { position, event_time_ms, speed_mps, heading_deg, emergency, odd, seal, .. } = *self;
        let number = self.number();
        out.put_u8(VERSION);
        out.put_u8(
            flag_if(event_time_ms.is_some(), TIME)
                | flag_if(number.is_some(), NUMBER)
                | flag_if(speed_mps.is_some(), SPEED)
                | flag_if(heading_deg.is_some(), HEADING)
                | flag_if(emergency, EMERGENCY)
                | flag_if(seal.is_some(), SEALED)
                | flag_if(seal.is_some_and(|seal| seal.more), MORE)
                | flag_if(!odd.is_empty(), ODD),
        );
        out.put_u64(position.lat().to_bits());
        out.put_u64(position.lon().to_bits());
        if let Some(time_ms) = event_time_ms {
            out.put_i64(time_ms);
        }
        if let Some(number) = number {
            out.put_u64(number);
        }
        if let Some(speed) = speed_mps {
            out.put_u32(speed.to_bits());
        }
        if let Some(heading) = heading_deg {
            out.put_u32(heading.to_bits());
        }
        if let Some(seal) = seal {
            out.put_u32(seal.key.bits());
        }
        if !odd.is_empty() {
            out.put_u16(odd.bits());
        }
    }

    /// Reads what [`Payload::write`] wrote: all of `bytes`.
    ///
    /// # Errors
    /// [`Damaged`] when it wrote no such bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Reader::new(bytes);
        if bytes.u8()? != VERSION {
            return Err(Damaged);
        }
        let flags = bytes.u8()?;
        let has = |flag| flags & flag != 0;
        let lat = f64::from_bits(bytes.u64()?);
        let lon = f64::from_bits(bytes.u64()?);
        let position = Position::new(lat, lon).map_err(|_| Damaged)?;
        let event_time_ms = if has(TIME) { Some(bytes.i64()?) } else { None };
        let number = if has(NUMBER) { Some(bytes.u64()?) } else { None };
        let speed_mps = if has(SPEED) { Some(f32::from_bits(bytes.u32()?)) } else { None };
        let heading_deg = if has(HEADING) { Some(f32::from_bits(bytes.u32()?)) } else { None };
        let key = if has(SEALED) { Some(KeyTag::of_bits(bytes.u32()?).ok_or(Damaged)?) } else { None };
        let odd = if has(ODD) { Oddities::of_bits(bytes.u16()?).ok_or(Damaged)? } else { Oddities::NONE };
        bytes.end()?;
        let (seq, seal) = match (key, number) {
            (Some(key), Some(sequence)) => (None, Some(SealOf { key, sequence, more: has(MORE) })),
            (None, seq) if !has(MORE) => (seq, None),
            _ => return Err(Damaged),
        };
        let can_be = odd.is_empty() != has(ODD)
            && speed_mps.is_none_or(|speed| speed.is_finite() && speed >= 0.0)
            && heading_deg.is_none_or(|heading| (0.0..360.0).contains(&heading));
        let emergency = has(EMERGENCY);
        let read = Self { position, event_time_ms, seq, speed_mps, heading_deg, emergency, odd, seal };
        if can_be { Ok(read) } else { Err(Damaged) }
    }

    /// Returns the sighting to be judged, and what is known of the report beside: as on one machine, where the report of the vehicle
    /// has arrived at this time, ms since 1970, under this running number.
    #[inline]
    pub fn judged(
        &self,
        vehicle_id: VehicleId<'_>,
        receive_time_ms: i64,
        receive_seq: u64,
    ) -> (Sighting, Evidence) {
        let Payload { position, event_time_ms, speed_mps, heading_deg, emergency, odd, seal, .. } = *self;
        let seq = self.number();
        let plain = Report::new(vehicle_id, position);
        let report = Report { event_time_ms, seq, speed_mps, heading_deg, emergency, odd, ..plain };
        let (sighting, odd) = Sighting::of(&report, position, receive_time_ms, receive_seq);
        (sighting, Evidence { seal: seal.map(|seal| Seal { key: seal.key, more: seal.more }), odd })
    }

    #[inline]
    fn number(&self) -> Option<u64> {
        self.seal.map_or(self.seq, |seal| Some(seal.sequence))
    }
}

#[inline]
fn flag_if(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}
