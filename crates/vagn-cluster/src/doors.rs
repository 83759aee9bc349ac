//! The batches that a shard has seen, by door: a repeat is known however late it comes.
//!
//! A table of all doors that ever were would grow without end. So doors that were silent for a day are forgotten, and with them the
//! time is noted before which a door that is not in the table must have been born to be one of the forgotten. Such a door is refused:
//! it takes a new name, born now, and goes on. Times are those of the shard, so all replicas forget and refuse alike.

use std::collections::BTreeMap;

use crate::bytes::{Reader, Write};
use crate::ids::{BatchId, DoorId, NodeId};
use crate::state::Damaged;

/// Silence after which a door is forgotten.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Time by which a new door's birth may lie after the time of the shard.
const AHEAD_MS: i64 = 10_000;

/// Most doors in the table. Beyond, the one that was silent for longest is forgotten.
const DOORS_MAX: usize = 4_096;

/// Most gaps in the numbers of a door. Beyond, the lowest is closed: a batch that comes that late is taken for a repeat.
const GAPS_MAX: usize = 64;

/// What a shard says of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was not seen before.
    New,
    /// It was.
    Repeat,
    /// Its door is not known, and may be one of those that were forgotten, or was born in the future.
    Refused,
}

/// Doors that a shard knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Doors {
    doors: BTreeMap<DoorId, Door>,
    /// Doors that are not in the table were born after this time, or are refused.
    born_after_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Door {
    /// Time when it was heard last.
    heard_ms: i64,
    /// Highest number seen.
    highest: u64,
    /// Numbers below the highest that were not seen: first and last of each gap, in rising order.
    gaps: Vec<(u64, u64)>,
}

impl Doors {
    pub(crate) fn new() -> Self {
        Self { doors: BTreeMap::new(), born_after_ms: i64::MIN }
    }

    /// Says what a batch would be, and changes nothing. The time is that of the shard, or of the brokers when that is later: after a
    /// repair a shard takes batches of doors that were born after its last tick.
    pub(crate) fn verdict(&self, batch: BatchId, time_ms: i64) -> Verdict {
        match self.doors.get(&batch.door) {
            Some(door) if door.has(batch.number) => Verdict::Repeat,
            Some(_) => Verdict::New,
            None => {
                let born = batch.door.born_ms;
                let may_be = born > self.born_after_ms && born <= time_ms.saturating_add(AHEAD_MS);
                if may_be { Verdict::New } else { Verdict::Refused }
            }
        }
    }

    /// Notes a batch that came at this time, and says what it is.
    pub(crate) fn note(&mut self, batch: BatchId, time_ms: i64) -> Verdict {
        let verdict = self.verdict(batch, time_ms);
        if verdict != Verdict::Refused {
            let door = self.doors.entry(batch.door).or_default();
            door.heard_ms = time_ms;
            door.note(batch.number);
            if self.doors.len() > DOORS_MAX {
                self.forget_silent();
            }
        }
        verdict
    }

    /// Forgets doors that were silent for long.
    pub(crate) fn tick(&mut self, time_ms: i64) {
        let before = time_ms.saturating_sub(KEPT_MS);
        let silent = self.doors.values().map(|door| door.heard_ms).filter(|heard| *heard < before).max();
        if let Some(heard_ms) = silent {
            self.doors.retain(|_, door| door.heard_ms >= before);
            self.close(heard_ms);
        }
    }

    fn forget_silent(&mut self) {
        let silent = self.doors.iter().min_by_key(|(id, door)| (door.heard_ms, **id));
        if let Some((id, heard_ms)) = silent.map(|(id, door)| (*id, door.heard_ms)) {
            self.doors.remove(&id);
            self.close(heard_ms);
        }
    }

