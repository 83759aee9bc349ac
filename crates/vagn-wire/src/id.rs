//! Vehicle ids, and the rule for ids in general.

use std::fmt;

use crate::Reject;

/// Longest vehicle or incident id, in bytes of UTF-8.
pub const ID_LEN_MAX: usize = 64;

/// Id of a vehicle: 1 to 64 bytes of UTF-8 without control characters. Different bytes are different vehicles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VehicleId<'a>(
    // Bytes, not `str`: to make a `str` without unsafe code costs twice as much as all other checks together, and most ids
    // are only looked up.
    &'a [u8],
);

impl<'a> VehicleId<'a> {
    /// Accepts a text that can be a vehicle id.
    ///
    /// # Errors
    /// [`Reject::BadId`] when it is empty, longer than [`ID_LEN_MAX`] bytes, or holds a control character.
    #[inline]
    pub fn new(text: &'a str) -> Result<Self, Reject> {
        Self::from_bytes(text.as_bytes())
    }

    /// Accepts bytes that can be a vehicle id.
    ///
    /// # Errors
    /// [`Reject::BadId`] as for [`VehicleId::new`], and when they are not UTF-8.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Reject> {
        if is_name(bytes) { Ok(Self(bytes)) } else { Err(Reject::BadId) }
    }

    /// Returns the id as it was sent. Costs a few nanoseconds; hot paths use [`VehicleId::as_bytes`].
    #[inline]
    pub fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).expect("an id is checked to be utf-8 when it is made")
    }

    /// Returns the bytes of the id as it was sent.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Display for VehicleId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for VehicleId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VehicleId").field(&self.as_str()).finish()
    }
}

/// Returns the bytes as a text, if they follow the rule for vehicle and incident ids.
pub(crate) fn name(bytes: &[u8]) -> Option<&str> {
    is_name(bytes).then(|| std::str::from_utf8(bytes).ok())?
}

#[inline]
fn is_name(bytes: &[u8]) -> bool {
    (1..=ID_LEN_MAX).contains(&bytes.len()) && (is_printable_ascii(bytes) || is_printable(bytes))
}

#[cold]
fn is_printable(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control))
}

/// Checks eight bytes at a time. The last eight overlap the ones before, which does no harm.
#[inline]
fn is_printable_ascii(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        return bytes.iter().all(|byte| (b' '..=b'~').contains(byte));
    };
    let (chunks, _) = bytes.as_chunks();
    chunks.iter().fold(unprintable(*last), |found, chunk| found | unprintable(*chunk)) == 0
}

/// Gives zero if all eight bytes are within `b' '..=b'~'`. A carry from one byte into the next can only come from a byte
/// that is itself out of that range.
#[inline]
fn unprintable(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    (word | word.wrapping_add(EACH) | word.wrapping_sub(EACH * 0x20)) & (EACH * 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], accepted: bool) {
        let got = VehicleId::from_bytes(bytes);
        assert_eq!(got.is_ok(), accepted, "{bytes:02x?}");
        match got {
            Ok(id) => assert_eq!(id.as_str().as_bytes(), bytes),
            Err(reject) => assert_eq!(reject, Reject::BadId),
        }
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for (len, byte) in (1..=20).flat_map(|len| (0..=u8::MAX).map(move |byte| (len, byte))) {
            for place in 0..len {
                let mut bytes = vec![b'x'; len];
                bytes[place] = byte;
                check(&bytes, (b' '..=b'~').contains(&byte));
            }
        }
    }

    #[test]
    fn takes_any_printable_text_of_up_to_64_bytes() {
        for text in
            ["a", " ", "a:b", "4e091396-62ae-4f3b-8715-7b4fc9c64d14", "Müller & Söhne 7", "車両一", "~"]
        {
            check(text.as_bytes(), true);
        }
        check(&[b'x'; 64], true);
        check("é".repeat(32).as_bytes(), true);
    }

    #[test]
    fn refuses_what_cannot_be_shown_or_kept() {
        for bytes in [&b""[..], b"a\0b", b"\n", b"tab\t", b"\x7f", b"\xff\xfe", b"\xc3", "\u{85}".as_bytes()]
        {
            check(bytes, false);
        }
        check(&[b'x'; 65], false);
        check("é".repeat(33).as_bytes(), false);
    }
}
