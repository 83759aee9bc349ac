//! The hub over a real partition and a clock that the test moves: what clients put together from their events.

mod coarse;
mod fleet;
mod limits;
mod model;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use vagn_flow::metrics::MetricRegistry;
use vagn_store::{BBox, Fleet, Sight};

use super::hub::{Hub, HubParts, Moment};
use super::*;
use fleet::TestFleet;

/// Wall time at which each test begins.
const BEGIN_MS: i64 = 1_790_000_000_000;

/// Writes each event as a line `event|id of the vehicle or reason|latitude|longitude|time|event id`.
struct Lines;

impl EventWriter for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn write(&self, out: &mut Vec<u8>, event: &StreamEvent<'_>, id: Option<&EventId>) {
        let id = id.map(EventId::to_string).unwrap_or_default();
        let line = match event {
            StreamEvent::Begin => format!("begin|||||{id}\n"),
            StreamEvent::Quiet => format!("quiet|||||{id}\n"),
            StreamEvent::Position { vehicle, now_ms } => {
                let position = vehicle.sighting.position;
                format!("position|{}|{}|{}|{now_ms}|{id}\n", vehicle.id, position.lat(), position.lon())
            }
            StreamEvent::Left(of) => format!("left|{of}||||{id}\n"),
            StreamEvent::Gone(of) => format!("gone|{of}||||{id}\n"),
            StreamEvent::Gap(reason) => format!("gap|{}||||{id}\n", reason.as_str()),
        };
        out.extend_from_slice(line.as_bytes());
    }
}

/// Vehicles with their places, as a client has put them together.
type Places = BTreeMap<String, (f64, f64)>;

/// A hub with its fleet.
struct StreamWorld {
    streams: PositionStreams,
    hub: Hub,
    fleet: TestFleet,
    now: Moment,
    metrics: StreamMetrics,
}

impl StreamWorld {
    fn new(limits: StreamLimits) -> Self {
        let fleet = TestFleet::new(2);
        let metrics = StreamMetrics::new(&MetricRegistry::new());
        let streams = PositionStreams::new(&limits, metrics.clone());
        let parts = HubParts { fleet: fleet.fleet.clone(), limits, metrics: metrics.clone() };
        let now = Moment { steady: Duration::ZERO, wall_ms: BEGIN_MS };
        Self { streams, hub: Hub::new(parts, now), fleet, now, metrics }
    }

    /// Lets time pass, with a tick at its end.
    fn pass(&mut self, ms: u64) {
        self.now.steady += Duration::from_millis(ms);
        self.now.wall_ms += ms as i64;
        self.hub.tick(self.now);
    }

    /// Lets time pass in ticks as long as those of the service.
    fn run(&mut self, ms: u64) {
        (0..ms / 20).for_each(|_| self.pass(20));
    }

    /// Stores places of vehicles, and lets the hub take the changes.
    fn put(&mut self, places: &[(&str, f64, f64)]) {
        let changes = self.fleet.put(places);
        changes.iter().for_each(|changes| self.hub.take(changes, self.now));
    }

    fn delete(&mut self, id: &str) {
        let changes = self.fleet.delete(id);
        changes.iter().for_each(|changes| self.hub.take(changes, self.now));
    }

    fn follow(&mut self, bbox: BBox, sight: Sight, last: Option<&str>) -> StreamFollower {
        let last = last.map(|id| id.parse().unwrap_or_else(|err| panic!("{id}: {err}")));
        let view = StreamView { bbox, sight, writer: Arc::new(Lines) };
        let follower = self.streams.follow(view, last).unwrap();
        for join in std::mem::take(&mut *self.streams.door.joins.lock()) {
            self.hub.join(join, self.now);
        }
        follower
    }

    /// Joins a client that has not read the fleet.
    fn client(&mut self, edges: [f64; 4]) -> Client {
        self.seeing(Sight::Exact, edges)
    }

    fn seeing(&mut self, sight: Sight, edges: [f64; 4]) -> Client {
        let [west, south, east, north] = edges;
        let bbox = BBox::new(west, south, east, north).unwrap();
        let follower = self.follow(bbox, sight, None);
        Client { bbox, sight, follower: Some(follower), ..Client::default() }
    }
}

/// A client that puts together what is in its box.
struct Client {
    bbox: BBox,
    sight: Sight,
    follower: Option<StreamFollower>,
    places: Places,
    last: Option<String>,
    /// Times at which it was told of a vehicle, by its id.
    told: BTreeMap<String, i64>,
}

impl Default for Client {
    fn default() -> Self {
        let bbox = BBox::new(-180.0, -90.0, 180.0, 90.0).unwrap();
        Self {
            bbox,
            sight: Sight::Exact,
            follower: None,
            places: Places::new(),
            last: None,
            told: BTreeMap::new(),
        }
    }
}

