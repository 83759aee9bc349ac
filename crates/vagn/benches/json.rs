//! The cost of writing an answer, without HTTP and TLS around it.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use vagn_api::{geojson, legacy};
use vagn_store::{Hit, Index, Key, Nearby, Plan, Sighting, Updates, Writer};
use vagn_wire::Position;

const NOW_MS: i64 = 1_800_000_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args();
    let hits = hits(10);
    let mut group = criterion.benchmark_group("json");
    group.bench_function("GeoJSON, 10 nearest", |bench| {
        bench.iter(|| geojson::nearby(black_box(&hits), false, NOW_MS));
    });
    group.bench_function("the original's JSON, 10 nearest", |bench| {
        bench.iter(|| legacy::body(black_box(&hits)));
    });
    group.finish();
    criterion.final_summary();
}

/// Hits of a query in a small fleet.
fn hits(k: usize) -> Vec<Hit> {
    let (mut updates, mut random) = (Updates::new(), fastrand::Rng::with_seed(3));
    for seq in 0..1_000 {
        let key = Key::Uuid(random.u128(..).to_be_bytes());
        updates.push(key, key.hash(), sighting(seq, &mut random));
    }
    let mut writer = Writer::new(Index::new(1_000));
    writer.write(&updates, &mut Plan::default());
    let mut hits = Vec::new();
    let center = Position::new(59.33, 18.06).expect("on the globe");
    writer.reader().nearby(&Nearby { center, k, max_m: f64::INFINITY, newer_than_ms: None }, &mut hits);
    hits
}

fn sighting(receive_seq: u64, random: &mut fastrand::Rng) -> Sighting {
    let position = Position::new(59.2 + 0.3 * random.f64(), 17.9 + 0.3 * random.f64());
    Sighting {
        position: position.expect("on the globe"),
        event_time_ms: NOW_MS - 2_345,
        receive_time_ms: NOW_MS - 2_300,
        receive_seq,
        seq: None,
        speed_mps: Some(13.9),
        heading_deg: Some(271.5),
        emergency: false,
        own_time: true,
        unsure: false,
    }
}
