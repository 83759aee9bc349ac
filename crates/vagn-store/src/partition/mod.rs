//! One partition: its live index, its log, and the one writer of both.
//!
//! A write has three steps. `Index::plan` decides what becomes of each update and changes nothing; the log
//! appends what is to be stored; `Index::commit` shows it to readers. When the second step fails the third
//! does not happen, so the index never shows what the log does not have.

mod housekeeping;
pub(crate) mod recovery;
mod settings;
pub(crate) mod table;

pub use housekeeping::Housekept;
pub use recovery::{Phase, Progress, Recovery};
pub use settings::Settings;

use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use crate::log::LogPosition;
use crate::log::reader::LogReader;
use crate::log::record::Record;
use crate::log::seen::Seen;
use crate::log::segment::Segment;
use crate::log::writer::{Closed, LogWriter};
use crate::reader::{Reader, Writer};
use crate::syncer::{Health, Shared, Syncer};
use crate::{Fate, Key, Plan, Updates};
use housekeeping::Housekeeper;
use recovery::{Recovered, Steps, recover};
use std::path::Path;
use std::sync::{Arc, Weak};

/// The free space is looked at after so many bytes, rarely enough to cost nothing.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// The single writer of one partition.
pub struct Partition {
    settings: Settings,
    index: Writer,
    plan: Plan,
    log: LogWriter,
    shared: Arc<Shared>,
    housekeeper: Housekeeper,
    /// End of the log when the free space was last looked at.
    space_checked: LogPosition,
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// End of the log behind it: what was written is durable once the log is durable up to here.
    pub end: LogPosition,
    /// How many updates were stored.
    pub stored: usize,
    /// How many of these brought a vehicle that was not known.
    pub new_vehicles: usize,
}

