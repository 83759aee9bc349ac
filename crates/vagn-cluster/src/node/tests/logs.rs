//! Logs that are let go, or damaged: what only they have is published again.

use std::collections::BTreeMap;

use vagn_wire::Fate;

use super::world::{SHARDS, Stream, World};
use crate::entry::{Body, Entry};
use crate::event::{DiskFault, Event, LogRecord};
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, ShardId, StreamId};

/// Two owners, both stopped: the first has the last reports of a hundred vehicles alone, behind a part of its logs that is damaged.
fn with_rests() -> World {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    world.crash(2);
    let before: BTreeMap<StreamId, u64> = world.streams.iter().map(|(id, own)| (*id, own.last())).collect();
    world.store(1, 100..200);
    world.crash(1);
    for (id, stream) in &mut world.streams {
        stream.messages.truncate(before[id] as usize);
        stream.ids.retain(|_, sequence| *sequence <= before[id]);
        let disk = &mut world.machines.get_mut(&NodeId(1)).unwrap().disk;
        let log = &mut disk.shards.get_mut(&id.shard).unwrap().1;
        let damaged = log.iter().position(|record| record.sequence == before[id]).unwrap();
        disk.rests.insert(id.shard, log.split_off(damaged + 1));
        log.truncate(damaged);
    }
    world
}

#[test]
fn what_stands_behind_the_damage_of_a_log_is_published_again_as_far_as_the_shard_lacks_it() {
    let mut world = with_rests();
    world.machine(1).disk.is_unread = true;
    world.start(1);
    world.start(2);
    world.pass_until("both have all of the streams", 20_000, |world| world.is_caught_up(&[1, 2]));
    world.pass(10_000);
    world.assert_equal(100);
    assert_eq!(world.machine(1).disk.rests.len(), usize::from(SHARDS), "what is not read is not let go");
    for shard in (0..SHARDS).map(ShardId) {
        let told = world.machines[&NodeId(1)].told.iter();
        assert_eq!(told.filter(|told| **told == Happened::RestUnread(shard)).count(), 1, "it is told once");
        assert!(world.node(1).is_rest_unread(shard));
    }
    // A start that is cut off begins anew with it.
    world.crash(1);
    world.machine(1).disk.is_unread = false;
    world.start(1);
    world.pass_until("nothing is left to be published", 20_000, |world| {
        world.machines[&NodeId(1)].disk.rests.is_empty()
    });
    world.pass(2_000);
    world.assert_equal(200);
    assert!((0..SHARDS).all(|shard| !world.node(1).is_rest_unread(ShardId(shard))));
    let told = |happened: fn(ShardId) -> Happened| {
        (0..SHARDS).filter(|shard| world.has_told(1, happened(ShardId(*shard)))).count()
    };
    assert_eq!((told(Happened::LogDamaged), told(Happened::PublishedAgain)), (4, 4));
    // All is there now, and goes again with no message.
    let had: Vec<u64> = world.streams.values().map(Stream::last).collect();
    let batches = |world: &World| {
        let messages = world.streams.values().zip(&had).flat_map(|(own, had)| &own.messages[*had as usize..]);
        messages.filter(|own| matches!(Entry::read(&own.bytes).unwrap().body, Body::Batch(_))).count()
    };
    for (shard, (_, log)) in world.machine(2).disk.shards.clone() {
        world.machine(2).disk.rests.insert(shard, log);
    }
    world.crash(2);
    world.start(2);
    world.pass_until("it is read", 20_000, |world| world.machines[&NodeId(2)].disk.rests.is_empty());
    assert_eq!(batches(&world), 0);
}

#[test]
fn the_rest_of_a_log_is_published_also_where_nothing_else_of_the_shard_is_left() {
    let mut world = with_rests();
    // A person moved the shards away, so that they are copied.
    world.machine(1).disk.shards.clear();
    world.start(2);
    world.start(1);
    let is_let_go = |world: &World, node| world.machines[&NodeId(node)].disk.rests.is_empty();
    world.pass_until("an owner has published it", 60_000, |world| is_let_go(world, 1));
    world.pass(2_000);
    world.assert_equal(200);
}

