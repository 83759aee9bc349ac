//! People: senders, those who ask, and the one who looks after the cluster.

use vagn_cluster::{DiskFault, Event, QueryId, ShardId, Stage, Stop};

use crate::agenda::{MILLI, SECOND};
use crate::machine::Question;
use crate::network::MachineId;
use crate::world::{Due, World};

/// Time for which a shard has stopped before a person repairs it, and between two tries.
const REPAIR_AFTER: u64 = 3 * SECOND;

/// Time between two signs that somebody looks at the whole fleet, and how long each counts.
const WATCH: u64 = 5 * SECOND;
const WATCHED_MS: u64 = 12_000;

/// Of so many looks after the cluster one is a mistake: a person repairs a shard of which nothing is broken.
const MISTAKEN: u64 = 40;

/// See [`REPAIR_AFTER`].
const REPAIR_AGAIN: u64 = 10 * SECOND;

impl World {
    /// Lets a sender send a group. After the blows it only repeats what it must.
    pub(crate) fn send(&mut self, sender: usize) {
        let (now, gap) = (self.now(), self.plan.gap);
        let wait = self.chance.within(gap / 2..=gap * 3 / 2);
        self.agenda.after(wait, Due::Send(sender));
        if !self.calm {
            self.ledger.invent(&mut self.chance, &self.plan);
        }
        self.ledger.lose_patience(now);
        let first = self.chance.below(self.machines.len() as u64) as usize;
        let ring = (0..self.machines.len()).map(|step| (first + step) % self.machines.len());
        // A sender finds out at once that nobody listens, and goes elsewhere.
        let Some(machine) = ring.into_iter().find(|id| self.machines[*id].node.is_some()) else { return };
        let clock_ms = self.machines[machine].clock_ms;
        if let Some((ticket, changes)) = self.ledger.group(machine, now, clock_ms, &mut self.chance) {
            self.tell(machine, 0, Event::Submitted { ticket, changes });
        }
    }

    /// Lets somebody ask about the fleet.
    pub(crate) fn ask(&mut self) {
        let wait = self.chance.within(200 * MILLI..=900 * MILLI);
        self.agenda.after(wait, Due::Ask);
        let id = self.chance.below(self.machines.len() as u64) as MachineId;
        if !self.machines[id].works() {
            return;
        }
        let shards: Vec<ShardId> = (0..self.plan.shards).map(ShardId).collect();
        let some: Vec<ShardId> = shards.iter().copied().filter(|_| self.chance.often(5_000)).collect();
        let asked = if self.chance.often(6_000) { Vec::new() } else { some };
        let within_ms = self.chance.within(300..=2_000);
        self.put(id, asked, within_ms);
        // Whoever looks for what is wrong asks for that alone, and asks those who have stopped too.
        let stopped: Vec<(MachineId, ShardId)> = self.stopped_replicas();
        if !stopped.is_empty() {
            let (owner, shard) = stopped[self.questions as usize % stopped.len()];
            self.put(owner, vec![shard], 1_000);
        }
    }

    /// Puts a question to a machine: about these shards, or about all where there are none.
    fn put(&mut self, id: MachineId, asked: Vec<ShardId>, within_ms: u64) {
        let now = self.now();
        let shards = (0..self.plan.shards).map(ShardId).collect();
        self.questions += 1;
        let query = QueryId(self.questions);
        let until = now + within_ms * MILLI;
        let expected = if asked.is_empty() { shards } else { asked.clone() };
        self.machines[id].questions.insert(query, Question { at: now, until, shards: expected });
        self.handle(id, Event::Asked { query, shards: asked, question: vec![0], within_ms });
    }

    /// Lets somebody look at the whole fleet through the machine that is meant for it.
    pub(crate) fn watch(&mut self) {
        self.agenda.after(WATCH, Due::Watch);
        if let Some(machine) = self.plan.onlooker.filter(|id| self.machines[*id].works()) {
            self.handle(machine, Event::MirrorAsked { for_ms: WATCHED_MS });
        }
    }

