//! Inputs that may arrive: reports in the usual form, in odd forms, damaged, and noise.

use fastrand::Rng;
use vagn_fuzz::mutate;
use vagn_wire::{MAX_DATAGRAM, Position, Report, VehicleId, encode};

use crate::msgpack::Object;

/// Keys that are to be skipped.
const UNKNOWN_KEYS: [&str; 4] = ["Fuel", "id", "La", ""];
const IDS: [&str; 8] =
    ["a", "bus 1", "Åre", "車両一", "", "tab\t", "\u{85}", "4e091396-62ae-4f3b-8715-7b4fc9c64d14"];
const WORDS: [&str; 5] = ["auto", "manual", "test", "Test", "x"];
const FLAGS: [&str; 10] = ["true", "True", "YES", "on", "1", "false", "no", "0", "", "help"];
const TIMES: [&str; 4] =
    ["2026-11-28T10:00:00.250Z", "1957-10-04t20:28:34+01:00", "2026-11-28T10:00:00", "now"];
const EDGES: [f64; 10] = [0.0, -0.0, 90.0, -90.0, 180.0, -180.0, 90.000_1, f64::NAN, f64::INFINITY, 360.0];

/// One datagram.
pub(crate) fn input(chance: &mut Rng) -> Vec<u8> {
    let mut bytes = match chance.u8(..100) {
        0..30 => original(chance),
        30..75 => report(chance).bytes_widened(&mut widths(&mut chance.fork())),
        75..90 => array(chance).bytes_widened(&mut widths(&mut chance.fork())),
        90..95 => object(chance, 6).bytes(),
        _ => noise(chance),
    };
    if chance.u8(..100) < 40 {
        (0..chance.usize(1..4)).for_each(|_| mutate(&mut bytes, chance));
    }
    if chance.u16(..1000) == 0 {
        bytes.resize(MAX_DATAGRAM + chance.usize(..3), 0);
    }
    bytes
}

/// A report with any keys in any order, some twice, and mostly fitting values.
pub(crate) fn report(chance: &mut Rng) -> Object {
    let all = [Report::KEYS, &UNKNOWN_KEYS].concat();
    let mut keys = if chance.u8(..10) < 8 { all[..4].to_vec() } else { Vec::new() };
    keys.extend((0..chance.usize(..4)).map(|_| all[chance.usize(..all.len())]));
    chance.shuffle(&mut keys);
    Object::Map(keys.into_iter().map(|key| (named(key, chance), value(key, chance))).collect())
}

/// A report in the original's layout, with any values.
fn original(chance: &mut Rng) -> Vec<u8> {
    let id = id(chance);
    let (Ok(vehicle_id), Ok(position)) =
        (VehicleId::new(&id), Position::new(degrees(chance), degrees(chance)))
    else {
        return original(chance);
    };
    let mut bytes = Vec::new();
    encode(&Report { emergency: chance.bool(), ..Report::new(vehicle_id, position) }, &mut bytes);
    bytes
}

fn array(chance: &mut Rng) -> Object {
    let len = if chance.u8(..10) < 8 { 4 } else { chance.usize(..7) };
    let keys = ["ID", "Lat", "Lon", "Emergency"].into_iter().cycle().take(len);
    Object::Array(keys.map(|key| value(key, chance)).collect())
}

fn named(key: &str, chance: &mut Rng) -> Object {
    match chance.u8(..50) {
        0 => object(chance, 2),
        1 => Object::Bin(key.into()),
        _ => key.into(),
    }
}

fn value(key: &str, chance: &mut Rng) -> Object {
    if chance.u8(..100) < 8 {
        return object(chance, 3);
    }
    match key {
        "ID" => id(chance).as_str().into(),
        "Emergency" => flag(chance),
        "Lat" | "Lon" | "Speed" | "Heading" => number(chance),
        "Ts" => time(chance),
        "Seq" => integer(chance),
        "Kind" => WORDS[chance.usize(..WORDS.len())].into(),
        "Inc" => id(chance).as_str().into(),
        _ => object(chance, 4),
    }
}

fn flag(chance: &mut Rng) -> Object {
    match chance.u8(..8) {
        0 => integer(chance),
        1 => number(chance),
        2 => FLAGS[chance.usize(..FLAGS.len())].into(),
        3 => Object::Int(chance.i64(..3)),
        _ => chance.bool().into(),
    }
}

fn time(chance: &mut Rng) -> Object {
    match chance.u8(..8) {
        0 => TIMES[chance.usize(..TIMES.len())].into(),
        1 => timestamp(chance),
        2 => Object::F64(chance.f64() * 10_f64.powi(chance.i32(8..20))),
        3 => Object::Uint(chance.u64(..) | 1 << 63),
        _ => integer(chance),
    }
}

fn timestamp(chance: &mut Rng) -> Object {
    let bytes = (chance.u128(..) >> chance.u8(..128)).to_be_bytes();
    let len = [4, 8, 12, 5][chance.usize(..4)];
    Object::Ext(if chance.u8(..5) == 0 { 1 } else { -1 }, bytes[16 - len..].to_vec())
}

fn id(chance: &mut Rng) -> String {
    match chance.u8(..10) {
        0 => IDS[chance.usize(..IDS.len())].into(),
        1 => "x".repeat(chance.usize(..70)),
        2 => chance.char(..).to_string().repeat(chance.usize(1..20)),
        _ => format!("4e091396-62ae-4f3b-8715-{:012x}", chance.u32(..)),
    }
}

fn degrees(chance: &mut Rng) -> f64 {
    match chance.u8(..10) {
        0 => EDGES[chance.usize(..EDGES.len())],
        1 => f64::from_bits(chance.u64(..)),
        _ => (chance.f64() - 0.5) * 182.0,
    }
}

fn number(chance: &mut Rng) -> Object {
    match chance.u8(..8) {
        0 => Object::F32(degrees(chance) as f32),
        1 => Object::Int(degrees(chance) as i64),
        2 => integer(chance),
        _ => Object::F64(degrees(chance)),
    }
}

/// Integers of all sizes: a bit pattern cut off at random.
fn integer(chance: &mut Rng) -> Object {
    let bits = chance.u64(..) >> chance.u8(..64);
    match chance.u8(..4) {
        0 => Object::Int((bits as i64).wrapping_neg()),
        1 => Object::F64(bits as f64),
        2 => Object::Uint(bits),
        _ => Object::Int(bits as i64),
    }
}

fn object(chance: &mut Rng, depth: usize) -> Object {
    let kinds = if depth == 0 { 8 } else { 10 };
    match chance.u8(..kinds) {
        0 => Object::Nil,
        1 => chance.bool().into(),
        2 => integer(chance),
        3 | 4 => number(chance),
        5 => id(chance).as_str().into(),
        6 => Object::Bin(noise(chance)),
        7 => Object::Ext(chance.i8(-3..3), noise(chance)),
        8 => Object::Array((0..chance.usize(..5)).map(|_| object(chance, depth - 1)).collect()),
        _ => Object::Map((0..chance.usize(..4)).map(|_| pair(chance, depth - 1)).collect()),
    }
}

fn pair(chance: &mut Rng, depth: usize) -> (Object, Object) {
    (object(chance, depth), object(chance, depth))
}

fn noise(chance: &mut Rng) -> Vec<u8> {
    (0..chance.usize(..24)).map(|_| chance.u8(..)).collect()
}

/// Mostly the shortest form of everything, now and then a wider one.
fn widths(chance: &mut Rng) -> impl FnMut() -> usize {
    move || if chance.u8(..8) == 0 { chance.usize(..4) } else { 0 }
}
