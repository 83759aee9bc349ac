//! A storage in memory that stands still while a test wants it to.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

/// A storage with a gate: its syncs stand still while the gate is closed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gated {
    inner: Arc<InMemoryBackend>,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gated {
    pub(crate) fn closed() -> Self {
        let gated = Self::default();
        gated.close();
        gated
    }

    pub(crate) fn open(&self) {
        *self.gate.is_closed.lock() = false;
        self.gate.opened.notify_all();
    }

    pub(crate) fn close(&self) {
        *self.gate.is_closed.lock() = true;
    }

    /// Returns as soon as the gate is open.
    pub(crate) fn pass(&self) {
        self.gate.opened.wait_while(&mut self.gate.is_closed.lock(), |is_closed| *is_closed);
    }
}

impl StorageBackend for Gated {
    fn len(&self) -> std::io::Result<u64> {
        self.inner.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.inner.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.inner.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.pass();
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.inner.write(offset, data)
    }
}
