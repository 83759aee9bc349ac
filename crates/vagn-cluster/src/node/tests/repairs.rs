//! Repairs: which owner begins a new epoch, from what, and who is told.

use std::collections::BTreeMap;

use vagn_wire::Fate;

use super::world::{SHARDS, Stream, World};
use crate::entry::{Body, Entry};
use crate::event::{DiskFault, Event};
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, ShardId, StreamId};
use crate::message::Message;
use crate::refusal::Refusal;
use crate::view::{ShardView, Stage};

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

/// Time in which an owner that was started has stopped for a stream that is gone or behind.
const STOPPED_WITHIN_MS: u64 = 20_000;

/// Deletes streams, and waits until these owners have stopped.
fn lose_streams(world: &mut World, shards: &[u16], owners: &[u64]) {
    let shards: Vec<ShardId> = shards.iter().copied().map(ShardId).collect();
    for shard in &shards {
        world.streams.remove(&StreamId { shard: *shard, epoch: 1 });
    }
    world.pass_until("stopped", 30_000, |world| {
        let has_stopped =
            |node, shard: &ShardId| world.has_told(node, Happened::Stopped(*shard, Stop::StreamGone));
        owners.iter().all(|node| shards.iter().all(|shard| has_stopped(*node, shard)))
    });
    // The others hear of it.
    world.pass(1_000);
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
    world.pass(STOPPED_WITHIN_MS);
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
fn no_epoch_begins_at_a_node_that_the_record_names_no_more() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    world.add(0);
    // The second one keeps what it has for a while, and of nodes that have as much it would be the one that begins.
    let left = |world: &World| {
        (0..SHARDS).map(ShardId).find(|shard| {
            let Some((_, owners)) = world.node(0).owners(*shard) else { return false };
            let is_named = owners.iter().any(|(owner, _)| *owner == NodeId(2));
            !is_named && world.node(2).parts.contains_key(shard)
        })
    };
    world.pass_until("a shard leaves a node", 60_000, |world| left(world).is_some());
    world.pass(1_000);
    let shard = left(&world).unwrap();
    world.crash(0);
    world.crash(1);
    world.pass(5_000);
    assert!(world.node(2).parts.contains_key(&shard), "it is still there");
    world.tell(2, Event::RepairAsked(shard));
    world.pass(60_000);
    assert!(matches!(world.machine(2).repairs[..], [(_, Err(Refusal::Silent | Refusal::NoOwner))]));
    assert!(!world.streams.contains_key(&StreamId { shard, epoch: 2 }));
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
    world.add_onlooker(3);
    world.pass(5_000);
    // Nothing is broken, whoever is asked.
    for node in [1, 2, 3] {
        assert_eq!(asked(&mut world, node, 0, 3_000), [Err(Refusal::NotBroken)], "by node {node}");
    }
    // By whichever owner has most, also where another node was asked.
    lose_streams(&mut world, &[0, 1, 2, 3], &[1, 2]);
    for (node, shard) in [(1, 0), (2, 1), (3, 2)] {
        assert_eq!(asked(&mut world, node, shard, 3_000), [Ok(())], "by node {node}");
    }
    world.pass_until("repaired", 60_000, |world| {
        let has_all = |view: &ShardView| view.stage == Stage::CaughtUp || view.shard == ShardId(3);
        [1, 2].iter().all(|node| world.node(*node).shards().iter().all(has_all))
    });
    // The one that has most is gone, and nobody knows it yet: its answer is awaited for as long as it may take.
    world.crash(1);
    world.crash(2);
    assert_eq!(asked(&mut world, 3, 3, 1_000), []);
    world.pass(40_000);
    assert_eq!(world.machine(3).repairs.pop(), Some((ShardId(3), Err(Refusal::Silent))));
    assert_eq!(asked(&mut world, 3, 3, 0), [Err(Refusal::NoOwner)]);
    // Without brokers nothing is made.
    world.start(1);
    world.pass(STOPPED_WITHIN_MS);
    world.cut(1);
    assert_eq!(asked(&mut world, 1, 3, 1_000), [Err(Refusal::NoBrokers)]);
}

