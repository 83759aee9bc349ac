//! Network: delays, losses, repeats and partitions between machines, and between machines and brokers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::agenda::MILLI;
use crate::chance::Chance;

/// Number of a machine in a run, from 0.
pub(crate) type MachineId = usize;

/// How well a network does. What happens "in 10 000" is counted by message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Shortest and longest delay, µs.
    pub(crate) delay: (u64, u64),
    /// Messages lost, in 10 000.
    pub(crate) lost: u64,
    /// Messages that come twice, in 10 000.
    pub(crate) twice: u64,
    /// Messages that come up to 300 ms later, and so out of order, in 10 000.
    pub(crate) late: u64,
    /// Messages between machines that are cut off somewhere, in 10 000.
    pub(crate) cut: u64,
}

/// A network.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) weather: Weather,
    /// Until when a pair of machines is apart. The lower number stands first.
    pairs: BTreeMap<(MachineId, MachineId), u64>,
    /// Until when a machine is apart from the brokers.
    brokers: BTreeMap<MachineId, u64>,
}

impl Network {
    pub(crate) fn new(weather: Weather) -> Self {
        Self { weather, pairs: BTreeMap::new(), brokers: BTreeMap::new() }
    }

    pub(crate) fn part(&mut self, one: MachineId, other: MachineId, until: u64) {
        let apart = self.pairs.entry((one.min(other), one.max(other))).or_default();
        *apart = until.max(*apart);
    }

    pub(crate) fn part_from_brokers(&mut self, machine: MachineId, until: u64) {
        let apart = self.brokers.entry(machine).or_default();
        *apart = until.max(*apart);
    }

    pub(crate) fn joins(&self, one: MachineId, other: MachineId, now: u64) -> bool {
        self.pairs.get(&(one.min(other), one.max(other))).is_none_or(|until| now >= *until)
    }

    pub(crate) fn joins_brokers(&self, machine: MachineId, now: u64) -> bool {
        self.brokers.get(&machine).is_none_or(|until| now >= *until)
    }

    /// Draws one delay.
    pub(crate) fn delay(&self, chance: &mut Chance) -> u64 {
        let (shortest, longest) = self.weather.delay;
        chance.within(RangeInclusive::new(shortest, longest))
    }

    /// Draws when a message comes: not at all, once, or twice.
    pub(crate) fn delays(&self, chance: &mut Chance) -> impl Iterator<Item = u64> + use<> {
        let Weather { lost, twice, late, .. } = self.weather;
        let mut one = |there: bool| {
            let extra = if chance.often(late) { chance.below(300 * MILLI) } else { 0 };
            there.then(|| self.delay(chance) + extra)
        };
        let first = one(true);
        let second = one(true);
        let (comes, again) = (!chance.often(lost), chance.often(twice));
        first.filter(|_| comes).into_iter().chain(second.filter(|_| comes && again))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEATHER: Weather = Weather { delay: (200, 900), lost: 0, twice: 0, late: 0, cut: 0 };

    fn count(weather: Weather) -> (usize, u64) {
        let network = Network::new(weather);
        let mut chance = Chance::new(4);
        let delays: Vec<u64> = (0..1_000).flat_map(|_| network.delays(&mut chance)).collect();
        (delays.len(), delays.into_iter().max().unwrap())
    }

    #[test]
    fn messages_are_lost_doubled_and_late_as_often_as_the_weather_says() {
        let (comes, longest) = count(WEATHER);
        assert!(comes == 1_000 && (850..=900).contains(&longest), "{comes}, {longest}");
        assert!((850..950).contains(&count(Weather { lost: 1_000, ..WEATHER }).0));
        assert!((1_050..1_150).contains(&count(Weather { twice: 1_000, ..WEATHER }).0));
        assert!(count(Weather { late: 1_000, ..WEATHER }).1 > 200 * MILLI);
    }

    #[test]
    fn a_partition_ends() {
        let mut network = Network::new(WEATHER);
        network.part(2, 1, 10);
        network.part(1, 2, 5);
        network.part_from_brokers(1, 7);
        assert!(!network.joins(1, 2, 9) && network.joins(1, 2, 10) && network.joins(1, 3, 0));
        assert!(!network.joins_brokers(1, 6) && network.joins_brokers(1, 7) && network.joins_brokers(2, 0));
    }
}
