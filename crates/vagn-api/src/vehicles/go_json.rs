//! JSON as Go's `encoding/json` writes it, byte for byte: clients of the original compare answers as text.

use std::io::Write;

/// Appends `value` as Go writes a `float64`: shortest digits that read back the same, no `.0` on whole numbers, and an
/// exponent only below 1e-6 and from 1e21 on. `value` must be finite; JSON has no other numbers.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    debug_assert!(value.is_finite(), "JSON has no number {value}");
    let size = value.abs();
    if (1e-4..1e15).contains(&size) {
        // Within this range zmij writes plain decimals, at a third of the cost of `core::fmt`.
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    let written = if size != 0.0 && size < 1e-6 {
        write!(out, "{value:e}")
    } else if size >= 1e21 {
        exponent_with_sign(out, value)
    } else {
        write!(out, "{value}")
    };
    written.expect("a Vec takes everything that is written to it");
}

/// Writes `1e+21` where Rust writes `1e21`.
fn exponent_with_sign(out: &mut Vec<u8>, value: f64) -> std::io::Result<()> {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    write!(out, "{digits}e+{exponent}")
}

/// Appends a whole number.
pub(super) fn integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `text` in quotes, escaped as Go does it: also `<`, `>`, `&`, U+2028 and U+2029, so that the answer can be put
/// into a page or a script.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if all_plain(text) {
        out.extend_from_slice(text.as_bytes());
    } else {
        escaped(out, text);
    }
    out.push(b'"');
}

/// Returns true if nothing needs an escape, as in nearly every id. Checks all bytes without a branch, many at a time.
fn all_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| {
        plain
            & (0x20..0x80).contains(&byte)
            & (byte != b'"')
            & (byte != b'\\')
            & (byte != b'<')
            & (byte != b'>')
            & (byte != b'&')
    })
}

fn escaped(out: &mut Vec<u8>, text: &str) {
    let mut plain_from = 0;
    for (at, letter) in text.char_indices() {
        if is_plain(letter) {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[plain_from..at]);
        escape(out, letter);
        plain_from = at + letter.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
}

fn is_plain(letter: char) -> bool {
    !matches!(letter, '\0'..='\x1f' | '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}')
}

fn escape(out: &mut Vec<u8>, letter: char) {
    let short: &[u8] = match letter {
        '"' => b"\\\"",
        '\\' => b"\\\\",
        '\x08' => b"\\b",
        '\x0c' => b"\\f",
        '\n' => b"\\n",
        '\r' => b"\\r",
        '\t' => b"\\t",
        _ => {
            write!(out, "\\u{:04x}", letter as u32).expect("a Vec takes everything that is written to it");
            return;
        }
    };
    out.extend_from_slice(short);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_number(value: f64, go: &str) {
        let mut out = Vec::new();
        number(&mut out, value);
        assert_eq!(String::from_utf8(out).unwrap(), go, "{value:e}");
    }

    #[test]
    fn writes_numbers_as_go_does() {
        for (value, go) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (10.0, "10"),
            (-180.0, "-180"),
            (0.1, "0.1"),
            (-77.321235, "-77.321235"),
            (36.473453453, "36.473453453"),
            (1.0 / 3.0, "0.3333333333333333"),
            (5e-324, "5e-324"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (-1e-7, "-1e-7"),
            (9.99e-7, "9.99e-7"),
            (1.25e-10, "1.25e-10"),
            (1e-6, "0.000001"),
            (1.5e-6, "0.0000015"),
            (0.00001, "0.00001"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (123456789012345680.0, "123456789012345680"),
            (1e20, "100000000000000000000"),
            (999999999999999900000.0, "999999999999999900000"),
            (1e21, "1e+21"),
            (-1.5e21, "-1.5e+21"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            check_number(value, go);
        }
    }

    #[test]
    fn every_coordinate_reads_back_bit_for_bit() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..200_000 {
            let value = (random.f64() - 0.5) * 360.0 * 10f64.powi(-random.i32(0..12));
            let mut out = Vec::new();
            number(&mut out, value);
            let text = std::str::from_utf8(&out).unwrap();
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), value.to_bits(), "{text}");
            assert_eq!(text.contains('e'), value.abs() < 1e-6, "{text}");
        }
    }

    #[test]
    fn escapes_strings_as_go_does() {
        for (text, go) in [
            ("bus 7", r#""bus 7""#),
            ("", r#""""#),
            ("<script>&", r#""\u003cscript\u003e\u0026""#),
            ("a\"b\\c/", r#""a\"b\\c/""#),
            ("\n\r\t\x08\x0c\x01\x1f\x7f", "\"\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\""),
            ("båt 🚌", "\"båt 🚌\""),
            ("\u{2028}x\u{2029}", r#""\u2028x\u2029""#),
        ] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), go);
        }
    }

    #[test]
    fn writes_times_in_full() {
        let mut out = Vec::new();
        integer(&mut out, 1_790_000_000_123);
        integer(&mut out, -1);
        assert_eq!(out, b"1790000000123-1");
    }
}
