//! Whole nodes over brokers, disks and a network that do what they are asked at once. Bad days are the simulator's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vagn_wire::Fate;

use super::Node;
use crate::command::{Command, ShardAnswer};
use crate::entry::{Body, Entry};
use crate::event::{
    Delivered, DiskPart, Event, LogRecord, PublishOutcome, RecordOutcome, StreamInfo, StreamOutcome,
    WriteOutcome,
};
use crate::happened::{Happened, Stop};
use crate::ids::{Incarnation, Moment, NodeId, QueryId, ShardId, StreamId, SubscriptionId, Ticket};
use crate::message::Message;
use crate::settings::{Faults, Settings};
use crate::testing::{NOW, Places, report};
use crate::view::Stage;

const SHARDS: u16 = 4;

#[derive(Default)]
struct Stream {
    incarnation: u64,
    first: u64,
    messages: Vec<LogRecord>,
    ids: BTreeMap<String, u64>,
}

impl Stream {
    fn last(&self) -> u64 {
        self.messages.len() as u64
    }
}

/// Snapshot and log of a shard.
type Kept = (Option<Arc<[u8]>>, Vec<LogRecord>);

#[derive(Default)]
struct Disk {
    note: Option<Vec<u8>>,
    shards: BTreeMap<ShardId, Kept>,
}

struct Machine {
    settings: Settings,
    node: Option<Node<Places>>,
    disk: Disk,
    subscriptions: BTreeMap<SubscriptionId, (StreamId, u64)>,
    wake_ms: u64,
    inbox: VecDeque<Event>,
    settled: BTreeMap<Ticket, Vec<Fate>>,
    answers: BTreeMap<QueryId, (Vec<ShardAnswer>, Vec<ShardId>)>,
    told: Vec<Happened>,
    events: u64,
}

struct World {
    now: Moment,
    streams: BTreeMap<StreamId, Stream>,
    made: u64,
    record: Option<(u64, Vec<u8>)>,
    machines: BTreeMap<NodeId, Machine>,
    tickets: u64,
    /// Sent to nodes that are none of these machines.
    elsewhere: Vec<(NodeId, Vec<u8>)>,
}

impl World {
    fn new(nodes: u64) -> Self {
        let mut world = Self {
            now: Moment { elapsed_ms: 1_000_000, wall_ms: NOW },
            streams: BTreeMap::new(),
            made: 0,
            record: None,
            machines: BTreeMap::new(),
            tickets: 0,
            elsewhere: Vec::new(),
        };
        (1..=nodes).for_each(|node| world.add(node));
        world
    }

    fn add(&mut self, node: u64) {
        let settings = Settings {
            shards: SHARDS,
            snapshot_entries: 50,
            piece_bytes: 100,
            ..Settings::new(NodeId(node), node)
        };
        let machine = Machine {
            settings,
            node: None,
            disk: Disk::default(),
            subscriptions: BTreeMap::new(),
            wake_ms: u64::MAX,
            inbox: VecDeque::new(),
            settled: BTreeMap::new(),
            answers: BTreeMap::new(),
            told: Vec::new(),
            events: 0,
        };
        self.machines.insert(NodeId(node), machine);
        self.start(node);
    }

    fn start(&mut self, node: u64) {
        let machine = self.machines.get_mut(&NodeId(node)).unwrap();
        machine.settings.random += 1_000;
        machine.node = Some(Node::new(machine.settings.clone()));
        machine.inbox.extend(machine.disk.note.clone().map(|note| Event::Disk(DiskPart::Note(note))));
        for (shard, (snapshot, records)) in &machine.disk.shards {
            let snapshot =
                snapshot.as_ref().map(|bytes| Event::Disk(DiskPart::Snapshot(*shard, bytes.to_vec())));
            machine.inbox.extend(snapshot);
            machine.inbox.push_back(Event::Disk(DiskPart::Records(*shard, records.clone())));
        }
        machine.inbox.push_back(Event::Disk(DiskPart::End));
        self.settle();
    }

