//! JSON written by hand, for the answers that are asked for most: the same bytes as serde_json writes.

/// Appends a number in the shortest digits that read back the same; `null` where JSON has no number for it.
pub(super) fn number(out: &mut Vec<u8>, value: impl zmij::Float) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    // NaN and inf end in letters.
    let is_number = !text.ends_with(['N', 'f']);
    out.extend_from_slice(if is_number { text.as_bytes() } else { b"null" });
}

/// Appends a number, or `null`.
pub(super) fn number_or_null(out: &mut Vec<u8>, value: Option<f32>) {
    match value {
        Some(value) => number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a whole number.
pub(super) fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `true` or `false`.
pub(super) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends `text` in quotes.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    if !all_plain(text) {
        // Rare enough to be left to serde.
        serde_json::to_writer(out, text).expect("a Vec takes everything that is written to it");
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Returns true if nothing needs a backslash, as in nearly every id. Checks all bytes without a branch, many at a time.
fn all_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (byte >= 0x20) & (byte != b'"') & (byte != b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_numbers_as_serde_does() {
        let mut random = fastrand::Rng::with_seed(1);
        let odd = [
            0.0,
            -0.0,
            1.0,
            10.0,
            1e15,
            1e16,
            1e17,
            1e21,
            1e-5,
            1e-7,
            5e-324,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
        ];
        let any = (0..50_000).map(|_| f64::from_bits(random.u64(..)));
        for value in odd.into_iter().chain(any).flat_map(|value| [value, -value]) {
            assert_eq!(written(|out| number(out, value)), serde_json::to_string(&value).unwrap());
            let single = value as f32;
            assert_eq!(written(|out| number(out, single)), serde_json::to_string(&single).unwrap());
        }
    }

    #[test]
    fn writes_text_as_serde_does() {
        for text in ["", "bus 7", "a\"b", "a\\b", "\u{1}\n\u{7f}", "båt <&> 車両", "\u{2028}"] {
            assert_eq!(written(|out| string(out, text)), serde_json::to_string(text).unwrap());
        }
    }
}
