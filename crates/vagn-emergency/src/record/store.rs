//! The incident store: every incident by its id, in one transactional file apart from the position log.
//!
//! A save is on disk when it returns. Tables: all incidents as JSON, the ids of those that are live (not resolved), and the
//! ids of those that have ended, so that the oldest of them can go when there are too many; the ledger of all attempts; and
//! the [`trail`] of all changes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend, TableDefinition,
    WriteTransaction,
};
use tracing::error;

use crate::disk::reserve::ReservedFile;
use crate::disk::watched::Watched;
use crate::id::IncidentId;
use crate::record::attempt::Attempt;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::stored;
use crate::trail::{self, Ends, Entry, Event, Head};

/// The store's file in the data directory.
pub const FILE: &str = "incidents.redb";

/// Its name while it is being made.
const UNFINISHED: &str = "incidents.redb.new";

/// Memory for pages of the store, in bytes. Incidents are few.
const CACHE: usize = 16 << 20;

const INCIDENTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("incidents");
const LIVE: TableDefinition<'_, u128, ()> = TableDefinition::new("live");
const ENDED: TableDefinition<'_, u128, ()> = TableDefinition::new("ended");
/// Trials apart, so that they displace no real ones.
const ENDED_TRIALS: TableDefinition<'_, u128, ()> = TableDefinition::new("ended_trials");
/// Attempts as JSON, by incident and number.
const LEDGER: TableDefinition<'_, (u128, u32), &[u8]> = TableDefinition::new("ledger");

/// Latest attempts that the ledger keeps of one incident.
const LEDGER_KEPT: u32 = 1_000;

/// Latest changes that the trail keeps, some 250 MB of them.
const TRAIL_KEPT: u64 = 1_000_000;

/// Entries of the trail that are read of one incident.
const TRAIL_READ: usize = 1_000;

/// Of so many ended incidents that are kept, one may be a trial besides.
const TRIALS_SHARE: u64 = 20;

/// Ended incidents that one save removes at most, so that no save takes long.
const REMOVED_AT_ONCE: u64 = 256;

/// The store could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or created.
    #[error("incident store cannot be opened: {0}")]
    Open(#[source] redb::Error),
    /// The file made its reader panic: something else has changed it.
    #[error("incident store cannot be opened: its file made the reader panic")]
    Panicked,
    /// Reading or writing failed. The store must be opened again.
    #[error("incident store failed: {0}")]
    Failed(#[source] redb::Error),
    /// An earlier writer has not finished yet.
    #[error("incident store is still busy with an earlier save")]
    Busy,
}

/// One incident to be saved, with what is new on its trail and in its ledger.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    incident: &'a Incident,
    notes: &'a [Event],
    ledger: &'a [Attempt],
}

impl<'a> From<&'a Incident> for Record<'a> {
    fn from(incident: &'a Incident) -> Self {
        Self { incident, notes: &[], ledger: &[] }
    }
}

impl<'a> From<&'a Draft> for Record<'a> {
    fn from(draft: &'a Draft) -> Self {
        Self { incident: &draft.incident, notes: &draft.notes, ledger: &draft.ledger }
    }
}

/// All incidents on disk.
#[derive(Debug)]
pub struct Store {
    db: Database,
    sync_failed: Arc<AtomicBool>,
    ended_kept: u64,
    /// Records that make no sense. They stay where they are, and are passed over.
    unreadable: Mutex<BTreeSet<u128>>,
}

