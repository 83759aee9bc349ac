//! The sender's side: a device that seals its reports and opens what the service answers.

use crate::{Epoch, KeyId, Lane, Secret};

/// Key of a device, ready for use.
#[derive(Clone)]
pub struct SenderKey {}

/// The answer was not sealed by the service for this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was not sealed for this key")]
pub struct AnswerRefused;

impl SenderKey {
    /// Derives the keys of an epoch.
    pub fn new(_key_id: KeyId, _epoch: Epoch, _secret: &Secret) -> Self {
        todo!("seal")
    }

    /// Appends an envelope with these reports to `out`.
    pub fn seal(&self, _sequence: u64, _reports: &[u8], _lane: Lane, _out: &mut Vec<u8>) {
        todo!("seal")
    }

    /// Opens an answer: its sequence, and its msgpack.
    ///
    /// # Errors
    /// It was not sealed for this key.
    pub fn open_answer(&self, _datagram: &[u8]) -> Result<(u64, Vec<u8>), AnswerRefused> {
        todo!("seal")
    }
}
