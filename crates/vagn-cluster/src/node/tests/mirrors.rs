//! Mirrors: the whole fleet at a node that does not own it.

use super::world::{SHARDS, World};
use crate::assignment::{Assignment, Owner};
use crate::event::{DiskFault, Event};
use crate::happened::Happened;
use crate::ids::{NodeId, ShardId, StreamId};
use crate::message::Message;
use crate::testing::Places;
use crate::view::Stage;

impl World {
    /// The mirrors of a node have what the owners have, and it has a mirror of each shard.
    fn assert_mirrored(&self, node: u64, owner: u64) {
        let views = self.node(node).mirrors();
        assert_eq!(views.len(), usize::from(SHARDS));
        for shard in (0..SHARDS).map(ShardId) {
            let mirrored = self.node(node).shown(shard);
            assert!(mirrored.is_some() && mirrored == self.node(owner).state(shard), "{shard:?}");
        }
    }

    fn is_mirrored(&self, node: u64) -> bool {
        let views = self.node(node).mirrors();
        views.len() == usize::from(SHARDS) && views.iter().all(|view| view.stage == Stage::CaughtUp)
    }
}

/// A data set of two nodes that own all of it, and a third that owns nothing.
fn with_onlooker() -> World {
    let mut world = World::begun(2);
    world.submit(1, 0..200);
    world.add_onlooker(3);
    world.pass(2_000);
    world
}

#[test]
fn a_node_mirrors_what_it_does_not_own_as_long_as_it_is_asked() {
    let mut world = with_onlooker();
    assert!(world.node(3).shown(ShardId(0)).is_none() && world.node(3).mirrors().is_empty());
    world.tell(3, Event::MirrorAsked { for_ms: 15_000 });
    world.pass_until("mirrored", 10_000, |world| world.is_mirrored(3));
    world.assert_mirrored(3, 1);
    world.submit(2, 100..300);
    world.pass(2_500);
    world.assert_mirrored(3, 1);
    // An owner has no mirror of its own shards, and mirrors have no say: the disk of the third is untouched.
    world.tell(1, Event::MirrorAsked { for_ms: 15_000 });
    world.pass(1_000);
    assert!(world.node(1).mirrors().is_empty());
    assert!(world.machine(3).disk.shards.is_empty());
    world.pass(20_000);
    assert!(world.node(3).mirrors().is_empty() && world.machine(3).subscriptions.is_empty());
}

/// A node that mirrors by a broker that is cut off from the others, and has a part of the streams. Returns if its mirrors count as caught up
/// then, and 20 s later.
fn mirrored_by_a_lone_leader(proves: bool) -> (World, [bool; 2]) {
    let mut world = with_onlooker();
    world.crash(3);
    world.machine(3).settings.proves_mirrors = proves;
    world.start(3);
    world.pass(2_000);
    world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
    world.pass_until("copied", 10_000, |world| {
        (0..SHARDS).all(|shard| world.node(3).shown(ShardId(shard)).is_some())
    });
    // What comes meanwhile comes late, and what others have stored since not at all.
    world.cut(3);
    world.pass(20_000);
    world.cut(3);
    world.store(1, 200..300);
    world.pass(5_000);
    world.is_led.insert(NodeId(3));
    let is_mirrored = [3_000, 20_000].map(|ms| {
        let mut was = false;
        for _ in 0..ms / 100 {
            world.pass(100);
            was |= world.is_mirrored(3);
        }
        was
    });
    (world, is_mirrored)
}

#[test]
fn what_a_leader_delivers_that_is_cut_off_proves_no_mirror() {
    // For a map it is good enough, for some seconds.
    assert_eq!(mirrored_by_a_lone_leader(false).1, [true, true]);
    let (mut world, is_mirrored) = mirrored_by_a_lone_leader(true);
    assert_eq!(is_mirrored, [false, false]);
    world.cut.clear();
    world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
    world.pass_until("proved", 10_000, |world| world.is_mirrored(3));
    let all: usize = (0..SHARDS).map(|shard| world.node(3).shown(ShardId(shard)).unwrap().len()).sum();
    assert_eq!(all, 300, "what was stored before is there");
    world.pass(2_500);
    world.assert_mirrored(3, 1);
}

