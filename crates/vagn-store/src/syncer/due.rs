//! The work that the writer of a partition leaves to its syncers.

use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, SYNC_LOG, StoreError};
use crate::log::LogPosition;
use crate::log::segment::Segment;
use crate::manifest::partition::{NamedSegment, PartitionManifest};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A snapshot that is written and waits to be made durable and to get its name.
pub(crate) struct Finished {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) temp: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) position: LogPosition,
    /// Index before which all records must be durable when it gets its name: it vouches for them.
    pub(crate) complete_at: u64,
}

/// Work that is due, and the manifest as it is to be.
pub(super) struct Due {
    pub(super) manifest: PartitionManifest,
    /// The manifest on the disk does not yet say the same.
    pub(super) unnamed: bool,
    /// Segments with unsynced records, oldest first; the last is being written.
    files: Vec<Unsynced>,
    /// Number of the next one in `files`.
    next: u64,
    /// Segments were created since the directory was synced.
    pub(super) entries: bool,
    pub(super) snapshot: Option<Finished>,
    /// Position of the last snapshot that got its name, until the writer asks for it.
    pub(super) named: Option<LogPosition>,
    /// Files that no manifest names.
    pub(super) removals: Vec<PathBuf>,
    /// Segments that are to leave the manifest before they go.
    pub(super) retired: Vec<PathBuf>,
}

/// A segment with unsynced records.
#[derive(Clone)]
pub(super) struct Unsynced {
    number: u64,
    file: SegmentFile,
}

#[derive(Clone)]
enum SegmentFile {
    Open(Arc<dyn DiskFile>),
    /// From before this process. There may be more of these than files can be open, so each is opened for its sync only.
    Closed(PathBuf),
}

/// Work of one sync.
pub(super) struct Batch {
    pub(super) files: Vec<Unsynced>,
    pub(super) entries: bool,
    pub(super) manifest: Option<PartitionManifest>,
}

impl Due {
    pub(super) fn new(manifest: PartitionManifest) -> Due {
        Due {
            manifest,
            unnamed: false,
            files: Vec::new(),
            next: 0,
            entries: false,
            snapshot: None,
            named: None,
            removals: Vec::new(),
            retired: Vec::new(),
        }
    }

    fn push(&mut self, file: SegmentFile) {
        self.files.push(Unsynced { number: self.next, file });
        self.next += 1;
    }

    pub(super) fn begin(&mut self, segment: &Segment, file: Arc<dyn DiskFile>) {
        if let Some(before) = self.manifest.segments.last_mut() {
            before.end = Some(segment.start.record);
        }
        self.manifest.segments.push(NamedSegment { start: segment.start, end: None });
        self.push(SegmentFile::Open(file));
        self.entries = true;
        self.unnamed = true;
    }

    pub(super) fn find(&mut self, path: PathBuf) {
        self.push(SegmentFile::Closed(path));
    }

    pub(super) fn retire(&mut self, segment: Segment) {
        self.manifest.segments.retain(|named| named.start != segment.start);
        self.unnamed = true;
        // Its records are in a snapshot, so that no sync is owed for it.
        self.files
            .retain(|unsynced| !matches!(&unsynced.file, SegmentFile::Closed(path) if *path == segment.path));
        self.retired.push(segment.path);
    }

    /// Takes what the next sync is to do.
    pub(super) fn take(&mut self) -> Batch {
        Batch {
            files: self.files.clone(),
            entries: std::mem::take(&mut self.entries),
            manifest: std::mem::take(&mut self.unnamed).then(|| self.manifest.clone()),
        }
    }

    /// Takes back what could not be done.
    pub(super) fn put_back(&mut self, batch: &Batch) {
        self.entries |= batch.entries;
        self.unnamed |= batch.manifest.is_some();
    }

    /// Notes that a batch is synced.
    pub(super) fn done(&mut self, batch: &Batch) {
        // The last one is being written, or was until now, and stays due.
        let last = batch.files.last().map_or(0, |unsynced| unsynced.number);
        self.files.retain(|unsynced| unsynced.number >= last);
    }
}

impl Unsynced {
    pub(super) fn sync(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
        match &self.file {
            SegmentFile::Open(file) => file.sync().doing(SYNC_LOG, dir),
            SegmentFile::Closed(path) => disk.open(path).doing("open", path)?.sync().doing(SYNC_LOG, dir),
        }
    }
}
