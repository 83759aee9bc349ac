//! Mirrors: the whole fleet at a node that does not own it.

use super::world::{SHARDS, World};
use crate::event::Event;
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
    world.add(3);
    world.crash(3);
    world.machine(3).settings.stores = false;
    world.start(3);
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
    world.pass(40_000);
    assert!(ask(&mut world, 13, 0, 0).is_some(), "those that nobody reads have ended");
}
