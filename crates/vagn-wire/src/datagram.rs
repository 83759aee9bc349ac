//! The reports of one datagram: mostly one, and others behind it.
//!
//! Whatever follows a report that is whole and can be used is another, as long as it begins like one. The first bytes that do
//! not belong to the report before them, as padding does: modems add some.

use crate::decode::fields::Field;
use crate::decode::{fast, is_emergency};
use crate::marker::*;
use crate::{VehicleId, decode, object_len};

/// Key of the flag.
const FLAG: &[u8] = Field::Emergency.key().as_bytes();
/// First byte of it.
const FLAG_HEAD: u8 = FIXSTR | FLAG.len() as u8;

/// One report of a datagram, still in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The report, and what belongs to it.
    pub bytes: &'a [u8],
    /// True when [`decode`] gives a report with `emergency` set.
    pub is_alarm: bool,
}

/// Takes a datagram apart into its reports, one at least. Its work is bounded by the length of the datagram.
pub fn pieces(datagram: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    Pieces(Some(datagram))
}

/// Returns the only report of a datagram if that is in the original's layout, at the cost of [`is_emergency`]; `None` for all that
/// needs [`pieces`].
#[inline]
pub fn sole_piece(datagram: &[u8]) -> Option<Piece<'_>> {
    let layout = fast::layout(datagram)?;
    if layout.behind != 0 {
        return None;
    }
    let is_alarm = layout.emergency && VehicleId::from_bytes(layout.id).is_ok();
    Some(Piece { bytes: datagram, is_alarm })
}

/// Bytes of which no report was taken yet; `None` once all are.
struct Pieces<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0?;
        let piece = first(rest);
        let later = &rest[piece.bytes.len()..];
        self.0 = (!later.is_empty()).then_some(later);
        Some(piece)
    }
}

/// Takes the first report off the front.
fn first(datagram: &[u8]) -> Piece<'_> {
    let Some(plain) = plain(datagram) else {
        let bytes = cut(datagram, object_len(datagram).ok().flatten());
        return Piece { bytes, is_alarm: is_emergency(bytes) };
    };
    let bytes = cut(datagram, Some(plain.len));
    Piece { bytes, is_alarm: plain.may_call && is_emergency(bytes) }
}

/// Returns what belongs to the first report, which ends there: all of the datagram, unless another report follows.
fn cut(datagram: &[u8], end: Option<usize>) -> &[u8] {
    match end {
        Some(len) if begins_report(&datagram[len..]) && decode(&datagram[..len]).is_ok() => &datagram[..len],
        _ => datagram,
    }
}

/// A small map without containers in it, as nearly every report is.
struct Plain {
    len: usize,
    /// False when no decoder can find a set flag in it.
    may_call: bool,
}

/// Walks over such a map, for a fifth of the work that [`object_len`] has, which knows all other objects.
fn plain(bytes: &[u8]) -> Option<Plain> {
    let FIXMAP..=0x8f = *bytes.first()? else { return None };
    let objects = 2 * (bytes[0] & 0x0f);
    let mut at = 1;
    let mut may_call = false;
    for _ in 0..objects {
        let first = *bytes.get(at)?;
        at += match LEN[usize::from(first)] {
            // It may be the key in a wider form.
            0 if first == STR8 => {
                let len = usize::from(*bytes.get(at + 1)?);
                may_call |= len == FLAG.len();
                2 + len
            }
            0 => return None,
            len => {
                may_call |= first == FLAG_HEAD && is_flag(&bytes[at + 1..]);
                usize::from(len)
            }
        };
    }
    (at <= bytes.len()).then_some(Plain { len: at, may_call })
}

/// Returns true for the flag's key with anything but nil or false behind it.
fn is_flag(rest: &[u8]) -> bool {
    let value = rest.strip_prefix(FLAG).and_then(<[u8]>::first);
    value.is_some_and(|value| !matches!(*value, NIL | FALSE))
}

/// Length of an object by its first byte; 0 where that does not tell.
const LEN: [u8; 256] = {
    let mut lens = [0; 256];
    let mut first = 0;
    while first < 256 {
        lens[first] = match first as u8 {
            0..FIXMAP | 0xe0..=0xff | NIL | FALSE | TRUE => 1,
            text @ FIXSTR..=0xbf => 1 + (text & 0x1f),
            UINT8 | INT8 => 2,
            UINT16 | INT16 => 3,
            FLOAT32 | UINT32 | INT32 => 5,
            FLOAT64 | UINT64 | INT64 => 9,
            _ => 0,
        };
        first += 1;
    }
    lens
};

/// Returns true for a map, and for an array of four.
pub(crate) fn begins_report(bytes: &[u8]) -> bool {
    const FOUR: u8 = FIXARRAY | 4;
    matches!(
        bytes,
        [FIXMAP..=0x8f | MAP16 | MAP32 | FOUR, ..] | [ARRAY16, 0, 4, ..] | [ARRAY32, 0, 0, 0, 4, ..]
    )
}