impl Store {
    /// Opens or creates the store in `data_dir`, with `reserved` bytes of disk set aside for it. Of the incidents that
    /// have ended it keeps the latest `ended_kept`.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn open(data_dir: &Path, reserved: u64, ended_kept: u64) -> Result<Self, StoreError> {
        let path = data_dir.join(FILE);
        let open =
            |path: &Path| Self::on(ReservedFile::open(path, reserved).map_err(cannot_open)?, ended_kept);
        if !path.try_exists().map_err(cannot_open)? {
            // A file that was cut off while it was being made could never be opened again, so it is made under another
            // name first.
            let unfinished = data_dir.join(UNFINISHED);
            fs::remove_file(&unfinished).or_else(ignore_absence).map_err(cannot_open)?;
            drop(open(&unfinished)?);
            fs::rename(&unfinished, &path).map_err(cannot_open)?;
        }
        open(&path)
    }

    /// Opens or creates the store on any storage, such as one that fails when a test says so.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub fn on(storage: impl StorageBackend, ended_kept: u64) -> Result<Self, StoreError> {
        let (storage, sync_failed) = Watched::new(storage);
        let open = || -> Result<Database, redb::Error> {
            let mut builder = Database::builder();
            // Without the check a file that something else has changed may be trusted, or end in a panic.
            let db = builder
                .set_cache_size(CACHE)
                .set_check_integrity_on_open(true)
                .create_with_backend(storage)?;
            let txn = db.begin_write()?;
            txn.open_table(INCIDENTS)?;
            txn.open_table(LIVE)?;
            txn.open_table(ENDED)?;
            txn.open_table(ENDED_TRIALS)?;
            txn.open_table(LEDGER)?;
            trail::create(&txn)?;
            txn.commit()?;
            Ok(db)
        };
        let db = open().map_err(StoreError::Open)?;
        Ok(Self { db, sync_failed, ended_kept, unreadable: Mutex::default() })
    }

    /// Writes these incidents, all or none, and returns when they are on disk: how far the trail goes then.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when an earlier save has not returned; [`StoreError::Failed`] when the disk would not.
    pub fn save<'a, R: Into<Record<'a>>>(
        &self,
        records: impl IntoIterator<Item = R>,
    ) -> Result<Head, StoreError> {
        let txn = match self.db.try_begin_write() {
            Err(redb::TransactionError::WouldBlock) => return Err(StoreError::Busy),
            begun => begun.map_err(failed)?,
        };
        let mut notes = Vec::new();
        for record in records {
            let record = record.into();
            write(&txn, &record)?;
            notes.extend_from_slice(record.notes);
        }
        let head = trail::append(&txn, &notes, TRAIL_KEPT).map_err(failed)?;
        self.prune(&txn)?;
        txn.commit().map_err(failed)?;
        Ok(head)
    }

    /// Lets the oldest of too many ended incidents go.
    fn prune(&self, txn: &WriteTransaction) -> Result<(), StoreError> {
        let trials_kept = (self.ended_kept / TRIALS_SHARE).max(1);
        for (table, kept) in [(ENDED, self.ended_kept), (ENDED_TRIALS, trials_kept)] {
            prune(txn, table, kept)?;
        }
        Ok(())
    }

    /// Whatever is live and can be read, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn live(&self) -> Result<Vec<Incident>, StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        let all = txn.open_table(INCIDENTS).map_err(failed)?;
        let live = txn.open_table(LIVE).map_err(failed)?;
        let mut incidents = Vec::new();
        for entry in live.iter().map_err(failed)? {
            let (id, _) = entry.map_err(failed)?;
            if let Some(record) = all.get(id.value()).map_err(failed)? {
                incidents.extend(self.read(id.value(), record.value()));
            }
        }
        Ok(incidents)
    }

    /// One incident.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn get(&self, id: IncidentId) -> Result<Option<Incident>, StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        let all = txn.open_table(INCIDENTS).map_err(failed)?;
        let record = all.get(id.as_u128()).map_err(failed)?;
        Ok(record.and_then(|record| self.read(id.as_u128(), record.value())))
    }

    /// Hands incidents older than `before` to `each`, newest first, until it returns false.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn newest_first(
        &self,
        before: Option<IncidentId>,
        mut each: impl FnMut(Incident) -> bool,
    ) -> Result<(), StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        let all = txn.open_table(INCIDENTS).map_err(failed)?;
        let end = before.map_or(u128::MAX, IncidentId::as_u128);
        for entry in all.range(..end).map_err(failed)?.rev() {
            let (id, record) = entry.map_err(failed)?;
            if self.read(id.value(), record.value()).is_some_and(|incident| !each(incident)) {
                break;
            }
        }
        Ok(())
    }

    /// The latest attempts of an incident, oldest first. One that makes no sense is passed over.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn ledger(&self, id: IncidentId) -> Result<Vec<Attempt>, StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        let ledger = txn.open_table(LEDGER).map_err(failed)?;
        let mut attempts = Vec::new();
        for entry in ledger.range((id.as_u128(), 0)..=(id.as_u128(), u32::MAX)).map_err(failed)? {
            let (_, record) = entry.map_err(failed)?;
            attempts.extend(serde_json::from_slice::<Attempt>(record.value()).ok());
        }
        Ok(attempts)
    }

    /// The latest changes of an incident, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn trail_of(&self, id: IncidentId) -> Result<Vec<Entry>, StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        trail::of(&txn, id, TRAIL_READ).map_err(failed)
    }

    /// Up to `max` changes of any incident behind number `after`, oldest first, and where the trail begins and ends.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub fn trail(&self, after: u64, max: usize) -> Result<(Ends, Vec<Entry>), StoreError> {
        let txn = self.db.begin_read().map_err(failed)?;
        let ends = trail::ends(&txn).map_err(failed)?;
        Ok((ends, trail::after(&txn, after, max).map_err(failed)?))
    }

    /// How many records made no sense so far.
    pub fn unreadable(&self) -> usize {
        self.unreadable.lock().len()
    }

    /// The incident in a record. One that makes no sense is named once, and must not hide the others.
    fn read(&self, id: u128, record: &[u8]) -> Option<Incident> {
        let read = stored::from_bytes(record);
        if let Err(err) = &read
            && self.note_unreadable(id)
        {
            error!(incident_id = %IncidentId::from_u128(id), error = %err, "incident record cannot be read");
        }
        read.ok()
    }

    fn note_unreadable(&self, id: u128) -> bool {
        self.unreadable.lock().insert(id)
    }

    /// A sync has failed. What it should have written may be lost although it reads as if it were there, so nothing
    /// that is saved on top of it can be trusted before the file has been opened by a new process.
    pub fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }
}

