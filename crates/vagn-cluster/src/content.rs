//! What follows from the entries of a shard alone: its time, the doors it knows, hashes, and the state.
//!
//! The time is that of the last tick: the earlier of its writer's clock and the broker's, and never before the time that was. Two
//! clocks must be ahead before anything is forgotten too early.

use std::sync::Arc;

use vagn_wire::Fate;

use crate::bytes::{Reader, Write, seal};
use crate::doors::{Doors, Verdict};
use crate::entry::{Batch, Body, Entry, Tick};
use crate::event::LogRecord;
use crate::hash::{fold, hash};
use crate::ids::{BatchId, ShardId, order_number};
use crate::state::{Damaged, Place, ShardState};
use crate::view::TickMark;

/// Time by which an arrival may lie before or after the last tick. Up to the time at which a broker took it, it may lie later.
const ARRIVAL_MS: i64 = 1_000;

const VERSION: u8 = 1;

/// Content of a shard after an entry.
#[derive(Debug, Clone)]
pub(crate) struct Content<S> {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u32,
    /// Number of the data set. Another one may have shards, epochs and sequences of the same names.
    pub(crate) data_set: u64,
    /// Base of the epoch's order numbers.
    pub(crate) base: u64,
    /// The last entry, 0 before the first.
    pub(crate) sequence: u64,
    pub(crate) time_ms: i64,
    /// Hash of all entries, with what became of them.
    pub(crate) running_hash: u64,
    /// Hash of the last entry alone, as it lies in the stream.
    pub(crate) entry_hash: u64,
    pub(crate) tick: Option<TickMark>,
    doors: Doors,
    pub(crate) state: S,
}

/// Outcome of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// A batch came for the first time: the fate of each change.
    Batch(BatchId, Arc<[Fate]>),
    /// A batch came again, and nothing was done.
    Repeat(BatchId),
    /// The door is not known: see [`Doors`].
    Refused(BatchId),
    /// Time passed; `held`, if it would have run back.
    Tick { tick: Tick, held: bool },
    /// An entry of another epoch: it is void.
    Void,
}

/// What a shard begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u32,
    pub(crate) data_set: u64,
    pub(crate) base: u64,
    /// Time of the shard before its first tick.
    pub(crate) time_ms: i64,
    /// Settings of the state.
    pub(crate) settings: &'a [u8],
}

impl<S: ShardState> Content<S> {
    pub(crate) fn begin(beginning: Beginning<'_>) -> Self {
        let Beginning { shard, epoch, data_set, base, time_ms, settings } = beginning;
        Self {
            shard,
            epoch,
            data_set,
            base,
            sequence: 0,
            time_ms,
            running_hash: fold(hash(&[settings]), u64::from(shard.0)),
            entry_hash: 0,
            tick: None,
            doors: Doors::new(),
            state: S::begin(shard, settings),
        }
    }

    /// Goes on in a new epoch, whose stream begins with 1.
    pub(crate) fn enter(&mut self, epoch: u32, base: u64) {
        self.running_hash = fold(self.running_hash, u64::from(epoch));
        (self.epoch, self.base, self.sequence, self.entry_hash, self.tick) = (epoch, base, 0, 0, None);
    }

    /// Applies the entry behind the last one. `clock_ms` is a planted fault: it takes the place of the tick's time in the state.
    ///
    /// # Errors
    /// [`Damaged`] when the entry cannot be read; then nothing was changed.
    pub(crate) fn apply(&mut self, record: &LogRecord, clock_ms: Option<i64>) -> Result<Applied, Damaged> {
        debug_assert_eq!(record.sequence, self.sequence + 1);
        let entry = Entry::read(&record.bytes)?;
        let applied = match entry.body {
            _ if entry.epoch != self.epoch => Applied::Void,
            Body::Batch(batch) => self.batch(&batch, record),
            Body::Tick(tick) => self.pass(tick, record.time_ms, clock_ms),
        };
        self.sequence = record.sequence;
        self.entry_hash = entry_hash(record);
        self.running_hash = fold(fold(self.running_hash, self.entry_hash), outcome_hash(&applied));
        if let Applied::Tick { .. } = applied {
            self.tick = Some(TickMark {
                sequence: self.sequence,
                time_ms: self.time_ms,
                content_hash: self.state.content_hash(),
                running_hash: self.running_hash,
            });
        }
        Ok(applied)
    }

