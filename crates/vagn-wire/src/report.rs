//! What one message of a vehicle says.

use crate::{Kind, Position, Reject, VehicleId};

/// Longest datagram that is read, in bytes. The doors receive into slots of this size.
pub const MAX_DATAGRAM: usize = 2048;

/// What one datagram, or one object of a stream, said.
///
/// The position has a fate apart from the flag's: a call for help counts although its position is unusable. So
/// `position` is an error only when `emergency` is true; any other report without a usable position is a [`Reject`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report<'a> {
    /// Who speaks.
    pub vehicle_id: VehicleId<'a>,
    /// Where it is, or why that is not known.
    pub position: Result<Position, Reject>,
    /// Whether it calls for help.
    pub emergency: bool,
    /// `Ts`: when it was there by its own clock, in ms since 1970.
    pub event_time_ms: Option<i64>,
    /// `Seq`: its own count of reports; asks for an answer over TCP, and over UDP too with a call for help.
    pub seq: Option<u64>,
    /// `Speed` in m/s, finite and not negative.
    pub speed_mps: Option<f32>,
    /// `Heading` in degrees clockwise from north, 0 up to but not including 360.
    pub heading_deg: Option<f32>,
    /// `Kind`: who set off the emergency.
    pub kind: Option<Kind>,
    /// `Inc`: the vehicle's own id for the incident, by the same rule as a vehicle id.
    pub incident: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// A vehicle at a place, with nothing else to say.
    #[inline]
    pub fn new(vehicle_id: VehicleId<'a>, position: Position) -> Self {
        Self::of(vehicle_id, Ok(position), false)
    }

    /// What the four fields of the original say.
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
        }
    }
}
