//! Plan: all that a seed decides before the run begins.

use std::fmt;

use vagn_cluster::trail::TrailFaults;

use super::office::DeskFault;
use super::target::Mood;
use crate::agenda::{MILLI, SECOND};
use crate::chance::Chance;
use crate::network::Weather;

/// Kind of a run: what it heads for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The target alone is bad.
    Calm,
    /// The leader is killed, also between an acceptance and its entry, also with a broker, or stops in order.
    Leader,
    /// The leader is stopped for 20 s and goes on.
    Pause,
    /// The network parts leader and doors, and loses messages.
    Network,
    /// Brokers are gone, some of them or all.
    Brokers,
    /// Clocks differ by 5 s, and settings differ, or are changed on one machine after the other.
    Clocks,
    /// Answers of brokers are lost, and messages come after their sender gave up, also when the ids are forgotten.
    Late,
    /// Disks are full, doors and desks have no room.
    Rooms,
    /// The trail's stream loses its end, or is made anew.
    Broken,
    /// A little of everything but a broken stream.
    Storm,
    /// The stream has little room, and runs through several times of it.
    Purge,
    /// Machines are away for so long that the stream has gone on without them.
    Away,
    /// A machine comes back with an empty disk.
    Fresh,
    /// Who gives a copy, or takes it, is killed in the middle of it.
    Givers,
    /// The trail's stream loses its end, or is made anew, and a person begins a new epoch.
    Epoch,
}

impl Kind {
    pub(crate) const ALL: [Self; 15] = [
        Self::Calm,
        Self::Leader,
        Self::Pause,
        Self::Network,
        Self::Brokers,
        Self::Clocks,
        Self::Late,
        Self::Rooms,
        Self::Broken,
        Self::Storm,
        Self::Purge,
        Self::Away,
        Self::Fresh,
        Self::Givers,
        Self::Epoch,
    ];
}

/// Something that strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    Crash {
        machine: usize,
        away: u64,
    },
    CrashLeader {
        away: u64,
        with_broker: bool,
    },
    /// The leader is killed when it hears of the next acceptance, before it has recorded it.
    CrashAtAcceptance {
        away: u64,
    },
    /// The leader is told that it stops, and ends a moment later.
    StopLeader {
        away: u64,
    },
    FreezeLeader {
        away: u64,
    },
    /// The settings of all machines are changed: one after the other is restarted in order, with new ones.
    Change {
        away: u64,
    },
    ApartFromLeader {
        away: u64,
    },
    ApartFromBrokers {
        machine: usize,
        away: u64,
    },
    LeaderApartFromBrokers {
        away: u64,
    },
    Broker {
        broker: usize,
        away: u64,
    },
    Brokers {
        away: u64,
    },
    Hold {
        away: u64,
    },
    StoreFull {
        machine: usize,
        away: u64,
    },
    Mood {
        mood: Mood,
        away: u64,
    },
    Burst {
        machine: usize,
        count: u64,
    },
    /// A machine is ended, and comes back without what was on its disk.
    Fresh {
        machine: usize,
        away: u64,
    },
    /// Who reads a piece of a copy next is killed.
    Giver {
        away: u64,
    },
    /// Who takes one.
    Taker {
        away: u64,
    },
    TailLost {
        lost: u64,
    },
    Anew,
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
    /// Mean span between two vehicles that call.
    pub(crate) gap: u64,
    pub(crate) door_max: usize,
    pub(crate) desk_max: usize,
    pub(crate) stream_bytes: u64,
    /// Time for which a machine may be away and find in the stream what it lacks.
    pub(crate) away: u64,
    /// Time for which brokers know a message id.
    pub(crate) window: u64,
    pub(crate) weather: Weather,
    /// Stale reads, lost answers and messages that outlive the window, in 10 000.
    pub(crate) stale: u64,
    pub(crate) unanswered: u64,
    pub(crate) stragglers: u64,
    pub(crate) clocks_ms: Vec<i64>,
    /// These machines have other settings than the one that leads first. They may be most.
    pub(crate) differs: Vec<usize>,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) calm_at: u64,
    pub(crate) faults: TrailFaults,
    /// Fault between the trail and the service's own desk.
    pub(crate) desk_fault: Option<DeskFault>,
}