#[test]
fn a_repair_that_another_node_made_is_told_without_its_answer() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    world.add_onlooker(3);
    world.pass(5_000);
    lose_streams(&mut world, &[0], &[1, 2]);
    // The answer is lost, and what another node answers is none. A second person asks meanwhile.
    let shard = ShardId(0);
    world.loses = Some((NodeId(2), NodeId(3)));
    world.tell(3, Event::RepairAsked(shard));
    let other = Message::RepairAnswer { shard, result: Err(Refusal::Busy) };
    world.tell(3, Event::Received { from: NodeId(1), bytes: other.write() });
    world.tell(3, Event::RepairAsked(shard));
    world.pass(6_000);
    assert_eq!(world.machine(3).repairs, [(shard, Ok(()))]);
    let (stream, _) = world.node(3).owners(shard).unwrap();
    assert_eq!(stream.epoch, 2, "one epoch was begun");
}

#[test]
fn a_sound_owner_begins_where_the_one_that_has_most_refuses() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    let shards = [0, 1].map(ShardId);
    lose_streams(&mut world, &[0, 1], &[1, 2]);
    // The second one finds damage behind the last record, and cannot begin.
    world.crash(2);
    for shard in shards {
        let log = world.machine(2).disk.shards[&shard].1.clone();
        world.machine(2).disk.rests.insert(shard, log);
    }
    world.start(2);
    world.add_onlooker(3);
    world.pass(5_000);
    // By the other owner, and by a node that owns nothing.
    for (node, shard) in [(1, shards[0]), (3, shards[1])] {
        world.tell(node, Event::RepairAsked(shard));
        world.pass(3_000);
        assert_eq!(world.machine(node).repairs, [(shard, Ok(()))], "by node {node}");
        assert!(world.has_told(1, Happened::EpochRepaired(shard)));
    }
    world.pass_until("caught up", 60_000, |world| world.is_caught_up(&[1]) && world.is_caught_up(&[2]));
    world.assert_equal(100);
}

#[test]
fn an_owner_begins_where_the_one_that_has_most_has_not_heard_that_the_stream_is_broken() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    lose_streams(&mut world, &[0], &[1, 2]);
    // The second one is asked, as both have the same, and says what it could say before it heard of the break.
    let (shard, ask) = (ShardId(0), (NodeId(1), NodeId(2)));
    world.loses = Some(ask);
    world.tell(1, Event::RepairAsked(shard));
    assert_eq!(world.machine(1).repairs, [], "the other is asked");
    let answer = Message::RepairAnswer { shard, result: Err(Refusal::NotBroken) };
    world.tell(1, Event::Received { from: ask.1, bytes: answer.write() });
    world.loses = None;
    world.pass_until("repaired", 60_000, |world| world.is_caught_up(&[1, 2]));
    assert!(world.has_told(1, Happened::EpochRepaired(shard)));
    assert_eq!(world.machine(1).repairs, [(shard, Ok(()))]);
    world.assert_equal(100);
}

#[test]
fn no_epoch_begins_of_a_stream_that_is_back_meanwhile() {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    let kept = std::mem::take(&mut world.streams.get_mut(&stream).unwrap().messages);
    let kept = Stream { messages: kept, ..world.streams.remove(&stream).unwrap() };
    lose_streams(&mut world, &[0], &[1, 2]);
    // The record takes nothing until the brokers have the stream again.
    let record = world.record.take();
    world.pass(3_000);
    world.tell(2, Event::RepairAsked(stream.shard));
    assert!(world.streams.contains_key(&StreamId { epoch: 2, ..stream }));
    world.streams.insert(stream, kept);
    world.pass_until("it goes on", 30_000, |world| {
        [1, 2].iter().all(|node| world.has_told(*node, Happened::WentOn(stream.shard)))
    });
    world.pass(1_000);
    world.record = record;
    world.pass(5_000);
    assert_eq!(world.machine(2).repairs, [(stream.shard, Err(Refusal::NotBroken))]);
    assert!(world.is_caught_up(&[1, 2]));
    assert_eq!(world.node(1).owners(stream.shard).unwrap().0, stream);
    world.assert_equal(100);
}

