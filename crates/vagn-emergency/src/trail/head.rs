//! Head of the trail: number and hash of its last entry.

use std::fmt;
use std::str::FromStr;

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// Number and hash of the last entry, written `<seq>:<hex>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Number of the last entry; 0 when there is none.
    pub seq: u64,
    /// Its hash; zeros when there is none.
    pub hash: [u8; 32],
}

impl Head {
    /// Head of a trail without entries.
    pub const EMPTY: Self = Self { seq: 0, hash: [0; 32] };

    /// Returns the hash in hex.
    pub fn hash_hex(&self) -> String {
        hex(&self.hash)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

/// The text is not a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a head of the trail: a number, a colon and 64 hexadecimal digits")]
pub struct BadHead;

impl FromStr for Head {
    type Err = BadHead;

    fn from_str(text: &str) -> Result<Self, BadHead> {
        let (seq, hash) = text.trim().split_once(':').ok_or(BadHead)?;
        let hash = from_hex(&hash.to_ascii_lowercase()).ok_or(BadHead)?;
        Ok(Self { seq: seq.parse().map_err(|_| BadHead)?, hash })
    }
}

/// Returns lower-case hexadecimal digits.
pub(super) fn hex(hash: &Hash) -> String {
    use fmt::Write as _;
    hash.iter().fold(String::with_capacity(64), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}

/// Reads a hash from 64 lower-case hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in hash.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::trail;
    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_written() {
        for head in [Head::EMPTY, trail(3)[2].head(), Head { seq: u64::MAX, hash: [255; 32] }] {
            assert_eq!(head.to_string().parse(), Ok(head));
            assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        }
        for wrong in ["", "3", "3:", "3:ab", ":00", "-1:00", &format!("1:{}", "0é".repeat(22))] {
            assert_eq!(wrong.parse::<Head>(), Err(BadHead), "{wrong}");
        }
    }
}
