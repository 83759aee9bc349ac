//! Store of the alarms that a door keeps until the trail has them: a file of its own, since it is written while the incident store hangs, and
//! stays where that store is replaced by a copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, TableDefinition,
};
use vagn_cluster::trail::{AlarmId, KeptAlarm};

use crate::disk::reserve::ReservedFile;
use crate::disk::watched::Watched;
use crate::office::alarm_form::AlarmForm;

/// Name of the file in the folder of the desk.
const FILE: &str = "kept.redb";

/// Disk space set aside, in bytes: some 8 000 alarms.
const RESERVED: u64 = 8 << 20;

/// Memory for pages, in bytes.
const CACHE: usize = 4 << 20;

/// Most alarms that are kept.
const ALARMS_MAX: u64 = 65_536;

/// Alarms, as they were given and with the notes of calls.
const KEPT: TableDefinition<'_, u128, (&[u8], &[u8])> = TableDefinition::new("kept");

/// A change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// An alarm is kept, in place of what was kept of it. Its note stays.
    Keep { alarm: AlarmId, bytes: Vec<u8> },
    /// Something came of the calls about an alarm that is kept.
    Note { alarm: AlarmId, note: Vec<u8> },
    /// The trail has an alarm with these bytes: it is kept no more if these tell all that is kept.
    LetGo { alarm: AlarmId, bytes: Vec<u8> },
    /// An alarm is kept under another id from now on, without its note: a target has accepted a call about the incident of the former id, and
    /// knows nothing of the new one.
    Rename { alarm: AlarmId, into: AlarmId },
}

/// Reason for which nothing can be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// The file cannot be opened.
    #[error("alarms cannot be kept on disk: {FILE} cannot be opened: {0}")]
    Open(String),
    /// An earlier life of the writer has not come back from the disk.
    #[error("alarms cannot be kept on disk: it does not answer")]
    Busy,
    /// The disk would not.
    #[error("alarms cannot be kept on disk: {0}")]
    Failed(#[from] redb::Error),
}

/// Alarms on disk.
#[derive(Debug)]
pub(crate) struct KeptStore {
    db: Database,
    sync_failed: Arc<AtomicBool>,
}

/// What a change came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Alarms that found no room, with what they were given as.
    pub(crate) no_room: Vec<(AlarmId, Vec<u8>)>,
    /// Alarms that are kept now.
    pub(crate) count: u64,
}

impl KeptStore {
    /// Opens the file in a folder, or makes it.
    pub(crate) fn open(folder: &Path) -> Result<Self, KeptError> {
        let path = folder.join(FILE);
        let file = ReservedFile::open(&path, RESERVED).map_err(|err| KeptError::Open(err.to_string()))?;
        Self::on(file)
    }

    pub(crate) fn on(storage: impl StorageBackend) -> Result<Self, KeptError> {
        let (storage, sync_failed) = Watched::new(storage);
        let opened = Database::builder().set_cache_size(CACHE).create_with_backend(storage);
        let db = opened.map_err(|err| KeptError::Open(err.to_string()))?;
        let make = || -> Result<(), redb::Error> {
            let txn = db.begin_write()?;
            txn.open_table(KEPT)?;
            Ok(txn.commit()?)
        };
        make()?;
        Ok(Self { db, sync_failed })
    }

    /// Returns true once a sync has failed: only a new process can trust the file again.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }

    /// Makes changes in their order, all or none, and on disk when it returns.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<Changed, KeptError> {
        // One that hangs in a sync must not take this thread as well.
        let txn = match self.db.try_begin_write() {
            Err(redb::TransactionError::WouldBlock) => return Err(KeptError::Busy),
            begun => begun.map_err(redb::Error::from)?,
        };
        Ok(write(txn, changes)?)
    }

    /// Returns up to `max` alarms behind `after`, by rising id, and whether there are no more behind the last of them.
    pub(crate) fn read(
        &self,
        after: Option<AlarmId>,
        max: usize,
    ) -> Result<(Vec<KeptAlarm>, bool), KeptError> {
        let read = || -> Result<(Vec<KeptAlarm>, bool), redb::Error> {
            let kept = self.db.begin_read()?.open_table(KEPT)?;
            let from = match after.map(|after| after.0.checked_add(1)) {
                None => 0,
                Some(Some(from)) => from,
                Some(None) => return Ok((Vec::new(), true)),
            };
            let mut alarms = Vec::new();
            for row in kept.range(from..)? {
                if alarms.len() >= max {
                    return Ok((alarms, false));
                }
                let (alarm, row) = row?;
                let (bytes, note) = row.value();
                alarms.push(KeptAlarm {
                    alarm: AlarmId(alarm.value()),
                    bytes: bytes.to_vec(),
                    note: note.to_vec(),
                });
            }
            Ok((alarms, true))
        };
        Ok(read()?)
    }

    /// Counts the alarms.
    pub(crate) fn count(&self) -> u64 {
        let count = || -> Result<u64, redb::Error> { Ok(self.db.begin_read()?.open_table(KEPT)?.len()?) };
        count().unwrap_or(0)
    }
}