    /// Lets a person look after the cluster: restarts machines whose disk failed, and repairs broken shards once all machines are there.
    pub(crate) fn operate(&mut self) {
        self.agenda.after(SECOND, Due::Operate);
        let now = self.now();
        let broken: Vec<MachineId> =
            (0..self.machines.len()).filter(|id| self.has_broken_disk(*id)).collect();
        for machine in broken {
            self.handle(machine, Event::StopAsked);
            self.crash(machine, false);
            self.agenda.after(SECOND, Due::Start(machine));
        }
        let all_there = self.machines.iter().all(|machine| {
            machine.works()
                && now > machine.hindered_at + SECOND
                && self.network.joins_brokers(machine.id, now)
        });
        for shard in (0..self.plan.shards).map(ShardId) {
            let stopped = self.broken_replicas(shard);
            if stopped.is_empty() {
                self.oracle.sound(shard);
                self.repair_by_mistake(shard);
            } else if self.oracle.is_to_repair(shard, now, REPAIR_AFTER, REPAIR_AGAIN)
                && all_there
                && self.brokers.stand(now)
            {
                let machine = self.chance.pick(&stopped);
                self.ask_for_repair(machine, shard);
                self.oracle.repair_asked(shard, now);
            }
        }
    }

    /// Lets a person repair a shard that has not stopped, now and then. Drawn apart from all else, so that each run stays what it was.
    fn repair_by_mistake(&mut self, shard: ShardId) {
        let drawn = vagn_cluster::fold(vagn_cluster::mix(self.plan.seed), self.now() + u64::from(shard.0));
        let machine = (drawn / MISTAKEN) as usize % self.machines.len();
        if drawn.is_multiple_of(MISTAKEN) && self.machines[machine].works() {
            self.ask_for_repair(machine, shard);
        }
    }

    fn stopped_replicas(&self) -> Vec<(MachineId, ShardId)> {
        let working = self.machines.iter().filter(|machine| machine.works());
        let views = working.flat_map(|machine| {
            let views = machine.node.iter().flat_map(|node| node.shards());
            views.map(|view| (machine.id, view))
        });
        let stopped = views.filter(|(_, view)| matches!(view.stage, Stage::Stopped(_)));
        stopped.map(|(id, view)| (id, view.shard)).collect()
    }

    fn has_broken_disk(&self, id: MachineId) -> bool {
        let machine = &self.machines[id];
        let stage = Stage::Stopped(Stop::Disk(DiskFault::Broken));
        machine.works()
            && machine.node.iter().any(|node| node.shards().iter().any(|view| view.stage == stage))
    }

    /// Returns the machines whose replica of a shard has stopped because of its stream, those that have most of it.
    fn broken_replicas(&self, shard: ShardId) -> Vec<MachineId> {
        let mut found: Vec<(u64, MachineId)> = Vec::new();
        for machine in self.machines.iter().filter(|machine| machine.works()) {
            for view in machine.node.iter().flat_map(|node| node.shards()) {
                if view.shard == shard && is_of_stream(view.stage) {
                    found.push((view.applied, machine.id));
                }
            }
        }
        let most = found.iter().map(|(applied, _)| *applied).max().unwrap_or(0);
        found.into_iter().filter(|(applied, _)| *applied == most).map(|(_, id)| id).collect()
    }

    pub(crate) fn restart(&mut self, machine: MachineId) {
        if self.machines[machine].works() && !self.calm {
            self.crash(machine, false);
            self.agenda.after(SECOND, Due::Start(machine));
        }
    }
}

fn is_of_stream(stage: Stage) -> bool {
    let stops =
        [Stop::StreamAnew, Stop::StreamBehind, Stop::StreamGone, Stop::HashDiffers, Stop::NextEntryPurged];
    matches!(stage, Stage::Stopped(stop) if stops.contains(&stop))
}
