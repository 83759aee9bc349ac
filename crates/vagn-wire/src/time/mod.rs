//! `Ts` in its forms: a number, whose unit is told by the number of digits, a timestamp of msgpack, and a text.

use std::ops::Range;

use crate::{Oddities, Oddity};

pub(crate) use self::rfc3339::ms_of_text;

mod rfc3339;

/// Ten digits: seconds from 2001 to 2286.
const SECONDS: Range<i64> = 1_000_000_000..10_000_000_000;
/// Sixteen digits: microseconds from 2001 to 2286.
const MICROSECONDS: Range<i64> = 1_000_000_000_000_000..10_000_000_000_000_000;
/// Nineteen digits: nanoseconds from 2001 on. The last of them are beyond `i64`.
const NANOSECONDS_MIN: i64 = 1_000_000_000_000_000_000;

const US_PER_MS: i64 = 1_000;
const NS_PER_MS: i64 = 1_000_000;
const MS_PER_S: i64 = 1_000;
const NS_PER_S: u32 = 1_000_000_000;

/// Type of the extension that is a timestamp.
pub(crate) const TIMESTAMP: i8 = -1;

/// Returns the time in ms since 1970 that a sender means by `number`, and its oddity when that was not sent in ms.
#[inline]
pub fn ms_of_number(number: i64) -> (i64, Oddities) {
    // All times in ms since 2001 are here, and those before 1970.
    if number < SECONDS.start || (SECONDS.end..MICROSECONDS.start).contains(&number) {
        return (number, Oddities::NONE);
    }
    in_other_unit(number)
}

#[cold]
fn in_other_unit(number: i64) -> (i64, Oddities) {
    if SECONDS.contains(&number) {
        (number * MS_PER_S, Oddities::of(Oddity::TimeInSeconds))
    } else if MICROSECONDS.contains(&number) {
        (number / US_PER_MS, Oddities::of(Oddity::TimeInMicroseconds))
    } else if number >= NANOSECONDS_MIN {
        (number / NS_PER_MS, Oddities::of(Oddity::TimeInNanoseconds))
    } else {
        (number, Oddities::NONE)
    }
}

/// Reads a number that may be beyond `i64`: there it is in nanoseconds.
pub(crate) fn ms_of_unsigned(number: u64) -> (i64, Oddities) {
    let ms = number / NS_PER_MS.unsigned_abs();
    i64::try_from(number).map_or((ms.cast_signed(), Oddities::of(Oddity::TimeInNanoseconds)), ms_of_number)
}

/// Reads a number with a fraction, to the whole ms: seconds are rounded, since few fractions of them can be written exactly;
/// of smaller units the fraction is cut off. `None` for what is no time: not finite, or beyond what integers can say.
pub(crate) fn ms_of_float(number: f64) -> Option<(i64, Oddities)> {
    const BELOW: f64 = u64::MAX as f64;
    const FROM: f64 = i64::MIN as f64;
    let whole = number.trunc();
    if (0.0..BELOW).contains(&whole) {
        let seconds = SECONDS.contains(&(whole as i64));
        let in_seconds = || ((number * MS_PER_S as f64).round() as i64, Oddities::of(Oddity::TimeInSeconds));
        Some(if seconds { in_seconds() } else { ms_of_unsigned(whole as u64) })
    } else {
        (FROM..0.0).contains(&whole).then_some((whole as i64, Oddities::NONE))
    }
}

/// Reads the timestamp of the msgpack specification: an extension of type -1 with 4, 8 or 12 bytes. A time beyond what can be
/// kept is the first or the last that can be; `None` for other extensions, and for a second with too many nanoseconds.
pub(crate) fn ms_of_timestamp(kind: i8, bytes: &[u8]) -> Option<i64> {
    if kind != TIMESTAMP {
        return None;
    }
    let (seconds, nanoseconds) = seconds_and_nanoseconds(bytes)?;
    let ms = i128::from(seconds) * i128::from(MS_PER_S) + i128::from(nanoseconds) / i128::from(NS_PER_MS);
    (nanoseconds < NS_PER_S).then_some(ms.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

fn seconds_and_nanoseconds(bytes: &[u8]) -> Option<(i64, u32)> {
    Some(match bytes.len() {
        4 => (u32::from_be_bytes(bytes.try_into().ok()?).into(), 0),
        8 => {
            let both = u64::from_be_bytes(bytes.try_into().ok()?);
            ((both & ((1 << 34) - 1)).cast_signed(), (both >> 34) as u32)
        }
        12 => {
            let (nanoseconds, seconds) = bytes.split_first_chunk()?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanoseconds))
        }
        _ => return None,
    })
}

