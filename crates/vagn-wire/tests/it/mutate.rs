//! Damage, by chance on the way or on purpose.

use std::env;

use fastrand::Rng;

/// Bytes with a special meaning in msgpack.
const LOADED: &[u8] =
    &[0x80, 0x84, 0x90, 0x94, 0xa0, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xca, 0xcb, 0xd9, 0xdd, 0xdf, 0xff];

/// Chance from `VAGN_SEED`, else from a fixed seed; printed, so that a failed run can be run again.
pub(crate) fn seeded() -> Rng {
    let seed = env::var("VAGN_SEED").map_or(0x5641_474e, |seed| seed.parse().expect("VAGN_SEED is a number"));
    eprintln!("VAGN_SEED={seed}");
    Rng::with_seed(seed)
}

/// `count`, or with `VAGN_LONG` set many times as many.
pub(crate) fn rounds(count: usize) -> usize {
    if env::var_os("VAGN_LONG").is_some() { 50 * count } else { count }
}

/// Changes the bytes in one way.
pub(crate) fn mutate(bytes: &mut Vec<u8>, chance: &mut Rng) {
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

fn set(bytes: &mut [u8], at: usize, change: impl Fn(u8) -> u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = change(*byte);
    }
}
