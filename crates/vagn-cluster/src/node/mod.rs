//! A node: all parts put together.
//!
//! | file | holds |
//! |---|---|
//! | here | events to parts, time, heartbeats |
//! | `talk.rs` | messages of other nodes, questions |
//! | `keeper.rs`, `plan.rs` | the record of assignment, and what this node wants changed in it |
//! | `part/` | its part in one shard: following, obeying the record, serving others |
//! | `mirror.rs`, `mirrors.rs` | shards that it does not own, in memory |
//! | `show.rs` | what it shows of itself |
//! | `door.rs` | changes of its own reporters |
//! | `repair.rs` | a new epoch |
//! | `resubmit.rs`, `lack.rs` | what only this node's log has, before it is let go, or behind a part that is damaged |

mod door;
mod keeper;
mod lack;
mod mirror;
mod mirrors;
mod part;
mod plan;
mod repair;
mod resubmit;
mod show;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::assignment::{Assignment, Role};
use crate::command::Command;
use crate::event::{DiskPart, Event};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, ShardId};
use crate::membership::{BEAT_MS, Heartbeat, Membership};
use crate::message::Message;
use crate::numbers::Numbers;
use crate::scatter::Scatter;
use crate::settings::Settings;
use crate::state::ShardState;

use door::{Desk, Door};
use keeper::{Context, Keeper};
use mirror::Mirror;
use part::{Bench, Facts, Part};
use plan::{Own, View, plan, progress};
use repair::{PassedOn, Repair};

/// Time between plans.
const PLAN_MS: u64 = 300;

/// Longest time for which mirrors stay without being asked for again.
const MIRRORS_MAX_MS: u64 = 60_000;

/// Time for which a record that was read counts as what the brokers have.
const CONFIRMED_MS: u64 = 5_000;

/// A machine of the cluster.
#[derive(Debug)]
pub struct Node<S> {
    settings: Settings,
    numbers: Numbers,
    /// Moment at which all of the disk was told.
    started_ms: Option<u64>,
    keeper: Keeper,
    members: Membership,
    parts: BTreeMap<ShardId, Part<S>>,
    /// Shards that are not owned here, while somebody asks for them.
    mirrors: BTreeMap<ShardId, Mirror<S>>,
    mirrors_until_ms: u64,
    door: Door,
    scatter: Scatter,
    repairs: Vec<Repair>,
    passed_on: BTreeMap<ShardId, PassedOn>,
    leaves: bool,
    /// It said farewell.
    stops: bool,
    beat_at_ms: u64,
    plan_at_ms: u64,
    /// Everything is to be looked at now.
    hurries: bool,
    /// Moment of the last event.
    now: Moment,
    due_ms: u64,
    woken_at_ms: Option<u64>,
    mail: Vec<(NodeId, Message)>,
}

impl<S: ShardState> Node<S> {
    /// Makes a node that knows nothing yet: its first events tell what is on disk.
    pub fn new(settings: Settings) -> Self {
        Self {
            numbers: Numbers::new(settings.random),
            started_ms: None,
            keeper: Keeper::new(),
            members: Membership::default(),
            parts: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            mirrors_until_ms: 0,
            door: Door::new(settings.node),
            scatter: Scatter::default(),
            repairs: Vec::new(),
            passed_on: BTreeMap::new(),
            leaves: false,
            stops: false,
            beat_at_ms: 0,
            plan_at_ms: 0,
            hurries: false,
            now: Moment::default(),
            due_ms: u64::MAX,
            woken_at_ms: None,
            mail: Vec::new(),
            settings,
        }
    }

    /// Takes in what happened, and appends what is to be done to `out`.
    pub fn handle(&mut self, now: Moment, event: Event, out: &mut Vec<Command>) {
        self.now = now;
        match event {
            Event::Disk(part) => self.restore(part, now, out),
            // A driver that tells of more before the disk is told gets no answers.
            _ if self.started_ms.is_none() => return,
            other => self.take(other, now, out),
        }
        self.deliver_mail(now, out);
        if self.hurries || now.elapsed_ms >= self.due_ms {
            self.hurries = false;
            self.run(now, out);
            self.deliver_mail(now, out);
        }
        self.set_timer(now, out);
    }

