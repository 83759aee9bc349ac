//! Whole nodes. Bad days are the simulator's.

mod mirrors;
mod world;

use std::collections::BTreeMap;

use vagn_wire::Fate;

use crate::assignment::Assignment;
use crate::entry::{Body, Entry};
use crate::event::{DiskFault, Event};
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, QueryId, ShardId, StreamId, Ticket};
use crate::message::Message;
use crate::refusal::Refusal;
use crate::settings::Faults;
use crate::testing::report;
use world::{SHARDS, Stream, World};

#[test]
fn a_single_node_begins_a_data_set_and_stores() {
    let mut world = World::begun(1);
    let ticket = world.submit(1, 0..100);
    assert_eq!(world.fates(1, ticket), Some(&vec![Fate::Stored; 100]));
    world.assert_equal(100);
    let counts = world.node(1).counts();
    assert_eq!((counts.taken, counts.waiting, counts.fates[Fate::Stored as usize]), (100, 0, 100));
}

#[test]
fn what_a_shard_has_no_room_for_is_counted_apart_from_what_a_door_sheds() {
    let mut world = World::begun(2);
    let shed = |world: &mut World, node: u64, vehicle: &str| {
        let (ticket, arrival_ms) = (Ticket(700 + node), world.now.wall_ms);
        world.tell(node, Event::Submitted { ticket, changes: vec![report(vehicle, arrival_ms)] });
        world.pass(1_000);
        assert_eq!(world.fates(node, ticket), Some(&vec![Fate::Shed]));
        world.node(node).counts().refused
    };
    assert_eq!([1, 2].map(|node| shed(&mut world, node, "beyond")), [1, 1]);
    // A node that knows no record of assignment.
    world.add(3);
    world.lose_disk(3);
    world.cut(3);
    world.start(3);
    assert_eq!(shed(&mut world, 3, "bus-1"), 0);
}

#[test]
fn a_second_node_copies_and_both_have_the_same() {
    let mut world = World::begun(1);
    world.submit(1, 0..100);
    world.add(2);
    world.pass_until("joined", 30_000, |world| world.is_owned(&[1, 2]));
    world.pass(1_000);
    let told = &world.machines[&NodeId(2)].told;
    for shard in (0..SHARDS).map(ShardId) {
        let expected = [Happened::CopyBegun(shard), Happened::CaughtUp(shard)];
        assert!(expected.iter().all(|happened| told.contains(happened)), "{told:?}");
    }
    let ticket = world.submit(2, 50..150);
    world.pass(2_000);
    assert_eq!(world.fates(2, ticket), Some(&vec![Fate::Stored; 100]));
    world.assert_equal(150);
}

#[test]
fn a_node_shows_the_others_and_what_each_owner_has() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(1_000);
    let shown = |world: &World| {
        let members = world.node(1).members();
        let heard: Vec<_> = members.iter().map(|member| (member.node, member.is_heard)).collect();
        let owners = (0..SHARDS).flat_map(|shard| world.node(1).owner_views(ShardId(shard)));
        (heard, owners.map(|owner| (owner.node, owner.is_full && owner.caught_up)).collect::<Vec<_>>())
    };
    assert_eq!(world.node(1).shard_count(), Some(SHARDS));
    let (heard, owners) = shown(&world);
    assert_eq!(heard, [(NodeId(1), true), (NodeId(2), true)]);
    assert!(owners.len() == 2 * usize::from(SHARDS) && owners.iter().all(|(_, has_all)| *has_all));
    for shard in (0..SHARDS).map(ShardId) {
        let synced: Vec<_> = world.node(1).owner_views(shard).into_iter().map(|owner| owner.synced).collect();
        assert!(synced[0].is_some() && synced[0] == synced[1], "{synced:?}");
    }
    world.crash(2);
    world.pass(20_000);
    let (heard, owners) = shown(&world);
    assert_eq!(heard, [(NodeId(1), true), (NodeId(2), false)]);
    assert!(owners.contains(&(NodeId(1), true)) && owners.contains(&(NodeId(2), false)), "{owners:?}");
}