#[test]
fn a_node_that_owns_nothing_publishes_the_rest_of_a_log_and_tells_when_it_cannot_be_read() {
    let mut world = with_rests();
    let rests = std::mem::take(&mut world.machine(1).disk.rests);
    world.start(1);
    world.start(2);
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    (world.machine(3).disk.rests, world.machine(3).disk.is_unread) = (rests, true);
    world.start(3);
    world.pass(20_000);
    for shard in (0..SHARDS).map(ShardId) {
        assert!(world.has_told(3, Happened::RestUnread(shard)) && world.node(3).is_rest_unread(shard));
    }
    assert_eq!(world.machine(3).disk.rests.len(), usize::from(SHARDS));
    world.assert_equal(100);
    world.machine(3).disk.is_unread = false;
    world.pass_until("it is published", 60_000, |world| world.machines[&NodeId(3)].disk.rests.is_empty());
    world.pass(2_000);
    world.assert_equal(200);
    assert!(world.has_told(3, Happened::PublishedAgain(ShardId(0))));
    assert!(!world.has_told(3, Happened::Left(ShardId(0))), "it had no shard");
}

#[test]
fn the_rest_of_a_log_stays_until_its_owner_has_it_from_the_stream() {
    let mut world = with_rests();
    world.machine(1).disk.is_unread = true;
    world.start(1);
    world.start(2);
    world.pass_until("both have all of the streams", 20_000, |world| world.is_caught_up(&[1, 2]));
    // The brokers take it, and lose it again before an owner has it on disk.
    let before: BTreeMap<StreamId, u64> = world.streams.iter().map(|(id, own)| (*id, own.last())).collect();
    world.machine(1).disk.is_unread = false;
    for node in [1, 2] {
        world.machine(node).disk.is_stuck = true;
    }
    world.pass(4_000);
    let is_batch = |own: &LogRecord| matches!(Entry::read(&own.bytes).unwrap().body, Body::Batch(_));
    let has_rest = |(id, own): (&StreamId, &Stream)| own.messages[before[id] as usize..].iter().any(is_batch);
    assert!(world.streams.iter().all(has_rest), "it was published");
    assert_eq!(world.machines[&NodeId(1)].disk.rests.len(), usize::from(SHARDS));
    world.crash(1);
    world.crash(2);
    for (id, stream) in &mut world.streams {
        stream.messages.truncate(before[id] as usize);
    }
    for node in [1, 2] {
        for (id, had) in &before {
            world.machine(node).disk.shards.get_mut(&id.shard).unwrap().1.retain(|own| own.sequence <= *had);
        }
        world.machine(node).disk.is_stuck = false;
        world.start(node);
    }
    world.pass_until("nothing is left to be published", 30_000, |world| {
        world.machines[&NodeId(1)].disk.rests.is_empty()
    });
    world.pass(2_000);
    world.assert_equal(200);
}

#[test]
fn an_owner_that_is_named_no_more_publishes_the_rest_of_its_log_before_it_drops_the_shard() {
    let mut world = with_rests();
    world.start(2);
    world.add(3);
    world.pass_until("two others have all", 60_000, |world| world.is_owned(&[2, 3]));
    world.start(1);
    world.pass_until("it has left", 120_000, |world| {
        (0..SHARDS).any(|shard| world.has_told(1, Happened::Left(ShardId(shard))))
    });
    let left: Vec<ShardId> =
        (0..SHARDS).map(ShardId).filter(|shard| world.has_told(1, Happened::Left(*shard))).collect();
    for shard in left {
        assert!(!world.machine(1).disk.rests.contains_key(&shard));
        assert!(world.has_told(1, Happened::PublishedAgain(shard)), "{shard:?}");
    }
}

/// A data set that two nodes have all of, of which a third, stopped, has the last reports of a hundred vehicles alone.
fn left_behind() -> World {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.crash(2);
    let before: BTreeMap<StreamId, u64> = world.streams.iter().map(|(id, own)| (*id, own.last())).collect();
    let only_one = world.submit(1, 100..200);
    assert_eq!(world.fates(1, only_one), Some(&vec![Fate::Stored; 100]));
    world.crash(1);
    let had = world.streams.values().map(Stream::last).max().unwrap();
    for (id, stream) in &mut world.streams {
        stream.messages.truncate(before[id] as usize);
        stream.ids.retain(|_, sequence| *sequence <= before[id]);
    }
    // The others go on without it, until its next entry is gone.
    world.start(2);
    world.add(3);
    world.pass_until("two others have all", 60_000, |world| world.is_owned(&[2, 3]));
    world.pass(130_000);
    assert!(world.streams.values().all(|stream| stream.first > had + 1));
    world.submit(2, 0..100);
    world
}

