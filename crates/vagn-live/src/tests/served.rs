//! Tiles as they are served, read back by a decoder of other people.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use geo_types::Geometry;
use mvt_reader::Reader;
use mvt_reader::feature::{Feature, Value};
use vagn_store::{Key, NotReady, Sight, VehicleIdBuf};
use vagn_wire::{Position, VehicleId};

use super::harness::{World, at};
use crate::Tile;
use crate::keeper::Looks;
use crate::mercator::{Cell, EXTENT, gather, grid};
use crate::tiles::{Content, Format, TileKey, Tiles, VEHICLES_FROM};

/// The world, and a keeper that is kept up by hand.
struct Served {
    world: World,
    tiles: Arc<Tiles>,
    looks: Looks,
    coarse_looks: Looks,
}

impl Served {
    fn new(partitions: u32) -> Self {
        let world = World::new(partitions);
        let tiles = world.tiles();
        let looks = tiles.keepers.exact.wake_up();
        let coarse_looks = tiles.keepers.coarse.wake_up();
        Self { world, tiles, looks, coarse_looks }
    }

    /// Lets the keeper do all its work, and the next tick begin.
    fn settle(&mut self) {
        self.world.clock.advance(Duration::from_secs(1));
        while self.tiles.keepers.exact.step(&mut self.looks) {}
        while self.tiles.keepers.coarse.step(&mut self.coarse_looks) {}
    }

    async fn get(&self, format: Format, tile: Tile) -> Arc<Content> {
        self.see(TileKey { format, tile, sight: Sight::Exact }).await
    }

    async fn see(&self, key: TileKey) -> Arc<Content> {
        let fleet = self.world.fleet.clone();
        self.tiles.get::<NotReady>(key, async |job| job.make(&fleet)).await.unwrap()
    }

    async fn features(&self, tile: Tile) -> Vec<Feature<f32>> {
        let content = self.get(Format::Mvt, tile).await;
        decoded(&content)
    }

    /// Number of vehicles that a tile shows.
    async fn count(&self, tile: Tile) -> u64 {
        let features = self.features(tile).await;
        features.iter().map(|feature| number(feature, "n").unwrap_or(1)).sum()
    }
}

fn decoded(content: &Content) -> Vec<Feature<f32>> {
    if content.bytes.is_empty() {
        return Vec::new();
    }
    let reader = Reader::new(content.bytes.to_vec()).unwrap();
    let layers = reader.get_layer_metadata().unwrap();
    assert_eq!((layers.len(), layers[0].name.as_str(), layers[0].extent), (1, "vehicles", EXTENT));
    reader.get_features(0).unwrap()
}

fn number(feature: &Feature<f32>, name: &str) -> Option<u64> {
    match feature.properties.as_ref().unwrap().get(name)? {
        Value::UInt(number) => Some(*number),
        other => panic!("{name} is {other:?}"),
    }
}

fn id(feature: &Feature<f32>) -> String {
    match &feature.properties.as_ref().unwrap()["id"] {
        Value::String(id) => id.clone(),
        other => panic!("id is {other:?}"),
    }
}

fn place(feature: &Feature<f32>) -> (f32, f32) {
    match &feature.geometry {
        Geometry::Point(point) => (point.x(), point.y()),
        Geometry::MultiPoint(points) if points.0.len() == 1 => (points.0[0].x(), points.0[0].y()),
        other => panic!("{other:?} is no point"),
    }
}

/// The position that a place in a tile stands for.
fn position((x, y): (f32, f32), (z, column, row): (u8, u32, u32)) -> (f64, f64) {
    let side = f64::from(1_u32 << z);
    let of_map = |place: f32, tile: u32| (f64::from(tile) + f64::from(place) / f64::from(EXTENT)) / side;
    let lon = of_map(x, column) * 360.0 - 180.0;
    let lat = (std::f64::consts::PI * (1.0 - 2.0 * of_map(y, row))).sinh().atan().to_degrees();
    (lat, lon)
}

