//! The file of a partition's census: where it is, and how it is written.
//!
//! ```text
//! census/0-of-4           the census of partition 0 of 4
//! census/0-of-4.tmp       one that is being written
//! census/0-of-4.kept-…    one that could not be read, set aside with the time, ms since 1970
//!
//! head     "vagncens" · version u32 · partition u32 · partitions u32 · key of the hash, 16 bytes
//! entries  u64 each: hash of a vehicle << 4 | its rounds, 1 to 10; in no order
//! end      latest receive number that was counted u64 · CRC-32C of all before u32
//! ```
//! All numbers are little-endian. It is written in pieces, so what is known only in the end stands there; and under another name, so that
//! a crash leaves the old one or the new one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_store::disk::{Disk, DiskFile};

use super::read::{CensusError, Remembered};
use super::vehicle_hash::{HashKey, KEY_BYTES};

/// Directory of the census, beside the incidents.
pub const CENSUS_DIR: &str = "census";

pub(super) const MAGIC: &[u8; 8] = b"vagncens";
pub(super) const VERSION: u32 = 1;
pub(super) const HEAD_BYTES: usize = MAGIC.len() + 3 * size_of::<u32>() + KEY_BYTES;
pub(super) const END_BYTES: usize = size_of::<u64>() + size_of::<u32>();
pub(super) const ENTRY_BYTES: usize = size_of::<u64>();

/// A partition among all of them. In a cluster: a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) of: u32,
}

/// Returns the names of the files of the census in `dir`, which is [`CENSUS_DIR`] in the directory of the incidents.
pub fn census_files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| Part::of_name(name).is_some()).collect();
    names.sort_unstable();
    names
}

impl Part {
    /// Reads a name of a file. Only what is written so is ours.
    fn of_name(name: &str) -> Option<Self> {
        let (number, of) = name.split_once("-of-")?;
        let part = Self { number: number.parse().ok()?, of: of.parse().ok()? };
        (part.name() == name).then_some(part)
    }

    fn name(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }

    fn head(self, key: HashKey) -> Vec<u8> {
        let numbers = [VERSION, self.number, self.of].map(u32::to_le_bytes);
        [&MAGIC[..], numbers.as_flattened(), &key.to_bytes()].concat()
    }
}

/// The files of all partitions.
pub(super) struct CensusFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    of: u32,
}

impl CensusFiles {
    /// Returns the files of `of` partitions in `dir`, which is made when it is needed.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, of: u32) -> Self {
        Self { disk, dir, of }
    }

    /// Removes what was written for another number of partitions: in it vehicles are elsewhere.
    pub(super) fn tidy(&self) {
        for name in self.disk.list(&self.dir).unwrap_or_default() {
            if Part::of_name(&name).is_some_and(|part| part.of != self.of) {
                // One that stays is looked at by nobody.
                let _removed = self.disk.remove(&self.dir.join(name));
            }
        }
    }

    fn part(&self, number: usize) -> Part {
        Part { number: number as u32, of: self.of }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.dir.join(self.part(number).name())
    }

    /// Reads the file of a partition; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is none of this version that is whole.
    pub(super) fn read(&self, number: usize) -> Result<Option<Remembered>, CensusError> {
        match self.disk.open(&self.path(number)) {
            Ok(file) => {
                let len = file.size()?;
                Remembered::read(&mut Reading { file: &*file, at: 0 }, len, self.part(number)).map(Some)
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    /// Gives the file of a partition another name, with this time, and returns it.
    pub(super) fn set_aside(&self, number: usize, now_ms: i64) -> io::Result<PathBuf> {
        let from = self.path(number);
        let to = from.with_extension(format!("kept-{now_ms}"));
        self.disk.rename(&from, &to)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(to)
    }

    /// Begins a new file of a partition for so many vehicles at most, if that leaves `spare` bytes free.
    pub(super) fn begin(
        &self,
        number: usize,
        key: HashKey,
        vehicles: usize,
        spare: u64,
    ) -> io::Result<CensusWriter<'_>> {
        self.disk.create_dir(&self.dir)?;
        let needed = (vehicles * ENTRY_BYTES + HEAD_BYTES + END_BYTES) as u64;
        if self.disk.free_space(&self.dir)? < needed.saturating_add(spare) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let to = self.path(number);
        let temporary = to.with_extension("tmp");
        let file = self.disk.create(&temporary)?;
        let mut writer = CensusWriter { files: self, file, temporary, to, crc: 0 };
        writer.append(&self.part(number).head(key))?;
        Ok(writer)
    }
}

/// A file that is being written. Dropped unfinished it leaves the old one.
pub(super) struct CensusWriter<'a> {
    files: &'a CensusFiles,
    file: Arc<dyn DiskFile>,
    temporary: PathBuf,
    to: PathBuf,
    crc: u32,
}

impl CensusWriter<'_> {
    /// Writes some entries.
    pub(super) fn add(&mut self, entries: &[u64]) -> io::Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        self.append(&bytes)
    }

    /// Ends the file, and puts it in the place of the old one, durably.
    pub(super) fn finish(mut self, latest: u64) -> io::Result<()> {
        self.append(&latest.to_le_bytes())?;
        let crc = self.crc;
        self.append(&crc.to_le_bytes())?;
        self.file.sync()?;
        self.files.disk.rename(&self.temporary, &self.to)?;
        self.files.disk.sync_dir(&self.files.dir)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.file.append(bytes)
    }
}

impl Drop for CensusWriter<'_> {
    /// It would take up room that others may need. Once it is finished, nothing has that name.
    fn drop(&mut self) {
        let _removed = self.files.disk.remove(&self.temporary);
    }
}

/// A file that is read from its beginning.
struct Reading<'a> {
    file: &'a dyn DiskFile,
    at: u64,
}

impl io::Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(self.at, buffer)?;
        self.at += got as u64;
        Ok(got)
    }
}
