//! The name of a vehicle, and the rule for names in general.

use std::fmt;

use crate::Reject;

/// Longest vehicle or incident id, in bytes of UTF-8.
pub const ID_LEN_MAX: usize = 64;

/// Who speaks: 1 to 64 bytes of UTF-8 without control characters. Different bytes are different vehicles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VehicleId<'a>(&'a str);

impl<'a> VehicleId<'a> {
    /// Accepts a text that can name a vehicle.
    ///
    /// # Errors
    /// [`Reject::BadId`] when it is empty, longer than [`ID_LEN_MAX`] bytes, or holds a control character.
    #[inline]
    pub fn new(text: &'a str) -> Result<Self, Reject> {
        Self::from_bytes(text.as_bytes())
    }

    /// Accepts bytes that can name a vehicle.
    ///
    /// # Errors
    /// [`Reject::BadId`] as for [`VehicleId::new`], and when they are not UTF-8.
    #[inline]
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, Reject> {
        name(bytes).map(Self).ok_or(Reject::BadId)
    }

    /// The id as it was sent.
    #[inline]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for VehicleId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// The bytes as a name, if they follow the rule for vehicle and incident ids.
#[inline]
pub(crate) fn name(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > ID_LEN_MAX {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    (is_printable_ascii(bytes) || !text.contains(char::is_control)).then_some(text)
}

/// Looks at every byte without leaving early, which lets the compiler compare many at once.
#[inline]
fn is_printable_ascii(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & (b' '..=b'~').contains(byte))
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
