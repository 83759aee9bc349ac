//! Standard output of commands that serve: written by a thread of its own, because a reader that stalls must hold up neither the
//! work nor the stop.

use std::io::{Write, stdout};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};

/// Lines that may wait for the reader of standard output.
const LINES_WAITING: usize = 4_096;

/// Prints lines on standard output, and does not wait for them to be read.
///
/// Dropping it waits a second or so for the last lines, or longer where standard output is stuck: leave that to a thread that is
/// not waited for.
#[derive(Debug)]
pub(super) struct Printer {
    lines: NonBlocking,
    lost: ErrorCounter,
    _writer: WorkerGuard,
}

impl Printer {
    pub(super) fn new() -> Self {
        let queue = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES_WAITING);
        let (lines, writer) = queue.thread_name("print").finish(stdout());
        let lost = lines.error_counter();
        Self { lines, lost, _writer: writer }
    }

    /// Prints `text` as a whole, or drops and counts it when too many lines wait.
    pub(super) fn print(&self, text: &str) {
        // A lossy queue takes or drops; it never fails.
        self.lines.clone().write_all(text.as_bytes()).ok();
    }

    /// Number of texts that were dropped.
    pub(super) fn lost(&self) -> usize {
        self.lost.dropped_lines()
    }
}