#[test]
fn a_shard_that_another_node_owns_from_now_on_is_shown_until_its_mirror_is_there() {
    let mut world = World::begun(2);
    world.store(1, 0..200);
    let (revision, bytes) = world.record.clone().unwrap();
    let mut record = Assignment::read(&bytes).unwrap();
    record.shards.iter_mut().for_each(|place| place.remove(NodeId(1)));
    record.version += 1;
    // Nobody is there to be copied from as yet.
    world.crash(2);
    world.record = Some((revision + 1, record.write()));
    let assert_shown = |world: &World| {
        assert!((0..SHARDS).all(|shard| world.node(1).shown(ShardId(shard)).is_some()));
    };
    let is_left = |world: &World| {
        let owners = (0..SHARDS).filter_map(|shard| world.node(1).owners(ShardId(shard)));
        owners.flat_map(|(_, owners)| owners).all(|owner| owner != (NodeId(1), true))
    };
    let mut was_left = false;
    for second in 0..30 {
        world.tell(1, Event::MirrorAsked { for_ms: 15_000 });
        if second == 8 {
            world.start(2);
        }
        for _ in 0..10 {
            world.pass(100);
            assert_shown(&world);
            was_left |= is_left(&world);
        }
    }
    assert!(was_left, "the record named it no more");
}

#[test]
fn a_mirror_whose_next_entry_is_purged_begins_anew() {
    let mut world = with_onlooker();
    world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
    world.pass_until("mirrored", 10_000, |world| world.is_mirrored(3));
    // Its subscriptions break, and when it comes back the stream has gone on and was purged.
    world.machine(3).subscriptions.clear();
    for round in 0..3 {
        world.submit(1, round * 100..round * 100 + 100);
        for (stream, own) in &mut world.streams {
            assert_eq!(stream.epoch, 1);
            own.first = own.last() + 1;
        }
        world.pass(1_000);
    }
    world.pass_until("mirrored again", 20_000, |world| {
        world.is_mirrored(3)
            && (0..SHARDS)
                .all(|shard| world.node(3).shown(ShardId(shard)) == world.node(1).state(ShardId(shard)))
    });
    world.assert_mirrored(3, 1);
}

#[test]
fn a_mirror_that_differs_from_an_owner_begins_anew() {
    let mut world = with_onlooker();
    world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
    world.pass_until("mirrored", 10_000, |world| world.is_mirrored(3));
    world.machine(3).node.as_mut().unwrap().spoil_mirrors(Places::refuse_all);
    world.submit(1, 300..400);
    world.pass_until("equal again", 10_000, |world| {
        (0..SHARDS).all(|shard| world.node(3).shown(ShardId(shard)) == world.node(1).state(ShardId(shard)))
    });
    assert_eq!(world.machine(3).subscriptions.len(), usize::from(SHARDS));
}

#[test]
fn a_replica_that_has_stopped_is_not_shown_where_another_owner_has_more() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.tell(1, Event::MirrorAsked { for_ms: 60_000 });
    world.pass(10_000);
    assert!(world.node(1).mirrors().is_empty(), "all is here");
    let from = world.node(1).shards()[0].applied + 1;
    world.tell(1, Event::LogFailed { shard: ShardId(0), from, fault: DiskFault::Broken });
    world.submit(2, 100..200);
    world.pass(12_000);
    let [stopped, other] = [1, 2].map(|node| world.node(node).state(ShardId(0)).unwrap());
    assert!(stopped != other && world.node(1).shown(ShardId(0)) == Some(other));
    let views = world.node(1).mirrors();
    assert_eq!(views.iter().map(|view| view.shard).collect::<Vec<_>>(), [ShardId(0)], "of that one alone");
    let hidden: Vec<_> = world.node(1).hidden(ShardId(0)).collect();
    assert!(hidden == [stopped] && world.node(1).hidden(ShardId(1)).next().is_none());
    // When the other is gone, what was shown is shown on, as nobody has more.
    let last = other.clone();
    world.crash(2);
    world.pass(20_000);
    assert_eq!(world.node(1).shown(ShardId(0)), Some(&last));
}

#[test]
fn a_replica_that_has_stopped_is_shown_where_no_other_owner_has_all() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.crash(2);
    world.pass(10_000);
    let from = world.node(1).shards()[0].applied + 1;
    world.tell(1, Event::LogFailed { shard: ShardId(0), from, fault: DiskFault::Broken });
    world.tell(1, Event::MirrorAsked { for_ms: 60_000 });
    world.pass(20_000);
    assert!(world.node(1).mirrors().is_empty());
    assert_eq!(world.node(1).shown(ShardId(0)), world.node(1).state(ShardId(0)));
    assert!(world.node(1).shown(ShardId(0)).is_some());
}