/// Moves a store that cannot be opened aside, so that a new one can be made, and says where to. Nothing is deleted.
///
/// # Errors
/// When the file is in use, or cannot be moved.
pub fn set_aside(data_dir: &Path) -> io::Result<Option<PathBuf>> {
    let path = data_dir.join(FILE);
    if !path.try_exists()? {
        return Ok(None);
    }
    // Somebody who has it open is no reason to move it.
    drop(ReservedFile::open(&path, 0)?);
    if catch_unwind(|| Store::open(data_dir, 0, u64::MAX).and_then(|store| store.live()))
        .is_ok_and(|read| read.is_ok())
    {
        return Ok(None);
    }
    let numbered = (1..).map(|number| data_dir.join(format!("{FILE}.{number}.damaged")));
    let free = numbered.into_iter().find(|path| !path.exists()).expect("there are numbers enough");
    fs::rename(&path, &free)?;
    Ok(Some(free))
}

fn prune(txn: &WriteTransaction, table: TableDefinition<'_, u128, ()>, kept: u64) -> Result<(), StoreError> {
    let mut ended = txn.open_table(table).map_err(failed)?;
    let surplus = ended.len().map_err(failed)?.saturating_sub(kept);
    if surplus == 0 {
        return Ok(());
    }
    let mut all = txn.open_table(INCIDENTS).map_err(failed)?;
    let mut ledger = txn.open_table(LEDGER).map_err(failed)?;
    for _ in 0..surplus.min(REMOVED_AT_ONCE) {
        let Some(oldest) = ended.pop_first().map_err(failed)?.map(|(id, _)| id.value()) else { break };
        all.remove(oldest).map_err(failed)?;
        ledger.retain_in((oldest, 0)..=(oldest, u32::MAX), |_, _| false).map_err(failed)?;
    }
    Ok(())
}