impl Client {
    /// Takes what waits; returns the events as `position bus 7`, `gap lost_changes`, `begin` and so on.
    fn read(&mut self, world: &StreamWorld) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(Some(Some(piece))) = self.follower.as_mut().map(|of| of.next().now_or_never()) {
            let text = String::from_utf8(piece.to_vec()).unwrap();
            text.lines().for_each(|line| seen.push(self.take(line, world)));
        }
        seen
    }

    fn take(&mut self, line: &str, world: &StreamWorld) -> String {
        let fields: Vec<_> = line.split('|').collect();
        let [event, of, lat, lon, time, id] = fields[..] else { panic!("{line}") };
        if !id.is_empty() {
            self.last = Some(id.to_owned());
        }
        match event {
            "position" => {
                let time_ms = time.parse::<i64>().unwrap();
                let before_ms = self.told.insert(of.to_owned(), time_ms);
                assert!(
                    before_ms.is_none_or(|before_ms| time_ms - before_ms >= 1_000),
                    "{line} after {before_ms:?}"
                );
                self.places.insert(of.to_owned(), (lat.parse().unwrap(), lon.parse().unwrap()));
            }
            "left" | "gone" => drop(self.places.remove(of)),
            "gap" => self.places = world.fleet.seen(self.sight, &self.bbox),
            _ => {}
        }
        format!("{event} {of}").trim_end().to_owned()
    }

    /// Ends the connection.
    fn leave(&mut self) {
        self.follower = None;
        self.told.clear();
    }

    /// Comes back with the last id that it was given.
    fn come_back(&mut self, world: &mut StreamWorld) {
        self.leave();
        let last = self.last.clone();
        self.follower = Some(world.follow(self.bbox, self.sight, last.as_deref()));
    }
}

/// A box around Stockholm.
const CITY: [f64; 4] = [17.9, 59.2, 18.2, 59.4];

#[test]
fn a_client_is_told_what_comes_moves_leaves_and_is_deleted() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("stays", 59.3, 18.0), ("leaves", 59.3, 18.1), ("goes", 59.3, 18.1), ("afar", 10.0, 10.0)]);
    let mut client = world.client(CITY);
    world.run(1_000);
    assert_eq!(client.read(&world), ["begin"], "what was there before is for the client to read");
    world.put(&[("comes", 59.21, 17.91), ("leaves", 59.5, 18.1), ("afar", 10.0, 10.1)]);
    world.delete("goes");
    world.run(1_000);
    let mut seen = client.read(&world);
    seen.sort();
    assert_eq!(seen, ["gone goes", "left leaves", "position comes"]);
    assert_eq!(client.places["comes"], (59.21, 17.91));
}

#[test]
fn many_moves_of_a_vehicle_are_one_event_with_the_latest_place() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client(CITY);
    // Some 3 s.
    for step in 0..100 {
        world.put(&[("bus 7", 59.3, 18.0 + step as f64 / 1_000.0)]);
        world.pass(30);
    }
    world.run(1_000);
    let seen = client.read(&world);
    assert!(seen.len() <= 5, "{seen:?}");
    assert_eq!(client.places, Places::from([("bus 7".to_owned(), (59.3, 18.099))]));
}

#[test]
fn a_vehicle_that_is_deleted_and_comes_back_at_once_is_there() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("bus 7", 59.3, 18.0)]);
    let mut client = world.client(CITY);
    world.delete("bus 7");
    world.put(&[("bus 7", 59.31, 18.01)]);
    // The row that it had is another's now.
    world.put(&[("bus 8", 59.32, 18.02)]);
    world.run(1_000);
    let mut seen = client.read(&world);
    seen.sort();
    assert_eq!(seen, ["begin", "position bus 7", "position bus 8"]);
}

#[test]
fn a_vehicle_that_left_and_was_then_deleted_is_out_of_the_box() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("bus 7", 59.3, 18.0)]);
    let mut client = world.client(CITY);
    world.put(&[("bus 7", 10.0, 10.0)]);
    world.delete("bus 7");
    world.put(&[("bus 8", 59.32, 18.02)]);
    world.run(1_000);
    let mut seen = client.read(&world);
    seen.sort();
    assert_eq!(seen, ["begin", "left bus 7", "position bus 8"]);
}

#[test]
fn a_box_across_the_antimeridian_has_both_of_its_sides() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client([177.0, -20.0, -178.0, -12.5]);
    world.put(&[
        ("west", -15.0, 178.0),
        ("on", -15.0, 180.0),
        ("east", -15.0, -179.0),
        ("out", -15.0, -177.0),
    ]);
    world.run(1_000);
    client.read(&world);
    assert_eq!(client.places.keys().collect::<Vec<_>>(), ["east", "on", "west"]);
    world.put(&[("west", -15.0, 176.0), ("east", -15.0, -177.0)]);
    world.run(1_000);
    let mut seen = client.read(&world);
    seen.sort();
    assert_eq!(seen, ["left east", "left west"]);
}

