//! The bytes of a copy: copied, linked, summed, read back.

use super::{BackupError, BackupProgress, BackupStep, Interrupt};
use crate::disk::Disk;
use crate::error::{Doing, SYNC, StoreError, WRITE};
use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Bytes that are read and written at a time.
const CHUNK: usize = 1 << 20;

/// Length and CRC-32C of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// Work on the bytes of one step, which tells how far it is.
pub(super) struct Work<'a> {
    pub(super) disk: &'a dyn Disk,
    interrupt: Interrupt<'a>,
    step: BackupStep,
    done: u64,
    total: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(disk: &'a dyn Disk, interrupt: Interrupt<'a>, step: BackupStep) -> Work<'a> {
        Work { disk, interrupt, step, done: 0, total: 0 }
    }

    /// Adds to the bytes that are to be done.
    pub(super) fn expect(&mut self, bytes: u64) {
        self.total += bytes;
    }

    fn did(&mut self, bytes: u64) -> Result<(), BackupError> {
        self.done += bytes;
        let progress = BackupProgress { step: self.step, done: self.done, total: self.total.max(self.done) };
        match (self.interrupt)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::Interrupted),
        }
    }

    /// Sums a whole file.
    pub(super) fn sum(&mut self, file: &Path) -> Result<Sum, BackupError> {
        self.read(file, u64::MAX, &mut |_| Ok(()))
    }

    /// Copies a file up to `len`, durably but for its name.
    pub(super) fn copy(&mut self, from: &Path, to: &Path, len: u64) -> Result<Sum, BackupError> {
        let written = self.disk.create(to).doing("create", to)?;
        let sum = self.read(from, len, &mut |bytes| written.append(bytes).doing(WRITE, to))?;
        written.sync().doing(SYNC, to)?;
        Ok(sum)
    }

    fn read(
        &mut self,
        file: &Path,
        len: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<Sum, BackupError> {
        let open = self.disk.open(file).doing("open", file)?;
        let (mut buffer, mut sum) = (vec![0; CHUNK], Sum::default());
        while sum.bytes < len {
            let most = usize::try_from(len - sum.bytes).unwrap_or(CHUNK).min(CHUNK);
            let got = open.read_at(sum.bytes, &mut buffer[..most]).doing("read", file)?;
            if got == 0 {
                break;
            }
            sum.crc = crc32c::crc32c_append(sum.crc, &buffer[..got]);
            sum.bytes += got as u64;
            take(&buffer[..got])?;
            self.did(got as u64)?;
        }
        Ok(sum)
    }
}

/// Returns true when files of `from` can be linked into `to`.
pub(super) fn can_link(disk: &dyn Disk, from: &Path, to: &Path) -> bool {
    let probe = to.join("link.tmp");
    let linked = disk.link(from, &probe).is_ok();
    linked && disk.remove(&probe).is_ok()
}

/// Makes sure that `dir` is there and empty, and that its parent was there before.
pub(super) fn make_empty(disk: &dyn Disk, dir: &Path) -> Result<(), BackupError> {
    match disk.list(dir) {
        Ok(names) if names.is_empty() => return Ok(()),
        Ok(_) => return Err(BackupError::NotEmpty { dir: dir.to_owned() }),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {}
        Err(err) => return Err(err).doing("list", dir).map_err(Into::into),
    }
    let parent = parent_of(dir);
    match disk.list(&parent) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Err(BackupError::NoParent { dir: parent }),
        _ => Ok(disk.create_dir(dir).doing("create", dir)?),
    }
}

fn parent_of(dir: &Path) -> PathBuf {
    let parent = dir.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// Returns an error when there is less room than `needed` below `dir`.
pub(super) fn check_room(disk: &dyn Disk, dir: &Path, needed: u64) -> Result<(), BackupError> {
    let free = disk.free_space(dir).doing("measure the space below", dir)?;
    if free < needed { Err(BackupError::NoRoom { dir: dir.to_owned(), needed, free }) } else { Ok(()) }
}

/// Makes durable the names of all files below `dir`, and its own.
pub(super) fn sync_names<'a>(
    disk: &dyn Disk,
    dir: &Path,
    names: impl Iterator<Item = &'a str>,
) -> Result<(), StoreError> {
    let mut dirs: BTreeSet<PathBuf> = [dir.to_owned(), parent_of(dir)].into();
    for name in names {
        dirs.extend(Path::new(name).ancestors().skip(1).map(|inner| dir.join(inner)));
    }
    dirs.iter().try_for_each(|dir| disk.sync_dir(dir).doing(SYNC, dir))
}
