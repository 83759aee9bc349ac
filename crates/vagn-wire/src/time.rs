//! `Ts` as a number: the unit is told by the number of digits.

use std::ops::Range;

use crate::{Oddities, Oddity};

/// Ten digits: seconds from 2001 to 2286.
const SECONDS: Range<i64> = 1_000_000_000..10_000_000_000;
/// Sixteen digits: microseconds from 2001 to 2286.
const MICROSECONDS: Range<i64> = 1_000_000_000_000_000..10_000_000_000_000_000;
/// Nineteen digits: nanoseconds from 2001 on. The last of them are beyond `i64`.
const NANOSECONDS_MIN: i64 = 1_000_000_000_000_000_000;

const US_PER_MS: i64 = 1_000;
const NS_PER_MS: i64 = 1_000_000;
const MS_PER_S: i64 = 1_000;

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
}