fn tile_of(cell: Cell, z: u8) -> (u8, u32, u32) {
    let number = cell.at(z);
    (z, gather(number), gather(number >> 1))
}

fn tile((z, x, y): (u8, u32, u32)) -> Tile {
    Tile::new(z, x, y).unwrap()
}

/// A fleet around the globe, with a crowd in one street, some at the poles and on both names of the antimeridian.
fn globe() -> Vec<(String, Position)> {
    let mut random = fastrand::Rng::with_seed(11);
    let mut places = vec![
        at(90.0, 0.0),
        at(90.0, 180.0),
        at(-90.0, 33.3),
        at(85.2, -180.0),
        at(-86.0, 179.999_999_9),
        at(-17.5, 180.0),
        at(-17.5, -180.0),
        at(-17.5, 179.999_999_99),
        at(0.0, 1.0),
    ];
    places.extend((0..1_500).map(|_| at(random.f64() * 180.0 - 90.0, random.f64() * 360.0 - 180.0)));
    places.extend((0..1_500).map(|_| at(30.27 + random.f64() * 0.01, -97.74 + random.f64() * 0.01)));
    (0..).zip(places).map(|(number, place): (u32, _)| (format!("vehicle {number}"), place)).collect()
}

fn named(fleet: &[(String, Position)]) -> Vec<(&str, Position)> {
    fleet.iter().map(|(id, place)| (id.as_str(), *place)).collect()
}

#[tokio::test]
async fn vehicles_add_up_at_every_zoom() {
    let fleet = globe();
    let mut served = Served::new(2);
    served.world.report(&named(&fleet));
    served.settle();
    for z in 0..=Tile::ZOOM_MAX {
        let cells = fleet.iter().map(|(_, place)| tile_of(grid().cell(*place), z));
        let mut sum = 0;
        for place in cells.collect::<BTreeSet<_>>() {
            let count = served.count(tile(place)).await;
            assert!(count > 0, "{place:?} has a vehicle and shows none");
            sum += count;
        }
        assert_eq!(sum, fleet.len() as u64, "zoom {z}");
    }
    let empty = served.get(Format::Mvt, tile((14, 3, 8_000))).await;
    assert!(empty.bytes.is_empty());
}

