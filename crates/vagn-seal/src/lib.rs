//! Sealed reports: one envelope per datagram, which proves its sender and hides what is in it.
//!
//! | file | holds |
//! |---|---|
//! | `key.rs` | ids, secrets and epochs of keys |
//! | `envelope.rs` | the bytes of an envelope |
//! | `cipher.rs` | derived keys, and what is done with them |
//! | `sender.rs` | the sender's side: seals reports, opens answers |
//! | `table.rs` | the service's side: the keys in force, which open envelopes and seal answers |
//! | `table/` | a line per key, its parts under locks, the index, loading ahead |
//!
//! No I/O and no clock. `docs/wire.md` has the format byte by byte.

mod cipher;
mod envelope;
mod key;
mod sender;
mod table;

#[cfg(test)]
mod tests;

pub use envelope::{Envelope, FIRST_BYTE, HEAD_LEN, Lane, OVERHEAD};
pub use key::{Epoch, KeyId, NotAKey, Secret};
pub use sender::{AnswerRefused, SenderKey};
pub use table::{KeyInForce, KeyTable, NotOpened, Opened, Secrets, Speaker};
