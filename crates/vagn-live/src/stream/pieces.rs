//! Pieces: events as bytes, in parts that are handed out one by one.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::event::{EventId, EventWriter, StreamEvent};
use super::outlet::Piece;

/// Bytes after which a piece ends with the next event. A connection takes about as much at once: then it need not be woken for the rest.
const PIECE_LEN: usize = 48 << 10;

/// Writes events into pieces.
pub(super) struct Pieces<'a> {
    writer: &'a dyn EventWriter,
    waiting: &'a Arc<AtomicUsize>,
    done: Vec<Piece>,
    open: Vec<u8>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(writer: &'a dyn EventWriter, waiting: &'a Arc<AtomicUsize>) -> Self {
        Self { writer, waiting, done: Vec::new(), open: Vec::new() }
    }

    /// Returns the pieces of a single event.
    pub(super) fn of(mut self, event: &StreamEvent<'_>, id: Option<&EventId>) -> Vec<Piece> {
        self.write(event, id);
        self.finish()
    }

    pub(super) fn write(&mut self, event: &StreamEvent<'_>, id: Option<&EventId>) {
        self.writer.write(&mut self.open, event, id);
        if self.open.len() >= PIECE_LEN {
            self.close();
        }
    }

    pub(super) fn finish(mut self) -> Vec<Piece> {
        if !self.open.is_empty() {
            self.close();
        }
        self.done
    }

    fn close(&mut self) {
        self.done.push(Piece::new(std::mem::take(&mut self.open), self.waiting));
    }
}
