//! The time that counts for a report: the vehicle's own, unless that cannot be.

use vagn_wire::{Oddities, Oddity, Position, Report};

use crate::Sighting;

/// Longest that a vehicle's clock may be ahead of the arrival, ms: the skew of clocks that are set. The wall clock of the
/// service may step back by as much.
pub const SKEW_MAX_MS: i64 = 5_000;

const DAY_MS: i64 = 86_400_000;

/// A year that is never too short.
const YEAR_MS: i64 = 365 * DAY_MS;

/// The week number of GPS has ten bits.
const WEEKS_1024_MS: i64 = 1_024 * 7 * DAY_MS;

/// Beginning of 1900, ms since 1970.
const YEAR_1900_MS: i64 = -2_208_988_800_000;

/// A clock that was never set shows a time this near 1970, ms: 11 days and a half.
const NEAR_1970_MS: u64 = 1_000_000_000;

/// Time that counts for the order of a report, as far as the report alone tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTime {
    /// The vehicle's own time, or the arrival in its place, ms since 1970.
    pub time_ms: i64,
    /// It is the vehicle's own.
    pub own: bool,
    /// The vehicle sent a time that cannot be; the arrival stands in for it.
    pub unsure: bool,
    /// Oddities of the vehicle's clock.
    pub odd: Oddities,
}

/// Returns the time that counts for a report that arrived at `arrived_ms` since 1970. The one thing about a time that the
/// report alone does not tell, a sudden step of a year back, is judged where the vehicle's last position is known.
#[inline]
pub fn event_time(report: &Report<'_>, arrived_ms: i64) -> EventTime {
    match report.event_time_ms {
        Some(own_ms) => own_time(own_ms, arrived_ms, report.odd),
        None => EventTime {
            time_ms: arrived_ms,
            own: false,
            unsure: report.odd.has(Oddity::TimeUnreadable),
            odd: report.odd,
        },
    }
}

impl Sighting {
    /// Makes the sighting of a report at this position, as it is to be judged, and returns all that is odd about the report. It
    /// arrived at `receive_time_ms` since 1970, under the running number `receive_seq`.
    #[inline]
    pub fn of(
        report: &Report<'_>,
        position: Position,
        receive_time_ms: i64,
        receive_seq: u64,
    ) -> (Self, Oddities) {
        let time = event_time(report, receive_time_ms);
        let sighting = Self {
            position,
            event_time_ms: time.time_ms,
            receive_time_ms,
            receive_seq,
            seq: report.seq,
            speed_mps: report.speed_mps,
            heading_deg: report.heading_deg,
            emergency: report.emergency,
            own_time: time.own,
            unsure: time.unsure,
        };
        (sighting, report.odd.and(time.odd))
    }
}

#[inline]
fn own_time(own_ms: i64, arrived_ms: i64, odd: Oddities) -> EventTime {
    let behind_ms = arrived_ms.saturating_sub(own_ms);
    // Nearly every report: neither ahead, nor so far back that there is anything to find out.
    if (-SKEW_MAX_MS..YEAR_MS).contains(&behind_ms) && own_ms >= NEAR_1970_MS as i64 {
        return EventTime { time_ms: own_ms, own: true, unsure: false, odd };
    }
    doubtful_time(own_ms, arrived_ms, odd)
}

#[cold]
fn doubtful_time(own_ms: i64, arrived_ms: i64, mut odd: Oddities) -> EventTime {
    let time_ms = without_rollover(own_ms, arrived_ms);
    if time_ms != own_ms {
        odd.add(Oddity::WeekRollover);
    }
    let impossible = if time_ms > arrived_ms.saturating_add(SKEW_MAX_MS) {
        Oddity::TimeAhead
    } else if time_ms.unsigned_abs() < NEAR_1970_MS {
        Oddity::TimeNear1970
    } else if time_ms < YEAR_1900_MS {
        Oddity::TimeBefore1900
    } else {
        return EventTime { time_ms, own: true, unsure: false, odd };
    };
    odd.add(impossible);
    EventTime { time_ms: arrived_ms, own: false, unsure: true, odd }
}

/// Adds 1 024 or 2 048 weeks where that lands between a day before the arrival and the skew of clocks after it.
fn without_rollover(own_ms: i64, arrived_ms: i64) -> i64 {
    let possible = arrived_ms.saturating_sub(DAY_MS)..=arrived_ms.saturating_add(SKEW_MAX_MS);
    let later = [1, 2].map(|times| own_ms.saturating_add(times * WEEKS_1024_MS));
    later.into_iter().find(|time_ms| possible.contains(time_ms)).unwrap_or(own_ms)
}

/// Returns true when a report's own time lies more than a year before its arrival, although the kept one did not. Real old
/// recordings stay in their own time.
#[inline]
pub(crate) fn steps_back_a_year(kept: &Sighting, new: &Sighting) -> bool {
    new.own_time && is_a_year_back(kept.event_time_ms, new.event_time_ms, new.receive_time_ms)
}

/// Returns true when the time `own_ms` lies more than a year before `arrived_ms`, and `kept_ms` does not.
#[inline]
pub fn is_a_year_back(kept_ms: i64, own_ms: i64, arrived_ms: i64) -> bool {
    let year_ago_ms = arrived_ms.saturating_sub(YEAR_MS);
    own_ms < year_ago_ms && kept_ms >= year_ago_ms
}
