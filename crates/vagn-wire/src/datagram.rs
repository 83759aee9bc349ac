//! The reports of one datagram: mostly one, and others behind it.
//!
//! Whatever follows a report that is whole and can be used is another, as long as it begins like one. The first bytes that do
//! not belong to the report before them, as padding does: modems add some.

use crate::decode::{fast, is_emergency};
use crate::marker::{ARRAY16, ARRAY32, FIXARRAY, FIXMAP, MAP16, MAP32};
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
#[inline]
pub fn pieces(datagram: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    Pieces(Some(datagram))
}

/// Bytes of which no report was taken yet; `None` once all are.
struct Pieces<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.0?;
        let piece = first(rest);
        let later = &rest[piece.bytes.len()..];
        self.0 = (!later.is_empty()).then_some(later);
        Some(piece)
    }
}

/// Takes the first report off the front. The original's layout, alone in its datagram, costs no more than [`is_emergency`].
#[inline]
fn first(datagram: &[u8]) -> Piece<'_> {
    match fast::layout(datagram) {
        Some(layout) if layout.len == datagram.len() => {
            let is_alarm = layout.emergency && VehicleId::from_bytes(layout.id).is_ok();
            Piece { bytes: datagram, is_alarm }
        }
        _ => first_elsewhere(datagram),
    }
}

#[cold]
fn first_elsewhere(datagram: &[u8]) -> Piece<'_> {
    let bytes = match object_len(datagram) {
        Ok(Some(len)) if begins_report(&datagram[len..]) && decode(&datagram[..len]).is_ok() => {
            &datagram[..len]
        }
        _ => datagram,
    };
    Piece { bytes, is_alarm: is_emergency(bytes) }
}

/// True for a map, and for an array of four.
fn begins_report(bytes: &[u8]) -> bool {
    const FOUR: u8 = FIXARRAY | 4;
    matches!(
        bytes,
        [FIXMAP..=0x8f | MAP16 | MAP32 | FOUR, ..] | [ARRAY16, 0, 4, ..] | [ARRAY32, 0, 0, 0, 4, ..]
    )
}
