//! Typed objects: their kind, key and JSON.

use crate::devices::active_name;
use crate::wrapping::Wrapping;
use crate::{Kind, Object, Put, PutError, Registry, RegistryError};

/// Attempts to change an object that others change at the same time. Each failure is the success of another writer.
const ATTEMPTS: usize = 64;

/// A typed object.
pub(crate) trait Entry: Sized {
    const KIND: Kind;

    /// Returns the key of the object.
    fn key(&self) -> String;

    /// Returns the JSON of the object, with its secrets wrapped.
    fn to_json(&self, wrapping: Option<&Wrapping>) -> Vec<u8>;

    /// Reads it; `None` when it makes no sense.
    fn from_json(key: &str, object: &Object, wrapping: Option<&Wrapping>) -> Option<Self>;
}

impl Registry {
    pub(crate) fn read<E: Entry>(&self, key: &str) -> Result<Option<(E, u64)>, RegistryError> {
        let object = self.get(E::KIND, key)?;
        Ok(object.and_then(|object| Some((self.decode(key, &object)?, object.revision))))
    }

    pub(crate) fn decode<E: Entry>(&self, key: &str, object: &Object) -> Option<E> {
        let entry = E::from_json(key, object, self.wrapping());
        if entry.is_none() {
            self.count_unreadable();
        }
        entry
    }

    /// Lists all objects of a type. One that makes no sense is passed over and counted.
    pub(crate) fn read_all<E: Entry>(&self) -> Result<Vec<E>, RegistryError> {
        let mut entries = Vec::new();
        self.each(E::KIND, |key, revision, value| {
            entries.extend(self.decode(key, &Object { value: value.to_vec(), revision }));
        })?;
        Ok(entries)
    }

    pub(crate) fn encode<E: Entry>(&self, entry: &E) -> Vec<u8> {
        entry.to_json(self.wrapping())
    }

    /// Writes a typed object that must not be there.
    pub(crate) fn add<E: Entry>(&self, entry: &E) -> Result<u64, PutError> {
        let key = entry.key();
        match self.put_if(E::KIND, &key, 0, Some(&self.encode(entry))) {
            Err(PutError::Conflict(_)) => Err(PutError::Exists { kind: E::KIND, key: key.into() }),
            written => written,
        }
    }

    /// Changes an object, also while others change it. `change` returns false when there is nothing to do.
    pub(crate) fn update<E: Entry>(
        &self,
        key: &str,
        mut change: impl FnMut(&mut E) -> bool,
    ) -> Result<E, PutError> {
        let mut revision = 0;
        for _ in 0..ATTEMPTS {
            let found = self.read::<E>(key)?;
            let (mut entry, at) =
                found.ok_or_else(|| PutError::NotFound { kind: E::KIND, name: key.into() })?;
            if !change(&mut entry) {
                return Ok(entry);
            }
            match self.put_if(E::KIND, key, at, Some(&self.encode(&entry))) {
                Err(PutError::Conflict(other)) => revision = other,
                written => return written.map(|_| entry),
            }
        }
        Err(PutError::Conflict(revision))
    }

    /// Puts an object as it is, over the revision that it has.
    pub(crate) fn overwrite(&self, kind: Kind, key: &str, value: Option<&[u8]>) -> Result<u64, PutError> {
        let mut found = 0;
        for _ in 0..ATTEMPTS {
            let revision = self.get(kind, key)?.map_or(0, |object| object.revision);
            match self.put_all(&[Put { kind, key, revision, value }]) {
                Err(PutError::Conflict(other)) => found = other,
                written => return written,
            }
        }
        Err(PutError::Conflict(found))
    }
}

/// Returns the name that an object holds while it is in force. Keys of tokens are their names, so these need no other.
pub(crate) fn name_in_force(kind: Kind, value: &[u8]) -> Option<Box<str>> {
    (kind == Kind::Device).then(|| active_name(value)).flatten()
}
