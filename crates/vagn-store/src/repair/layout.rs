//! Repair of the manifest of a data directory and of the places of its partitions.

use super::aside::{is_unreadable, move_aside, move_if_no_file};
use super::sets::place_of;
use super::{RepairReport, RepairedFile, openings, sets};
use crate::data_dir::begin::STORE;
use crate::data_dir::leftovers::check_newest;
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError};
use crate::manifest::FILE;
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::partition::site::Site;
use std::path::{Path, PathBuf};

/// Ending of a partition's directory that had to make room for the one whose name it had.
const AWAY: &str = ".misplaced";

/// Makes sure of the manifest and of a directory for each partition. Returns the sites of the partitions in force.
pub(super) fn repair(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut RepairReport,
) -> Result<Vec<Site>, StoreError> {
    if is_new(disk, dir)? {
        return Ok(Vec::new());
    }
    let mut manifest = repair_manifest(disk, dir, report)?;
    // The first set, if it was not finished: nothing in it was ever answered for.
    let set = manifest.in_force.or(manifest.making);
    let set = set.ok_or(StoreError::corrupt(&TopManifest::file(dir), 0, "it names no set"))?;
    let mut sites = Site::all(dir, set, true);
    if !is_dir(disk, &set.dir(dir), report)? {
        disk.create_dir(&set.dir(dir)).doing("create", &set.dir(dir))?;
    }
    put_partitions_right(disk, dir, set, report)?;
    for site in &sites {
        repair_place(disk, site, report)?;
    }
    openings::repair(disk, dir, &mut manifest, &mut sites, report)?;
    forget_lost_parts(disk, dir, manifest, report)?;
    Ok(sites)
}

/// Returns true where nothing was ever made.
fn is_new(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    Ok(!names
        .iter()
        .any(|name| name == FILE || name.ends_with(STORE) || PartitionSet::number_of(name).is_some()))
}

/// Returns true when there is a directory at `path`. What else has its name is moved away.
fn is_dir(disk: &dyn Disk, path: &Path, report: &mut RepairReport) -> Result<bool, StoreError> {
    if disk.list(path).is_ok() {
        return Ok(true);
    }
    let parent = path.parent().unwrap_or(path);
    if disk.list(parent).doing("list", parent)?.iter().any(|name| parent.join(name) == path) {
        let moved_to = Some(move_aside(disk, path)?);
        let done = "it was no directory, and was moved away";
        report.files.push(RepairedFile { file: path.to_owned(), moved_to, offset: 0, lost: 0, done });
    }
    Ok(false)
}

fn repair_manifest(
    disk: &dyn Disk,
    dir: &Path,
    report: &mut RepairReport,
) -> Result<TopManifest, StoreError> {
    let file = TopManifest::file(dir);
    let found = match TopManifest::read(disk, dir) {
        Ok(found) => found,
        Err(err) if err.is_damage() || is_unreadable(&err) => None,
        Err(err) => return Err(err),
    };
    if let Some(found) = &found
        && check_newest(disk, dir, found).is_ok()
    {
        return Ok(found.clone());
    }
    let rebuilt = rebuild(disk, dir, found, report)?;
    let is_there = disk.list(dir).doing("list", dir)?.iter().any(|name| dir.join(name) == file);
    // A copy first: what stands there may be what is right, and the directory what is wrong.
    let moved_to = is_there.then(|| move_aside(disk, &file)).transpose()?;
    rebuilt.write(disk, dir)?;
    let done = "written anew from the partitions there are";
    report.files.push(RepairedFile { file, moved_to, offset: 0, lost: 0, done });
    Ok(rebuilt)
}

/// Returns the manifest that the sets there tell of.
fn rebuild(
    disk: &dyn Disk,
    dir: &Path,
    found: Option<TopManifest>,
    report: &mut RepairReport,
) -> Result<TopManifest, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    let in_force = Some(sets::choose(disk, dir, report)?);
    let parts = found.map(|found| found.parts).unwrap_or_default();
    let there = names.iter().filter(|name| name.ends_with(STORE));
    let parts = parts.into_iter().chain(there.cloned()).collect();
    Ok(TopManifest { in_force, parts, ..TopManifest::default() })
}