#[test]
fn streams_are_purged_once_both_owners_have_synced() {
    let mut world = World::begun(2);
    for second in 0..100_u64 {
        world.submit(1 + second % 2, 0..20);
        world.pass(1_000);
    }
    assert!(world.streams.values().all(|stream| stream.first > 64 && stream.last() - stream.first < 100));
    let logs = world.machines[&NodeId(1)].disk.shards.values();
    assert!(logs.into_iter().all(|(_, log)| log.len() < 130), "the log is trimmed");
    world.assert_equal(20);
}

#[test]
fn a_node_that_was_killed_has_what_it_had_and_goes_on() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.crash(2);
    world.submit(1, 100..200);
    world.pass(5_000);
    world.start(2);
    let views = world.node(2).shards();
    assert!(views.iter().all(|view| view.applied > 0), "{views:?}");
    world.pass_until("caught up", 10_000, |world| world.is_caught_up(&[1, 2]));
    world.assert_equal(200);
    assert!(!world.machines[&NodeId(2)].told.iter().any(|told| matches!(told, Happened::CopyLost(_))));
}

#[test]
fn a_log_keeps_what_an_owner_that_is_away_lacks() {
    let mut world = World::begun(2);
    world.pass(10_000);
    world.crash(2);
    let first_lacking = world.streams[&StreamId { shard: ShardId(0), epoch: 1 }].last() + 1;
    world.pass(200_000);
    let (snapshot, log) = &world.machines[&NodeId(1)].disk.shards[&ShardId(0)];
    assert!(snapshot.is_some() && log.len() > 150 && log[0].sequence <= first_lacking);
}

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
fn a_node_that_lost_its_disk_copies_from_the_other() {
    let mut world = World::begun(2);
    for _ in 0..100 {
        world.submit(1, 0..100);
        world.pass(1_000);
    }
    world.lose_disk(1);
    world.pass(500);
    world.start(1);
    world.pass_until("caught up", 40_000, |world| world.is_caught_up(&[1, 2]));
    world.assert_equal(100);
}

