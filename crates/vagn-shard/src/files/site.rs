//! The directory of a node's files: the names in it, and the way in which a whole file takes the place of another.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vagn_cluster::ShardId;
use vagn_store::disk::{Disk, DiskFile};

/// Settings of the files of a node.
#[derive(Debug, Clone)]
pub struct FilesSettings {
    /// Name of the data set: files of another one are refused.
    pub data_set: String,
    /// Free bytes below which nothing more is written, so that what is more precious still can be.
    pub free_floor_bytes: u64,
    /// Length at which a segment of a log is full, in bytes.
    pub segment_bytes: u64,
}

impl FilesSettings {
    /// Returns the settings of a service that names no others.
    pub fn new(data_set: &str) -> Self {
        Self { data_set: data_set.to_owned(), free_floor_bytes: 256 << 20, segment_bytes: 64 << 20 }
    }
}

/// Ending of files that are written aside.
pub(super) const TEMPORARY: &str = ".tmp";

/// Begins the names of folders of shards.
const SHARD: &str = "shard-";

/// Begins the names of folders on their way out.
const REMOVING: &str = "removing-";

/// The directory of a node's files.
pub(super) struct Site {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    pub(super) settings: FilesSettings,
}

/// Failure to put a file in the place of another.
#[derive(Debug)]
pub(super) enum NotReplaced {
    /// The old file is still there.
    Before(io::Error),
    /// After a loss of power it may be the one or the other.
    Unknown(io::Error),
}

impl NotReplaced {
    pub(super) fn into_error(self) -> io::Error {
        match self {
            Self::Before(err) | Self::Unknown(err) => err,
        }
    }
}

impl Site {
    pub(super) fn shard_dir(&self, shard: ShardId) -> PathBuf {
        self.root.join(shard_name(shard))
    }

    pub(super) fn removing_dir(&self, shard: ShardId) -> PathBuf {
        self.root.join(format!("{REMOVING}{}", shard.0))
    }

    /// Checks that `bytes` more leave the room that is to stay free.
    pub(super) fn check_room(&self, bytes: u64) -> io::Result<()> {
        let free = self.disk.free_space(&self.root)?;
        let floor = self.settings.free_floor_bytes;
        if free >= floor.saturating_add(bytes) {
            return Ok(());
        }
        let what = format!("only {free} bytes are free, and {floor} are to stay free");
        Err(io::Error::new(io::ErrorKind::StorageFull, what))
    }

    /// Puts what `fill` writes under the name `to`: a crash leaves the old content or the new.
    pub(super) fn replace(
        &self,
        to: &Path,
        fill: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
    ) -> Result<(), NotReplaced> {
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let aside = to.with_file_name(format!("{name}{TEMPORARY}"));
        // Synced before the rename: else a crash could leave the new name over content that never arrived.
        let written = self.disk.create(&aside).and_then(|file| fill(&*file).and_then(|()| file.sync()));
        if let Err(err) = written.and_then(|()| self.disk.rename(&aside, to)) {
            // It would take up room that others need; if it stays, the next try or start removes it.
            let _removed = self.disk.remove(&aside);
            return Err(NotReplaced::Before(err));
        }
        self.disk.sync_dir(to.parent().unwrap_or(&self.root)).map_err(NotReplaced::Unknown)
    }
}

/// Returns the name of a shard's folder.
pub(super) fn shard_name(shard: ShardId) -> String {
    format!("{SHARD}{}", shard.0)
}

/// Returns the shard whose folder has this name.
pub(super) fn shard_of(name: &str) -> Option<ShardId> {
    let number: u16 = name.strip_prefix(SHARD)?.parse().ok()?;
    // Only as it is written: `01` and `+1` are not ours.
    (format!("{SHARD}{number}") == name).then_some(ShardId(number))
}

/// Returns true for a folder on its way out.
pub(super) fn is_removing(name: &str) -> bool {
    name.starts_with(REMOVING)
}
