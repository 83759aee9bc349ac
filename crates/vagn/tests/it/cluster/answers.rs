//! What a cluster answers is what a search through all reports that were sent finds: near a point, in a box, in tiles and in the stream; over
//! the antimeridian, at both poles, and in a city. Where a shard is missing, the answer says which, and has all of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fastrand::Rng;
use futures_util::future::join_all;
use mvt_reader::Reader;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use vagn_shard::shard_of;
use vagn_store::{Key, distance_m};
use vagn_wire::{Fate, Position, VehicleId};

use crate::chance::seed;
use crate::position_stream::Stream;
use crate::tcp::TcpVehicle;
use crate::tiles;
use crate::vagn::{LIMIT, Vagn, client};

use super::nodes::{Cluster, SHARDS};

/// Name of a place, its middle, how far around it vehicles are, in degrees; and a box that is watched there: west, south, east, north.
type Place = (&'static str, (f64, f64), f64, [f64; 4]);

/// Where vehicles are.
const PLACES: [Place; 4] = [
    ("sea", (-17.5, 180.0), 1.0, [179.5, -18.2, -179.2, -16.9]),
    ("north", (89.9, 0.0), 0.1, [-180.0, 89.95, 180.0, 90.0]),
    ("south", (-89.9, 0.0), 0.1, [-30.0, -90.0, 170.0, -89.85]),
    ("city", (59.33, 18.06), 0.1, [18.0, 59.3, 18.2, 59.5]),
];

/// Vehicles at each place.
const EACH: usize = 40;

/// Where each vehicle was reported last.
type Union = BTreeMap<String, (f64, f64)>;

fn random_place(rng: &mut Rng, at: usize) -> (f64, f64) {
    let (_, (lat, lon), wide, _) = PLACES[at];
    let mut away = || wide * (2.0 * rng.f64() - 1.0);
    let (lat, lon) = ((lat + away()).clamp(-90.0, 90.0), lon + away());
    if lat.abs() > 80.0 {
        return (lat, 360.0 * rng.f64() - 180.0);
    }
    (lat, if lon > 180.0 { lon - 360.0 } else { lon })
}

/// New places for all vehicles. Some are at a pole itself, or on the antimeridian by either of its names.
fn random_union(rng: &mut Rng) -> Union {
    let mut union = Union::new();
    for (at, (name, ..)) in PLACES.iter().enumerate() {
        for number in 0..EACH {
            let place = match (*name, number) {
                ("sea", 0) => (-17.5, 180.0),
                ("sea", 1) => (-17.4, -180.0),
                ("north", 0) => (90.0, 100.0),
                ("south", 0) => (-90.0, 0.0),
                _ => random_place(rng, at),
            };
            union.insert(format!("{name}-{number}"), place);
        }
    }
    union
}

/// Reports all through the doors of all nodes, and waits until all are stored.
async fn send(cluster: &Cluster, union: &Union, seq: u64) {
    let doors: Vec<_> = cluster.running().map(|(_, node)| node).collect();
    for (at, door) in doors.iter().enumerate() {
        let mut vehicles = TcpVehicle::connect(door.address("tcp")).await.unwrap();
        // Another door for each vehicle each time.
        let here: Vec<_> = union
            .iter()
            .enumerate()
            .filter(|(number, _)| (number + seq as usize) % doors.len() == at)
            .collect();
        here.iter().for_each(|(_, (id, (lat, lon)))| vehicles.report(id, *lat, *lon, seq));
        vehicles.flush().await.unwrap();
        for _ in here {
            assert_eq!(vehicles.ack().await.unwrap().2, Fate::Stored);
        }
    }
}

fn position((lat, lon): (f64, f64)) -> Position {
    Position::new(lat, lon).unwrap()
}

fn shard(id: &str) -> u16 {
    shard_of(Key::of(VehicleId::new(id).unwrap()), SHARDS.into()) as u16
}

fn is_in([west, south, east, north]: [f64; 4], (lat, lon): (f64, f64)) -> bool {
    let is_between =
        |lon: f64| if west <= east { west <= lon && lon <= east } else { lon >= west || lon <= east };
    let turned = if lon.abs() == 180.0 { -lon } else { lon };
    south <= lat && lat <= north && (lat.abs() == 90.0 || is_between(lon) || is_between(turned))
}

fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-9 * one.abs().max(1.0)
}

