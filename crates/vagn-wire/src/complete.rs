//! Puts the id of its key's vehicle into a report that has none.
//!
//! The seal has proved whose report it is. So what stands in place of an id, and is none, costs no report and no call for help.

use std::ops::Range;

use crate::decode::cursor::{Cursor, Value};
use crate::decode::fields::Field;
use crate::decode::{decode_long, vehicle_id};
use crate::encode::{string, text};
use crate::marker::{FIXMAP, MAP16};
use crate::{MAX_DATAGRAM, MAX_OBJECT, Reject, VehicleId, encode, object_len};

/// The vehicle of a report, beside the one whose id was to be put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The report had no id that can be read, and has that one now.
    Completed,
    /// It has that id itself.
    Same,
    /// It has another one, or it is no report.
    Other,
}

/// Appends the first report in `rest` to `out` with the id `of` in it, and nothing where it has an id that can be read. Returns the length
/// of the report too: one that breaks off has all that is there.
pub(crate) fn complete(rest: &[u8], of: VehicleId<'_>, out: &mut Vec<u8>) -> (Whose, usize) {
    let start = out.len();
    let mut cursor = Cursor::new(rest);
    let completed = match cursor.value() {
        Ok(Value::Map(pairs)) => complete_map(rest, pairs, cursor, of, out),
        Ok(Value::Array(4)) => {
            let len = report_len(rest);
            (complete_array(&rest[..len], of, out), len)
        }
        _ => (Whose::Other, report_len(rest)),
    };
    if out.len() - start > MAX_DATAGRAM {
        shorten(start, out);
    }
    completed
}

/// Returns the length of the first report: all, where it breaks off.
pub(crate) fn report_len(rest: &[u8]) -> usize {
    object_len(rest).ok().flatten().unwrap_or(rest.len())
}

/// Returns whose a report is that has an id.
fn named(id: VehicleId<'_>, of: VehicleId<'_>, len: usize) -> Whose {
    // A decoder reads no more than so many bytes, and may find another one there.
    if id == of && len <= MAX_DATAGRAM { Whose::Same } else { Whose::Other }
}

fn complete_map<'a>(
    rest: &'a [u8],
    pairs: u32,
    mut cursor: Cursor<'a>,
    of: VehicleId<'_>,
    out: &mut Vec<u8>,
) -> (Whose, usize) {
    let body = rest.len() - cursor.remaining();
    let mut ids = Ids::default();
    // Where it breaks off, what came before tells.
    let is_whole = look(&mut cursor, pairs, |id, _| ids.see(id)).is_ok();
    // The object ends where the look ended. One that is too long for an object has no end.
    let seen = rest.len() - cursor.remaining();
    let len = if is_whole && seen <= MAX_OBJECT { seen } else { rest.len() };
    let report = &rest[..len];
    if let Some(id) = ids.counts {
        return (named(id, of, len), len);
    }
    push_map_head(pairs.saturating_sub(ids.seen).saturating_add(1), out);
    text(out, Field::Id.key(), of.as_str());
    match ids.seen {
        0 => out.extend_from_slice(&report[body..]),
        _ => push_without_ids(report, body, pairs, out),
    }
    (Whose::Completed, len)
}

/// Pairs with the key `ID` in a map.
#[derive(Default)]
struct Ids<'a> {
    /// The one that counts: the last that can be read.
    counts: Option<VehicleId<'a>>,
    seen: u32,
}

impl<'a> Ids<'a> {
    fn see(&mut self, id: Result<Option<VehicleId<'a>>, Reject>) {
        self.counts = id.unwrap_or(self.counts);
        self.seen += 1;
    }
}

/// Looks at the pairs ahead, in the order in which a report is read, and calls `see` with each id and the bytes that lie ahead from
/// the beginning of its pair on and behind it.
#[inline]
fn look<'a>(
    cursor: &mut Cursor<'a>,
    pairs: u32,
    mut see: impl FnMut(Result<Option<VehicleId<'a>>, Reject>, Range<usize>),
) -> Result<(), Reject> {
    for _ in 0..pairs {
        let before = cursor.remaining();
        match cursor.value()? {
            Value::Text(key) if key == Field::Id.key().as_bytes() => {
                let id = vehicle_id(cursor.object()?);
                see(id, before..cursor.remaining());
            }
            Value::Text(_) => cursor.skip(1)?,
            key => cursor.skip(key.children() + 1)?,
        }
    }
    Ok(())
}

/// Appends the pairs of a map, which begin at `body`, but for those with the key `ID`.
#[cold]
fn push_without_ids(report: &[u8], body: usize, pairs: u32, out: &mut Vec<u8>) {
    let mut from = body;
    let push = |_, ahead: Range<usize>| {
        out.extend_from_slice(&report[from..report.len() - ahead.start]);
        from = report.len() - ahead.end;
    };
    _ = look(&mut Cursor::new(&report[body..]), pairs, push);
    out.extend_from_slice(&report[from..]);
}

