//! Where a vehicle in an emergency is and was, as far as is known.

use serde::{Deserialize, Serialize};
use vagn_wire::Position;

/// Latest places that an incident keeps.
pub const TRACK_MAX: usize = 8;

/// Where a vehicle was at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fix {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
    /// When it was there, ms since 1970.
    pub time_ms: i64,
    /// It came, usable, with the call for help itself. Otherwise it is the last that was known.
    pub trusted: bool,
}

impl Fix {
    /// A place at a time.
    pub fn new(position: Position, time_ms: i64, trusted: bool) -> Self {
        Self { lat: position.lat(), lon: position.lon(), time_ms, trusted }
    }
}

/// The place that tells more: the later one, and of two from one moment the trusted one.
pub fn newer(one: Option<Fix>, other: Option<Fix>) -> Option<Fix> {
    let rank = |place: &Fix| (place.time_ms, place.trusted);
    one.into_iter().chain(other).max_by_key(rank)
}

/// Adds `place` to a track, oldest first, of which the latest [`TRACK_MAX`] stay. One place per moment.
pub fn extend(track: &mut Vec<Fix>, place: Fix) {
    match track.binary_search_by_key(&place.time_ms, |known| known.time_ms) {
        Ok(at) => track[at] = newer(Some(track[at]), Some(place)).unwrap_or(place),
        Err(at) => track.insert(at, place),
    }
    let surplus = track.len().saturating_sub(TRACK_MAX);
    track.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lat: f64, time_ms: i64, trusted: bool) -> Fix {
        Fix { lat, lon: 0.0, time_ms, trusted }
    }

    #[test]
    fn the_later_place_tells_more_and_of_two_at_once_the_trusted_one() {
        let place = |lat, time_ms, trusted| Some(place(lat, time_ms, trusted));
        let check = |one, other, expected| {
            assert_eq!(newer(one, other), expected);
            assert_eq!(newer(other, one), expected);
        };
        check(place(1.0, 5, true), place(2.0, 6, false), place(2.0, 6, false));
        check(place(1.0, 5, false), place(2.0, 5, true), place(2.0, 5, true));
        check(place(1.0, 5, false), None, place(1.0, 5, false));
        check(None, None, None);
    }

    #[test]
    fn a_track_is_in_order_of_time_however_it_came_and_keeps_the_latest() {
        let mut track = Vec::new();
        for time_ms in [30, 10, 20, 20] {
            extend(&mut track, place(1.0, time_ms, false));
        }
        assert_eq!(track.iter().map(|place| place.time_ms).collect::<Vec<_>>(), [10, 20, 30]);
        extend(&mut track, place(2.0, 20, true));
        assert_eq!((track.len(), track[1].lat), (3, 2.0));
        (100..200).for_each(|time_ms| extend(&mut track, place(1.0, time_ms, true)));
        assert_eq!((track.len(), track[0].time_ms), (TRACK_MAX, 200 - TRACK_MAX as i64));
    }
}
