//! Opens a partition to write: recovers it, claims the numbers to come, and says in its manifest what is there.

use super::forgetting::Forgetter;
use super::housekeeping::Housekeeper;
use super::recovery::{Phase, Progress, Recovered, Recovery, Steps, recover};
use super::site::Site;
use super::{Partition, Settings};
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError};
use crate::log::LogPosition;
use crate::log::reader::LogReader;
use crate::log::segment::Segment;
use crate::log::stamps::Stamps;
use crate::log::writer::{Closed, LogWriter};
use crate::manifest::partition::{NamedSegment, PartitionManifest};
use crate::reader::Writer;
use crate::syncer::Shared;
use crate::{OrderNumber, Plan};
use std::path::PathBuf;
use std::sync::Arc;

/// Segments behind the newest snapshot that make the next one due at once: every start adds one, and reads them all.
const SEGMENTS_MANY: usize = 16;

/// The segments that a new writer finds.
#[derive(Default)]
struct FoundSegments {
    closed: Vec<Closed>,
    /// Those with records behind the newest snapshot, which may not be synced.
    unsynced: Vec<PathBuf>,
    /// Those that a writer began and wrote nothing to, and those that had been removed and are back.
    useless: Vec<PathBuf>,
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    site: &Site,
    lowest: OrderNumber,
    settings: Settings,
    now_ms: i64,
    progress: &dyn Fn(Progress),
) -> Result<(Partition, Recovery), StoreError> {
    let reader = LogReader { disk: &*disk, dir: &site.dir, partition: site.place.partition };
    let Recovered { table, recovery, snapshots, end, manifest } = recover(&reader, site, progress)?;
    let needed = snapshots.last().map_or(0, |snapshot| snapshot.position.record);
    let found = found_segments(&reader, needed, end, table.stamps(), &manifest)?;
    // Those of the power cut that is to come count from the manifest as well as from the log.
    let first = OrderNumber::of_new_writer(end.order.max(lowest).max(manifest.first), now_ms);
    let manifest = PartitionManifest {
        in_force: site.in_force,
        // By the count of the data directory, so that openings that were cut off leave no more than one between the two.
        opened: site.opened.unwrap_or(manifest.opened) + 1,
        first,
        segments: found.closed.iter().map(name).collect(),
        snapshot: snapshots.last().map(|snapshot| snapshot.position),
        closed_at: None,
        ..manifest
    };
    claim(&reader, &manifest, &found.useless)?;
    let shared = Arc::new(Shared::new(disk.clone(), site.dir.clone(), manifest));
    let due = found.unsynced.len() >= SEGMENTS_MANY;
    found.unsynced.into_iter().for_each(|path| shared.found(path));
    let log =
        LogWriter::start(shared.clone(), settings.segment_bytes, found.closed, end, first, table.stamps())?;
    let mut steps = Steps::new(site.place.partition, Phase::Index, progress);
    let index = table.into_index(usize::MAX, settings.hash_seed, || steps.step());
    let partition = Partition {
        settings,
        index: Writer::new(index),
        plan: Plan::default(),
        log,
        shared,
        housekeeper: Housekeeper::new(snapshots, due, now_ms),
        forgetter: Forgetter::default(),
        space_checked: end.record,
    };
    Ok((partition, recovery))
}

fn name(closed: &Closed) -> NamedSegment {
    NamedSegment { start: closed.segment.start, end: Some(closed.end) }
}

/// Puts the manifest of a new writer in force, and removes the segments that are of no use.
fn claim(
    reader: &LogReader<'_>,
    manifest: &PartitionManifest,
    useless: &[PathBuf],
) -> Result<(), StoreError> {
    let LogReader { disk, dir, .. } = *reader;
    // The names of segments that no manifest has yet named may not be durable, and they are to be named now.
    disk.sync_dir(dir).doing(SYNC, dir)?;
    manifest.write(disk, dir)?;
    if useless.is_empty() {
        return Ok(());
    }
    for path in useless {
        disk.remove(path).doing("remove", path)?;
    }
    // Before a new segment: if one came back after a power cut, without the header, it would stand in front of records and
    // count as damage.
    disk.sync_dir(dir).doing(SYNC, dir)
}

/// Looks at the segments from before, one at a time; each has the stamps that the next one tells.
fn found_segments(
    reader: &LogReader<'_>,
    needed: u64,
    log_end: LogPosition,
    stamps: Stamps,
    manifest: &PartitionManifest,
) -> Result<FoundSegments, StoreError> {
    let mut segments = Segment::list(reader.disk, reader.dir)?;
    let back = count_back(reader, &segments, needed, manifest)?;
    let useless = segments.drain(..back).map(|segment| segment.path).collect();
    let mut found = FoundSegments { useless, ..FoundSegments::default() };
    for (at, segment) in segments.iter().enumerate() {
        let end = segments.get(at + 1).map_or(log_end.record, |next| next.start.record);
        let before = reader.stamps_before(segment, end.min(manifest.synced))?;
        if let Some(closed) = found.closed.last_mut().filter(|closed| closed.end == segment.start.record) {
            closed.receive_time_ms = before.receive_time_ms;
        }
        if end == segment.start.record {
            found.useless.push(segment.path.clone());
            continue;
        }
        if end > needed {
            found.unsynced.push(segment.path.clone());
        }
        let closed = Closed { segment: segment.clone(), end, receive_time_ms: stamps.receive_time_ms };
        found.closed.push(closed);
    }
    Ok(found)
}

/// Counts the segments that were removed for their age and are back after a power cut, with a gap behind them: the manifest
/// names none of them any more, and a snapshot stands for what they held.
fn count_back(
    reader: &LogReader<'_>,
    segments: &[Segment],
    needed: u64,
    manifest: &PartitionManifest,
) -> Result<usize, StoreError> {
    let is_named = |segment: &Segment| manifest.segments.iter().any(|named| named.start == segment.start);
    // Most often the first one is named, and no file is looked at.
    let unnamed = segments.iter().take_while(|segment| !is_named(segment)).count();
    for at in (1..=unnamed.min(segments.len().saturating_sub(1))).rev() {
        let next = segments[at].start.record;
        if next <= needed && reader.end_of(&segments[at - 1])? != next {
            return Ok(at);
        }
    }
    Ok(0)
}
