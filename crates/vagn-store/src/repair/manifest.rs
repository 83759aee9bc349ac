//! Repair of the manifest of a partition: it is written anew from what is there.

use super::aside::{keep_copy, move_if_no_file};
use super::{RepairReport, RepairedFile};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::manifest::partition::{NamedSegment, PartitionManifest};
use crate::partition::site::Site;
use crate::snapshot::Snapshot;

/// The manifest of a partition that is being repaired.
pub(super) struct FoundManifest {
    /// Knowledge of what was there; none where the manifest cannot be read.
    pub(super) known: PartitionManifest,
    /// The same as it stands on the disk.
    on_disk: Option<PartitionManifest>,
}

impl std::ops::Deref for FoundManifest {
    type Target = PartitionManifest;

    fn deref(&self) -> &PartitionManifest {
        &self.known
    }
}

/// Reads the manifest, and reports the files that it names and that are not there.
pub(super) fn read(
    disk: &dyn Disk,
    site: &Site,
    report: &mut RepairReport,
) -> Result<FoundManifest, StoreError> {
    let file = PartitionManifest::file(&site.dir);
    move_if_no_file(disk, &file, report)?;
    let on_disk = match PartitionManifest::read(disk, &site.dir) {
        Ok(found) => found,
        Err(err) if err.is_damage() => None,
        Err(err) => return Err(err),
    };
    let begun =
        PartitionManifest { opened: site.opened.unwrap_or(0), ..PartitionManifest::new(site.place, true) };
    let mut known = on_disk.clone().unwrap_or(begun);
    known.place = site.place;
    let segments = Segment::list(disk, &site.dir)?;
    for named in &known.segments {
        let segment = Segment::new(&site.dir, named.start);
        if !segments.contains(&segment) {
            let done = match named.end {
                Some(_) => "missing; the service goes on without its records",
                None => "missing, with records that cannot be counted; the service goes on without them",
            };
            let lost = named.end.map_or(0, |end| end - named.start.record);
            report.files.push(RepairedFile { file: segment.path, moved_to: None, offset: 0, lost, done });
        }
    }
    let snapshots = Snapshot::list(disk, &site.dir)?;
    let snapshot = known.snapshot.map(|position| Snapshot::new(&site.dir, position));
    if let Some(missing) = snapshot.filter(|snapshot| !snapshots.contains(snapshot)) {
        let done = "missing; an older one and the log stand in for it, as far as they reach";
        report.files.push(RepairedFile { file: missing.path, moved_to: None, offset: 0, lost: 0, done });
    }
    Ok(FoundManifest { known, on_disk })
}

/// Writes the manifest anew when it does not tell what is there now.
pub(super) fn write(
    partition: &LogReader<'_>,
    found: FoundManifest,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let FoundManifest { known, on_disk } = found;
    let segments = named_now(partition)?;
    let snapshots = Snapshot::list(partition.disk, partition.dir)?;
    let end = segments.last().and_then(|last| last.end);
    let is_there = |position| snapshots.iter().any(|snapshot| snapshot.position == position);
    let is_true = |told: &PartitionManifest| {
        told.place == known.place
            && told.segments.iter().all(|named| segments.iter().any(|now| now.start == named.start))
            && told.snapshot.is_none_or(is_there)
            && told.closed_at.is_none_or(|closed| Some(closed.record) == end)
    };
    if on_disk.as_ref().is_some_and(is_true) {
        return Ok(());
    }
    let last = segments.last().map(|last| last.start.order).unwrap_or_default();
    let manifest = PartitionManifest {
        in_force: true,
        first: known.first.max(last),
        synced: known.synced.min(end.unwrap_or(known.synced)),
        segments,
        snapshot: snapshots.last().map(|snapshot| snapshot.position),
        closed_at: None,
        ..known
    };
    let file = PartitionManifest::file(partition.dir);
    let is_there = partition.disk.open(&file).is_ok();
    let moved_to = is_there.then(|| keep_copy(partition, &file)).transpose()?;
    manifest.write(partition.disk, partition.dir)?;
    let done = "written anew from what is there";
    report.files.push(RepairedFile { file, moved_to, offset: 0, lost: 0, done });
    Ok(())
}

fn named_now(partition: &LogReader<'_>) -> Result<Vec<NamedSegment>, StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?;
    let mut named = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let end = match segments.get(at + 1) {
            Some(next) => next.start.record,
            None => partition.end_of(segment)?,
        };
        named.push(NamedSegment { start: segment.start, end: Some(end) });
    }
    Ok(named)
}