    fn restore(&mut self, part: DiskPart, now: Moment, out: &mut Vec<Command>) {
        match part {
            DiskPart::Note(bytes) => self.keeper.restore(&bytes),
            DiskPart::Snapshot(shard, bytes) => {
                let (part, mut bench) = self.part(shard, now, out);
                part.restore_snapshot(&bytes, &mut bench);
            }
            DiskPart::Records(shard, records) => {
                let (part, mut bench) = self.part(shard, now, out);
                part.restore_records(&records, &mut bench);
            }
            DiskPart::Rest(shard) => self.part(shard, now, out).0.restore_rest(),
            DiskPart::End => {
                let Self { settings, keeper, parts, .. } = self;
                let has = |shard: ShardId, data_set, epoch| {
                    parts.get(&shard).is_some_and(|part| part.has_of(data_set, epoch))
                };
                keeper.own_copied(settings.node, has);
                let shards: Vec<ShardId> = self.parts.keys().copied().collect();
                for shard in shards {
                    let (part, mut bench) = self.part(shard, now, out);
                    part.restored(&mut bench);
                }
                (self.started_ms, self.hurries) = (Some(now.elapsed_ms), true);
            }
        }
    }

    fn take(&mut self, event: Event, now: Moment, out: &mut Vec<Command>) {
        match event {
            Event::Disk(_) => {}
            Event::Delivered(message) => {
                self.each_part(now, out, |part, bench| part.delivered(&message, bench));
                self.each_mirror(now, out, |mirror, bench| mirror.delivered(&message, bench));
            }
            Event::SubscriptionEnded(subscription) => {
                self.each_part(now, out, |part, _| {
                    part.ended(subscription);
                });
                self.each_mirror(now, out, |mirror, _| {
                    mirror.ended(subscription);
                });
            }
            Event::Published(publish, outcome) => {
                let (door, mut desk) = self.door(now, out);
                if door.published(publish, outcome, &mut desk) {
                    self.run_door(now, out);
                } else {
                    self.each_part(now, out, |part, bench| {
                        part.published(publish, outcome, bench);
                    });
                }
            }
            Event::StreamRead(read, outcome) => self.stream_read(read, outcome, now, out),
            Event::RecordRead(_, outcome) => {
                let (keeper, context) = self.keeper(now);
                self.hurries = keeper.read(outcome, context, out);
            }
            Event::RecordWritten(_, outcome) => self.hurries = self.keeper.written(outcome, now, out),
            Event::Received { from, bytes } => {
                // Damaged, or of another version: whoever sent it does without. Of a process under this node's name only the heartbeat counts.
                if let Ok(message) = Message::read(&bytes)
                    && (from != self.settings.node || matches!(message, Message::Heartbeat(_)))
                {
                    self.receive(from, message, now, out);
                }
            }
            Event::LogSynced { shard, through } => {
                self.with_part(shard, now, out, |part, bench| part.log_synced(through, bench));
            }
            Event::LogFailed { shard, from, fault } => {
                self.with_part(shard, now, out, |part, bench| part.log_failed(from, fault, bench));
            }
            Event::LogRead { shard, read, outcome } => {
                self.with_part(shard, now, out, |part, bench| part.log_read(read, outcome, bench));
                self.hurries = true;
            }
            Event::SnapshotSaved { shard, sequence, result } => {
                self.with_part(shard, now, out, |part, bench| part.snapshot_saved(sequence, result, bench));
                self.hurries = true;
            }
            Event::Submitted { ticket, changes } => {
                let shards = self.keeper.known().map(Assignment::len);
                let (door, desk) = self.door(now, out);
                let unanswered = door.submit(ticket, changes, shards, desk);
                self.ask_owners(&unanswered);
            }
            Event::Asked { query, shards, question, within_ms } => {
                self.ask(query, shards, question, within_ms, now, out);
            }
            Event::RepairAsked(shard) => self.repair(shard, self.settings.node, now, out),
            Event::LeaveAsked => (self.leaves, self.hurries) = (true, true),
            Event::StopAsked => {
                self.stops = true;
                out.push(Command::SendAll { bytes: Message::Farewell { run: self.settings.random }.write() });
            }
            Event::MirrorAsked { for_ms } => {
                self.mirrors_until_ms = now.elapsed_ms + for_ms.min(MIRRORS_MAX_MS);
                self.hurries = true;
            }
            Event::Woken => self.woken_at_ms = None,
        }
    }

