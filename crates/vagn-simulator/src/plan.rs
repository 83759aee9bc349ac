//! Plan: all that a seed decides before the run begins. What happens is then drawn from the same seed.

use std::fmt;

use vagn_cluster::{Faults, ShardId};

use crate::agenda::{MILLI, SECOND};
use crate::blow::Blow;
use crate::chance::Chance;
use crate::network::Weather;

/// Kind of a run: what it heads for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing happens.
    Calm,
    /// Brokers come and go.
    Brokers,
    /// Processes are killed and stopped.
    Machines,
    /// The network loses, doubles and parts.
    Network,
    /// Disks are full, slow, broken, lost.
    Disks,
    /// Clocks differ and jump, at machines and brokers, while vehicles are forgotten.
    Clocks,
    /// Messages come after their sender gave up, some after the brokers have forgotten their ids.
    Late,
    /// Copies of a shard are cut off.
    Copies,
    /// Streams lose their last messages.
    Tails,
    /// Streams are made anew, or are gone.
    Anew,
    /// An owner lags by more than a stream has room for.
    Laggard,
    /// A lost end of a stream that one owner has, and filled anew before anybody looks.
    Fork,
    /// Machines come and leave.
    Leaving,
    /// A little of everything that does not exceed what a cluster must stand.
    Storm,
}

impl Kind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Calm,
        Self::Brokers,
        Self::Machines,
        Self::Network,
        Self::Disks,
        Self::Clocks,
        Self::Late,
        Self::Copies,
        Self::Tails,
        Self::Anew,
        Self::Laggard,
        Self::Fork,
        Self::Leaving,
        Self::Storm,
    ];
}

/// A blow and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strike {
    pub(crate) at: u64,
    pub(crate) blow: Blow,
}

/// Settings of a run. Times are in µs unless they say otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    pub(crate) machines: usize,
    pub(crate) shards: u16,
    /// Number of zones; 0: each machine is one of its own.
    pub(crate) zones: usize,
    /// The first machine is a door that owns no shards.
    pub(crate) door_alone: bool,
    /// Somebody looks at the whole fleet through this machine: the last one, where a door is alone the door.
    pub(crate) onlooker: Option<usize>,
    pub(crate) senders: usize,
    pub(crate) vehicles: u64,
    /// Mean span between two groups of a sender.
    pub(crate) gap: u64,
    pub(crate) keep_ms: u64,
    /// Bytes that each vehicle adds to a snapshot, and each report to a stream.
    pub(crate) ballast: u64,
    pub(crate) report_bytes: usize,
    pub(crate) stream_bytes: u64,
    pub(crate) snapshot_entries: u64,
    pub(crate) piece_bytes: usize,
    /// Time for which brokers know a message id.
    pub(crate) window: u64,
    pub(crate) weather: Weather,
    /// Reads of brokers that show what was up to 10 s ago, in 10 000.
    pub(crate) stale: u64,
    /// Answers of brokers that are lost, in 10 000.
    pub(crate) unanswered: u64,
    /// Messages that are on their way for longer than brokers know their ids, in 10 000.
    pub(crate) stragglers: u64,
    /// Readings of logs that fail, and those that take seconds, in 10 000.
    pub(crate) unread: u64,
    pub(crate) late_reads: u64,
    /// Starts and readings that find a tick in a log damaged, in 10 000.
    pub(crate) damaged: u64,
    /// Wall clock of each machine, ms from the true time.
    pub(crate) clocks_ms: Vec<i64>,
    /// Machines that start late, at these times.
    pub(crate) starts: Vec<u64>,
    /// A machine that begins a copy is cut off from the others a moment later.
    pub(crate) cut_copies: bool,
    pub(crate) strikes: Vec<Strike>,
    /// End of the blows.
    pub(crate) calm_at: u64,
    pub(crate) faults: Faults,
}

