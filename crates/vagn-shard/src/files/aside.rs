//! Keeps aside what is damaged: whatever it is, it may be all that is left of something.
//!
//! Each find has a folder of its own beside those of the shards, `damaged-3-1`, `damaged-3-2` and so on for shard 3. Nothing here ever
//! removes one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_cluster::ShardId;
use vagn_store::disk::DiskFile;

use super::site::Site;

/// Begins the names of folders with what was damaged.
const DAMAGED: &str = "damaged-";

/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// Stands in the name of the end of a file, before the offset at which it began.
pub(super) const FROM: &str = ".from-";

/// Makes a folder for what is damaged of a shard.
pub(super) fn folder(site: &Site, shard: ShardId) -> io::Result<PathBuf> {
    let last = numbers(site, shard)?.last().copied().unwrap_or(0);
    let folder = path(site, shard, last + 1);
    site.disk.create_dir(&folder)?;
    Ok(folder)
}

/// Returns the folders with what was found damaged of a shard, the oldest first.
pub(super) fn folders(site: &Site, shard: ShardId) -> io::Result<Vec<PathBuf>> {
    Ok(numbers(site, shard)?.into_iter().map(|number| path(site, shard, number)).collect())
}

/// Returns the shard of a folder with this name.
pub(super) fn shard_of(name: &str) -> Option<ShardId> {
    let (shard, _) = name.strip_prefix(DAMAGED)?.split_once('-')?;
    shard.parse().ok().map(ShardId)
}

fn path(site: &Site, shard: ShardId, number: u64) -> PathBuf {
    site.root.join(format!("{DAMAGED}{}-{number}", shard.0))
}

fn numbers(site: &Site, shard: ShardId) -> io::Result<Vec<u64>> {
    let prefix = format!("{DAMAGED}{}-", shard.0);
    let names = site.disk.list(&site.root)?;
    let numbers = names.iter().filter_map(|name| name.strip_prefix(&prefix)?.parse().ok());
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Moves files into a folder, durably, from the last to the first: a crash in between leaves the beginning of a log.
pub(super) fn move_into<'a>(
    site: &Site,
    folder: &Path,
    files: impl DoubleEndedIterator<Item = &'a Path>,
) -> io::Result<()> {
    let mut left = None;
    for file in files.rev() {
        let Some((name, dir)) = file.file_name().zip(file.parent()) else { continue };
        site.disk.rename(file, &folder.join(name))?;
        left = Some(dir);
    }
    // Where they are first: a loss of power may leave two names, and not none.
    site.disk.sync_dir(folder)?;
    left.map_or(Ok(()), |dir| site.disk.sync_dir(dir))
}

/// Copies the end of a file into a folder, durably.
pub(super) fn copy_end(
    site: &Site,
    folder: &Path,
    file: &Arc<dyn DiskFile>,
    path: &Path,
    from: u64,
) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let copy = site.disk.create(&folder.join(format!("{name}{FROM}{from}")))?;
    let mut at = from;
    let mut piece = vec![0; CHUNK];
    loop {
        let got = file.read_at(at, &mut piece)?;
        if got == 0 {
            break;
        }
        copy.append(&piece[..got])?;
        at += got as u64;
    }
    copy.sync()?;
    site.disk.sync_dir(folder)
}
