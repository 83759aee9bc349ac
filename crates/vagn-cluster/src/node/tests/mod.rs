//! Whole nodes. Bad days are the simulator's.

mod answers;
mod copied;
mod logs;
mod mirrors;
mod records;
mod repairs;
mod world;

use vagn_wire::Fate;

use crate::event::Event;
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, ShardId, StreamId, Ticket};
use crate::membership::Heartbeat;
use crate::message::Message;
use crate::settings::{Faults, MESSAGES_VERSION};
use crate::testing::report;
use crate::view::Stage;
use world::{SHARDS, World};

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
    assert!(world.node(1).parts.is_empty(), "nothing is left of them");
}

#[test]
fn a_node_is_sent_nothing_that_its_version_does_not_understand() {
    let mut world = World::begun(1);
    world.store(1, 0..100);
    world.add(2);
    world.crash(2);
    world.machine(2).settings.version = MESSAGES_VERSION - 1;
    world.start(2);
    world.pass(30_000);
    // Each hears the other. It asks for copies, and no pieces are sent that it would take for damaged.
    assert_eq!(world.node(2).members().len(), 2);
    assert!(
        world.node(1).members().iter().any(|member| member.version < MESSAGES_VERSION && member.is_heard)
    );
    assert!(world.has_told(1, Happened::NotUnderstood(NodeId(2))));
    assert!(world.node(2).shards().iter().all(|view| view.stage == Stage::Copying));
    // What the first one alone can do goes on.
    world.store(1, 50..150);
    // It comes back with the version of the other.
    world.crash(2);
    world.machine(2).settings.version = MESSAGES_VERSION;
    world.start(2);
    world.pass_until("joined", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
    world.assert_equal(150);
}

#[test]
fn a_node_of_a_later_version_is_heard_whatever_it_says_besides() {
    let mut world = World::begun(1);
    let (run, name, zone) = (7, "north-9".to_owned(), None);
    let beat = Heartbeat {
        run,
        name,
        zone,
        version: MESSAGES_VERSION + 8,
        settings_hash: 0,
        stores: false,
        leaves: false,
        assignment: 0,
        shards: Vec::new(),
        later: vec![1, 2, 3],
    };
    world.tell(1, Event::Received { from: NodeId(9), bytes: Message::Heartbeat(beat).write() });
    let members = world.node(1).members();
    let other = members.iter().find(|member| member.node == NodeId(9)).expect("it is heard");
    assert!(other.is_heard && other.version == MESSAGES_VERSION + 8 && other.name == "north-9");
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
