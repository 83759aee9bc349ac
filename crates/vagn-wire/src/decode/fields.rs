//! The fields of a report: their keys in every dialect, and the values read so far.

use super::cursor::Cursor;
use super::values::{Sent, count, degrees, flag, heading, speed, text, time, vehicle_id};
use crate::{Kind, Position, Reject, Report, VehicleId};

/// Defines [`Field`] from one table of keys, so that no dialect and no writer can know other keys than the decoder.
macro_rules! fields {
    ($($field:ident = $key:literal,)*) => {
        /// A field of a report.
        #[derive(Clone, Copy)]
        pub(crate) enum Field {
            $($field,)*
        }

        impl Field {
            /// Finds the field of that key; `None` for a key that is to be skipped.
            #[inline]
            pub(crate) fn of(key: &[u8]) -> Option<Self> {
                Some(match key {
                    $($key => Self::$field,)*
                    _ => return None,
                })
            }

            /// Returns the key of the field.
            pub(crate) const fn key(self) -> &'static str {
                match self {
                    $(Self::$field => const { text_of($key) },)*
                }
            }
        }

        impl Report<'_> {
            /// Keys of a report, the same in every dialect.
            pub const KEYS: &'static [&'static str] = &[$(Field::$field.key(),)*];
        }
    };
}

fields! {
    Id = b"ID",
    Lat = b"Lat",
    Lon = b"Lon",
    Emergency = b"Emergency",
    Ts = b"Ts",
    Seq = b"Seq",
    Speed = b"Speed",
    Heading = b"Heading",
    Kind = b"Kind",
    Inc = b"Inc",
}

const fn text_of(key: &'static [u8]) -> &'static str {
    match str::from_utf8(key) {
        Ok(text) => text,
        Err(_) => panic!("a key is utf-8"),
    }
}

/// The values read so far. Of repeated keys the last readable one counts; nil makes a field missing again.
#[derive(Default)]
pub(super) struct Fields<'a> {
    id: Option<VehicleId<'a>>,
    lat: Option<f64>,
    lon: Option<f64>,
    emergency: bool,
    event_time_ms: Sent<i64>,
    seq: Option<u64>,
    speed_mps: Sent<f32>,
    heading_deg: Sent<f32>,
    kind: Option<Kind>,
    incident: Option<&'a str>,
    fault: Option<Reject>,
}

impl<'a> Fields<'a> {
    /// Records a fault. Only the first one counts.
    pub(super) fn fail(&mut self, reject: Reject) {
        self.fault.get_or_insert(reject);
    }

    /// Reads a field's value. A required field of a wrong type is a fault, an optional one is as if not sent.
    ///
    /// Each field reads its own value, so that the compiler sees the expected type beside the bytes that decide on it.
    ///
    /// Errors: as [`Cursor::value`].
    #[inline]
    pub(super) fn read(&mut self, field: Field, cursor: &mut Cursor<'a>) -> Result<(), Reject> {
        let fault = &mut self.fault;
        match field {
            Field::Id => keep(vehicle_id(cursor.object()?), &mut self.id, fault),
            Field::Lat => keep(degrees(cursor.object()?), &mut self.lat, fault),
            Field::Lon => keep(degrees(cursor.object()?), &mut self.lon, fault),
            // Costs nothing when it cannot be read: a report is not lost by its flag.
            Field::Emergency => self.emergency = flag(cursor.object()?).unwrap_or(self.emergency),
            Field::Ts => self.event_time_ms = time(cursor.object()?),
            Field::Seq => self.seq = count(cursor.object()?),
            Field::Speed => self.speed_mps = speed(cursor.object()?),
            Field::Heading => self.heading_deg = heading(cursor.object()?),
            Field::Kind => self.kind = text(cursor.object()?).and_then(|word| word.parse().ok()),
            Field::Inc => self.incident = text(cursor.object()?),
        }
        Ok(())
    }

    /// Makes the report. A set flag outweighs every fault, as long as the vehicle id could be read.
    #[inline]
    pub(super) fn finish(self) -> Result<Report<'a>, Reject> {
        let vehicle_id = self.id.ok_or(self.fault.unwrap_or(Reject::NoId))?;
        let position = self.position();
        if !self.emergency {
            position?;
        }
        Ok(Report {
            vehicle_id,
            position,
            emergency: self.emergency,
            event_time_ms: self.event_time_ms.value,
            seq: self.seq,
            speed_mps: self.speed_mps.value,
            heading_deg: self.heading_deg.value,
            kind: self.kind,
            incident: self.incident,
            odd: self.event_time_ms.odd.and(self.speed_mps.odd).and(self.heading_deg.odd),
        })
    }

    #[inline]
    fn position(&self) -> Result<Position, Reject> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let lat = self.lat.ok_or(Reject::NoLatitude)?;
        let lon = self.lon.ok_or(Reject::NoLongitude)?;
        Position::new(lat, lon)
    }
}

#[inline]
fn keep<T>(read: Result<T, Reject>, slot: &mut T, fault: &mut Option<Reject>) {
    match read {
        Ok(value) => *slot = value,
        Err(reject) => _ = fault.get_or_insert(reject),
    }
}
