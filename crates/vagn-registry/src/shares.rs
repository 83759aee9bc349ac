//! Links to one vehicle.

use serde::{Deserialize, Serialize};

use crate::devices::check_name;
use crate::entry::Entry;
use crate::secret::{digest_from_hex, hex};
use crate::wrapping::Wrapping;
use crate::{Change, Digest, Kind, Object, PutError, Registry, RegistryError};

/// A link to one vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Digest of the secret in the link.
    pub digest: Digest,
    /// Number by which it is listed and revoked: the revision of the change that made it.
    pub number: u64,
    /// The vehicle.
    pub vehicle_id: Box<str>,
    /// Name of the principal that made it.
    pub by: Box<str>,
    /// Time it was made, ms since 1970.
    pub added_ms: i64,
    /// Its end, ms since 1970.
    pub expires_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct ShareJson {
    vehicle_id: Box<str>,
    by: Box<str>,
    added_ms: i64,
    expires_ms: i64,
}

impl Entry for Share {
    const KIND: Kind = Kind::Share;

    fn key(&self) -> String {
        hex(&self.digest)
    }

    fn to_json(&self, _: Option<&Wrapping>) -> Vec<u8> {
        let json = ShareJson {
            vehicle_id: self.vehicle_id.clone(),
            by: self.by.clone(),
            added_ms: self.added_ms,
            expires_ms: self.expires_ms,
        };
        serde_json::to_vec(&json).expect("numbers and texts can always be written")
    }

    fn from_json(key: &str, object: &Object, _: Option<&Wrapping>) -> Option<Self> {
        let json: ShareJson = serde_json::from_slice(&object.value).ok()?;
        Some(Self {
            digest: digest_from_hex(key)?,
            number: object.revision,
            vehicle_id: json.vehicle_id,
            by: json.by,
            added_ms: json.added_ms,
            expires_ms: json.expires_ms,
        })
    }
}

impl Registry {
    /// Lists all shares, those that have ended but were not removed yet too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn shares(&self) -> Result<Vec<Share>, RegistryError> {
        self.read_all()
    }

    /// Returns the share that a change of [`Kind::Share`] has written; `None` when it is gone or makes no sense.
    pub fn share_in(&self, change: &Change) -> Option<Share> {
        let value = change.value.clone().filter(|_| change.kind == Kind::Share)?;
        self.decode(&change.key, &Object { value, revision: change.revision })
    }

    /// Adds a share; its number is chosen here, whatever it was.
    ///
    /// # Errors
    /// The registry cannot be written, or is full.
    pub fn add_share(&self, share: Share) -> Result<Share, PutError> {
        check_name(&share.vehicle_id)?;
        let number = self.add(&share)?;
        Ok(Share { number, ..share })
    }

    /// Revokes a share. Returns false when there is none of this number.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn revoke_share(&self, number: u64) -> Result<bool, PutError> {
        let shares = self.shares()?;
        let Some(share) = shares.iter().find(|share| share.number == number) else { return Ok(false) };
        self.overwrite(Kind::Share, &share.key(), None)?;
        Ok(true)
    }
}
