//! Bounds: of streams, of what waits for clients, of what is marked, and of what is kept.

use super::super::outlet::BacklogMax;
use super::*;

#[test]
fn no_more_streams_are_let_in_than_there_are_places() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut followers: Vec<_> =
        (0..2_000).map(|at| world.client([0.0, 0.0, 1.0 + at as f64 / 100.0, 1.0]).follower).collect();
    let view = || StreamView {
        bbox: BBox::new(0.0, 0.0, 1.0, 1.0).unwrap(),
        sight: Sight::Exact,
        writer: Arc::new(Lines),
    };
    let refused = world.streams.follow(view(), None).err();
    assert_eq!(refused, Some(StreamsFull { streams_max: 2_000 }));
    assert_eq!((world.metrics.open.get(), world.metrics.refused.get()), (2_000, 1));
    followers.pop();
    assert_eq!(world.metrics.open.get(), 1_999);
    assert!(world.streams.follow(view(), None).is_ok());
}

#[test]
fn clients_that_come_and_go_before_the_hub_looks_leave_nothing_behind() {
    let world = StreamWorld::new(StreamLimits { streams: 10, ..StreamLimits::default() });
    for _ in 0..1_000 {
        let view = StreamView { bbox: Client::default().bbox, sight: Sight::Exact, writer: Arc::new(Lines) };
        drop(world.streams.follow(view, None).unwrap());
    }
    assert!(world.streams.door.joins.lock().len() <= 10);
}

