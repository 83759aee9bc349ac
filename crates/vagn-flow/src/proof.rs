//! What a report has to prove, by mode; the seal that it was proved by; and the reasons for which a proof is missing.

use serde::{Deserialize, Serialize};
use vagn_seal::{Epoch, KeyId, NotOpened};

/// The setting `auth.devices`: what an open report must prove. Envelopes are checked in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum DeviceMode {
    /// Nothing.
    #[default]
    Open,
    /// A vehicle that has a key may only speak sealed.
    Mixed,
    /// Every report is sealed, or comes over HTTPS with a token and from a vehicle without a key.
    Required,
}

impl DeviceMode {
    pub(crate) fn of(number: u8) -> Self {
        [Self::Open, Self::Mixed].into_iter().find(|mode| *mode as u8 == number).unwrap_or(Self::Required)
    }
}

/// Proof that came with an open report, apart from what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// None.
    None,
    /// A token that may send reports.
    Token,
}

/// Reason for which a report is not believed. The list is closed: each entry is a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoProof {
    /// It came open, and would have to be sealed.
    NoSeal,
    /// No key has this id, or not in this epoch.
    UnknownKey,
    /// The key was revoked.
    Revoked,
    /// The tag is wrong.
    BadTag,
    /// The key may not speak for this vehicle.
    WrongVehicle,
}

impl NoProof {
    /// Every reason, in the order of declaration.
    pub const ALL: [Self; 5] =
        [Self::NoSeal, Self::UnknownKey, Self::Revoked, Self::BadTag, Self::WrongVehicle];

    /// Returns the label under which it is counted, in snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSeal => "no_seal",
            Self::UnknownKey => "unknown_key",
            Self::Revoked => "revoked",
            Self::BadTag => "bad_tag",
            Self::WrongVehicle => "wrong_vehicle",
        }
    }

    /// Returns what is wrong, for the sender.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::NoSeal => "the report must be sealed with the key of its vehicle",
            Self::UnknownKey => "no key has this id and epoch",
            Self::Revoked => "the key was revoked",
            Self::BadTag => "the envelope was not sealed with this key, or was changed on the way",
            Self::WrongVehicle => "the key may not speak for this vehicle",
        }
    }
}

impl From<NotOpened> for NoProof {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::UnknownKey => Self::UnknownKey,
            NotOpened::Revoked => Self::Revoked,
            NotOpened::BadTag => Self::BadTag,
        }
    }
}

/// Seal of a report, as every subscriber of the topic sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealMark {
    /// Id of the key.
    pub key_id: KeyId,
    /// Epoch of the key.
    pub epoch: Epoch,
    /// Sequence of the envelope: the number of each report in it.
    pub sequence: u64,
    /// An earlier report of this vehicle in the same envelope is judged by the store.
    pub more: bool,
    /// Number of the envelope among those with calls, in this run; 0 for one without. An envelope that comes again has another.
    pub call_number: u64,
    /// A gateway sent it: its position counts only with a time of its own.
    pub needs_time: bool,
}
