//! The time for which a certificate is valid (X.509, RFC 5280 §4.1), read from its bytes. All else in it is for the TLS library.

use vagn_flow::rfc3339;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Begin and end of a certificate, ms since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First moment.
    pub begins_ms: i64,
    /// Last second.
    pub ends_ms: i64,
}

impl Validity {
    /// Reads it from a certificate in DER. `None`: it is none.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = content(certificate, SEQUENCE)?;
        let (mut fields, _) = content(whole, SEQUENCE)?;
        if let Some((_, behind)) = content(fields, VERSION) {
            fields = behind;
        }
        // Serial number, algorithm and issuer stand before it.
        for _ in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (times, _) = content(fields, SEQUENCE)?;
        let (tag, begins, times) = element(times)?;
        let begins_ms = time(tag, begins)?;
        let (tag, ends, _) = element(times)?;
        Some(Self { begins_ms, ends_ms: time(tag, ends)? })
    }
}

/// Takes the element at the beginning: its tag, its content, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More than four bytes of length are more than any certificate has.
        0x81..=0x84 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, behind) = rest.split_at_checked(len)?;
    Some((tag, content, behind))
}

/// Takes the element at the beginning if it has this tag: its content, and what is behind it.
fn content(bytes: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    element(bytes).filter(|(tag, ..)| *tag == expected).map(|(_, content, behind)| (content, behind))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME if text.len() == 12 => {
            let (year, rest) = text.split_at(2);
            // RFC 5280 §4.1.2.5.1.
            (format!("{}{year}", if year < "50" { "20" } else { "19" }), rest)
        }
        GENERALIZED_TIME if text.len() == 14 => {
            let (year, rest) = text.split_at(4);
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|from| &rest[from..from + 2]);
    rfc3339::parse(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn made(begins: (i32, u8, u8), ends: (i32, u8, u8)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(begins.0, begins.1, begins.2);
        params.not_after = date_time_ymd(ends.0, ends.1, ends.2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn reads_both_forms_of_a_time() {
        for (begins, ends, texts) in [
            ((2026, 11, 28), (2027, 12, 31), ["2026-11-28T00:00:00.000Z", "2027-12-31T00:00:00.000Z"]),
            ((1975, 1, 1), (4096, 1, 1), ["1975-01-01T00:00:00.000Z", "4096-01-01T00:00:00.000Z"]),
        ] {
            let found = Validity::of(&made(begins, ends)).unwrap();
            assert_eq!([found.begins_ms, found.ends_ms].map(rfc3339::rfc3339), texts);
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_read_or_refused_and_never_more() {
        let whole = made((2026, 11, 28), (2027, 12, 31));
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "cut to {end}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                Validity::of(&bytes);
            }
        }
    }
}
