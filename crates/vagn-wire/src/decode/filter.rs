//! A look at the bytes that tells at little cost that no flag is set in them.

use super::fields::Field;
use crate::marker::{ARRAY16, ARRAY32, FALSE, FIXARRAY, FIXMAP, MAP16, MAP32, NIL};

const ARRAY_OF_FOUR: u8 = FIXARRAY | 4;

/// Returns false when no decoder can find a set flag in `read`; true when one may.
pub(super) fn may_be_set(read: &[u8]) -> bool {
    match read {
        [FIXMAP..=0x8f | MAP16 | MAP32, rest @ ..] => is_named(rest),
        // Without keys, the flag lies wherever the three values before it end.
        [ARRAY_OF_FOUR | ARRAY16 | ARRAY32, ..] => true,
        _ => false,
    }
}

/// Looks for the key with anything but nil or false after it. The key is in one piece, and its value follows at once.
fn is_named(rest: &[u8]) -> bool {
    const KEY: &[u8] = Field::Emergency.key().as_bytes();
    memchr::memchr_iter(KEY[0], rest).any(|at| {
        let after = rest[at..].strip_prefix(KEY);
        after.is_some_and(|after| !matches!(after.first(), None | Some(&(NIL | FALSE))))
    })
}
