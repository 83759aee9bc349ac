//! The form of alarms and answers on the way, in clear or sealed, and the reason that one cannot be sealed.

use thiserror::Error;

use crate::keys::KeyFileError;
use crate::sequences::SequenceError;

/// Reason why a report cannot be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// The key file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// There is no sequence to be had.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// No key speaks for the vehicle.
    #[error(
        "the key file has no key for {0}; `vagn device add` makes one, and --gateway one for many vehicles"
    )]
    NoKey(Box<str>),
    /// The report is none.
    #[error("what is to be sealed is no report: {0}")]
    NoReport(vagn_wire::Reject),
}

/// The form of alarms and answers on the way.
pub trait Wrapping {
    /// Returns the datagram of the alarm, for this one time.
    ///
    /// # Errors
    /// When it cannot be sealed.
    fn wrap(&mut self, report: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Returns the answer in a datagram; `None` when it is not one to be believed.
    fn unwrap(&self, datagram: &[u8]) -> Option<Vec<u8>>;
}

/// Alarms and answers as they are.
pub struct InClear;

impl Wrapping for InClear {
    fn wrap(&mut self, report: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok(report.to_vec())
    }

    fn unwrap(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        Some(datagram.to_vec())
    }
}
