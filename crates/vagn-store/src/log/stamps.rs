//! The latest stamps of the doors.

use crate::Sighting;

/// Latest stamps in the log, so that after a restart the doors go on behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Receive time of the report that came last, ms since 1970. A clock that was far ahead for a while may have given others a
    /// later one.
    pub(crate) receive_time_ms: i64,
    /// Highest receive sequence of all.
    pub(crate) receive_seq: u64,
}

impl Stamps {
    /// Stamps of a partition that never stored anything.
    pub(crate) const NOTHING: Stamps = Stamps { receive_time_ms: i64::MIN, receive_seq: 0 };

    pub(crate) fn of(sighting: &Sighting) -> Stamps {
        Stamps { receive_time_ms: sighting.receive_time_ms, receive_seq: sighting.receive_seq }
    }

    pub(crate) fn merge(&mut self, other: Stamps) {
        if other.receive_seq >= self.receive_seq {
            *self = other;
        }
    }
}