impl Plan {
    /// Expands a seed.
    pub(crate) fn of(seed: u64, faults: Faults) -> Self {
        let kind = Kind::ALL[(seed % Kind::ALL.len() as u64) as usize];
        let mut chance = Chance::new(seed).fork(1);
        let machines = chance.within(3..=5) as usize;
        let mut plan = Self {
            seed,
            kind,
            machines,
            shards: chance.within(2..=4) as u16,
            zones: chance.pick(&[0, 0, 2, 3]),
            door_alone: machines > 3 && Chance::new(seed).fork(3).often(3_000),
            onlooker: None,
            senders: 3,
            vehicles: chance.within(8..=24),
            gap: chance.within(120..=300) * MILLI,
            keep_ms: chance.within(8_000..=20_000),
            ballast: 64,
            report_bytes: 32,
            stream_bytes: 1 << 20,
            snapshot_entries: chance.within(20..=200),
            piece_bytes: 16 << 10,
            window: 120 * SECOND,
            weather: Weather {
                delay: (200, chance.within(1_000..=15_000)),
                lost: 0,
                twice: 0,
                late: 0,
                cut: 0,
            },
            stale: 0,
            unanswered: 0,
            stragglers: 0,
            unread: 0,
            late_reads: 0,
            damaged: 0,
            clocks_ms: (0..machines).map(|_| chance.signed(-200..=200)).collect(),
            starts: vec![0; machines],
            cut_copies: false,
            strikes: Vec::new(),
            calm_at: 40 * SECOND,
            faults,
        };
        plan.head_for(kind, &mut chance);
        plan.cut_off();
        // Logs are read where one is to be let go: in the runs that come to it, most disks are bad at it.
        let mut disks = Chance::new(seed).fork(5);
        (plan.unread, plan.late_reads) = disks.pick(&[(0, 0), (5_000, 2_000), (9_000, 0), (2_000, 6_000)]);
        plan.damaged = Chance::new(seed).fork(9).pick(&[0, 2_000, 9_000]);
        if plan.is_stranded() {
            plan.damaged = 9_000;
        }
        plan.strikes.sort_by_key(|strike| strike.at);
        // A door alone has nothing of its own to look at.
        let looks = Chance::new(seed).fork(4).often(5_000);
        plan.onlooker = looks.then_some(if plan.door_alone { 0 } else { plan.machines - 1 });
        plan
    }

    /// Cuts a machine off with a leader in some of the runs in which machines and brokers are apart.
    fn cut_off(&mut self) {
        let mut chance = Chance::new(self.seed).fork(8);
        let cuts = matches!(self.kind, Kind::Brokers | Kind::Network | Kind::Clocks | Kind::Storm);
        if cuts && chance.often(6_000) {
            let at = chance.within(6 * SECOND..=self.calm_at - 5 * SECOND);
            let (machine, broker) = (self.machine(&mut chance), chance.below(3) as usize);
            let away = chance.within(5 * SECOND..=20 * SECOND);
            self.strike(at, Blow::ApartWithLeader { machine, broker, away });
        }
    }

    /// Returns by how much an answer may be older than it says, whatever brokers told its owner.
    pub(crate) fn doubt(&self) -> u64 {
        2 * SECOND
    }

    fn head_for(&mut self, kind: Kind, chance: &mut Chance) {
        match kind {
            Kind::Calm => {}
            Kind::Brokers => {
                self.stale = 500;
                self.unanswered = 50;
                self.blows(chance, 5, broker_blow);
            }
            Kind::Machines => self.blows(chance, 6, machine_blow),
            Kind::Network => {
                self.rough(chance);
                self.blows(chance, 6, network_blow);
            }
            Kind::Disks => self.blows(chance, 6, disk_blow),
            Kind::Clocks => {
                self.clocks_ms = (0..self.machines).map(|_| chance.signed(-5_000..=5_000)).collect();
                self.blows(chance, 6, clock_blow);
            }
            Kind::Late => self.late(chance),
            Kind::Copies => self.copies(chance),
            Kind::Tails => self.tails(chance),
            Kind::Anew => self.anew(chance),
            Kind::Laggard => self.laggard(chance),
            Kind::Fork => self.fork(chance),
            Kind::Leaving => self.leaving(chance),
            Kind::Storm => self.storm(chance),
        }
    }

    fn rough(&mut self, chance: &mut Chance) {
        self.weather.lost = chance.within(10..=300);
        self.weather.twice = chance.within(10..=300);
        self.weather.late = chance.within(10..=300);
        self.weather.cut = chance.within(0..=50);
        self.stale = chance.within(0..=1_000);
        self.unanswered = chance.within(0..=200);
    }

    fn late(&mut self, chance: &mut Chance) {
        self.unanswered = 300;
        self.stragglers = 300;
        // Half of the runs wait for two minutes, the others have brokers that forget sooner.
        let long = chance.often(5_000);
        self.window = if long { 120 * SECOND } else { 2 * SECOND };
        self.gap *= if long { 3 } else { 1 };
        self.calm_at = if long { 150 * SECOND } else { 40 * SECOND };
        for at in [8 * SECOND, 18 * SECOND, 28 * SECOND] {
            self.strike(at, Blow::Hold { away: chance.within(2 * SECOND..=7 * SECOND) });
        }
    }