/// Gives the directories of partitions the names that their manifests tell.
fn put_partitions_right(
    disk: &dyn Disk,
    dir: &Path,
    set: PartitionSet,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let set_dir = set.dir(dir);
    let number_of = |path: &Path| {
        let place = place_of(disk, path).filter(|place| place.set == set.id)?;
        (place.partitions == set.partitions).then_some(place.partition)
    };
    // Each round puts one in its place; there are no more rounds than partitions.
    for _ in 0..=set.partitions {
        let names = disk.list(&set_dir).unwrap_or_default();
        let ours = names.iter().filter(|name| name.strip_suffix(AWAY).unwrap_or(name).parse::<u32>().is_ok());
        let misplaced = ours.map(|name| set_dir.join(name)).find_map(|path| {
            let right = set_dir.join(number_of(&path)?.to_string());
            // Where the place is taken rightly, this is a copy, and is left where it is.
            (path != right && (disk.list(&right).is_err() || !is_right(number_of(&right), &right)))
                .then_some((path, right))
        });
        let Some((path, right)) = misplaced else { return Ok(()) };
        if disk.list(&right).is_ok() {
            let away = PathBuf::from(format!("{}{AWAY}", right.display()));
            disk.rename(&right, &away).doing("rename", &right)?;
        }
        disk.rename(&path, &right).doing("rename", &path)?;
        disk.sync_dir(&set_dir).doing(SYNC, &set_dir)?;
        let done = "it stood in the place of another partition, and was put in its own";
        report.files.push(RepairedFile { file: path, moved_to: Some(right), offset: 0, lost: 0, done });
    }
    Ok(())
}

fn is_right(number: Option<u32>, path: &Path) -> bool {
    number.is_some_and(|number| path.ends_with(number.to_string()))
}

/// Makes sure that the directory of a partition is there, and is of this set.
fn repair_place(disk: &dyn Disk, site: &Site, report: &mut RepairReport) -> Result<(), StoreError> {
    if is_dir(disk, &site.dir, report)? {
        let others = place_of(disk, &site.dir).filter(|place| *place != site.place);
        return match others {
            None => repair_empty(disk, site, report),
            Some(_) => replace_other(disk, site, report),
        };
    }
    site.begin(disk)?;
    report.lost_partitions += 1;
    let done = "missing as a whole, so that its content cannot be counted; begun anew, and empty: put it \
                back, and its vehicles are there again";
    report.files.push(RepairedFile { file: site.dir.clone(), moved_to: None, offset: 0, lost: 0, done });
    Ok(())
}

/// Begins a partition whose directory holds nothing at all.
fn repair_empty(disk: &dyn Disk, site: &Site, report: &mut RepairReport) -> Result<(), StoreError> {
    move_if_no_file(disk, &PartitionManifest::file(&site.dir), report)?;
    let is_empty = disk.list(&site.dir).doing("list", &site.dir)?.is_empty();
    if is_empty {
        site.begin(disk)?;
        report.lost_partitions += 1;
        let done = "empty, as a volume that is not mounted: its content is missing as a whole, \
                    and cannot be counted; begun anew";
        report.files.push(RepairedFile { file: site.dir.clone(), moved_to: None, offset: 0, lost: 0, done });
    }
    Ok(())
}

/// Moves away the partition of another set or place. It may hold another fleet.
fn replace_other(disk: &dyn Disk, site: &Site, report: &mut RepairReport) -> Result<(), StoreError> {
    let moved_to = Some(move_aside(disk, &site.dir)?);
    site.begin(disk)?;
    report.lost_partitions += 1;
    let done = "of another set of partitions, and moved away; begun anew, and empty: its own content \
                is missing as a whole, and cannot be counted";
    report.files.push(RepairedFile { file: site.dir.clone(), moved_to, offset: 0, lost: 0, done });
    Ok(())
}

/// Takes from the manifest the parts that are gone, so that they are made anew at the next start.
fn forget_lost_parts(
    disk: &dyn Disk,
    dir: &Path,
    mut manifest: TopManifest,
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let (mut lost, mut kept) = (Vec::new(), std::collections::BTreeSet::new());
    for part in std::mem::take(&mut manifest.parts) {
        let file = dir.join(&part);
        match disk.open(&file).and_then(|open| open.size()) {
            Ok(1..) => drop(kept.insert(part)),
            Err(err)
                if err.kind() != std::io::ErrorKind::NotFound
                    && err.kind() != std::io::ErrorKind::IsADirectory =>
            {
                return Err(err).doing("open", &file);
            }
            _ => lost.push(file),
        }
    }
    manifest.parts = kept;
    if lost.is_empty() {
        return Ok(());
    }
    for file in lost {
        let is_there = disk.list(dir).doing("list", dir)?.iter().any(|name| dir.join(name) == file);
        let moved_to = is_there.then(|| move_aside(disk, &file)).transpose()?;
        let done = "lost; it is made anew at the next start";
        report.files.push(RepairedFile { file, moved_to, offset: 0, lost: 0, done });
    }
    manifest.write(disk, dir)
}