    /// Does all that is due.
    fn run(&mut self, now: Moment, out: &mut Vec<Command>) {
        let Some(started_ms) = self.started_ms else { return };
        let mut told = Vec::new();
        self.members.pass(now, &mut told);
        out.extend(told.into_iter().map(Command::Tell));
        self.beat(now, out);
        self.keeper.run(now, out);
        self.run_parts(now, out);
        self.run_mirrors(now, out);
        self.run_repairs(now, out);
        if now.elapsed_ms >= self.plan_at_ms && self.keeper.may_change() {
            self.plan_at_ms = now.elapsed_ms + PLAN_MS;
            self.plan(now, now.elapsed_ms - started_ms, out);
        }
        self.run_door(now, out);
        self.scatter.run(now, out);
        self.ask_again(now, out);
    }

    fn beat(&mut self, now: Moment, out: &mut Vec<Command>) {
        if now.elapsed_ms < self.beat_at_ms {
            return;
        }
        self.beat_at_ms = now.elapsed_ms + BEAT_MS;
        if self.stops {
            return;
        }
        let beat = Heartbeat {
            run: self.settings.random,
            name: self.settings.name.clone(),
            zone: self.settings.zone.clone(),
            version: self.settings.version,
            settings_hash: self.settings.settings_hash,
            stores: self.settings.stores,
            leaves: self.leaves,
            assignment: self.keeper.version(),
            shards: self.parts.values().filter_map(|part| part.holding(now)).collect(),
            later: Vec::new(),
        };
        out.push(Command::SendAll { bytes: Message::Heartbeat(beat).write() });
    }

    fn run_parts(&mut self, now: Moment, out: &mut Vec<Command>) {
        let Self { settings, numbers, keeper, members, parts, mail, .. } = self;
        let Some(known) = keeper.known() else { return };
        for (shard, place) in known.iter() {
            if place.role(settings.node) == Role::None && !parts.contains_key(&shard) {
                continue;
            }
            let part = parts.entry(shard).or_insert_with(|| Part::new(shard));
            let around = Around { known, members, settings, is_confirmed: is_confirmed(keeper, now), now };
            let Some(facts) = around.facts(shard, part.own(now)) else { continue };
            part.run(&facts, &mut Bench { settings, now, numbers, out, mail });
            if part.is_over() {
                parts.remove(&shard);
            }
        }
    }

    fn plan(&mut self, now: Moment, up_ms: u64, out: &mut Vec<Command>) {
        let Some(known) = self.keeper.known() else { return };
        let own = |shard: ShardId| -> Option<Own> { self.parts.get(&shard).and_then(|part| part.own(now)) };
        let view = View {
            settings: &self.settings,
            members: &self.members,
            now,
            up_ms,
            leaves: self.leaves,
            own: &own,
            is_foreign: &|shard| self.parts.get(&shard).is_some_and(Part::is_foreign),
        };
        if let Some(plan) = plan(known, &view) {
            self.keeper.change(plan, out);
        }
    }

    fn run_door(&mut self, now: Moment, out: &mut Vec<Command>) {
        let (door, mut desk) = self.door(now, out);
        let unanswered = door.run(&mut desk);
        self.ask_owners(&unanswered);
    }

    /// Asks all owners for fates that did not come.
    fn ask_owners(&mut self, unanswered: &[crate::flight::Unanswered]) {
        for crate::flight::Unanswered { batch, stream, sequence } in unanswered.iter().copied() {
            let place = self.keeper.known().and_then(|known| known.shard(stream.shard));
            let owners = place.into_iter().flat_map(|place| place.full());
            self.mail.extend(owners.map(|node| (node, Message::Unanswered { batch, stream, sequence })));
        }
    }

    /// Sends what parts wrote; what is for this node it takes itself.
    fn deliver_mail(&mut self, now: Moment, out: &mut Vec<Command>) {
        while !self.mail.is_empty() {
            for (to, message) in std::mem::take(&mut self.mail) {
                if to == self.settings.node {
                    self.receive(to, message, now, out);
                } else if !self.members.understands(to, message.since()) {
                    // It would drop it as damaged. Who waits for an answer goes on as if it had been lost on the way.
                    out.push(Command::Tell(Happened::NotUnderstood(to)));
                } else {
                    out.push(Command::Send { to, bytes: message.write() });
                }
            }
        }
    }

