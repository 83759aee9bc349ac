//! A log in memory, for tests of what is written to it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;
use tracing::subscriber::{self, DefaultGuard};

/// A log. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Takes what this thread writes to its log from level INFO on, for as long as the guard lives.
    pub(super) fn take_all(&self) -> DefaultGuard {
        let log = self.clone();
        let format = tracing_subscriber::fmt().with_ansi(false).with_max_level(Level::INFO);
        subscriber::set_default(format.with_writer(move || log.clone()).finish())
    }

    /// Returns the lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.0.lock()).lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