#[test]
fn only_the_last_event_of_a_pass_has_an_id() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut follower = world.client(CITY).follower.unwrap();
    world.put(&[("a", 59.3, 18.0), ("b", 59.3, 18.0), ("c", 59.3, 18.0)]);
    world.run(1_000);
    follower.next().now_or_never();
    let piece = follower.next().now_or_never().flatten().unwrap();
    let text = String::from_utf8(piece.to_vec()).unwrap();
    let ids: Vec<_> = text.lines().map(|line| line.rsplit_once('|').unwrap().1.is_empty()).collect();
    assert_eq!(ids, [true, true, false]);
}

#[test]
fn a_client_that_comes_back_is_told_what_it_missed_and_nothing_else() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("leaves", 59.3, 18.1), ("goes", 59.3, 18.1), ("stays", 59.3, 18.1)]);
    let mut client = world.client(CITY);
    world.put(&[("told", 59.3, 18.0)]);
    world.run(1_000);
    client.read(&world);
    client.leave();
    world.run(4_000);
    world.put(&[("leaves", 10.0, 10.0), ("comes", 59.3, 18.0)]);
    world.delete("goes");
    world.run(4_000);
    client.come_back(&mut world);
    assert_eq!(client.read(&world), ["begin"]);
    world.put(&[("comes", 59.31, 18.0)]);
    world.run(1_000);
    let mut seen = client.read(&world);
    seen.sort();
    assert_eq!(seen, ["gone goes", "left leaves", "position comes"]);
    assert_eq!(client.places["comes"], (59.31, 18.0));
}

#[test]
fn an_id_of_another_run_or_box_or_of_what_is_not_kept_is_a_gap() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client(CITY);
    let mut other = world.client([17.9, 59.2, 18.2, 59.5]);
    client.read(&world);
    other.read(&world);
    let (own, foreign) = (client.last.clone().unwrap(), other.last.clone());
    let (channel, _) = own.rsplit_once('-').unwrap();
    for unknown in
        ["0-0-0", "1-1-0.0", &own.replacen('-', "0-", 1), &format!("{own}.0"), &format!("{channel}-1.1")]
    {
        client.last = Some(unknown.to_owned());
        client.come_back(&mut world);
        assert_eq!(client.read(&world), ["begin", "gap unknown_event"], "{unknown}");
    }
    client.last = foreign;
    client.come_back(&mut world);
    assert_eq!(client.read(&world), ["begin", "gap unknown_event"]);
    let old = client.last.clone();
    world.put(&[("bus 7", 59.3, 18.0)]);
    world.run(11_000);
    client.read(&world);
    client.last = old;
    client.come_back(&mut world);
    world.run(1_000);
    assert_eq!(client.read(&world), ["begin", "gap missed_events"]);
    // The id of the gap is one to go on from.
    client.come_back(&mut world);
    world.run(1_000);
    assert_eq!(client.read(&world), ["begin", "quiet"]);
}

#[test]
fn a_quiet_channel_gives_ids_so_that_its_clients_may_come_back() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client(CITY);
    let mut busy = world.client([0.0, 0.0, 20.0, 20.0]);
    for step in 0..30 {
        world.put(&[("afar", 10.0, 10.0 + step as f64)]);
        world.run(1_000);
    }
    busy.read(&world);
    client.read(&world);
    world.put(&[("bus 7", 59.3, 18.0)]);
    client.come_back(&mut world);
    world.run(1_000);
    assert_eq!(client.read(&world), ["begin", "position bus 7"]);
}

#[test]
fn lost_and_untold_changes_and_a_new_writer_are_a_gap_for_everybody() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut clients = [world.client(CITY), world.client([0.0, 0.0, 20.0, 20.0])];
    let lose: [fn(&mut StreamWorld); 3] = [
        |world| world.hub.lose(world.now),
        |world| world.hub.take(&world.fleet.untold(), world.now),
        |world| {
            world.fleet.begin_anew();
            world.put(&[("bus 8", 59.3, 18.0), ("bus 9", 59.3, 18.0), ("bus 10", 59.3, 18.0)]);
        },
    ];
    world.put(&[("bus 8", 59.3, 18.0), ("bus 9", 59.3, 18.0), ("bus 10", 59.3, 18.0)]);
    for lose in lose {
        clients.iter_mut().for_each(|client| drop(client.read(&world)));
        let ids = clients.each_ref().map(|client| client.last.clone());
        lose(&mut world);
        world.run(1_000);
        for (client, id) in clients.iter_mut().zip(ids) {
            assert!(client.read(&world).contains(&"gap lost_changes".to_owned()));
            let newer = std::mem::replace(&mut client.last, id);
            client.come_back(&mut world);
            assert_eq!(client.read(&world), ["begin", "gap unknown_event"], "{newer:?}");
        }
    }
}

#[test]
fn losses_one_after_another_are_one_gap_a_second() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client(CITY);
    for _ in 0..100 {
        world.pass(20);
        world.put(&[("bus 7", 59.3, 18.0)]);
        world.hub.lose(world.now);
    }
    assert_eq!(client.read(&world).len(), 2);
    world.run(1_000);
    assert_eq!(client.read(&world), ["gap lost_changes"]);
    world.run(4_000);
    assert_eq!(client.read(&world), Vec::<String>::new());
}
