//! The wire format: msgpack bytes to a checked [`Report`] or a [`Reject`], and back.
//!
//! | to | use |
//! |---|---|
//! | cut a datagram into reports | [`pieces`] |
//! | read one report | [`decode()`] |
//! | see whether it raises an alarm | [`is_emergency`] |
//! | cut a TCP stream into objects | [`object_len`] |
//! | write what a vehicle would send | [`encode()`] |
//! | cut a JSON or msgpack body into reports | [`dialect`] |
//! | answer over TCP, and read the answer | [`ack`] |
//! | answer an alarm over UDP, and read the answer | [`StoredAck`] |
//! | take the reports out of an envelope | [`sealed`] |
//!
//! No I/O, no clock, no unsafe code. Decoding a report allocates nothing, and its work is bounded by the length of the input.
//! `docs/wire.md` describes the format for authors of vehicle clients.
#![forbid(unsafe_code)]

pub mod ack;
mod complete;
mod datagram;
mod decode;
pub mod dialect;
mod encode;
mod fate;
mod frame;
mod id;
mod kind;
mod marker;
mod odd;
mod position;
mod reject;
mod report;
pub mod sealed;
mod stored;
mod time;

pub use datagram::{Piece, pieces, sole_piece};
pub use decode::{decode, decode_at_once, decode_general, is_emergency};
pub use encode::encode;
pub use fate::Fate;
pub use frame::{MAX_OBJECT, object_len};
pub use id::{ID_LEN_MAX, VehicleId};
pub use kind::Kind;
pub use odd::{OddPart, Oddities, Oddity};
pub use position::Position;
pub use reject::Reject;
pub use report::{MAX_DATAGRAM, Report};
pub use stored::StoredAck;
pub use time::ms_of_number;