#[tokio::test]
async fn ids_places_and_feature_ids_are_those_of_the_fleet() {
    let fleet = globe();
    let mut served = Served::new(2);
    served.world.report(&named(&fleet));
    served.settle();
    for z in VEHICLES_FROM..=Tile::ZOOM_MAX {
        let mut by_tile: BTreeMap<_, BTreeMap<&str, Position>> = BTreeMap::new();
        for (id, place) in &fleet {
            by_tile.entry(tile_of(grid().cell(*place), z)).or_default().insert(id, *place);
        }
        for (place_of_tile, expected) in by_tile {
            let features = served.features(tile(place_of_tile)).await;
            assert_eq!(features.len(), expected.len());
            for feature in features {
                let (id, found) = (id(&feature), position(place(&feature), place_of_tile));
                let real = expected[id.as_str()];
                let hash = Key::of(VehicleId::new(&id).unwrap()).hash();
                assert_eq!((feature.id, number(&feature, "heading")), (Some(hash & 0xffff_ffff), Some(271)));
                let lat = real.lat().clamp(-85.051_128_779_8, 85.051_128_779_8);
                let lon = if real.lon() == 180.0 { -180.0 } else { real.lon() };
                // A unit at zoom 11 is 4.3e-5 degrees.
                assert!((found.0 - lat).abs() < 5e-5 && (found.1 - lon).abs() < 5e-5, "{id} {found:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_vehicle_alone_stands_where_it_is_at_every_zoom() {
    let mut served = Served::new(1);
    let real = at(48.2, 16.37);
    served.world.report(&[("bus 1", real)]);
    served.settle();
    for z in 0..VEHICLES_FROM {
        let place_of_tile = tile_of(grid().cell(real), z);
        let features = served.features(tile(place_of_tile)).await;
        let (lat, lon) = position(place(&features[0]), place_of_tile);
        let unit = 360.0 / f64::from(1_u32 << z) / f64::from(EXTENT);
        assert!(features.len() == 1 && (lat - real.lat()).abs() <= unit && (lon - real.lon()).abs() <= unit);
    }
}

#[tokio::test]
async fn a_tile_with_too_many_vehicles_has_clusters_that_add_up() {
    let mut random = fastrand::Rng::with_seed(3);
    let ids: Vec<_> = (0..10_001).map(|number| format!("bus {number}")).collect();
    let mut spot = || at(30.270 + random.f64() * 0.005, -97.740 + random.f64() * 0.005);
    let fleet: Vec<_> = ids.iter().map(|id| (id.as_str(), spot())).collect();
    let tile = tile(tile_of(grid().cell(fleet[0].1), 11));
    let mut served = Served::new(2);
    served.world.report(&fleet[..10_000]);
    served.settle();
    assert_eq!(served.features(tile).await.len(), 10_000);
    assert_eq!(served.get(Format::Bin, tile).await.bytes.len(), 32 + 10_000 * 32);
    served.world.report(&fleet[10_000..]);
    served.world.incidents.0.lock().real = vec![VehicleIdBuf::from(VehicleId::new("bus 7").unwrap())];
    served.settle();
    let features = served.features(tile).await;
    assert!(features.len() <= 64 && features.iter().all(|feature| number(feature, "n").is_some()));
    assert_eq!(features.iter().filter_map(|feature| number(feature, "n")).sum::<u64>(), 10_001);
    assert_eq!(features.iter().filter_map(|feature| number(feature, "emergency")).sum::<u64>(), 1);
    let binary = served.get(Format::Bin, tile).await;
    assert_eq!((binary.bytes.len(), &binary.bytes[4..8], binary.bytes[24]), (32, &[0; 4][..], 1));
}

#[tokio::test]
async fn vehicles_that_call_are_counted_at_every_zoom_and_drills_are_not() {
    let fleet = globe();
    let mut served = Served::new(2);
    served.world.report(&named(&fleet));
    {
        let id = |text: &str| VehicleIdBuf::from(VehicleId::new(text).unwrap());
        let mut open = served.world.incidents.0.lock();
        // Some with two incidents, one that the fleet does not know.
        open.real = ["vehicle 0", "vehicle 7", "vehicle 7", "vehicle 2000", "nobody"].map(id).into();
        open.drills = ["vehicle 3", "vehicle 7"].map(id).into();
    }
    served.settle();
    for z in 0..=Tile::ZOOM_MAX {
        let cells = fleet.iter().map(|(_, place)| tile_of(grid().cell(*place), z));
        let mut calling = 0;
        for place in cells.collect::<BTreeSet<_>>() {
            for feature in served.features(tile(place)).await {
                calling += match feature.properties.as_ref().unwrap().get("emergency") {
                    Some(Value::UInt(count)) if z < VEHICLES_FROM => *count,
                    Some(Value::Bool(true)) if z >= VEHICLES_FROM => 1,
                    None => 0,
                    other => panic!("zoom {z}: {other:?}"),
                };
            }
        }
        assert_eq!(calling, 3, "zoom {z}");
    }
}

#[tokio::test]
async fn a_vehicle_that_is_deleted_or_forgotten_leaves_every_tile() {
    let mut served = Served::new(2);
    let place = at(30.27, -97.74);
    let cell = grid().cell(place);
    served.world.report(&[("bus 1", place), ("bus 2", place), ("bus 3", place)]);
    for (left, z) in [3, 2, 1, 0].into_iter().flat_map(|left| (0..=14).map(move |z| (left, z))) {
        if z == 0 {
            match left {
                2 => served.world.delete("bus 1"),
                1 => {
                    served.world.clock.advance(Duration::from_secs(60));
                    served.world.report(&[("bus 3", place)]);
                    served.world.forget(30);
                }
                0 => served.world.delete("bus 3"),
                _ => {}
            }
            served.settle();
        }
        let tile = tile(tile_of(cell, z));
        assert_eq!(served.count(tile).await, left, "zoom {z}");
        if z >= VEHICLES_FROM {
            let bytes = &served.get(Format::Bin, tile).await.bytes;
            let expected = if left == 0 { 0 } else { 32 + 32 * left as usize };
            assert_eq!(bytes.len(), expected, "zoom {z}");
        }
    }
}

#[tokio::test]
async fn a_tile_is_made_once_a_tick_and_keeps_its_bytes_while_nothing_changes() {
    let mut served = Served::new(1);
    let place = at(30.27, -97.74);
    served.world.report(&[("bus 1", place)]);
    served.settle();
    let made = AtomicUsize::new(0);
    let fleet = served.world.fleet.clone();
    for format in [Format::Mvt, Format::Bin] {
        let key = TileKey { format, tile: tile(tile_of(grid().cell(place), 14)), sight: Sight::Exact };
        let tiles = served.tiles.clone();
        let get = || {
            tiles.get::<NotReady>(key, async |job| {
                made.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                job.make(&fleet)
            })
        };
        let before = made.load(Ordering::Relaxed);
        let (first, second) = tokio::join!(get(), get());
        let first = first.unwrap();
        assert_eq!((&first, made.load(Ordering::Relaxed)), (&second.unwrap(), before + 1));
        served.world.clock.advance(Duration::from_secs(5));
        assert_eq!((get().await.unwrap(), made.load(Ordering::Relaxed)), (first.clone(), before + 2));
        served.world.report(&[("bus 1", at(30.271, -97.74))]);
        let changed = get().await.unwrap();
        assert!(changed.hash != first.hash && changed.bytes != first.bytes);
        served.world.report(&[("bus 1", place)]);
    }
}

#[tokio::test]
async fn the_order_of_the_fleet_does_not_show_in_a_tile() {
    let fleet: Vec<_> = globe().into_iter().skip(1_509).take(200).collect();
    let tile = tile(tile_of(grid().cell(fleet[0].1), 11));
    let mut tags = BTreeSet::new();
    for (partitions, is_reversed) in [(1, false), (1, true), (3, false)] {
        let mut served = Served::new(partitions);
        let mut fleet = named(&fleet);
        if is_reversed {
            fleet.reverse();
        }
        served.world.report(&fleet);
        served.settle();
        tags.insert(served.get(Format::Mvt, tile).await.hash);
    }
    assert_eq!(tags.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_the_fleet_is_never_shown_as_if_it_were_all() {
    let mut served = Served::new(2);
    served.world.report(&[("bus 1", at(1.0, 1.0)), ("bus 2", at(1.0, 1.0)), ("bus 3", at(1.0, 1.0))]);
    let fleet = served.world.fleet.clone();
    let ask = async |served: &Served, z: u8| {
        let tile = tile(tile_of(grid().cell(at(1.0, 1.0)), z));
        let key = TileKey { format: Format::Mvt, tile, sight: Sight::Exact };
        served.tiles.get::<NotReady>(key, async |job| job.make(&fleet)).await
    };
    assert_eq!(ask(&served, 0).await, Err(NotReady), "the keeper has not looked yet");
    served.settle();
    assert!(ask(&served, 0).await.is_ok() && ask(&served, 12).await.is_ok());
    served.world.take_away(1);
    served.settle();
    for z in [0, 12] {
        assert_eq!(ask(&served, z).await, Err(NotReady));
    }
    served.world.restart(1);
    served.settle();
    for z in [0, 12] {
        assert!(ask(&served, z).await.is_ok());
    }
}
