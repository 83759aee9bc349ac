//! Coarse tiles: the same bytes wherever in their cells of the grid the vehicles are, and nothing of what is not told.

use std::sync::Arc;
use std::time::Duration;

use vagn_store::{NotReady, Sight, VehicleIdBuf};
use vagn_wire::{Position, VehicleId};

use super::harness::{World, at};
use crate::Tile;
use crate::mercator::{gather, grid};
use crate::tiles::{Content, Format, TileKey, Tiles};

/// A world whose keepers have done all their work.
struct Kept {
    world: World,
    tiles: Arc<Tiles>,
}

impl Kept {
    fn new(places: &[(String, Position)]) -> Self {
        let mut world = World::new(2);
        let ids = places.iter().map(|(id, place)| (id.as_str(), *place));
        world.report(&ids.collect::<Vec<_>>());
        let tiles = world.tiles();
        for keeper in [&tiles.keepers.exact, &tiles.keepers.coarse] {
            let mut looks = keeper.wake_up();
            while keeper.step(&mut looks) {}
        }
        Self { world, tiles }
    }

    async fn see(&self, sight: Sight, format: Format, tile: Tile) -> Arc<Content> {
        let fleet = self.world.fleet.clone();
        let key = TileKey { format, tile, sight };
        self.tiles.get::<NotReady>(key, async |job| job.make(&fleet)).await.unwrap()
    }
}

/// Vehicles in cells at edges of tiles, of the map and of the globe, and crowds of more than are drawn where they are; each is
/// `shift` degrees to the south and west of the middle of its cell.
fn shifted(shift: f64) -> Vec<(String, Position)> {
    let mut middles = vec![
        (0.0, 0.001),
        (59.329, 18.069),
        (85.051, 10.0),
        (-85.051, 10.0),
        (-89.999, 12.0),
        (-17.5, -180.0),
        (-17.5, 179.999),
        // The edge of a tile of zoom 11 is at 0.17578125.
        (30.0, 0.176),
        (30.0, 0.175),
    ];
    middles.extend((0..1_100).map(|number| (30.0, 0.165 + f64::from(number % 20) / 1_000.0)));
    let middles = middles.into_iter().map(|(lat, lon): (f64, f64)| {
        let west = lon - shift;
        at(lat - shift, if west < -180.0 { west + 360.0 } else { west })
    });
    let poles = [at(90.0 - shift, shift * 1e5), at(shift - 90.0, -shift * 3e5)];
    let places = middles.chain(poles);
    places.enumerate().map(|(number, place)| (format!("bus {number}"), place)).collect()
}

fn tiles_of(places: &[(String, Position)]) -> Vec<Tile> {
    let mut tiles = Vec::new();
    for z in 0..=Tile::ZOOM_MAX {
        for (_, place) in &places[..20] {
            for seen in [*place, Sight::Coarse.place(*place)] {
                let number = grid().cell(seen).at(z);
                let tile = Tile::new(z, gather(number), gather(number >> 1)).unwrap();
                if !tiles.contains(&tile) {
                    tiles.push(tile);
                }
            }
        }
    }
    tiles
}

fn formats(tile: Tile) -> &'static [Format] {
    if tile.zoom() < 11 { &[Format::Mvt] } else { &[Format::Mvt, Format::Bin] }
}

#[tokio::test(start_paused = true)]
async fn a_coarse_tile_is_the_same_wherever_in_their_cells_the_vehicles_are() {
    let (middle, aside) = (shifted(0.0), shifted(0.000_49));
    let worlds = [Kept::new(&middle), Kept::new(&aside)];
    let (mut differ, mut vehicles) = (0, 0);
    let all: Vec<_> = tiles_of(&middle).into_iter().chain(tiles_of(&aside)).collect();
    for tile in all {
        for format in formats(tile) {
            let [one, other] = [
                worlds[0].see(Sight::Coarse, *format, tile).await,
                worlds[1].see(Sight::Coarse, *format, tile).await,
            ];
            assert_eq!(one.bytes, other.bytes, "{tile:?} {format:?}");
            let exact = worlds[1].see(Sight::Exact, *format, tile).await;
            differ += usize::from(exact.bytes != one.bytes);
            vehicles += usize::from(!one.bytes.is_empty());
        }
    }
    assert!(differ > 20 && vehicles > 100, "{differ} {vehicles}");
}

