//! The end of one object of a stream, where the next begins.

use crate::Reject;
use crate::decode::{cursor::Cursor, fast};

/// Longest object on a stream, in bytes: as long as a datagram.
pub const MAX_OBJECT: usize = crate::MAX_DATAGRAM;

/// Returns the length in bytes of the first msgpack object in `stream`; `None` when more bytes are needed to tell.
///
/// Looks at no more than [`MAX_OBJECT`] bytes, however long the stream or deep the nesting. Any object has a length;
/// [`decode`](crate::decode()) tells if it is a report.
///
/// # Errors
/// [`Reject::NotMsgpack`], or [`Reject::TooLong`] as soon as the object cannot end within [`MAX_OBJECT`] bytes. The stream
/// then has no next object, but the bytes of this one may still be an alarm: see [`is_emergency`](crate::is_emergency).
pub fn object_len(stream: &[u8]) -> Result<Option<usize>, Reject> {
    let within = &stream[..stream.len().min(MAX_OBJECT)];
    if let Some(layout) = fast::layout(within) {
        return Ok(Some(within.len() - layout.behind));
    }
    let mut cursor = Cursor::new(within);
    match walk(&mut cursor) {
        Ok(()) => Ok(Some(within.len() - cursor.remaining())),
        Err(Reject::Truncated) if within.len().saturating_add(cursor.lacking()) <= MAX_OBJECT => Ok(None),
        Err(Reject::Truncated) => Err(Reject::TooLong),
        Err(reject) => Err(reject),
    }
}

/// Skips one object, unless it needs more objects than can still fit: each takes a byte at least.
fn walk(cursor: &mut Cursor<'_>) -> Result<(), Reject> {
    let mut room = MAX_OBJECT as u64;
    let mut pending = 1;
    while pending > 0 {
        let before = cursor.remaining();
        pending += cursor.value()?.children();
        pending -= 1;
        room -= (before - cursor.remaining()) as u64;
        if pending > room {
            return Err(Reject::TooLong);
        }
    }
    Ok(())
}
