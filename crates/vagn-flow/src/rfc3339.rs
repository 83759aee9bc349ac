//! Times in answers and notices: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// Length of a time within the years 0 to 9999.
const LEN: usize = "2026-11-22T07:10:00.000Z".len();

/// First and last of the times that are written by hand here, ms since 1970: the years 1970 to 9998.
const BY_HAND: std::ops::Range<i64> = 0..253_370_764_800_000;

/// Begin of the year 0, ms since 1970. RFC 3339 has no years before it.
pub const YEAR_0: i64 = -62_167_219_200_000;

const MS_PER_DAY: u64 = 86_400_000;

/// Writes a time as `2026-11-22T07:10:00.000Z`. A time beyond the year 9999 is shown as its last moment, and one before the year 0 as its first.
pub fn rfc3339(time_ms: i64) -> String {
    if BY_HAND.contains(&time_ms) {
        return std::str::from_utf8(&plain(time_ms.unsigned_abs())).expect("digits and signs").to_owned();
    }
    let time_ms = time_ms.max(YEAR_0);
    // Not `from_millisecond`, which has no room for the last moments before the edge.
    let second = time_ms.div_euclid(1000);
    let ms = time_ms.rem_euclid(1000) as i32;
    format!("{:.3}", Timestamp::new(second, ms * 1_000_000).unwrap_or(Timestamp::MAX))
}

/// Reads a time in RFC 3339 with its offset, ms since 1970.
pub fn parse(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// Appends the same, without a detour over the heap for the times that matter: an answer has one for each vehicle.
pub fn push(out: &mut Vec<u8>, time_ms: i64) {
    match BY_HAND.contains(&time_ms) {
        true => out.extend_from_slice(&plain(time_ms.unsigned_abs())),
        false => out.extend_from_slice(rfc3339(time_ms).as_bytes()),
    }
}

fn plain(time_ms: u64) -> [u8; LEN] {
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let (year, month, day) = civil(time_ms / MS_PER_DAY);
    let ms = time_ms % MS_PER_DAY;
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], ms / 3_600_000);
    digits(&mut text[14..16], ms / 60_000 % 60);
    digits(&mut text[17..19], ms / 1_000 % 60);
    digits(&mut text[20..23], ms % 1_000);
    text
}

fn digits(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Returns year, month and day of a day since 1970. Years begin in March here, so that a leap day comes last; from Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_other_offsets() {
        for time_ms in [0, 1_795_335_330_120, -1] {
            assert_eq!(parse(&rfc3339(time_ms)), Some(time_ms));
        }
        assert_eq!(parse("2026-11-22T09:15:30.12+01:00"), Some(1_795_335_330_120));
        assert_eq!((parse("2026-11-22T09:15:30"), parse("now")), (None, None));
    }

    #[test]
    fn writes_milliseconds_and_z() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_790_000_000_120, "2026-09-21T14:13:20.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_207_200_001, "9999-12-30T22:00:00.001Z"),
            (i64::MAX, "9999-12-30T22:00:00.999Z"),
            (-62_167_219_200_001, "0000-01-01T00:00:00.000Z"),
            (i64::MIN, "0000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(time_ms), text);
        }
    }

    #[test]
    fn agrees_with_the_calendar_on_every_day() {
        let mut random = fastrand::Rng::with_seed(9);
        for day in 0..BY_HAND.end / MS_PER_DAY as i64 {
            let time_ms = day * MS_PER_DAY as i64 + random.i64(0..MS_PER_DAY as i64);
            let mut out = Vec::new();
            push(&mut out, time_ms);
            let expected = format!("{:.3}", Timestamp::from_millisecond(time_ms).unwrap());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        for time_ms in [BY_HAND.end - 1, BY_HAND.end] {
            assert_eq!(rfc3339(time_ms), format!("{:.3}", Timestamp::from_millisecond(time_ms).unwrap()));
        }
    }
}
