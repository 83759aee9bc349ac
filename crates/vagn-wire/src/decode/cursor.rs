//! Walks over msgpack, one head at a time.
//!
//! Containers are not descended into: their head says how many objects follow, and skipping is counting. So nesting of
//! any depth costs neither stack nor memory, and every step consumes at least one byte.

use crate::Reject;
use crate::marker::*;

/// One object, or the head of a container.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    /// An integer beyond `i64::MAX`.
    Big(u64),
    Float(f64),
    /// A str or a bin; the field decides if the bytes must be text.
    Text(&'a [u8]),
    /// An extension: its type, and its bytes.
    Ext(i8, &'a [u8]),
    /// Head of an array of that many objects.
    Array(u32),
    /// Head of a map of that many pairs.
    Map(u32),
}

impl Value<'_> {
    /// Returns the number of objects that follow and belong to it.
    pub(crate) fn children(self) -> u64 {
        match self {
            Self::Array(len) => u64::from(len),
            Self::Map(len) => 2 * u64::from(len),
            _ => 0,
        }
    }
}

/// Position in the bytes.
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    lacking: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, lacking: 0 }
    }

    /// Returns the number of bytes that lie ahead.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns the number of bytes that were missing at least, after [`Reject::Truncated`].
    pub(crate) fn lacking(&self) -> usize {
        self.lacking
    }

    /// Reads one head, with its payload unless it is a container.
    ///
    /// The types that a report is made of are read here, inlined; all others by [`Cursor::uncommon`]. That halves the cost.
    ///
    /// Errors: [`Reject::Truncated`], [`Reject::NotMsgpack`].
    #[inline(always)]
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Reject> {
        let [first] = self.take()?;
        match first {
            FIXSTR..=0xbf => self.text(usize::from(first & 0x1f)),
            STR8 => self.text8(),
            FLOAT64 => self.take().map(|bytes| Value::Float(f64::from_be_bytes(bytes))),
            FLOAT32 => self.take().map(|bytes| Value::Float(f32::from_be_bytes(bytes).into())),
            INT64 => self.take().map(|bytes| Value::Int(i64::from_be_bytes(bytes))),
            UINT64 => self.take().map(|bytes| unsigned(u64::from_be_bytes(bytes))),
            FALSE | TRUE => Ok(Value::Bool(first == TRUE)),
            _ => self.uncommon(first),
        }
    }

    /// Reads the head of a map of up to 15 pairs, if one follows: nearly every report is one, and its head then costs no
    /// call.
    #[inline]
    pub(crate) fn small_map(&mut self) -> Option<u32> {
        let (&first, rest) = self.rest.split_first()?;
        let FIXMAP..=0x8f = first else { return None };
        self.rest = rest;
        Some(u32::from(first & 0x0f))
    }

    #[inline(never)]
    fn uncommon(&mut self, first: u8) -> Result<Value<'a>, Reject> {
        Ok(match first {
            0x00..=0x7f => Value::Int(first.into()),
            FIXMAP..=0x8f => Value::Map(u32::from(first & 0x0f)),
            FIXARRAY..=0x9f => Value::Array(u32::from(first & 0x0f)),
            NIL => Value::Nil,
            BIN8 => self.text8()?,
            BIN16 | STR16 => self.len16().and_then(|len| self.text(len))?,
            BIN32 | STR32 => self.len32().and_then(|len| self.text(len))?,
            EXT8 => self.len8().and_then(|len| self.ext(len))?,
            EXT16 => self.len16().and_then(|len| self.ext(len))?,
            EXT32 => self.len32().and_then(|len| self.ext(len))?,
            FIXEXT1..=FIXEXT16 => self.ext(1 << (first - FIXEXT1))?,
            UINT8 => Value::Int(u8::from_be_bytes(self.take()?).into()),
            UINT16 => Value::Int(u16::from_be_bytes(self.take()?).into()),
            UINT32 => Value::Int(u32::from_be_bytes(self.take()?).into()),
            INT8 => Value::Int(i8::from_be_bytes(self.take()?).into()),
            INT16 => Value::Int(i16::from_be_bytes(self.take()?).into()),
            INT32 => Value::Int(i32::from_be_bytes(self.take()?).into()),
            ARRAY16 => Value::Array(u16::from_be_bytes(self.take()?).into()),
            ARRAY32 => Value::Array(u32::from_be_bytes(self.take()?)),
            MAP16 => Value::Map(u16::from_be_bytes(self.take()?).into()),
            MAP32 => Value::Map(u32::from_be_bytes(self.take()?)),
            0xe0..=0xff => Value::Int(first.cast_signed().into()),
            // 0xc1, which begins nothing; all other bytes are above.
            _ => return Err(Reject::NotMsgpack),
        })
    }

    /// Reads one object. Of a container only the head is given; the rest is skipped.
    ///
    /// Errors: as [`Cursor::value`].
    #[inline(always)]
    pub(crate) fn object(&mut self) -> Result<Value<'a>, Reject> {
        let value = self.value()?;
        self.skip(value.children())?;
        Ok(value)
    }

    /// Skips the next `objects` objects with everything in them.
    ///
    /// Errors: as [`Cursor::value`].
    #[inline]
    pub(crate) fn skip(&mut self, objects: u64) -> Result<(), Reject> {
        if objects == 0 { Ok(()) } else { self.walk(objects) }
    }

    #[inline(never)]
    fn walk(&mut self, objects: u64) -> Result<(), Reject> {
        let mut pending = objects;
        while pending > 0 {
            pending += self.value()?.children();
            pending -= 1;
        }
        Ok(())
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else { return Err(self.truncated(N)) };
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    fn text(&mut self, len: usize) -> Result<Value<'a>, Reject> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else { return Err(self.truncated(len)) };
        self.rest = rest;
        Ok(Value::Text(bytes))
    }

    #[cold]
    fn truncated(&mut self, len: usize) -> Reject {
        self.lacking = len - self.rest.len();
        Reject::Truncated
    }

    /// Reads a text with its length in the byte before it.
    #[inline]
    fn text8(&mut self) -> Result<Value<'a>, Reject> {
        self.len8().and_then(|len| self.text(len))
    }

    /// Reads an extension of `len` bytes, with the byte of its type before them.
    fn ext(&mut self, len: usize) -> Result<Value<'a>, Reject> {
        // Both at once, so that all that is missing is known when they are cut off.
        let Some((bytes, rest)) = self.rest.split_at_checked(len.saturating_add(1)) else {
            return Err(self.truncated(len.saturating_add(1)));
        };
        let (kind, bytes) = bytes.split_first().expect("it is one byte at least");
        self.rest = rest;
        Ok(Value::Ext(kind.cast_signed(), bytes))
    }

    #[inline]
    fn len8(&mut self) -> Result<usize, Reject> {
        self.take().map(|bytes| usize::from(u8::from_be_bytes(bytes)))
    }

    fn len16(&mut self) -> Result<usize, Reject> {
        self.take().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn len32(&mut self) -> Result<usize, Reject> {
        // A length that does not fit the machine's is longer than any input; the text then ends too early.
        self.take().map(|bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
    }
}

fn unsigned(number: u64) -> Value<'static> {
    i64::try_from(number).map_or(Value::Big(number), Value::Int)
}