/// Two nodes whose streams have let go of their beginning, and the record as it was before the second one joined. The first has lost its
/// disk, and began anew by that old record.
fn hollow(is_other_there: bool) -> (World, Option<(u64, Vec<u8>)>) {
    let mut world = World::begun(1);
    let old = world.record.clone();
    world.add(2);
    world.pass_until("joined", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    world.submit(1, 0..100);
    world.pass(150_000);
    // The senders go on until now, so that nothing is forgotten.
    world.submit(1, 0..100);
    world.lose_disk(1);
    if !is_other_there {
        world.crash(2);
    }
    let new = std::mem::replace(&mut world.record, old);
    world.start(1);
    world.pass(3_000);
    assert!(world.has_told(1, Happened::Stopped(ShardId(0), Stop::NextEntryPurged)));
    (world, new)
}

#[test]
fn no_epoch_begins_from_nothing_where_another_owner_stands_in_the_record() {
    let (mut world, new) = hollow(false);
    world.record = new;
    world.pass(3_000);
    world.tell(1, Event::RepairAsked(ShardId(0)));
    world.pass(3_000);
    world.start(2);
    world.pass_until("copied", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    assert!(!world.has_told(1, Happened::EpochRepaired(ShardId(0))));
    world.assert_equal(100);
}

#[test]
fn a_repair_that_was_begun_by_an_old_record_is_judged_by_the_new_one() {
    let (mut world, new) = hollow(true);
    world.record = None;
    world.pass(3_000);
    world.tell(1, Event::RepairAsked(ShardId(0)));
    assert!(world.streams.contains_key(&StreamId { shard: ShardId(0), epoch: 2 }));
    world.record = new;
    world.pass(3_000);
    assert!(!world.has_told(1, Happened::EpochRepaired(ShardId(0))));
    world.pass_until("copied", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    world.assert_equal(100);
}

#[test]
fn no_epoch_begins_from_a_log_that_is_about_to_go() {
    let (mut world, new) = hollow(true);
    // It starts again, and does not know any more that it began from nothing.
    world.machine(1).disk.is_unread = true;
    world.crash(1);
    world.record = new;
    world.start(1);
    world.pass(3_000);
    assert!(world.has_told(1, Happened::Stopped(ShardId(0), Stop::LogUnread)));
    world.crash(2);
    world.pass(20_000);
    world.tell(1, Event::RepairAsked(ShardId(0)));
    world.pass(3_000);
    assert!(!world.streams.contains_key(&StreamId { shard: ShardId(0), epoch: 2 }));
    assert!(matches!(
        world.machine(1).repairs[..],
        [(ShardId(0), Err(Refusal::Behind | Refusal::LogUnread))]
    ));
    world.machine(1).disk.is_unread = false;
    world.start(2);
    world.pass_until("copied", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    world.assert_equal(100);
}

#[test]
fn no_epoch_begins_from_a_log_that_the_start_could_not_read_not_even_at_the_only_owner() {
    let mut world = World::begun(1);
    world.store(1, 0..100);
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    let next = StreamId { epoch: 2, ..stream };
    world.streams.remove(&stream);
    world.pass_until("stopped", 30_000, |world| {
        world.has_told(1, Happened::Stopped(ShardId(0), Stop::StreamGone))
    });
    let start = |world: &mut World, is_unread| {
        world.crash(1);
        world.machine(1).disk.is_unread_at_start = is_unread;
        world.start(1);
        world.pass(5_000);
    };
    start(&mut world, true);
    world.tell(1, Event::RepairAsked(ShardId(0)));
    world.pass(35_000);
    assert!(!world.streams.contains_key(&next));
    assert_eq!(world.machine(1).repairs, [(ShardId(0), Err(Refusal::LogUnread))]);
    // One that began the epoch before it was started anew waits too.
    start(&mut world, false);
    world.machine(1).disk.is_slow = true;
    world.tell(1, Event::RepairAsked(ShardId(0)));
    world.pass(3_000);
    assert!(world.streams.contains_key(&next));
    world.machine(1).disk.is_slow = false;
    start(&mut world, true);
    assert!(world.has_told(1, Happened::Stopped(ShardId(0), Stop::Disk(DiskFault::Broken))));
    start(&mut world, false);
    world.pass_until("the epoch goes on", 20_000, |world| world.is_caught_up(&[1]));
    assert!(world.has_told(1, Happened::EpochRepaired(ShardId(0))));
    world.assert_equal(100);
}

#[test]
fn shards_move_to_a_third_node_and_each_keeps_two_owners() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.add(3);
    world.pass_until("three nodes share", 120_000, |world| {
        (0..SHARDS).all(|shard| {
            let (_, owners) = world.node(1).owners(ShardId(shard)).unwrap();
            owners.len() == 2 && owners.iter().all(|(_, is_full)| *is_full)
        }) && !world.node(3).shards().is_empty()
    });
    world.pass(30_000);
    let parts: usize = (1..=3).map(|node| world.node(node).shards().len()).sum();
    assert_eq!(parts, 8, "what is not owned is dropped");
    world.store(3, 50..150);
    world.assert_equal(150);
}

#[test]
fn a_node_leaves_when_it_is_asked_to_and_two_others_have_all() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.tell(1, Event::LeaveAsked);
    world.pass(30_000);
    assert_eq!(world.node(1).shards().len(), usize::from(SHARDS), "no other two have all");
    world.add(3);
    world.pass_until("left", 120_000, |world| world.node(1).shards().is_empty());
    world.assert_equal(100);
    assert!((0..SHARDS).all(|shard| world.has_told(1, Happened::Left(ShardId(shard)))));
}

#[test]
fn a_stream_made_anew_stops_the_shard_and_a_repair_goes_on_from_the_logs() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    world.streams.remove(&stream);
    world.make(stream);
    world.pass(5_000);
    for node in [1, 2] {
        // Its figures say that it is another, or the next tick gets a sequence that this one has an entry of.
        let stops = [Stop::StreamAnew, Stop::StreamBehind].map(|stop| Happened::Stopped(ShardId(0), stop));
        assert!(stops.iter().any(|stop| world.has_told(node, *stop)));
    }
    let ticket = world.submit(1, 100..200);
    world.pass(10_000);
    let fates = world.fates(1, ticket).unwrap();
    assert!(fates.contains(&Fate::Failed) && fates.contains(&Fate::Stored));
    world.tell(2, Event::RepairAsked(ShardId(0)));
    world.pass_until("repaired", 60_000, |world| world.is_caught_up(&[1, 2]));
    assert!(!world.streams.contains_key(&stream));
    world.store(1, 0..200);
    world.assert_equal(200);
}

#[test]
fn a_repair_stores_what_only_one_owner_had() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    // The stream loses its end while one owner is away, and gives the sequences again.
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    world.crash(2);
    let before = world.streams[&stream].messages.len();
    let only_one = world.submit(1, 100..200);
    assert_eq!(world.fates(1, only_one), Some(&vec![Fate::Stored; 100]));
    world.crash(1);
    let lost = world.streams.get_mut(&stream).unwrap().messages.split_off(before);
    assert!(lost.iter().any(|record| matches!(Entry::read(&record.bytes).unwrap().body, Body::Batch(_))));
    world.streams.get_mut(&stream).unwrap().ids.retain(|_, sequence| *sequence <= before as u64);
    world.start(2);
    world.pass_until("one owner goes on", 20_000, |world| world.is_caught_up(&[2]));
    for number in 0..10 {
        world.store(2, 200 + number * 20..220 + number * 20);
    }
    world.start(1);
    world.pass(20_000);
    let stops = &world.machines[&NodeId(1)].told;
    assert!(stops.contains(&Happened::Stopped(ShardId(0), Stop::StreamBehind)), "{stops:?}");
    world.tell(1, Event::RepairAsked(ShardId(0)));
    world.pass_until("repaired", 60_000, |world| world.is_caught_up(&[1, 2]));
    assert!(world.has_told(2, Happened::EpochRepaired(ShardId(0))), "the owner that has most begins");
    world.pass(5_000);
    world.assert_equal(400);
}