    fn batch(&mut self, batch: &Batch<'_>, record: &LogRecord) -> Applied {
        let sequence = record.sequence;
        match self.doors.note(batch.id, self.time_ms.max(record.time_ms)) {
            Verdict::Repeat => return Applied::Repeat(batch.id),
            Verdict::Refused => return Applied::Refused(batch.id),
            Verdict::New => {}
        }
        let (base, time_ms) = (self.base, self.time_ms);
        let changes = (0..).zip(batch.changes()).map(|(index, change)| {
            let arrival_ms = match change {
                crate::Change::Report { arrival_ms, .. } => arrival_ms,
                _ => time_ms,
            };
            // Behind a standstill, batches can come before the first tick: then the broker's clock says that the door's is right.
            let latest = time_ms.saturating_add(ARRIVAL_MS).max(arrival_ms.min(record.time_ms));
            let arrival_ms = arrival_ms.clamp(time_ms.saturating_sub(ARRIVAL_MS), latest);
            (Place { order: order_number(base, sequence, index), time_ms, arrival_ms }, change)
        });
        let fates = self.state.apply_all(changes);
        debug_assert_eq!(fates.len(), batch.len());
        Applied::Batch(batch.id, fates.into())
    }

    fn pass(&mut self, tick: Tick, broker_ms: i64, clock_ms: Option<i64>) -> Applied {
        let time_ms = tick.wall_ms.min(broker_ms);
        let held = time_ms < self.time_ms;
        self.time_ms = self.time_ms.max(time_ms);
        self.doors.tick(self.time_ms);
        self.state.tick(clock_ms.unwrap_or(self.time_ms));
        Applied::Tick { tick, held }
    }

    /// Says if a batch was seen before.
    pub(crate) fn has_seen(&self, batch: BatchId) -> bool {
        self.doors.verdict(batch, self.time_ms) == Verdict::Repeat
    }

    /// Returns the byte form.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u16(self.shard.0);
        out.put_u32(self.epoch);
        out.put_u64(self.data_set);
        out.put_u64(self.base);
        out.put_u64(self.sequence);
        out.put_i64(self.time_ms);
        out.put_u64(self.running_hash);
        out.put_u64(self.entry_hash);
        out.put_u8(u8::from(self.tick.is_some()));
        if let Some(tick) = self.tick {
            out.put_u64(tick.sequence);
            out.put_i64(tick.time_ms);
            out.put_u64(tick.content_hash);
            out.put_u64(tick.running_hash);
        }
        self.doors.write(&mut out);
        self.state.write_snapshot(&mut out);
        seal(&mut out);
        out
    }

    /// Reads the byte form of this shard.
    pub(crate) fn read(shard: ShardId, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION || reader.u16()? != shard.0 {
            return Err(Damaged);
        }
        let (epoch, data_set) = (reader.u32()?, reader.u64()?);
        let (base, sequence) = (reader.u64()?, reader.u64()?);
        let (time_ms, running_hash, entry_hash) = (reader.i64()?, reader.u64()?, reader.u64()?);
        let tick = if reader.flag()? { Some(read_mark(&mut reader)?) } else { None };
        let doors = Doors::read(&mut reader)?;
        let state = S::read_snapshot(shard, reader.rest())?;
        Ok(Self {
            shard,
            epoch,
            data_set,
            base,
            sequence,
            time_ms,
            running_hash,
            entry_hash,
            tick,
            doors,
            state,
        })
    }
}

fn read_mark(reader: &mut Reader<'_>) -> Result<TickMark, Damaged> {
    Ok(TickMark {
        sequence: reader.u64()?,
        time_ms: reader.i64()?,
        content_hash: reader.u64()?,
        running_hash: reader.u64()?,
    })
}

/// Returns the hash of an entry as it lies in the stream.
pub(crate) fn entry_hash(record: &LogRecord) -> u64 {
    hash(&[&record.sequence.to_le_bytes(), &record.time_ms.to_le_bytes(), &record.bytes])
}

