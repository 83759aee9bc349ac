//! Opens a partition: the newest good snapshot, the log over it, then the index.

use super::site::Site;
use super::table::SlotTable;
use crate::OrderNumber;
use crate::disk::TEMPORARY;
use crate::error::{Doing, StoreError};
use crate::log::reader::{Cut, LogReader};
use crate::log::segment::Segment;
use crate::log::{LogPosition, aside};
use crate::manifest::UNFINISHED;
use crate::manifest::partition::PartitionManifest;
use crate::snapshot::Snapshot;
use crate::snapshot::reader::SnapshotReader;
use std::path::PathBuf;

/// Progress of the recovery of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of the partition.
    pub partition: u32,
    /// Step that is under way.
    pub phase: Phase,
    /// Vehicles or records done in this phase.
    pub done: u64,
}

/// The steps of a recovery, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Vehicles are read from the snapshot.
    Snapshot,
    /// Records are read from the log.
    Log,
    /// Vehicles are put into the index.
    Index,
}

/// Result of the recovery of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Number of vehicles.
    pub vehicles: u64,
    /// Records read from the log over the snapshot.
    pub records: u64,
    /// Order number from which on the log was read over the snapshot it began with.
    pub snapshot: Option<OrderNumber>,
    /// Snapshots that could not be read, in whose stead an older one or the log was taken.
    pub bad_snapshots: Vec<PathBuf>,
    /// Torn end of the log, which is cut off now.
    pub cut: Option<Cut>,
    /// Directories with what was cut from the end of the log, now and before. They may be removed by hand.
    pub kept_aside: Vec<PathBuf>,
    /// Positions of vehicles whose id was lost to damage and is not known; they are left out.
    pub orphans: u64,
    /// Order number before which all changes are there.
    pub end: OrderNumber,
    /// Latest receive time ever stored, ms since 1970; `i64::MIN` when there is none.
    pub receive_time_ms: i64,
    /// Highest receive sequence ever stored.
    pub receive_seq: u64,
}

/// Vehicles or records between two reports of progress.
const STEP: u64 = 100_000;

/// Everything that was read, before it becomes an index.
pub(crate) struct Recovered {
    pub(crate) table: SlotTable,
    pub(crate) recovery: Recovery,
    /// Snapshots that can be gone back to, oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    /// End of the log.
    pub(crate) end: LogPosition,
    /// The manifest as it was found, without segments that were cut off.
    pub(crate) manifest: PartitionManifest,
}

/// Snapshot over which the log is to be read.
#[derive(Default)]
struct Base {
    table: SlotTable,
    snapshots: Vec<Snapshot>,
    bad_snapshots: Vec<PathBuf>,
    /// All before this position is known to have been synced.
    synced: LogPosition,
}

/// Reads the partition at `site` and cuts a torn end of its log.
pub(crate) fn recover(
    log: &LogReader<'_>,
    site: &Site,
    progress: &dyn Fn(Progress),
) -> Result<Recovered, StoreError> {
    let manifest = site.manifest(log.disk)?;
    remove_unfinished(log)?;
    remove_unbegun(log, &manifest)?;
    check_named(log, &manifest)?;
    let (base, damage) = newest_snapshot(log, &manifest, progress)?;
    // If the log does not reach back to where an older snapshot, or none, would need it, the damage of the
    // newer one is the reason.
    replay(log, base, manifest, progress).map_err(|err| damage.unwrap_or(err))
}

/// Removes the files that a crash left half-written. Only those that have names as they are given here.
fn remove_unfinished(log: &LogReader<'_>) -> Result<(), StoreError> {
    let names = log.disk.list(log.dir).doing("list", log.dir)?;
    let ours = |name: &&String| *name == UNFINISHED || LogPosition::of_name(name, TEMPORARY).is_some();
    for name in names.iter().filter(ours) {
        let path = log.dir.join(name);
        log.disk.remove(&path).doing("remove", &path)?;
    }
    Ok(())
}

/// Removes the files of segments for whose headers there was no room. Such a file is not named, has no record, and begins inside
/// the segment before it, which was written on in its place.
fn remove_unbegun(log: &LogReader<'_>, manifest: &PartitionManifest) -> Result<(), StoreError> {
    let is_named = |segment: &Segment| manifest.segments.iter().any(|named| named.start == segment.start);
    let mut before: Option<Segment> = None;
    for segment in Segment::list(log.disk, log.dir)? {
        let is_inside = match &before {
            // Most often the manifest knows it, and the files need not be looked at.
            Some(before) if !is_named(&segment) => log.end_of(before)? > segment.start.record,
            _ => false,
        };
        if is_inside && log.is_unbegun(&segment)? {
            log.disk.remove(&segment.path).doing("remove", &segment.path)?;
        } else {
            before = Some(segment);
        }
    }
    Ok(())
}

/// Checks that every segment is there that the manifest names.
fn check_named(log: &LogReader<'_>, manifest: &PartitionManifest) -> Result<(), StoreError> {
    let segments = Segment::list(log.disk, log.dir)?;
    let mut named = manifest.segments.iter().map(|named| Segment::new(log.dir, named.start));
    match named.find(|named| !segments.contains(named)) {
        Some(missing) => Err(missing_from(log, missing.path)),
        None => Ok(()),
    }
}

