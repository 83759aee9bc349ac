//! Strikes: carries out blows, and ends them.

use vagn_cluster::{Event, RecordKey, ShardId, Stage, StreamId, SubscriptionId};

use crate::agenda::{MILLI, SECOND};
use crate::blow::Blow;
use crate::brokers::BROKERS;
use crate::network::{MachineId, Network, Weather};
use crate::world::{Due, World};

/// Time for which one owner is kept from the brokers before what the others get is lost.
const FORKED: u64 = 1_500 * MILLI;

/// Time between two processes that start after all had ended.
const STAGGER: u64 = 90 * MILLI;

impl World {
    /// Carries out a strike of the plan.
    pub(crate) fn strike(&mut self, number: usize) {
        let (now, blow) = (self.now(), self.plan.strikes[number].blow);
        if self.calm {
            return;
        }
        self.trace.line(now, || format!("* {blow:?}"));
        match blow {
            Blow::Crash { machine, power, away } => self.take_down(machine, power, away),
            Blow::CrashAll { away } => self.take_all_down(away),
            Blow::Blackout { away, lost } => self.black_out(away, lost),
            Blow::Freeze { machine, away } => self.freeze(machine, away),
            Blow::Apart { machine, away } => self.part(machine, away),
            Blow::ApartWithLeader { machine, broker, away } => {
                let told = self.brokers.led_by(broker);
                self.brokers.take_away(broker, now, now + away);
                self.part(machine, away);
                self.machines[machine].lone_leader = told;
            }
            Blow::ApartFromBrokers { machine, away } => self.part_from_brokers(machine, away),
            Blow::ApartPair { one, other, away } => self.network.part(one, other, now + away),
            Blow::BrokerAway { broker, away } => self.brokers.take_away(broker, now, now + away),
            Blow::BrokersAway { away } => self.kill_brokers(away),
            Blow::Hold { away } => self.held_until = now + away,
            Blow::TailLost { shard, lost } => self.lose_tail(shard, lost),
            Blow::Fork { shard, away } => drop(self.fork(shard, away)),
            Blow::LoneTail { shard, away } => self.strand(shard, away),
            Blow::StreamAnew { shard } => {
                self.harm(shard, |brokers, stream, now| brokers.make_anew(stream, now))
            }
            Blow::StreamGone { shard } => {
                self.harm(shard, |brokers, stream, now| brokers.delete(stream, now))
            }
            Blow::RecordLost => {
                self.brokers.lose_record(RecordKey::Assignment, now);
                self.reached.note("record lost");
            }
            disk_or_clock => self.strike_machine(number, disk_or_clock),
        }
    }

    fn strike_machine(&mut self, number: usize, blow: Blow) {
        let now = self.now();
        match blow {
            Blow::DiskLost { machine, away } => self.lose_disk(number, machine, away),
            Blow::DiskFull { machine, away } => {
                self.machines[machine].disk.full = true;
                self.agenda.after(away, Due::Room(machine));
            }
            Blow::DiskSlow { machine, away } => self.machines[machine].slow_until = now + away,
            Blow::SyncFails { machine } => self.machines[machine].sync_fails = true,
            Blow::Clock { machine, ms } => {
                self.machines[machine].clock_ms += ms;
                self.reached.note("clock jumped");
            }
            Blow::BrokerClock { broker, ms } => self.brokers.set_clock(broker, ms),
            Blow::Leave { machine, away } if self.machines[machine].works() => {
                self.handle(machine, Event::LeaveAsked);
                self.agenda.after(away, Due::Restart(machine));
            }
            Blow::Quiet { machine } => {
                let consumers = self.machines[machine].consumers.values_mut();
                consumers.for_each(|consumer| consumer.silent = true);
                self.reached.note("consumer that died silently");
            }
            _ => {}
        }
    }

    pub(crate) fn take_down(&mut self, machine: MachineId, power: bool, away: u64) {
        if self.machines[machine].node.is_some() {
            self.crash(machine, power);
            self.agenda.after(away, Due::Start(machine));
        }
    }

