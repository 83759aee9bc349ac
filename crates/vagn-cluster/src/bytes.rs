//! Reading and writing of byte forms: numbers are little-endian, what varies in length is preceded by its length, and a hash over
//! all that stands before it is the end of the whole.

use crate::hash::hash;
use crate::state::Damaged;

/// Length of the hash at the end.
pub const SEAL_LEN: usize = 8;

/// Longest text, in bytes.
const TEXT_MAX: usize = 64;

/// Reads bytes from the front. Whatever they are, it neither panics nor takes memory.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the front of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads what [`seal`] ended: the hash must be that of the rest.
    ///
    /// # Errors
    /// [`Damaged`] if it is not.
    pub fn unseal(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let (rest, seal) = bytes.split_last_chunk::<SEAL_LEN>().ok_or(Damaged)?;
        if u64::from_le_bytes(*seal) == hash(&[rest]) { Ok(Self { rest }) } else { Err(Damaged) }
    }

    fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], Damaged> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*array)
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// [`Damaged`] if too little is left.
    pub fn u8(&mut self) -> Result<u8, Damaged> {
        self.array().map(u8::from_le_bytes)
    }

    /// Reads a number of 16 bits.
    ///
    /// # Errors
    /// [`Damaged`] if too little is left.
    pub fn u16(&mut self) -> Result<u16, Damaged> {
        self.array().map(u16::from_le_bytes)
    }

    /// Reads a number of 32 bits.
    ///
    /// # Errors
    /// [`Damaged`] if too little is left.
    pub fn u32(&mut self) -> Result<u32, Damaged> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a number of 64 bits.
    ///
    /// # Errors
    /// [`Damaged`] if too little is left.
    pub fn u64(&mut self) -> Result<u64, Damaged> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a number of 64 bits with a sign.
    ///
    /// # Errors
    /// [`Damaged`] if too little is left.
    pub fn i64(&mut self) -> Result<i64, Damaged> {
        self.array().map(i64::from_le_bytes)
    }

    /// Reads 0 or 1.
    ///
    /// # Errors
    /// [`Damaged`] if it is neither.
    pub fn flag(&mut self) -> Result<bool, Damaged> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Damaged),
        }
    }

    /// Reads a number of things that are `least` bytes long each, at most `most` of them: so many have room in what follows.
    ///
    /// # Errors
    /// [`Damaged`] if they are more, or have no room.
    pub fn count(&mut self, most: usize, least: usize) -> Result<usize, Damaged> {
        let count = self.u32()? as usize;
        let has_room = count <= most && count.saturating_mul(least) <= self.rest.len();
        if has_room { Ok(count) } else { Err(Damaged) }
    }

    /// Reads so many bytes.
    ///
    /// # Errors
    /// [`Damaged`] if fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (piece, rest) = self.rest.split_at_checked(len).ok_or(Damaged)?;
        self.rest = rest;
        Ok(piece)
    }

    /// Reads bytes that follow their length in 32 bits, at most `most`.
    ///
    /// # Errors
    /// [`Damaged`] if they are more, or not all there.
    pub fn long(&mut self, most: usize) -> Result<&'a [u8], Damaged> {
        let len = self.u32()? as usize;
        if len > most { Err(Damaged) } else { self.take(len) }
    }

    /// Reads a text that follows its length in 8 bits, at most 64.
    ///
    /// # Errors
    /// [`Damaged`] if it is longer, not all there, or not UTF-8.
    pub fn text(&mut self) -> Result<String, Damaged> {
        let len = usize::from(self.u8()?);
        if len > TEXT_MAX {
            return Err(Damaged);
        }
        let bytes = self.take(len)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Damaged)
    }

    /// Returns what was not read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends: all must have been read.
    ///
    /// # Errors
    /// [`Damaged`] if something is left.
    pub fn end(self) -> Result<(), Damaged> {
        if self.rest.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

/// Appends numbers and pieces of bytes.
pub trait Write {
    /// Appends bytes as they are.
    fn put(&mut self, bytes: &[u8]);

    /// Appends a byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    /// Appends a number of 16 bits.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// Appends a number of 32 bits.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    /// Appends a number of 64 bits.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Appends a number of 64 bits with a sign.
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }

    /// Appends a number of things, as [`Reader::count`] reads it. It must fit into 32 bits.
    fn put_count(&mut self, count: usize) {
        self.put_u32(u32::try_from(count).expect("everything that is counted has a bound"));
    }

    /// Appends bytes behind their length, as [`Reader::long`] reads them.
    fn put_long(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.put(bytes);
    }

    /// Appends a text, or as much of it as has room.
    fn put_text(&mut self, text: &str) {
        let end = text.floor_char_boundary(TEXT_MAX);
        self.put_u8(end as u8);
        self.put(&text.as_bytes()[..end]);
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Ends what was written with the hash of it all.
pub fn seal(out: &mut Vec<u8>) {
    let seal = hash(&[out]);
    out.put_u64(seal);
}

/// Checks that damaged bytes are never read as something: each byte changed, each cut, and a byte more.
#[cfg(test)]
pub(crate) fn assert_damage_is_found<T: std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Damaged>,
) {
    assert!(read(bytes).is_ok());
    for at in 0..bytes.len() {
        assert!(read(&bytes[..at]).is_err(), "cut at {at}");
        let mut other = bytes.to_vec();
        other[at] ^= 1 << (at % 8);
        assert!(read(&other).is_err(), "changed at {at}");
    }
    assert!(read(&[bytes, &[0]].concat()).is_err());
}

/// Checks that bytes whose hash fits are read or refused, but never make a reader panic or give another form.
#[cfg(test)]
pub(crate) fn assert_no_damage_panics<T>(
    bytes: &[u8],
    chance: &mut fastrand::Rng,
    read: impl Fn(&[u8]) -> Result<T, Damaged>,
    write: impl Fn(&T) -> Vec<u8>,
) {
    let body = &bytes[..bytes.len() - SEAL_LEN];
    for _ in 0..2_000 {
        let mut other = body.to_vec();
        for _ in 0..chance.usize(1..4) {
            match chance.u8(0..4) {
                0 => other.truncate(chance.usize(..=other.len())),
                1 => other.push(chance.u8(..)),
                _ if other.is_empty() => {}
                2 => {
                    let at = chance.usize(..other.len());
                    other[at] = 0xff;
                }
                _ => {
                    let at = chance.usize(..other.len());
                    other[at] ^= 1 << chance.u8(..8);
                }
            }
        }
        seal(&mut other);
        if let Ok(value) = read(&other) {
            assert_eq!(write(&value), other, "a form is the only one of its value");
        }
    }
}
