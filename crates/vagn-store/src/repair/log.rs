//! Repair of a log: every segment ends where the next one begins, and every record is there or is said to be
//! lost.

use super::aside::keep_copy;
use super::{RepairReport, RepairedFile};
use crate::disk::replace;
use crate::error::{Doing, StoreError};
use crate::log::LogPosition;
use crate::log::reader::{LogReader, Unit};
use crate::log::record::{self, LEN, Record};
use crate::log::segment::{Segment, SegmentHeader};
use crate::log::stamps::Stamps;
use crate::manifest::partition::PartitionManifest;
use crate::snapshot::Snapshot;
use crate::snapshot::reader::SnapshotReader;

/// Findings about a segment.
#[derive(Default)]
struct Found {
    header: Option<SegmentHeader>,
    /// Offset of the first part that cannot be read.
    bad_at: Option<u64>,
    /// Index behind the last record that can be read.
    end: u64,
    /// Records before this one had been synced.
    synced: u64,
    stamps: Option<Stamps>,
}

/// Returns true when every record of every segment can be read, and they follow each other.
pub(super) fn is_whole(partition: &LogReader<'_>) -> Result<bool, StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?;
    for (at, segment) in segments.iter().enumerate() {
        let found = examine(partition, segment)?;
        let next = segments.get(at + 1).map_or(found.end, |next| next.start.record);
        if found.bad_at.is_some() || next != found.end {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rewrites the segments that are damaged.
pub(super) fn repair(
    partition: &LogReader<'_>,
    manifest: &PartitionManifest,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let segments = Segment::list(partition.disk, partition.dir)?;
    let found = segments.iter().map(|segment| examine(partition, segment)).collect::<Result<Vec<_>, _>>()?;
    let promised = promised(partition, manifest)?;
    let synced = found.iter().map(|found| found.synced).max().unwrap_or(0).max(promised.record);
    let mut stamps = Stamps::NOTHING;
    for (at, (segment, found)) in segments.iter().zip(&found).enumerate() {
        // The last segment ends where the log was promised to end, if that is further: what is missing becomes void.
        let end = segments.get(at + 1).map_or(found.end.max(synced), |next| next.start.record);
        // The name tells where it begins. Of stamps and syncs only what stands before is known, which is never too
        // much.
        let header = found.header.unwrap_or(SegmentHeader {
            partition: partition.partition,
            start: segment.start,
            stamps,
            synced: 0,
        });
        stamps.merge(header.stamps);
        stamps.merge(found.stamps.unwrap_or(Stamps::NOTHING));
        // A segment that is whole stays as it is, byte for byte.
        if found.bad_at.is_some() || found.end != end {
            report.files.push(rewrite(partition, segment, header, found, end)?);
        }
    }
    if segments.is_empty() && promised.record > 0 {
        begin_anew(partition, promised, stamps, report)?;
    }
    Ok(())
}

/// Writes a segment where none is left, from the oldest snapshot to the end that was promised, so that no index and no order
/// number is given again.
fn begin_anew(
    partition: &LogReader<'_>,
    promised: LogPosition,
    stamps: Stamps,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let oldest = Snapshot::list(partition.disk, partition.dir)?.first().map(|snapshot| snapshot.position);
    let record = oldest.map_or(promised.record, |oldest| oldest.record);
    let segment = Segment::new(partition.dir, LogPosition { record, order: promised.order });
    let header = SegmentHeader { partition: partition.partition, start: segment.start, stamps, synced: 0 };
    write(partition, &segment, header, promised.record.max(record))?;
    let lost = promised.record.saturating_sub(record);
    let file = segment.path;
    report.files.push(RepairedFile { file, moved_to: None, offset: 0, lost, done: "begun anew" });
    Ok(())
}

/// Returns the position up to which the log was synced, as the snapshots and the manifest tell.
fn promised(partition: &LogReader<'_>, manifest: &PartitionManifest) -> Result<LogPosition, StoreError> {
    let last = manifest.segments.last().map(|named| named.start);
    let mut synced = LogPosition { record: manifest.synced, order: manifest.first };
    for position in last.into_iter().chain(manifest.snapshot).chain(manifest.closed_at) {
        // Not the greater position, but the greater of each: a manifest has the order number of a later one.
        synced.record = synced.record.max(position.record);
        synced.order = synced.order.max(position.order);
    }
    for snapshot in Snapshot::list(partition.disk, partition.dir)? {
        let reader = SnapshotReader::open(partition.disk, &snapshot, partition.partition)?;
        synced = synced.max(snapshot.position).max(reader.read(&mut |_| {})?.complete_at);
    }
    Ok(synced)
}

fn examine(partition: &LogReader<'_>, segment: &Segment) -> Result<Found, StoreError> {
    let mut found = Found { end: segment.start.record, ..Found::default() };
    partition.scan(segment, &mut |index, unit| {
        match unit {
            Unit::Header(header) => {
                found.synced = found.synced.max(header.synced);
                found.header = Some(header);
            }
            Unit::Record(record) => {
                found.end = index + 1;
                found.note(&record);
            }
            Unit::Bad(bad) => {
                found.bad_at.get_or_insert(bad.offset);
            }
        }
        true
    })?;
    Ok(found)
}

impl Found {
    fn note(&mut self, record: &Record<'_>) {
        match record {
            Record::Synced { upto } => self.synced = self.synced.max(*upto),
            Record::Position { sighting, .. } => {
                self.stamps.get_or_insert(Stamps::NOTHING).merge(Stamps::of(sighting))
            }
            _ => {}
        }
    }
}

/// Writes the segment anew, up to `end`.
fn rewrite(
    partition: &LogReader<'_>,
    segment: &Segment,
    header: SegmentHeader,
    found: &Found,
    end: u64,
) -> Result<RepairedFile, StoreError> {
    let moved_to = keep_copy(partition, &segment.path)?;
    let lost = write(partition, segment, header, end)?;
    let offset = found.bad_at.unwrap_or(segment.offset(found.end.min(end)));
    let done = "the records that can be read were kept";
    Ok(RepairedFile { file: segment.path.clone(), moved_to: Some(moved_to), offset, lost, done })
}

/// Replaces a segment by one that has its good records, if it is there, and no others. Returns how many are lost.
fn write(
    partition: &LogReader<'_>,
    segment: &Segment,
    header: SegmentHeader,
    end: u64,
) -> Result<u64, StoreError> {
    let mut bytes = header.encode().to_vec();
    let mut next = segment.start.record;
    let mut lost = 0;
    let mut fill = |upto: u64, bytes: &mut Vec<u8>| {
        // So that all records behind keep their indexes, and with them their checksums.
        for index in next..upto {
            record::encode(&Record::Void, index, bytes);
            lost += 1;
        }
        next = upto + 1;
    };
    if partition.disk.open(&segment.path).is_ok() {
        partition.scan(segment, &mut |index, unit| {
            if let Unit::Record(record) = unit
                && index < end
            {
                fill(index, &mut bytes);
                record::encode(&record, index, &mut bytes);
            }
            true
        })?;
    }
    fill(end, &mut bytes);
    debug_assert_eq!(
        bytes.len() as u64,
        segment.offset(end.max(segment.start.record)),
        "every record has its offset"
    );
    debug_assert_eq!(bytes.len() % LEN, 0);
    replace(partition.disk, &segment.path, &bytes).doing("write", &segment.path)?;
    Ok(lost)
}
