//! One message of a vehicle.

use crate::{Kind, Oddities, Position, Reject, VehicleId};

/// Longest datagram that is read, in bytes. The doors receive into slots of this size.
pub const MAX_DATAGRAM: usize = 2048;

/// Content of one datagram, or of one object of a stream.
///
/// The position has a fate apart from the flag's: an alarm counts although its position cannot be used. So `position` is an
/// error only when `emergency` is true; any other report without a usable position is a [`Reject`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report<'a> {
    /// `ID`: id of the vehicle.
    pub vehicle_id: VehicleId<'a>,
    /// `Lat` and `Lon`, or the reason why they cannot be used.
    pub position: Result<Position, Reject>,
    /// `Emergency`: true for an alarm.
    pub emergency: bool,
    /// `Ts`: time of the position by the vehicle's clock, in ms since 1970. `None` as well when it has a form that cannot be read;
    /// then [`odd`](Self::odd) says so.
    pub event_time_ms: Option<i64>,
    /// `Seq`: the vehicle's own count of reports. Asks for an answer over TCP, and with an alarm over UDP too.
    pub seq: Option<u64>,
    /// `Speed` in m/s, 0 to 12 000.
    pub speed_mps: Option<f32>,
    /// `Heading` in degrees clockwise from north, 0 up to but not including 360.
    pub heading_deg: Option<f32>,
    /// `Kind`: the cause of the emergency.
    pub kind: Option<Kind>,
    /// `Inc`: the vehicle's own id for the incident, by the same rule as a vehicle id.
    pub incident: Option<&'a str>,
    /// Oddities found while it was read; no part of what is sent.
    pub odd: Oddities,
}

impl<'a> Report<'a> {
    /// Makes a report of a position alone.
    #[inline]
    pub fn new(vehicle_id: VehicleId<'a>, position: Position) -> Self {
        Self::of(vehicle_id, Ok(position), false)
    }

    /// Makes a report of the original's four fields.
    #[inline]
    pub(crate) fn of(vehicle_id: VehicleId<'a>, position: Result<Position, Reject>, emergency: bool) -> Self {
        Self {
            vehicle_id,
            position,
            emergency,
            event_time_ms: None,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            kind: None,
            incident: None,
            odd: Oddities::NONE,
        }
    }
}
