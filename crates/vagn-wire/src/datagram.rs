//! The reports of one datagram: mostly one, and others behind it.
//!
//! Whatever follows a report that is whole and can be used is another, as long as it begins like one. The first bytes that do
//! not belong to the report before them, as padding does: modems add some.

use crate::decode::{fast, is_emergency};
use crate::marker::*;
use crate::{VehicleId, decode, object_len};

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

/// Gives `take` the [`pieces`] of a datagram, in order. The original's layout, alone in its datagram, costs no more than
/// [`is_emergency`].
#[inline]
pub fn for_each_piece<'a>(datagram: &'a [u8], mut take: impl FnMut(Piece<'a>)) {
    match alone(datagram) {
        Some(piece) => take(piece),
        None => for_each_elsewhere(datagram, &mut take),
    }
}

#[cold]
#[inline(never)]
fn for_each_elsewhere<'a>(datagram: &'a [u8], take: &mut dyn FnMut(Piece<'a>)) {
    Pieces(Some(datagram)).for_each(take);
}

/// Bytes of which no report was taken yet; `None` once all are.
struct Pieces<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0?;
        let piece = alone(rest).unwrap_or_else(|| first(rest));
        let later = &rest[piece.bytes.len()..];
        self.0 = (!later.is_empty()).then_some(later);
        Some(piece)
    }
}

/// Returns the report if it is alone, in the original's layout.
#[inline]
fn alone(datagram: &[u8]) -> Option<Piece<'_>> {
    let layout = fast::layout(datagram).filter(|layout| layout.len == datagram.len())?;
    let is_alarm = layout.emergency && VehicleId::from_bytes(layout.id).is_ok();
    Some(Piece { bytes: datagram, is_alarm })
}

/// Takes the first report off the front.
fn first(datagram: &[u8]) -> Piece<'_> {
    let end = plain_len(datagram).or_else(|| object_len(datagram).ok().flatten());
    let bytes = match end {
        Some(len) if begins_report(&datagram[len..]) && decode(&datagram[..len]).is_ok() => &datagram[..len],
        _ => datagram,
    };
    Piece { bytes, is_alarm: is_emergency(bytes) }
}

/// Length of the first object if it is a small map or array without containers in it, as nearly every report is: a fifth of the
/// work of [`object_len`], which knows all others.
fn plain_len(bytes: &[u8]) -> Option<usize> {
    let objects = match *bytes.first()? {
        first @ FIXMAP..=0x8f => 2 * (first & 0x0f),
        first @ FIXARRAY..=0x9f => first & 0x0f,
        _ => return None,
    };
    let mut at = 1;
    for _ in 0..objects {
        let first = *bytes.get(at)?;
        at += match LEN[usize::from(first)] {
            0 if first == STR8 => 2 + usize::from(*bytes.get(at + 1)?),
            0 => return None,
            len => usize::from(len),
        };
    }
    (at <= bytes.len()).then_some(at)
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

/// True for a map, and for an array of four.
fn begins_report(bytes: &[u8]) -> bool {
    const FOUR: u8 = FIXARRAY | 4;
    matches!(
        bytes,
        [FIXMAP..=0x8f | MAP16 | MAP32 | FOUR, ..] | [ARRAY16, 0, 4, ..] | [ARRAY32, 0, 0, 0, 4, ..]
    )
}
