//! Any sequence of moves, deletions, losses, slow reading and coming back: in the end each client has what it sees in its box.

use proptest::prelude::*;

use super::super::outlet::BacklogMax;
use super::*;

/// Vehicles of a case.
const VEHICLES: usize = 12;

/// Boxes that overlap, one across the antimeridian, one of the globe.
const BOXES: [[f64; 4]; 5] = [
    [0.0, 0.0, 10.0, 10.0],
    [5.0, 5.0, 15.0, 15.0],
    [0.0, 0.0, 10.0, 10.0],
    [170.0, -10.0, -170.0, 10.0],
    [-180.0, -90.0, 180.0, 90.0],
];

#[derive(Debug, Clone)]
enum StreamStep {
    /// Vehicles move to places out of a few.
    Move(Vec<(usize, usize)>),
    Delete(usize),
    /// Changes that never reach the hub, and the hub's learning of it.
    Lose(usize, usize),
    Tick(u64),
    /// Time passes in many ticks.
    Wait(u64),
    Read(usize),
    /// The connection ends.
    Leave(usize),
    ComeBack(usize),
}

/// Places inside, outside, and on the edges of the boxes; some of them are one coarse place.
const PLACES: [(f64, f64); 12] = [
    (1.0, 1.0),
    (7.0, 7.0),
    (10.0, 10.0),
    (12.0, 12.0),
    (20.0, 20.0),
    (0.0, 180.0),
    (5.0, -179.0),
    (90.0, 0.0),
    (-10.0, 175.0),
    (10.000_1, 10.000_1),
    (10.000_6, 1.000_2),
    (-9.999_7, -179.999_7),
];

fn step() -> impl Strategy<Value = StreamStep> {
    let vehicle = || 0..VEHICLES;
    let client = || 0..2 * BOXES.len();
    let place = || 0..PLACES.len();
    prop_oneof![
        6 => prop::collection::vec((vehicle(), place()), 1..5).prop_map(StreamStep::Move),
        2 => vehicle().prop_map(StreamStep::Delete),
        1 => (vehicle(), place()).prop_map(|(vehicle, place)| StreamStep::Lose(vehicle, place)),
        6 => (1_u64..400).prop_map(StreamStep::Tick),
        1 => (1_000_u64..13_000).prop_map(StreamStep::Wait),
        4 => client().prop_map(StreamStep::Read),
        2 => client().prop_map(StreamStep::Leave),
        3 => client().prop_map(StreamStep::ComeBack),
    ]
}

fn small() -> StreamLimits {
    StreamLimits {
        pass_vehicles: 3,
        tick_vehicles: 8,
        channel_marks: 9,
        ring_changes: 60,
        backlog: BacklogMax { passes: 3, bytes: 400 },
        bytes: 2_000,
        ..StreamLimits::default()
    }
}

fn id(vehicle: usize) -> String {
    format!("bus {vehicle}")
}

fn act(step: &StreamStep, world: &mut StreamWorld, clients: &mut [Client]) {
    match step {
        StreamStep::Move(moves) => {
            let ids: Vec<_> = moves.iter().map(|(vehicle, _)| id(*vehicle)).collect();
            let places = ids.iter().zip(moves);
            let places: Vec<_> =
                places.map(|(id, (_, place))| (id.as_str(), PLACES[*place].0, PLACES[*place].1)).collect();
            world.put(&places);
        }
        StreamStep::Delete(vehicle) => world.delete(&id(*vehicle)),
        StreamStep::Lose(vehicle, place) => {
            let (lat, lon) = PLACES[*place];
            world.fleet.put(&[(&id(*vehicle), lat, lon)]);
            world.hub.lose(world.now);
        }
        StreamStep::Tick(ms) => world.pass(*ms),
        StreamStep::Wait(ms) => world.run(*ms),
        StreamStep::Read(at) => drop(clients[*at].read(world)),
        StreamStep::Leave(at) => clients[*at].leave(),
        StreamStep::ComeBack(at) => clients[*at].come_back(world),
    }
}

/// Lets all clients come back that are away, and tells everything.
fn settle(world: &mut StreamWorld, clients: &mut [Client]) {
    for client in clients.iter_mut().filter(|client| client.follower.is_none()) {
        client.come_back(world);
    }
    for _ in 0..40 {
        world.run(1_000);
        clients.iter_mut().for_each(|client| drop(client.read(world)));
    }
}

fn check(steps: &[StreamStep], limits: StreamLimits) {
    let mut world = StreamWorld::new(limits);
    let mut clients: Vec<_> = BOXES.iter().map(|edges| world.client(*edges)).collect();
    clients.extend(BOXES.iter().map(|edges| world.seeing(Sight::Coarse, *edges)));
    for client in &mut clients {
        client.read(&world);
        client.places = world.fleet.seen(client.sight, &client.bbox);
    }
    steps.iter().for_each(|step| act(step, &mut world, &mut clients));
    settle(&mut world, &mut clients);
    for client in &clients {
        assert_eq!(client.places, world.fleet.seen(client.sight, &client.bbox), "{:?}", client.bbox);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_client_has_in_the_end_what_is_in_its_box(steps in prop::collection::vec(step(), 1..120)) {
        check(&steps, small());
        check(&steps, StreamLimits::default());
    }

    #[test]
    fn coming_back_within_the_ring_is_no_gap_and_misses_nothing(
        steps in prop::collection::vec(step(), 1..60),
        away_ms in 0_u64..8_000,
    ) {
        let mut world = StreamWorld::new(StreamLimits::default());
        act(&StreamStep::Move((0..VEHICLES).map(|vehicle| (vehicle, vehicle % PLACES.len())).collect()), &mut world, &mut []);
        let mut client = world.client(BOXES[0]);
        client.places = world.fleet.inside(&client.bbox);
        let mut others: Vec<_> = BOXES.iter().map(|edges| world.client(*edges)).collect();
        others.extend(BOXES.iter().map(|edges| world.seeing(Sight::Coarse, *edges)));
        world.run(1_000);
        client.read(&world);
        client.leave();
        let had: Vec<_> = client.places.keys().cloned().collect();
        for step in &steps {
            match step {
                StreamStep::Move(_) | StreamStep::Delete(_) | StreamStep::Read(1..) => act(step, &mut world, &mut others),
                _ => {}
            }
        }
        world.run(away_ms);
        client.come_back(&mut world);
        world.run(1_000);
        let seen = client.read(&world);
        prop_assert!(!seen.iter().any(|event| event.starts_with("gap")), "{seen:?}");
        for id in had.iter().filter(|id| !world.fleet.has(id)) {
            prop_assert!(seen.contains(&format!("gone {id}")), "{id} is deleted: {seen:?}");
        }
        prop_assert_eq!(&client.places, &world.fleet.inside(&client.bbox));
    }
}