#[test]
fn a_full_disk_is_told_as_one_and_not_as_a_log_that_could_not_be_read() {
    let mut world = World::begun(1);
    world.store(1, 0..100);
    let shard = ShardId(0);
    world.streams.remove(&StreamId { shard, epoch: 1 });
    world
        .pass_until("stopped", 30_000, |world| world.has_told(1, Happened::Stopped(shard, Stop::StreamGone)));
    // The first sync of the next start finds no room.
    world.crash(1);
    world.machine(1).told.clear();
    world.machine(1).disk.is_full = true;
    world.start(1);
    world.pass(5_000);
    assert!(world.has_told(1, Happened::Stopped(shard, Stop::Disk(DiskFault::Full))));
    world.tell(1, Event::RepairAsked(shard));
    world.pass(5_000);
    assert_eq!(world.machine(1).repairs, [(shard, Err(Refusal::DiskFull))]);
    // With room it goes on by itself, and can be repaired.
    world.machine(1).disk.is_full = false;
    world.pass(20_000);
    assert!(world.has_told(1, Happened::WentOn(shard)) && world.has_told(1, Happened::CaughtUp(ShardId(1))));
    world.tell(1, Event::RepairAsked(shard));
    world.pass_until("repaired", 60_000, |world| world.is_caught_up(&[1]));
    assert_eq!(world.machine(1).repairs[1..], [(shard, Ok(()))]);
    world.assert_equal(100);
}

/// Two owners whose streams have lost their ends. Of the reports of a hundred vehicles damage left the first one no record in its log, and the
/// second one a single record; each keeps as its rest what stood behind the next.
fn both_damaged() -> World {
    let mut world = World::begun(2);
    world.store(1, 0..100);
    let before: BTreeMap<StreamId, u64> = world.streams.iter().map(|(id, own)| (*id, own.last())).collect();
    world.store(1, 100..200);
    world.pass(2_000);
    for node in [1, 2] {
        world.crash(node);
        for (id, had) in &before {
            let disk = &mut world.machine(node).disk;
            let log = &mut disk.shards.get_mut(&id.shard).unwrap().1;
            let damaged = log.iter().position(|record| record.sequence == had + node).unwrap();
            disk.rests.insert(id.shard, log.split_off(damaged + 1));
            log.truncate(damaged);
        }
    }
    for (id, had) in before {
        let stream = world.streams.get_mut(&id).unwrap();
        stream.messages.truncate(had as usize / 2);
        stream.ids.retain(|_, sequence| *sequence <= had / 2);
    }
    world
}

#[test]
fn the_owner_that_has_most_begins_where_the_logs_of_all_are_damaged() {
    let mut world = both_damaged();
    world.start(1);
    world.start(2);
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    world.start(3);
    world.pass(STOPPED_WITHIN_MS);
    let shards = [0, 1, 2, 3].map(ShardId);
    // By each owner, and by a node that owns nothing.
    for (shard, node) in shards.into_iter().zip([1, 2, 3, 1]) {
        world.tell(node, Event::RepairAsked(shard));
        world.pass(5_000);
        let told = std::mem::take(&mut world.machine(node).repairs);
        assert_eq!(told, [(shard, Ok(()))], "by node {node}");
        assert!(world.has_told(2, Happened::EpochRepaired(shard)), "it has most");
    }
    let is_let_go = |world: &World, node| world.machines[&NodeId(node)].disk.rests.is_empty();
    world.pass_until("all is published", 60_000, |world| is_let_go(world, 1) && is_let_go(world, 2));
    world.pass_until("caught up", 60_000, |world| world.is_caught_up(&[1, 2]));
    world.assert_equal(200);
}

#[test]
fn no_owner_with_a_damaged_log_begins_while_another_one_is_not_heard_or_has_more() {
    let mut world = both_damaged();
    let shard = ShardId(0);
    let next = StreamId { shard, epoch: 2 };
    world.start(2);
    world.pass(3_000);
    world.tell(2, Event::RepairAsked(shard));
    world.pass(3_000);
    assert_eq!(world.machine(2).repairs, [(shard, Err(Refusal::LogDamaged))]);
    // A message of one that knows it otherwise.
    world.start(1);
    world.pass(3_000);
    let bytes = Message::RepairAskDamaged { shard }.write();
    world.tell(1, Event::Received { from: NodeId(2), bytes });
    world.pass(3_000);
    assert!(!world.streams.contains_key(&next), "the second one has more");
    // It was started anew since: what it says at first need not be all that it has.
    let record = world.record.take();
    world.pass(3_000);
    world.tell(2, Event::RepairAsked(shard));
    assert!(world.streams.contains_key(&next), "it has begun");
    world.crash(1);
    world.start(1);
    world.record = record;
    world.pass(5_000);
    assert!(!world.has_told(2, Happened::EpochRepaired(shard)));
    assert_eq!(world.machine(2).repairs.pop(), Some((shard, Err(Refusal::LogDamaged))));
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