#[test]
fn who_asks_for_a_repair_is_told_what_came_of_it() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    let asked = |world: &mut World, node: u64, shard: u16, wait_ms: u64| {
        world.tell(node, Event::RepairAsked(ShardId(shard)));
        world.pass(wait_ms);
        let told = std::mem::take(&mut world.machine(node).repairs);
        assert!(told.iter().all(|(of, _)| *of == ShardId(shard)));
        told.into_iter().map(|(_, result)| result).collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut world, 1, SHARDS, 0), [Err(Refusal::Unknown)]);
    // By whichever owner has most, also where another node was asked.
    world.add(3);
    world.machine(3).settings.stores = false;
    world.crash(3);
    world.start(3);
    world.pass(5_000);
    for (node, shard) in [(1, 0), (2, 1), (3, 2)] {
        assert_eq!(asked(&mut world, node, shard, 3_000), [Ok(())], "by node {node}");
    }
    world.pass_until("repaired", 60_000, |world| [1, 2].iter().all(|node| world.is_caught_up(&[*node])));
    world.assert_equal(100);
    // The one that has most is gone, and nobody knows it yet: its answer is awaited for as long as it may take.
    world.crash(1);
    world.crash(2);
    assert_eq!(asked(&mut world, 3, 3, 1_000), []);
    world.pass(40_000);
    assert_eq!(world.machine(3).repairs.pop(), Some((ShardId(3), Err(Refusal::Silent))));
    assert_eq!(asked(&mut world, 3, 3, 0), [Err(Refusal::NoOwner)]);
    // Without brokers nothing is made.
    world.start(1);
    world.pass(2_000);
    world.cut(1);
    assert_eq!(asked(&mut world, 1, 3, 1_000), [Err(Refusal::NoBrokers)]);
}

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
    // A start that is cut off begins anew with it.
    world.crash(1);
    world.machine(1).disk.is_unread = false;
    world.start(1);
    world.pass_until("nothing is left to be published", 20_000, |world| {
        world.machines[&NodeId(1)].disk.rests.is_empty()
    });
    world.pass(2_000);
    world.assert_equal(200);
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
fn a_stream_that_the_brokers_find_again_is_followed_again() {
    let mut world = World::begun(2);
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    let away = world.streams.remove(&stream).unwrap();
    world.pass(20_000);
    assert!(world.has_told(1, Happened::Stopped(ShardId(0), Stop::StreamGone)));
    world.streams.insert(stream, away);
    world.pass_until("went on", 10_000, |world| world.is_caught_up(&[1, 2]));
    let ticket = world.submit(1, 0..100);
    assert_eq!(world.fates(1, ticket), Some(&vec![Fate::Stored; 100]));
    assert!(world.has_told(2, Happened::WentOn(ShardId(0))));
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

#[test]
fn a_question_is_answered_by_other_nodes_and_what_is_missing_is_named() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.add(3);
    world.machine(3).settings.stores = false;
    world.crash(3);
    world.start(3);
    world.pass(3_000);
    let ask =
        |shards| Event::Asked { query: QueryId(1), shards, question: b"large".to_vec(), within_ms: 500 };
    world.tell(3, ask(vec![]));
    let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers.len(), missing.len()), (usize::from(SHARDS), 0));
    assert!(answers.iter().all(|answer| answer.bytes.len() == 600 << 10 && answer.age_ms < 5_000));
    world.crash(1);
    world.tell(3, ask(vec![ShardId(2)]));
    world.pass(60);
    assert!(world.machine(3).answers.remove(&QueryId(1)).unwrap().1.is_empty());
    world.crash(2);
    world.tell(3, ask(vec![ShardId(2)]));
    world.pass(499);
    assert!(world.machine(3).answers.is_empty());
    world.pass(1);
    let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers, missing), (vec![], vec![ShardId(2)]));
}

