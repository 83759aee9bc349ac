//! Repair of the counts that tell a partition, or the manifest of a data directory, of an earlier time.

use super::{RepairReport, RepairedFile};
use crate::disk::Disk;
use crate::error::StoreError;
use crate::manifest::partition::PartitionManifest;
use crate::manifest::top::TopManifest;
use crate::partition::site::Site;
use std::path::Path;

/// Brings the counts in the manifest of the data directory to those of the partitions that are from another time, which are
/// taken as they are. Gives the sites the counts.
pub(super) fn repair(
    disk: &dyn Disk,
    dir: &Path,
    manifest: &mut TopManifest,
    sites: &mut [Site],
    report: &mut RepairReport,
) -> Result<(), StoreError> {
    let before = manifest.opened.clone();
    for site in sites {
        let partition = site.place.partition;
        // One that cannot be read is written anew, with the count that is known here.
        if let Some(opened) = opened(disk, site)?
            && follow(dir, site, manifest.opened(partition), opened, report)
        {
            manifest.opened.insert(partition, opened);
        }
        site.opened = Some(manifest.opened(partition));
    }
    if manifest.opened == before { Ok(()) } else { manifest.write(disk, dir) }
}

fn opened(disk: &dyn Disk, site: &Site) -> Result<Option<u64>, StoreError> {
    match PartitionManifest::read(disk, &site.dir) {
        Ok(manifest) => Ok(manifest.filter(|it| it.place == site.place).map(|manifest| manifest.opened)),
        Err(err) if err.is_damage() => Ok(None),
        Err(err) => Err(err),
    }
}

/// Reports what is from another time. Returns false when nothing is.
fn follow(dir: &Path, site: &Site, counted: u64, opened: u64, report: &mut RepairReport) -> bool {
    let (file, done) = if opened < counted {
        (site.dir.clone(), "from an earlier time; taken as it is, and what came later is lost")
    } else if opened > counted + 1 {
        (TopManifest::file(dir), "from an earlier time than a partition; its count follows what is there")
    } else {
        // As at a start: one more is of an opening that was cut off.
        return false;
    };
    // One that was begun anew is in the report already.
    if report.files.iter().all(|told| told.file != file) {
        report.files.push(RepairedFile { file, moved_to: None, offset: 0, lost: 0, done });
    }
    true
}
