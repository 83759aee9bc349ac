//! Carries out what a node asks for.

use vagn_cluster::{Command, DiskFault, Event, Happened, LogOutcome, LogRecord, NodeId, ReadId, ShardId};

use crate::agenda::{MILLI, SECOND};
use crate::machine::machine_of;
use crate::network::MachineId;
use crate::requests::Request;
use crate::stream::Offer;
use crate::world::{Due, World};

impl World {
    /// Carries out a command of a node.
    pub(crate) fn carry(&mut self, id: MachineId, command: Command) {
        match command {
            Command::Publish { publish, stream, message_id, expected_last, bytes } => {
                let offer = Offer { id: message_id, expected_last, bytes };
                self.request(id, Request::Publish(publish, stream, offer));
            }
            Command::ReadStream { read, stream } => self.request(id, Request::Read(read, stream)),
            Command::MakeStream { read, stream } => self.request(id, Request::Make(read, stream)),
            Command::DropStream(stream) => {
                self.oracle.dropped(stream, self.agenda.now());
                self.request(id, Request::Drop(stream));
            }
            Command::Subscribe { subscription, stream, from } => {
                self.request(id, Request::Subscribe(subscription, stream, from));
            }
            Command::Unsubscribe(subscription) => {
                self.machines[id].consumers.remove(&subscription);
            }
            Command::Purge { stream, through } => {
                self.check_purge(id, stream, through);
                self.request(id, Request::Purge(stream, through));
            }
            Command::ReadRecord(key) => self.request(id, Request::ReadRecord(key)),
            Command::WriteRecord { key, expected, bytes } => {
                self.request(id, Request::WriteRecord(key, expected, bytes));
            }
            Command::Send { to, bytes } => self.post_to(id, to, &bytes),
            Command::SendAll { bytes } => {
                for other in (0..self.machines.len()).filter(|other| *other != id) {
                    self.carry_bytes(id, other, &bytes);
                }
            }
            Command::Settle { ticket, fates } => self.settled(id, ticket, &fates),
            Command::Answer { query, answers, missing } => self.answered(id, query, &answers, &missing),
            Command::RepairEnded { shard, result } => self.repair_ended(id, shard, result),
            Command::Tell(happened) => self.told(id, happened),
            Command::WakeAt { elapsed_ms } => self.wish(id, elapsed_ms),
            disk => self.carry_to_disk(id, disk),
        }
    }

    fn carry_to_disk(&mut self, id: MachineId, command: Command) {
        match command {
            Command::WriteLog { shard, records } => self.write(id, shard, records),
            Command::SyncLog(shard) => self.sync(id, shard),
            Command::TrimLog { shard, through } => self.machines[id].disk.trim(shard, through),
            Command::ReadLog { read, shard, from, max_bytes } => {
                self.read_log(id, read, (shard, from), max_bytes)
            }
            Command::ReadRest { read, shard, from, max_bytes } => {
                let outcome = self.machines[id].disk.read_rest(shard, from, max_bytes);
                self.give_log(id, read, shard, outcome);
            }
            Command::DropRest(shard) => {
                self.machines[id].disk.drop_rest(shard);
                self.reached.note("rest of a log let go");
            }
            Command::SaveSnapshot { shard, sequence, bytes } => {
                let saved = self.machines[id].disk.save(shard, sequence, bytes);
                self.saved(id, shard, sequence, saved);
            }
            Command::InstallSnapshot { shard, sequence, bytes } => {
                let saved = self.machines[id].disk.install(shard, sequence, bytes);
                self.saved(id, shard, sequence, saved);
            }
            Command::DropShard(shard) => self.machines[id].disk.drop_shard(shard),
            Command::WriteNote(bytes) => self.machines[id].disk.write_note(bytes),
            _ => {}
        }
    }

    fn write(&mut self, id: MachineId, shard: ShardId, records: Vec<LogRecord>) {
        if let Err(from) = self.machines[id].disk.write(shard, records) {
            let fault = DiskFault::Full;
            self.tell(id, 0, Event::LogFailed { shard, from, fault });
        }
    }

    /// Reads a log as it is now. On a bad day a part of it is damaged.
    fn read_log(&mut self, id: MachineId, read: ReadId, (shard, from): (ShardId, u64), max_bytes: usize) {
        let disk = &mut self.machines[id].disk;
        if !self.calm && self.disk_chance.often(self.plan.damaged) {
            disk.damage(shard, false, &mut self.disk_chance);
        }
        let outcome = disk.read(shard, from, max_bytes);
        if matches!(outcome, LogOutcome::Damaged { .. }) {
            self.reached.note("read of a log damaged");
        }
        self.give_log(id, read, shard, outcome);
    }

