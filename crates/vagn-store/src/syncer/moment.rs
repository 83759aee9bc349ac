//! A moment of a partition that is being written: all before it is durable, and what it is made of stays for as long as it is
//! held. The writer goes on meanwhile.

use super::shared::Shared;
use crate::error::StoreError;
use crate::log::LogPosition;
use crate::manifest::partition::PartitionManifest;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A moment of a partition.
pub(crate) struct Moment {
    shared: Arc<Shared>,
    /// The manifest as it would be had the writer closed the partition then.
    pub(crate) manifest: PartitionManifest,
}

impl Moment {
    /// Syncs the log, and takes the moment at its durable end: it has all that was written before the call.
    ///
    /// # Errors
    /// When the partition cannot be synced.
    pub(crate) fn take(shared: Arc<Shared>) -> Result<Moment, StoreError> {
        // Before anything is looked at. It lasts until the moment is dropped.
        shared.holds.fetch_add(1, Ordering::AcqRel);
        let mut moment = Moment { manifest: shared.manifest(), shared };
        moment.manifest = moment.shared.clone().closed_manifest()?;
        Ok(moment)
    }

    /// Returns the directory of the partition.
    pub(crate) fn dir(&self) -> &Path {
        &self.shared.dir
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.shared.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Shared {
    fn manifest(&self) -> PartitionManifest {
        self.due.lock().manifest.clone()
    }

    /// Syncs the log, and returns the manifest of the partition as if it had been closed at its durable end.
    fn closed_manifest(&self) -> Result<PartitionManifest, StoreError> {
        // No snapshot gets its name between the sync and the look at the manifest.
        let _turn = self.turn();
        self.sync_log()?;
        let end = self.durable.load();
        Ok(closed_at(self.manifest(), end))
    }
}

/// Returns the manifest of a partition as if it had been closed at `end`, up to where it is durable.
fn closed_at(mut manifest: PartitionManifest, end: LogPosition) -> PartitionManifest {
    // The writer may have begun others meanwhile.
    manifest.segments.retain(|segment| segment.start.record <= end.record);
    for segment in &mut manifest.segments {
        segment.end = segment.end.filter(|behind| *behind <= end.record);
    }
    manifest.synced = manifest.synced.max(end.record);
    manifest.closed_at = Some(end);
    manifest
}