fn outcome_hash(applied: &Applied) -> u64 {
    match applied {
        Applied::Batch(_, fates) => fates.iter().fold(1, |hash, fate| fold(hash, *fate as u64)),
        Applied::Repeat(_) => 2,
        Applied::Refused(_) => 3,
        Applied::Tick { .. } => 4,
        Applied::Void => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Log, Places};

    const NOW: i64 = 1_800_000_000_000;

    fn content() -> Content<Places> {
        Content::begin(Beginning {
            shard: ShardId(3),
            epoch: 1,
            data_set: 4,
            base: 1_000,
            time_ms: NOW,
            settings: b"",
        })
    }

    fn apply(content: &mut Content<Places>, log: &Log) -> Vec<Applied> {
        log.behind(content.sequence).map(|record| content.apply(record, None).unwrap()).collect()
    }

    #[test]
    fn what_holds_follows_from_entries_alone() {
        let mut log = Log::new(1);
        log.batch(1, &["a", "b"]).tick(NOW + 1_000, NOW + 1_200).batch(2, &["b"]).batch(1, &["a", "b"]);
        let (mut one, mut other) = (content(), content());
        let applied = apply(&mut one, &log);
        assert!(matches!(&applied[0], Applied::Batch(_, fates) if fates[..] == [Fate::Stored; 2]));
        assert!(matches!(applied[3], Applied::Repeat(_)));
        // The other goes over a snapshot in the middle.
        other.apply(log.at(1), None).unwrap();
        let mut other = Content::<Places>::read(ShardId(3), &other.write()).unwrap();
        assert_eq!(apply(&mut other, &log), applied[1..]);
        assert_eq!((one.write(), one.running_hash), (other.write(), other.running_hash));
        assert_eq!(one.state.orders("b"), order_number(1_000, 3, 0));
    }

    #[test]
    fn time_is_the_earlier_of_two_clocks_and_never_runs_back() {
        let mut log = Log::new(1);
        log.tick(NOW + 9_000, NOW + 2_000).tick(NOW + 3_000, NOW + 9_000).tick(NOW + 2_500, NOW + 99_000);
        let mut content = content();
        let held: Vec<bool> = apply(&mut content, &log)
            .iter()
            .map(|one| matches!(one, Applied::Tick { held: true, .. }))
            .collect();
        assert_eq!((held, content.time_ms), (vec![false, false, true], NOW + 3_000));
    }

    #[test]
    fn arrivals_are_kept_near_the_last_tick() {
        for (arrival_ms, broker_ms, counts) in [
            (NOW - 5_000, NOW, NOW - 1_000),
            (NOW + 400, NOW, NOW + 400),
            (i64::MAX, NOW, NOW + 1_000),
            // The shard stood still for a minute.
            (NOW + 60_000, NOW + 60_300, NOW + 60_000),
            (NOW + 65_000, NOW + 60_000, NOW + 60_000),
            (NOW + 400, i64::MAX, NOW + 400),
        ] {
            let mut log = Log::new(1);
            log.batch_between(1, &["a"], arrival_ms, broker_ms);
            let mut content = content();
            apply(&mut content, &log);
            assert_eq!(content.state.arrival_ms("a"), counts, "{arrival_ms} {broker_ms}");
        }
    }

    #[test]
    fn an_entry_of_another_epoch_is_void() {
        let mut log = Log::new(2);
        log.batch(1, &["a"]);
        let mut content = content();
        assert_eq!(apply(&mut content, &log), [Applied::Void]);
        assert_eq!(content.sequence, 1);
        content.enter(2, 5_000);
        assert!(matches!(apply(&mut content, &log)[0], Applied::Batch(..)));
        assert_eq!(content.state.orders("a"), order_number(5_000, 1, 0));
    }

    #[test]
    fn a_fate_that_differs_is_in_the_hash() {
        let mut log = Log::new(1);
        log.batch(1, &["a"]).batch(2, &["a"]);
        let (mut one, mut other) = (content(), content());
        other.state.refuse_all();
        apply(&mut one, &log);
        apply(&mut other, &log);
        assert_eq!(one.entry_hash, other.entry_hash);
        assert_ne!(one.running_hash, other.running_hash);
    }

    #[test]
    fn damage_is_found() {
        let mut log = Log::new(1);
        log.batch(1, &["a"]).tick(NOW, NOW);
        let mut content = content();
        apply(&mut content, &log);
        crate::bytes::assert_damage_is_found(&content.write(), |bytes| {
            Content::<Places>::read(ShardId(3), bytes).map(|_| ())
        });
        assert!(Content::<Places>::read(ShardId(4), &content.write()).is_err());
    }
}