    /// Gives what was read of a log. On a bad day the disk cannot, or takes its time: the answer then comes when the node may have asked anew.
    fn give_log(&mut self, id: MachineId, read: ReadId, shard: ShardId, mut outcome: LogOutcome) {
        let mut delay = MILLI;
        let (is_unread, is_late) =
            (self.disk_chance.often(self.plan.unread), self.disk_chance.often(self.plan.late_reads));
        let late = self.disk_chance.within(SECOND..=6 * SECOND);
        // All is over when the blows end.
        if is_late && self.now() + late < self.plan.calm_at {
            delay = late;
            self.reached.note("read of a log late");
        }
        if is_unread && self.now() + delay < self.plan.calm_at {
            outcome = LogOutcome::Fault;
            self.reached.note("read of a log failed");
        }
        self.tell(id, delay, Event::LogRead { shard, read, outcome });
    }

    fn sync(&mut self, id: MachineId, shard: ShardId) {
        let Some(sync) = self.machines[id].disk.begin_sync(shard) else { return };
        let at = self.disk_time(id);
        let run = self.machines[id].run;
        self.agenda.at(at, Due::Synced { machine: id, run, sync });
    }

    fn saved(&mut self, id: MachineId, shard: ShardId, sequence: u64, saved: bool) {
        let result = if saved { Ok(()) } else { Err(DiskFault::Full) };
        let delay = self.disk_time(id) - self.now();
        self.tell(id, delay, Event::SnapshotSaved { shard, sequence, result });
    }

    /// Returns when a disk will have done what it is told now.
    fn disk_time(&mut self, id: MachineId) -> u64 {
        let now = self.now();
        let slow = now < self.machines[id].slow_until;
        let takes = self.chance.within(if slow { 50 * MILLI..=500 * MILLI } else { 300..=4 * MILLI });
        let machine = &mut self.machines[id];
        machine.disk_free_at = machine.disk_free_at.max(now) + takes;
        machine.disk_free_at
    }

    fn wish(&mut self, id: MachineId, elapsed_ms: u64) {
        // A timer is a little late, and never early.
        let late = self.chance.below(MILLI);
        let machine = &mut self.machines[id];
        machine.wish += 1;
        let (at, run, wish) = (machine.when(elapsed_ms), machine.run, machine.wish);
        self.agenda.at(at.saturating_add(late), Due::Wake { machine: id, run, wish });
    }

    fn post_to(&mut self, from: MachineId, to: NodeId, bytes: &[u8]) {
        match machine_of(to).filter(|machine| *machine < self.machines.len() && *machine != from) {
            Some(machine) => self.carry_bytes(from, machine, bytes),
            None => {
                self.oracle.wrong_if(true, || format!("{} sends to node {}, which is none", from + 1, to.0))
            }
        }
    }

    fn carry_bytes(&mut self, from: MachineId, to: MachineId, bytes: &[u8]) {
        let now = self.now();
        if !self.network.joins(from, to, now) {
            return;
        }
        let sender = self.machines[from].node_id();
        for delay in self.network.delays(&mut self.chance) {
            let mut bytes = bytes.to_vec();
            if self.chance.often(self.network.weather.cut) {
                bytes.truncate(self.chance.below(bytes.len() as u64 + 1) as usize);
            }
            let event = Event::Received { from: sender, bytes };
            self.agenda.after(delay, Due::Event { to, run: None, request: 0, event });
        }
    }

    fn told(&mut self, id: MachineId, happened: Happened) {
        let now = self.now();
        self.reached.happened(&happened);
        self.trace.fold(&[id as u64, vagn_cluster::hash(&[format!("{happened:?}").as_bytes()])]);
        if let Happened::Stopped(shard, stop) = happened {
            self.stopped(id, shard, stop);
        }
        if let Happened::EpochRepaired(shard) = happened {
            self.look_at_new_epoch(id, shard);
        }
        if matches!(happened, Happened::CopyBegun(_)) && self.plan.cut_copies && !self.calm {
            let delay = self.chance.within(8 * MILLI..=120 * MILLI);
            self.agenda.at(now + delay, Due::CutCopy(id));
        }
    }
}
