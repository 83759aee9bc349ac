//! Writes a snapshot a slice at a time, so that writes never wait for it for long.

use super::block::{HEADER, PREFIX, Prefix, SnapshotHeader, VERSION, put_departed, put_vehicle};
use super::{Footer, Snapshot};
use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, StoreError};
use crate::index::{DepartedAt, DepartedCount, Held};
use crate::log::LogPosition;
use crate::log::stamps::Stamps;
use crate::syncer::Finished;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A snapshot on its way.
pub(crate) struct SnapshotWriter {
    snapshot: Snapshot,
    temp: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Slots below this one are written.
    next_slot: u32,
    /// Slots from here on came after the position was noted, and are in the log.
    slot_end: u32,
    blocks: u32,
    vehicles: u64,
    /// The last count of a vehicle that left that was written.
    last_departed: Option<DepartedAt>,
    departed: u64,
    has_all_departed: bool,
    buffer: Vec<u8>,
    header: Option<[u8; HEADER]>,
}

impl SnapshotWriter {
    /// Begins a snapshot of the slots below `slot_end` at `position`, which is the end of the log.
    pub(crate) fn begin(
        disk: &dyn Disk,
        dir: &Path,
        partition: u32,
        position: LogPosition,
        slot_end: u32,
    ) -> Result<SnapshotWriter, StoreError> {
        let snapshot = Snapshot::new(dir, position);
        let temp = snapshot.path.with_extension("tmp");
        let file = disk.create(&temp).doing("create", &temp)?;
        let header = SnapshotHeader { version: VERSION, partition, position, slot_end }.encode();
        Ok(SnapshotWriter {
            snapshot,
            temp,
            file,
            next_slot: 0,
            slot_end,
            blocks: 0,
            vehicles: 0,
            last_departed: None,
            departed: 0,
            has_all_departed: false,
            buffer: Vec::new(),
            header: Some(header),
        })
    }

    /// Returns the first slot that is not yet written; `None` when all are.
    pub(crate) fn next_slot(&self) -> Option<u32> {
        (self.next_slot < self.slot_end).then_some(self.next_slot)
    }

    /// Adds `vehicles`, which are all those in the slots from the next one up to `upto`. Does no I/O, so that it may be
    /// called under a lock.
    pub(crate) fn add<'a>(&mut self, upto: u32, vehicles: impl Iterator<Item = Held<'a>>) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        let mut count = 0;
        for held in vehicles {
            put_vehicle(&held, &mut self.buffer);
            count += 1;
        }
        self.vehicles += u64::from(count);
        self.next_slot = upto;
        if count == 0 {
            // A count of zero would be taken for the footer.
            self.buffer.clear();
        } else {
            self.seal(count);
        }
    }

    /// Returns true when all counts of vehicles that left were added.
    pub(crate) fn has_all_departed(&self) -> bool {
        self.has_all_departed
    }

    /// Returns the place of the last one that was added.
    pub(crate) fn last_departed(&self) -> Option<DepartedAt> {
        self.last_departed
    }

    /// Adds the counts of vehicles that left behind the last one that was added, in their order and at most so many: fewer are the
    /// end. Once all vehicles are written; does no I/O either.
    pub(crate) fn add_departed(&mut self, counts: impl Iterator<Item = DepartedCount>, most: u32) {
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        let mut number = 0;
        for departed in counts.take(most as usize) {
            put_departed(&departed, &mut self.buffer);
            self.last_departed = Some(departed.at());
            number += 1;
        }
        self.departed += u64::from(number);
        self.has_all_departed = number < most;
        if number == 0 {
            self.buffer.clear();
        } else {
            self.seal(Prefix::count_of_departed(number));
        }
    }

    /// Writes what was added.
    pub(crate) fn write(&mut self) -> Result<(), StoreError> {
        if let Some(header) = self.header.take() {
            self.buffer.splice(..0, header);
        }
        self.file.append(&self.buffer).doing("write", &self.temp)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the footer. The file must be synced, after the log up to `complete_at`, before it gets its name.
    pub(crate) fn finish(mut self, complete_at: LogPosition, stamps: Stamps) -> Result<Finished, StoreError> {
        let footer = Footer { complete_at, vehicles: self.vehicles, departed: self.departed, stamps };
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; PREFIX]);
        self.buffer.extend_from_slice(&footer.encode());
        self.seal(0);
        self.write()?;
        let Snapshot { path, position } = self.snapshot;
        let complete_at = complete_at.record;
        Ok(Finished { file: self.file, temp: self.temp, path, position, complete_at })
    }

    /// Returns the temporary path to which it is written.
    pub(crate) fn temp(&self) -> &Path {
        &self.temp
    }

    /// Fills in the prefix of the block in `buffer`.
    fn seal(&mut self, count: u32) {
        let (prefix, content) = self.buffer.split_at_mut(PREFIX);
        prefix.copy_from_slice(&Prefix::of(self.blocks, count, content).encode());
        self.blocks += 1;
    }
}
