//! Keeps aside what is cut from the end of a log: whatever it is, it may be all that is left of something.
//!
//! Each cut has a directory of its own beside the segments, `cut-1`, `cut-2` and so on, which nothing here ever removes. In
//! it are whole segments under their names, and the end of the segment that was cut, under its name and the offset from which
//! it was taken.

use super::reader::Cut;
use super::segment::Segment;
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError, WRITE};
use crate::manifest::partition::PartitionManifest;
use std::path::{Path, PathBuf};

const PREFIX: &str = "cut-";

/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// Returns the directories in the partition's directory `dir` that hold the ends of logs, oldest first.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let names = disk.list(dir).doing("list", dir)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers.into_iter().map(|number| dir.join(format!("{PREFIX}{number}"))).collect())
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.parse().ok()
}

/// Makes the cut, durably, and notes where the end was kept. A crash in between leaves a log that is cut in the same place
/// again.
pub(crate) fn cut(
    disk: &dyn Disk,
    dir: &Path,
    cut: &mut Cut,
    manifest: &mut PartitionManifest,
) -> Result<(), StoreError> {
    let mut whole = Segment::list(disk, dir)?;
    whole.retain(|segment| segment.path > cut.file || (segment.path == cut.file && cut.offset == 0));
    cut.kept = keep_end(disk, dir, cut, &whole)?;
    // Before they go: what a manifest names must be there.
    let named = manifest.segments.len();
    manifest.segments.retain(|named| whole.iter().all(|segment| segment.start != named.start));
    if manifest.segments.len() < named {
        manifest.write(disk, dir)?;
    }
    // From the end on, so that what is left is always a log.
    for segment in whole.iter().rev() {
        move_away(disk, segment, cut.kept.as_deref())?;
    }
    if let Some(kept) = &cut.kept {
        disk.sync_dir(kept).doing(SYNC, kept)?;
    }
    disk.sync_dir(dir).doing(SYNC, dir)?;
    if cut.offset == 0 {
        return Ok(());
    }
    let file = disk.open(&cut.file).doing("open", &cut.file)?;
    file.truncate(cut.offset).doing(crate::error::CUT, &cut.file)?;
    file.sync().doing(SYNC, &cut.file)
}

fn move_away(disk: &dyn Disk, segment: &Segment, kept: Option<&Path>) -> Result<(), StoreError> {
    let path = &segment.path;
    match kept.zip(path.file_name()) {
        Some((kept, name)) => disk.rename(path, &kept.join(name)).doing("rename", path),
        None => disk.remove(path).doing("remove", path),
    }
}

/// Makes the directory for a cut, with the end of the file that is cut. Returns none where there is nothing to keep: what was
/// never written reads as zeros.
fn keep_end(
    disk: &dyn Disk,
    dir: &Path,
    cut: &Cut,
    whole: &[Segment],
) -> Result<Option<PathBuf>, StoreError> {
    let end = (cut.offset > 0).then_some((&cut.file, cut.offset));
    let parts = end.into_iter().chain(whole.iter().map(|segment| (&segment.path, 0)));
    let mut blank = true;
    for (path, from) in parts {
        blank = blank && is_blank(disk, path, from)?;
    }
    if blank {
        return Ok(None);
    }
    let before = list(disk, dir)?.pop();
    let name = cut.file.file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{name}.from-{}", cut.offset);
    if let Some(before) = &before
        && cut.offset > 0
        && same(disk, &before.join(&name), cut)?
    {
        // A start that was killed in the middle of this came so far.
        return Ok(Some(before.clone()));
    }
    let last = before.as_deref().and_then(|dir| number_of(dir.file_name()?.to_str()?)).unwrap_or(0);
    let kept = dir.join(format!("{PREFIX}{}", last + 1));
    disk.create_dir(&kept).doing("create", &kept)?;
    if cut.offset > 0 {
        copy_end(disk, cut, &kept.join(name))?;
        disk.sync_dir(&kept).doing(SYNC, &kept)?;
    }
    Ok(Some(kept))
}

fn copy_end(disk: &dyn Disk, cut: &Cut, to: &Path) -> Result<(), StoreError> {
    let copy = disk.create(to).doing("create", to)?;
    each_chunk(disk, &cut.file, cut.offset, &mut |bytes| copy.append(bytes).doing(WRITE, to).map(|()| true))?;
    copy.sync().doing(SYNC, to)
}

/// Returns true when the file `copy` holds the end that is to be cut.
fn same(disk: &dyn Disk, copy: &Path, cut: &Cut) -> Result<bool, StoreError> {
    let Ok(open) = disk.open(copy) else { return Ok(false) };
    let mut at = 0;
    let mut same = true;
    each_chunk(disk, &cut.file, cut.offset, &mut |bytes| {
        let mut copied = vec![0; bytes.len()];
        let got = open.read_at(at, &mut copied).doing("read", copy)?;
        at += bytes.len() as u64;
        same = copied[..got] == *bytes;
        Ok(same)
    })?;
    Ok(same && open.size().doing("measure", copy)? == at)
}

fn is_blank(disk: &dyn Disk, file: &Path, from: u64) -> Result<bool, StoreError> {
    let mut blank = true;
    each_chunk(disk, file, from, &mut |bytes| {
        blank = bytes.iter().all(|byte| *byte == 0);
        Ok(blank)
    })?;
    Ok(blank)
}

/// Calls `visit` for the bytes of a file from `offset` on, until it returns false.
fn each_chunk(
    disk: &dyn Disk,
    file: &Path,
    mut offset: u64,
    visit: &mut dyn FnMut(&[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let open = disk.open(file).doing("open", file)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let got = open.read_at(offset, &mut buffer).doing("read", file)?;
        if got == 0 || !visit(&buffer[..got])? {
            return Ok(());
        }
        offset += got as u64;
    }
}
