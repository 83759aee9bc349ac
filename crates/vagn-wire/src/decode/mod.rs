//! Bytes to a report: the fast path for the original's layout, the general decoder for everything else.
//!
//! The two agree on every input: the fast path either gives the answer of the general decoder, or declines.

pub(crate) mod cursor;
pub(crate) mod fast;
pub(crate) mod fields;
mod filter;
mod general;
mod values;

pub(crate) use values::vehicle_id;

use crate::{MAX_DATAGRAM, Reject, Report, VehicleId};

/// Reads one report: the first object of a datagram or of a stream. Bytes after the object are ignored.
///
/// A readable vehicle id with a set flag is always a report, whatever is wrong with the rest: broken, cut off after
/// both were read, of a wrong type. Its position is then the error.
///
/// # Errors
/// A [`Reject`] when nothing of it can be used: the first fault, in the order of the bytes.
#[inline]
pub fn decode(datagram: &[u8]) -> Result<Report<'_>, Reject> {
    fast::decode(datagram).map_or_else(|| general::decode(datagram), Ok)
}

/// Does as [`decode`], by its fast path alone: `None` for every report that only the general decoder can judge. Of the fields that the
/// original's layout lacks the compiler sees at the caller's that they are missing.
#[inline(always)]
pub fn decode_at_once(datagram: &[u8]) -> Option<Report<'_>> {
    fast::decode(datagram)
}

/// Does as [`decode`], without its fast path: same answers, slower where that path answers. For callers that have tried [`decode_at_once`]; and tests,
/// fuzzing and benchmarks compare the two.
///
/// # Errors
/// As [`decode`].
pub fn decode_general(datagram: &[u8]) -> Result<Report<'_>, Reject> {
    general::decode(datagram)
}

/// Does as [`decode`], for a report of this service's own making, which may be longer than one that comes in.
///
/// # Errors
/// As [`decode`].
pub(crate) fn decode_long(report: &[u8]) -> Result<Report<'_>, Reject> {
    general::decode_within(report, usize::MAX)
}

/// Returns true when [`decode`] would give a report with `emergency` set. Runs as a filter on every datagram.
#[inline]
pub fn is_emergency(datagram: &[u8]) -> bool {
    match fast::layout(datagram) {
        Some(layout) => layout.emergency && VehicleId::from_bytes(layout.id).is_ok(),
        None => is_emergency_elsewhere(datagram),
    }
}

/// Decodes only a datagram that may hold a set flag. Most hold none.
#[cold]
fn is_emergency_elsewhere(datagram: &[u8]) -> bool {
    let read = &datagram[..datagram.len().min(MAX_DATAGRAM)];
    filter::may_be_set(read) && general::decode(datagram).is_ok_and(|report| report.emergency)
}
