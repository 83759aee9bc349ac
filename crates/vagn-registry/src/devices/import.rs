//! Import of keys that were made elsewhere, a block in one transaction.

use vagn_seal::{Epoch, KeyId, Secret};

use super::{Device, DeviceOf, check_name};
use crate::{Kind, Put, PutError, Registry};

/// Attempts to write a block while others write the same keys.
const ATTEMPTS: usize = 8;

/// A key that was made elsewhere.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// The vehicle that it speaks for.
    pub vehicle_id: Box<str>,
    /// Id of the key.
    pub key_id: KeyId,
    /// Its secret, of the first epoch.
    pub secret: Secret,
}

/// Numbers of keys of a block: those that were written, and those that were passed over as they were there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Keys that are new.
    pub added: u64,
    /// Keys that were there, just the same.
    pub unchanged: u64,
    /// Keys that were rotated since: the secret of the row is the first of several.
    pub rotated: u64,
    /// Keys that were revoked since. They stay so.
    pub revoked: u64,
}

/// The key of a row, as the registry has it.
enum Found {
    Nothing,
    Same,
    Rotated,
    Revoked,
}

impl Registry {
    /// Imports a block of keys, all or none. Keys that are there already, for the same vehicle and with the same secret, are passed
    /// over, so that an import can be run again; so are those that were rotated or revoked since, whose first secret is gone.
    ///
    /// # Errors
    /// [`PutError::Exists`] when a key id is another vehicle's or has another secret, [`PutError::NameTaken`] when a vehicle has a
    /// key; the registry cannot be written.
    pub fn import_devices(&self, rows: &[ImportRow], now_ms: i64) -> Result<Imported, PutError> {
        rows.iter().try_for_each(|row| check_name(&row.vehicle_id))?;
        for _ in 1..ATTEMPTS {
            match self.import_once(rows, now_ms) {
                Err(PutError::Conflict(_)) => {}
                done => return done,
            }
        }
        self.import_once(rows, now_ms)
    }

    fn import_once(&self, rows: &[ImportRow], now_ms: i64) -> Result<Imported, PutError> {
        let keys: Vec<_> = rows.iter().map(|row| row.key_id.to_string()).collect();
        let found = self.get_all(Kind::Device, keys.iter().map(String::as_str))?;
        let mut new = Vec::with_capacity(rows.len());
        let mut imported = Imported::default();
        for ((row, key), found) in rows.iter().zip(keys).zip(found) {
            let device = found.and_then(|object| self.decode(&key, &object));
            match row.look(&key, device)? {
                Found::Nothing => new.push((key, self.encode(&row.to_device(now_ms)))),
                Found::Same => imported.unchanged += 1,
                Found::Rotated => imported.rotated += 1,
                Found::Revoked => imported.revoked += 1,
            }
        }
        // In the order of the file, so that each of its pages is written once.
        new.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(twice) = new.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(PutError::Exists { kind: Kind::Device, key: twice[0].0.as_str().into() });
        }
        let puts: Vec<_> = new
            .iter()
            .map(|(key, value)| Put { kind: Kind::Device, key, revision: 0, value: Some(value) })
            .collect();
        self.put_all(&puts)?;
        Ok(Imported { added: new.len() as u64, ..imported })
    }
}

impl ImportRow {
    /// Compares the row with the device that was found under its key, as far as that still has the secret.
    fn look(&self, key: &str, found: Option<Device>) -> Result<Found, PutError> {
        let Some(device) = found else { return Ok(Found::Nothing) };
        let first = device.epochs.iter().find(|(epoch, _)| *epoch == Epoch::FIRST);
        let is_same = matches!(&device.of, DeviceOf::Vehicle(id) if *id == self.vehicle_id)
            && first.is_none_or(|(_, secret)| *secret == self.secret);
        if !is_same {
            return Err(PutError::Exists { kind: Kind::Device, key: key.into() });
        }
        Ok(match device.newest() {
            None => Found::Revoked,
            Some((Epoch::FIRST, _)) => Found::Same,
            Some(_) => Found::Rotated,
        })
    }

    fn to_device(&self, now_ms: i64) -> Device {
        Device {
            key_id: self.key_id,
            of: DeviceOf::Vehicle(self.vehicle_id.clone()),
            epochs: vec![(Epoch::FIRST, self.secret.clone())],
            added_ms: now_ms,
            replaces: None,
            is_replaced: false,
            revoked_ms: None,
        }
    }
}
