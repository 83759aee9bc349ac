//! Times as others read them: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// `ms` milliseconds since 1970 as text, or `None` for a time beyond the years that can be written.
pub(super) fn rfc3339(ms: i64) -> Option<String> {
    let time = Timestamp::from_millisecond(ms).ok()?;
    Some(format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_has_three_digits_and_a_z() {
        let check = |ms, text: Option<&str>| assert_eq!(rfc3339(ms).as_deref(), text);
        check(0, Some("1970-01-01T00:00:00.000Z"));
        check(1_700_000_000_120, Some("2023-11-14T22:13:20.120Z"));
        check(-1, Some("1969-12-31T23:59:59.999Z"));
        check(i64::MAX, None);
    }
}