    /// A door that was heard at this time was born at most so much after it: see [`verdict`](Self::verdict).
    fn close(&mut self, heard_ms: i64) {
        self.born_after_ms = self.born_after_ms.max(heard_ms.saturating_add(AHEAD_MS));
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_i64(self.born_after_ms);
        out.put_count(self.doors.len());
        for (id, door) in &self.doors {
            out.put_u64(id.node.0);
            out.put_i64(id.born_ms);
            out.put_u64(id.random);
            out.put_i64(door.heard_ms);
            out.put_u64(door.highest);
            out.put_count(door.gaps.len());
            for (first, last) in &door.gaps {
                out.put_u64(*first);
                out.put_u64(*last);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut read = Self { doors: BTreeMap::new(), born_after_ms: reader.i64()? };
        for _ in 0..reader.count(DOORS_MAX, 44)? {
            let id = DoorId { node: NodeId(reader.u64()?), born_ms: reader.i64()?, random: reader.u64()? };
            if read.doors.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(Damaged);
            }
            read.doors.insert(id, Door::read(reader)?);
        }
        Ok(read)
    }
}

impl Door {
    fn has(&self, number: u64) -> bool {
        number <= self.highest && !self.gaps.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    fn note(&mut self, number: u64) {
        if number > self.highest {
            if number - self.highest > 1 {
                self.gaps.push((self.highest + 1, number - 1));
            }
            self.highest = number;
        } else if let Some(at) = self.gaps.iter().position(|(first, last)| (*first..=*last).contains(&number))
        {
            let (first, last) = self.gaps.remove(at);
            let parts = [(first, number - 1), (number + 1, last)];
            let left = parts.into_iter().filter(|(first, last)| first <= last);
            self.gaps.splice(at..at, left);
        }
        if self.gaps.len() > GAPS_MAX {
            self.gaps.remove(0);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut door = Self { heard_ms: reader.i64()?, highest: reader.u64()?, gaps: Vec::new() };
        let mut free_from = 1;
        for _ in 0..reader.count(GAPS_MAX, 16)? {
            let (first, last) = (reader.u64()?, reader.u64()?);
            if first < free_from || last < first || last >= door.highest {
                return Err(Damaged);
            }
            // Two gaps have a seen number between them.
            free_from = last + 2;
            door.gaps.push((first, last));
        }
        Ok(door)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn door(born_ms: i64, random: u64) -> DoorId {
        DoorId { node: NodeId(1), born_ms, random }
    }

    fn batch(number: u64) -> BatchId {
        BatchId { door: door(NOW, 1), number }
    }

    #[test]
    fn a_number_is_new_once_in_whatever_order() {
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..50 {
            let (mut doors, mut seen) = (Doors::new(), BTreeSet::new());
            for _ in 0..200 {
                let number = chance.u64(1..100);
                let expected = if seen.insert(number) { Verdict::New } else { Verdict::Repeat };
                assert_eq!(doors.verdict(batch(number), NOW), expected);
                assert_eq!(doors.note(batch(number), NOW), expected, "{number} after {seen:?}");
            }
        }
    }

    #[test]
    fn a_batch_that_was_never_seen_is_new_long_after_those_behind_it() {
        let mut doors = Doors::new();
        for number in (1..=10_000).filter(|number| *number != 7) {
            assert_eq!(doors.note(batch(number), NOW), Verdict::New);
        }
        assert_eq!(doors.note(batch(7), NOW), Verdict::New);
        assert_eq!(doors.note(batch(7), NOW), Verdict::Repeat);
    }

    #[test]
    fn gaps_have_a_bound_and_the_lowest_closes() {
        let mut doors = Doors::new();
        for number in 1..=200 {
            doors.note(batch(number * 2), NOW);
        }
        assert_eq!(doors.verdict(batch(1), NOW), Verdict::Repeat);
        assert_eq!(doors.verdict(batch(399), NOW), Verdict::New);
    }

    #[test]
    fn a_repeat_of_a_forgotten_door_is_refused() {
        let mut doors = Doors::new();
        // Born by a clock that is ahead as far as may be.
        let early = BatchId { door: door(NOW + AHEAD_MS, 1), number: 1 };
        assert_eq!(doors.note(early, NOW), Verdict::New);
        let mut time_ms = NOW;
        while doors.verdict(early, time_ms) == Verdict::Repeat {
            time_ms += 60_000;
            doors.tick(time_ms);
        }
        assert!(doors.doors.is_empty());
        assert_eq!(doors.note(early, time_ms), Verdict::Refused);
        // It takes a name that is born at the time of the shard.
        assert_eq!(doors.note(BatchId { door: door(time_ms, 2), number: 1 }, time_ms), Verdict::New);
    }

    #[test]
    fn a_door_from_the_future_is_refused() {
        let mut doors = Doors::new();
        let future = BatchId { door: door(NOW + AHEAD_MS + 1, 1), number: 1 };
        assert_eq!(doors.note(future, NOW), Verdict::Refused);
        assert_eq!(doors.note(future, NOW + 1), Verdict::New);
    }

    #[test]
    fn the_table_has_a_bound_and_what_it_forgets_stays_refused() {
        let mut doors = Doors::new();
        let of = |at: i64| BatchId { door: door(NOW + at * 20_000, at as u64), number: 1 };
        for at in 0..=DOORS_MAX as i64 {
            assert_eq!(doors.note(of(at), NOW + at * 20_000), Verdict::New);
        }
        let end_ms = NOW + DOORS_MAX as i64 * 20_000;
        assert_eq!(doors.doors.len(), DOORS_MAX);
        assert_eq!(
            (doors.verdict(of(0), end_ms), doors.verdict(of(1), end_ms)),
            (Verdict::Refused, Verdict::Repeat)
        );
    }

    #[test]
    fn is_read_as_it_was_written() {
        let mut doors = Doors::new();
        for number in [3, 9, 5, 20] {
            doors.note(batch(number), NOW);
        }
        doors.note(BatchId { door: door(NOW - 5, 4), number: 1 }, NOW - 2 * KEPT_MS);
        doors.tick(NOW);
        let mut bytes = Vec::new();
        doors.write(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Doors::read(&mut reader), Ok(doors));
        assert_eq!(reader.end(), Ok(()));
    }
}
