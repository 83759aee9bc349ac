//! Reads a snapshot back, all of it or, for `repair`, the blocks that are left of it.

use super::block::{CONTENT_MAX, HEADER, PREFIX, Prefix, SnapshotHeader, VERSION, WITHOUT_DEPARTED};
use super::{Footer, Kept, Snapshot};
use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, StoreError};
use std::sync::Arc;

/// A snapshot whose header has been read.
pub(crate) struct SnapshotReader {
    snapshot: Snapshot,
    file: Arc<dyn DiskFile>,
    version: u32,
    slot_end: u32,
}

/// Result of reading the blocks of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tally {
    vehicles: u64,
    departed: u64,
    footer: Option<Footer>,
    /// Offset of the first block that cannot be read.
    bad: Option<u64>,
}

impl SnapshotReader {
    /// Opens a snapshot of `partition`.
    pub(crate) fn open(
        disk: &dyn Disk,
        snapshot: &Snapshot,
        partition: u32,
    ) -> Result<SnapshotReader, StoreError> {
        let file = disk.open(&snapshot.path).doing("open", &snapshot.path)?;
        let mut bytes = [0; HEADER];
        file.read_at(0, &mut bytes).doing("read", &snapshot.path)?;
        let header = SnapshotHeader::decode(&bytes).ok_or_else(|| {
            StoreError::corrupt(&snapshot.path, 0, "the header of the snapshot cannot be read")
        })?;
        if ![WITHOUT_DEPARTED, VERSION].contains(&header.version) {
            return Err(StoreError::Format {
                file: snapshot.path.clone(),
                found: header.version,
                newest: VERSION,
            });
        }
        if (header.partition, header.position) != (partition, snapshot.position) {
            return Err(StoreError::corrupt(&snapshot.path, 0, "the header is of another snapshot"));
        }
        let SnapshotHeader { version, slot_end, .. } = header;
        Ok(SnapshotReader { snapshot: snapshot.clone(), file, version, slot_end })
    }

    /// Returns the bound of the slots in it: all are lower.
    pub(crate) fn slot_end(&self) -> u32 {
        self.slot_end
    }

    /// Calls `visit` for all that it has. When it fails, `visit` has been called for some.
    pub(crate) fn read(&self, visit: &mut dyn FnMut(Kept<'_>)) -> Result<Footer, StoreError> {
        let tally = self.blocks(false, visit)?;
        match (tally.footer, tally.bad) {
            (_, Some(offset)) => {
                Err(self.corrupt(offset, "a block of the snapshot does not match its checksum"))
            }
            (None, None) => Err(self
                .corrupt(self.file.size().doing("measure", &self.snapshot.path)?, "the snapshot has no end")),
            (Some(footer), None) if footer.vehicles != tally.vehicles => {
                Err(self.corrupt(0, "the snapshot lacks vehicles"))
            }
            (Some(footer), None) if footer.departed != tally.departed => {
                Err(self.corrupt(0, "the snapshot lacks counts of vehicles that left"))
            }
            (Some(footer), None) => Ok(footer),
        }
    }

    /// Calls `visit` for all that can still be read, and returns the footer if there is one.
    pub(crate) fn salvage(&self, visit: &mut dyn FnMut(Kept<'_>)) -> Result<Option<Footer>, StoreError> {
        Ok(self.blocks(true, visit)?.footer)
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::corrupt(&self.snapshot.path, offset, what)
    }

    fn blocks(&self, go_on: bool, visit: &mut dyn FnMut(Kept<'_>)) -> Result<Tally, StoreError> {
        let mut tally = Tally { vehicles: 0, departed: 0, footer: None, bad: None };
        let mut offset = HEADER as u64;
        let mut content = Vec::new();
        for block in 0.. {
            let Some(prefix) = self.prefix(offset)? else { break };
            let whole = self.content(offset, &prefix, &mut content)? && prefix.matches(block, &content);
            if whole && prefix.count == 0 {
                tally.footer = Footer::decode(self.version, &content);
                break;
            }
            if whole && prefix.each(&content, visit) {
                let (vehicles, departed) = prefix.numbers();
                tally.vehicles += vehicles;
                tally.departed += departed;
            } else {
                tally.bad = tally.bad.or(Some(offset));
            }
            if tally.bad.is_some() && !go_on {
                break;
            }
            offset += PREFIX as u64 + u64::from(prefix.length);
        }
        Ok(tally)
    }

    fn prefix(&self, offset: u64) -> Result<Option<Prefix>, StoreError> {
        let mut bytes = [0; PREFIX];
        let got = self.file.read_at(offset, &mut bytes).doing("read", &self.snapshot.path)?;
        Ok((got == PREFIX).then(|| Prefix::decode(&bytes)))
    }

    /// Reads the content of the block at `offset`; returns false when it is not all there.
    fn content(&self, offset: u64, prefix: &Prefix, content: &mut Vec<u8>) -> Result<bool, StoreError> {
        let length = prefix.length as usize;
        // Before memory is asked for: a damaged length must not take more than the file has.
        let size = self.file.size().doing("measure", &self.snapshot.path)?;
        if length > CONTENT_MAX || offset + PREFIX as u64 + length as u64 > size {
            return Ok(false);
        }
        content.resize(length, 0);
        let got = self.file.read_at(offset + PREFIX as u64, content).doing("read", &self.snapshot.path)?;
        Ok(got == length)
    }
}