    fn crash(&mut self, node: u64) {
        let machine = self.machines.get_mut(&NodeId(node)).unwrap();
        machine.node = None;
        machine.subscriptions.clear();
        machine.inbox.clear();
        machine.wake_ms = u64::MAX;
    }

    fn lose_disk(&mut self, node: u64) {
        self.crash(node);
        self.machine(node).disk = Disk::default();
    }

    fn machine(&mut self, node: u64) -> &mut Machine {
        self.machines.get_mut(&NodeId(node)).unwrap()
    }

    fn node(&self, node: u64) -> &Node<Places> {
        self.machines[&NodeId(node)].node.as_ref().unwrap()
    }

    fn tell(&mut self, node: u64, event: Event) {
        self.machine(node).inbox.push_back(event);
        self.settle();
    }

    /// Lets all be done that can be done now.
    fn settle(&mut self) {
        loop {
            self.deliver();
            let next = self.machines.iter_mut().find_map(|(id, own)| Some((*id, own.inbox.pop_front()?)));
            let Some((id, event)) = next else { return };
            let machine = self.machines.get_mut(&id).unwrap();
            let Some(node) = &mut machine.node else { continue };
            machine.events += 1;
            let mut out = Vec::new();
            node.handle(self.now, event, &mut out);
            out.into_iter().for_each(|command| self.carry_out(id, command));
        }
    }

