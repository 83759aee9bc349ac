//! A copy of all shards becomes a node again, when all nodes and all brokers are gone.

use super::world::{Disk, SHARDS, World};
use crate::copied::{CopyRecord, ShardCopy};
use crate::event::Event;
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, ShardId};
use crate::testing::Places;

/// Number of the node that is made of a copy. No node had it.
const RESTORED: u64 = 7;

/// A copy of a data set of two nodes with so many vehicles.
fn copied(vehicles: u32) -> (CopyRecord, Vec<ShardCopy>) {
    let mut world = World::begun(2);
    world.submit(1, 0..vehicles);
    world.add_onlooker(3);
    world.crash(3);
    world.machine(3).settings.proves_mirrors = true;
    world.start(3);
    world.pass(2_000);
    assert_eq!(world.node(3).copied(ShardId(0)), None, "nobody asked for it yet");
    world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
    world.pass(10_000);
    let copies = (0..SHARDS).map(|shard| world.node(3).copied(ShardId(shard)).unwrap()).collect();
    (world.node(3).copied_record().unwrap(), copies)
}

/// Starts a node on what was copied, over brokers that have nothing.
fn restored(record: &CopyRecord, copies: &[ShardCopy]) -> World {
    let mut world = World::new(0);
    world.now.wall_ms += 3_600_000;
    world.add(RESTORED);
    world.crash(RESTORED);
    let shards = copies.iter().map(|copy| (copy.shard, (Some(copy.bytes.clone().into()), Vec::new())));
    world.machine(RESTORED).disk =
        Disk { note: Some(record.write()), shards: shards.collect(), ..Disk::default() };
    world.start(RESTORED);
    world
}

#[test]
fn a_copy_is_read_back_and_fits_the_record_of_its_epoch() {
    let (record, copies) = copied(100);
    assert_eq!((record.shards(), CopyRecord::read(&record.write())), (SHARDS, Ok(record.clone())));
    let mut vehicles = 0;
    for copy in &copies {
        let (read, state) = ShardCopy::read::<Places>(copy.shard, copy.bytes.clone()).unwrap();
        assert_eq!(read, *copy);
        let mut later = copy.clone();
        later.epoch = 2;
        assert!(record.has(copy) && !record.has(&later));
        vehicles += state.len();
    }
    assert_eq!(vehicles, 100);
    assert!(ShardCopy::read::<Places>(ShardId(1), copies[0].bytes.clone()).is_err(), "of another shard");
}

#[test]
fn a_copy_of_all_shards_is_a_node_that_owns_them_under_any_name() {
    let (record, copies) = copied(200);
    let mut world = restored(&record, &copies);
    world.pass(20_000);
    for shard in (0..SHARDS).map(ShardId) {
        assert!(world.has_told(RESTORED, Happened::Stopped(shard, Stop::StreamGone)), "{shard:?}");
        world.tell(RESTORED, Event::RepairAsked(shard));
    }
    world.pass_until("repaired", 20_000, |world| world.is_caught_up(&[RESTORED]));
    assert!(world.is_owned(&[RESTORED]));
    assert!(world.machine(RESTORED).repairs.iter().all(|(_, result)| result.is_ok()));
    // What the vehicles had said is an hour old by now: they are forgotten as they would have been. Others come.
    world.store(RESTORED, 0..50);
    world.add(8);
    world.pass_until("joined", 60_000, |world| {
        world.is_owned(&[RESTORED, 8]) && world.is_caught_up(&[RESTORED, 8])
    });
    world.assert_equal(50);
}

#[test]
fn what_was_copied_is_answered_for_before_the_brokers_have_it() {
    let (record, copies) = copied(200);
    let mut world = restored(&record, &copies);
    world.pass(20_000);
    let shown = (0..SHARDS).filter_map(|shard| world.node(RESTORED).shown(ShardId(shard)));
    assert_eq!(shown.map(Places::len).sum::<usize>(), 200);
}

#[test]
fn a_copy_that_comes_to_the_brokers_of_the_living_fleet_takes_nothing_from_it() {
    let (record, copies) = copied(200);
    let mut world = World::begun(2);
    world.store(1, 0..300);
    let living = world.record.clone();
    world.add(RESTORED);
    world.crash(RESTORED);
    let shards = copies.iter().map(|copy| (copy.shard, (Some(copy.bytes.clone().into()), Vec::new())));
    // It is of this data set, as all of these worlds draw the same numbers.
    world.machine(RESTORED).disk =
        Disk { note: Some(record.write()), shards: shards.collect(), ..Disk::default() };
    world.machine(RESTORED).settings.stores = false;
    world.start(RESTORED);
    world.pass(60_000);
    assert_eq!(world.record, living);
    assert!(world.is_owned(&[1, 2]));
    let owners = world.node(RESTORED).owners(ShardId(0)).unwrap().1;
    assert_eq!(owners, [(NodeId(1), true), (NodeId(2), true)]);
}
