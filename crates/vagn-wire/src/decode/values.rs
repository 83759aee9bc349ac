//! The values of the fields: what each form that may be sent stands for.

use super::cursor::Value;
use crate::id::name;
use crate::time::{ms_of_float, ms_of_text, ms_of_timestamp, ms_of_unsigned};
use crate::{Oddities, Oddity, Reject, VehicleId, ms_of_number};

/// Fastest that is believed, in m/s: faster than what orbits the Earth.
const SPEED_MAX: f32 = 12_000.0;

/// Speed and heading of a phone that does not know them.
const UNKNOWN: f32 = -1.0;

/// Texts that set the flag, in any case of their letters.
const SET: [&[u8]; 4] = [b"true", b"yes", b"on", b"1"];
/// Texts that say that it is not set.
const NOT_SET: [&[u8]; 5] = [b"false", b"no", b"off", b"0", b""];

/// An optional value, and the oddities in how it was sent.
#[derive(Clone, Copy, Default)]
pub(super) struct Sent<T> {
    pub(super) value: Option<T>,
    pub(super) odd: Oddities,
}

impl<T> Sent<T> {
    const NOTHING: Self = Self { value: None, odd: Oddities::NONE };

    fn of((value, odd): (T, Oddities)) -> Self {
        Self { value: Some(value), odd }
    }

    #[cold]
    fn odd(oddity: Oddity) -> Self {
        Self { value: None, odd: Oddities::of(oddity) }
    }
}

pub(crate) fn vehicle_id(value: Value<'_>) -> Result<Option<VehicleId<'_>>, Reject> {
    match value {
        Value::Nil => Ok(None),
        Value::Text(bytes) => VehicleId::from_bytes(bytes).map(Some),
        _ => Err(Reject::BadType),
    }
}

pub(super) fn degrees(value: Value<'_>) -> Result<Option<f64>, Reject> {
    match value {
        Value::Nil => Ok(None),
        other => number(other).map(Some).ok_or(Reject::BadType),
    }
}

/// Reads the flag. `None` for what says neither that it is set nor that it is not.
#[inline]
pub(super) fn flag(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(set) => Some(set),
        other => flag_in_another_form(other),
    }
}

#[cold]
fn flag_in_another_form(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Nil => Some(false),
        Value::Text(text) => flag_of_text(text),
        other => number(other).filter(|number| !number.is_nan()).map(|number| number != 0.0),
    }
}

fn flag_of_text(text: &[u8]) -> Option<bool> {
    let is_one_of = |words: &[&[u8]]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(&SET) { Some(true) } else { is_one_of(&NOT_SET).then_some(false) }
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Float(number) => Some(number),
        // Not exact beyond 2^53, where nothing is a coordinate or a speed any more.
        Value::Int(number) => Some(number as f64),
        Value::Big(number) => Some(number as f64),
        _ => None,
    }
}

/// Reads a time in ms since 1970 from every form of it.
#[inline]
pub(super) fn time(value: Value<'_>) -> Sent<i64> {
    match value {
        Value::Int(number) => Sent::of(ms_of_number(number)),
        other => time_in_another_form(other),
    }
}

#[cold]
fn time_in_another_form(value: Value<'_>) -> Sent<i64> {
    let read = match value {
        Value::Nil => return Sent::NOTHING,
        Value::Big(number) => Some(ms_of_unsigned(number)),
        Value::Float(number) => ms_of_float(number),
        Value::Text(text) => ms_of_text(text).map(|ms| (ms, Oddities::NONE)),
        Value::Ext(kind, bytes) => ms_of_timestamp(kind, bytes).map(|ms| (ms, Oddities::NONE)),
        _ => None,
    };
    read.map_or(Sent::odd(Oddity::TimeUnreadable), Sent::of)
}

pub(super) fn count(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Int(count) => u64::try_from(count).ok(),
        Value::Big(count) => Some(count),
        _ => None,
    }
}

pub(super) fn speed(value: Value<'_>) -> Sent<f32> {
    let Some(speed) = number(value) else { return Sent::NOTHING };
    match speed as f32 {
        speed @ 0.0..=SPEED_MAX => Sent::of((unsigned_zero(speed), Oddities::NONE)),
        UNKNOWN => Sent::NOTHING,
        _ => Sent::odd(Oddity::SpeedImpossible),
    }
}

pub(super) fn heading(value: Value<'_>) -> Sent<f32> {
    let Some(heading) = number(value) else { return Sent::NOTHING };
    match heading as f32 {
        360.0 => Sent::of((0.0, Oddities::NONE)),
        heading @ 0.0..360.0 => Sent::of((unsigned_zero(heading), Oddities::NONE)),
        UNKNOWN => Sent::NOTHING,
        _ => Sent::odd(Oddity::HeadingImpossible),
    }
}

/// Gives 0 for -0, and any other number as it is.
fn unsigned_zero(number: f32) -> f32 {
    number + 0.0
}

pub(super) fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(bytes) => name(bytes),
        _ => None,
    }
}
