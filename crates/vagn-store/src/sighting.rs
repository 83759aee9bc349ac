//! The part of a report that the store keeps: position, times, and the order of arrival.

use vagn_wire::Position;

/// One position of one vehicle, checked and stamped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sighting {
    /// Position of the vehicle.
    pub position: Position,
    /// Time of the position, ms since 1970: the vehicle's own `Ts`, else the door's stamp.
    pub event_time_ms: i64,
    /// Time at which the report arrived at the door, ms since 1970.
    pub receive_time_ms: i64,
    /// The door's running number of the report; orders reports with the same event time.
    pub receive_seq: u64,
    /// The vehicle's own running number, if it sent one.
    pub seq: Option<u64>,
    /// Speed in m/s, finite and not negative.
    pub speed_mps: Option<f32>,
    /// Heading in degrees, 0..360, clockwise from north.
    pub heading_deg: Option<f32>,
    /// The report carried the emergency flag.
    pub emergency: bool,
    /// The event time is the vehicle's own and not the door's stamp. Only then can an equal time mean a
    /// repeat.
    pub own_time: bool,
    /// The vehicle sent a time that cannot be or cannot be read; the arrival stands in for it.
    pub unsure: bool,
}

impl Sighting {
    /// Returns the order among the sightings of one vehicle, over any doors: event time, then receive sequence.
    pub fn order(&self) -> (i64, u64) {
        (self.event_time_ms, self.receive_seq)
    }
}
