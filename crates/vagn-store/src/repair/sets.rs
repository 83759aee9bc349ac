//! Choice of the set of partitions that is in force, where no manifest says it.

use super::{RepairReport, RepairedFile};
use crate::data_dir::leftovers::{copy_of, partition_dirs, was_in_force};
use crate::disk::Disk;
use crate::error::{Doing, StoreError};
use crate::log::segment::Segment;
use crate::manifest::SetId;
use crate::manifest::partition::{PartitionManifest, Place};
use crate::manifest::top::PartitionSet;
use crate::partition::site::Site;
use crate::snapshot::Snapshot;
use std::path::{Path, PathBuf};

/// Chooses the set in force: of those that were, the one with the highest number, if it is whole or no other is. A copy under
/// another name is none. Reports all that were not chosen.
pub(super) fn choose(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut RepairReport,
) -> Result<PartitionSet, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    let mut numbers: Vec<_> = names.iter().filter_map(|name| PartitionSet::number_of(name)).collect();
    numbers.sort_unstable_by(|one, other| other.cmp(one));
    let (copies, own): (Vec<u64>, Vec<u64>) =
        numbers.into_iter().partition(|number| copy_of(disk, &dir_of(dir, *number), *number).is_some());
    if let (Some(copy), true) = (copies.first(), own.is_empty()) {
        let copy_dir = dir_of(dir, *copy);
        let set = copy_of(disk, &copy_dir, *copy).unwrap_or(*copy);
        return Err(StoreError::OnlyCopy { copy: copy_dir, set });
    }
    for copy in copies {
        note(dir_of(dir, copy), "a copy of another set, as its partitions say; not used", report);
    }
    // One that was never in force is no candidate beside one that was.
    let were = own.iter().copied().filter(|number| was_in_force(disk, &dir_of(dir, *number)));
    let candidates: Vec<_> = were.map(|number| set_of(disk, dir, number)).collect();
    match candidates[..] {
        // Without any set the fleet is lost, and the first one is begun anew.
        [] => Ok(set_of(disk, dir, own.first().copied().unwrap_or(1))),
        [only] => Ok(only),
        [newest, ref older @ ..] => {
            choose_newest(disk, dir, newest, older, report)?;
            Ok(newest)
        }
    }
}

/// Checks that the newest of several sets may be taken, and reports the choice.
fn choose_newest(
    disk: &dyn Disk,
    dir: &Path,
    newest: PartitionSet,
    older: &[PartitionSet],
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let is_newest_whole = is_whole(disk, dir, newest);
    if let Some(whole) = older.iter().find(|set| !is_newest_whole && is_whole(disk, dir, **set)) {
        return Err(StoreError::Undecided { newest: newest.dir(dir), whole: whole.dir(dir) });
    }
    let why = if is_newest_whole {
        "put in force: it is whole, and has the highest number"
    } else {
        "put in force: it has the highest number, and no set is whole"
    };
    note(newest.dir(dir), why, report);
    for set in older {
        note(set.dir(dir), "a set with a lower number; not used", report);
    }
    Ok(())
}

fn note(file: PathBuf, done: &'static str, report: &mut RepairReport) {
    report.files.push(RepairedFile { file, moved_to: None, offset: 0, lost: 0, done });
}

fn dir_of(dir: &Path, number: u64) -> PathBuf {
    PartitionSet { number, id: SetId::default(), partitions: 1 }.dir(dir)
}

/// Returns true when every partition of the set is in its place, with all files that its manifest names.
fn is_whole(disk: &dyn Disk, dir: &Path, set: PartitionSet) -> bool {
    Site::all(dir, set, true).iter().all(|site| {
        let Ok(manifest) = site.manifest(disk) else { return false };
        let segments = manifest.segments.iter().map(|named| Segment::new(&site.dir, named.start).path);
        let snapshot = manifest.snapshot.map(|position| Snapshot::new(&site.dir, position).path);
        segments.chain(snapshot).all(|path| disk.open(&path).is_ok())
    })
}

/// Returns the set that the partitions in its directory tell of.
fn set_of(disk: &dyn Disk, dir: &Path, number: u64) -> PartitionSet {
    let dirs = partition_dirs(disk, &dir_of(dir, number));
    let places =
        dirs.iter().filter_map(|(_, dir)| place_of(disk, dir)).filter(|place| place.number == number);
    if let Some(Place { set, partitions, .. }) = places.max_by_key(|place| place.partitions) {
        return PartitionSet { number, id: set, partitions };
    }
    // Without any manifest: what has a log is a partition. The same id each time, for a repair that is done again.
    let with_log = dirs.iter().filter(|(_, dir)| Segment::list(disk, dir).is_ok_and(|all| !all.is_empty()));
    let partitions = with_log.map(|(number, _)| number + 1).max().unwrap_or(1);
    PartitionSet { number, id: SetId::draw(0, number), partitions }
}

pub(super) fn place_of(disk: &dyn Disk, dir: &Path) -> Option<Place> {
    PartitionManifest::read(disk, dir).ok().flatten().map(|manifest| manifest.place)
}