    /// Asks to be woken when something is due.
    fn set_timer(&mut self, now: Moment, out: &mut Vec<Command>) {
        if self.started_ms.is_none() {
            return;
        }
        let plan = self.keeper.may_change().then_some(self.plan_at_ms);
        // What is beyond the record is not run.
        let known = self.keeper.known();
        let run = |shard: ShardId| known.is_some_and(|known| known.shard(shard).is_some());
        let parts = self.parts.iter().filter(|(shard, _)| run(**shard));
        let parts = parts.filter_map(|(_, part)| part.due_ms(now)).min();
        let repairs = (!self.repairs.is_empty()).then_some(now.elapsed_ms + PLAN_MS);
        let mirrors = self.mirrors.values().filter_map(Mirror::due_ms).min();
        let mirrors_end = (!self.mirrors.is_empty()).then_some(self.mirrors_until_ms);
        let dues = [
            self.keeper.due_ms(),
            plan,
            parts,
            self.door.due_ms(known),
            self.scatter.due_ms(),
            repairs,
            self.passed_on.values().map(PassedOn::until_ms).min(),
            mirrors,
            mirrors_end,
        ];
        self.due_ms = dues.into_iter().flatten().fold(self.beat_at_ms, u64::min);
        let elapsed_ms = self.due_ms.max(now.elapsed_ms + 1);
        if self.woken_at_ms != Some(elapsed_ms) {
            self.woken_at_ms = Some(elapsed_ms);
            out.push(Command::WakeAt { elapsed_ms });
        }
    }

    fn part<'a>(
        &'a mut self,
        shard: ShardId,
        now: Moment,
        out: &'a mut Vec<Command>,
    ) -> (&'a mut Part<S>, Bench<'a>) {
        let Self { settings, numbers, parts, mail, .. } = self;
        let part = parts.entry(shard).or_insert_with(|| Part::new(shard));
        (part, Bench { settings, now, numbers, out, mail })
    }

    fn with_part(
        &mut self,
        shard: ShardId,
        now: Moment,
        out: &mut Vec<Command>,
        deed: impl FnOnce(&mut Part<S>, &mut Bench<'_>),
    ) {
        if self.parts.contains_key(&shard) {
            let (part, mut bench) = self.part(shard, now, out);
            deed(part, &mut bench);
        }
    }

    fn each_part(
        &mut self,
        now: Moment,
        out: &mut Vec<Command>,
        mut deed: impl FnMut(&mut Part<S>, &mut Bench<'_>),
    ) {
        let Self { settings, numbers, parts, mail, .. } = self;
        let mut bench = Bench { settings, now, numbers, out, mail };
        for part in parts.values_mut() {
            deed(part, &mut bench);
        }
    }

    fn keeper(&mut self, now: Moment) -> (&mut Keeper, Context<'_>) {
        let anybody_holds = !self.parts.is_empty() || self.members.anybody_holds();
        let heard_version = self.members.assignment();
        let Self { settings, numbers, keeper, .. } = self;
        (keeper, Context { settings, now, numbers, heard_version, anybody_holds })
    }

    /// Returns the door and what it works with.
    fn door<'a>(&'a mut self, now: Moment, out: &'a mut Vec<Command>) -> (&'a mut Door, Desk<'a>) {
        let Self { keeper, door, numbers, .. } = self;
        (door, Desk { now, streams: keeper.known(), numbers, out })
    }
}

/// What parts are told of the others.
struct Around<'a> {
    known: &'a Assignment,
    members: &'a Membership,
    settings: &'a Settings,
    is_confirmed: bool,
    now: Moment,
}

impl<'a> Around<'a> {
    fn facts(&self, shard: ShardId, own: Option<Own>) -> Option<Facts<'a>> {
        let place = self.known.shard(shard)?;
        let me = self.settings.node;
        let heard = place.full_but(me).filter(|node| self.members.is_heard(*node, self.now));
        Some(Facts {
            place,
            settings: &self.known.settings,
            data_set: self.known.data_set,
            is_confirmed: self.is_confirmed,
            sources: heard.collect(),
            progress: progress(shard, place, me, own, (self.members, self.now)),
        })
    }
}

fn is_confirmed(keeper: &Keeper, now: Moment) -> bool {
    keeper.confirmed_ms().is_some_and(|confirmed_ms| now.elapsed_ms < confirmed_ms + CONFIRMED_MS)
}
