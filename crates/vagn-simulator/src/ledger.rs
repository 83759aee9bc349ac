//! Ledger: what senders gave, and what they were told of it.

use std::collections::{BTreeMap, BTreeSet};

use vagn_cluster::{NewChange, ShardId, Ticket};
use vagn_wire::Fate;

use crate::agenda::SECOND;
use crate::brokers::WALL_MS;
use crate::bytes::put;
use crate::chance::Chance;
use crate::fleet::Attempt;
use crate::network::MachineId;
use crate::plan::Plan;

/// Time after which a sender tries again what has no answer.
const PATIENCE: u64 = 8 * SECOND;

/// All that was given and answered.
#[derive(Debug)]
pub(crate) struct Ledger {
    shards: u16,
    report_bytes: usize,
    writes: Vec<Write>,
    vehicles: Vec<u64>,
    /// Writes that have to be tried, or tried again.
    open: BTreeSet<usize>,
    groups: BTreeMap<Ticket, Group>,
    tries: u64,
    tickets: u64,
}

/// Something that a sender wants stored.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) what: What,
    pub(crate) shard: ShardId,
    /// Groups that it went out with.
    pub(crate) tries: u64,
    /// When it was first answered that it is kept.
    pub(crate) kept_at: Option<u64>,
    /// Answers that it is new.
    news: u64,
}

/// Kinds of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A report with its number at the vehicle.
    Report { vehicle: u64, seq: u64 },
    /// A vehicle is to be deleted.
    Deletion { vehicle: u64 },
    /// How long silent vehicles are shown.
    Setting { keep_ms: u64 },
}

/// Writes that went to a door together.
#[derive(Debug, Clone)]
struct Group {
    machine: MachineId,
    at: u64,
    writes: Vec<usize>,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Nobody waits for it.
    Unasked,
    /// It has more or fewer fates than there were changes.
    Length,
    /// A fate that the core cannot give.
    Fate(Fate),
    /// It says that a write is new which was new before.
    NewTwice(usize),
}

/// Returns the id of a vehicle.
pub(crate) fn vehicle_id(vehicle: u64) -> Vec<u8> {
    format!("bus-{vehicle}").into_bytes()
}

