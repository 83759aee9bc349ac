//! The one place that looks into the bytes of a report.
//!
//! A door takes datagrams apart and leaves a [`Mark`] for each report when it comes in; the stages [`open`] reports when they need what is in them.
//! All of them see the same report or the same refusal.

use vagn_wire::{Reject, Report, for_each_piece, is_emergency};

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

/// Takes a datagram apart, and gives `take` each of its reports, one at least, with the mark that it leaves.
#[inline]
pub fn for_each_report<'a>(datagram: &'a [u8], mut take: impl FnMut(Mark, &'a [u8])) {
    for_each_piece(datagram, |piece| take(Mark { is_alarm: piece.is_alarm }, piece.bytes));
}

/// Opens a report.
///
/// # Errors
/// The first thing that is wrong with it.
#[inline]
pub fn open(report: &[u8]) -> Result<Report<'_>, Reject> {
    vagn_wire::decode(report)
}