/// One that asks a node, and knows what was stored and when the last of it was.
struct Asker<'a> {
    node: &'a Vagn,
    client: reqwest::Client,
    union: Union,
    stored: Instant,
}

impl<'a> Asker<'a> {
    fn new(node: &'a Vagn, union: &Union, stored: Instant) -> Self {
        Self { node, client: client(), union: union.clone(), stored }
    }

    /// Asks until the answer is of a moment at which all was stored, as its age says; and returns it with the shards that it misses.
    async fn ask(&self, path: &str) -> (Value, Vec<u16>) {
        let began = Instant::now();
        loop {
            let since_stored_ms = self.stored.elapsed().as_millis();
            let answer = self.client.get(self.node.url(path)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}\n{}", self.node.log());
            let age = answer.headers()["vagn-shard-age-ms"].to_str().unwrap().to_owned();
            if age.parse::<u128>().is_ok_and(|age_ms| age_ms + 500 < since_stored_ms) {
                let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
                let missing = answer.get("missing_shards").map_or(Vec::new(), |missing| {
                    missing.as_array().unwrap().iter().map(|shard| shard.as_u64().unwrap() as u16).collect()
                });
                return (answer, missing);
            }
            assert!(began.elapsed() < LIMIT, "the age is {age} all the time");
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn there(&self, missing: &[u16]) -> Union {
        self.union.clone().into_iter().filter(|(id, _)| !missing.contains(&shard(id))).collect()
    }

    async fn check_nearby(&self, center: (f64, f64), k: usize, radius_m: Option<f64>, missing: &[u16]) {
        let (lat, lon) = center;
        let radius = radius_m.map_or(String::new(), |radius_m| format!("&radius_m={radius_m}"));
        let path = format!("/api/v1/vehicles/nearby?lat={lat}&lon={lon}&k={k}{radius}");
        let (answer, missed) = self.ask(&path).await;
        assert_eq!(missed, missing, "{path}");
        let there = self.there(missing);
        let far_m = |place: &(f64, f64)| distance_m(position(center), position(*place));
        let mut expected: Vec<f64> = there.values().map(far_m).collect();
        expected.retain(|far_m| radius_m.is_none_or(|radius_m| *far_m <= radius_m));
        expected.sort_by(f64::total_cmp);
        expected.truncate(k);
        let found = answer["features"].as_array().unwrap();
        let told: Vec<f64> =
            found.iter().map(|each| each["properties"]["distance_m"].as_f64().unwrap()).collect();
        let is_same = |(one, other): (&f64, &f64)| is_near(*one, *other);
        assert!(
            told.len() == expected.len() && told.iter().zip(&expected).all(is_same),
            "{path}: {told:?}, and not {expected:?}"
        );
        let places = places(found);
        assert_eq!(places.len(), found.len(), "{path}: no vehicle twice");
        for (feature, told_m) in found.iter().zip(told) {
            let id = feature["id"].as_str().unwrap();
            check_place(&there, &places, id);
            assert!(is_near(told_m, far_m(&there[id])), "{path}: {feature}");
        }
    }

    /// Returns what is in a box.
    async fn inside(&self, edges: [f64; 4]) -> Union {
        let (answer, missed) = self.ask(&format!("/api/v1/vehicles?bbox={}", list(edges))).await;
        assert!(missed.is_empty(), "{missed:?}");
        places(answer["features"].as_array().unwrap())
    }

    async fn check_box(&self, edges: [f64; 4], missing: &[u16]) {
        let path = format!("/api/v1/vehicles?bbox={}", list(edges));
        let (answer, missed) = self.ask(&path).await;
        assert_eq!(missed, missing, "{path}");
        let found = answer["features"].as_array().unwrap();
        let (places, there) = (places(found), self.there(missing));
        assert_eq!((places.len(), &answer["truncated"]), (found.len(), &Value::Bool(false)), "{path}");
        let expected: BTreeSet<_> =
            there.iter().filter(|(_, place)| is_in(edges, **place)).map(|(id, _)| id).collect();
        assert_eq!(places.keys().collect::<BTreeSet<_>>(), expected, "{path}");
        places.keys().for_each(|id| check_place(&there, &places, id));
    }

    /// Random questions at each place, and the ones with known traps.
    async fn check_questions(&self, rng: &mut Rng, rounds: usize, missing: &[u16]) {
        let mut boxes = vec![[-180.0, -90.0, 180.0, 90.0]];
        let mut centers = Vec::new();
        for at in 0..PLACES.len() * rounds {
            let (at, (_, middle, _, edges)) = (at % PLACES.len(), PLACES[at % PLACES.len()]);
            let radius_m = [None, Some(3_000.0), Some(60_000.0)][rng.usize(..3)];
            centers.push((random_place(rng, at), rng.usize(1..60), radius_m));
            centers.push((middle, 1_000, None));
            let (one, other) = (random_place(rng, at), random_place(rng, at));
            boxes.extend([edges, [one.1, one.0.min(other.0), other.1, one.0.max(other.0)]]);
        }
        // Each waits for shards that do not answer, so all wait together.
        let near =
            centers.into_iter().map(|(center, k, radius_m)| self.check_nearby(center, k, radius_m, missing));
        let inside = boxes.into_iter().map(|edges| self.check_box(edges, missing));
        tokio::join!(join_all(near), join_all(inside));
    }

    async fn tile(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.client.get(self.node.url(&format!("/tiles/{path}"))).send().await.unwrap();
        match answer.status().as_u16() {
            200 => Some(answer.bytes().await.unwrap().to_vec()),
            204 => Some(Vec::new()),
            // While the fleet is mirrored and counted.
            503 => None,
            other => panic!("{path} is answered with {other}"),
        }
    }

    /// Asks until a tile is as expected: tiles are as old as their tick, and tell no age.
    async fn check_tile<T: PartialEq + std::fmt::Debug>(
        &self,
        path: &str,
        expected: T,
        read: impl Fn(&[u8]) -> T,
    ) {
        let (began, mut got) = (Instant::now(), None);
        while began.elapsed() < LIMIT {
            got = self.tile(path).await.map(|bytes| read(&bytes));
            if got.as_ref() == Some(&expected) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{path} of {:?}: {got:?}, and not {expected:?}", self.node.address("http"));
    }

    /// All tiles of the world that count, and those that show vehicles singly.
    async fn check_tiles(&self) {
        for zoom in [0, 2] {
            for (x, y) in (0..1 << zoom).flat_map(|x| (0..1 << zoom).map(move |y| (x, y))) {
                let expected =
                    self.union.values().filter(|place| cell(**place, zoom) == (x, y)).count() as u64;
                let count = |bytes: &[u8]| match bytes {
                    [] => 0,
                    _ => tiles::count(&Reader::new(bytes.to_vec()).unwrap().get_features(0).unwrap(), "n"),
                };
                self.check_tile(&format!("{zoom}/{x}/{y}.mvt"), expected, count).await;
            }
        }
        // At the poles there are about as many tiles as vehicles, and tiles are made with low priority: a few are enough.
        let some = self.union.values().enumerate().filter(|(number, _)| number % 9 == 0);
        let cells: BTreeSet<_> = some.map(|(_, place)| cell(*place, 12)).collect();
        for (x, y) in cells {
            let here: BTreeMap<_, _> =
                self.union.iter().filter(|(_, place)| cell(**place, 12) == (x, y)).collect();
            let ids = here.keys().map(|id| (*id).clone()).collect::<BTreeSet<_>>();
            let read = |bytes: &[u8]| match bytes {
                [] => BTreeSet::new(),
                _ => tiles::ids(&Reader::new(bytes.to_vec()).unwrap().get_features(0).unwrap()),
            };
            self.check_tile(&format!("12/{x}/{y}.mvt"), ids, read).await;
            self.check_tile(&format!("12/{x}/{y}.bin"), rows(&here), read_rows).await;
        }
    }
}

fn list(edges: [f64; 4]) -> String {
    edges.map(|edge| edge.to_string()).join(",")
}

fn places(features: &[Value]) -> Union {
    let place = |feature: &Value| {
        let at = |number: usize| feature["geometry"]["coordinates"][number].as_f64().unwrap();
        (feature["id"].as_str().unwrap().to_owned(), (at(1), at(0)))
    };
    features.iter().map(place).collect()
}

fn check_place(there: &Union, found: &Union, id: &str) {
    let (at, told) = (there.get(id).unwrap_or_else(|| panic!("{id} is not there")), found[id]);
    assert!(is_near(at.0, told.0) && is_near(at.1, told.1), "{id}: {told:?}, and not {at:?}");
}

/// Column and row of the tile that a place is in. 180° is -180°, and what is beyond the map is in the row at its edge.
fn cell((lat, lon): (f64, f64), zoom: u32) -> (u32, u32) {
    let side = f64::from(1_u32 << zoom);
    let last = (1_u32 << zoom) - 1;
    let x = ((lon + 180.0) / 360.0 * side) as u32 % (1 << zoom);
    let north = lat.to_radians().tan().asinh() / std::f64::consts::PI;
    let y = (1.0 - north) / 2.0 * side;
    (x, if y < 0.0 { 0 } else { (y as u32).min(last) })
}

/// What a binary tile has of a vehicle: the lower half of the hash of its id, longitude and latitude in 1e-7 degrees; in the order of the
/// hashes.
type Row = (u32, i32, i32);

fn rows(here: &BTreeMap<&String, &(f64, f64)>) -> Vec<Row> {
    let hashed = here.iter().map(|(id, place)| (Key::of(VehicleId::new(id).unwrap()).hash(), **place));
    let all: BTreeMap<u64, _> = hashed.collect();
    let row = |(hash, (lat, lon)): (u64, (f64, f64))| {
        (hash as u32, (lon * 1e7).round() as i32, (lat * 1e7).round() as i32)
    };
    all.into_iter().map(row).collect()
}

fn read_rows(bytes: &[u8]) -> Vec<Row> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let number = |row: &[u8], at: usize| i32::from_le_bytes(row[at..at + 4].try_into().unwrap());
    let rows = bytes[32..].chunks(32).map(|row| (number(row, 24) as u32, number(row, 0), number(row, 4)));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), number(bytes, 4) as usize);
    rows
}