#[test]
fn an_owner_that_never_had_all_since_its_start_answers_for_nobody_in_time() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(1_000);
    world.crash(1);
    world.submit(2, 100..200);
    // Its streams tell it nothing, and the other owner is silent.
    let streams = std::mem::take(&mut world.streams);
    world.start(1);
    world.crash(2);
    let ask = Event::Asked { query: QueryId(1), shards: vec![], question: b"large".to_vec(), within_ms: 500 };
    world.tell(1, ask.clone());
    world.pass(600);
    let (answers, missing) = world.machine(1).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers.len(), missing.len()), (0, usize::from(SHARDS)));
    // Once it had all, its answer has an age, and counts soon.
    world.streams = streams;
    world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1]));
    world.streams.clear();
    world.pass(8_000);
    world.tell(1, ask);
    world.pass(200);
    let (answers, missing) = world.machine(1).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(answers.iter().all(|answer| (6_000..20_000).contains(&answer.age_ms)));
}

#[test]
fn a_question_goes_to_the_owner_that_has_all() {
    let mut world = World::begun(2);
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    world.start(3);
    world.submit(1, 0..100);
    world.pass(1_000);
    for behind in [1, 2] {
        let other = 3 - behind;
        world.crash(behind);
        world.store(3, 100 * behind as u32..100 * behind as u32 + 100);
        // It is back, and its streams tell it nothing yet.
        let hidden = std::mem::take(&mut world.streams);
        world.start(behind);
        world.pass(700);
        let ask = |shards| Event::Asked { query: QueryId(1), shards, question: vec![], within_ms: 500 };
        world.tell(3, ask(vec![]));
        let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).unwrap();
        assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
        assert!(answers.iter().all(|answer| answer.node == NodeId(other)), "{answers:?}");
        // Where the one that has all is gone, what may lack anything is named and not answered for.
        world.crash(other);
        world.tell(3, ask(vec![]));
        world.pass(500);
        let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).unwrap();
        assert_eq!((answers.len(), missing.len()), (0, usize::from(SHARDS)));
        world.streams = hidden;
        world.start(other);
        world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1, 2]));
    }
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

#[test]
fn time_passes_in_all_replicas_alike_and_forgets() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(250_000);
    world.submit(1, 0..10);
    world.pass(100_000);
    world.assert_equal(10);
}

#[test]
fn an_idle_node_is_woken_a_few_times_a_second() {
    let mut world = World::begun(2);
    let before: u64 = world.machines.values().map(|own| own.events).sum();
    world.pass(10_000);
    let events = world.machines.values().map(|own| own.events).sum::<u64>() - before;
    assert!(events < 2 * 10 * 40, "{events} events of two nodes in ten seconds");
}

#[test]
fn planted_faults_are_planted() {
    // One entry is skipped at the copy: the other replica's hashes say so.
    let mut world = World::begun(1);
    world.submit(1, 0..100);
    world.add(2);
    world.crash(2);
    world.machine(2).settings.faults = Faults { bootstrap_skips_one: true, ..Faults::default() };
    world.start(2);
    world.pass(5_000);
    for _ in 0..5 {
        world.submit(1, 0..100);
        world.pass(2_000);
    }
    let told = &world.machines[&NodeId(2)].told;
    assert!(told.iter().any(|told| matches!(told, Happened::Stopped(_, Stop::HashDiffers))), "{told:?}");
}