impl Partition {
    /// Recovers the partition `number` from `dir`, which is created when it is missing, and makes it ready to
    /// write. Blocks; partitions may be opened beside each other. `now_ms` is the time now, ms since 1970.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] names the file and the offset of what cannot be read though no crash explains
    /// it. [`StoreError::Format`] when a later version wrote it, [`StoreError::Io`] when the disk refuses.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        number: u32,
        settings: Settings,
        now_ms: i64,
        progress: &dyn Fn(Progress),
    ) -> Result<(Partition, Recovery), StoreError> {
        disk.create_dir(dir).doing("create", dir)?;
        let reader = LogReader { disk: &*disk, dir, partition: number };
        let Recovered { table, recovery, snapshots } = recover(&reader, progress)?;
        let shared = Arc::new(Shared::new(disk.clone(), dir.to_owned(), number));
        let closed = closed_segments(&reader, &recovery, &shared)?;
        let log =
            LogWriter::start(shared.clone(), settings.segment_bytes, closed, recovery.end.0, table.seen())?;
        // Whoever is there stays, even if the bound was lowered.
        let max_vehicles = settings.max_vehicles.max(recovery.vehicles as usize);
        let mut steps = Steps::new(number, Phase::Index, progress);
        let index = table.into_index(max_vehicles, || steps.step());
        let partition = Partition {
            settings,
            index: Writer::new(index),
            plan: Plan::default(),
            log,
            shared,
            housekeeper: Housekeeper::new(snapshots, now_ms),
            space_checked: recovery.end,
        };
        Ok((partition, recovery))
    }

    /// Writes the updates to the log, in one system call, and then shows those that are stored to readers.
    /// `fates` is refilled with what became of each. Not yet durable: see [`Partition::syncer`].
    ///
    /// # Errors
    /// All updates are [`Fate::Failed`] then and nothing has changed. [`StoreError::Full`] ends when there is
    /// space again; after any other error the partition has stopped for good.
    pub fn write(&mut self, updates: &Updates, fates: &mut Vec<Fate>) -> Result<Written, StoreError> {
        fates.clear();
        let shared = self.shared.clone();
        let written = shared.work().and_then(|_work| self.try_write(updates));
        match &written {
            Ok(_) => fates.extend(self.plan.fates()),
            Err(_) => fates.resize(updates.len(), Fate::Failed),
        }
        written
    }

    fn try_write(&mut self, updates: &Updates) -> Result<Written, StoreError> {
        self.check_space()?;
        self.index.plan(updates, &mut self.plan);
        let (mut stored, mut new_vehicles) = (0, 0);
        for (update, planned) in self.plan.stored(updates) {
            if planned.new_vehicle {
                self.log.push(&Record::Define { slot: planned.slot, key: update.key });
            }
            self.log.push(&Record::Position {
                slot: planned.slot,
                hash: update.hash,
                sighting: *update.sighting,
            });
            stored += 1;
            new_vehicles += usize::from(planned.new_vehicle);
        }
        let end = self.commit()?;
        self.index.show(updates, &self.plan);
        Ok(Written { end, stored, new_vehicles })
    }

    /// Forgets a vehicle; false when there is none of that id. Not yet durable.
    ///
    /// # Errors
    /// As [`Partition::write`], except that a lack of free space does not forbid it.
    pub fn delete(&mut self, key: Key<'_>) -> Result<bool, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        let Some(slot) = self.index.look(|index| index.slot_of(key)) else { return Ok(false) };
        self.log.push(&Record::Remove { slot, key });
        self.commit()?;
        Ok(self.index.change(|index| index.remove_slot(slot)))
    }

    /// A little of the work that is not urgent: a slice of a snapshot, of the search for vehicles to forget,
    /// files to remove. To be called every second or so, and again soon when it says that there is more.
    ///
    /// # Errors
    /// As [`Partition::write`].
    pub fn housekeep(&mut self, now_ms: i64) -> Result<Housekept, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        housekeeping::housekeep(self, now_ms)
    }

    /// Writes a whole snapshot, and puts it in its place.
    pub(crate) fn snapshot(&mut self) -> Result<(), StoreError> {
        housekeeping::snapshot_now(self)?;
        self.syncer().tidy()
    }

    /// What takes the files away from this writer, from wherever it may hang.
    pub(crate) fn fence(&self) -> Weak<Shared> {
        Arc::downgrade(&self.shared)
    }

    /// Notes stamps that are in no record of this partition.
    pub(crate) fn note(&mut self, seen: Seen) {
        self.log.note(seen);
    }

    /// Reads the live index; works on beside the writer and after it.
    pub fn reader(&self) -> Reader {
        self.index.reader()
    }

    /// Makes durable what is written; for a thread of its own. It ends with the partition.
    pub fn syncer(&self) -> Syncer {
        Syncer::new(self.shared.clone())
    }

    /// Whether it takes positions.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// Its number, counted from zero.
    pub fn number(&self) -> u32 {
        self.shared.partition
    }

    /// Bytes of log on the disk, history included.
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Syncs everything and ends.
    ///
    /// # Errors
    /// When the disk fails, now or before.
    pub fn close(mut self) -> Result<LogPosition, StoreError> {
        let syncer = self.syncer();
        syncer.sync()?;
        self.say_synced()?;
        syncer.sync()
    }

    /// Says in the log that it is synced, so that any later damage before is known for what it is.
    fn say_synced(&mut self) -> Result<LogPosition, StoreError> {
        let shared = self.shared.clone();
        let _work = shared.work()?;
        self.log.mark();
        self.commit()
    }

    /// Writes what was pushed to the log.
    fn commit(&mut self) -> Result<LogPosition, StoreError> {
        self.log.commit().map_err(|err| match err.is_no_room() {
            true => {
                self.shared.set_full(true);
                StoreError::Full {
                    dir: self.shared.dir.clone(),
                    free_bytes: 0,
                    floor_bytes: self.settings.free_floor_bytes,
                }
            }
            false => err,
        })
    }

    /// Looks at the free space when it is due, and always while there was too little.
    fn check_space(&mut self) -> Result<(), StoreError> {
        let due = self.log.end().bytes() - self.space_checked.bytes() >= SPACE_CHECK_BYTES;
        if due || self.shared.is_full() { self.measure_space() } else { Ok(()) }
    }

    fn measure_space(&mut self) -> Result<(), StoreError> {
        self.space_checked = self.log.end();
        let free_bytes = self.shared.free_space()?;
        let floor_bytes = self.settings.free_floor_bytes;
        self.shared.set_full(free_bytes < floor_bytes);
        if free_bytes < floor_bytes {
            return Err(StoreError::Full { dir: self.shared.dir.clone(), free_bytes, floor_bytes });
        }
        Ok(())
    }
}

impl Drop for Partition {
    /// From here on its syncers leave the files alone, so that the partition may be opened again at once.
    fn drop(&mut self) {
        self.shared.retire();
    }
}

/// The segments from before, each with what the next one says of it. Those that were read are due for a sync,
/// since nobody knows whether they had one.
fn closed_segments(
    reader: &LogReader<'_>,
    recovery: &Recovery,
    shared: &Shared,
) -> Result<Vec<Closed>, StoreError> {
    let segments = Segment::list(reader.disk, reader.dir)?;
    let mut closed = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let next = segments.get(at + 1);
        let end = next.map_or(recovery.end.0, |next| next.base);
        if end == segment.base {
            // Empty, and about to be begun anew.
            continue;
        }
        if end > recovery.snapshot.unwrap_or_default().0 {
            shared.found(reader.disk.open(&segment.path).doing("open", &segment.path)?);
        }
        let receive_time_ms = match next {
            Some(next) => reader.seen_before(next)?.receive_time_ms,
            None => recovery.receive_time_ms,
        };
        closed.push(Closed { segment: segment.clone(), end, receive_time_ms });
    }
    Ok(closed)
}