/// Makes changes and commits them.
fn write(txn: redb::WriteTransaction, changes: &[Change]) -> Result<Changed, redb::Error> {
    let mut changed = Changed::default();
    {
        let mut kept = txn.open_table(KEPT)?;
        let read = |row: Option<redb::AccessGuard<'_, (&[u8], &[u8])>>| {
            row.map(|row| (row.value().0.to_vec(), row.value().1.to_vec()))
        };
        for change in changes {
            match change {
                Change::Keep { alarm, bytes } => {
                    let was = read(kept.get(alarm.0)?);
                    if was.is_none() && kept.len()? >= ALARMS_MAX {
                        changed.no_room.push((*alarm, bytes.clone()));
                        continue;
                    }
                    let note = was.map(|(_, note)| note).unwrap_or_default();
                    kept.insert(alarm.0, (bytes.as_slice(), note.as_slice()))?;
                }
                Change::Note { alarm, note } => {
                    let was = read(kept.get(alarm.0)?);
                    if let Some((bytes, _)) = was {
                        kept.insert(alarm.0, (bytes.as_slice(), note.as_slice()))?;
                    }
                }
                Change::LetGo { alarm, bytes } => {
                    let was = read(kept.get(alarm.0)?);
                    if was.is_some_and(|(kept, _)| is_told_by(&kept, bytes)) {
                        kept.remove(alarm.0)?;
                    }
                }
                Change::Rename { alarm, into } => {
                    let was = read(kept.remove(alarm.0)?);
                    if let Some((bytes, _)) = was {
                        kept.insert(into.0, (bytes.as_slice(), b"".as_slice()))?;
                    }
                }
            }
        }
        changed.count = kept.len()?;
    }
    txn.commit()?;
    Ok(changed)
}