impl Ledger {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            shards: plan.shards,
            report_bytes: plan.report_bytes,
            writes: Vec::new(),
            vehicles: vec![0; plan.vehicles as usize],
            open: BTreeSet::new(),
            groups: BTreeMap::new(),
            tries: 0,
            tickets: 0,
        }
    }

    /// Invents what a sender sends next: mostly new reports, some that were held back, repeats, deletions, settings.
    pub(crate) fn invent(&mut self, chance: &mut Chance, plan: &Plan) {
        for _ in 0..chance.within(1..=5) {
            let vehicle = chance.below(plan.vehicles);
            let what = match chance.below(100) {
                0 => What::Deletion { vehicle },
                1 if chance.often(3_000) => What::Setting { keep_ms: plan.keep_ms + chance.below(4_000) },
                _ => {
                    let seq = &mut self.vehicles[vehicle as usize];
                    *seq += 1;
                    What::Report { vehicle, seq: *seq }
                }
            };
            let shard = match what {
                What::Report { vehicle, .. } | What::Deletion { vehicle } => {
                    ShardId::of_vehicle(&vehicle_id(vehicle), self.shards)
                }
                What::Setting { .. } => ShardId(chance.below(u64::from(self.shards)) as u16),
            };
            self.open.insert(self.writes.len());
            self.writes.push(Write { what, shard, tries: 0, kept_at: None, news: 0 });
        }
        if chance.often(1_500) && !self.writes.is_empty() {
            let again = chance.below(self.writes.len() as u64) as usize;
            if matches!(self.writes[again].what, What::Report { .. }) {
                self.open.insert(again);
            }
        }
    }

    /// Makes a group of open writes for a door whose clock is off by `clock_ms`. None when nothing is open.
    pub(crate) fn group(
        &mut self,
        machine: MachineId,
        now: u64,
        clock_ms: i64,
        chance: &mut Chance,
    ) -> Option<(Ticket, Vec<NewChange>)> {
        // One in twelve is held back for a later group, and so comes after its successor.
        let picked: Vec<usize> = self.open.iter().copied().filter(|_| !chance.often(800)).take(8).collect();
        if picked.is_empty() {
            return None;
        }
        let arrival_ms = WALL_MS + (now / 1_000) as i64 + clock_ms;
        let changes = picked.iter().map(|write| self.change(*write, arrival_ms)).collect();
        picked.iter().for_each(|write| {
            self.open.remove(write);
        });
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.groups.insert(ticket, Group { machine, at: now, writes: picked });
        Some((ticket, changes))
    }

    fn change(&mut self, write: usize, arrival_ms: i64) -> NewChange {
        self.tries += 1;
        let number = self.tries;
        let write = &mut self.writes[write];
        write.tries += 1;
        match write.what {
            What::Report { vehicle, seq } => NewChange::Report {
                vehicle_id: vehicle_id(vehicle),
                arrival_ms,
                fields: Attempt { seq, number }.to_fields(self.report_bytes),
            },
            What::Deletion { vehicle } => NewChange::Deletion { vehicle_id: vehicle_id(vehicle) },
            What::Setting { keep_ms } => {
                let mut value = Vec::new();
                put(&mut value, &[keep_ms]);
                NewChange::Setting { shard: write.shard, value }
            }
        }
    }

    /// Takes an answer in. An answer that a write is kept counts for good.
    pub(crate) fn settle(&mut self, ticket: Ticket, fates: &[Fate], now: u64) -> Result<(), Wrong> {
        let group = self.groups.remove(&ticket).ok_or(Wrong::Unasked)?;
        if group.writes.len() != fates.len() {
            return Err(Wrong::Length);
        }
        let mut result = Ok(());
        for (index, fate) in group.writes.iter().zip(fates) {
            let write = &mut self.writes[*index];
            match fate {
                Fate::Stored | Fate::Stale | Fate::Duplicate => {
                    write.kept_at = write.kept_at.or(Some(now));
                    let new = *fate != Fate::Duplicate && matches!(write.what, What::Report { .. });
                    write.news += u64::from(new);
                    if write.news > 1 {
                        result = Err(Wrong::NewTwice(*index));
                    }
                    self.open.remove(index);
                }
                Fate::Failed | Fate::Shed if write.kept_at.is_none() => {
                    self.open.insert(*index);
                }
                Fate::Failed | Fate::Shed => {}
                other => return Err(Wrong::Fate(*other)),
            }
        }
        result
    }

    /// A machine's process is gone: its groups are answered by nobody.
    pub(crate) fn abandon(&mut self, machine: MachineId) {
        let gone: Vec<Ticket> = self
            .groups
            .iter()
            .filter(|(_, group)| group.machine == machine)
            .map(|(ticket, _)| *ticket)
            .collect();
        let gone: Vec<Group> = gone.iter().filter_map(|ticket| self.groups.remove(ticket)).collect();
        gone.iter().for_each(|group| self.reopen(group));
    }

    /// Senders that have waited for long try again, and still take the first answer if it comes.
    pub(crate) fn lose_patience(&mut self, now: u64) {
        let late: Vec<Group> =
            self.groups.values().filter(|group| group.at + PATIENCE < now).cloned().collect();
        late.iter().for_each(|group| self.reopen(group));
    }

    fn reopen(&mut self, group: &Group) {
        let open = group.writes.iter().filter(|write| self.writes[**write].kept_at.is_none());
        self.open.extend(open);
    }

    /// Returns the moment since when a machine owes an answer.
    pub(crate) fn owes_since(&self, machine: MachineId) -> Option<u64> {
        self.groups.values().filter(|group| group.machine == machine).map(|group| group.at).min()
    }

    pub(crate) fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Returns how many writes are not answered as kept.
    pub(crate) fn unkept(&self) -> usize {
        self.writes.iter().filter(|write| write.kept_at.is_none()).count()
    }

    /// Returns the last number of each vehicle of a shard that was answered as kept before a moment.
    pub(crate) fn kept_before(&self, shard: ShardId, moment: u64) -> BTreeMap<Vec<u8>, u64> {
        let mut last = BTreeMap::new();
        for write in self.writes.iter().filter(|write| write.shard == shard) {
            if let (What::Report { vehicle, seq }, Some(at)) = (write.what, write.kept_at)
                && at <= moment
            {
                let highest = last.entry(vehicle_id(vehicle)).or_insert(0);
                *highest = seq.max(*highest);
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use vagn_cluster::Faults;

    use super::*;

    fn ledger() -> (Ledger, Chance, Plan) {
        let plan = Plan::of(0, Faults::default());
        (Ledger::new(&plan), Chance::new(3), plan)
    }

    #[test]
    fn tries_again_what_failed_and_not_what_is_kept() {
        let (mut ledger, mut chance, plan) = ledger();
        ledger.invent(&mut chance, &plan);
        let all = ledger.writes().len();
        while let Some((ticket, changes)) = ledger.group(0, 5, 0, &mut chance) {
            ledger.settle(ticket, &vec![Fate::Failed; changes.len()], 6).unwrap();
            if ledger.writes().iter().all(|write| write.tries > 1) {
                break;
            }
        }
        assert_eq!(ledger.unkept(), all);
        while let Some((ticket, changes)) = ledger.group(0, 7, 0, &mut chance) {
            ledger.settle(ticket, &vec![Fate::Stored; changes.len()], 8).unwrap();
        }
        assert_eq!(ledger.unkept(), 0);
    }

    #[test]
    fn finds_answers_that_nobody_asked_for_and_writes_that_are_new_twice() {
        let (mut ledger, mut chance, plan) = ledger();
        assert_eq!(ledger.settle(Ticket(9), &[], 0), Err(Wrong::Unasked));
        ledger.invent(&mut chance, &plan);
        let (ticket, _) = ledger.group(0, 1, 0, &mut chance).unwrap();
        assert_eq!(ledger.settle(ticket, &[Fate::Stored; 99], 2), Err(Wrong::Length));
        let (mut ledger, mut chance, plan) = self::ledger();
        ledger.invent(&mut chance, &plan);
        let (first, changes) = ledger.group(0, 0, 0, &mut chance).unwrap();
        ledger.lose_patience(PATIENCE + 1);
        let (second, again) = ledger.group(1, PATIENCE + 1, 0, &mut chance).unwrap();
        assert!(!again.is_empty());
        ledger.settle(first, &vec![Fate::Stored; changes.len()], 0).unwrap();
        let twice = ledger.settle(second, &vec![Fate::Stored; again.len()], 0);
        assert!(matches!(twice, Err(Wrong::NewTwice(_))), "{twice:?}");
    }

    #[test]
    fn what_a_dead_process_owed_is_open_again() {
        let (mut ledger, mut chance, plan) = ledger();
        ledger.invent(&mut chance, &plan);
        ledger.group(1, 4, 0, &mut chance).unwrap();
        assert_eq!(ledger.owes_since(1), Some(4));
        ledger.abandon(1);
        assert_eq!(ledger.owes_since(1), None);
        assert!(ledger.group(0, 5, 0, &mut chance).is_some());
    }
}