#[test]
fn a_mirror_that_is_lost_again_and_again_is_copied_ever_more_seldom() {
    let mut world = with_onlooker();
    let mut lost_at: Vec<u64> = Vec::new();
    for second in 0..120_u64 {
        world.tell(3, Event::MirrorAsked { for_ms: 60_000 });
        world.machine(3).node.as_mut().unwrap().spoil_mirrors(Places::refuse_all);
        // All of them, so that each shard has some.
        world.submit(1, 0..200);
        world.pass(1_000);
        let told = &mut world.machine(3).told;
        let lost = told.extract_if(.., |told| *told == Happened::MirrorLost(ShardId(0))).count();
        lost_at.extend((0..lost).map(|_| second));
    }
    let pauses: Vec<u64> = lost_at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((3..=7).contains(&lost_at.len()), "{lost_at:?}");
    assert!(pauses.is_sorted() && *pauses.last().unwrap() >= 16, "{lost_at:?}");
}

#[test]
fn a_mirror_of_a_shard_that_the_record_has_not_is_let_go_and_wakes_nobody() {
    let mut world = with_onlooker();
    world.tell(3, Event::MirrorAsked { for_ms: 20_000 });
    world.pass_until("mirrored", 10_000, |world| world.is_mirrored(3));
    // Another data set, of fewer shards.
    let (revision, bytes) = world.record.take().unwrap();
    let mut record = Assignment::read(&bytes).unwrap();
    record.data_set += 1;
    record.shards.truncate(2);
    world.record = Some((revision + 1, record.write()));
    [1, 2].into_iter().for_each(|node| world.crash(node));
    world.pass(5_000);
    let views = world.node(3).mirrors();
    assert!(views.iter().all(|view| view.shard.0 < 2), "{views:?}");
    world.pass(30_000);
    assert!(world.node(3).mirrors().is_empty() && world.machine(3).subscriptions.is_empty());
    let before = world.machine(3).events;
    world.pass(10_000);
    let events = world.machine(3).events - before;
    assert!(events < 10 * 40, "{events} events in ten seconds");
}

#[test]
fn a_copy_that_begins_does_not_end_one_that_is_read() {
    let mut world = World::begun(1);
    world.submit(1, 0..400);
    let stream = StreamId { shard: ShardId(0), epoch: 1 };
    let ask = |world: &mut World, from: u64, copy: u64, offset: u64| {
        let bytes = Message::CopyAsk { stream, copy, offset }.write();
        world.tell(1, Event::Received { from: NodeId(from), bytes });
        let (to, bytes) = world.elsewhere.pop().unwrap();
        assert_eq!(to, NodeId(from));
        match Message::read(&bytes).unwrap() {
            Message::CopyPiece { copy, .. } => Some(copy),
            _ => None,
        }
    };
    let begun: Vec<_> = (10..13)
        .map(|from| {
            let copy = ask(&mut world, from, 0, 0).unwrap();
            world.pass(1_500);
            (from, copy)
        })
        .collect();
    for (from, copy) in begun {
        assert_eq!(ask(&mut world, from, copy, 100), Some(copy));
    }
    assert_eq!(ask(&mut world, 13, 0, 0), None, "no more at a time");
    // One that is to own the shard is not kept waiting by those who look.
    let (revision, bytes) = world.record.take().unwrap();
    let mut record = Assignment::read(&bytes).unwrap();
    record.version += 1;
    record.shards[0].owners.push(Owner { node: NodeId(13), is_full: false });
    world.record = Some((revision + 1, record.write()));
    world.pass(2_500);
    assert!(ask(&mut world, 13, 0, 0).is_some());
    world.pass(1_500);
    assert_eq!(ask(&mut world, 14, 0, 0), None);
    world.pass(40_000);
    assert!(ask(&mut world, 13, 0, 0).is_some(), "those that nobody reads have ended");
}

#[test]
fn the_place_for_new_owners_is_not_for_the_mirrors_of_those_that_have_the_shard() {
    // How many copies there are once an owner asks for one more than there is room for.
    let copies = |has_it: bool| {
        let mut world = World::begun(2);
        world.submit(1, 0..400);
        world.crash(2);
        world.pass(if has_it { 1_000 } else { 20_000 });
        let stream = StreamId { shard: ShardId(0), epoch: 1 };
        let first = Message::CopyAsk { stream, copy: 0, offset: 0 }.write();
        for from in [10, 11, 12, 2] {
            world.tell(1, Event::Received { from: NodeId(from), bytes: first.clone() });
            world.pass(1_500);
        }
        world.node(1).copies(ShardId(0))
    };
    assert_eq!([true, false].map(copies), [3, 4]);
}
