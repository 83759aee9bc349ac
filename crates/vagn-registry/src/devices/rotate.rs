//! Epochs: a new secret under the same key id, and the end of the old one.

use vagn_seal::{Epoch, KeyId, Secret};

use super::Device;
use crate::entry::Entry;
use crate::secret::random;
use crate::{Kind, Put, PutError, Registry};

/// A key after its rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The key that is new, or has a new epoch.
    pub device: Device,
    /// Epoch of an earlier rotation that no envelope had used; its secret is refused from now on.
    pub ended: Option<Epoch>,
    /// The last epoch was used up, so the key id is a new one.
    pub is_new_key: bool,
}

impl Registry {
    /// Gives the key of a vehicle or gateway a new secret under the next epoch. The one in use stays open until the first envelope
    /// of the new one is taken. After the last epoch there is a new key id.
    ///
    /// # Errors
    /// [`PutError::NotFound`] when it has no key, [`PutError::Revoked`] when it has none any more; the registry cannot be written.
    pub fn rotate_device(&self, name: &str, now_ms: i64) -> Result<Rotated, PutError> {
        let key = self.key_in_force(name)?;
        let (device, revision) = self.read::<Device>(&key)?.ok_or_else(|| not_found(name))?;
        let newest = device.newest().ok_or_else(|| not_found(name))?.0;
        match newest.next() {
            Some(next) => self.add_epoch(device, revision, next),
            None => self.replace_key(device, revision, now_ms),
        }
    }

    fn add_epoch(&self, mut device: Device, revision: u64, next: Epoch) -> Result<Rotated, PutError> {
        // Of two open epochs the older one is what the device uses now: to end that one would lock it out.
        let ended = (device.epochs.len() > 1).then(|| device.epochs.pop()).flatten();
        device.epochs.push((next, Secret(random())));
        self.put_if(Kind::Device, &device.key(), revision, Some(&self.encode(&device)))?;
        Ok(Rotated { device, ended: ended.map(|(epoch, _)| epoch), is_new_key: false })
    }

    fn replace_key(&self, mut old: Device, revision: u64, now_ms: i64) -> Result<Rotated, PutError> {
        let mut device = Device::new(old.of.clone(), Epoch::FIRST, now_ms);
        device.replaces = Some(old.key_id);
        old.is_replaced = true;
        let old_key = old.key();
        let old_json = self.encode(&old);
        let new_key = device.key();
        let new_json = self.encode(&device);
        let replaced = Put { kind: Kind::Device, key: &old_key, revision, value: Some(&old_json) };
        let added = Put { kind: Kind::Device, key: &new_key, revision: 0, value: Some(&new_json) };
        // The old key gives the name up before the new one takes it.
        self.put_all(&[replaced, added])?;
        Ok(Rotated { device, ended: None, is_new_key: true })
    }

    /// Ends what a device used before this epoch, as the first envelope of it was taken: older epochs of the key, and the keys that
    /// it replaces. Does nothing when there is nothing to end.
    ///
    /// # Errors
    /// [`PutError::NotFound`] when there is no such key; the registry cannot be written.
    pub fn end_epochs_before(&self, key_id: KeyId, epoch: Epoch, now_ms: i64) -> Result<(), PutError> {
        let device = self.update(&key_id.to_string(), |device: &mut Device| {
            let before = device.epochs.len();
            device.epochs.retain(|(open, _)| *open >= epoch);
            before != device.epochs.len()
        })?;
        self.revoke_replaced(&device, now_ms)
    }

    /// Revokes the key that this one replaces, and the one that that was to replace, and so on: none of them was used if it is open.
    pub(super) fn revoke_replaced(&self, device: &Device, now_ms: i64) -> Result<(), PutError> {
        let mut chain = Vec::new();
        let mut replaced = device.replaces;
        while let Some(key_id) = replaced {
            let old = self.device(key_id)?.filter(|old| old.revoked_ms.is_none());
            replaced = old.as_ref().and_then(|old| old.replaces);
            chain.extend(old);
        }
        // The oldest first: so one that is revoked has none before it that is open, after a break as well.
        for old in chain.iter().rev() {
            self.revoke_key(&old.key(), now_ms)?;
        }
        Ok(())
    }
}

fn not_found(name: &str) -> PutError {
    PutError::NotFound { kind: Kind::Device, name: name.into() }
}
