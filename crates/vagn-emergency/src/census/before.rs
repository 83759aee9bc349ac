//! What the census of a partition begins with: what its file says, or, without one, that all vehicles that are there are known.

use vagn_store::{Key, Reader};

use super::read::Remembered;
use super::rows::{CHUNK, Census, ROUNDS, Seen};

/// Asked after each piece: whether to go on.
pub(super) type GoOn<'a> = &'a dyn Fn() -> bool;

/// What the census of a partition begins with.
pub(super) enum Before {
    /// All vehicles that are in so many rows are known.
    Rows(u32),
    /// As an earlier run has counted.
    Counted(Remembered),
}

impl Before {
    /// Walks through the rows of a partition, and returns its census; `None` when it is not to go on. The marks in it are random by `seed`.
    pub(super) fn census(&self, seed: u64, reader: &Reader, go_on: GoOn<'_>) -> Option<Census> {
        let mut census = Census::new(seed);
        let mut found = Vec::with_capacity(CHUNK as usize);
        for row in (0..).step_by(CHUNK as usize) {
            if !go_on() {
                return None;
            }
            let is_there = reader.visit_rows(row, CHUNK, |vehicle| {
                found.push((Seen::new(seed, vehicle), self.hash(vehicle.key)));
            });
            if !is_there {
                break;
            }
            // Searched without the lock of the fleet: its writer may wait.
            census.begin(row, found.drain(..).map(|(seen, hash)| (seen, self.rounds(&seen, hash))));
        }
        Some(census)
    }

    fn hash(&self, key: Key<'_>) -> u64 {
        match self {
            Self::Rows(_) => 0,
            Self::Counted(remembered) => remembered.key.hash(key),
        }
    }

    fn rounds(&self, seen: &Seen, hash: u64) -> u32 {
        match self {
            Self::Rows(rows) if seen.row() < *rows => ROUNDS,
            Self::Rows(_) => u32::from(seen.is_heard_since(0)),
            Self::Counted(remembered) => {
                remembered.rounds(hash) + u32::from(seen.is_heard_since(remembered.latest))
            }
        }
    }
}