    fn deliver(&mut self) {
        for machine in self.machines.values_mut() {
            for (subscription, (stream, next)) in &mut machine.subscriptions {
                let Some(own) = self.streams.get(stream) else { continue };
                *next = (*next).max(own.first);
                while let Some(record) = own.messages.get(*next as usize - 1) {
                    *next += 1;
                    machine.inbox.push_back(Event::Delivered(Delivered {
                        subscription: *subscription,
                        incarnation: Incarnation(own.incarnation),
                        sequence: record.sequence,
                        time_ms: record.time_ms,
                        bytes: record.bytes.clone(),
                    }));
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let end_ms = self.now.elapsed_ms + ms;
        loop {
            let next_ms = self.machines.values().map(|machine| machine.wake_ms).min().unwrap().min(end_ms);
            let step_ms = next_ms.saturating_sub(self.now.elapsed_ms);
            self.now.elapsed_ms += step_ms;
            self.now.wall_ms += step_ms as i64;
            for machine in self.machines.values_mut().filter(|machine| machine.wake_ms <= next_ms) {
                machine.wake_ms = u64::MAX;
                machine.inbox.push_back(Event::Woken);
            }
            self.settle();
            if self.now.elapsed_ms >= end_ms {
                return;
            }
        }
    }

    fn pass_until(&mut self, what: &str, within_ms: u64, is_so: impl Fn(&Self) -> bool) {
        let end_ms = self.now.elapsed_ms + within_ms;
        while !is_so(self) {
            assert!(self.now.elapsed_ms < end_ms, "not within {within_ms} ms: {what}");
            self.pass(100);
        }
    }

    fn info(&self, stream: StreamId) -> StreamOutcome {
        match self.streams.get(&stream) {
            None => StreamOutcome::Absent,
            Some(own) => StreamOutcome::Is(StreamInfo {
                incarnation: Incarnation(own.incarnation),
                first: own.first,
                last: own.last(),
                bytes: 0,
            }),
        }
    }

    fn make(&mut self, stream: StreamId) {
        let made = &mut self.made;
        self.streams.entry(stream).or_insert_with(|| {
            *made += 1;
            Stream { incarnation: *made, first: 1, ..Stream::default() }
        });
    }

    fn publish(&mut self, stream: StreamId, id: Option<String>, bytes: Arc<[u8]>) -> PublishOutcome {
        let Some(own) = self.streams.get_mut(&stream) else { return PublishOutcome::Absent };
        if let Some(sequence) = id.as_ref().and_then(|id| own.ids.get(id)) {
            return PublishOutcome::Stored { sequence: *sequence, duplicate: true };
        }
        let sequence = own.last() + 1;
        own.messages.push(LogRecord { sequence, time_ms: self.now.wall_ms, bytes });
        own.ids.extend(id.map(|id| (id, sequence)));
        PublishOutcome::Stored { sequence, duplicate: false }
    }

    fn carry_out(&mut self, me: NodeId, command: Command) {
        let now = self.now;
        let answer = match command {
            Command::Publish { publish, stream, message_id, bytes, .. } => {
                Some(Event::Published(publish, self.publish(stream, message_id, bytes)))
            }
            Command::ReadStream { read, stream } => Some(Event::StreamRead(read, self.info(stream))),
            Command::MakeStream { read, stream } => {
                self.make(stream);
                Some(Event::StreamRead(read, self.info(stream)))
            }
            Command::DropStream(stream) => {
                self.streams.remove(&stream);
                None
            }
            Command::Purge { stream, through } => {
                if let Some(own) = self.streams.get_mut(&stream) {
                    own.first = own.first.max(through + 1);
                }
                None
            }
            Command::ReadRecord(key) => {
                let outcome = match self.record.clone() {
                    Some((revision, bytes)) => RecordOutcome::Is { revision, bytes },
                    None => RecordOutcome::Absent,
                };
                Some(Event::RecordRead(key, outcome))
            }
            Command::WriteRecord { key, expected, bytes } => {
                let before = self.record.as_ref().map(|(revision, _)| *revision);
                let outcome = if before == expected {
                    let revision = before.unwrap_or(0) + 1;
                    self.record = Some((revision, bytes));
                    WriteOutcome::Written { revision }
                } else {
                    WriteOutcome::Refused
                };
                Some(Event::RecordWritten(key, outcome))
            }
            Command::Send { to, bytes } if !self.machines.contains_key(&to) => {
                self.elsewhere.push((to, bytes));
                None
            }
            Command::Send { to, bytes } => {
                if let Some(other) = self.machines.get_mut(&to).filter(|other| other.node.is_some()) {
                    other.inbox.push_back(Event::Received { from: me, bytes });
                }
                None
            }
            Command::SendAll { bytes } => {
                for (_, other) in
                    self.machines.iter_mut().filter(|(id, other)| **id != me && other.node.is_some())
                {
                    other.inbox.push_back(Event::Received { from: me, bytes: bytes.clone() });
                }
                None
            }
            own => self.machines.get_mut(&me).unwrap().carry_out(own, now),
        };
        self.machines.get_mut(&me).unwrap().inbox.extend(answer);
    }

    /// Lets a reporter bring a report of each of these vehicles.
    fn submit(&mut self, node: u64, vehicles: impl Iterator<Item = u32>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let arrival_ms = self.now.wall_ms;
        let changes = vehicles.map(|vehicle| report(&format!("bus-{vehicle}"), arrival_ms)).collect();
        self.tell(node, Event::Submitted { ticket, changes });
        ticket
    }

    fn fates(&self, node: u64, ticket: Ticket) -> Option<&Vec<Fate>> {
        self.machines[&NodeId(node)].settled.get(&ticket)
    }

    fn is_caught_up(&self, nodes: &[u64]) -> bool {
        nodes.iter().all(|node| {
            let views = self.node(*node).shards();
            views.len() == usize::from(SHARDS) && views.iter().all(|view| view.stage == Stage::CaughtUp)
        })
    }

    /// All replicas have the same content, and it has so many vehicles.
    fn assert_equal(&self, vehicles: usize) {
        let mut sum = 0;
        for shard in (0..SHARDS).map(ShardId) {
            let states = self.machines.values().filter_map(|own| own.node.as_ref()?.state(shard));
            let states: Vec<&Places> = states.collect();
            assert!(states.iter().all(|state| *state == states[0]), "{shard:?}: {states:?}");
            sum += states[0].len();
        }
        assert_eq!(sum, vehicles);
    }

    fn has_told(&self, node: u64, happened: Happened) -> bool {
        self.machines[&NodeId(node)].told.contains(&happened)
    }

    /// All shards have these full owners and no others.
    fn is_owned(&self, by: &[u64]) -> bool {
        let full: Vec<(NodeId, bool)> = by.iter().map(|node| (NodeId(*node), true)).collect();
        (0..SHARDS)
            .all(|shard| self.node(by[0]).owners(ShardId(shard)).is_some_and(|(_, owners)| owners == full))
    }

    /// A data set of one node or two, which own all of it.
    fn begun(nodes: u64) -> Self {
        let mut world = Self::new(1);
        world.pass_until("begun", 20_000, |world| world.is_caught_up(&[1]));
        if nodes == 2 {
            world.add(2);
            world
                .pass_until("joined", 60_000, |world| world.is_owned(&[1, 2]) && world.is_caught_up(&[1, 2]));
        }
        world
    }
}

impl Machine {
    fn carry_out(&mut self, command: Command, now: Moment) -> Option<Event> {
        match command {
            Command::Subscribe { subscription, stream, from } => {
                self.subscriptions.insert(subscription, (stream, from));
            }
            Command::Unsubscribe(subscription) => {
                self.subscriptions.remove(&subscription);
            }
            Command::WriteLog { shard, records } => {
                let log = &mut self.disk.shards.entry(shard).or_default().1;
                assert!(log.last().is_none_or(|last| last.sequence < records[0].sequence));
                log.extend(records);
            }
            Command::SyncLog(shard) => {
                let log = &self.disk.shards.entry(shard).or_default().1;
                let through = log.last().map_or(0, |last| last.sequence);
                return Some(Event::LogSynced { shard, through });
            }
            Command::TrimLog { shard, through } => {
                self.disk.shards.entry(shard).or_default().1.retain(|record| record.sequence > through);
            }
            Command::ReadLog { shard, from, .. } => {
                let log = self.disk.shards.entry(shard).or_default().1.iter();
                let records = log.filter(|record| record.sequence >= from).take(3).cloned().collect();
                return Some(Event::LogRead { shard, from, records });
            }
            Command::SaveSnapshot { shard, sequence, bytes } => {
                self.disk.shards.entry(shard).or_default().0 = Some(bytes);
                return Some(Event::SnapshotSaved { shard, sequence, result: Ok(()) });
            }
            Command::InstallSnapshot { shard, sequence, bytes } => {
                self.disk.shards.insert(shard, (Some(bytes), Vec::new()));
                return Some(Event::SnapshotSaved { shard, sequence, result: Ok(()) });
            }
            Command::DropShard(shard) => {
                self.disk.shards.remove(&shard);
            }
            Command::WriteNote(bytes) => self.disk.note = Some(bytes),
            Command::Settle { ticket, fates } => assert!(self.settled.insert(ticket, fates).is_none()),
            Command::Answer { query, answers, missing } => {
                assert!(self.answers.insert(query, (answers, missing)).is_none());
            }
            Command::Tell(happened) => self.told.push(happened),
            Command::WakeAt { elapsed_ms } => {
                assert!(elapsed_ms > now.elapsed_ms);
                self.wake_ms = elapsed_ms;
            }
            other => panic!("not for a machine: {other:?}"),
        }
        None
    }
}

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
    let ticket = world.submit(3, 50..150);
    world.pass(1_000);
    assert_eq!(world.fates(3, ticket), Some(&vec![Fate::Stored; 100]));
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
    let ticket = world.submit(1, 0..200);
    world.pass(1_000);
    assert_eq!(world.fates(1, ticket), Some(&vec![Fate::Stored; 200]));
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
        let ticket = world.submit(2, 200 + number * 20..220 + number * 20);
        world.pass(1_000);
        assert_eq!(world.fates(2, ticket), Some(&vec![Fate::Stored; 20]));
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
fn what_only_an_owner_that_was_left_behind_has_is_published_again_before_its_log_goes() {
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
    world.start(1);
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
