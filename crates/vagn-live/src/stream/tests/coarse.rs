//! Coarse streams: a move within one place of the grid tells nothing.

use super::*;

#[test]
fn a_move_within_one_coarse_place_is_told_to_those_who_see_exactly_alone() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("bus 7", 59.300_1, 18.000_1)]);
    let mut clients = [world.client(CITY), world.seeing(Sight::Coarse, CITY)];
    world.run(1_000);
    clients.iter_mut().for_each(|client| drop(client.read(&world)));
    world.put(&[("bus 7", 59.299_7, 18.000_4)]);
    world.run(1_000);
    assert_eq!(clients.each_mut().map(|client| client.read(&world).len()), [1, 0]);
    world.put(&[("bus 7", 59.299_4, 18.000_4)]);
    world.run(1_000);
    let seen = clients.each_mut().map(|client| client.read(&world));
    assert_eq!(seen, [vec!["position bus 7"], vec!["position bus 7"]]);
    let places = clients.map(|client| client.places["bus 7"]);
    assert_eq!(places, [(59.299_4, 18.000_4), (59.299, 18.0)]);
}

#[test]
fn who_comes_back_is_not_told_of_moves_within_one_coarse_place_either() {
    let mut world = StreamWorld::new(StreamLimits::default());
    world.put(&[("stays", 59.3, 18.0), ("goes", 59.3, 18.1)]);
    let mut client = world.seeing(Sight::Coarse, CITY);
    world.run(1_000);
    client.read(&world);
    client.leave();
    world.put(&[("stays", 59.300_4, 18.000_4), ("goes", 59.300_6, 18.1)]);
    world.run(1_000);
    client.come_back(&mut world);
    world.run(1_000);
    assert_eq!(client.read(&world), ["begin", "position goes"]);
}

#[test]
fn a_box_ends_at_coarse_places() {
    let mut world = StreamWorld::new(StreamLimits::default());
    // Both are within a step of the edge, on the side that their places on the grid are not.
    world.put(&[("in", 59.400_4, 18.0), ("out", 59.399_4, 18.200_6), ("pole", 10.0, 10.0)]);
    let mut client = world.seeing(Sight::Coarse, CITY);
    let mut pole = world.seeing(Sight::Coarse, [0.0, 80.0, 1.0, 90.0]);
    world.run(1_000);
    client.read(&world);
    world.put(&[("in", 59.400_4, 18.001), ("out", 59.399_4, 18.200_8), ("pole", 89.999_6, -120.0)]);
    world.run(1_000);
    assert_eq!(client.read(&world), ["position in"]);
    assert_eq!(pole.read(&world), ["begin", "position pole"]);
    world.put(&[("in", 59.400_6, 18.001)]);
    world.run(1_000);
    assert_eq!(client.read(&world), ["left in"]);
}
