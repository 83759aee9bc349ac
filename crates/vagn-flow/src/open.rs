//! The one place that looks into the bytes of a report.
//!
//! A door takes datagrams apart and leaves a [`Mark`] for each report when it comes in; the stages [`open`] reports when they need what is in them.
//! All of them see the same report or the same refusal.

use vagn_wire::{Reject, Report, is_emergency, pieces, sole_piece};

/// The note that a door leaves of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// True if the report [carries the flag](is_emergency).
    pub is_alarm: bool,
}

impl Mark {
    /// Marks a report as it came in. Runs for every report, so it reads no more than it must.
    #[inline]
    pub(crate) fn of(report: &[u8]) -> Self {
        Self { is_alarm: is_emergency(report) }
    }
}

/// Marks the only report of a datagram if that shows at once, as in the original's layout; `None` for all that needs [`reports`].
#[inline]
pub fn sole_report(datagram: &[u8]) -> Option<Mark> {
    sole_piece(datagram).map(|piece| Mark { is_alarm: piece.is_alarm })
}

/// Takes a datagram apart into its reports, one at least, each with the mark that it leaves.
pub fn reports(datagram: &[u8]) -> impl Iterator<Item = (Mark, &[u8])> {
    pieces(datagram).map(|piece| (Mark { is_alarm: piece.is_alarm }, piece.bytes))
}

/// Opens a report in the original's layout at little cost; `None` for every other, which needs [`open`].
#[inline(always)]
pub fn open_at_once(report: &[u8]) -> Option<Report<'_>> {
    vagn_wire::decode_at_once(report)
}

/// Opens a report for which [`open_at_once`] had no answer.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn open_other(report: &[u8]) -> Result<Report<'_>, Reject> {
    vagn_wire::decode_general(report)
}

/// Opens a report.
///
/// # Errors
/// The first thing that is wrong with it.
#[inline]
pub fn open(report: &[u8]) -> Result<Report<'_>, Reject> {
    vagn_wire::decode(report)
}