/// Returns the seconds and nanoseconds of a time in ms, as the timestamp of 12 bytes has them.
pub(crate) fn timestamp(ms: i64) -> (i64, u32) {
    (ms.div_euclid(MS_PER_S), (ms.rem_euclid(MS_PER_S) * NS_PER_MS) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: i64, ms: i64, oddity: Option<Oddity>) {
        assert_eq!(ms_of_number(number), (ms, oddity.map_or(Oddities::NONE, Oddities::of)), "{number}");
    }

    #[test]
    fn tells_the_unit_by_the_number_of_digits() {
        check(1_795_860_000_000, 1_795_860_000_000, None);
        check(1_795_860_000, 1_795_860_000_000, Some(Oddity::TimeInSeconds));
        check(1_795_860_000_123_456, 1_795_860_000_123, Some(Oddity::TimeInMicroseconds));
        check(1_795_860_000_123_456_789, 1_795_860_000_123, Some(Oddity::TimeInNanoseconds));
        check(i64::MAX, i64::MAX / 1_000_000, Some(Oddity::TimeInNanoseconds));
        for as_it_is in [i64::MIN, -1_795_860_000, -1, 0, 999_999_999, 10_000_000_000, 999_999_999_999_999] {
            check(as_it_is, as_it_is, None);
        }
        check(10_000_000_000_000_000, 10_000_000_000_000_000, None);
        check(999_999_999_999_999_999, 999_999_999_999_999_999, None);
    }

    fn check_float(number: f64, want: Option<(i64, Option<Oddity>)>) {
        let want = want.map(|(ms, oddity)| (ms, oddity.map_or(Oddities::NONE, Oddities::of)));
        assert_eq!(ms_of_float(number), want, "{number}");
    }

    #[test]
    fn a_fraction_is_kept_to_the_ms() {
        check_float(1_795_860_000.25, Some((1_795_860_000_250, Some(Oddity::TimeInSeconds))));
        check_float(1_795_860_000.123, Some((1_795_860_000_123, Some(Oddity::TimeInSeconds))));
        check_float(9_999_999_999.999_9, Some((10_000_000_000_000, Some(Oddity::TimeInSeconds))));
        check_float(1_795_860_000_123.75, Some((1_795_860_000_123, None)));
        check_float(1_795_860_000_123_456.5, Some((1_795_860_000_123, Some(Oddity::TimeInMicroseconds))));
        check_float(1.8e18, Some((1_800_000_000_000, Some(Oddity::TimeInNanoseconds))));
        check_float(1.8e19, Some((18_000_000_000_000, Some(Oddity::TimeInNanoseconds))));
        check_float(-0.5, Some((0, None)));
        check_float(-5.5, Some((-5, None)));
        check_float(i64::MIN as f64, Some((i64::MIN, None)));
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.9e19, -1e19] {
            check_float(none, None);
        }
    }

    #[test]
    fn beyond_the_signed_numbers_a_time_is_in_ns() {
        let ns = Oddities::of(Oddity::TimeInNanoseconds);
        assert_eq!(ms_of_unsigned(u64::MAX), (18_446_744_073_709, ns));
        assert_eq!(ms_of_unsigned(1 << 63), (9_223_372_036_854, ns));
        assert_eq!(ms_of_unsigned(7), (7, Oddities::NONE));
    }

    #[test]
    fn a_timestamp_of_any_length_is_read() {
        let at = 0x6b0a_a620_u32;
        let check =
            |bytes: &[u8], ms: Option<i64>| assert_eq!(ms_of_timestamp(-1, bytes), ms, "{bytes:02x?}");
        check(&at.to_be_bytes(), Some(i64::from(at) * 1_000));
        check(&u32::MAX.to_be_bytes(), Some(4_294_967_295_000));
        let eight = |ns: u64, s: u64| ((ns << 34) | s).to_be_bytes();
        check(&eight(123_999_999, at.into()), Some(i64::from(at) * 1_000 + 123));
        check(&eight(0, (1 << 34) - 1), Some(17_179_869_183_000));
        check(&eight(1_000_000_000, 7), None);
        let twelve = |ns: u32, s: i64| [&ns.to_be_bytes()[..], &s.to_be_bytes()].concat();
        check(&twelve(500_000_000, -2), Some(-1_500));
        check(&twelve(999_999_999, i64::MAX), Some(i64::MAX));
        check(&twelve(0, i64::MIN), Some(i64::MIN));
        check(&twelve(1_000_000_000, 7), None);
        for other in [0, 1, 3, 5, 7, 9, 11, 13, 16] {
            check(&vec![0; other], None);
        }
        assert_eq!(ms_of_timestamp(1, &at.to_be_bytes()), None);
    }

    #[test]
    fn every_time_has_a_timestamp() {
        for ms in [i64::MIN, -1, 0, 999, 1_795_860_000_123, i64::MAX] {
            let (seconds, nanoseconds) = timestamp(ms);
            let bytes = [&nanoseconds.to_be_bytes()[..], &seconds.to_be_bytes()].concat();
            assert_eq!(ms_of_timestamp(TIMESTAMP, &bytes), Some(ms));
        }
    }
}
