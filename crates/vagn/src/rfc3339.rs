//! Times as others read them, in answers and in calls: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// `2026-11-22T07:10:00.000Z`. A time beyond the calendar's year 9999 is shown as its last moment, and so at the other end.
pub fn rfc3339(time_ms: i64) -> String {
    let edge = if time_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    // Not `from_millisecond`, which has no room for the last moments before the edge.
    let (second, ms) = (time_ms.div_euclid(1000), time_ms.rem_euclid(1000) as i32);
    format!("{:.3}", Timestamp::new(second, ms * 1_000_000).unwrap_or(edge))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_milliseconds_and_z() {
        for (time_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_790_000_000_120, "2026-09-21T14:13:20.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (253_402_207_200_001, "9999-12-30T22:00:00.001Z"),
            (i64::MAX, "9999-12-30T22:00:00.999Z"),
            (i64::MIN, "-009999-01-02T01:59:59.000Z"),
        ] {
            assert_eq!(rfc3339(time_ms), text);
        }
    }
}
