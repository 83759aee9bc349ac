//! A growing array that never moves what it holds, and an arena over it.
//!
//! A `Vec` of ten million rows doubles: for a moment it needs three times the memory, and the copy stops its
//! writer. Here growth adds one chunk, so memory follows the fleet and no push is slow.

mod huge_pages;

use std::ops::{Index, IndexMut};

use huge_pages::use_huge_pages;

/// Address space of a chunk: several huge pages, as the first and the last are seldom whole. Memory is taken
/// as it is filled, so a chunk that is almost empty costs one huge page at most.
const CHUNK_BYTES: usize = 16 << 20;

/// A growing array in chunks.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    chunks: Vec<Vec<T>>,
}

impl<T> Chunked<T> {
    /// Items per chunk, a power of two, as its logarithm.
    const BITS: u32 = (CHUNK_BYTES / size_of::<T>()).ilog2();

    pub(crate) const fn new() -> Chunked<T> {
        Chunked { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        let full = self.chunks.len().saturating_sub(1) << Self::BITS;
        full + self.chunks.last().map_or(0, Vec::len)
    }

    pub(crate) fn push(&mut self, item: T) {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == 1 << Self::BITS) {
            self.add_chunk();
        }
        self.chunks.last_mut().expect("a chunk with room was just made sure of").push(item);
    }

    /// Sets the item at an index, which may be the one behind the last.
    pub(crate) fn set(&mut self, at: u32, item: T) {
        match at as usize == self.len() {
            true => self.push(item),
            false => self[at] = item,
        }
    }

    /// Removes and returns the last item.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.chunks.last_mut()?.pop();
        // `len` counts every chunk but the last as full, so none may be left empty.
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        item
    }

    fn add_chunk(&mut self) {
        // Address space only: the system gives memory page by page as the chunk is filled.
        let mut chunk = Vec::with_capacity(1 << Self::BITS);
        use_huge_pages(chunk.spare_capacity_mut());
        self.chunks.push(chunk);
    }
}

impl<T> Index<u32> for Chunked<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.chunks[(at >> Self::BITS) as usize][(at & ((1 << Self::BITS) - 1)) as usize]
    }
}

impl<T> IndexMut<u32> for Chunked<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[(at >> Self::BITS) as usize][(at & ((1 << Self::BITS) - 1)) as usize]
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

    /// Keeps an item and returns its number.
    pub(crate) fn add(&mut self, item: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.items[number] = item;
            return number;
        }
        self.items.push(item);
        self.items.len() as u32 - 1
    }

    /// Frees the number for the next item; the old item stays readable until then.
    pub(crate) fn free(&mut self, number: u32) {
        // The last one freed is used first: its memory is most likely still in a cache.
        self.free.push(number);
    }

    /// Counts the items in use.
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
        let mut items = Chunked::<u32>::new();
        let count = 3 * (CHUNK_BYTES / size_of::<u32>()) as u32 + 1;
        for number in 0..count {
            items.push(number);
        }
        assert_eq!(items.len(), count as usize);
        assert!((0..count).all(|number| items[number] == number));
        items.set(0, 7);
        items.set(count, 8);
        assert_eq!(
            (items[0], items.pop(), items.pop(), items.len()),
            (7, Some(8), Some(count - 1), count as usize - 1)
        );
        while items.pop().is_some() {}
        assert_eq!(items.len(), 0);
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
