//! `Range: bytes=…` (RFC 9110, 14): one range of the bytes of a file.

use axum::http::{HeaderMap, HeaderValue, header};

/// The part of a file that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Bytes from `first` to `last`, both included.
    Bytes { first: u64, last: u64 },
    /// Bytes of which the file has none.
    None,
}

/// Reads the part that is asked for of a file of `len` bytes with this ETag.
///
/// All is given to a caller that asks for several ranges, for something that is no range, or for the rest of a content that
/// is another by now (`If-Range`): the standard leaves the first to us, and wants the others.
pub(super) fn part(asked: &HeaderMap, len: u64, etag: &HeaderValue) -> Part {
    let is_outdated = asked.get(header::IF_RANGE).is_some_and(|has| has != etag);
    let text = asked.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = text.filter(|_| !is_outdated).and_then(read) else { return Part::Whole };
    let (first, last) = match range {
        (Some(first), last) => (first, last.unwrap_or(u64::MAX)),
        (None, Some(suffix)) => (len.saturating_sub(suffix), if suffix == 0 { 0 } else { u64::MAX }),
        (None, None) => return Part::Whole,
    };
    let is_empty = matches!(range, (None, Some(0)));
    if first >= len || is_empty {
        return Part::None;
    }
    Part::Bytes { first, last: last.min(len - 1) }
}

/// Reads the two ends of the one range in `bytes=first-last`; None if it is not of this form.
fn read(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = text.split_once('=')?;
    let (first, last) = range.trim().split_once('-')?;
    let range = (number(first)?, number(last)?);
    let is_in_order = !matches!(range, (Some(first), Some(last)) if first > last);
    (unit.trim().eq_ignore_ascii_case("bytes") && is_in_order).then_some(range)
}

/// Reads digits, of which there may be none; None if there is anything else.
fn number(text: &str) -> Option<Option<u64>> {
    if text.is_empty() {
        return Some(None);
    }
    // `parse` alone would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, len: u64, expected: Part) {
        let asked = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
        assert_eq!(part(&asked, len, &HeaderValue::from_static("\"1\"")), expected, "{range} of {len}");
    }

    #[test]
    fn one_range_is_read_in_its_three_forms() {
        check("bytes=0-0", 10, Part::Bytes { first: 0, last: 0 });
        check("bytes=2-5", 10, Part::Bytes { first: 2, last: 5 });
        check("bytes=9-99", 10, Part::Bytes { first: 9, last: 9 });
        check("bytes=7-", 10, Part::Bytes { first: 7, last: 9 });
        check("bytes=-3", 10, Part::Bytes { first: 7, last: 9 });
        check("bytes=-99", 10, Part::Bytes { first: 0, last: 9 });
        check("Bytes=1-99999999999999999999999", 10, Part::Bytes { first: 1, last: 9 });
    }

    #[test]
    fn what_the_file_has_not_cannot_be_given() {
        check("bytes=10-", 10, Part::None);
        check("bytes=10-20", 10, Part::None);
        check("bytes=99999999999999999999999-", 10, Part::None);
        check("bytes=-0", 10, Part::None);
        check("bytes=0-", 0, Part::None);
    }

    #[test]
    fn what_is_no_single_range_gets_all() {
        for range in
            ["bytes=0-1,4-5", "bytes=5-2", "bytes=-", "bytes=a-b", "bytes=+1-2", "items=0-1", "bytes", ""]
        {
            check(range, 10, Part::Whole);
        }
        assert_eq!(part(&HeaderMap::new(), 10, &HeaderValue::from_static("\"1\"")), Part::Whole);
    }

    #[test]
    fn the_rest_of_another_content_is_not_given() {
        let etag = HeaderValue::from_static("\"1\"");
        for (has, expected) in [
            ("\"1\"", Part::Bytes { first: 2, last: 9 }),
            ("\"2\"", Part::Whole),
            ("W/\"1\"", Part::Whole),
            ("Sat, 28 Nov 2026 20:00:00 GMT", Part::Whole),
        ] {
            let headers = [(header::RANGE, "bytes=2-"), (header::IF_RANGE, has)];
            let asked = HeaderMap::from_iter(headers.map(|(name, value)| (name, value.parse().unwrap())));
            assert_eq!(part(&asked, 10, &etag), expected, "{has}");
        }
    }
}