#[tokio::test(start_paused = true)]
async fn every_vehicle_is_in_one_coarse_tile_of_a_zoom() {
    let places = shifted(0.000_49);
    let kept = Kept::new(&places);
    for z in [11, 14] {
        let mut tiles = Vec::new();
        for (_, place) in &places {
            let number = grid().cell(Sight::Coarse.place(*place)).at(z);
            let tile = Tile::new(z, gather(number), gather(number >> 1)).unwrap();
            if !tiles.contains(&tile) {
                tiles.push(tile);
            }
        }
        let mut count = 0;
        for tile in tiles {
            let content = kept.see(Sight::Coarse, Format::Bin, tile).await;
            count += u32::from_le_bytes(content.bytes[4..8].try_into().unwrap());
        }
        assert_eq!(count as usize, places.len(), "zoom {z}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_coarse_tile_has_place_and_time_and_nothing_else() {
    let place = at(59.329_349, 18.068_651);
    let mut kept = Kept::new(&[("bus 7".to_owned(), place)]);
    let id = VehicleIdBuf::from(VehicleId::new("bus 7").unwrap());
    kept.world.incidents.0.lock().real.push(id);
    let number = grid().cell(place).at(14);
    let tile = Tile::new(14, gather(number), gather(number >> 1)).unwrap();
    // Somebody who may see it all looks there too, so that the fix before is known.
    kept.see(Sight::Exact, Format::Bin, tile).await;
    kept.world.report(&[("bus 7", at(59.329_2, 18.068_9))]);
    kept.world.clock.advance(Duration::from_secs(1));
    let binary = kept.see(Sight::Coarse, Format::Bin, tile).await;
    let vehicle = &binary.bytes[32..64];
    let number = |at: usize| i32::from_le_bytes(vehicle[at..at + 4].try_into().unwrap());
    assert_eq!([number(0), number(4)], [180_690_000, 593_290_000]);
    assert_eq!([number(8), number(12)], [180_690_000, 593_290_000], "no fix before");
    assert_eq!(number(20), 0, "no time between");
    assert_eq!(&vehicle[28..32], [0xff, 0xff, 0xff, 0], "neither heading nor speed nor flags");
    let base_ms = i64::from_le_bytes(binary.bytes[16..24].try_into().unwrap());
    assert_eq!((base_ms % 10_000, number(16)), (0, 0));
    for zoom in [2, 14] {
        let cell = grid().cell(place).at(zoom);
        let tile = Tile::new(zoom, gather(cell), gather(cell >> 1)).unwrap();
        let vector = kept.see(Sight::Coarse, Format::Mvt, tile).await;
        let has = |word: &str| vector.bytes.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(!has("heading"), "zoom {zoom}");
        let reader = mvt_reader::Reader::new(vector.bytes.to_vec()).unwrap();
        let features = reader.get_features(0).unwrap();
        let properties = features[0].properties.as_ref().unwrap();
        assert_eq!((features.len(), properties.len()), (1, 1), "zoom {zoom}: {properties:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn both_forms_of_a_tile_have_names_of_their_own_even_where_their_bytes_are_the_same() {
    let kept = Kept::new(&[("bus 7".to_owned(), at(59.329, 18.069))]);
    let tile = Tile::new(0, 0, 0).unwrap();
    let exact = kept.see(Sight::Exact, Format::Mvt, tile).await;
    let coarse = kept.see(Sight::Coarse, Format::Mvt, tile).await;
    assert_eq!(exact.bytes, coarse.bytes);
    assert_ne!(exact.hash, coarse.hash);
}
