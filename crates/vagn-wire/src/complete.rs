//! Puts the id of its key's vehicle into a report that has none.
//!
//! The seal has proved whose report it is. So what stands in place of an id, and is none, costs no report and no call for help.

use std::ops::Range;

use crate::decode::cursor::{Cursor, Value};
use crate::decode::fields::Field;
use crate::decode::{decode_long, vehicle_id};
use crate::encode::{string, text};
use crate::marker::{FIXMAP, MAP16};
use crate::{MAX_DATAGRAM, Reject, VehicleId, encode};

/// Appends the report to `out` with the id `of` in it. Returns false, and appends nothing, where it has an id that can be read.
pub(crate) fn complete(report: &[u8], of: VehicleId<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut cursor = Cursor::new(report);
    let is_completed = match cursor.value() {
        Ok(Value::Map(pairs)) => complete_map(report, pairs, cursor, of, out),
        Ok(Value::Array(4)) => complete_array(report, cursor, of, out),
        _ => false,
    };
    if out.len() - start > MAX_DATAGRAM {
        shorten(start, out);
    }
    is_completed
}

fn complete_map(
    report: &[u8],
    pairs: u32,
    mut cursor: Cursor<'_>,
    of: VehicleId<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let body = report.len() - cursor.remaining();
    let mut ids = Ids::default();
    // Where it breaks off, what came before tells.
    _ = ids.look(&mut cursor, pairs, report.len());
    if ids.is_named {
        return false;
    }
    let dropped = u32::try_from(ids.places.len()).unwrap_or(u32::MAX);
    push_map_head(pairs.saturating_sub(dropped).saturating_add(1), out);
    text(out, Field::Id.key(), of.as_str());
    let mut from = body;
    for place in ids.places {
        out.extend_from_slice(&report[from..place.start]);
        from = place.end;
    }
    out.extend_from_slice(&report[from..]);
    true
}

/// Pairs with the key `ID` in a map.
#[derive(Default)]
struct Ids {
    /// The last one that counts can be read.
    is_named: bool,
    places: Vec<Range<usize>>,
}

impl Ids {
    /// Looks at the pairs ahead, in the order in which a report is read.
    fn look(&mut self, cursor: &mut Cursor<'_>, pairs: u32, len: usize) -> Result<(), Reject> {
        for _ in 0..pairs {
            let start = len - cursor.remaining();
            match cursor.value()? {
                Value::Text(key) if key == Field::Id.key().as_bytes() => {
                    let value = vehicle_id(cursor.object()?);
                    self.is_named = value.map_or(self.is_named, |id| id.is_some());
                    self.places.push(start..len - cursor.remaining());
                }
                Value::Text(_) => cursor.skip(1)?,
                key => cursor.skip(key.children() + 1)?,
            }
        }
        Ok(())
    }
}

fn complete_array(report: &[u8], mut cursor: Cursor<'_>, of: VehicleId<'_>, out: &mut Vec<u8>) -> bool {
    let head = report.len() - cursor.remaining();
    let Ok(first) = cursor.object() else { return false };
    if let Ok(Some(_)) = vehicle_id(first) {
        return false;
    }
    out.extend_from_slice(&report[..head]);
    string(out, of.as_str());
    out.extend_from_slice(&report[report.len() - cursor.remaining()..]);
    true
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
        let is_completed = complete(report, VehicleId::new(of).unwrap(), &mut out);
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
        assert!(complete(b"\xdf\xff\xff\xff\xff\xa9Emergency\xc3", of, &mut out));
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
