//! Keys of objects in the bucket: the word of the kind, and the key. One with characters that a bucket does not take is written in hexadecimal
//! digits behind `=`.

use vagn_registry::Kind;

/// Returns the key of an object in the bucket, such as `token.anna`.
pub fn to_bucket(kind: Kind, key: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match key.bytes().all(is_plain) {
        true => format!("{}.{key}", kind.word()),
        false => {
            let digits: String = key.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("{}.={digits}", kind.word())
        }
    }
}

/// Reads such a key; `None` for one that makes no sense, as of a later version.
pub fn of_bucket(text: &str) -> Option<(Kind, Box<str>)> {
    let (word, key) = text.split_once('.')?;
    let kind = Kind::of_word(word)?;
    let Some(digits) = key.strip_prefix('=') else { return Some((kind, key.into())) };
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect();
    Some((kind, String::from_utf8(bytes?).ok()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_comes_back_and_a_plain_one_can_be_read() {
        assert_eq!(to_bucket(Kind::Device, "00112233aabbccdd"), "device.00112233aabbccdd");
        for key in ["anna", "Anna Ö. > *", "a.b", "=61", "x\u{7f}"] {
            let text = to_bucket(Kind::Token, key);
            let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.".contains(&byte);
            assert!(text.bytes().all(may_stand), "{text}");
            assert_eq!(of_bucket(&text), Some((Kind::Token, key.into())));
        }
        for text in ["", "token", "later.x", "token.=6", "token.=zz", "token.=ff", "token.=é"] {
            assert_eq!(of_bucket(text), None, "{text}");
        }
    }
}
