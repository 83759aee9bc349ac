//! A time as text, by RFC 3339: `2026-11-28T10:00:00.123+01:00`.

/// Longest text that is read, in bytes.
const LEN_MAX: usize = 64;

const MS_PER_MINUTE: i64 = 60_000;
const MINUTES_PER_DAY: i64 = 1_440;

/// Reads a date, a time and an offset, and gives ms since 1970; `None` when the text is anything else.
///
/// Of a fraction three digits count. A leap second is the first one of the next minute. `T` and `Z` may be lower case, and a
/// space may stand for `T`, which the RFC leaves open.
pub(crate) fn ms_of_text(text: &[u8]) -> Option<i64> {
    if text.len() > LEN_MAX {
        return None;
    }
    let (date, rest) = text.split_first_chunk::<10>()?;
    let (separator, rest) = rest.split_first()?;
    let (clock, rest) = rest.split_first_chunk::<8>()?;
    let is_separated = matches!(separator, b'T' | b't' | b' ');
    let (fraction_ms, rest) = fraction(rest)?;
    let minutes = days(date)? * MINUTES_PER_DAY - offset_minutes(rest)?;
    is_separated.then_some(minutes * MS_PER_MINUTE + time_of_day_ms(clock)? + fraction_ms)
}

/// Counts the days from 1970 to `2026-11-28`.
fn days(date: &[u8; 10]) -> Option<i64> {
    let [year @ .., b'-', _, _, b'-', _, _] = date else { return None };
    let year = digits(year)?;
    let month = digits(&date[5..7])?;
    let day = digits(&date[8..])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    (1..=last).contains(&day).then(|| days_since_1970(year, month, day))
}

/// Counts in years that begin in March, so that the leap day is the last of its year
/// (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const TO_1970: i64 = 719_468;
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - TO_1970
}

/// Reads `10:00:00`, in ms.
fn time_of_day_ms(clock: &[u8; 8]) -> Option<i64> {
    let [_, _, b':', _, _, b':', second @ ..] = clock else { return None };
    let second = digits(second)?;
    (second <= 60).then_some(minutes(&clock[..5])? * MS_PER_MINUTE + second * 1_000)
}

/// Reads `10:00`, in minutes.
fn minutes(clock: &[u8]) -> Option<i64> {
    let [_, _, b':', minute @ ..] = clock else { return None };
    let hour = digits(&clock[..2])?;
    let minute = digits(minute)?;
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// Takes `.123` off the front, if it is there, in ms.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(after) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let len = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = after.split_at(len);
    let digit = |at: usize| digits.get(at).map_or(0, |digit| i64::from(digit - b'0'));
    (len > 0).then(|| (digit(0) * 100 + digit(1) * 10 + digit(2), rest))
}

/// Reads `Z`, `+01:00` or `-01:00`, in minutes.
fn offset_minutes(rest: &[u8]) -> Option<i64> {
    match rest {
        b"Z" | b"z" => Some(0),
        [b'+', offset @ ..] if offset.len() == 5 => minutes(offset),
        [b'-', offset @ ..] if offset.len() == 5 => minutes(offset).map(|minutes| -minutes),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ms: Option<i64>) {
        assert_eq!(ms_of_text(text.as_bytes()), ms, "{text}");
    }

    #[test]
    fn reads_every_way_to_write_a_time() {
        let at = Some(1_795_860_000_000);
        for text in [
            "2026-11-28T10:00:00Z",
            "2026-11-28t10:00:00z",
            "2026-11-28 10:00:00Z",
            "2026-11-28T10:00:00.000000Z",
            "2026-11-28T11:00:00+01:00",
            "2026-11-28T04:15:00-05:45",
            "2026-11-29T00:30:00+14:30",
            "2026-11-28T10:00:00-00:00",
            "2026-11-28T09:59:60Z",
        ] {
            check(text, at);
        }
    }

    #[test]
    fn keeps_a_fraction_to_the_ms() {
        let at = 1_795_860_000_000;
        for (fraction, ms) in [(".1", 100), (".12", 120), (".123", 123), (".1239", 123), (".000999999", 0)] {
            check(&format!("2026-11-28T10:00:00{fraction}Z"), Some(at + ms));
        }
        check("1969-12-31T23:59:59.999Z", Some(-1));
    }

    #[test]
    fn knows_the_calendar() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("1972-02-29T00:00:00Z", Some(68_169_600_000));
        check("2000-03-01T00:00:00Z", Some(951_868_800_000));
        check("1957-10-04T19:28:34Z", Some(-386_310_686_000));
        check("0000-01-01T00:00:00Z", Some(-62_167_219_200_000));
        check("9999-12-31T23:59:59Z", Some(253_402_300_799_000));
        for no_day in
            ["2026-02-29", "1900-02-29", "2026-04-31", "2026-00-01", "2026-13-01", "2026-01-00", "2026-01-32"]
        {
            check(&format!("{no_day}T00:00:00Z"), None);
        }
        check("2000-02-29T00:00:00Z", Some(951_782_400_000));
    }

    #[test]
    fn anything_else_is_no_time() {
        let digits = "0".repeat(60);
        for text in [
            "",
            "now",
            "1795860000",
            "2026-11-28",
            "2026-11-28T10:00:00",
            "2026-11-28T10:00Z",
            "2026-11-28T10:00:00.Z",
            "2026-11-28T10:00:00,5Z",
            "2026-11-28T10:00:00+0100",
            "2026-11-28T10:00:00+24:00",
            "2026-11-28T10:00:00+01:60",
            "2026-11-28T10:00:00Z ",
            "2026-11-28T24:00:00Z",
            "2026-11-28T10:60:00Z",
            "2026-11-28T10:00:61Z",
            "2026-11-28X10:00:00Z",
            "2026/11/28T10:00:00Z",
            "+026-11-28T10:00:00Z",
            "20260-1-28T10:00:00Z",
            "2026-11-28T10:00:00\u{2212}01:00",
            &format!("2026-11-28T10:00:00.{digits}Z"),
        ] {
            check(text, None);
        }
    }
}