fn missing_from(log: &LogReader<'_>, file: PathBuf) -> StoreError {
    StoreError::Missing { file, manifest: PartitionManifest::file(log.dir) }
}

/// Returns the newest snapshot that can be read, or none; and the damage of the newest that cannot.
fn newest_snapshot(
    log: &LogReader<'_>,
    manifest: &PartitionManifest,
    progress: &dyn Fn(Progress),
) -> Result<(Base, Option<StoreError>), StoreError> {
    let mut snapshots = Snapshot::list(log.disk, log.dir)?;
    let named = manifest.snapshot.map(|position| Snapshot::new(log.dir, position));
    // A snapshot gets its name only when the log is durable up to its position, and beyond.
    let synced = snapshots.last().into_iter().chain(&named).map(|snapshot| snapshot.position).max();
    let mut base = Base { synced: synced.unwrap_or_default(), ..Base::default() };
    let mut damage = None;
    // One that is older than what is there was replaced, and is not needed.
    let is_lost = |named: &Snapshot| snapshots.last().is_none_or(|last| last.position < named.position);
    if let Some(missing) = named.filter(is_lost) {
        base.bad_snapshots.push(missing.path.clone());
        damage = Some(missing_from(log, missing.path));
    }
    while let Some(snapshot) = snapshots.last() {
        match load(log, snapshot, &mut base, progress) {
            Ok(()) => break,
            Err(err @ StoreError::Corrupt { .. }) => {
                base.table = SlotTable::default();
                base.bad_snapshots.push(snapshot.path.clone());
                damage.get_or_insert(err);
                // The older one reaches as far together with the log since then.
                snapshots.pop();
            }
            Err(err) => return Err(err),
        }
    }
    base.snapshots = snapshots;
    Ok((base, damage))
}

fn load(
    log: &LogReader<'_>,
    snapshot: &Snapshot,
    base: &mut Base,
    progress: &dyn Fn(Progress),
) -> Result<(), StoreError> {
    let reader = SnapshotReader::open(log.disk, snapshot, log.partition)?;
    let mut steps = Steps::new(log.partition, Phase::Snapshot, progress);
    let footer = reader.read(&mut |kept| {
        base.table.keep(kept);
        steps.step();
    })?;
    base.table.merge_stamps(footer.stamps);
    // The snapshot got its name only when the log was durable up to here.
    base.synced = base.synced.max(footer.complete_at);
    Ok(())
}

fn replay(
    log: &LogReader<'_>,
    base: Base,
    mut manifest: PartitionManifest,
    progress: &dyn Fn(Progress),
) -> Result<Recovered, StoreError> {
    let Base { mut table, snapshots, bad_snapshots, synced } = base;
    let from = snapshots.last().map(|snapshot| snapshot.position);
    let mut steps = Steps::new(log.partition, Phase::Log, progress);
    let closed_at = manifest.closed_at.map_or(0, |closed| closed.record);
    let synced = synced.record.max(manifest.synced).max(closed_at);
    let mut end = log.read(from.unwrap_or_default(), synced, &mut |_, record| {
        table.apply(record);
        steps.step();
    })?;
    if manifest.closed_at.is_some() && end.position.record > closed_at {
        return Err(rolled_back(log)?);
    }
    table.apply_pending();
    table.merge_stamps(end.stamps);
    if let Some(cut) = &mut end.cut {
        // Only after all of the log is read: damage further on must leave the files as they are.
        aside::cut(log.disk, log.dir, cut, &mut manifest)?;
    }
    manifest.synced = synced;
    let recovery = Recovery {
        vehicles: table.len() as u64,
        records: steps.done,
        snapshot: from.map(|position| position.order),
        bad_snapshots,
        cut: end.cut,
        kept_aside: aside::list(log.disk, log.dir)?,
        orphans: table.orphans(),
        end: end.position.order,
        receive_time_ms: table.stamps().receive_time_ms,
        receive_seq: table.stamps().receive_seq,
    };
    Ok(Recovered { table, recovery, snapshots, end: end.position, manifest })
}

/// A manifest that says where the log was closed, and the log goes on.
fn rolled_back(log: &LogReader<'_>) -> Result<StoreError, StoreError> {
    let newer = Segment::list(log.disk, log.dir)?.pop().map_or(log.dir.to_owned(), |last| last.path);
    Ok(StoreError::RolledBack { manifest: PartitionManifest::file(log.dir), newer })
}

/// Counts the steps of a phase, and reports progress now and then.
pub(super) struct Steps<'a> {
    partition: u32,
    phase: Phase,
    done: u64,
    progress: &'a dyn Fn(Progress),
}

impl<'a> Steps<'a> {
    pub(super) fn new(partition: u32, phase: Phase, progress: &'a dyn Fn(Progress)) -> Steps<'a> {
        Steps { partition, phase, done: 0, progress }
    }

    #[inline]
    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(STEP) {
            (self.progress)(Progress { partition: self.partition, phase: self.phase, done: self.done });
        }
    }
}