    fn take_all_down(&mut self, away: u64) {
        for machine in 0..self.machines.len() {
            self.take_down(machine, true, away + machine as u64 * STAGGER);
        }
    }

    fn black_out(&mut self, away: u64, lost: u64) {
        self.take_all_down(away);
        self.take_brokers_away(away);
        for shard in 0..self.plan.shards {
            self.lose_tail(ShardId(shard), lost);
        }
        self.reached.note("blackout");
    }

    fn freeze(&mut self, id: MachineId, away: u64) {
        let machine = &mut self.machines[id];
        if machine.works() {
            machine.frozen = true;
            self.agenda.after(away, Due::Thaw(id));
            self.reached.note("process stopped");
        }
    }

    fn part(&mut self, machine: MachineId, away: u64) {
        let until = self.now() + away;
        for other in (0..self.machines.len()).filter(|other| *other != machine) {
            self.network.part(machine, other, until);
        }
        self.part_from_brokers(machine, away);
    }

    pub(crate) fn part_from_brokers(&mut self, machine: MachineId, away: u64) {
        self.network.part_from_brokers(machine, self.now() + away);
        self.machines[machine].lone_leader.clear();
        let consumers: Vec<SubscriptionId> = self.machines[machine].consumers.keys().copied().collect();
        for subscription in consumers {
            // Some connections outlive it, and have lost what came meanwhile.
            if self.chance.often(7_000) {
                self.lose_consumer(machine, subscription);
            }
        }
        self.agenda.after(away, Due::Rejoin(machine));
    }

    pub(crate) fn rejoin(&mut self, machine: MachineId) {
        self.machines[machine].hindered_at = self.now();
    }

    fn take_brokers_away(&mut self, away: u64) {
        let now = self.now();
        (0..BROKERS).for_each(|broker| self.brokers.take_away(broker, now, now + away));
    }

    fn kill_brokers(&mut self, away: u64) {
        self.take_brokers_away(away);
        let now = self.now();
        for id in 0..self.machines.len() {
            if self.chance.often(5_000) {
                self.machines[id].cut_at = now;
            }
            let consumers: Vec<SubscriptionId> = self.machines[id].consumers.keys().copied().collect();
            consumers.into_iter().for_each(|subscription| self.lose_consumer(id, subscription));
        }
    }

    /// Returns the stream of a shard's newest epoch.
    pub(crate) fn newest(&self, shard: ShardId) -> Option<StreamId> {
        self.brokers.streams().map(|(id, _)| id).filter(|id| id.shard == shard).max()
    }

    fn harm(&mut self, shard: ShardId, harm: fn(&mut crate::brokers::Brokers, StreamId, u64) -> bool) {
        let now = self.now();
        if let Some(stream) = self.newest(shard)
            && harm(&mut self.brokers, stream, now)
        {
            self.oracle.broken(stream, now);
        }
    }

    fn lose_tail(&mut self, shard: ShardId, lost: u64) {
        self.take_brokers_away(SECOND);
        let last = self.newest(shard).and_then(|stream| Some((stream, self.brokers.truth(stream)?.last())));
        if let Some((stream, last)) = last {
            self.lose_behind(stream, last.saturating_sub(lost));
        }
    }

    /// Lets the brokers lose all of a stream that is behind a sequence. Of its consumers some go back, and some wait.
    pub(crate) fn lose_behind(&mut self, stream: StreamId, sequence: u64) {
        let now = self.now();
        let Some(last) = self.brokers.truth(stream).map(|log| log.last()) else { return };
        if self.brokers.lose_tail(stream, last.saturating_sub(sequence), now) == 0 {
            return;
        }
        self.reached.note("tail lost");
        self.oracle.harmed(stream.shard, now);
        let last = self.brokers.truth(stream).map_or(0, |log| log.last());
        self.trace.line(now, || format!("* {stream:?} ends with {last}"));
        let consumers = self.machines.iter_mut().flat_map(|machine| machine.consumers.values_mut());
        for consumer in consumers.filter(|consumer| consumer.stream == stream && consumer.next > last + 1) {
            if self.chance.often(3_000) {
                consumer.next = last + 1;
            }
        }
    }

