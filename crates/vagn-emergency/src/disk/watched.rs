//! A storage that remembers a failed sync, even if the database above does not.
//!
//! After a failed `fdatasync` Linux may drop the dirty pages and call the next one a success. So the failure is noted
//! here, for good.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// Another storage, with a flag for a failed sync.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    inner: S,
    sync_failed: Arc<AtomicBool>,
}

impl<S: StorageBackend> Watched<S> {
    /// Watches `inner`. The returned flag turns true with the first failed sync.
    pub(crate) fn new(inner: S) -> (Self, Arc<AtomicBool>) {
        let sync_failed = Arc::new(AtomicBool::new(false));
        (Self { inner, sync_failed: sync_failed.clone() }, sync_failed)
    }
}

impl<S: StorageBackend> StorageBackend for Watched<S> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data().inspect_err(|_| self.sync_failed.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}
