//! The pieces of one answer that are on their way: handed to the connection, and not yet sent.
//!
//! A piece is a view of bytes that knows when the last copy of it is dropped. That is when the connection has passed it on to
//! the kernel, whichever of its buffers it waited in: so what is counted here is what is really held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::account::Portion;

/// Least speed at which an answer that holds memory must be taken, bytes per second: that of a poor mobile network.
const SLOWEST: u64 = 8 << 10;
/// Time that it has beyond that.
const GRACE: Duration = Duration::from_secs(60);

/// The pieces of one answer that are on their way.
#[derive(Debug)]
pub(crate) struct Flight {
    bytes: AtomicUsize,
    /// Time of the last piece that was sent, or that went out when none was on its way; ms after `start`.
    moved_ms: AtomicU64,
    start: Instant,
    /// Time by which all of it must be taken; none for answers that hold next to nothing, or have no end.
    end: Option<Instant>,
    landed: AtomicWaker,
    /// Memory that is held until body and pieces are gone.
    _held: [Option<Portion>; 2],
}

impl Flight {
    /// Begins an answer, which holds so much memory. `bytes` is its length, where it must be taken at some speed.
    pub(crate) fn new(bytes: Option<u64>, held: [Option<Portion>; 2]) -> Arc<Self> {
        let start = Instant::now();
        let end = bytes.map(|bytes| start + GRACE + Duration::from_secs(bytes / SLOWEST));
        Arc::new(Self {
            bytes: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
            start,
            end,
            landed: AtomicWaker::new(),
            _held: held,
        })
    }

    /// Sends `bytes` on their way.
    pub(crate) fn launch(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        if self.bytes.fetch_add(bytes.len(), Ordering::AcqRel) == 0 {
            self.moved();
        }
        Bytes::from_owner(Piece { bytes, flight: self.clone() })
    }

    /// Waits until at most `room` bytes are on their way.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, room: usize) -> Poll<()> {
        if self.bytes.load(Ordering::Acquire) <= room {
            return Poll::Ready(());
        }
        self.landed.register(cx.waker());
        // One may have landed meanwhile.
        if self.bytes.load(Ordering::Acquire) <= room { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Returns the time at which the answer is ended, and the reason, unless more of it is sent until then; none while all is sent.
    pub(crate) fn deadline(&self, limit: Duration) -> Option<(Instant, &'static str)> {
        if self.bytes.load(Ordering::Acquire) == 0 {
            return None;
        }
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Acquire));
        let still = (self.start + moved + limit, "not_taken");
        let slow = self.end.map(|end| (end, "too_slow"));
        Some(slow.filter(|slow| slow.0 < still.0).unwrap_or(still))
    }

    /// Notes that something was sent.
    pub(crate) fn moved(&self) {
        self.moved_ms.store(self.start.elapsed().as_millis() as u64, Ordering::Release);
    }
}

/// A piece on its way.
struct Piece {
    bytes: Bytes,
    flight: Arc<Flight>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.flight.moved();
        self.flight.bytes.fetch_sub(self.bytes.len(), Ordering::AcqRel);
        self.flight.landed.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_piece_is_on_its_way_until_its_last_copy_is_dropped() {
        let flight = Flight::new(None, [None, None]);
        assert_eq!(flight.deadline(LIMIT), None, "nothing waits");
        let mut piece = flight.launch(Bytes::from_static(b"0123456789"));
        let rest = piece.split_off(4);
        drop(piece);
        assert_eq!(flight.deadline(LIMIT), Some((flight.start + LIMIT, "not_taken")));
        drop(rest);
        assert_eq!(flight.deadline(LIMIT), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_gains_time_but_not_for_ever() {
        let flight = Flight::new(Some(10 * SLOWEST), [None, None]);
        let end = flight.start + GRACE + Duration::from_secs(10);
        let mut waits = flight.launch(Bytes::from_static(b"a"));
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(20)).await;
            let next = flight.launch(Bytes::from_static(b"a"));
            drop(std::mem::replace(&mut waits, next));
        }
        assert_eq!(flight.deadline(LIMIT), Some((end, "too_slow")));
    }
}
