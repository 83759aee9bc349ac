//! A growing array that never moves what it holds, and an arena over it.
//!
//! A `Vec` of ten million rows doubles: for a moment it needs three times the memory, and the copy stops its writer.
//! Here growth adds one chunk, so memory follows the fleet and no push is slow.

use std::ops::{Index, IndexMut};

/// Items per chunk. At 64 bytes each a chunk is half a mebibyte, which the allocator maps untouched, so that an almost empty
/// chunk costs address space only.
const CHUNK: usize = 1 << CHUNK_BITS;
const CHUNK_BITS: u32 = 13;

/// A growing array in chunks.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Chunked<T> {
    pub(crate) const fn new() -> Chunked<T> {
        Chunked { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) * CHUNK;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut().expect("a chunk with room was just made sure of").push(item);
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.chunks[(at >> CHUNK_BITS) as usize][at as usize % CHUNK]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[(at >> CHUNK_BITS) as usize][at as usize % CHUNK]
    }
}

/// Items with numbers that are used again once freed.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    items: Chunked<T>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Arena<T> {
        Arena { items: Chunked::new(), free: Vec::new() }
    }

    /// Keeps an item and gives its number.
    pub(crate) fn add(&mut self, item: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.items[number] = item;
            return number;
        }
        self.items.push(item);
        self.items.len() as u32 - 1
    }

    /// Gives the number back; what it named stays readable until it is used again.
    pub(crate) fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    /// Items in use.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.items.len() - self.free.len()
    }
}

impl<T> Index<u32> for Arena<T> {
    type Output = T;

    #[inline]
    fn index(&self, number: u32) -> &T {
        &self.items[number]
    }
}

impl<T> IndexMut<u32> for Arena<T> {
    #[inline]
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.items[number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_items_over_the_edges_of_chunks() {
        let mut items = Chunked::new();
        let count = 3 * CHUNK as u32 + 1;
        for number in 0..count {
            assert_eq!(items.len(), number as usize);
            items.push(number);
        }
        assert!((0..count).all(|number| items[number] == number));
    }

    #[test]
    fn uses_freed_numbers_again() {
        let mut arena = Arena::new();
        let numbers = [arena.add('a'), arena.add('b'), arena.add('c')];
        arena.free(numbers[1]);
        assert_eq!((arena.len(), arena.add('d')), (2, numbers[1]));
        assert_eq!([arena[numbers[0]], arena[numbers[1]], arena[numbers[2]]], ['a', 'd', 'c']);
    }
}
