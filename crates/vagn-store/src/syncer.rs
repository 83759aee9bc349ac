//! Makes durable what the writer of a partition wrote, beside the writer and never in its way.
//!
//! The writer leaves what is [due](due): segments it wrote to, a snapshot that waits for its name, files to remove. A
//! [`Syncer`], on another thread, does it, and keeps the partition's manifest true meanwhile: a segment is named there before
//! a record in it is said to be durable, and leaves it before its file goes. A sync that fails is final: the content of
//! the disk is unknown from then on, so the partition stops for good. What harms nothing, as a file that could not be opened,
//! is tried again.

mod due;
mod moment;
mod shared;

pub(crate) use due::Finished;
pub(crate) use moment::Moment;
pub(crate) use shared::Shared;

use crate::{OrderNumber, StoreError};
use std::sync::Arc;

/// Health of a partition: if it takes positions, and if not, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It takes positions.
    Well,
    /// It takes positions. Something else fails, harms nothing, and is tried again; with the reason.
    Trying(String),
    /// It takes none until there is more free space.
    Full,
    /// It takes none until it is opened again; with the reason.
    Failed(String),
}

/// Syncs the log of one partition; see [`Partition::syncer`](crate::Partition::syncer).
#[derive(Clone)]
pub struct Syncer {
    shared: Arc<Shared>,
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>) -> Syncer {
        Syncer { shared }
    }

    /// Makes durable all that was written before the call, then does the work of [`Syncer::tidy`]. Blocks for
    /// as long as the disk takes; returns the order number before which all changes are durable.
    ///
    /// # Errors
    /// When the disk fails, now or before. The partition has then stopped for good, unless its health says otherwise: what
    /// harmed nothing is to be tried again.
    pub fn sync(&self) -> Result<OrderNumber, StoreError> {
        let _turn = self.shared.turn();
        let durable = self.sync_or_make_room()?;
        self.shared.tidy()?;
        Ok(durable)
    }

    /// Makes durable all that was written before the call, and nothing else; [`Syncer::tidy`] is left to the
    /// caller.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub fn sync_log(&self) -> Result<OrderNumber, StoreError> {
        let _turn = self.shared.turn();
        self.shared.sync_log()
    }

    /// Names finished snapshots and removes files that are no longer needed. Syncs only for a snapshot, so most calls
    /// do little; to be called now and then where [`Syncer::sync`] is not.
    ///
    /// # Errors
    /// As [`Syncer::sync`].
    pub fn tidy(&self) -> Result<(), StoreError> {
        let _turn = self.shared.turn();
        self.shared.check()?;
        // A snapshot vouches for the log up to its last slice, so that has to be durable first.
        if self.shared.has_snapshot_due() {
            self.sync_or_make_room()?;
        }
        self.shared.tidy()
    }

    fn sync_or_make_room(&self) -> Result<OrderNumber, StoreError> {
        self.shared.sync_log().inspect_err(|_| {
            // The error to report is the first one; this one is in the partition's health.
            let _told = self.shared.make_room();
        })
    }

    /// Returns the order number before which all changes are durable. Rises while [`Syncer::sync`] runs elsewhere.
    pub fn durable(&self) -> OrderNumber {
        self.shared.durable_order()
    }

    /// Returns the order number before which all changes are written.
    pub fn written(&self) -> OrderNumber {
        self.shared.written_order()
    }

    /// Tells if the partition takes positions.
    pub fn health(&self) -> Health {
        self.shared.health()
    }
}

#[cfg(test)]
mod tests {
    use crate::disk::Disk;
    use crate::disk::faulty::{FaultyDisk, Loss};
    use crate::{Key, Partition, Settings, Sighting, Updates};
    use std::path::Path;
    use std::sync::Arc;
    use vagn_wire::Position;

    fn open(disk: &FaultyDisk) -> Partition {
        let settings = Settings { free_floor_bytes: 0, snapshot_records: 1, ..Settings::default() };
        Partition::open(Arc::new(disk.clone()), Path::new("p"), 0, settings, 0, &|_| {}).unwrap().0
    }

    fn write(partition: &mut Partition, n: u64) {
        let sighting = Sighting {
            position: Position::new(1.0, 1.0).unwrap(),
            event_time_ms: n as i64,
            receive_time_ms: n as i64,
            receive_seq: n,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency: false,
            own_time: false,
            unsure: false,
        };
        let mut updates = Updates::new();
        updates.push(Key::Text("bus"), Key::Text("bus").hash(), sighting);
        partition.write(&updates, &mut Vec::new()).unwrap();
    }

    fn has_snapshot(disk: &FaultyDisk) -> bool {
        disk.list(Path::new("p")).unwrap().iter().any(|name| name.ends_with(".snap"))
    }

    #[test]
    fn a_snapshot_that_is_finished_beside_a_sync_gets_its_name_after_the_next() {
        let disk = FaultyDisk::new();
        let mut partition = open(&disk);
        let shared = partition.syncer().shared;
        write(&mut partition, 1);
        shared.sync_log().unwrap();
        // Between the two steps of one call.
        write(&mut partition, 2);
        while partition.housekeep(0).unwrap().more {}
        shared.tidy().unwrap();
        assert!(!has_snapshot(&disk), "it vouches for what is not durable");
        drop(open(&disk.restart(Loss::Unsynced)));
        shared.sync_log().unwrap();
        shared.tidy().unwrap();
        assert!(has_snapshot(&disk));
    }
}
