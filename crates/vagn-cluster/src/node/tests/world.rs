//! Machines, brokers, disks and a network that do what they are asked at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use vagn_wire::Fate;

use crate::command::{Command, ShardAnswer};
use crate::event::{
    Delivered, DiskFault, DiskPart, Event, LogOutcome, LogRecord, PublishOutcome, RecordOutcome, StreamInfo,
    StreamOutcome, WriteOutcome,
};
use crate::happened::Happened;
use crate::ids::{Incarnation, Moment, NodeId, QueryId, ShardId, StreamId, SubscriptionId, Ticket};
use crate::node::Node;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::testing::{NOW, Places, report};
use crate::view::Stage;

pub(super) const SHARDS: u16 = 4;

#[derive(Default)]
pub(super) struct Stream {
    pub(super) incarnation: u64,
    pub(super) first: u64,
    pub(super) messages: Vec<LogRecord>,
    pub(super) ids: BTreeMap<String, u64>,
}

impl Stream {
    pub(super) fn last(&self) -> u64 {
        self.messages.len() as u64
    }
}

/// Snapshot and log of a shard.
pub(super) type Kept = (Option<Arc<[u8]>>, Vec<LogRecord>);

#[derive(Default)]
pub(super) struct Disk {
    pub(super) note: Option<Vec<u8>>,
    pub(super) shards: BTreeMap<ShardId, Kept>,
    /// What stood behind the damage of logs that a start has found damaged.
    pub(super) rests: BTreeMap<ShardId, Vec<LogRecord>>,
    /// Readings of logs and snapshots that are installed are not answered.
    pub(super) is_slow: bool,
    /// A start gives no records, and the first sync fails.
    pub(super) is_unread_at_start: bool,
    /// There is no room for records, and syncs fail for it.
    pub(super) is_full: bool,
    /// Syncs are not answered.
    pub(super) is_stuck: bool,
    /// Logs cannot be read.
    pub(super) is_unread: bool,
    /// The first two records of each log are damaged.
    pub(super) is_damaged: bool,
}

pub(super) struct Machine {
    pub(super) settings: Settings,
    pub(super) node: Option<Node<Places>>,
    pub(super) disk: Disk,
    pub(super) subscriptions: BTreeMap<SubscriptionId, (StreamId, u64)>,
    pub(super) wake_ms: u64,
    pub(super) inbox: VecDeque<Event>,
    pub(super) settled: BTreeMap<Ticket, Vec<Fate>>,
    pub(super) answers: BTreeMap<QueryId, (Vec<ShardAnswer>, Vec<ShardId>)>,
    pub(super) told: Vec<Happened>,
    /// What came of repairs that were asked for here.
    pub(super) repairs: Vec<(ShardId, Result<(), Refusal>)>,
    pub(super) events: u64,
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) streams: BTreeMap<StreamId, Stream>,
    pub(super) made: u64,
    pub(super) record: Option<(u64, Vec<u8>)>,
    pub(super) machines: BTreeMap<NodeId, Machine>,
    pub(super) tickets: u64,
    /// Sent to nodes that are none of these machines.
    pub(super) elsewhere: Vec<(NodeId, Vec<u8>)>,
    /// Machines that are cut off with a leader of all streams, and what that goes on telling of them.
    pub(super) cut: BTreeMap<NodeId, BTreeMap<StreamId, StreamOutcome>>,
    /// Of those the ones that hear the other nodes, and get from that leader what it has.
    pub(super) is_led: BTreeSet<NodeId>,
    /// Messages from the first to the second that are lost, but for those to all.
    pub(super) loses: Option<(NodeId, NodeId)>,
}

impl World {
    pub(super) fn new(nodes: u64) -> Self {
        let mut world = Self {
            now: Moment { elapsed_ms: 1_000_000, wall_ms: NOW },
            streams: BTreeMap::new(),
            made: 0,
            record: None,
            machines: BTreeMap::new(),
            tickets: 0,
            elsewhere: Vec::new(),
            cut: BTreeMap::new(),
            is_led: BTreeSet::new(),
            loses: None,
        };
        (1..=nodes).for_each(|node| world.add(node));
        world
    }

