//! Canonical lower-case UUIDs between their 36 characters and their 16 bytes, eight characters at a time.

/// Length of a UUID in its text form, in bytes.
pub(crate) const TEXT_LEN: usize = 36;

/// The four groups of eight digits: offsets of the first four and of the last four of each.
const GROUPS: [(usize, usize); 4] = [(0, 4), (9, 14), (19, 24), (28, 32)];

const ONES: u64 = 0x0101_0101_0101_0101;

/// Returns the bytes of a UUID written exactly as [`write()`] would write it; `None` for any other text.
#[inline]
pub(crate) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; TEXT_LEN] = text.try_into().ok()?;
    let mut wrong =
        u32::from_le_bytes([text[8], text[13], text[18], text[23]]) ^ u32::from_le_bytes([b'-'; 4]);
    let mut bytes = [0; 16];
    for ((first, last), out) in GROUPS.into_iter().zip(bytes.as_chunks_mut::<4>().0) {
        let digits = four(text, first) | four(text, last) << 32;
        let values = values(digits);
        // Without early returns: the four groups are independent, and the processor reads them at once.
        wrong |= u32::from(digits_of(values) != digits || values & (0xf0 * ONES) != 0);
        *out = packed(values);
    }
    (wrong == 0).then_some(bytes)
}

/// Writes a UUID in its canonical form.
#[inline]
pub(crate) fn write(bytes: &[u8; 16], text: &mut [u8; TEXT_LEN]) {
    // The dashes at once; the digits go over all the others.
    *text = [b'-'; TEXT_LEN];
    for ((first, last), four) in GROUPS.into_iter().zip(bytes.as_chunks::<4>().0) {
        let digits = digits_of(unpacked(*four)).to_le_bytes();
        text[first..first + 4].copy_from_slice(&digits[..4]);
        text[last..last + 4].copy_from_slice(&digits[4..]);
    }
}

#[inline]
fn four(text: &[u8; TEXT_LEN], at: usize) -> u64 {
    u32::from_le_bytes([text[at], text[at + 1], text[at + 2], text[at + 3]]).into()
}

/// Returns the values of eight digits, each in its byte; nonsense where they are no digits.
#[inline]
fn values(digits: u64) -> u64 {
    // Letters have bit 6 set and digits do not: `a` is 1 in its lower half, and nine more.
    (digits & (0x0f * ONES)) + 9 * ((digits >> 6) & ONES)
}

/// Returns the digits for eight values below 16. When these are the characters that were read, those were digits.
#[inline]
fn digits_of(values: u64) -> u64 {
    // One in each byte whose value is above nine.
    let letters = (values.wrapping_add(6 * ONES) >> 4) & ONES;
    values.wrapping_add(u64::from(b'0') * ONES).wrapping_add(letters * u64::from(b'a' - b'0' - 10))
}

/// Packs eight values below 16 into four bytes.
#[inline]
fn packed(values: u64) -> [u8; 4] {
    let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    ((halves | (halves >> 16)) as u32).to_le_bytes()
}

/// Unpacks four bytes into eight values below 16.
#[inline]
fn unpacked(bytes: [u8; 4]) -> u64 {
    let word = u64::from(u32::from_le_bytes(bytes));
    let halves = (word | (word << 16)) & 0x0000_ffff_0000_ffff;
    let pairs = (halves | (halves << 8)) & 0x00ff_00ff_00ff_00ff;
    ((pairs >> 4) | (pairs << 8)) & (0x0f * ONES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(bytes: &[u8; 16]) -> [u8; TEXT_LEN] {
        let mut text = [0; TEXT_LEN];
        write(bytes, &mut text);
        text
    }

    #[test]
    fn reads_what_it_writes() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let bytes = random.u128(..).to_be_bytes();
            assert_eq!(parse(&text_of(&bytes)), Some(bytes));
        }
        assert_eq!(&text_of(&[0xa0; 16]), b"a0a0a0a0-a0a0-a0a0-a0a0-a0a0a0a0a0a0");
    }

    #[test]
    fn refuses_every_other_byte_at_every_index() {
        let good = *b"4e091396-62ae-4f3b-8715-7b4fc9c64d14";
        for place in 0..TEXT_LEN {
            for byte in 0..=u8::MAX {
                let mut text = good;
                text[place] = byte;
                let dash = matches!(place, 8 | 13 | 18 | 23);
                let fits = if dash { byte == b'-' } else { matches!(byte, b'0'..=b'9' | b'a'..=b'f') };
                assert_eq!(parse(&text).is_some(), fits, "{place} {byte:#04x}");
            }
        }
        assert_eq!(parse(&good[..35]), None);
    }
}
