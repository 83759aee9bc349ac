//! Bounds of what is passed on of one object.

/// Most entries of one object that are passed on. An object that repeats its keys more often is no report.
pub(super) const ENTRIES_MAX: u16 = 16;

/// Longest text that is passed on, in bytes. An id may have 64, so a text that is cut here is refused all the same, while
/// the report stays shorter than a datagram.
pub(super) const TEXT_MAX: usize = 96;