#[test]
fn channels_of_clients_that_have_gone_are_kept_for_a_while_and_never_too_many() {
    let limits = StreamLimits { channels: 8, streams: 4, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    for at in 0..100 {
        world.client([0.0, 0.0, 1.0 + at as f64, 1.0]);
        assert!(world.hub.channels() <= 8);
    }
    world.run(14_000);
    assert_eq!(world.hub.channels(), 8);
    world.run(2_000);
    assert!(world.hub.is_idle());
}

#[test]
fn a_client_that_takes_nothing_is_told_of_a_gap_and_holds_up_no_other() {
    let limits = StreamLimits { backlog: BacklogMax { passes: 2, bytes: 1_000 }, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    let (mut slow, mut quick) = (world.client(CITY), world.client(CITY));
    for step in 0..5 {
        world.put(&[("bus 7", 59.3, 18.0 + f64::from(step) / 100.0)]);
        world.run(1_000);
        assert!(quick.read(&world).contains(&"position bus 7".to_owned()));
    }
    let seen = slow.read(&world);
    assert_eq!(seen[..2], ["begin", "gap slow_client"]);
    assert!(seen.len() <= 4, "{seen:?}");
    assert_eq!(slow.places, quick.places);
    assert!(world.metrics.gap(GapReason::SlowClient).get() > 0);
}

#[test]
fn the_bytes_that_wait_for_all_clients_are_bounded() {
    let limits = StreamLimits { bytes: 8_000, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    // Boxes of their own, so that nothing is shared.
    let mut clients: Vec<_> =
        (0..50).map(|at| world.client([0.0, 0.0, 20.0 + f64::from(at), 20.0])).collect();
    for step in 0..20 {
        let lon = 10.0 + f64::from(step) / 10.0;
        world.put(&[("bus 7", 10.0, lon), ("bus 8", 10.0, lon), ("bus 9", 10.0, lon)]);
        world.run(200);
        assert!(world.hub.waiting() < 12_000, "{}", world.hub.waiting());
    }
    world.run(2_000);
    assert!(world.metrics.gap(GapReason::SlowClient).get() > 0);
    clients.iter_mut().for_each(|client| drop(client.read(&world)));
    world.put(&[("bus 7", 10.0, 10.0)]);
    world.run(2_000);
    for client in &mut clients {
        client.read(&world);
        assert_eq!(client.places, world.fleet.inside(&client.bbox));
    }
}

#[test]
fn a_pass_tells_so_many_vehicles_and_the_next_ones_the_rest() {
    let limits = StreamLimits { pass_vehicles: 10, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    let mut client = world.client(CITY);
    client.read(&world);
    let begun = client.last.clone();
    let ids: Vec<_> = (0..25).map(|at| format!("bus {at}")).collect();
    let places: Vec<_> = ids.iter().map(|id| (id.as_str(), 59.3, 18.0)).collect();
    world.put(&places);
    let mut seen = Vec::new();
    for _ in 0..3 {
        world.run(1_000);
        seen.push(client.read(&world).len());
        let is_done = seen.len() == 3;
        assert_eq!(client.last != begun, is_done, "an id says that all before it is told");
    }
    assert_eq!(seen, [10, 10, 5]);
}

#[test]
fn more_changes_than_can_be_told_are_a_gap() {
    for limits in [
        StreamLimits { channel_marks: 10, ..StreamLimits::default() },
        StreamLimits { marks: 5, own_marks: 5, ..StreamLimits::default() },
    ] {
        let mut world = StreamWorld::new(limits);
        let mut client = world.client(CITY);
        client.read(&world);
        let ids: Vec<_> = (0..25).map(|at| format!("bus {at}")).collect();
        let places: Vec<_> = ids.iter().map(|id| (id.as_str(), 59.3, 18.0)).collect();
        world.put(&places);
        world.run(1_000);
        assert_eq!(client.read(&world), ["gap too_many_changes"]);
        assert_eq!(client.places.len(), 25);
        world.put(&places[..5]);
        world.run(1_000);
        assert_eq!(client.read(&world).len(), 5);
    }
}

#[test]
fn wide_boxes_take_no_room_from_a_small_one() {
    let limits = StreamLimits { marks: 40, own_marks: 5, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    let mut small = world.client(CITY);
    let mut wide: Vec<_> = (1..9).map(|at| world.client([-170.0, -80.0, 170.0, f64::from(at)])).collect();
    for client in wide.iter_mut().chain([&mut small]) {
        client.read(&world);
    }
    let ids: Vec<_> = (0..25).map(|at| format!("ship {at}")).collect();
    let mut places: Vec<_> = ids.iter().map(|id| (id.as_str(), -30.0, 18.0)).collect();
    places.push(("bus 7", 59.3, 18.0));
    world.put(&places);
    world.run(1_000);
    assert_eq!(small.read(&world).len(), 1, "the bus");
    let told: Vec<_> = wide.iter_mut().map(|client| client.read(&world)).collect();
    assert!(told.iter().any(|events| *events == ["gap too_many_changes"]), "{told:?}");
}

#[test]
fn the_ring_keeps_so_many_changes() {
    let limits = StreamLimits { ring_changes: 20, ..StreamLimits::default() };
    let mut world = StreamWorld::new(limits);
    let (mut one, mut two) = (world.client(CITY), world.client(CITY));
    one.read(&world);
    one.leave();
    for step in 0..25 {
        if step == 15 {
            world.run(1_000);
            two.read(&world);
            two.leave();
        }
        world.put(&[("bus 7", 59.3, 18.0 + f64::from(step) / 1_000.0)]);
    }
    for (client, expected) in [(&mut one, "gap missed_events"), (&mut two, "position bus 7")] {
        client.come_back(&mut world);
        world.run(1_000);
        assert_eq!(client.read(&world), ["begin", expected]);
    }
}

#[test]
fn while_a_part_of_the_fleet_is_missing_nothing_is_told_and_nothing_is_lost() {
    let mut world = StreamWorld::new(StreamLimits::default());
    let mut client = world.client(CITY);
    let reader = world.fleet.fleet.readers().unwrap().remove(1);
    world.put(&[("bus 7", 59.3, 18.0), ("bus 8", 59.3, 18.0)]);
    world.fleet.fleet.set(1, None);
    world.run(2_000);
    assert_eq!(client.read(&world), ["begin"]);
    world.fleet.fleet.set(1, Some(reader));
    world.run(1_000);
    assert_eq!(client.read(&world).len(), 2);
}