fn write(txn: &WriteTransaction, record: &Record<'_>) -> Result<(), StoreError> {
    let Record { incident, ledger, .. } = record;
    let id = incident.id.as_u128();
    txn.open_table(INCIDENTS)
        .map_err(failed)?
        .insert(id, stored::to_bytes(incident).as_slice())
        .map_err(failed)?;
    let ended = if incident.drill { ENDED_TRIALS } else { ENDED };
    let (to, from) = if incident.is_resolved() { (ended, LIVE) } else { (LIVE, ended) };
    txn.open_table(to).map_err(failed)?.insert(id, ()).map_err(failed)?;
    txn.open_table(from).map_err(failed)?.remove(id).map_err(failed)?;
    if !ledger.is_empty() {
        enter(txn, id, ledger)?;
    }
    Ok(())
}

fn enter(txn: &WriteTransaction, id: u128, attempts: &[Attempt]) -> Result<(), StoreError> {
    let mut ledger = txn.open_table(LEDGER).map_err(failed)?;
    for attempt in attempts {
        let row = serde_json::to_vec(attempt).expect("numbers and texts can always be written");
        ledger.insert((id, attempt.number), row.as_slice()).map_err(failed)?;
        if let Some(old) = attempt.number.checked_sub(LEDGER_KEPT) {
            ledger.remove((id, old)).map_err(failed)?;
        }
    }
    Ok(())
}

fn cannot_open(err: io::Error) -> StoreError {
    StoreError::Open(redb::Error::Io(err))
}

fn ignore_absence(err: io::Error) -> io::Result<()> {
    if err.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(err) }
}

fn failed(err: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(err.into())
}

#[cfg(test)]
impl Store {
    /// Writes a record that makes no sense, of an incident that is owed a call.
    pub(crate) fn save_nonsense(&self, id: IncidentId) {
        let txn = self.db.begin_write().unwrap();
        txn.open_table(INCIDENTS).unwrap().insert(id.as_u128(), &b"{}"[..]).unwrap();
        txn.open_table(LIVE).unwrap().insert(id.as_u128(), ()).unwrap();
        txn.commit().unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::progress::Decision;

    const RESERVED: u64 = 1 << 20;

    fn incident(number: u128) -> Incident {
        Incident::example(IncidentId::from_u128(number), &format!("bus {number}"))
    }

    fn ended(number: u128) -> Incident {
        let mut incident = incident(number);
        incident.resolve(Decision { by: "Anna".into(), at_ms: 1, note: "".into() });
        incident
    }

    fn numbers(incidents: &[Incident]) -> Vec<u128> {
        incidents.iter().map(|incident| incident.id.as_u128()).collect()
    }

    fn before(store: &Store, id: Option<u128>) -> Vec<u128> {
        let mut found = Vec::new();
        let each = |incident: Incident| {
            found.push(incident.id.as_u128());
            found.len() < 3
        };
        store.newest_first(id.map(IncidentId::from_u128), each).unwrap();
        found
    }

    #[test]
    fn has_after_a_restart_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        store.save(&[incident(3), incident(1), ended(2)]).unwrap();
        drop(store);
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        assert_eq!(numbers(&store.live().unwrap()), [1, 3], "oldest first");
        assert_eq!(store.get(IncidentId::from_u128(2)).unwrap(), Some(ended(2)));
        assert_eq!(store.get(IncidentId::from_u128(9)).unwrap(), None);
    }

