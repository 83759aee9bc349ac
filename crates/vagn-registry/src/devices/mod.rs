//! Keys of vehicles and gateways.
//!
//! A key is kept after it was revoked, so that what it seals is refused as revoked and not as unknown. A name has one key in
//! force; a second one, which it is about to replace, is open beside it after the last epoch only.

mod import;
mod json;
mod rotate;

use vagn_seal::{Epoch, KeyId, Secret};
use vagn_wire::VehicleId;

use crate::entry::Entry;
use crate::secret::random;
use crate::wrapping::Wrapping;
use crate::{Change, Kind, Object, PutError, Registry, RegistryError};
pub use import::{ImportRow, Imported};
pub(crate) use json::{active_name, has_secrets, rewrapped};
pub use rotate::Rotated;

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
    /// Epochs that are open, with their secrets, the older one first; at most two.
    pub epochs: Vec<(Epoch, Secret)>,
    /// Time it was made, ms since 1970.
    pub added_ms: i64,
    /// Key of the same name that this one replaces. It stays open until [`Registry::end_epochs_before`] is called for this one.
    pub replaces: Option<KeyId>,
    /// Another key replaces it; it is open until that one is used.
    pub is_replaced: bool,
    /// Time it was revoked; its secrets are gone.
    pub revoked_ms: Option<i64>,
}

impl DeviceOf {
    /// Returns the name: the vehicle's id, or the gateway's name. A name has one key in force.
    pub fn name(&self) -> &str {
        match self {
            Self::Vehicle(id) => id,
            Self::Gateway { name, .. } => name,
        }
    }

    fn check(&self) -> Result<(), PutError> {
        check_name(self.name())?;
        match self {
            Self::Gateway { prefix, .. } if !prefix.is_empty() => check_name(prefix),
            _ => Ok(()),
        }
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), PutError> {
    VehicleId::new(name).map(drop).map_err(|_| {
        PutError::Invalid(format!(
            "{name:?} is no vehicle id: it has 1 to 64 bytes and no control characters"
        ))
    })
}

impl Device {
    /// Makes a new key by chance.
    fn new(of: DeviceOf, epoch: Epoch, now_ms: i64) -> Self {
        Self {
            key_id: KeyId(random()),
            of,
            epochs: vec![(epoch, Secret(random()))],
            added_ms: now_ms,
            replaces: None,
            is_replaced: false,
            revoked_ms: None,
        }
    }

    /// Returns the newest epoch that is open, with its secret; `None` when the key is revoked.
    pub fn newest(&self) -> Option<&(Epoch, Secret)> {
        self.epochs.last()
    }
}

impl Entry for Device {
    const KIND: Kind = Kind::Device;

    fn key(&self) -> String {
        self.key_id.to_string()
    }

    fn to_json(&self, wrapping: Option<&Wrapping>) -> Vec<u8> {
        json::to_json(self, wrapping)
    }

    fn from_json(key: &str, object: &Object, wrapping: Option<&Wrapping>) -> Option<Self> {
        json::from_json(key, object, wrapping)
    }
}

impl Registry {
    /// Lists all devices, the revoked ones too.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn devices(&self) -> Result<Vec<Device>, RegistryError> {
        self.read_all()
    }

    /// Calls `take` with each device, the revoked ones too: one after the other, so that a million need no memory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn each_device(&self, mut take: impl FnMut(Device)) -> Result<(), RegistryError> {
        self.each(Kind::Device, |key, revision, value| {
            if let Some(device) = self.decode(key, &Object { value: value.to_vec(), revision }) {
                take(device);
            }
        })
    }

    /// Returns the device that a change of [`Kind::Device`] has written; `None` when it is gone or makes no sense.
    pub fn device_in(&self, change: &Change) -> Option<Device> {
        let value = change.value.clone().filter(|_| change.kind == Kind::Device)?;
        self.decode(&change.key, &Object { value, revision: change.revision })
    }

    /// Returns the device of a key id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn device(&self, key_id: KeyId) -> Result<Option<Device>, RegistryError> {
        Ok(self.read(&key_id.to_string())?.map(|(device, _)| device))
    }

    /// Returns the JSON of a device with its secrets as this registry keeps them.
    pub fn device_json(&self, device: &Device) -> Vec<u8> {
        self.encode(device)
    }

    /// Returns the key in force of a vehicle or gateway.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn device_of(&self, name: &str) -> Result<Option<Device>, RegistryError> {
        match self.key_of(Kind::Device, name)? {
            Some(key) => Ok(self.read(&key)?.map(|(device, _)| device)),
            None => Ok(None),
        }
    }

    /// Makes a key for a vehicle or gateway that has none.
    ///
    /// # Errors
    /// [`PutError::NameTaken`] when it has one; the registry cannot be written.
    pub fn add_device(&self, of: DeviceOf, now_ms: i64) -> Result<Device, PutError> {
        of.check()?;
        let device = Device::new(of, Epoch::FIRST, now_ms);
        self.add(&device)?;
        Ok(device)
    }

    /// Revokes the key in force of a vehicle or gateway, and those that it was to replace. Their secrets are removed.
    ///
    /// # Errors
    /// [`PutError::NotFound`] when it has none, [`PutError::Revoked`] when it has none any more; the registry cannot be written.
    pub fn revoke_device(&self, name: &str, now_ms: i64) -> Result<Device, PutError> {
        let key = self.key_in_force(name)?;
        // The one in force last: while it holds the name, those that a break has left can still be found and revoked.
        if let Some((device, _)) = self.read(&key)? {
            self.revoke_replaced(&device, now_ms)?;
        }
        self.revoke_key(&key, now_ms)
    }

    /// Returns the key in force of a vehicle or gateway.
    fn key_in_force(&self, name: &str) -> Result<Box<str>, PutError> {
        if let Some(key) = self.key_of(Kind::Device, name)? {
            return Ok(key);
        }
        // A look at all of them: names of revoked keys are in no table, and only a person who mistook a name waits for this.
        let mut last = None;
        self.each_device(|device| {
            if device.of.name() == name && device.revoked_ms > last.as_ref().map(|(revoked, _)| *revoked) {
                last = device.revoked_ms.map(|revoked| (revoked, device.key().into()));
            }
        })?;
        Err(match last {
            Some((_, key)) => PutError::Revoked { name: name.into(), key },
            None => PutError::NotFound { kind: Kind::Device, name: name.into() },
        })
    }

    pub(super) fn revoke_key(&self, key: &str, now_ms: i64) -> Result<Device, PutError> {
        self.update(key, |device: &mut Device| {
            let is_open = device.revoked_ms.is_none();
            if is_open {
                device.revoked_ms = Some(now_ms);
                device.epochs.clear();
            }
            is_open
        })
    }
}