    /// Returns the machines that have all of a shard, and stand in the record for it as they know it.
    pub(crate) fn owners(&self, shard: ShardId) -> Vec<MachineId> {
        (0..self.machines.len()).filter(|id| self.owns(*id, shard)).collect()
    }

    fn owns(&self, id: MachineId, shard: ShardId) -> bool {
        let machine = &self.machines[id];
        let Some(node) = machine.node.as_ref().filter(|_| !machine.frozen) else { return false };
        let stands =
            node.owners(shard).is_some_and(|(_, owners)| owners.contains(&(machine.node_id(), true)));
        stands && node.shards().iter().any(|view| view.shard == shard && view.stage == Stage::CaughtUp)
    }

    /// Keeps one owner from the brokers, so that the other alone gets what they will lose.
    /// Returns who will have it, and after which time it is lost.
    fn fork(&mut self, shard: ShardId, away: u64) -> Option<(Vec<MachineId>, u64)> {
        let mut owners = self.owners(shard);
        let last = self.newest(shard).and_then(|stream| Some((stream, self.brokers.truth(stream)?.last())));
        let (Some((stream, last)), [_, _, ..]) = (last, &owners[..]) else { return None };
        let (blind, after) = (self.chance.pick(&owners), away * 7 / 10);
        self.part_from_brokers(blind, away);
        self.agenda.after(after, Due::LoseBehind(stream, last));
        self.reached.note("fork");
        owners.retain(|owner| *owner != blind);
        Some((owners, after))
    }

    /// Forks a stream, and takes down who has what will be lost.
    fn strand(&mut self, shard: ShardId, away: u64) {
        let Some((owners, after)) = self.fork(shard, FORKED) else { return };
        for machine in owners {
            self.agenda.after(after, Due::Down { machine, away });
        }
        self.reached.note("lone tail");
    }

    /// Takes a machine's disk away, once each of its shards has another owner.
    fn lose_disk(&mut self, number: usize, id: MachineId, away: u64) {
        let spared = (0..self.plan.shards).map(ShardId).any(|shard| {
            let other = self.owners(shard).into_iter().any(|owner| owner != id);
            !other || self.oracle.is_harmed(shard)
        });
        if spared {
            self.agenda.after(SECOND, Due::Strike(number));
            return;
        }
        self.crash(id, true);
        self.machines[id].disk.lose_all();
        self.agenda.after(away, Due::Start(id));
        self.reached.note("disk lost");
    }

    /// Cuts a machine that copies off from the others for a moment.
    pub(crate) fn cut_copy(&mut self, id: MachineId) {
        let copies = self.machines[id]
            .node
            .as_ref()
            .is_some_and(|node| node.shards().iter().any(|view| view.stage == Stage::Copying));
        if copies && !self.calm {
            // A copy goes on after a short silence, and is given up once its source is suspected.
            let short = self.chance.often(7_000);
            let away = self.chance.within(if short { 300..=2_300 } else { 3_500..=9_000 });
            let until = self.now() + away * MILLI;
            for other in (0..self.machines.len()).filter(|other| *other != id) {
                self.network.part(id, other, until);
            }
            self.reached.note("copy cut");
        }
    }

    /// Ends all blows.
    pub(crate) fn calm_down(&mut self) {
        let now = self.now();
        self.trace.line(now, || "* calm".to_owned());
        self.calm = true;
        self.held_until = now;
        let weather = Weather { lost: 0, twice: 0, late: 0, cut: 0, ..self.plan.weather };
        self.network = Network::new(weather);
        self.brokers.come_back(now);
        for id in 0..self.machines.len() {
            let machine = &mut self.machines[id];
            machine.disk.full = false;
            machine.slow_until = 0;
            machine.sync_fails = false;
            self.agenda.after(0, Due::Thaw(id));
            self.agenda.after(id as u64 * STAGGER, Due::Start(id));
        }
    }
}