    fn copies(&mut self, chance: &mut Chance) {
        self.cut_copies = true;
        self.ballast = chance.within(20..=60) << 10;
        self.snapshot_entries = chance.within(10..=40);
        self.weather.delay = (2_000, 12_000);
        self.machines = self.machines.min(4);
        self.door_alone = false;
        self.calm_at = 60 * SECOND;
        for at in [12 * SECOND, 35 * SECOND] {
            let machine = self.machine(chance);
            self.strike(at, Blow::DiskLost { machine, away: chance.within(1..=3) * SECOND });
        }
    }

    fn tails(&mut self, chance: &mut Chance) {
        self.gap *= 2;
        for at in [12 * SECOND, 32 * SECOND] {
            let lost = chance.within(1..=30);
            let blow = if chance.often(5_000) {
                Blow::Blackout { away: chance.within(1..=4) * SECOND, lost }
            } else {
                Blow::TailLost { shard: self.shard(chance), lost }
            };
            if chance.often(5_000) {
                self.slow_disks(at - SECOND, 4 * SECOND);
            }
            self.strike(at, blow);
        }
    }

    fn slow_disks(&mut self, at: u64, away: u64) {
        for machine in 0..self.machines {
            self.strike(at, Blow::DiskSlow { machine, away });
        }
    }

    fn anew(&mut self, chance: &mut Chance) {
        let shard = self.shard(chance);
        let blow = if chance.often(6_000) { Blow::StreamAnew { shard } } else { Blow::StreamGone { shard } };
        self.strike(chance.within(10..=20) * SECOND, blow);
        if chance.often(5_000) {
            let machine = self.machine(chance);
            self.strike(9 * SECOND, Blow::Freeze { machine, away: chance.within(5..=20) * SECOND });
        }
        if chance.often(3_000) {
            self.strike(25 * SECOND, Blow::RecordLost);
        }
    }

    /// True for each third run of a laggard, in which one owner alone has something, behind a part of its log that is damaged: by chance alone
    /// hundreds of runs may pass without one.
    fn is_stranded(&self) -> bool {
        self.kind == Kind::Laggard && (self.seed / Kind::ALL.len() as u64).is_multiple_of(3)
    }

    fn laggard(&mut self, chance: &mut Chance) {
        self.machines = 3;
        self.door_alone = false;
        self.zones = 0;
        self.stream_bytes = 256 << 10;
        self.report_bytes = 1_500;
        self.gap = 150 * MILLI;
        self.calm_at = 55 * SECOND;
        let (machine, away) = (self.machine(chance), chance.within(20..=35) * SECOND);
        if self.is_stranded() || Chance::new(self.seed).fork(4).often(3_000) {
            // It has something that no other has. If the shard stops for it, doors gather a full message, which must find room.
            self.stream_bytes = 1 << 20;
            let shard = self.shard(chance);
            return self.strike(12 * SECOND, Blow::LoneTail { shard, away });
        }
        if Chance::new(self.seed).fork(7).often(4_000) {
            // Little more than a message of a door: it is full before the laggard is struck off.
            self.stream_bytes = 192 << 10;
        }
        let blow = match chance.below(3) {
            0 => Blow::ApartFromBrokers { machine, away },
            1 => Blow::Freeze { machine, away },
            _ => Blow::Crash { machine, power: false, away },
        };
        self.strike(12 * SECOND, blow);
    }

    fn fork(&mut self, chance: &mut Chance) {
        self.gap = 60 * MILLI;
        for at in [12 * SECOND, 30 * SECOND] {
            let shard = self.shard(chance);
            self.strike(at, Blow::Fork { shard, away: chance.within(800..=2_500) * MILLI });
        }
    }

    fn leaving(&mut self, chance: &mut Chance) {
        self.machines = chance.within(4..=5) as usize;
        self.door_alone = false;
        self.clocks_ms.resize(self.machines, 150);
        self.starts = vec![0; self.machines];
        self.starts[self.machines - 1] = chance.within(5..=15) * SECOND;
        self.calm_at = 60 * SECOND;
        let mut at = 16 * SECOND;
        for _ in 0..3 {
            let (one, other) = (self.machine(chance), self.machine(chance));
            self.strike(at, Blow::Leave { machine: one, away: 12 * SECOND });
            if chance.often(6_000) {
                let later = at + chance.below(SECOND);
                self.strike(later, Blow::Leave { machine: other, away: 12 * SECOND });
            }
            at += chance.within(10..=16) * SECOND;
        }
    }

