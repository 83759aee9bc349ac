//! The tiles that were made, each for the tick it was made in and for as long as its content stays the same.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vagn_store::Sight;

use super::{Content, Format};
use crate::mercator::Tile;
use crate::metrics::TileMetrics;

/// Most tiles in the cache: some 100 screens that show something else each.
const TILES_MAX: usize = 4_096;
/// Most bytes in them.
const BYTES_MAX: usize = 64 << 20;

/// Key of a tile. A filter is one more field here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TileKey {
    /// Format of the bytes.
    pub format: Format,
    /// Place on the map.
    pub tile: Tile,
    /// Form in which vehicles are seen in it.
    pub sight: Sight,
}

/// The place of one tile.
#[derive(Default)]
pub(crate) struct Slot {
    /// Held by the task that makes the tile, so that all others wait for it.
    pub(crate) flight: tokio::sync::Mutex<()>,
    made: Mutex<Option<Made>>,
}

/// A tile that was made.
#[derive(Clone)]
struct Made {
    /// Tick in which it was made, or made again without a change.
    tick: i64,
    content: Arc<Content>,
}

/// Tiles by key.
pub(crate) struct Cache {
    entries: Mutex<Entries>,
    metrics: TileMetrics,
}

#[derive(Default)]
struct Entries {
    slots: HashMap<TileKey, Entry>,
    bytes: usize,
    /// Counts the questions, which tells the tile that was asked for the longest time ago.
    questions: u64,
}

struct Entry {
    slot: Arc<Slot>,
    bytes: usize,
    asked: u64,
}

impl Cache {
    pub(crate) fn new(metrics: TileMetrics) -> Self {
        Self { entries: Mutex::default(), metrics }
    }

    /// Returns the place of a tile.
    pub(crate) fn slot(&self, key: TileKey) -> Arc<Slot> {
        let mut entries = self.entries.lock();
        entries.questions += 1;
        let asked = entries.questions;
        let entry =
            entries.slots.entry(key).or_insert_with(|| Entry { slot: Arc::default(), bytes: 0, asked });
        entry.asked = asked;
        let slot = entry.slot.clone();
        if entries.slots.len() > TILES_MAX {
            self.evict(&mut entries);
        }
        slot
    }

    /// Keeps a tile for the tick, or what it was before if that is the same. Returns what is kept.
    pub(crate) fn keep(&self, key: TileKey, slot: &Slot, tick: i64, content: Content) -> Arc<Content> {
        let mut made = slot.made.lock();
        let content = match made.take() {
            Some(before) if before.content.is_same(&content) => {
                self.metrics.unchanged.inc();
                before.content
            }
            _ => {
                self.metrics.made.inc();
                Arc::new(content)
            }
        };
        *made = Some(Made { tick, content: content.clone() });
        drop(made);
        self.weigh(key, content.bytes.len());
        content
    }

    /// Notes the bytes of a tile, and makes room if there are too many.
    fn weigh(&self, key: TileKey, bytes: usize) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.slots.get_mut(&key) else { return };
        let before = std::mem::replace(&mut entry.bytes, bytes);
        entries.bytes = entries.bytes + bytes - before;
        if entries.bytes > BYTES_MAX {
            self.evict(&mut entries);
        }
        self.metrics.held_bytes.set(entries.bytes as u64);
    }

    /// Drops the quarter of the tiles that was asked for the longest time ago, until there is room.
    fn evict(&self, entries: &mut Entries) {
        while entries.slots.len() > TILES_MAX || entries.bytes > BYTES_MAX {
            let mut asked: Vec<u64> = entries.slots.values().map(|entry| entry.asked).collect();
            let (_, &mut end, _) = asked.select_nth_unstable(entries.slots.len() / 4);
            for (_, dropped) in entries.slots.extract_if(|_, entry| entry.asked <= end) {
                entries.bytes -= dropped.bytes;
                self.metrics.evicted.inc();
            }
        }
    }
}

impl Slot {
    /// Returns the tile, if it was made in this tick or later.
    pub(crate) fn since(&self, tick: i64) -> Option<Arc<Content>> {
        self.made.lock().as_ref().filter(|made| made.tick >= tick).map(|made| made.content.clone())
    }
}
