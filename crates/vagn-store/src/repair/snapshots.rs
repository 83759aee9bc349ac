//! Repair of snapshots: one that is damaged goes aside if an older one and the log can stand in for it; else the
//! vehicles that can still be read in it are kept.

use super::aside::keep_copy;
use super::{RepairReport, RepairedFile};
use crate::error::{Doing, StoreError};
use crate::log::LogPosition;
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::log::stamps::Stamps;
use crate::partition::table::SlotTable;
use crate::snapshot::Snapshot;
use crate::snapshot::reader::SnapshotReader;
use crate::snapshot::writer::SnapshotWriter;

/// Vehicles written at once.
const BLOCK: usize = 4_096;

/// Leaves only snapshots that can be read.
pub(super) fn repair(partition: &LogReader<'_>, report: &mut RepairReport) -> Result<(), StoreError> {
    let mut good_before = None;
    for snapshot in Snapshot::list(partition.disk, partition.dir)? {
        match check(partition, &snapshot) {
            Ok(()) => good_before = Some(snapshot.position),
            Err(StoreError::Corrupt { offset, .. }) => {
                // Without the log since an older snapshot, a part of this one is better than nothing.
                let stand_in = reaches_back_to(partition, good_before)?;
                let done = set_aside(partition, &snapshot, stand_in)?;
                good_before = if stand_in { good_before } else { Some(snapshot.position) };
                report.files.push(RepairedFile { offset, ..done });
            }
            Err(err) => return Err(err),
        }
    }
    Ok(())
}

fn check(partition: &LogReader<'_>, snapshot: &Snapshot) -> Result<(), StoreError> {
    SnapshotReader::open(partition.disk, snapshot, partition.partition)?.read(&mut |_| {}).map(|_| ())
}

/// Returns true when the log has all that came after the snapshot at `position`, or after the very beginning.
fn reaches_back_to(partition: &LogReader<'_>, position: Option<LogPosition>) -> Result<bool, StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?;
    Ok(segments.first().is_some_and(|first| first.start.record <= position.unwrap_or_default().record))
}

fn set_aside(
    partition: &LogReader<'_>,
    snapshot: &Snapshot,
    stand_in: bool,
) -> Result<RepairedFile, StoreError> {
    let moved_to = keep_copy(partition, &snapshot.path)?;
    let done = if stand_in {
        partition.disk.remove(&snapshot.path).doing("remove", &snapshot.path)?;
        partition.disk.sync_dir(partition.dir).doing("sync", partition.dir)?;
        "the log stands in for it"
    } else {
        salvage(partition, snapshot)?;
        "the vehicles that can be read were kept"
    };
    Ok(RepairedFile { file: snapshot.path.clone(), moved_to: Some(moved_to), offset: 0, lost: 1, done })
}

/// Writes a snapshot of the vehicles that can still be read in the old one.
fn salvage(partition: &LogReader<'_>, snapshot: &Snapshot) -> Result<(), StoreError> {
    let mut table = SlotTable::default();
    let mut slot_end = 0;
    match SnapshotReader::open(partition.disk, snapshot, partition.partition) {
        Ok(reader) => {
            slot_end = reader.slot_end();
            let footer = reader.salvage(&mut |kept| table.keep(kept))?;
            table.merge_stamps(footer.map_or(Stamps::NOTHING, |footer| footer.stamps));
        }
        Err(StoreError::Corrupt { .. }) => {}
        Err(err) => return Err(err),
    }
    write(partition, snapshot.position, slot_end, &table)
}

fn write(
    partition: &LogReader<'_>,
    position: LogPosition,
    slot_end: u32,
    table: &SlotTable,
) -> Result<(), StoreError> {
    let LogReader { disk, dir, partition } = *partition;
    let mut writer = SnapshotWriter::begin(disk, dir, partition, position, slot_end)?;
    let vehicles: Vec<_> = table.vehicles().collect();
    for block in vehicles.chunks(BLOCK) {
        writer.add(slot_end, block.iter().copied());
        writer.write()?;
    }
    let mut departed = table.departed().behind(None);
    while !writer.has_all_departed() {
        writer.add_departed(departed.by_ref(), BLOCK as u32);
        writer.write()?;
    }
    // Complete at its own position: it vouches for no later record, so that a shorter log is not taken for damage.
    let finished = writer.finish(position, table.stamps())?;
    finished.file.sync().doing("sync", &finished.temp)?;
    disk.rename(&finished.temp, &finished.path).doing("rename", &finished.temp)?;
    disk.sync_dir(dir).doing("sync", dir)
}

/// Writes an empty snapshot at the beginning of the log, where neither a snapshot nor the log reaches back further.
pub(super) fn repair_beginning(
    partition: &LogReader<'_>,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?;
    let snapshots = Snapshot::list(partition.disk, partition.dir)?;
    let newest = snapshots.last().map(|snapshot| snapshot.position);
    if segments.is_empty() || reaches_back_to(partition, newest)? {
        return Ok(());
    }
    let beginning = Snapshot::new(partition.dir, segments[0].start);
    write(partition, beginning.position, 0, &SlotTable::default())?;
    let done = "an empty beginning, since what came before is gone";
    report.files.push(RepairedFile { file: beginning.path, moved_to: None, offset: 0, lost: 0, done });
    Ok(())
}
