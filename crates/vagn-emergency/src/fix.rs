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
}

/// Stored form of a fix.
#[derive(Serialize, Deserialize)]
struct FixJson {
    lat: f64,
    lon: f64,
    time_ms: i64,
    trusted: bool,
}

impl From<Fix> for FixJson {
    fn from(Fix { position, time_ms, trusted }: Fix) -> Self {
        Self { lat: position.lat(), lon: position.lon(), time_ms, trusted }
    }
}

impl TryFrom<FixJson> for Fix {
    type Error = Reject;

    fn try_from(FixJson { lat, lon, time_ms, trusted }: FixJson) -> Result<Self, Reject> {
        Ok(Self { position: Position::new(lat, lon)?, time_ms, trusted })
    }
}

impl Fix {
    /// A fix of these parts.
    pub fn new(position: Position, time_ms: i64, trusted: bool) -> Self {
        Self { position, time_ms, trusted }
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

/// Returns the fix that tells more: the later one, and of two from one moment the trusted one.
pub fn newer(one: Option<Fix>, other: Option<Fix>) -> Option<Fix> {
    one.into_iter().chain(other).max_by_key(Fix::rank)
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
