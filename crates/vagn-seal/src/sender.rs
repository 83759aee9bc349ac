//! The sender's side: a device that seals its reports and opens what the service answers.

use std::fmt;

use crate::cipher::{Direction, DirectionKey};
use crate::envelope::Clear;
use crate::{Envelope, Epoch, KeyId, Lane, Secret};

/// Key of a device, ready for use. Shows its id and epoch alone.
#[derive(Clone)]
pub struct SenderKey {
    key_id: KeyId,
    epoch: Epoch,
    up: DirectionKey,
    down: DirectionKey,
}

/// The answer was not sealed by the service for this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was not sealed for this key")]
pub struct AnswerRefused;

impl SenderKey {
    /// Derives the keys of an epoch.
    pub fn new(key_id: KeyId, epoch: Epoch, secret: &Secret) -> Self {
        let derive = |direction| DirectionKey::derive(key_id, epoch, secret, direction);
        Self { key_id, epoch, up: derive(Direction::Up), down: derive(Direction::Down) }
    }

    /// Returns the id of the key.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Appends an envelope with these reports, at least one, to `out`. No sequence may be used twice.
    pub fn seal(&self, sequence: u64, reports: &[u8], lane: Lane, out: &mut Vec<u8>) {
        put_envelope(&self.up, &Clear::new(self.key_id, self.epoch, sequence, lane), sequence, reports, out);
    }

    /// Opens an answer: its sequence, and its msgpack.
    ///
    /// # Errors
    /// It was not sealed for this key.
    pub fn open_answer(&self, datagram: &[u8]) -> Result<(u64, Vec<u8>), AnswerRefused> {
        let envelope = Envelope::parse(datagram).ok_or(AnswerRefused)?;
        if (envelope.key_id, envelope.epoch) != (self.key_id, self.epoch) {
            return Err(AnswerRefused);
        }
        let mut answer = Vec::new();
        let opened = self.down.open(envelope.sequence, &envelope.clear().0, envelope.sealed, &mut answer);
        if opened { Ok((envelope.sequence, answer)) } else { Err(AnswerRefused) }
    }
}

/// Appends a whole envelope to `out`.
pub(crate) fn put_envelope(
    key: &DirectionKey,
    clear: &Clear,
    sequence: u64,
    content: &[u8],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(clear.head());
    key.seal(sequence, &clear.0, content, out);
    out.push(clear.lane_byte());
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderKey")
            .field("key_id", &self.key_id)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}
