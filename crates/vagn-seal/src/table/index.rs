//! Finds places by the hash of what is there, in 4 bytes and a little per entry.
//!
//! An entry is a place and six bits of the hash, so that an entry of another hash is seldom looked at. Its capacity is no power
//! of two: it grows by a quarter, because a table that doubles is half empty just after.

/// Bits of an entry that are the place.
const PLACE_BITS: u32 = 26;

/// Places are below this: the highest are left to the two marks.
pub(super) const PLACES_MAX: u32 = (1 << PLACE_BITS) - 1;

const EMPTY: u32 = u32::MAX;

/// An entry was here, so a search goes on.
const GONE: u32 = u32::MAX - (1 << PLACE_BITS);

/// Places by hash.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<u32>,
    live: usize,
    gone: usize,
}

impl Index {
    /// Returns the place of this hash for which `is` says yes.
    pub(super) fn find(&self, hash: u64, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.probe(hash).map(|at| place_of(self.entries[at])).find(|place| is(*place))
    }

    /// Reads the entry at which a search for this hash begins.
    pub(super) fn touch(&self, hash: u64) -> u32 {
        self.entries.get(self.start(hash)).copied().unwrap_or_default()
    }

    /// Adds a place, which must not be there yet. `hash_of` gives the hash of a place that is, for the moment of growing.
    pub(super) fn insert(&mut self, hash: u64, place: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.live + self.gone + 1) * 5 > self.entries.len() * 4 {
            self.grow(hash_of);
        }
        self.live += 1;
        self.put(hash, place);
    }

    /// Removes a place.
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let found = self.probe(hash).find(|at| place_of(self.entries[*at]) == place);
        if let Some(at) = found {
            self.entries[at] = GONE;
            self.live -= 1;
            self.gone += 1;
        }
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<u32>()
    }

    /// Positions of the entries that may be of this hash.
    fn probe(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let capacity = self.entries.len();
        let start = self.start(hash);
        (start..capacity)
            .chain(0..start)
            .take_while(|at| self.entries[*at] != EMPTY)
            .filter(move |at| self.entries[*at] != GONE && self.entries[*at] >> PLACE_BITS == print_of(hash))
    }

    fn put(&mut self, hash: u64, place: u32) {
        let start = self.start(hash);
        let free = (start..self.entries.len()).chain(0..start).find(|at| self.entries[*at] == EMPTY);
        let at = free.expect("a fifth of the entries is empty");
        self.entries[at] = print_of(hash) << PLACE_BITS | place;
    }

    /// Makes room for a quarter more, and drops the marks of what is gone.
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let capacity = 16.max(self.live * 25 / 16 + 1);
        let old = std::mem::replace(&mut self.entries, vec![EMPTY; capacity]);
        self.gone = 0;
        for place in old.into_iter().filter(|entry| *entry != EMPTY && *entry != GONE).map(place_of) {
            self.put(hash_of(place), place);
        }
    }

    fn start(&self, hash: u64) -> usize {
        (((hash >> 32) * self.entries.len() as u64) >> 32) as usize
    }
}

fn place_of(entry: u32) -> u32 {
    entry & PLACES_MAX
}

fn print_of(hash: u64) -> u32 {
    hash as u32 & 0x3f
}