fn complete_array(report: &[u8], of: VehicleId<'_>, out: &mut Vec<u8>) -> Whose {
    let mut cursor = Cursor::new(report);
    if cursor.value().is_err() {
        return Whose::Other;
    }
    let head = report.len() - cursor.remaining();
    let Ok(first) = cursor.object() else { return Whose::Other };
    if let Ok(Some(id)) = vehicle_id(first) {
        return named(id, of, report.len());
    }
    out.extend_from_slice(&report[..head]);
    string(out, of.as_str());
    out.extend_from_slice(&report[report.len() - cursor.remaining()..]);
    Whose::Completed
}

fn push_map_head(pairs: u32, out: &mut Vec<u8>) {
    if pairs < 16 {
        out.push(FIXMAP | pairs as u8);
    } else {
        // More do not fit into an envelope, so one that announces more breaks off all the same.
        out.push(MAP16);
        out.extend_from_slice(&u16::try_from(pairs).unwrap_or(u16::MAX).to_be_bytes());
    }
}

/// Writes the report anew, without what is not understood: with its id it is longer than a report may be, and must not be lost by that.
#[cold]
fn shorten(start: usize, out: &mut Vec<u8>) {
    let mut short = Vec::new();
    if let Ok(report) = decode_long(&out[start..]) {
        encode(&report, &mut short);
        out.truncate(start);
        out.append(&mut short);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, decode};

    const PLACE: &[u8] = b"\xa3Lat\x05\xa3Lon\x06\xa9Emergency\xc3";

    /// The vehicle of the completed report, and whether it calls from the place.
    fn completed(report: &[u8], of: &str) -> Option<(String, bool)> {
        let mut out = b"before".to_vec();
        let is_completed = complete(report, VehicleId::new(of).unwrap(), &mut out).0 == Whose::Completed;
        assert!(is_completed || out == b"before");
        let report = is_completed.then(|| decode(&out[6..]).unwrap())?;
        let is_call = report.emergency && report.position == Position::new(5.0, 6.0);
        Some((report.vehicle_id.to_string(), is_call))
    }

    fn map(pairs: u8, ids: &[u8]) -> Vec<u8> {
        [&[FIXMAP | pairs][..], ids, PLACE].concat()
    }

    #[test]
    fn an_id_that_is_none_is_that_of_the_key() {
        let long = [&b"\xa2ID\xd9\x41"[..], &[b'x'; 65]].concat();
        for id in
            [&b"\xa2ID\xc0"[..], b"\xa2ID\x07", b"\xa2ID\xa0", b"\xa2ID\x92\x01\x02", b"\xa2ID\xa1\n", &long]
        {
            assert_eq!(completed(&map(4, id), "bus 7"), Some(("bus 7".into(), true)), "{id:x?}");
        }
        assert_eq!(completed(&map(5, b"\xa2ID\xa1x\xa2ID\xc0"), "bus 7"), Some(("bus 7".into(), true)));
        for named in
            [map(4, b"\xa2ID\xa1x"), map(5, b"\xa2ID\xc0\xa2ID\xa1x"), map(5, b"\xa2ID\xa1x\xa2ID\x07")]
        {
            assert_eq!(completed(&named, "bus 7"), None, "{named:x?}");
        }
    }

    #[test]
    fn an_array_without_an_id_is_that_of_the_key() {
        for id in [&b"\xc0"[..], b"\x07", b"\xa0", b"\x91\x01"] {
            let array = [b"\x94", id, b"\x05\x06\xc3"].concat();
            assert_eq!(completed(&array, "bus 7"), Some(("bus 7".into(), true)), "{id:x?}");
        }
        assert_eq!(completed(b"\x94\xa1x\x05\x06\xc3", "bus 7"), None);
        assert_eq!(completed(b"\x93\xc0\x05\x06", "bus 7"), None);
    }

    #[test]
    fn a_map_that_announces_more_than_fits_is_a_call_all_the_same() {
        let mut out = Vec::new();
        let of = VehicleId::new("bus 7").unwrap();
        assert_eq!(complete(b"\xdf\xff\xff\xff\xff\xa9Emergency\xc3", of, &mut out).0, Whose::Completed);
        assert!(decode(&out).unwrap().emergency);
    }

    #[test]
    fn a_call_that_its_id_makes_too_long_is_written_without_what_is_not_understood() {
        let id = "x".repeat(64);
        let noise = [&b"\xa1n\xc5\x07\xb0"[..], &[7; 1968]].concat();
        let report = map(4, &noise);
        assert!(report.len() <= MAX_DATAGRAM - 35 && report.len() + 69 > MAX_DATAGRAM, "{}", report.len());
        assert_eq!(completed(&report, &id), Some((id.clone(), true)));
    }
}
