//! The original's layout, read at fixed places: 79 bytes when the id is a UUID.
//!
//! ```text
//! 84  a2 "ID" <str>  a3 "Lon" cb <f64>  a3 "Lat" cb <f64>  a9 "Emergency" <c2 | c3>
//! ```

use crate::marker::{FALSE, FIXSTR, STR8, TRUE};
use crate::{MAX_DATAGRAM, Position, Report, VehicleId};

const HEAD: &[u8; 4] = b"\x84\xa2ID";
const LON: &[u8; 5] = b"\xa3Lon\xcb";
const LAT: &[u8; 5] = b"\xa3Lat\xcb";
const EMERGENCY: &[u8; 10] = b"\xa9Emergency";

/// Bytes from the end of the id to the end of the object.
const TAIL_LEN: usize = 5 + 8 + 5 + 8 + 10 + 1;

/// Values found at their places, unchecked.
pub(crate) struct Layout<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) lon: f64,
    pub(crate) lat: f64,
    pub(crate) emergency: bool,
    /// Bytes behind the object.
    pub(crate) behind: usize,
}

/// Reads the original's layout; `None` for any other, and when a value cannot be used.
// Always: where it is inlined, the fields that the layout lacks are neither written nor read again.
#[inline(always)]
pub(super) fn decode(datagram: &[u8]) -> Option<Report<'_>> {
    let layout = layout(datagram)?;
    let position = Position::new(layout.lat, layout.lon).ok()?;
    let vehicle_id = VehicleId::from_bytes(layout.id).ok()?;
    Some(Report::of(vehicle_id, Ok(position), layout.emergency))
}

/// Finds the values if the bytes begin with the original's layout and are not over-long.
#[inline(always)]
pub(crate) fn layout(bytes: &[u8]) -> Option<Layout<'_>> {
    let rest = bytes.strip_prefix(HEAD)?;
    let (id, rest) = id(rest)?;
    let tail: &[u8; TAIL_LEN] = rest.first_chunk()?;
    let emergency = tail[TAIL_LEN - 1];
    let shaped = tail[..5] == *LON
        && tail[13..18] == *LAT
        && tail[26..36] == *EMERGENCY
        && (emergency == TRUE || emergency == FALSE)
        && bytes.len() <= MAX_DATAGRAM;
    shaped.then(|| Layout {
        id,
        lon: f64_at(tail, 5),
        lat: f64_at(tail, 18),
        emergency: emergency == TRUE,
        behind: rest.len() - TAIL_LEN,
    })
}

/// Splits off the id: a short string, or one with its length in a byte of its own.
#[inline]
fn id(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = rest.split_first()?;
    if first == STR8 {
        let (&len, rest) = rest.split_first()?;
        return rest.split_at_checked(usize::from(len));
    }
    let is_short = first & 0xe0 == FIXSTR;
    is_short.then(|| rest.split_at_checked(usize::from(first & 0x1f)))?
}

#[inline]
fn f64_at(tail: &[u8; TAIL_LEN], at: usize) -> f64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&tail[at..at + 8]);
    f64::from_be_bytes(bytes)
}