/// A client of the stream of one box, with its picture of the box: where each vehicle is.
struct Watch<'a> {
    node: &'a Vagn,
    edges: [f64; 4],
    stream: Stream,
    picture: Union,
    /// All that was sent since the stream was opened, or since the last gap, came by events.
    is_proved: bool,
}

impl<'a> Watch<'a> {
    async fn open(node: &'a Vagn, edges: [f64; 4], asker: &Asker<'_>) -> Self {
        let path = format!("/api/v1/positions/stream?bbox={}", list(edges));
        let mut stream = Stream::of(node, &path, None).await;
        // What changes from here on is told; what was before is asked for.
        assert!(stream.block().await.unwrap().id.is_some());
        let picture = asker.inside(edges).await;
        Self { node, edges, stream, picture, is_proved: false }
    }

    /// Hears until the picture is what was sent. After a gap the box is read again, as a client must.
    async fn hear(&mut self, union: &Union, stored: Instant) {
        let expected: Union = union
            .iter()
            .filter(|(_, place)| is_in(self.edges, **place))
            .map(|(id, at)| (id.clone(), *at))
            .collect();
        let (until, mut has_gap) = (Instant::now() + LIMIT, false);
        while !is_same(&self.picture, &expected) {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(event) = timeout(left, self.stream.next()).await else {
                let edges = self.edges;
                panic!("{edges:?}: {:?}, and not {expected:?}\n{}", self.picture, self.node.log());
            };
            let event = event.expect("the stream goes on");
            match event.name.as_str() {
                "position" => {
                    let (id, place) = places(std::slice::from_ref(&event.data)).pop_first().unwrap();
                    assert!(is_in(self.edges, place), "{event:?}");
                    self.picture.insert(id, place);
                }
                "left" => drop(self.picture.remove(event.data["id"].as_str().unwrap())),
                "gap" => {
                    has_gap = true;
                    self.picture = Asker::new(self.node, union, stored).inside(self.edges).await;
                }
                other => panic!("{other}"),
            }
        }
        self.is_proved |= !has_gap;
    }
}

