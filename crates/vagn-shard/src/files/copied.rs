//! The files of a copy: those of a node that has every shard, made and read back without a node.
//!
//! A shard of a copy is a snapshot whose log has no segment yet, as right after it was installed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_cluster::{CopyRecord, ShardCopy, ShardId};
use vagn_store::disk::Disk;

use super::error::{Doing, FilesError};
use super::frame::LogId;
use super::note;
use super::site::{FilesSettings, NotReplaced, Site};
use super::snapshot::{self, NoSnapshot};
use super::{manifest, site};
use crate::content::FleetShard;

/// Number of the log that goes with the snapshot of a shard: that of the first one.
const LOG: u64 = 1;

/// The files of a copy that is being made.
pub struct CopyFiles {
    site: Site,
}

/// Reason why the files of a copy are not what they should be.
#[derive(Debug, thiserror::Error)]
pub enum CopyFault {
    /// They cannot be opened.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The record of assignment cannot be read.
    #[error("{} cannot be read", .file.display())]
    Record {
        /// The file.
        file: PathBuf,
    },
    /// A shard is missing, or cannot be read.
    #[error("shard {shard} of the copy cannot be read: {why}")]
    Shard {
        /// Its number.
        shard: u16,
        /// What is wrong with it.
        why: String,
    },
    /// A shard began a new epoch between its own copy and that of the record.
    #[error("shard {shard} began a new epoch while it was copied; make the copy again")]
    Overtaken {
        /// Its number.
        shard: u16,
    },
}

impl CopyFiles {
    /// Makes the directory `dir`, which is not there, for the shards of this data set.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn begin(disk: Arc<dyn Disk>, dir: &Path, data_set: &str) -> Result<Self, FilesError> {
        let files = Self { site: of(disk, dir, data_set) };
        files.site.disk.create_dir(dir).doing("create", dir)?;
        manifest::begin(&files.site)?;
        Ok(files)
    }

    /// Puts a shard in, durably.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn put(&self, copy: &ShardCopy) -> Result<(), FilesError> {
        let dir = self.site.shard_dir(copy.shard);
        self.site.disk.create_dir(&dir).doing("create", &dir)?;
        let log = LogId { shard: copy.shard, number: LOG };
        let written = snapshot::write(&self.site, log, copy.sequence, &copy.bytes);
        written.map_err(NotReplaced::into_error).doing("write the snapshot in", &dir)
    }

    /// Puts the record of assignment in, durably.
    ///
    /// # Errors
    /// The disk refuses it.
    pub fn put_record(&self, record: &CopyRecord) -> Result<(), FilesError> {
        note::write(&self.site, &record.write()).doing("write", &self.site.root.join(note::FILE))
    }
}

/// Returns the names of all files of a copy of so many shards, below its directory.
pub fn names(shards: u16) -> impl Iterator<Item = String> {
    let of_shards =
        (0..shards).map(|shard| format!("{}/{}", site::shard_name(ShardId(shard)), snapshot::FILE));
    of_shards.chain([manifest::FILE, note::FILE].map(str::to_owned))
}

/// Reads the files of a copy back as a start would, and calls `take` with each shard and what it holds. Changes nothing.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check(
    disk: Arc<dyn Disk>,
    dir: &Path,
    data_set: &str,
    mut take: impl FnMut(&ShardCopy, &FleetShard),
) -> Result<(), CopyFault> {
    let site = of(disk, dir, data_set);
    let file = dir.join(note::FILE);
    let unread = || CopyFault::Record { file: file.clone() };
    if !manifest::check(&site)? {
        return Err(unread());
    }
    let note::FoundNote::Note(bytes) = note::read(&site) else { return Err(unread()) };
    let record = CopyRecord::read(&bytes).map_err(|_| unread())?;
    for shard in 0..record.shards() {
        let fault = |why: String| CopyFault::Shard { shard, why };
        let read = snapshot::read(&*site.disk, &site.shard_dir(ShardId(shard)), ShardId(shard));
        let read = read.map_err(|reason| fault(said(reason)))?;
        let (copy, state) = ShardCopy::read::<FleetShard>(ShardId(shard), read.content)
            .map_err(|_| fault("its content is damaged".to_owned()))?;
        if !record.has(&copy) {
            return Err(CopyFault::Overtaken { shard });
        }
        take(&copy, &state);
    }
    Ok(())
}

fn of(disk: Arc<dyn Disk>, dir: &Path, data_set: &str) -> Site {
    // What the copy needs was looked for before.
    let settings = FilesSettings { free_floor_bytes: 0, ..FilesSettings::new(data_set) };
    Site { disk, root: dir.to_owned(), settings }
}

fn said(reason: NoSnapshot) -> String {
    match reason {
        NoSnapshot::Missing => io::Error::from(io::ErrorKind::NotFound).to_string(),
        NoSnapshot::Damaged => "its file is damaged".to_owned(),
        NoSnapshot::Version(version) => format!("it is of version {version}, which is not known here"),
        NoSnapshot::Io(err) => err.to_string(),
    }
}
