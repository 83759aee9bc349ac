//! Canonical lower-case UUIDs between their 36 characters and their 16 bytes, eight characters at a time.

/// Length of a UUID in its text form, in bytes.
pub(crate) const TEXT_LEN: usize = 36;

/// The bytes of a UUID written exactly as [`write()`] would write it; `None` for any other text.
#[inline]
pub(crate) fn parse(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; TEXT_LEN] = text.try_into().ok()?;
    if [text[8], text[13], text[18], text[23]] != [b'-'; 4] {
        return None;
    }
    let t = text;
    let mut bytes = [0; 16];
    let words = [
        [t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]],
        [t[9], t[10], t[11], t[12], t[14], t[15], t[16], t[17]],
        [t[19], t[20], t[21], t[22], t[24], t[25], t[26], t[27]],
        [t[28], t[29], t[30], t[31], t[32], t[33], t[34], t[35]],
    ];
    for (digits, out) in words.into_iter().zip(bytes.chunks_exact_mut(4)) {
        out.copy_from_slice(&parse_word(digits)?);
    }
    Some(bytes)
}

/// Writes a UUID in its canonical form.
pub(crate) fn write(bytes: &[u8; 16], text: &mut [u8; TEXT_LEN]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 15)];
        at += 2;
    }
}

/// Eight digits to four bytes. Right when writing the digits again gives the same characters.
#[inline]
fn parse_word(digits: [u8; 8]) -> Option<[u8; 4]> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let text = u64::from_le_bytes(digits);
    let values = (text & (0x0f * ONES)) + 9 * ((text >> 6) & ONES);
    let letters = ((values + 6 * ONES) >> 4) & ONES;
    let written = values + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'0' - 10);
    if written != text || values & (0xf0 * ONES) != 0 {
        return None;
    }
    let pairs = ((values << 4) | (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    Some(((halves | (halves >> 16)) as u32).to_le_bytes())
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
    fn refuses_every_other_byte_in_every_place() {
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
