//! Reports in JSON: one object, an array of them, or one after another with or without line breaks (NDJSON).
//!
//! Each becomes the msgpack that a vehicle would have sent, so that one decoder judges all doors alike. It is written while
//! the body is read: no tree of values is built, and the memory is a small multiple of the body.
//!
//! A body is read by the book first, which is fast. Only one that has a fault is read again, with care, so that the fault costs
//! its own field or report and no other.

mod bad_body;
mod careful;
mod limits;
mod number;
mod scan;
mod strict;

pub use bad_body::BadBody;

use super::reports::{Reports, TooMany};

/// Mark of the order of bytes, which some programs write before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the reports of `body`: an object, an array of objects, or objects one after another.
///
/// Each element is one report, in order. One that is no object, or breaks off, is a report that the decoder refuses, unless it
/// calls for help.
///
/// # Errors
/// When no object begins in the body, or there are too many of them.
pub fn split(body: &[u8]) -> Result<Reports, BadBody> {
    read(without_mark(body)).or_else(|bad| match bad {
        BadBody::NotReports(_) => careful(&[without_mark(body)], careful::read, bad),
        BadBody::TooMany(_) => Err(bad),
    })
}

/// Reads the reports of `body`, an object on each line. A line that cannot be read harms no other; empty lines are none.
///
/// A line has a report for each object that begins in it, in order, and one that the decoder refuses if none does.
///
/// # Errors
/// As [`split`].
pub fn split_lines(body: &[u8]) -> Result<Reports, BadBody> {
    let all = without_mark(body);
    let by_the_book =
        read(all).and_then(|reports| if has_empty_list(all) { Err(no_object()) } else { Ok(reports) });
    by_the_book.or_else(|bad| match bad {
        BadBody::NotReports(_) => {
            careful(&body.split(|byte| *byte == b'\n').collect::<Vec<_>>(), careful::read_line, bad)
        }
        BadBody::TooMany(_) => Err(bad),
    })
}

/// Does as [`split`], without the pass by the book: same reports, slower. Tests and fuzzing compare the two.
///
/// # Errors
/// As [`split`].
pub fn split_carefully(body: &[u8]) -> Result<Reports, BadBody> {
    careful(&[body], careful::read, no_object())
}

fn no_object() -> BadBody {
    BadBody::NotReports("no object begins in it".into())
}

/// Returns true when a line is an empty list, which by the book has no report.
fn has_empty_list(body: &[u8]) -> bool {
    body.split(|byte| *byte == b'\n').any(|line| {
        let inner = line.trim_ascii().strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        inner.is_some_and(|inner| inner.trim_ascii().is_empty())
    })
}

fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

fn read(body: &[u8]) -> Result<Reports, BadBody> {
    let mut reports = Reports::default();
    strict::read(body, &mut reports).map(|()| reports)
}

type ReadPart = fn(&[u8], &mut Reports) -> Result<usize, TooMany>;

/// Reads each part by itself; `bad` is the error if no object begins in any.
fn careful(parts: &[&[u8]], read: ReadPart, bad: BadBody) -> Result<Reports, BadBody> {
    if !parts.iter().any(|part| part.contains(&b'{')) {
        return Err(bad);
    }
    let mut reports = Reports::default();
    let mut begun = 0;
    for part in parts {
        begun += read(part, &mut reports)?;
    }
    if begun > 0 { Ok(reports) } else { Err(bad) }
}

#[cfg(test)]
mod tests;
