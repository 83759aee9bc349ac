//! Links to one vehicle.

use crate::{Digest, Registry, RegistryError};

/// A link to one vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Digest of the secret in the link.
    pub digest: Digest,
    /// Number by which it is listed and revoked.
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

impl Registry {
    /// Lists all shares that have not ended.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn shares(&self) -> Result<Vec<Share>, RegistryError> {
        todo!("registry")
    }

    /// Adds a share; its number is chosen here.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn add_share(&self, _share: Share) -> Result<Share, RegistryError> {
        todo!("registry")
    }

    /// Revokes a share; false when there is none of this number.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn revoke_share(&self, _number: u64) -> Result<bool, RegistryError> {
        todo!("registry")
    }
}
