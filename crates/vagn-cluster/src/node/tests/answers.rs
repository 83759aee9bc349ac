//! Questions: who answers, and how old answers are.

use super::world::{SHARDS, World};
use crate::assignment::Assignment;
use crate::command::ShardAnswer;
use crate::event::Event;
use crate::happened::{Happened, Stop};
use crate::ids::{NodeId, QueryId, ShardId, StreamId};
use crate::message::Message;

/// A question about these shards, or about all.
fn asked(shards: Vec<ShardId>, question: &[u8], within_ms: u64) -> Event {
    Event::Asked { query: QueryId(1), shards, question: question.to_vec(), within_ms }
}

/// What a node was answered, and the shards that are missing.
fn take_answer(world: &mut World, node: u64) -> (Vec<ShardAnswer>, Vec<ShardId>) {
    world.machine(node).answers.remove(&QueryId(1)).unwrap()
}

#[test]
fn a_question_is_answered_by_other_nodes_and_what_is_missing_is_named() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.add_onlooker(3);
    world.pass(3_000);
    let ask = |shards| asked(shards, b"large", 500);
    world.tell(3, ask(vec![]));
    let (answers, missing) = take_answer(&mut world, 3);
    assert_eq!((answers.len(), missing.len()), (usize::from(SHARDS), 0));
    assert!(answers.iter().all(|answer| answer.bytes.len() == 600 << 10 && answer.age_ms < 5_000));
    world.crash(1);
    world.tell(3, ask(vec![ShardId(2)]));
    world.pass(60);
    assert!(take_answer(&mut world, 3).1.is_empty());
    world.crash(2);
    world.tell(3, ask(vec![ShardId(2)]));
    world.pass(499);
    assert!(world.machine(3).answers.is_empty());
    world.pass(1);
    let (answers, missing) = take_answer(&mut world, 3);
    assert_eq!((answers, missing), (vec![], vec![ShardId(2)]));
}

/// A node that is stopped for a restart.
#[test]
fn no_question_waits_for_a_node_that_said_farewell_and_its_shards_stay_where_they_are() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.add(3);
    world.machine(3).settings.stores = false;
    world.crash(3);
    world.start(3);
    world.pass(3_000);
    let ask = Event::Asked { query: QueryId(1), shards: vec![], question: vec![], within_ms: 500 };
    let is_whole = |world: &mut World| {
        let (answers, missing) = world.machine(3).answers.remove(&QueryId(1)).expect("an answer at once");
        assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    };
    for stops in [1, 2] {
        // Asked before, and not answered.
        world.loses = Some((NodeId(stops), NodeId(3)));
        world.tell(3, ask.clone());
        assert!(world.machine(3).answers.is_empty(), "some shard is asked of each node");
        world.tell(stops, Event::StopAsked);
        is_whole(&mut world);
        world.loses = None;
        world.crash(stops);
        world.tell(3, ask.clone());
        is_whole(&mut world);
        world.pass(10_000);
        world.start(stops);
        world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1, 2]));
        assert!(world.is_owned(&[1, 2]));
        assert!(world.node(3).members().iter().all(|member| member.is_heard));
    }
    let copied = |told: &Happened| matches!(told, Happened::CopyBegun(_));
    let copies = |node: u64| world.machines[&NodeId(node)].told.iter().filter(|told| copied(told)).count();
    assert_eq!((copies(1), copies(2)), (0, usize::from(SHARDS)), "the second one joined once");
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
    let ask = asked(vec![], b"large", 500);
    world.tell(1, ask.clone());
    world.pass(600);
    let (answers, missing) = take_answer(&mut world, 1);
    assert_eq!((answers.len(), missing.len()), (0, usize::from(SHARDS)));
    // Once it had all, its answer has an age, and counts soon.
    world.streams = streams;
    world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1]));
    world.streams.clear();
    world.pass(8_000);
    world.tell(1, ask);
    world.pass(200);
    let (answers, missing) = take_answer(&mut world, 1);
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(answers.iter().all(|answer| (6_000..20_000).contains(&answer.age_ms)));
}

#[test]
fn a_question_goes_to_the_owner_that_has_all() {
    let mut world = World::begun(2);
    world.add_onlooker(3);
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
        let ask = |shards| asked(shards, b"", 500);
        world.tell(3, ask(vec![]));
        let (answers, missing) = take_answer(&mut world, 3);
        assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
        assert!(answers.iter().all(|answer| answer.node == NodeId(other)), "{answers:?}");
        // Where the one that has all is gone, what may lack anything is named and not answered for.
        world.crash(other);
        world.tell(3, ask(vec![]));
        world.pass(500);
        let (answers, missing) = take_answer(&mut world, 3);
        assert_eq!((answers.len(), missing.len()), (0, usize::from(SHARDS)));
        world.streams = hidden;
        world.start(other);
        world.pass_until("caught up", 20_000, |world| world.is_caught_up(&[1, 2]));
    }
}

#[test]
fn a_question_whose_shard_changes_its_owner_meanwhile_is_asked_again() {
    let mut world = World::begun(2);
    world.submit(1, 0..100);
    world.pass(3_000);
    world.add_onlooker(3);
    world.pass(3_000);
    // Both owners are away just when it is asked, and one comes back.
    world.crash(1);
    world.crash(2);
    let ask = asked(vec![], b"large", 4_000);
    world.tell(3, ask);
    world.pass(500);
    world.start(1);
    world.pass(3_000);
    let (answers, missing) = take_answer(&mut world, 3);
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(world.has_told(3, Happened::Hedged(ShardId(0))));
}

/// Answers of a node to a question about all shards: how many, the lowest and the highest age, and how many are missing.
fn ages(world: &mut World, node: u64) -> (usize, Option<u64>, Option<u64>, usize) {
    world.tell(node, asked(vec![], b"large", 300));
    world.pass(300);
    let (answers, missing) = take_answer(world, node);
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
    world.add_onlooker(3);
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
    world.add_onlooker(3);
    world.pass(3_000);
    // Both are silent, and what is sent to them is counted.
    let owners = [NodeId(1), NodeId(2)];
    owners.iter().for_each(|node| drop(world.machines.remove(node)));
    world.elsewhere.clear();
    world.tell(3, asked(vec![ShardId(0)], b"", 4_500));
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
    let ask = asked(vec![], b"", 9_000);
    world.tell(1, ask);
    world.pass(500);
    assert!(world.machine(1).answers.is_empty());
    let (revision, bytes) = world.record.take().unwrap();
    let mut record = Assignment::read(&bytes).unwrap();
    record.version += 1;
    record.shards.iter_mut().for_each(|shard| shard.owners.retain(|owner| owner.node == NodeId(1)));
    world.record = Some((revision + 1, record.write()));
    world.pass(8_500);
    let (answers, missing) = take_answer(&mut world, 1);
    assert_eq!((answers.len(), missing), (usize::from(SHARDS), vec![]));
    assert!(answers.iter().all(|answer| answer.age_ms == u64::MAX), "{answers:?}");
}
