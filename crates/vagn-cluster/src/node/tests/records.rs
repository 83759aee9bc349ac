//! The record of assignment: old ones, lost ones, and that of another data set.

use std::collections::BTreeMap;

use vagn_wire::Fate;

use super::world::{SHARDS, World};
use crate::event::Event;
use crate::happened::{Happened, Stop};
use crate::ids::ShardId;

#[test]
fn an_old_read_of_the_record_drops_nothing() {
    let mut world = World::begun(1);
    let old = world.record.clone();
    world.add(2);
    world.pass_until("joined", 30_000, |world| world.is_owned(&[1, 2]));
    world.crash(2);
    world.machine(2).disk.note = None;
    let new = std::mem::replace(&mut world.record, old);
    world.start(2);
    world.pass(2_500);
    world.record = new;
    world.pass(20_000);
    assert!(world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    assert!((0..SHARDS).all(|shard| !world.has_told(2, Happened::Left(ShardId(shard)))));
}

#[test]
fn a_lost_record_is_written_again_and_nothing_is_begun_anew() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.record = None;
    world.pass(30_000);
    assert!(world.record.is_some());
    world.crash(1);
    world.record = None;
    world.pass(1_000);
    world.start(1);
    world.pass(20_000);
    assert!(world.record.is_some() && world.is_caught_up(&[1, 2]));
    world.assert_equal(100);
    let founded =
        world.machines.values().flat_map(|own| &own.told).filter(|told| **told == Happened::Founded);
    assert_eq!(founded.count(), 1);
}

#[test]
fn a_data_set_that_was_begun_over_a_lost_one_loses_nothing_of_either() {
    let mut world = World::begun(1);
    world.submit(1, 0..100);
    world.crash(1);
    // The brokers lose all, and a node that never saw the data set is there alone.
    (world.record, world.streams) = (None, BTreeMap::new());
    world.add(2);
    world.pass_until("begun anew", 20_000, |world| world.is_caught_up(&[2]));
    let ticket = world.submit(2, 100..200);
    assert_eq!(world.fates(2, ticket), Some(&vec![Fate::Stored; 100]));
    world.start(1);
    world.pass(60_000);
    assert!(
        (0..SHARDS).all(|shard| { world.has_told(1, Happened::Stopped(ShardId(shard), Stop::OtherDataSet)) })
    );
    let vehicles =
        |node| (0..SHARDS).map(|shard| world.node(node).state(ShardId(shard)).unwrap().len()).sum();
    let both: [usize; 2] = [vehicles(1), vehicles(2)];
    assert_eq!(both, [100, 100]);
    assert!(world.is_caught_up(&[2]));
    let note = Event::RepairAsked(ShardId(0));
    world.tell(1, note);
    world.pass(10_000);
    assert_eq!(world.node(1).state(ShardId(0)).unwrap().len(), 100 - other_shards(&world));
}

/// Vehicles of the first node in all shards but the first.
fn other_shards(world: &World) -> usize {
    (1..SHARDS).map(|shard| world.node(1).state(ShardId(shard)).unwrap().len()).sum()
}