#[test]
fn a_log_that_is_damaged_for_good_is_published_again_as_far_as_it_can_be_read() {
    let mut world = left_behind();
    world.machine(1).disk.is_damaged = true;
    world.start(1);
    world.pass_until("all logs are let go", 120_000, |world| {
        (0..SHARDS).map(ShardId).all(|shard| {
            world.has_told(1, Happened::Left(shard)) || world.has_told(1, Happened::CopyBegun(shard))
        })
    });
    for shard in (0..SHARDS).map(ShardId) {
        let told = world.machines[&NodeId(1)].told.iter();
        assert_eq!(told.filter(|told| **told == Happened::LogDamaged(shard)).count(), 1);
        assert!(world.has_told(1, Happened::PublishedAgain(shard)));
        assert!(!world.has_told(1, Happened::Stopped(shard, Stop::LogUnread)));
    }
    world.pass(5_000);
    let held: usize =
        (0..SHARDS).filter_map(|shard| world.node(2).state(ShardId(shard))).map(|state| state.len()).sum();
    let rest: usize = (0..SHARDS)
        .filter(|shard| world.node(2).state(ShardId(*shard)).is_none())
        .filter_map(|shard| world.node(3).state(ShardId(shard)))
        .map(|state| state.len())
        .sum();
    assert_eq!(held + rest, 200);
}

#[test]
fn what_only_an_owner_that_was_left_behind_has_is_published_again_before_its_log_goes() {
    let mut world = left_behind();
    // While its logs cannot be read nothing of them goes, and people are told.
    world.machine(1).disk.is_unread = true;
    world.start(1);
    world.pass(60_000);
    let logs = &world.machines[&NodeId(1)].disk.shards;
    assert!(logs.values().filter(|(_, log)| !log.is_empty()).count() == usize::from(SHARDS));
    for shard in (0..SHARDS).map(ShardId) {
        assert!(world.has_told(1, Happened::Stopped(shard, Stop::LogUnread)));
        assert!(!world.has_told(1, Happened::Left(shard)) && !world.has_told(1, Happened::CopyBegun(shard)));
    }
    world.machine(1).disk.is_unread = false;
    let owns = |world: &World, shard| {
        let (_, owners) = world.node(2).owners(ShardId(shard)).unwrap();
        owners.contains(&(NodeId(1), true))
    };
    world.pass_until("it owns some again and has let go of the others", 120_000, |world| {
        (0..SHARDS).all(|shard| owns(world, shard) || world.has_told(1, Happened::Left(ShardId(shard))))
    });
    assert!((0..SHARDS).any(|shard| owns(&world, shard)) && !(0..SHARDS).all(|shard| owns(&world, shard)));
    let has_published = |shard| world.has_told(1, Happened::PublishedAgain(ShardId(shard)));
    assert!((0..SHARDS).all(has_published), "{:?}", world.machines[&NodeId(1)].told);
    world.assert_equal(200);
}

#[test]
fn a_replica_on_a_full_disk_that_publishes_its_log_again_is_woken_seldom() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(1_000);
    let from = world.node(1).shards()[0].applied + 1;
    world.tell(1, Event::LogFailed { shard: ShardId(0), from, fault: DiskFault::Full });
    // It is not told of room, and what it needs next is purged meanwhile.
    world.machine(1).disk.is_unread = true;
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    world.machine(1).subscriptions.retain(|_, (own, _)| *own != stream);
    world.submit(2, 0..100);
    let own = world.streams.get_mut(&stream).unwrap();
    own.first = own.last() + 1;
    world.pass_until("it publishes again", 60_000, |world| {
        world.has_told(1, Happened::Stopped(ShardId(0), Stop::LogUnread))
    });
    let before = world.machine(1).events;
    world.pass(10_000);
    let events = world.machine(1).events - before;
    assert!(events < 10 * 40, "{events} events in ten seconds");
}
