//! Room for answers of shards: together they may take so much memory, and no more.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Most memory that answers of shards may take together, in KiB. The one joined answer is accounted for by who asks.
const ROOM_KIB: u32 = 256 << 10;

/// Room for the answers to one question. Free again when all who hold it have let go, and at the end of the time for its question.
#[derive(Debug)]
pub struct Room(Mutex<Option<OwnedSemaphorePermit>>);

/// All rooms.
#[derive(Debug)]
pub(super) struct Rooms {
    free: Arc<Semaphore>,
    /// Rooms that were given, each with the end of its time, the first one first.
    given: Mutex<VecDeque<(Instant, Weak<Room>)>>,
}

impl Rooms {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(ROOM_KIB as usize)), given: Mutex::default() }
    }

    /// Returns room for so many bytes until `end`; `None`: there is none.
    pub(super) fn take(&self, bytes: usize, end: Instant) -> Option<Arc<Room>> {
        let mut given = self.given.lock();
        while let Some((end, room)) = given.front() {
            if room.strong_count() > 0 && Instant::now() < *end {
                break;
            }
            // A node that hangs never lets go.
            if let Some(room) = room.upgrade() {
                room.0.lock().take();
            }
            given.pop_front();
        }
        // One that takes more than all goes alone.
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(ROOM_KIB).min(ROOM_KIB);
        let permit = self.free.clone().try_acquire_many_owned(kib).ok()?;
        let room = Arc::new(Room(Mutex::new(Some(permit))));
        given.push_back((end, Arc::downgrade(&room)));
        Some(room)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HALF: usize = (ROOM_KIB as usize / 2 + 1) << 10;

    #[tokio::test(start_paused = true)]
    async fn room_is_held_until_all_let_go_or_the_time_is_over() {
        let rooms = Rooms::new();
        let take = || rooms.take(HALF, Instant::now() + Duration::from_secs(2));
        let asker = take().unwrap();
        let node = asker.clone();
        drop(asker);
        assert!(take().is_none());
        drop(node);
        let hangs = take().unwrap();
        tokio::time::advance(Duration::from_millis(1_999)).await;
        assert!(take().is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        let next = take().expect("the time of the one before is over");
        drop(hangs);
        assert!(take().is_none());
        drop(next);
        assert!(rooms.take(usize::MAX, Instant::now()).is_some(), "one that takes all goes alone");
    }
}