fn is_same(one: &Union, other: &Union) -> bool {
    let is_near = |one: &(f64, f64), other: &(f64, f64)| is_near(one.0, other.0) && is_near(one.1, other.1);
    one.len() == other.len() && one.iter().all(|(id, at)| other.get(id).is_some_and(|told| is_near(at, told)))
}

/// The stream of each box at each node tells who is in it, who comes, and who leaves. Returns when the last was stored.
async fn check_streams(
    cluster: &Cluster,
    rng: &mut Rng,
    union: &mut Union,
    mut seq: u64,
    mut stored: Instant,
) -> Instant {
    let mut watches = Vec::new();
    for (_, node) in cluster.running() {
        let asker = Asker::new(node, union, stored);
        for (.., edges) in PLACES {
            watches.push(Watch::open(node, edges, &asker).await);
        }
    }
    let mut rounds = 0;
    while !watches.iter().all(|watch| watch.is_proved) {
        // A shard that gets another owner may cost a gap, and no more than one.
        assert!(rounds < 4, "a stream tells of gaps all the time");
        *union = random_union(rng);
        (rounds, seq) = (rounds + 1, seq + 1);
        send(cluster, union, seq).await;
        stored = Instant::now();
        join_all(watches.iter_mut().map(|watch| watch.hear(union, stored))).await;
    }
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_answers_what_a_search_through_all_reports_finds() {
    let mut rng = Rng::with_seed(seed());
    let mut cluster = Cluster::start();
    cluster.wait_whole().await;
    let mut union = random_union(&mut rng);
    send(&cluster, &union, 1).await;
    // Where they are now counts, and not where they were.
    union = random_union(&mut rng);
    send(&cluster, &union, 2).await;
    let stored = Instant::now();
    for (_, node) in cluster.running() {
        let asker = Asker::new(node, &union, stored);
        asker.check_questions(&mut rng, 3, &[]).await;
        asker.check_tiles().await;
    }
    let stored = check_streams(&cluster, &mut rng, &mut union, 2, stored).await;

    // Both owners of some shards are killed.
    let missing = cluster.owned_by(&[0, 1]);
    assert!(!missing.is_empty());
    cluster.kill(0);
    cluster.kill(1);
    let asker = Asker::new(cluster.node(2), &union, stored);
    asker.check_questions(&mut rng, 1, &missing).await;
    for (id, place) in union.iter().step_by(7) {
        let (status, body) = cluster.node(2).get(&format!("/api/v1/vehicles/{id}")).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        if missing.contains(&shard(id)) {
            let shard = format!("shard {} ", shard(id));
            assert!(status == 503 && answer["detail"].to_string().contains(&shard), "{status} {answer}");
        } else {
            check_place(&[(id.clone(), *place)].into(), &places(&[answer]), id);
        }
    }

    // Who comes back has all.
    cluster.start_again(0);
    cluster.start_again(1);
    cluster.wait_whole().await;
    for (_, node) in cluster.running() {
        Asker::new(node, &union, stored).check_questions(&mut rng, 1, &[]).await;
    }
}