/// Returns true when all that is kept of an alarm is told by these bytes: they are the same, or have more of one sitting.
fn is_told_by(kept: &[u8], bytes: &[u8]) -> bool {
    let forms = || Some((AlarmForm::from_bytes(kept).ok()?, AlarmForm::from_bytes(bytes).ok()?));
    let has_more =
        |(kept, told): (AlarmForm, AlarmForm)| kept.sitting == told.sitting && kept.reports <= told.reports;
    kept == bytes || forms().is_some_and(has_more)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::disk::forgetful::Forgetful;

    /// Alarms with their notes.
    type Rows = BTreeMap<u128, (Vec<u8>, Vec<u8>)>;

    fn keep(alarm: u128, bytes: &[u8]) -> Change {
        Change::Keep { alarm: AlarmId(alarm), bytes: bytes.to_vec() }
    }

    fn all(store: &KeptStore) -> Rows {
        let (alarms, is_end) = store.read(None, usize::MAX).unwrap();
        assert!(is_end);
        alarms.into_iter().map(|kept| (kept.alarm.0, (kept.bytes, kept.note))).collect()
    }

    #[test]
    fn keeps_the_newest_of_an_alarm_until_just_that_is_let_go() {
        let store = KeptStore::on(redb::backends::InMemoryBackend::new()).unwrap();
        let note = Change::Note { alarm: AlarmId(1), note: b"county".to_vec() };
        let let_go = |bytes: &[u8]| Change::LetGo { alarm: AlarmId(1), bytes: bytes.to_vec() };
        store.change(&[keep(1, b"a"), note, keep(1, b"b"), let_go(b"a")]).unwrap();
        assert_eq!(all(&store), BTreeMap::from([(1, (b"b".to_vec(), b"county".to_vec()))]));
        store.change(&[Change::Rename { alarm: AlarmId(1), into: AlarmId(9) }]).unwrap();
        assert_eq!(
            all(&store),
            BTreeMap::from([(9, (b"b".to_vec(), Vec::new()))]),
            "nobody knows it by this id"
        );
        let changed = store.change(&[Change::LetGo { alarm: AlarmId(9), bytes: b"b".to_vec() }]).unwrap();
        assert_eq!((changed.count, store.count()), (0, 0));
    }

    #[test]
    fn what_is_kept_of_a_sitting_goes_with_a_later_version_and_a_newer_one_stays() {
        let store = KeptStore::on(redb::backends::InMemoryBackend::new()).unwrap();
        let form = |sitting, reports| {
            let alarm = crate::intake::alarm::Alarm::example("bus 7");
            let mut form = AlarmForm::new(&alarm, crate::intake::known::KnownVehicle::UNDECIDED, sitting, 0);
            form.reports = reports;
            form.to_bytes()
        };
        let let_go = |sitting, reports| Change::LetGo { alarm: AlarmId(1), bytes: form(sitting, reports) };
        let left = |gone: Change| store.change(&[keep(1, &form(5, 2)), gone]).unwrap().count;
        assert_eq!(
            [left(let_go(5, 1)), left(let_go(6, 9)), left(let_go(5, 2)), left(let_go(5, 3))],
            [1, 1, 0, 0]
        );
    }

    #[test]
    fn is_read_piece_by_piece() {
        let store = KeptStore::on(redb::backends::InMemoryBackend::new()).unwrap();
        store.change(&[3, 1, u128::MAX, 2].map(|alarm| keep(alarm, b"a"))).unwrap();
        let mut after = None;
        let mut read = Vec::new();
        loop {
            let (alarms, is_end) = store.read(after, 2).unwrap();
            read.extend(alarms.iter().map(|kept| kept.alarm.0));
            after = alarms.last().map(|kept| kept.alarm);
            if is_end {
                break;
            }
        }
        assert_eq!(read, [1, 2, 3, u128::MAX]);
        assert_eq!(store.read(after, 2).unwrap(), (Vec::new(), true));
    }

    /// Keeps alarms, writes notes, renames and lets go until the power goes. Returns what must be there after each change that returned, and
    /// after the one that did not.
    fn work(disk: &Forgetful) -> [Rows; 2] {
        let mut safe = BTreeMap::new();
        let Ok(store) = KeptStore::on(disk.clone()) else { return [safe.clone(), safe] };
        for round in 0..8_u128 {
            let mut next: Rows = safe.clone();
            let bytes = vec![round as u8; 700];
            let mut changes = vec![keep(round, &bytes), keep(100 + round, b"short")];
            next.insert(round, (bytes.clone(), Vec::new()));
            next.insert(100 + round, (b"short".to_vec(), Vec::new()));
            if let Some((alarm, (bytes, _))) = safe.iter().next() {
                changes.push(Change::LetGo { alarm: AlarmId(*alarm), bytes: bytes.clone() });
                next.remove(alarm);
                changes.push(Change::Rename { alarm: AlarmId(100 + round), into: AlarmId(200 + round) });
                let (bytes, _) = next.remove(&(100 + round)).unwrap();
                next.insert(200 + round, (bytes, Vec::new()));
            }
            changes.push(Change::Note { alarm: AlarmId(round), note: b"county".to_vec() });
            if let Some((_, note)) = next.get_mut(&round) {
                *note = b"county".to_vec();
            }
            if store.change(&changes).is_err() {
                return [safe, next];
            }
            safe = next;
        }
        [safe.clone(), safe]
    }

    fn made(left: usize) -> Forgetful {
        let disk = Forgetful::with_power_for(usize::MAX, Vec::new());
        drop(KeptStore::on(disk.clone()).unwrap());
        Forgetful::with_power_for(left, disk.image())
    }

    #[test]
    fn what_is_kept_survives_a_cut_anywhere_and_no_change_is_done_in_part() {
        let untouched = made(usize::MAX);
        assert_eq!(work(&untouched)[0].len(), 9);
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        for cut in 0..untouched.done() {
            let disk = made(cut);
            let [before, after] = work(&disk);
            let found = Forgetful::with_power_for(usize::MAX, disk.found_later(&mut rng));
            let store = KeptStore::on(found).unwrap_or_else(|err| panic!("cut at {cut}, seed {seed}: {err}"));
            let found = all(&store);
            assert!(found == before || found == after, "cut at {cut}, seed {seed}");
        }
    }
}
