//! Numbers of JSON, and what is written in their place.

use super::limits::TEXT_MAX;
use crate::decode::fields::Field;
use crate::encode::text_of;
use crate::marker::{FALSE, FLOAT64, INT64, NIL, TRUE, UINT64};

/// Writes a value that is neither text nor container as msgpack of the same type.
///
/// A word that JSON does not have, such as `nan`, `.5` or `0x10`, becomes an empty text: a value of a wrong type, which the
/// decoder judges. So it is a fault of this field alone.
pub(super) fn put_word(out: &mut Vec<u8>, field: Field, word: &[u8]) {
    match word {
        b"true" => out.push(TRUE),
        b"false" => out.push(FALSE),
        b"null" => out.push(NIL),
        _ => match number(word) {
            Some(Number::Unsigned(number)) => put(out, UINT64, number.to_be_bytes()),
            Some(Number::Signed(number)) => put(out, INT64, number.to_be_bytes()),
            Some(Number::Float(number)) => put(out, FLOAT64, number.to_be_bytes()),
            None => put_stand_in(out, field, word),
        },
    }
}

fn put_stand_in(out: &mut Vec<u8>, field: Field, word: &[u8]) {
    let read = text(word).and_then(|word| word.parse::<f64>().ok());
    match (field, read) {
        // A call for help must not be lost by the way its flag is written.
        (Field::Emergency, Some(number)) => put(out, FLOAT64, number.to_be_bytes()),
        (Field::Emergency, None) => text_of(out, &word[..word.len().min(TEXT_MAX)]),
        // As in msgpack, which has a way to write it.
        (Field::Speed | Field::Heading, Some(number)) if !number.is_finite() => {
            put(out, FLOAT64, f64::NAN.to_be_bytes());
        }
        _ => text_of(out, b""),
    }
}

enum Number {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// Reads a number of JSON; `None` for anything else, and for one that is too large.
fn number(word: &[u8]) -> Option<Number> {
    let fraction = whole(word.strip_prefix(b"-").unwrap_or(word))?;
    let exponent = match fraction.strip_prefix(b".") {
        Some(digits) => some_digits(digits)?,
        None => fraction,
    };
    let is_whole = fraction.is_empty();
    let rest = match exponent.split_first() {
        Some((b'e' | b'E', [b'+' | b'-', digits @ ..] | digits)) => some_digits(digits)?,
        _ => exponent,
    };
    let text = text(word).filter(|_| rest.is_empty())?;
    let unsigned = || text.parse().ok().map(Number::Unsigned);
    // An integer has no negative zero.
    let signed = || text.parse().ok().filter(|number| *number != 0).map(Number::Signed);
    let float = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Float);
    if is_whole { unsigned().or_else(signed).or_else(float) } else { float() }
}

/// Goes past the digits before the point: no zero leads others.
fn whole(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"0").or_else(|| some_digits(text))
}

/// Goes past digits, one at least.
fn some_digits(text: &[u8]) -> Option<&[u8]> {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0).then(|| &text[len..])
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

fn put<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}
