//! The beginning of a data directory, and what a start makes of the manifest that it finds.

use super::leftovers;
use crate::disk::{Disk, read_all};
use crate::error::{Doing, StoreError};
use crate::manifest::top::{PartitionSet, TopManifest};
use crate::manifest::{FORMAT, SetId};
use crate::partition::site::Site;
use std::path::Path;

/// File in which format 2 kept its layout.
const LAYOUT_BEFORE: &str = "partitions";

/// Ending of stores that other crates keep in the directory.
pub(crate) const STORE: &str = ".redb";

/// Reads the manifest, or makes one in a new directory for `partitions` partitions. Returns it with the set in force.
pub(super) fn manifest(
    disk: &dyn Disk,
    dir: &Path,
    partitions: u32,
    chance: u64,
) -> Result<(TopManifest, PartitionSet), StoreError> {
    let mut manifest = match TopManifest::read(disk, dir)? {
        Some(manifest) => manifest,
        None => begin(disk, dir, partitions, chance)?,
    };
    leftovers::check_newest(disk, dir, &manifest)?;
    let in_force = match (manifest.in_force, manifest.making) {
        (Some(in_force), None) => in_force,
        (Some(in_force), Some(making)) => {
            // A change of the number of partitions that was cut off: nothing in it was ever answered for.
            if leftovers::remove(disk, dir, making, true)? {
                manifest.making = None;
                manifest.write(disk, dir)?;
            }
            in_force
        }
        (None, making) => {
            let first = making.ok_or(StoreError::corrupt(&TopManifest::file(dir), 0, "it names no set"))?;
            Site::all(dir, first, false).iter().try_for_each(|site| site.begin(disk))?;
            manifest = TopManifest { in_force: Some(first), making: None, ..manifest };
            manifest.write(disk, dir)?;
            first
        }
    };
    Ok((manifest, in_force))
}

/// Makes the manifest of a new directory. It is the first file that is ever written there.
fn begin(disk: &dyn Disk, dir: &Path, partitions: u32, chance: u64) -> Result<TopManifest, StoreError> {
    check_new(disk, dir)?;
    let first = PartitionSet { number: 1, id: SetId::draw(chance, 1), partitions };
    let manifest = TopManifest { making: Some(first), ..TopManifest::default() };
    manifest.write(disk, dir)?;
    Ok(manifest)
}

/// Checks that nothing in the directory tells of a manifest that is gone.
fn check_new(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let layout = dir.join(LAYOUT_BEFORE);
    if let Ok(open) = disk.open(&layout) {
        let text = read_all(&*open).doing("read", &layout)?;
        let text = String::from_utf8_lossy(&text);
        let found = text.lines().next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
        return Err(StoreError::Format { file: layout, found: found.unwrap_or(2), newest: FORMAT });
    }
    let names = disk.list(dir).doing("list", dir)?;
    let told = names.iter().find(|name| PartitionSet::number_of(name).is_some() || name.ends_with(STORE));
    match told {
        Some(name) => Err(StoreError::Missing { file: TopManifest::file(dir), manifest: dir.join(name) }),
        None => Ok(()),
    }
}
