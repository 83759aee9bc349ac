//! The general decoder: any msgpack that can be read as a report.

use super::cursor::{Cursor, Value};
use super::fields::{Field, Fields};
use crate::{MAX_DATAGRAM, Reject, Report};

/// Order of the fields in the form without keys.
const IN_ARRAY: [Field; 4] = [Field::Id, Field::Lat, Field::Lon, Field::Emergency];

/// Reads a report from any layout.
pub(super) fn decode(datagram: &[u8]) -> Result<Report<'_>, Reject> {
    decode_within(datagram, MAX_DATAGRAM)
}

/// Decodes a report of up to `len_max` bytes.
pub(super) fn decode_within(datagram: &[u8], len_max: usize) -> Result<Report<'_>, Reject> {
    if datagram.is_empty() {
        return Err(Reject::Empty);
    }
    let mut fields = Fields::default();
    if datagram.len() > len_max {
        fields.fail(Reject::TooLong);
    }
    // A datagram that is too long is still read up to the limit: it could begin with an alarm.
    let read = &datagram[..datagram.len().min(len_max)];
    if let Err(reject) = object(&mut Cursor::new(read), &mut fields) {
        fields.fail(reject);
    }
    fields.finish()
}

fn object<'a>(cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Result<(), Reject> {
    let pairs = match cursor.small_map() {
        Some(pairs) => pairs,
        None => match cursor.value()? {
            Value::Map(pairs) => pairs,
            Value::Array(4) => return array(cursor, fields),
            _ => return Err(Reject::NotAReport),
        },
    };
    map(cursor, pairs, fields)
}

fn map<'a>(cursor: &mut Cursor<'a>, pairs: u32, fields: &mut Fields<'a>) -> Result<(), Reject> {
    for _ in 0..pairs {
        let key = cursor.value()?;
        match key {
            Value::Text(name) => pair(cursor, name, fields)?,
            other => cursor.skip(other.children() + 1)?,
        }
    }
    Ok(())
}

fn pair<'a>(cursor: &mut Cursor<'a>, key: &[u8], fields: &mut Fields<'a>) -> Result<(), Reject> {
    match Field::of(key) {
        Some(field) => fields.read(field, cursor),
        None => cursor.skip(1),
    }
}

fn array<'a>(cursor: &mut Cursor<'a>, fields: &mut Fields<'a>) -> Result<(), Reject> {
    IN_ARRAY.into_iter().try_for_each(|field| fields.read(field, cursor))
}
