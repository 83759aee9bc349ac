//! Prints what reading one report costs, for `docs/decisions/0002-own-msgpack-decoder.md`:
//!
//! ```sh
//! cargo run --release -p vagn-wire --example decode_speed
//! ```
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Deserialize;
use vagn_wire::{Position, Report, VehicleId};

/// Few enough to stay in the first-level cache's reach, many enough that no branch is learnt by heart.
const VEHICLES: u64 = 1024;
const ROUNDS: u32 = 10;
/// The best of many short runs: what else the machine has to do falls between them.
const RUNS: usize = 2000;

fn main() {
    let plain = fleet(|report| report);
    let extended = fleet(|report| Report {
        event_time_ms: Some(1_700_000_000_000),
        seq: Some(7),
        speed_mps: Some(13.9),
        heading_deg: Some(271.5),
        ..report
    });
    let row = |name, datagrams: &[Vec<u8>], read: fn(&[u8]) -> bool| {
        println!("{name:<44} {:6.1} ns", time(datagrams, read));
    };
    row("decode, original layout (fast path)", &plain, |bytes| vagn_wire::decode(bytes).is_ok());
    row("decode_general, original layout", &plain, |bytes| vagn_wire::decode_general(bytes).is_ok());
    row("decode, Ts Seq Speed Heading", &extended, |bytes| vagn_wire::decode(bytes).is_ok());
    row("rmp-serde, original layout", &plain, |bytes| rmp_serde::from_slice::<Original<'_>>(bytes).is_ok());
    row("is_emergency, original layout", &plain, |bytes| !vagn_wire::is_emergency(bytes));
    row("is_emergency, Ts Seq Speed Heading", &extended, |bytes| !vagn_wire::is_emergency(bytes));
    row("object_len, original layout", &plain, |bytes| vagn_wire::object_len(bytes).is_ok());
    row("object_len, Ts Seq Speed Heading", &extended, |bytes| vagn_wire::object_len(bytes).is_ok());
}

/// The original's four fields, without any of the checks or leniency of a [`Report`].
#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody: the reading is what is timed")]
struct Original<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Lon")]
    lon: f64,
    #[serde(rename = "Lat")]
    lat: f64,
    #[serde(rename = "Emergency")]
    emergency: bool,
}

fn fleet(dress: fn(Report<'_>) -> Report<'_>) -> Vec<Vec<u8>> {
    (0..VEHICLES).map(|number| datagram(number, dress)).collect()
}

fn datagram(number: u64, dress: fn(Report<'_>) -> Report<'_>) -> Vec<u8> {
    let id = format!("4e091396-62ae-4f3b-8715-{number:012x}");
    let vehicle_id = VehicleId::new(&id).expect("36 plain characters");
    let spread = number as f64 / VEHICLES as f64;
    let position = Position::new(90.0 * spread, -180.0 * spread).expect("on the globe");
    let mut bytes = Vec::new();
    vagn_wire::encode(&dress(Report::new(vehicle_id, position)), &mut bytes);
    bytes
}

/// Nanoseconds per datagram in the best run.
fn time(datagrams: &[Vec<u8>], read: fn(&[u8]) -> bool) -> f64 {
    let best = (0..RUNS).map(|_| run(datagrams, read)).min().expect("there are runs");
    best.as_nanos() as f64 / f64::from(ROUNDS) / datagrams.len() as f64
}

fn run(datagrams: &[Vec<u8>], read: fn(&[u8]) -> bool) -> Duration {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for datagram in datagrams {
            assert!(black_box(read(black_box(datagram))));
        }
    }
    start.elapsed()
}
