//! A file that is the copy of a bucket, which all nodes of a cluster write and follow.
//!
//! Objects are taken as they come. A copy that is made anew goes over the old one, and what has not come is removed at its end: so there is
//! never less than was there, and a crash in between leaves a copy that is begun again.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use redb::{Database, ReadableTable};

use super::tables::{COMPARED, COPYING, INCARNATION, REVISION, SEQUENCE, Tables, count_key};
use super::write;
use crate::entry::name_in_force;
use crate::registry::Put;
use crate::shared::Arrived;
use crate::{Change, Kind, PutError, RegistryError};

/// Keys that came while a copy is made anew: 128 bits of each, so that a million need some 30 MB.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    keys: HashSet<u128>,
    by: [RandomState; 2],
}

impl Seen {
    fn mark(&self, kind: u8, key: &str) -> u128 {
        let [one, two] = &self.by;
        u128::from(one.hash_one((kind, key))) << 64 | u128::from(two.hash_one((kind, key)))
    }

    pub(crate) fn add(&mut self, kind: Kind, key: &str) {
        self.keys.insert(self.mark(kind.number(), key));
    }

    pub(crate) fn remove(&mut self, kind: Kind, key: &str) {
        self.keys.remove(&self.mark(kind.number(), key));
    }

    fn has(&self, kind: u8, key: &str) -> bool {
        self.keys.contains(&self.mark(kind, key))
    }
}

/// Changes of a transaction, to be told to watchers.
pub(crate) struct Told {
    pub(crate) changes: Vec<Change>,
    /// Number of the last change of the registry.
    pub(crate) last: u64,
}

/// Judges puts by the copy as it is, and changes nothing. Returns those that change something, and the sequence that the copy has.
pub(crate) fn plan<'a>(db: &Database, puts: &[Put<'a>]) -> Result<(u64, Vec<Put<'a>>), PutError> {
    puts.iter().try_for_each(write::check)?;
    let txn = db.begin_write()?;
    let mut tables = Tables::open(&txn)?;
    let after = tables.number(SEQUENCE)?;
    let mut changing = Vec::with_capacity(puts.len());
    for (put, revision) in puts.iter().zip(after + 1..) {
        if tables.put(put, revision)? {
            changing.push(*put);
        }
    }
    drop(tables);
    txn.abort()?;
    Ok((after, changing))
}

/// Takes objects that came from the bucket, up to this sequence.
pub(crate) fn take(db: &Database, arrived: &[Arrived], through: u64) -> Result<Told, RegistryError> {
    in_tables(db, |tables, told| {
        arrived.iter().try_for_each(|one| tables.take(one, told))?;
        tables.meta.insert(SEQUENCE, through)?;
        Ok(())
    })
}

/// Notes that the copy is made anew, from now until [`finish_copy`].
pub(crate) fn begin_copy(db: &Database) -> Result<(), RegistryError> {
    in_tables(db, |tables, _| {
        tables.meta.insert(COPYING, 1)?;
        tables.meta.insert(SEQUENCE, 0)?;
        Ok(())
    })
    .map(drop)
}

/// Notes that all of this incarnation has come up to this sequence, and removes what has not come.
pub(crate) fn finish_copy(
    db: &Database,
    (incarnation, through): (u64, u64),
    seen: &Seen,
    now_ms: i64,
) -> Result<Told, RegistryError> {
    in_tables(db, |tables, told| {
        let mut gone = Vec::new();
        for row in tables.objects.iter()? {
            let (at, _) = row?;
            let (kind, key) = at.value();
            if !seen.has(kind, key) {
                gone.push((kind, Box::<str>::from(key)));
            }
        }
        for (number, key) in gone {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.number() == number) else { continue };
            tables.take(&Arrived { sequence: through, kind, key, value: None }, told)?;
        }
        tables.meta.insert(COPYING, 0)?;
        tables.meta.insert(INCARNATION, incarnation)?;
        tables.meta.insert(SEQUENCE, through)?;
        tables.meta.insert(COMPARED, now_ms.unsigned_abs())?;
        Ok(())
    })
}

/// Notes the time of a comparison.
pub(crate) fn note_compared(db: &Database, now_ms: i64) -> Result<(), RegistryError> {
    in_tables(db, |tables, _| {
        tables.meta.insert(COMPARED, now_ms.unsigned_abs())?;
        Ok(())
    })
    .map(drop)
}

/// Returns an empty set of keys.
pub(crate) fn seen() -> Seen {
    Seen::default()
}

fn in_tables(
    db: &Database,
    deed: impl FnOnce(&mut Tables<'_>, &mut Told) -> Result<(), RegistryError>,
) -> Result<Told, RegistryError> {
    let txn = db.begin_write()?;
    let mut tables = Tables::open(&txn)?;
    let mut told = Told { changes: Vec::new(), last: tables.number(REVISION)? };
    deed(&mut tables, &mut told)?;
    for (key, count) in std::mem::take(&mut tables.counts) {
        tables.meta.insert(key, count)?;
    }
    tables.meta.insert(REVISION, told.last)?;
    drop(tables);
    txn.commit()?;
    Ok(told)
}

impl Tables<'_> {
    /// Takes one object as it is: it was judged by its writer.
    fn take(&mut self, arrived: &Arrived, told: &mut Told) -> Result<(), RegistryError> {
        let Arrived { sequence, kind, key, value } = arrived;
        let at = (kind.number(), &**key);
        let before = self.objects.get(at)?.map(|object| {
            let (revision, before) = object.value();
            (revision == *sequence && value.as_deref() == Some(before), name_in_force(*kind, before))
        });
        if matches!((&before, value), (Some((true, _)), _) | (None, None)) {
            return Ok(());
        }
        if let Some((_, Some(name))) = &before {
            // Another key may have it meanwhile.
            let holder = self.names.get((kind.number(), &**name))?.map(|key| Box::<str>::from(key.value()));
            if holder.as_ref() == Some(key) {
                self.names.remove((kind.number(), &**name))?;
            }
        }
        match value {
            Some(value) => {
                if let Some(name) = name_in_force(*kind, value) {
                    self.names.insert((kind.number(), &*name), &**key)?;
                }
                self.objects.insert(at, (*sequence, value.as_slice()))?;
            }
            None => {
                self.objects.remove(at)?;
            }
        }
        self.recount(*kind, before.is_some(), value.is_some())?;
        told.last += 1;
        told.changes.push(Change {
            number: told.last,
            revision: *sequence,
            kind: *kind,
            key: key.clone(),
            value: value.clone(),
        });
        Ok(())
    }

    fn recount(&mut self, kind: Kind, was_there: bool, is_there: bool) -> Result<(), redb::StorageError> {
        let key = count_key(kind);
        let count = match self.counts.get(key) {
            Some(count) => *count,
            None => self.number(key)?,
        };
        let count = match (was_there, is_there) {
            (false, true) => count + 1,
            (true, false) => count.saturating_sub(1),
            _ => count,
        };
        self.counts.insert(key, count);
        Ok(())
    }
}
