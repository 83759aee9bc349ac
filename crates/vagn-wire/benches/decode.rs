//! Cost of reading one report, for each path of the decoder and for a general msgpack library.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use serde::Deserialize;
use vagn_wire::{Position, Report, VehicleId};

/// Few enough to stay near the first-level cache, many enough that the processor learns no branch by heart.
const VEHICLES: u64 = 1024;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    decode(&mut criterion);
    criterion.final_summary();
}

fn decode(criterion: &mut Criterion) {
    let plain = fleet(|report| report);
    let extended = fleet(|report| Report {
        event_time_ms: Some(1_700_000_000_000),
        seq: Some(7),
        speed_mps: Some(13.9),
        heading_deg: Some(271.5),
        ..report
    });
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(VEHICLES));
    let mut measure = |name, datagrams: &[Vec<u8>], read: fn(&[u8]) -> bool| {
        group.bench_function(name, |bench| {
            bench.iter(|| datagrams.iter().for_each(|datagram| assert!(read(black_box(datagram)))));
        });
    };
    measure("original layout, fast path", &plain, |bytes| vagn_wire::decode(bytes).is_ok());
    measure("original layout, general path", &plain, |bytes| vagn_wire::decode_general(bytes).is_ok());
    measure("with Ts Seq Speed Heading", &extended, |bytes| vagn_wire::decode(bytes).is_ok());
    measure("original layout, rmp-serde without checks", &plain, |bytes| {
        rmp_serde::from_slice::<Original<'_>>(bytes).is_ok()
    });
    measure("emergency filter, original layout", &plain, |bytes| !vagn_wire::is_emergency(bytes));
    measure("emergency filter, with Ts Seq Speed Heading", &extended, |bytes| {
        !vagn_wire::is_emergency(bytes)
    });
    let quiet = |bytes: &[u8]| match vagn_wire::sole_piece(bytes) {
        Some(piece) => !piece.is_alarm,
        None => vagn_wire::pieces(bytes).all(|piece| !piece.is_alarm),
    };
    measure("reports of a datagram, original layout", &plain, quiet);
    measure("reports of a datagram, with Ts Seq Speed Heading", &extended, quiet);
    measure("cut out of a stream, original layout", &plain, |bytes| vagn_wire::object_len(bytes).is_ok());
    measure("cut out of a stream, with Ts Seq Speed Heading", &extended, |bytes| {
        vagn_wire::object_len(bytes).is_ok()
    });
}

/// The original's four fields, without any of the checks or leniency of a [`Report`].
#[derive(Deserialize)]
#[expect(dead_code, reason = "only the reading is timed, and the values are not used")]
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
