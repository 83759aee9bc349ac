//! The counts of the keeper and those of a look at every vehicle are the same, whatever happened in between.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use vagn_store::Sight;
use vagn_wire::Position;

use super::harness::{World, at};
use crate::TileMetrics;
use crate::counts::Levels;
use crate::keeper::{Keeper, KeeperParts, Looks};
use crate::mercator::grid;

/// Something that happens to the fleet.
#[derive(Debug, Clone)]
enum Step {
    /// These vehicles report.
    Report(Vec<(u8, Position)>),
    Delete(u8),
    Forget,
    Restart(u32),
    /// A write that is not told of.
    Silence(u32),
    /// More changes than the queue of the keeper holds.
    Flood(u8, Position),
    /// The keeper does a little of its work.
    Keep(u8),
    /// The keeper's thread crashed, and begins anew.
    Crash,
}

fn place() -> impl Strategy<Value = Position> {
    // Few places, so that vehicles meet, with the edges of the world among them.
    let lat = prop_oneof![Just(90.0), Just(-90.0), Just(85.06), Just(0.0), Just(30.27), 30.2..30.3];
    let lon = prop_oneof![Just(-180.0), Just(180.0), Just(0.0), Just(-97.74), -97.8..-97.7];
    (lat, lon).prop_map(|(lat, lon)| at(lat, lon))
}

fn step(partitions: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec((0..40_u8, place()), 1..8).prop_map(Step::Report),
        3 => (0..40_u8).prop_map(Step::Delete),
        1 => Just(Step::Forget),
        1 => (0..partitions).prop_map(Step::Restart),
        1 => (0..partitions).prop_map(Step::Silence),
        1 => (0..40_u8, place()).prop_map(|(vehicle, place)| Step::Flood(vehicle, place)),
        6 => (1..4_u8).prop_map(Step::Keep),
        1 => Just(Step::Crash),
    ]
}

fn name(vehicle: u8) -> String {
    format!("bus {vehicle}")
}

fn carry_out(world: &mut World, keeper: &Keeper, looks: &mut Looks, step: &Step) {
    match step {
        Step::Report(places) => {
            let named: Vec<_> = places.iter().map(|(vehicle, place)| (name(*vehicle), *place)).collect();
            world.report(&named.iter().map(|(id, place)| (id.as_str(), *place)).collect::<Vec<_>>());
        }
        Step::Delete(vehicle) => world.delete(&name(*vehicle)),
        Step::Forget => world.forget(20),
        Step::Restart(number) => world.restart(*number),
        Step::Silence(number) => world.keep_silent(*number),
        Step::Flood(vehicle, place) => {
            for _ in 0..Keeper::QUEUE + 2 {
                world.report(&[(&name(*vehicle), *place)]);
            }
        }
        Step::Keep(times) => (0..*times).for_each(|_| {
            keeper.step(looks);
        }),
        Step::Crash => *looks = keeper.wake_up(),
    }
}

/// Counts by a look at every vehicle.
fn brute_force(world: &World, sight: Sight) -> BTreeMap<(u8, u32), u32> {
    let mut counts = BTreeMap::new();
    for reader in world.fleet.readers().unwrap() {
        reader.visit_rows(0, u32::MAX, |found| {
            let cell = grid().cell(sight.place(found.sighting.position));
            for level in [4, 6, 8, 10, 12, 14] {
                *counts.entry((level, cell.at(level))).or_insert(0) += 1;
            }
        });
    }
    counts
}

fn keeper(world: &World, sight: Sight) -> std::sync::Arc<Keeper> {
    let parts = KeeperParts {
        positions: world.positions.clone(),
        fleet: world.fleet.clone(),
        clock: world.clock.clone(),
        metrics: TileMetrics::new(&world.registry),
    };
    Keeper::new(parts, sight)
}

/// Lets the keeper do all its work, the looks included that it puts off for a second.
fn settle(world: &World, keeper: &Keeper, looks: &mut Looks) {
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(1));
        while keeper.step(looks) {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counts_are_those_of_a_look_at_every_vehicle(
        partitions in 1..=3_u32,
        seed_steps in prop::collection::vec(step(3), 1..60),
        sight in prop_oneof![Just(Sight::Exact), Just(Sight::Coarse)],
    ) {
        let mut world = World::new(partitions);
        let keeper = keeper(&world, sight);
        let mut looks = keeper.wake_up();
        for step in &seed_steps {
            let is_beyond = matches!(step, Step::Restart(number) | Step::Silence(number) if *number >= partitions);
            if !is_beyond {
                carry_out(&mut world, &keeper, &mut looks, step);
            }
        }
        settle(&world, &keeper, &mut looks);
        let counted = keeper.read(Levels::all);
        prop_assert_eq!(counted, Some(brute_force(&world, sight)));
        keeper.sleep();
        prop_assert!(!world.positions.is_followed() && keeper.read(Levels::all).is_none());
    }
}

#[test]
fn nothing_is_counted_until_every_partition_was_looked_at() {
    let sight = Sight::Exact;
    let mut world = World::new(2);
    let ids: Vec<_> = (0..3_000).map(|number| format!("bus {number}")).collect();
    world.report(&ids.iter().map(|id| (id.as_str(), at(1.0, 2.0))).collect::<Vec<_>>());
    let keeper = keeper(&world, sight);
    let mut looks = keeper.wake_up();
    let mut steps = 0;
    while keeper.read(Levels::all).is_none() {
        assert!(keeper.step(&mut looks));
        steps += 1;
    }
    assert!(steps >= 4, "{steps}");
    assert_eq!(keeper.read(Levels::all), Some(brute_force(&world, sight)));
    world.restart(0);
    while keeper.step(&mut looks) {}
    assert_eq!(keeper.read(Levels::all), Some(brute_force(&world, sight)));
    world.take_away(1);
    world.keep_silent(1);
    settle(&world, &keeper, &mut looks);
    assert!(looks.is_waiting(), "a partition that is gone cannot be looked at");
}

#[test]
fn a_look_is_put_off_while_the_last_one_is_less_than_a_second_old() {
    let sight = Sight::Exact;
    let mut world = World::new(1);
    let keeper = keeper(&world, sight);
    let mut looks = keeper.wake_up();
    while keeper.step(&mut looks) {}
    // From its first changes on the writer is known, and so is that the rows keep their vehicles.
    world.report(&[("bus 1", at(0.5, 0.0))]);
    while keeper.step(&mut looks) {}
    let looked = |world: &World| {
        let page = world.registry.page();
        let line = page.lines().find(|line| line.starts_with("vagn_keeper_looks_total")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(looked(&world), 1);
    world.clock.advance(Duration::from_secs(1));
    for (later, expected) in [(0, 2), (0, 2), (400, 2), (599, 2), (1, 3)] {
        world.clock.advance(Duration::from_millis(later));
        world.keep_silent(0);
        while keeper.step(&mut looks) {}
        assert_eq!(looked(&world), expected);
    }
    assert_eq!(keeper.read(Levels::all), Some(brute_force(&world, sight)));
}