    #[test]
    fn a_record_that_makes_no_sense_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        store.save(&[incident(1), incident(3)]).unwrap();
        store.save_nonsense(IncidentId::from_u128(2));
        for _ in 0..2 {
            assert_eq!(numbers(&store.live().unwrap()), [1, 3]);
            assert_eq!(before(&store, None), [3, 1]);
            assert_eq!(store.get(IncidentId::from_u128(2)).unwrap(), None);
            assert_eq!(store.unreadable(), 1);
        }
    }

    #[test]
    fn is_read_backwards_in_pages() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        store.save(&(1..=5).map(incident).collect::<Vec<_>>()).unwrap();
        assert_eq!(before(&store, None), [5, 4, 3]);
        assert_eq!(before(&store, Some(3)), [2, 1]);
        assert_eq!(before(&store, Some(1)), [0; 0]);
    }

    #[test]
    fn forgets_the_oldest_of_those_that_have_ended() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 2).unwrap();
        store.save(&[incident(1), ended(2), ended(3), incident(4), ended(5)]).unwrap();
        store.save(&[ended(6)]).unwrap();
        assert_eq!(numbers(&store.live().unwrap()), [1, 4]);
        let kept = (1..=6).filter(|id| store.get(IncidentId::from_u128(*id)).unwrap().is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [1, 4, 5, 6]);
    }

    #[test]
    fn trials_displace_no_real_incident() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 20).unwrap();
        let trial = |number| Incident { drill: true, ..ended(number) };
        store.save(&[ended(1)]).unwrap();
        for number in 2..40 {
            store.save(&[trial(number)]).unwrap();
        }
        let kept = (1..=40).filter(|id| store.get(IncidentId::from_u128(*id)).unwrap().is_some());
        assert_eq!(kept.collect::<Vec<_>>(), [1, 39]);
    }

    #[test]
    fn is_not_held_up_by_one_that_was_cut_off_in_the_making() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(UNFINISHED), [7; 4096]).unwrap();
        let store = Store::open(dir.path(), RESERVED, 1).unwrap();
        store.save(&[incident(1)]).unwrap();
        assert!(!dir.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_flipped_bit_is_found_or_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        store.save(&(1..=30).map(incident).collect::<Vec<_>>()).unwrap();
        store.save(&(20..=40).map(incident).collect::<Vec<_>>()).unwrap();
        let saved = store.live().unwrap();
        drop(store);
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        let seed = fastrand::u64(..);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut found = 0;
        for _ in 0..60 {
            let mut flipped = whole.clone();
            flipped[rng.usize(..whole.len().min(256 << 10))] ^= 1 << rng.u8(..8);
            fs::write(&path, flipped).unwrap();
            match Store::open(dir.path(), RESERVED, 100).and_then(|store| store.live()) {
                Ok(live) => assert_eq!(live, saved, "seed {seed}"),
                Err(_) => found += 1,
            }
        }
        assert!(found > 0, "seed {seed}");
    }

    #[test]
    fn a_damaged_store_is_set_aside_and_a_sound_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(set_aside(dir.path()).unwrap(), None, "there is none");
        let store = Store::open(dir.path(), RESERVED, 100).unwrap();
        assert!(set_aside(dir.path()).is_err(), "it is in use");
        store.save(&[incident(1)]).unwrap();
        drop(store);
        assert_eq!(set_aside(dir.path()).unwrap(), None);
        for name in ["incidents.redb.1.damaged", "incidents.redb.2.damaged"] {
            fs::write(dir.path().join(FILE), b"not a store").unwrap();
            assert_eq!(set_aside(dir.path()).unwrap(), Some(dir.path().join(name)));
        }
        assert!(Store::open(dir.path(), RESERVED, 100).unwrap().live().unwrap().is_empty());
    }

    #[test]
    fn says_which_file_it_could_not_open() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"this is not a database at all").unwrap();
        let said = Store::open(dir.path(), RESERVED, 1).unwrap_err().to_string();
        assert!(said.contains("cannot be opened"), "{said}");
    }
}