#[test]
fn a_question_whose_shard_changes_its_owner_meanwhile_is_asked_again() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(3_000);
    world.add(3);
    world.machine(3).settings.stores = false;
    world.crash(3);
    world.start(3);
    world.pass(3_000);
    // Both owners are away just when it is asked, and one comes back.
    world.crash(1);
    world.crash(2);
    let ask =
        Event::Asked { query: QueryId(1), shards: vec![], question: b"large".to_vec(), within_ms: 4_000 };
    world.tell(3, ask);
    world.pass(500);
    world.start(1);
    world.pass(3_000);
    let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(world.has_told(3, Happened::Hedged(ShardId(0))));
}

/// Answers of a node to a question about all shards: how many, the lowest and the highest age, and how many are missing.
fn ages(world: &mut World, node: u64) -> (usize, Option<u64>, Option<u64>, usize) {
    let ask = Event::Asked { query: QueryId(9), shards: vec![], question: b"large".to_vec(), within_ms: 300 };
    world.tell(node, ask);
    world.pass(300);
    let (answers, missing) = world.machine(node).answers.remove(&QueryId(9)).unwrap();
    let ages = || answers.iter().map(|answer| answer.age_ms);
    (answers.len(), ages().min(), ages().max(), missing.len())
}

#[test]
fn a_node_that_is_cut_off_with_a_leader_tells_how_old_its_shards_are() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(3_000);
    let shards = usize::from(SHARDS);
    for node in [1, 2] {
        let (count, _, oldest, missing) = ages(&mut world, node);
        assert_eq!((count, missing), (shards, 0));
        assert!(oldest < Some(3_000), "{oldest:?}");
    }
    // The leader goes on telling the end that it knows.
    for node in [1, 2] {
        world.cut(node);
        world.pass(20_000);
        world.submit(3 - node, 100..200);
        let (count, youngest, oldest, missing) = ages(&mut world, node);
        assert_eq!((count, missing), (shards, 0), "it goes on answering");
        assert!(youngest >= Some(20_000) && oldest < Some(23_000), "{youngest:?} to {oldest:?}");
        assert!(!world.is_caught_up(&[node]) && world.is_caught_up(&[3 - node]));
        let (count, _, oldest, missing) = ages(&mut world, 3 - node);
        assert_eq!((count, missing), (shards, 0));
        assert!(oldest < Some(3_000), "{oldest:?}");
        // What it has on disk is of no known age after a start.
        world.crash(node);
        world.start(node);
        world.pass(10_000);
        assert!(!world.is_caught_up(&[node]));
        assert_eq!(ages(&mut world, node).0, 0);
        world.cut.clear();
        world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1, 2]));
        assert!(ages(&mut world, node).2 < Some(3_000));
    }
}

#[test]
fn all_owners_answer_with_their_ages_while_a_shard_stands_still_and_go_on() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(3_000);
    // All brokers are away for the nodes: nothing is stored, and no tick comes.
    world.cut(1);
    world.cut(2);
    world.pass(9_000);
    for node in [1, 2] {
        let (count, youngest, oldest, missing) = ages(&mut world, node);
        assert_eq!((count, missing), (usize::from(SHARDS), 0));
        assert!(youngest >= Some(8_000) && oldest < Some(13_000), "{youngest:?} to {oldest:?}");
    }
    world.cut.clear();
    world.pass_until("caught up", 10_000, |world| world.is_caught_up(&[1, 2]));
    assert!(ages(&mut world, 2).2 < Some(3_000));
}

#[test]
fn an_owner_tells_its_age_while_its_log_is_published_again() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    // Its subscriptions break, and the stream goes on without what it needs next.
    world.machine(1).subscriptions.clear();
    world.machine(1).disk.is_slow = true;
    world.store(2, 100..200);
    world.streams.values_mut().for_each(|stream| stream.first = stream.last() + 1);
    let purged =
        |world: &World| (0..SHARDS).all(|shard| world.has_told(1, Happened::NextEntryPurged(ShardId(shard))));
    world.pass_until("the log is to be let go", 5_000, purged);
    world.pass(4_000);
    world.crash(2);
    let (count, youngest, oldest, missing) = ages(&mut world, 1);
    assert_eq!((count, missing), (usize::from(SHARDS), 0));
    assert!(youngest >= Some(4_000) && oldest < Some(12_000), "{youngest:?} to {oldest:?}");
    assert!((0..SHARDS).all(|shard| !world.has_told(1, Happened::Stopped(ShardId(shard), Stop::LogUnread))));
}

