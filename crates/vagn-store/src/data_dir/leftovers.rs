//! Sets of partitions that are not in force: what may be removed, and what must never be.

use super::part_list::Top;
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError};
use crate::log::segment::Segment;
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::manifest::{FILE, UNFINISHED};
use crate::partition::site::Site;
use crate::snapshot::Snapshot;
use std::path::{Path, PathBuf};

/// Returns a number that no set in the directory has, known or not.
pub(super) fn next_number(disk: &dyn Disk, dir: &Path, manifest: &TopManifest) -> Result<u64, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    let there = names.iter().filter_map(|name| PartitionSet::number_of(name));
    Ok(there.chain(manifest.sets().map(|set| set.number)).max().unwrap_or(0) + 1)
}

/// Checks that no set is there that came after those that the manifest knows.
pub(crate) fn check_newest(disk: &dyn Disk, dir: &Path, manifest: &TopManifest) -> Result<(), StoreError> {
    let newest = manifest.in_force.map_or(0, |set| set.number);
    let names = disk.list(dir).doing("list", dir)?;
    for (name, number) in names.iter().filter_map(|name| Some((name, PartitionSet::number_of(name)?))) {
        let is_known = manifest.sets().any(|set| set.number == number);
        if number > newest && !is_known && is_set(disk, &dir.join(name), number) {
            return Err(StoreError::RolledBack { manifest: TopManifest::file(dir), newer: dir.join(name) });
        }
    }
    Ok(())
}

/// Returns true for a set that was in force, under its own number.
fn is_set(disk: &dyn Disk, set_dir: &Path, number: u64) -> bool {
    copy_of(disk, set_dir, number).is_none() && was_in_force(disk, set_dir)
}

/// Returns the number of the set of which the directory is a copy made by hand: its partitions say that they are of that one,
/// and none that it is of the set `number`, as the name has it.
pub(crate) fn copy_of(disk: &dyn Disk, set_dir: &Path, number: u64) -> Option<u64> {
    let dirs = partition_dirs(disk, set_dir);
    let told = dirs.iter().filter_map(|(_, dir)| PartitionManifest::read(disk, dir).ok().flatten());
    let numbers: Vec<_> = told.map(|manifest| manifest.place.number).collect();
    if numbers.contains(&number) { None } else { numbers.first().copied() }
}

/// Returns true unless every partition of the set says that it never was in force.
pub(crate) fn was_in_force(disk: &dyn Disk, set_dir: &Path) -> bool {
    partition_dirs(disk, set_dir).iter().any(|(_, dir)| match PartitionManifest::read(disk, dir) {
        Ok(Some(manifest)) => manifest.in_force,
        // A log without a manifest may be anything.
        Ok(None) => Segment::list(disk, dir).is_ok_and(|segments| !segments.is_empty()),
        Err(_) => true,
    })
}

/// Returns the directories in a set's directory that are partitions by their names, with their numbers.
pub(crate) fn partition_dirs(disk: &dyn Disk, set_dir: &Path) -> Vec<(u32, PathBuf)> {
    let names = disk.list(set_dir).unwrap_or_default();
    let numbered = names.iter().filter_map(|name| {
        let number: u32 = name.parse().ok()?;
        // Only as it is written: `01` and `+1` are not ours.
        (number.to_string() == *name).then(|| (number, set_dir.join(name)))
    });
    numbered.collect()
}

/// Removes the sets that were in force before.
pub(super) fn remove_superseded(disk: &dyn Disk, dir: &Path, top: &Top) -> Result<(), StoreError> {
    for set in top.manifest().superseded {
        if remove(disk, dir, set, false)? {
            top.change(|manifest| manifest.superseded.retain(|each| *each != set))?;
        }
    }
    Ok(())
}

