//! The vehicle of each slot: an id in 16 bytes and how to read it.
//!
//! A UUID is packed, another id of up to 16 bytes is kept as it is, a longer one interned aside.

use crate::Key;
use crate::chunked::{Arena, Chunked};
use crate::prefetch::prefetch;

/// The ids of the vehicles, by slot.
#[derive(Debug)]
pub(crate) struct Names {
    names: Chunked<Name>,
    shapes: Chunked<Shape>,
    texts: Arena<Box<str>>,
}

/// The part of an id that a slot keeps; its [`Shape`] says how to read it.
type Name = [u8; 16];

/// Kind of a [`Name`]: the length of a text of up to 16 bytes, or one of those below.
type Shape = u8;
/// No name. A text may be empty, so a length of 0 would not do.
const NONE: Shape = 253;
const UUID: Shape = 254;
/// The first four bytes number a text kept aside.
const ASIDE: Shape = 255;

impl Names {
    pub(crate) const fn new() -> Names {
        Names { names: Chunked::new(), shapes: Chunked::new(), texts: Arena::new() }
    }

    /// Starts to load what [`Names::key`] will read.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        prefetch(&self.names[slot]);
        prefetch(&self.shapes[slot]);
    }

    /// Returns true when the slot has a name.
    #[inline]
    pub(crate) fn has(&self, slot: u32) -> bool {
        self.shapes[slot] != NONE
    }

    /// Returns true when the slot is that vehicle's; for a slot without vehicle the answer means nothing.
    #[inline]
    pub(crate) fn is(&self, slot: u32, key: &Key<'_>) -> bool {
        match key {
            Key::Uuid(bytes) => self.names[slot] == *bytes && self.shapes[slot] == UUID,
            Key::Text(_) => self.key(slot) == *key,
        }
    }

    /// Returns the vehicle in a slot; for a slot without vehicle the answer means nothing.
    #[inline]
    pub(crate) fn key(&self, slot: u32) -> Key<'_> {
        let name = &self.names[slot];
        match self.shapes[slot] {
            UUID => Key::Uuid(*name),
            ASIDE => Key::Text(&self.texts[aside(name)]),
            NONE => Key::Text(""),
            len => Key::Text(text(&name[..usize::from(len)])),
        }
    }

    /// Names the vehicle in a slot, in place of any name before; the slot may be one past the last.
    pub(crate) fn set(&mut self, slot: u32, key: &Key<'_>) {
        if (slot as usize) < self.shapes.len() {
            self.free_text(slot);
        }
        let (name, shape) = self.name(key);
        self.names.set(slot, name);
        self.shapes.set(slot, shape);
    }

    /// Removes the name from a slot.
    pub(crate) fn clear(&mut self, slot: u32) {
        self.free_text(slot);
        self.names[slot] = [0; 16];
        self.shapes[slot] = NONE;
    }

    /// Adds a slot without name behind the last one.
    pub(crate) fn push_vacant(&mut self) {
        self.names.push([0; 16]);
        self.shapes.push(NONE);
    }

    /// Removes the last slot, which has no name.
    pub(crate) fn pop_vacant(&mut self) {
        self.names.pop();
        self.shapes.pop();
    }

    fn free_text(&mut self, slot: u32) {
        if self.shapes[slot] == ASIDE {
            let number = aside(&self.names[slot]);
            self.texts[number] = Box::default();
            self.texts.free(number);
        }
    }

    fn name(&mut self, key: &Key<'_>) -> (Name, Shape) {
        let mut name = [0; 16];
        match key {
            Key::Uuid(bytes) => (*bytes, UUID),
            // Most ids that are no UUIDs are short, and need no memory of their own then.
            Key::Text(text) if text.len() <= name.len() => {
                name[..text.len()].copy_from_slice(text.as_bytes());
                (name, text.len() as Shape)
            }
            Key::Text(text) => {
                let number = self.texts.add(Box::from(*text));
                name[..4].copy_from_slice(&number.to_le_bytes());
                (name, ASIDE)
            }
        }
    }

    /// Counts the texts kept aside.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> usize {
        self.texts.len()
    }
}

fn aside(name: &Name) -> u32 {
    u32::from_le_bytes([name[0], name[1], name[2], name[3]])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the bytes were copied from a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_an_empty_id_from_none_and_one_owner_from_the_next() {
        let mut names = Names::new();
        names.push_vacant();
        let long = Key::Text("an id of more than sixteen bytes");
        for key in [Key::Text(""), long, Key::Uuid([0; 16]), long, Key::Text("7")] {
            names.set(0, &key);
            names.set(1, &key);
            assert!(names.has(0) && names.is(1, &key));
            assert_eq!((names.key(0), names.texts()), (key, if key == long { 2 } else { 0 }));
        }
        names.set(0, &long);
        names.clear(0);
        assert_eq!((names.has(0), names.has(1), names.texts()), (false, true, 0));
    }
}
