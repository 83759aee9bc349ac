//! Damage, by chance on the way or on purpose.

use std::env;

use fastrand::Rng;

/// Bytes with a special meaning in msgpack.
const LOADED: &[u8] =
    &[0x80, 0x84, 0x90, 0x94, 0xa0, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xca, 0xcb, 0xd9, 0xdd, 0xdf, 0xff];

/// Numbers at the edges of what fits into something.
const EDGES: [u64; 8] = [0, 1, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];

/// Longest input that is made, in bytes.
const LENGTH_MAX: usize = 64 << 10;

/// Makes the chance from `VAGN_SEED`, else from a fixed seed; printed, so that a failed run can be run again.
pub fn seeded() -> Rng {
    let seed = env::var("VAGN_SEED").map_or(0x5641_474e, |seed| seed.parse().expect("VAGN_SEED is a number"));
    eprintln!("VAGN_SEED={seed}");
    Rng::with_seed(seed)
}

/// Returns `count`, or with `VAGN_LONG` set many times as many.
pub fn rounds(count: usize) -> usize {
    if env::var_os("VAGN_LONG").is_some() { 50 * count } else { count }
}

/// Changes the bytes in one way that suits any format.
pub fn mutate(bytes: &mut Vec<u8>, chance: &mut Rng) {
    let at = chance.usize(..=bytes.len());
    let len = chance.usize(..=(bytes.len() - at).min(12));
    let loaded = LOADED[chance.usize(..LOADED.len())];
    match chance.u8(..7) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, loaded),
        2 => bytes.extend_from_within(at..at + len),
        3 => drop(bytes.drain(at..at + len)),
        4 => bytes[at..at + len].reverse(),
        5 => set(bytes, at, |_| loaded),
        _ => set(bytes, at, |byte| byte ^ (1 << (at % 8))),
    }
}

/// Changes the bytes in one way: as [`mutate`], or with a piece of another input, a word, an extreme number, or much of the same.
pub(crate) fn change(bytes: &mut Vec<u8>, other: &[u8], words: &[&str], chance: &mut Rng) {
    let at = chance.usize(..=bytes.len());
    match chance.u8(..12) {
        0 => splice(bytes, at, piece(other, chance)),
        1 | 2 if !words.is_empty() => splice(bytes, at, words[chance.usize(..words.len())].as_bytes()),
        3 => write(bytes, at, &EDGES[chance.usize(..EDGES.len())].to_le_bytes()[..1 << chance.u8(..4)]),
        4 => splice(bytes, at, chance.i64(..).to_string().as_bytes()),
        5 if chance.u8(..8) == 0 => repeat(bytes, at, chance),
        _ => mutate(bytes, chance),
    }
    bytes.truncate(LENGTH_MAX);
}

fn piece<'a>(other: &'a [u8], chance: &mut Rng) -> &'a [u8] {
    let from = chance.usize(..=other.len());
    &other[from..from + chance.usize(..=(other.len() - from).min(64))]
}

fn splice(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

/// Writes over what is there.
fn write(bytes: &mut [u8], at: usize, number: &[u8]) {
    bytes[at..].iter_mut().zip(number).for_each(|(byte, new)| *byte = *new);
}

fn repeat(bytes: &mut Vec<u8>, at: usize, chance: &mut Rng) {
    let piece = bytes[at..(at + chance.usize(1..=8)).min(bytes.len())].repeat(chance.usize(1..2_000));
    splice(bytes, at, &piece);
}

fn set(bytes: &mut [u8], at: usize, change: impl Fn(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = change(*byte);
    }
}
