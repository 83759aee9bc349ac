//! The bytes of an envelope.

use crate::{Epoch, KeyId};

/// First byte of an envelope; it begins nothing in msgpack.
pub const FIRST_BYTE: u8 = 0xc1;

/// Length of what is in clear before the sealed reports.
pub const HEAD_LEN: usize = 18;

/// Bytes by which an envelope is longer than the reports in it.
pub const OVERHEAD: usize = HEAD_LEN + 16 + 1;

/// The last byte of an envelope: the kernel steers by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A report in it calls for help.
    Call,
    /// None does.
    Ordinary,
}

/// An envelope as it stands, before any cryptography.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Epoch of the key.
    pub epoch: Epoch,
    /// Id of the key.
    pub key_id: KeyId,
    /// Sequence, strictly rising per key.
    pub sequence: u64,
    /// Sealed reports and their tag.
    pub sealed: &'a [u8],
    /// Lane.
    pub lane: Lane,
}

impl<'a> Envelope<'a> {
    /// Takes an envelope apart; `None` when it is none: too short, another version, or no lane.
    pub fn parse(_bytes: &'a [u8]) -> Option<Self> {
        todo!("seal")
    }
}
