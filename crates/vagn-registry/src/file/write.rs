//! Changes objects: all puts of a transaction, or none.

use redb::{Database, ReadableTable};

use super::tables::{REVISION, Tables, count_key};
use crate::entry::name_in_force;
use crate::object::{KEY_MAX, VALUE_MAX};
use crate::registry::Put;
use crate::{Change, PutError};

/// Writes these puts, and returns the changes when they are on disk. Their revisions follow the last one of the file.
pub(crate) fn write(db: &Database, puts: &[Put<'_>]) -> Result<Vec<Change>, PutError> {
    puts.iter().try_for_each(check)?;
    let txn = db.begin_write()?;
    let mut tables = Tables::open(&txn)?;
    let mut revision = tables.number(REVISION)?;
    let mut changes = Vec::with_capacity(puts.len());
    for put in puts {
        if tables.put(put, revision + 1)? {
            revision += 1;
            changes.push(Change {
                number: revision,
                revision,
                kind: put.kind,
                key: put.key.into(),
                value: put.value.map(<[u8]>::to_vec),
            });
        }
    }
    for (key, count) in std::mem::take(&mut tables.counts) {
        tables.meta.insert(key, count)?;
    }
    tables.meta.insert(REVISION, revision)?;
    drop(tables);
    txn.commit()?;
    Ok(changes)
}

/// Writes a number of the registry itself.
pub(crate) fn set_number(db: &Database, key: &str, number: u64) -> Result<(), PutError> {
    let txn = db.begin_write()?;
    Tables::open(&txn)?.meta.insert(key, number)?;
    txn.commit()?;
    Ok(())
}

pub(super) fn check(put: &Put<'_>) -> Result<(), PutError> {
    if put.key.is_empty() || put.key.len() > KEY_MAX {
        return Err(PutError::Invalid(format!("a key has 1 to {KEY_MAX} bytes")));
    }
    if put.value.is_some_and(|value| value.len() > VALUE_MAX) {
        return Err(PutError::Invalid(format!("a value has at most {VALUE_MAX} bytes")));
    }
    Ok(())
}

impl Tables<'_> {
    /// Writes one object under a revision. Returns false when it is to be removed and is not there.
    pub(super) fn put(&mut self, put: &Put<'_>, revision: u64) -> Result<bool, PutError> {
        let at = (put.kind.number(), put.key);
        let before = self.objects.get(at)?.map(|object| {
            let (revision, value) = object.value();
            (revision, name_in_force(put.kind, value))
        });
        let found = before.as_ref().map_or(0, |(revision, _)| *revision);
        if found != put.revision {
            return Err(PutError::Conflict(found));
        }
        let name_before = before.as_ref().and_then(|(_, name)| name.clone());
        self.rename(put, name_before, put.value.and_then(|value| name_in_force(put.kind, value)))?;
        match put.value {
            Some(value) => {
                self.objects.insert(at, (revision, value))?;
            }
            None => {
                self.objects.remove(at)?;
            }
        }
        self.count(put, before.is_some())?;
        Ok(before.is_some() || put.value.is_some())
    }

    /// Keeps names unique. It is done in the transaction that writes the object: else two writers could both find a name free.
    fn rename(
        &mut self,
        put: &Put<'_>,
        before: Option<Box<str>>,
        now: Option<Box<str>>,
    ) -> Result<(), PutError> {
        if before == now {
            return Ok(());
        }
        let kind = put.kind.number();
        if let Some(name) = now {
            let taken = self.names.get((kind, &*name))?.map(|key| Box::from(key.value()));
            if let Some(key) = taken {
                return Err(PutError::NameTaken { name, key });
            }
            self.names.insert((kind, &*name), put.key)?;
        }
        if let Some(name) = before {
            self.names.remove((kind, &*name))?;
        }
        Ok(())
    }

    fn count(&mut self, put: &Put<'_>, was_there: bool) -> Result<(), PutError> {
        let key = count_key(put.kind);
        let count = match self.counts.get(key) {
            Some(count) => *count,
            None => self.number(key)?,
        };
        let now = match (was_there, put.value.is_some()) {
            (false, true) if count >= put.kind.most() => return Err(PutError::Full { kind: put.kind }),
            (false, true) => count + 1,
            (true, false) => count.saturating_sub(1),
            _ => return Ok(()),
        };
        self.counts.insert(key, now);
        Ok(())
    }
}
