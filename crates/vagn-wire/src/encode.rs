//! A report to bytes, as a vehicle sends it.

use crate::decode::fields::Field;
use crate::marker::{EXT8, FALSE, FIXMAP, FIXSTR, FLOAT32, FLOAT64, INT64, STR8, STR32, TRUE};
use crate::marker::{UINT8, UINT16, UINT32, UINT64};
use crate::time::{TIMESTAMP, timestamp};
use crate::{Kind, Report, ms_of_number};

/// Appends the report to `out`: the original's layout, 79 bytes with a UUID, when nothing optional is set; a map with
/// further keys otherwise. A position that is an error is left out.
///
/// `Emergency` always comes last, because the kernel steers a datagram by its last byte.
pub fn encode(report: &Report<'_>, out: &mut Vec<u8>) {
    out.push(FIXMAP | pairs(report));
    text(out, Field::Id.key(), report.vehicle_id.as_str());
    if let Ok(position) = report.position {
        float64(out, Field::Lon.key(), position.lon());
        float64(out, Field::Lat.key(), position.lat());
    }
    extras(out, report);
    flag(out, Field::Emergency.key(), report.emergency);
}

/// Returns the number of pairs in the map: at most ten, so that its head is one byte.
fn pairs(report: &Report<'_>) -> u8 {
    let coordinates = if report.position.is_ok() { 2 } else { 0 };
    let extras = [
        report.event_time_ms.is_some(),
        report.seq.is_some(),
        report.speed_mps.is_some(),
        report.heading_deg.is_some(),
        report.kind.is_some(),
        report.incident.is_some(),
    ];
    2 + coordinates + extras.into_iter().map(u8::from).sum::<u8>()
}

fn extras(out: &mut Vec<u8>, report: &Report<'_>) {
    if let Some(time_ms) = report.event_time_ms {
        time(out, Field::Ts.key(), time_ms);
    }
    if let Some(seq) = report.seq {
        uint64(out, Field::Seq.key(), seq);
    }
    if let Some(speed_mps) = report.speed_mps {
        field(out, Field::Speed.key(), FLOAT32, &speed_mps.to_be_bytes());
    }
    if let Some(heading_deg) = report.heading_deg {
        field(out, Field::Heading.key(), FLOAT32, &heading_deg.to_be_bytes());
    }
    if let Some(kind) = report.kind.map(Kind::as_str) {
        text(out, Field::Kind.key(), kind);
    }
    if let Some(incident) = report.incident {
        text(out, Field::Inc.key(), incident);
    }
}

pub(crate) fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

pub(crate) fn uint64(out: &mut Vec<u8>, name: &str, value: u64) {
    field(out, name, UINT64, &value.to_be_bytes());
}

/// Writes a number in its shortest form.
pub(crate) fn uint(out: &mut Vec<u8>, name: &str, value: u64) {
    let bytes = value.to_be_bytes();
    match value {
        0..0x80 => field(out, name, value as u8, &[]),
        0x80..0x100 => field(out, name, UINT8, &bytes[7..]),
        0x100..0x1_0000 => field(out, name, UINT16, &bytes[6..]),
        0x1_0000..0x1_0000_0000 => field(out, name, UINT32, &bytes[4..]),
        _ => field(out, name, UINT64, &bytes),
    }
}

pub(crate) fn flag(out: &mut Vec<u8>, name: &str, set: bool) {
    key(out, name);
    out.push(if set { TRUE } else { FALSE });
}

/// Writes a time as its ms, or as a timestamp where that number would be read in another unit.
fn time(out: &mut Vec<u8>, name: &str, ms: i64) {
    if ms_of_number(ms).1.is_empty() {
        return field(out, name, INT64, &ms.to_be_bytes());
    }
    let (seconds, nanoseconds) = timestamp(ms);
    field(out, name, EXT8, &[12, TIMESTAMP.cast_unsigned()]);
    out.extend_from_slice(&nanoseconds.to_be_bytes());
    out.extend_from_slice(&seconds.to_be_bytes());
}

fn float64(out: &mut Vec<u8>, name: &str, value: f64) {
    field(out, name, FLOAT64, &value.to_be_bytes());
}

fn field(out: &mut Vec<u8>, name: &str, marker: u8, value: &[u8]) {
    key(out, name);
    out.push(marker);
    out.extend_from_slice(value);
}

fn key(out: &mut Vec<u8>, name: &str) {
    string(out, name);
}

/// Writes a string in its shortest form.
pub(crate) fn string(out: &mut Vec<u8>, value: &str) {
    text_of(out, value.as_bytes());
}

/// Writes bytes as a string in its shortest form, UTF-8 or not.
pub(crate) fn text_of(out: &mut Vec<u8>, value: &[u8]) {
    match value.len() {
        len @ 0..32 => out.push(FIXSTR | len as u8),
        len @ 32..0x100 => out.extend_from_slice(&[STR8, len as u8]),
        len => {
            out.push(STR32);
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(value);
}