    fn storm(&mut self, chance: &mut Chance) {
        self.rough(chance);
        self.calm_at = 50 * SECOND;
        for blow in [broker_blow, machine_blow, network_blow, disk_blow, clock_blow] {
            self.blows(chance, 2, blow);
        }
    }

    fn blows(&mut self, chance: &mut Chance, count: u64, blow: fn(&Self, &mut Chance) -> Blow) {
        for _ in 0..count {
            let at = chance.within(6 * SECOND..=self.calm_at - 5 * SECOND);
            self.strikes.push(Strike { at, blow: blow(self, chance) });
        }
    }

    fn strike(&mut self, at: u64, blow: Blow) {
        self.strikes.push(Strike { at, blow });
    }

    fn machine(&self, chance: &mut Chance) -> usize {
        chance.below(self.machines as u64) as usize
    }

    fn shard(&self, chance: &mut Chance) -> ShardId {
        ShardId(chance.below(u64::from(self.shards)) as u16)
    }
}

fn seconds(chance: &mut Chance) -> u64 {
    chance.within(500..=12_000) * MILLI
}

fn broker_blow(_: &Plan, chance: &mut Chance) -> Blow {
    let (broker, away) = (chance.below(3) as usize, seconds(chance));
    match chance.below(6) {
        0 => Blow::BrokersAway { away },
        1 => Blow::Hold { away: away / 3 },
        _ => Blow::BrokerAway { broker, away },
    }
}

fn machine_blow(plan: &Plan, chance: &mut Chance) -> Blow {
    let (machine, away) = (plan.machine(chance), seconds(chance));
    match chance.below(8) {
        0 => Blow::CrashAll { away: away / 4 },
        1..=2 => Blow::Freeze { machine, away: away * 2 },
        3..=4 => Blow::Crash { machine, power: true, away },
        5 => Blow::RecordLost,
        _ => Blow::Crash { machine, power: false, away },
    }
}

fn network_blow(plan: &Plan, chance: &mut Chance) -> Blow {
    let (machine, away) = (plan.machine(chance), seconds(chance));
    match chance.below(5) {
        0 => Blow::Apart { machine, away },
        1 => Blow::ApartFromBrokers { machine, away },
        2 => Blow::Quiet { machine },
        3 => Blow::Hold { away: away / 3 },
        _ => Blow::ApartPair { one: machine, other: (machine + 1) % plan.machines, away },
    }
}

fn disk_blow(plan: &Plan, chance: &mut Chance) -> Blow {
    let (machine, away) = (plan.machine(chance), seconds(chance));
    match chance.below(6) {
        0 => Blow::DiskLost { machine, away: away / 2 },
        1 => Blow::DiskFull { machine, away },
        2 => Blow::DiskSlow { machine, away },
        3 => Blow::SyncFails { machine },
        4 => Blow::CrashAll { away: away / 4 },
        _ => Blow::Crash { machine, power: true, away },
    }
}

fn clock_blow(plan: &Plan, chance: &mut Chance) -> Blow {
    match chance.below(3) {
        0 => Blow::Clock { machine: plan.machine(chance), ms: chance.signed(-60_000..=6_000) },
        1 => Blow::BrokerClock { broker: chance.below(3) as usize, ms: chance.signed(-9_000..=3_000) },
        _ => Blow::BrokerAway { broker: chance.below(3) as usize, away: seconds(chance) },
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = self.clone();
        settings.strikes.clear();
        writeln!(f, "{settings:?}")?;
        for Strike { at, blow } in &self.strikes {
            writeln!(f, "  {:>9.3} s  {blow:?}", *at as f64 / 1e6)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_expands_to_the_same_plan_each_time_and_says_all_of_it() {
        for seed in 0..56 {
            let plan = Plan::of(seed, Faults::default());
            let text = plan.to_string();
            assert_eq!(text, Plan::of(seed, Faults::default()).to_string());
            assert_eq!(text.lines().count(), 1 + plan.strikes.len());
            assert!(plan.strikes.iter().all(|strike| strike.at < plan.calm_at), "{text}");
            assert!(plan.clocks_ms.len() >= plan.machines && plan.starts.len() >= plan.machines, "{text}");
        }
    }

    #[test]
    fn seeds_in_a_row_are_of_all_kinds() {
        let kinds: Vec<Kind> = (0..14).map(|seed| Plan::of(seed, Faults::default()).kind).collect();
        assert_eq!(kinds, Kind::ALL);
    }
}
