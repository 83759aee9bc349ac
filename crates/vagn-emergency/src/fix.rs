//! Fixes: positions of a vehicle in an emergency, with their times.

use serde::{Deserialize, Serialize};
use vagn_wire::{Position, Reject};

/// Latest fixes that an incident keeps.
pub const TRACK_MAX: usize = 8;

/// Position of a vehicle at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "FixJson", try_from = "FixJson")]
pub struct Fix {
    /// Position.
    pub position: Position,
    /// Time of the position, ms since 1970.
    pub time_ms: i64,
    /// True for a usable position of the alarm itself, false for the last one that was known.
    pub trusted: bool,
    /// True for a position under a time that cannot be, of the alarm or of a report just before it. The arrival stands in for
    /// that, and it counts as the last known one.
    pub unsure: bool,
}

/// Stored form of a fix.
#[derive(Serialize, Deserialize)]
struct FixJson {
    lat: f64,
    lon: f64,
    time_ms: i64,
    trusted: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsure: bool,
}

impl From<Fix> for FixJson {
    fn from(Fix { position, time_ms, trusted, unsure }: Fix) -> Self {
        Self { lat: position.lat(), lon: position.lon(), time_ms, trusted, unsure }
    }
}

impl TryFrom<FixJson> for Fix {
    type Error = Reject;

    fn try_from(FixJson { lat, lon, time_ms, trusted, unsure }: FixJson) -> Result<Self, Reject> {
        Ok(Self { position: Position::new(lat, lon)?, time_ms, trusted, unsure })
    }
}

impl Fix {
    /// A fix of these parts, under a time that can be.
    pub fn new(position: Position, time_ms: i64, trusted: bool) -> Self {
        Self { position, time_ms, trusted, unsure: false }
    }

    /// A fix of an alarm whose time cannot be, and which arrived at `arrived_ms`.
    pub fn unsure(position: Position, arrived_ms: i64) -> Self {
        Self { position, time_ms: arrived_ms, trusted: false, unsure: true }
    }

    /// A fix at coordinates that are known to lie on the globe.
    #[cfg(test)]
    pub(crate) fn at(lat: f64, lon: f64, time_ms: i64, trusted: bool) -> Self {
        Self::new(Position::new(lat, lon).expect("it lies on the globe"), time_ms, trusted)
    }

    fn rank(&self) -> (i64, bool) {
        (self.time_ms, self.trusted)
    }
}

/// Longest that the arrival of a fix under an unsure time may lie after the true time of a later one, ms: as for positions.
const UNSURE_MS: i64 = 5 * 60_000;

/// Returns the fix that tells more, of the one that is kept and a new one: the later, and of two from one moment the trusted
/// one. One whose time is unsure gives way to a new one of the alarm itself, even if that was on the way for a while.
pub fn newer(kept: Option<Fix>, new: Option<Fix>) -> Option<Fix> {
    if let (Some(kept), Some(new)) = (kept, new)
        && kept.unsure
        && new.trusted
        && new.time_ms >= kept.time_ms.saturating_sub(UNSURE_MS)
    {
        return Some(new);
    }
    kept.into_iter().chain(new).max_by_key(Fix::rank)
}

/// Adds a fix to a track, oldest first, of which the latest [`TRACK_MAX`] stay. One fix per moment.
pub fn extend(track: &mut Vec<Fix>, fix: Fix) {
    match track.binary_search_by_key(&fix.time_ms, |known| known.time_ms) {
        Ok(at) => track[at] = newer(Some(track[at]), Some(fix)).unwrap_or(fix),
        Err(at) => track.insert(at, fix),
    }
    let surplus = track.len().saturating_sub(TRACK_MAX);
    track.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(lat: f64, time_ms: i64, trusted: bool) -> Fix {
        Fix::at(lat, 0.0, time_ms, trusted)
    }

    fn check_newer(one: Fix, other: Fix, expected: Fix) {
        assert_eq!(newer(Some(one), Some(other)), Some(expected));
        assert_eq!(newer(Some(other), Some(one)), Some(expected));
    }

    #[test]
    fn the_later_fix_tells_more_and_of_two_at_once_the_trusted_one() {
        check_newer(fix(1.0, 5, true), fix(2.0, 6, false), fix(2.0, 6, false));
        check_newer(fix(1.0, 5, false), fix(2.0, 5, true), fix(2.0, 5, true));
        assert_eq!(newer(Some(fix(1.0, 5, false)), None), Some(fix(1.0, 5, false)));
        assert_eq!(newer(None, None), None);
    }

    #[test]
    fn a_place_under_an_unsure_time_gives_way_to_a_true_one_and_takes_the_place_of_an_older_one() {
        let unsure = Fix::unsure(Position::new(1.0, 0.0).unwrap(), 600_000);
        let check = |kept, new, expected| assert_eq!(newer(Some(kept), Some(new)), Some(expected));
        let true_one = fix(2.0, 300_000, true);
        check(unsure, true_one, true_one);
        check(true_one, unsure, unsure);
        check(unsure, fix(2.0, 299_999, true), unsure);
        check(unsure, fix(2.0, 599_999, false), unsure);
        check(unsure, fix(2.0, 600_001, false), fix(2.0, 600_001, false));
    }

    #[test]
    fn a_track_is_in_order_of_time_however_it_came_and_keeps_the_latest() {
        let mut track = Vec::new();
        for time_ms in [30, 10, 20, 20] {
            extend(&mut track, fix(1.0, time_ms, false));
        }
        assert_eq!(track.iter().map(|fix| fix.time_ms).collect::<Vec<_>>(), [10, 20, 30]);
        extend(&mut track, fix(2.0, 20, true));
        assert_eq!((track.len(), track[1].position.lat()), (3, 2.0));
        for time_ms in 100..200 {
            extend(&mut track, fix(1.0, time_ms, true));
        }
        assert_eq!((track.len(), track[0].time_ms), (TRACK_MAX, 200 - TRACK_MAX as i64));
    }
}