impl Plan {
    /// Expands a seed.
    pub(crate) fn of(seed: u64, faults: TrailFaults) -> Self {
        let kind = Kind::ALL[(seed % Kind::ALL.len() as u64) as usize];
        let mut chance = Chance::new(seed).fork(11);
        let machines = chance.within(3..=5) as usize;
        let mut plan = Self {
            seed,
            kind,
            machines,
            gap: chance.within(200..=900) * MILLI,
            door_max: 4_096,
            desk_max: 4_096,
            stream_bytes: 8 << 20,
            away: 3_600 * SECOND,
            window: chance.pick(&[120 * SECOND, 3 * SECOND]),
            weather: Weather { delay: (200, 900), lost: 20, twice: 50, late: 50, cut: 0 },
            stale: 500,
            unanswered: 50,
            stragglers: 0,
            clocks_ms: (0..machines).map(|_| chance.signed(-30..=30)).collect(),
            differs: Vec::new(),
            strikes: Vec::new(),
            calm_at: chance.within(45..=60) * SECOND,
            faults,
            desk_fault: None,
        };
        plan.head_for(&mut chance);
        plan.strike(&mut chance);
        plan.strikes.sort_by_key(|strike| strike.at);
        plan
    }

    fn head_for(&mut self, chance: &mut Chance) {
        match self.kind {
            Kind::Network | Kind::Storm => {
                let (lost, late) = (chance.within(100..=1_500), chance.within(100..=1_500));
                self.weather = Weather { delay: (200, 4_000), lost, twice: 400, late, cut: 200 };
            }
            Kind::Clocks => {
                self.clocks_ms = (0..self.machines).map(|_| chance.pick(&[-2_500, 0, 2_500])).collect();
                let other = chance.below(self.machines as u64) as usize;
                self.differs = match chance.below(3) {
                    0 => Vec::new(),
                    1 => vec![other],
                    _ => (0..self.machines).filter(|machine| *machine != other).collect(),
                };
            }
            Kind::Late => {
                (self.unanswered, self.stragglers) = (chance.within(500..=3_000), 300);
                self.window = SECOND;
            }
            Kind::Rooms => {
                (self.door_max, self.desk_max) =
                    (chance.within(1..=4) as usize, chance.within(1..=6) as usize);
                self.stream_bytes = chance.pick(&[8 << 20, 16 << 10]);
            }
            Kind::Purge => {
                self.stream_bytes = chance.pick(&[8 << 10, 16 << 10, 32 << 10]);
                self.away = chance.pick(&[3_600, 10]) * SECOND;
            }
            Kind::Away | Kind::Fresh | Kind::Givers => {
                self.stream_bytes = chance.pick(&[16 << 10, 8 << 20]);
                self.away = chance.within(2..=6) * SECOND;
                self.weather.lost = chance.pick(&[20, 1_000]);
            }
            Kind::Epoch => self.away = chance.pick(&[3_600, 6]) * SECOND,
            _ => {}
        }
    }

    /// A person has a broken trail begun anew.
    pub(crate) fn is_repaired(&self) -> bool {
        self.kind == Kind::Epoch
    }

