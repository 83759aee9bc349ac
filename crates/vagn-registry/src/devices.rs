//! Keys of vehicles and gateways.

use vagn_seal::{Epoch, KeyId, Secret};

use crate::{PutError, Registry, RegistryError};

/// The one that a key was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceOf {
    /// One vehicle.
    Vehicle(Box<str>),
    /// A gateway: its name, and the beginning of the ids that it may speak for.
    Gateway {
        /// Name of the gateway.
        name: Box<str>,
        /// Beginning of the ids; empty for all.
        prefix: Box<str>,
    },
}

/// A key of a vehicle or gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Id of the key.
    pub key_id: KeyId,
    /// The one that it was made for.
    pub of: DeviceOf,
    /// Epochs that are open, with their secrets, the older one first.
    pub epochs: Vec<(Epoch, Secret)>,
    /// Time it was made, ms since 1970.
    pub added_ms: i64,
    /// Time it was revoked.
    pub revoked_ms: Option<i64>,
}

impl Registry {
    /// Lists all devices, the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn devices(&self) -> Result<Vec<Device>, RegistryError> {
        todo!("registry")
    }

    /// Ends the epochs of a device before this one: the first envelope of it was taken.
    ///
    /// # Errors
    /// The registry cannot be written.
    pub fn end_epochs_before(&self, _key_id: KeyId, _epoch: Epoch) -> Result<(), PutError> {
        todo!("registry")
    }
}
