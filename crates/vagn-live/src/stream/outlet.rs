//! Outlets: events that wait for a client, between the hub and the connection.
//!
//! The hub never waits for a client. What a client does not take in time is dropped, and it is told of a gap instead.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit};

/// Whole events, shared by the clients that they wait for.
#[derive(Clone)]
pub(super) struct Piece {
    bytes: Bytes,
    _waiting: Arc<Waiting>,
}

/// Bytes that are counted while they wait for a client, however many wait for them. What a connection has taken is bounded by its
/// own buffers.
struct Waiting {
    len: usize,
    all: Arc<AtomicUsize>,
}

impl Piece {
    /// Returns a piece; `all` is greater by its length until the last client that it waits for has taken it.
    pub(super) fn new(bytes: Vec<u8>, all: &Arc<AtomicUsize>) -> Self {
        all.fetch_add(bytes.len(), Ordering::Relaxed);
        Self { _waiting: Arc::new(Waiting { len: bytes.len(), all: all.clone() }), bytes: bytes.into() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.fetch_sub(self.len, Ordering::Relaxed);
    }
}

/// Most that may wait for a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct BacklogMax {
    pub(super) passes: usize,
    pub(super) bytes: usize,
}

/// The events of one client that it has not taken yet.
#[derive(Default)]
pub(super) struct Outlet {
    state: Mutex<OutletState>,
    news: Notify,
}

#[derive(Default)]
struct OutletState {
    /// The first piece, which is never dropped.
    greeting: Option<Piece>,
    /// Pieces, and whether they are the last of their pass.
    pieces: VecDeque<(Piece, bool)>,
    passes: usize,
    bytes: usize,
    /// The hub has ended.
    ended: bool,
    /// The client has gone.
    left: bool,
}

impl Outlet {
    /// Begins the stream.
    pub(super) fn greet(&self, greeting: Piece) {
        self.state.lock().greeting = Some(greeting);
        self.news.notify_one();
    }

    /// Adds the pieces of a pass. Returns false when the client is too far behind: then nothing waits for it any more.
    pub(super) fn push(&self, pass: &[Piece], max: BacklogMax) -> bool {
        let mut state = self.state.lock();
        let is_behind = state.passes >= max.passes || state.bytes > max.bytes;
        if is_behind {
            state.clear();
        } else {
            state.add(pass);
        }
        drop(state);
        self.news.notify_one();
        !is_behind
    }

    /// Replaces all that waits.
    pub(super) fn replace(&self, pass: &[Piece]) {
        let mut state = self.state.lock();
        state.clear();
        state.add(pass);
        drop(state);
        self.news.notify_one();
    }

    /// Counts the passes that the client has not taken whole.
    pub(super) fn passes(&self) -> usize {
        self.state.lock().passes
    }

    /// Returns true once the client has gone.
    pub(super) fn is_left(&self) -> bool {
        self.state.lock().left
    }

    /// Ends the stream when the client has taken what waits.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.news.notify_one();
    }

    fn leave(&self) {
        let mut state = self.state.lock();
        state.greeting = None;
        state.clear();
        state.left = true;
    }

    /// Takes the next piece; `None` when nothing waits, and then true when nothing will come.
    fn take(&self) -> (Option<Bytes>, bool) {
        let mut state = self.state.lock();
        if let Some(greeting) = state.greeting.take() {
            return (Some(greeting.bytes), false);
        }
        let Some((piece, is_last)) = state.pieces.pop_front() else { return (None, state.ended) };
        state.bytes -= piece.bytes.len();
        state.passes -= usize::from(is_last);
        (Some(piece.bytes), false)
    }
}

impl OutletState {
    fn add(&mut self, pass: &[Piece]) {
        for (at, piece) in pass.iter().enumerate() {
            self.bytes += piece.bytes.len();
            self.pieces.push_back((piece.clone(), at + 1 == pass.len()));
        }
        self.passes += usize::from(!pass.is_empty());
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.passes = 0;
        self.bytes = 0;
    }
}

/// The client's side of a stream.
pub struct StreamFollower {
    pub(super) outlet: Arc<Outlet>,
    pub(super) open: Gauge,
    pub(super) _place: OwnedSemaphorePermit,
}

impl StreamFollower {
    /// Waits for the next piece, which holds whole events; `None` when the hub has ended. Nothing is lost if this is dropped
    /// before it is done.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.outlet.take() {
                (Some(piece), _) => return Some(piece),
                (None, true) => return None,
                // A piece that was pushed meanwhile has left a permit.
                (None, false) => self.outlet.news.notified().await,
            }
        }
    }
}

impl Drop for StreamFollower {
    fn drop(&mut self) {
        self.outlet.leave();
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: BacklogMax = BacklogMax { passes: 2, bytes: 10 };

    fn pass(pieces: &[&str]) -> Vec<Piece> {
        pieces.iter().map(|piece| Piece::new(piece.as_bytes().to_vec(), &Arc::default())).collect()
    }

    #[test]
    fn a_client_that_takes_nothing_is_behind_after_so_many_passes_or_bytes() {
        let outlet = Outlet::default();
        outlet.greet(pass(&["hello"]).remove(0));
        assert!(outlet.push(&pass(&["a", "b"]), MAX) && outlet.push(&pass(&["c"]), MAX));
        assert!(!outlet.push(&pass(&["d"]), MAX) && outlet.passes() == 0, "nothing is kept for it");
        assert!(outlet.push(&pass(&["0123456789a"]), MAX));
        assert!(!outlet.push(&pass(&["b"]), MAX));
        outlet.replace(&pass(&["gap"]));
        assert_eq!(outlet.take(), (Some("hello".into()), false));
        assert_eq!(outlet.take(), (Some("gap".into()), false));
        assert_eq!(outlet.take(), (None, false));
        outlet.end();
        assert_eq!(outlet.take(), (None, true));
    }

    #[test]
    fn pieces_that_were_taken_make_room() {
        let outlet = Outlet::default();
        for _ in 0..10 {
            assert!(outlet.push(&pass(&["a", "b"]), MAX));
            assert_eq!([outlet.take().0, outlet.take().0], [Some("a".into()), Some("b".into())]);
        }
    }

    #[test]
    fn bytes_are_counted_once_and_until_no_client_waits_for_them() {
        let all = Arc::new(AtomicUsize::new(0));
        let outlets = [Outlet::default(), Outlet::default()];
        let pieces = [Piece::new(vec![0; 3], &all), Piece::new(vec![0; 4], &all)];
        outlets.iter().for_each(|outlet| outlet.replace(&pieces));
        drop(pieces);
        let taken = outlets[0].take();
        assert_eq!(all.load(Ordering::Relaxed), 7);
        outlets[1].take();
        assert_eq!((all.load(Ordering::Relaxed), taken.0.unwrap().len()), (4, 3));
        outlets.iter().for_each(Outlet::leave);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