/// Removes the set that a change of the number of partitions could not finish, if there is one.
pub(super) fn remove_unfinished(disk: &dyn Disk, dir: &Path, top: &Top) -> Result<(), StoreError> {
    let Some(making) = top.manifest().making else { return Ok(()) };
    // Where the last step of the change failed, the manifest on the disk may say that this set is in force.
    top.write_again()?;
    if remove(disk, dir, making, true)? {
        top.change(|manifest| manifest.making = None)?;
    }
    Ok(())
}

/// Removes a set, if it says of itself that it is this one, and, where that is asked, that it never was in force. Returns false
/// where it does not, and leaves it alone.
pub(super) fn remove(
    disk: &dyn Disk,
    dir: &Path,
    set: PartitionSet,
    unfinished_only: bool,
) -> Result<bool, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    let is_there = |path: &Path| names.iter().any(|name| path == dir.join(name));
    let set_dir = set.dir(dir);
    let going = dir.join(format!("removing-{}-{}", set.number, set.id));
    // Its name says that it was looked at: an earlier try was cut off in the middle.
    if is_there(&going) {
        disk.remove_dir(&going).doing("remove", &going)?;
    }
    if !is_there(&set_dir) {
        return Ok(true);
    }
    if !is_itself(disk, &set_dir, set, unfinished_only)? {
        return Ok(false);
    }
    keep_strangers(disk, dir, &set_dir)?;
    disk.rename(&set_dir, &going).doing("rename", &set_dir)?;
    disk.sync_dir(dir).doing(SYNC, dir)?;
    disk.remove_dir(&going).doing("remove", &going)?;
    Ok(true)
}

fn is_itself(
    disk: &dyn Disk,
    set_dir: &Path,
    set: PartitionSet,
    unfinished_only: bool,
) -> Result<bool, StoreError> {
    let parent = set_dir.parent().unwrap_or(set_dir);
    for (number, dir) in partition_dirs(disk, set_dir) {
        let is_one = match PartitionManifest::read(disk, &dir) {
            Ok(Some(manifest)) => {
                manifest.place == Site::of_set(parent, set, number, false).place
                    && !(unfinished_only && manifest.in_force)
            }
            // Begun, and cut off before its manifest was written.
            Ok(None) => disk.list(&dir).is_ok_and(|names| names.iter().all(|name| name == UNFINISHED)),
            Err(err) if err.is_damage() => false,
            Err(err) => return Err(err),
        };
        if !is_one {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Moves out of a set what no partition writes: copies made by hand, and what repairs and cuts have kept.
fn keep_strangers(disk: &dyn Disk, dir: &Path, set_dir: &Path) -> Result<(), StoreError> {
    let kept = dir.join(format!("kept-{}", set_dir.file_name().unwrap_or_default().to_string_lossy()));
    let partitions = partition_dirs(disk, set_dir);
    let in_set = disk.list(set_dir).doing("list", set_dir)?;
    let beside = in_set.iter().filter(|name| partitions.iter().all(|(_, dir)| *dir != set_dir.join(name)));
    keep(disk, set_dir, beside, &kept)?;
    for (number, partition_dir) in &partitions {
        let names = disk.list(partition_dir).doing("list", partition_dir)?;
        let strange = names.iter().filter(|name| !is_written_by_partition(name));
        keep(disk, partition_dir, strange, &kept.join(number.to_string()))?;
    }
    Ok(())
}

fn is_written_by_partition(name: &str) -> bool {
    let ours = [FILE, UNFINISHED].contains(&name);
    ours || Segment::is_name(name) || Snapshot::is_name(name)
}

fn keep<'a>(
    disk: &dyn Disk,
    from: &Path,
    names: impl Iterator<Item = &'a String>,
    to: &Path,
) -> Result<(), StoreError> {
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    disk.create_dir(to).doing("create", to)?;
    for name in names {
        disk.rename(&from.join(name), &to.join(name)).doing("rename", &from.join(name))?;
    }
    disk.sync_dir(to).doing(SYNC, to)?;
    disk.sync_dir(from).doing(SYNC, from)
}