    pub(super) fn add(&mut self, node: u64) {
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
            repairs: Vec::new(),
            events: 0,
        };
        self.machines.insert(NodeId(node), machine);
        self.start(node);
    }

    /// Adds a node that owns nothing, and asks.
    pub(super) fn add_onlooker(&mut self, node: u64) {
        self.add(node);
        self.crash(node);
        self.machine(node).settings.stores = false;
        self.start(node);
    }

    pub(super) fn start(&mut self, node: u64) {
        let machine = self.machines.get_mut(&NodeId(node)).unwrap();
        machine.settings.random += 1_000;
        machine.node = Some(Node::new(machine.settings.clone()));
        machine.inbox.extend(machine.disk.note.clone().map(|note| Event::Disk(DiskPart::Note(note))));
        for (shard, (snapshot, records)) in &machine.disk.shards {
            let snapshot =
                snapshot.as_ref().map(|bytes| Event::Disk(DiskPart::Snapshot(*shard, bytes.to_vec())));
            machine.inbox.extend(snapshot);
            let records = if machine.disk.is_unread_at_start { Vec::new() } else { records.clone() };
            machine.inbox.push_back(Event::Disk(DiskPart::Records(*shard, records)));
        }
        machine.inbox.extend(machine.disk.rests.keys().map(|shard| Event::Disk(DiskPart::Rest(*shard))));
        machine.inbox.push_back(Event::Disk(DiskPart::End));
        self.settle();
    }

    pub(super) fn crash(&mut self, node: u64) {
        let machine = self.machines.get_mut(&NodeId(node)).unwrap();
        machine.node = None;
        machine.subscriptions.clear();
        machine.inbox.clear();
        machine.wake_ms = u64::MAX;
    }

    pub(super) fn lose_disk(&mut self, node: u64) {
        self.crash(node);
        self.machine(node).disk = Disk::default();
    }

    pub(super) fn machine(&mut self, node: u64) -> &mut Machine {
        self.machines.get_mut(&NodeId(node)).unwrap()
    }

    pub(super) fn node(&self, node: u64) -> &Node<Places> {
        self.machines[&NodeId(node)].node.as_ref().unwrap()
    }

    pub(super) fn tell(&mut self, node: u64, event: Event) {
        self.machine(node).inbox.push_back(event);
        self.settle();
    }

    /// Lets all be done that can be done now.
    pub(super) fn settle(&mut self) {
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

    pub(super) fn deliver(&mut self) {
        for (id, machine) in &mut self.machines {
            let told = self.cut.get(id);
            if told.is_some() && !self.is_led.contains(id) {
                continue;
            }
            for (subscription, (stream, next)) in &mut machine.subscriptions {
                let Some(own) = self.streams.get(stream) else { continue };
                let last = match told.and_then(|told| told.get(stream)) {
                    Some(StreamOutcome::Is(info)) => info.last,
                    _ => own.last(),
                };
                *next = (*next).max(own.first);
                while let Some(record) =
                    own.messages.get(*next as usize - 1).filter(|own| own.sequence <= last)
                {
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

    pub(super) fn pass(&mut self, ms: u64) {
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

    pub(super) fn pass_until(&mut self, what: &str, within_ms: u64, is_so: impl Fn(&Self) -> bool) {
        let end_ms = self.now.elapsed_ms + within_ms;
        while !is_so(self) {
            assert!(self.now.elapsed_ms < end_ms, "not within {within_ms} ms: {what}");
            self.pass(100);
        }
    }

    pub(super) fn info(&self, stream: StreamId) -> StreamOutcome {
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

    pub(super) fn make(&mut self, stream: StreamId) {
        let made = &mut self.made;
        self.streams.entry(stream).or_insert_with(|| {
            *made += 1;
            Stream { incarnation: *made, first: 1, ..Stream::default() }
        });
    }

    pub(super) fn publish(
        &mut self,
        stream: StreamId,
        id: Option<String>,
        bytes: Arc<[u8]>,
    ) -> PublishOutcome {
        let Some(own) = self.streams.get_mut(&stream) else { return PublishOutcome::Absent };
        if let Some(sequence) = id.as_ref().and_then(|id| own.ids.get(id)) {
            return PublishOutcome::Stored { sequence: *sequence, duplicate: true };
        }
        let sequence = own.last() + 1;
        own.messages.push(LogRecord { sequence, time_ms: self.now.wall_ms, bytes });
        own.ids.extend(id.map(|id| (id, sequence)));
        PublishOutcome::Stored { sequence, duplicate: false }
    }

    /// Cuts a machine off from all others, with a broker that led all streams.
    pub(super) fn cut(&mut self, node: u64) {
        let told = self.streams.keys().map(|stream| (*stream, self.info(*stream))).collect();
        self.cut.insert(NodeId(node), told);
    }

    /// True for a machine that no other reaches.
    fn is_alone(&self, node: NodeId) -> bool {
        self.cut.contains_key(&node) && !self.is_led.contains(&node)
    }

    /// What comes of a command where a machine is cut off: of its own disk all, of others nothing.
    fn carry_out_cut(&mut self, me: NodeId, command: Command) {
        let now = self.now;
        let answer = match command {
            Command::Publish { publish, .. } => Some(Event::Published(publish, PublishOutcome::NoAnswer)),
            Command::ReadStream { read, stream } | Command::MakeStream { read, stream } => {
                let told = self.cut[&me].get(&stream).copied();
                Some(Event::StreamRead(read, told.unwrap_or(StreamOutcome::NoAnswer)))
            }
            Command::ReadRecord(key) => Some(Event::RecordRead(key, RecordOutcome::NoAnswer)),
            Command::WriteRecord { key, .. } => Some(Event::RecordWritten(key, WriteOutcome::NoAnswer)),
            Command::Send { .. }
            | Command::SendAll { .. }
            | Command::Purge { .. }
            | Command::DropStream(_) => None,
            own => self.machines.get_mut(&me).unwrap().carry_out(own, now),
        };
        self.machines.get_mut(&me).unwrap().inbox.extend(answer);
    }

    pub(super) fn carry_out(&mut self, me: NodeId, command: Command) {
        let is_message = matches!(command, Command::Send { .. } | Command::SendAll { .. });
        if self.cut.contains_key(&me) && (self.is_alone(me) || !is_message) {
            return self.carry_out_cut(me, command);
        }
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
            Command::Send { to, .. } if self.is_alone(to) || self.loses == Some((me, to)) => None,
            Command::Send { to, bytes } => {
                if let Some(other) = self.machines.get_mut(&to).filter(|other| other.node.is_some()) {
                    other.inbox.push_back(Event::Received { from: me, bytes });
                }
                None
            }
            Command::SendAll { bytes } => {
                let (cut, is_led) = (&self.cut, &self.is_led);
                let is_there = |id: &NodeId| *id != me && (!cut.contains_key(id) || is_led.contains(id));
                for (_, other) in
                    self.machines.iter_mut().filter(|(id, other)| is_there(id) && other.node.is_some())
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
    pub(super) fn submit(&mut self, node: u64, vehicles: impl Iterator<Item = u32>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let arrival_ms = self.now.wall_ms;
        let changes = vehicles.map(|vehicle| report(&format!("bus-{vehicle}"), arrival_ms)).collect();
        self.tell(node, Event::Submitted { ticket, changes });
        ticket
    }

    /// Lets a reporter bring a report of each of these vehicles, and looks that all are stored within a second.
    pub(super) fn store(&mut self, node: u64, vehicles: std::ops::Range<u32>) {
        let count = vehicles.len();
        let ticket = self.submit(node, vehicles);
        self.pass(1_000);
        assert_eq!(self.fates(node, ticket), Some(&vec![Fate::Stored; count]));
    }

    pub(super) fn fates(&self, node: u64, ticket: Ticket) -> Option<&Vec<Fate>> {
        self.machines[&NodeId(node)].settled.get(&ticket)
    }

    pub(super) fn is_caught_up(&self, nodes: &[u64]) -> bool {
        nodes.iter().all(|node| {
            let views = self.node(*node).shards();
            views.len() == usize::from(SHARDS) && views.iter().all(|view| view.stage == Stage::CaughtUp)
        })
    }

    /// All replicas have the same content, and it has so many vehicles.
    pub(super) fn assert_equal(&self, vehicles: usize) {
        let mut sum = 0;
        for shard in (0..SHARDS).map(ShardId) {
            let states = self.machines.values().filter_map(|own| own.node.as_ref()?.state(shard));
            let states: Vec<&Places> = states.collect();
            assert!(states.iter().all(|state| *state == states[0]), "{shard:?}: {states:?}");
            sum += states[0].len();
        }
        assert_eq!(sum, vehicles);
    }

    pub(super) fn has_told(&self, node: u64, happened: Happened) -> bool {
        self.machines[&NodeId(node)].told.contains(&happened)
    }

    /// All shards have these full owners and no others.
    pub(super) fn is_owned(&self, by: &[u64]) -> bool {
        let full: Vec<(NodeId, bool)> = by.iter().map(|node| (NodeId(*node), true)).collect();
        (0..SHARDS)
            .all(|shard| self.node(by[0]).owners(ShardId(shard)).is_some_and(|(_, owners)| owners == full))
    }

    /// A data set of one node or two, which own all of it.
    pub(super) fn begun(nodes: u64) -> Self {
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
    pub(super) fn carry_out(&mut self, command: Command, now: Moment) -> Option<Event> {
        match command {
            Command::Subscribe { subscription, stream, from } => {
                self.subscriptions.insert(subscription, (stream, from));
            }
            Command::Unsubscribe(subscription) => {
                self.subscriptions.remove(&subscription);
            }
            Command::WriteLog { .. } if self.disk.is_unread_at_start => {}
            Command::SyncLog(shard) if self.disk.is_unread_at_start => {
                return Some(Event::LogFailed { shard, from: 1, fault: DiskFault::Broken });
            }
            Command::WriteLog { .. } if self.disk.is_full => {}
            Command::SyncLog(shard) if self.disk.is_full => {
                let log = &self.disk.shards.entry(shard).or_default().1;
                let from = log.last().map_or(0, |last| last.sequence) + 1;
                return Some(Event::LogFailed { shard, from, fault: DiskFault::Full });
            }
            Command::WriteLog { shard, records } => {
                let log = &mut self.disk.shards.entry(shard).or_default().1;
                assert!(log.last().is_none_or(|last| last.sequence < records[0].sequence));
                log.extend(records);
            }
            Command::SyncLog(_) if self.disk.is_stuck => {}
            Command::SyncLog(shard) => {
                let log = &self.disk.shards.entry(shard).or_default().1;
                let through = log.last().map_or(0, |last| last.sequence);
                return Some(Event::LogSynced { shard, through });
            }
            Command::TrimLog { shard, through } => {
                self.disk.shards.entry(shard).or_default().1.retain(|record| record.sequence > through);
            }
            Command::ReadLog { .. } | Command::InstallSnapshot { .. } if self.disk.is_slow => {}
            Command::ReadLog { read, shard, from, .. } => {
                let log = &self.disk.shards.entry(shard).or_default().1;
                let sound = log.get(2).map(|record| record.sequence).filter(|_| self.disk.is_damaged);
                let records: Vec<LogRecord> =
                    log.iter().filter(|record| record.sequence >= from).take(3).cloned().collect();
                let outcome = match records.is_empty() {
                    _ if self.disk.is_unread => LogOutcome::Fault,
                    _ if sound.is_some_and(|sound| from < sound) => {
                        LogOutcome::Damaged { next: sound.unwrap_or(from) }
                    }
                    true => LogOutcome::End,
                    false => LogOutcome::Records(records),
                };
                return Some(Event::LogRead { shard, read, outcome });
            }
            Command::ReadRest { read, shard, from, .. } => {
                let rest = self.disk.rests.get(&shard).into_iter().flatten();
                let records: Vec<LogRecord> = rest.skip(from as usize).take(3).cloned().collect();
                let outcome = match records.is_empty() {
                    _ if self.disk.is_unread => LogOutcome::Fault,
                    true => LogOutcome::End,
                    false => LogOutcome::Records(records),
                };
                return Some(Event::LogRead { shard, read, outcome });
            }
            Command::DropRest(shard) => {
                self.disk.rests.remove(&shard);
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
            Command::RepairEnded { shard, result } => self.repairs.push((shard, result)),
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
