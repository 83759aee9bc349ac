//! Random fleets on many machines, at the antimeridian, at both poles and in a city: their answers are those of a search through all reports
//! whose shards answer.

use std::collections::BTreeSet;

use fastrand::Rng;
use vagn_store::distance_m;

use super::*;

/// Fleets that are tried: more with `VAGN_LONG=1`.
fn fleets() -> usize {
    if std::env::var_os("VAGN_LONG").is_some() { 2_000 } else { 40 }
}

/// Latitude and longitude around which vehicles and questions are.
const CENTERS: [(f64, f64); 5] =
    [(-17.5, 180.0), (65.0, -180.0), (90.0, 0.0), (-90.0, 120.0), (59.33, 18.06)];

/// A place near one of the centers, seldom exactly there.
fn place(rng: &mut Rng) -> Position {
    let (lat, lon) = CENTERS[rng.usize(..CENTERS.len())];
    let wide = [0.0, 0.01, 0.1, 2.0][rng.usize(..4)];
    let mut away = || wide * (2.0 * rng.f64() - 1.0);
    let (lat, mut lon) = ((lat + away()).clamp(-90.0, 90.0), lon + away());
    if lat.abs() > 88.0 {
        lon = 360.0 * rng.f64() - 180.0;
    }
    let round = if lon > 180.0 {
        -360.0
    } else if lon < -180.0 {
        360.0
    } else {
        0.0
    };
    Position::new(lat, lon + round).unwrap()
}

/// Vehicles by number, of those whose shards answer.
struct Union {
    places: Vec<Position>,
    missing: Vec<u16>,
}

impl Union {
    fn random(rng: &mut Rng) -> Self {
        let places = (0..rng.usize(1..300)).map(|_| place(rng)).collect();
        let share = [0.0, 0.3][rng.usize(..2)];
        Self { places, missing: (1..SHARDS as u16).filter(|_| rng.f64() < share).collect() }
    }

    fn shards(&self) -> FarShards {
        let faults = self.missing.iter().map(|shard| (*shard, Fault::Silent)).collect();
        FarShards { fleet: Some(fleet_at(&self.places, SHARDS, shard_of)), faults, ..FarShards::default() }
    }

    fn there(&self) -> impl Iterator<Item = (VehicleIdBuf, Position)> {
        let all = self.places.iter().enumerate().map(|(number, place)| (id(number as u32), *place));
        all.filter(|(id, _)| !self.missing.contains(&home(id)))
    }

    fn place(&self, of: &VehicleIdBuf) -> Option<Position> {
        self.there().find(|(id, _)| id == of).map(|(_, place)| place)
    }

    /// The nearest ones, each where it is and as far as it is, in order. Of several that are equally far any may come.
    fn check_nearest(&self, asked: Nearby, hits: &[Hit]) {
        let Nearby { center, k, max_m, .. } = asked;
        let mut far: Vec<f64> = self.there().map(|(_, place)| distance_m(center, place)).collect();
        far.retain(|far_m| *far_m <= max_m);
        far.sort_by(f64::total_cmp);
        far.truncate(k);
        assert_eq!(hits.iter().map(|hit| hit.distance_m).collect::<Vec<_>>(), far, "{asked:?}");
        for hit in hits {
            let place = self.place(&hit.vehicle.id).expect("it is one of those that are there");
            assert_eq!(hit.vehicle.sighting.position, place);
            assert_eq!(hit.distance_m, distance_m(center, place), "{asked:?}");
        }
        assert_eq!(hits.iter().map(|hit| hit.vehicle.id).collect::<BTreeSet<_>>().len(), hits.len());
    }

    /// West, south, east, north.
    fn check_inside(&self, edges: [f64; 4], found: Vec<VehicleIdBuf>) {
        let [west, south, east, north] = edges;
        let is_between = |lon: f64| match west <= east {
            true => west <= lon && lon <= east,
            false => lon >= west || lon <= east,
        };
        // 180 and -180 are the same meridian, and a pole is on all of them.
        let is_in = |place: Position| {
            let (lat, lon) = (place.lat(), place.lon());
            let turned = if lon.abs() == 180.0 { -lon } else { lon };
            let is_pole = lat.abs() == 90.0;
            (south..=north).contains(&lat) && (is_pole || is_between(lon) || is_between(turned))
        };
        let expected: BTreeSet<_> =
            self.there().filter(|(_, place)| is_in(*place)).map(|(id, _)| id).collect();
        assert_eq!(found.len(), expected.len(), "{edges:?}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{edges:?}");
    }
}

async fn check_random(rng: &mut Rng) {
    let union = Union::random(rng);
    let (queries, _, _root) = start_over(union.shards()).await;
    for _ in 0..10 {
        let max_m = [f64::INFINITY, 0.0, 1_000.0, 50_000.0, 3e6][rng.usize(..5)];
        let nearby = Nearby { center: place(rng), k: rng.usize(1..400), max_m, newer_than_ms: None };
        let answer = queries.ask(Question::Nearest { sight: Sight::Exact, nearby }).await.unwrap();
        assert_eq!(answer.missing_shards, union.missing);
        union.check_nearest(nearby, &answer.value.hits().unwrap());

        let (one, other) = (place(rng), place(rng));
        let (south, north) = (one.lat().min(other.lat()), one.lat().max(other.lat()));
        let (west, east) = (one.lon(), other.lon());
        let bbox = BBox::new(west, south, east, north).unwrap();
        let answer = queries.ask(Question::Inside { sight: Sight::Exact, bbox, limit: 1_000 }).await.unwrap();
        assert_eq!(answer.missing_shards, union.missing);
        let found = answer.value.vehicles().unwrap();
        union.check_inside([west, south, east, north], found.iter().map(|vehicle| vehicle.id).collect());
    }
    let count = queries.ask(Question::Count).await.unwrap().value;
    assert_eq!(count, Answer::Count(union.there().count() as u64));
}

#[tokio::test]
async fn answers_are_those_of_a_search_through_all_reports_of_the_shards_that_answer() {
    for _ in 0..fleets() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        check_random(&mut Rng::with_seed(seed)).await;
    }
}
