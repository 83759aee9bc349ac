//! The bytes of an envelope.

use crate::{Epoch, KeyId};

/// First byte of an envelope; it begins nothing in msgpack.
pub const FIRST_BYTE: u8 = 0xc1;

/// Length of what is in clear before the sealed reports.
pub const HEAD_LEN: usize = 18;

/// Bytes by which an envelope is longer than the reports in it.
pub const OVERHEAD: usize = HEAD_LEN + TAG_LEN + 1;

/// Length of a tag.
pub(crate) const TAG_LEN: usize = 16;

/// Version of the format, in the high half of the second byte.
const VERSION: u8 = 1;

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
    /// Takes an envelope apart; `None` when it is none: too short for a report, another version, or no lane.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() <= OVERHEAD || bytes[0] != FIRST_BYTE || bytes[1] >> 4 != VERSION {
            return None;
        }
        let (head, rest) = bytes.split_first_chunk::<HEAD_LEN>()?;
        let (lane, sealed) = rest.split_last()?;
        Some(Self {
            epoch: Epoch::new(head[1] & 0x0f)?,
            key_id: KeyId(head[2..10].try_into().ok()?),
            sequence: u64::from_be_bytes(head[10..].try_into().ok()?),
            sealed,
            lane: Lane::from_byte(*lane)?,
        })
    }

    /// Returns what is in clear: the head and the lane byte.
    pub(crate) fn clear(&self) -> Clear {
        Clear::new(self.key_id, self.epoch, self.sequence, self.lane)
    }
}

impl Lane {
    /// Returns the byte that stands for it.
    pub fn byte(self) -> u8 {
        match self {
            Self::Call => 0xc3,
            Self::Ordinary => 0xc2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0xc3 => Some(Self::Call),
            0xc2 => Some(Self::Ordinary),
            _ => None,
        }
    }
}

/// The bytes of an envelope that are in clear; the tag covers them too.
pub(crate) struct Clear(pub(crate) [u8; HEAD_LEN + 1]);

impl Clear {
    pub(crate) fn new(key_id: KeyId, epoch: Epoch, sequence: u64, lane: Lane) -> Self {
        let mut bytes = [0; HEAD_LEN + 1];
        bytes[0] = FIRST_BYTE;
        bytes[1] = VERSION << 4 | epoch.get();
        bytes[2..10].copy_from_slice(&key_id.0);
        bytes[10..HEAD_LEN].copy_from_slice(&sequence.to_be_bytes());
        bytes[HEAD_LEN] = lane.byte();
        Self(bytes)
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.0[..HEAD_LEN]
    }

    pub(crate) fn lane_byte(&self) -> u8 {
        self.0[HEAD_LEN]
    }
}