/// Answers where a stream was harmed and its shard has stopped at both owners: each owner, and a node that owns nothing, is asked.
fn ask_of_a_stopped_shard(harm: impl Fn(&mut World, StreamId), stops: &[Stop]) {
    let mut world = World::begun(2);
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    world.start(3);
    world.submit(1, 0..100);
    world.pass(3_000);
    harm(&mut world, StreamId { shard: ShardId(0), epoch: 1 });
    world.pass(5_000);
    for node in [1, 2] {
        assert!(stops.iter().any(|stop| world.has_told(node, Happened::Stopped(ShardId(0), *stop))));
    }
    world.pass(20_000);
    for node in [1, 2, 3] {
        let (count, youngest, oldest, missing) = ages(&mut world, node);
        assert_eq!((count, missing), (usize::from(SHARDS), 0), "node {node}");
        // The others go on.
        assert!(youngest < Some(3_000), "{youngest:?}");
        assert!(oldest >= Some(20_000) && oldest < Some(29_000), "{oldest:?}");
    }
    world.tell(2, Event::RepairAsked(ShardId(0)));
    world.pass_until("repaired", 60_000, |world| world.is_caught_up(&[1, 2]));
    world.pass(1_000);
    assert!(ages(&mut world, 3).2 < Some(3_000));
}

#[test]
fn a_shard_that_has_stopped_is_answered_for_with_what_is_there() {
    let anew = |world: &mut World, stream| {
        world.streams.remove(&stream);
        world.make(stream);
    };
    ask_of_a_stopped_shard(anew, &[Stop::StreamAnew, Stop::StreamBehind]);
    let damaged = |world: &mut World, stream| {
        world.publish(stream, None, vec![7; 20].into());
    };
    ask_of_a_stopped_shard(damaged, &[Stop::EntryDamaged]);
}

#[test]
fn an_owner_is_asked_again_once_at_each_pause() {
    let mut world = World::begun(2);
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    world.start(3);
    world.pass(3_000);
    // Both are silent, and what is sent to them is counted.
    let owners = [NodeId(1), NodeId(2)];
    owners.iter().for_each(|node| drop(world.machines.remove(node)));
    world.elsewhere.clear();
    let shards = vec![ShardId(0)];
    world.tell(3, Event::Asked { query: QueryId(1), shards, question: vec![], within_ms: 4_500 });
    let mut counts = Vec::new();
    for ms in [249, 1, 499, 1, 999, 1, 1_999, 1] {
        world.pass(ms);
        let is_question = |bytes: &[u8]| matches!(Message::read(bytes), Ok(Message::Question { .. }));
        counts.push(owners.map(|node| {
            world.elsewhere.iter().filter(|(to, bytes)| *to == node && is_question(bytes)).count()
        }));
    }
    assert_eq!(counts, [1, 2, 2, 3, 3, 4, 4, 5].map(|count| [count; 2]));
}

#[test]
fn a_node_that_becomes_the_only_owner_answers_what_it_was_asked_before() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(1_000);
    world.crash(1);
    world.crash(2);
    // Its streams tell it nothing: what it has may lack anything, and the other owner is to be asked.
    world.streams.clear();
    world.start(1);
    world.pass(1_000);
    let ask = Event::Asked { query: QueryId(1), shards: vec![], question: vec![], within_ms: 9_000 };
    world.tell(1, ask);
    world.pass(500);
    assert!(world.machine(1).answers.is_empty());
    let (revision, bytes) = world.record.take().unwrap();
    let mut record = Assignment::read(&bytes).unwrap();
    record.version += 1;
    record.shards.iter_mut().for_each(|shard| shard.owners.retain(|owner| owner.node == NodeId(1)));
    world.record = Some((revision + 1, record.write()));
    world.pass(8_500);
    let (answers, missing) = world.machine(1).answers.remove(&QueryId(1)).unwrap();
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(answers.iter().all(|answer| answer.age_ms == u64::MAX), "{answers:?}");
}
