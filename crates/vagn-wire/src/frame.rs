//! Where one object of a stream ends and the next begins.

use crate::Reject;
use crate::decode::{cursor::Cursor, fast};

/// Longest object on a stream, in bytes: as long as a datagram.
pub const MAX_OBJECT: usize = crate::MAX_DATAGRAM;

/// Length in bytes of the first msgpack object in `stream`; `None` when more bytes are needed to tell.
///
/// Looks at no more than [`MAX_OBJECT`] bytes, however long the stream or deep the nesting. Any object has a length;
/// whether it is a report is for [`decode`](crate::decode) to say.
///
/// # Errors
/// [`Reject::NotMsgpack`], or [`Reject::TooLong`] as soon as the object cannot end within [`MAX_OBJECT`] bytes. The
/// stream has then no next object; what there is of this one may still be a call for help, see
/// [`is_emergency`](crate::is_emergency).
pub fn object_len(stream: &[u8]) -> Result<Option<usize>, Reject> {
    let within = &stream[..stream.len().min(MAX_OBJECT)];
    if let Some(layout) = fast::layout(within) {
        return Ok(Some(layout.len));
    }
    match walk(within) {
        Err(Reject::Truncated) if stream.len() >= MAX_OBJECT => Err(Reject::TooLong),
        Err(Reject::Truncated) => Ok(None),
        Err(reject) => Err(reject),
        Ok(len) => Ok(Some(len)),
    }
}

fn walk(bytes: &[u8]) -> Result<usize, Reject> {
    let mut cursor = Cursor::new(bytes);
    let mut pending = 1;
    while pending > 0 {
        pending += cursor.value()?.children();
        pending -= 1;
        let read = bytes.len() - cursor.remaining();
        if pending > (MAX_OBJECT - read) as u64 {
            // Every object takes a byte at least.
            return Err(Reject::TooLong);
        }
    }
    Ok(bytes.len() - cursor.remaining())
}