    fn strike(&mut self, chance: &mut Chance) {
        let count = chance.within(5..=9);
        for _ in 0..count {
            let at = chance.within(6 * SECOND..=self.calm_at - SECOND);
            let blow = self.blow(chance);
            self.strikes.push(Strike { at, blow });
        }
        if matches!(self.kind, Kind::Broken | Kind::Epoch) {
            let at = chance.within(15 * SECOND..=30 * SECOND);
            let lost = chance.within(1..=6);
            let blow = if chance.often(6_000) { Blow::TailLost { lost } } else { Blow::Anew };
            self.strikes.push(Strike { at, blow });
            // It may come while entries are on their way, or past a leader that does not see it.
            let away = chance.within(2 * SECOND..=10 * SECOND);
            let beside = match chance.below(6) {
                0 => Some(Blow::Hold { away: away / 2 }),
                1 => Some(Blow::FreezeLeader { away }),
                2 => Some(Blow::LeaderApartFromBrokers { away }),
                3 if self.kind == Kind::Epoch => Some(Blow::ApartFromLeader { away: away * 3 }),
                _ => None,
            };
            let before = chance.within(0..=2 * SECOND);
            self.strikes.extend(beside.map(|blow| Strike { at: at - before, blow }));
        }
    }

    fn blow(&self, chance: &mut Chance) -> Blow {
        let kind = match self.kind {
            Kind::Storm => chance.pick(&Kind::ALL[..8]),
            kind => kind,
        };
        let away = chance.within(SECOND..=8 * SECOND);
        let machine = chance.below(self.machines as u64) as usize;
        let choice = chance.below(4);
        match (kind, choice) {
            (Kind::Leader, 0) => Blow::CrashLeader { away, with_broker: false },
            (Kind::Leader, 1) => Blow::CrashLeader { away, with_broker: true },
            (Kind::Leader, 2) => Blow::CrashAtAcceptance { away },
            (Kind::Leader, _) if machine.is_multiple_of(2) => Blow::StopLeader { away },
            (Kind::Pause, 0..=2) => Blow::FreezeLeader { away: away.max(4 * SECOND) * 5 / 2 },
            (Kind::Network, 0 | 1) => Blow::ApartFromLeader { away },
            (Kind::Network, 2) => Blow::LeaderApartFromBrokers { away: away * 2 },
            (Kind::Network, _) => Blow::ApartFromBrokers { machine, away },
            (Kind::Brokers, 0) => Blow::Brokers { away: away * 4 },
            (Kind::Brokers, _) => Blow::Broker { broker: machine % 3, away },
            (Kind::Late, 0 | 1) => Blow::Hold { away: away / 2 },
            (Kind::Clocks | Kind::Late, 2) => Blow::CrashLeader { away, with_broker: false },
            (Kind::Rooms, 0) => Blow::StoreFull { machine, away },
            (Kind::Rooms, 1 | 2) => Blow::Burst { machine, count: chance.within(4..=12) },
            (Kind::Clocks, 1) => Blow::Change { away: away / 2 },
            (Kind::Clocks, 0) => Blow::FreezeLeader { away },
            (Kind::Purge, 0) => Blow::CrashLeader { away, with_broker: false },
            (Kind::Purge, 1) => Blow::StoreFull { machine, away },
            (Kind::Away, 0..=2) | (Kind::Givers, 0) => Blow::Crash { machine, away: away * 5 },
            (Kind::Fresh, 0..=2) | (Kind::Givers, 1) => Blow::Fresh { machine, away },
            (Kind::Givers, 2) if away.is_multiple_of(2) => Blow::Giver { away },
            (Kind::Givers, 2) => Blow::Taker { away },
            (_, 3) => Blow::Crash { machine, away },
            _ => {
                let mood = chance.pick(&[Mood::Refuses, Mood::Silent, Mood::Fickle, Mood::Fickle]);
                Blow::Mood { mood, away }
            }
        }
    }
}

impl fmt::Display for Plan {
    /// Writes the settings on a line, and each strike on another.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", Self { strikes: Vec::new(), ..self.clone() })?;
        self.strikes
            .iter()
            .try_for_each(|strike| writeln!(f, "{:>11.6} {:?}", strike.at as f64 / 1e6, strike.blow))
    }
}
