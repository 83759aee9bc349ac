//! Epochs: which one the trail is in, by a record that all nodes share, and how a person has a broken one begun anew.
//!
//! There is no record before the first repair: then the epoch is 1. A node asks for it every 5 s, and hears it from others too. The record names the node
//! whose store is the beginning, so two persons who repair at the same time make one epoch.

use crate::bytes::{Reader, Write, seal};
use crate::command::Command;
use crate::event::{RecordKey, RecordOutcome, StreamOutcome, WriteOutcome};
use crate::ids::{Incarnation, Moment, NodeId, ReadId, StreamId};
use crate::numbers::Numbers;
use crate::state::Damaged;
use crate::trail::command::{TrailCommand, TrailRefusal, TrailRepair};
use crate::trail::ids::TrailId;

/// Time between reads of the record.
const READ_MS: u64 = 5_000;

/// Pause before a record is read again that nobody answered for.
const AGAIN_MS: u64 = 1_000;

/// Time in which a person is answered.
const REPAIR_MS: u64 = 30_000;

/// Epoch that a new service begins with.
pub(crate) const FIRST_EPOCH: u32 = 1;

const VERSION: u8 = 1;

/// Record of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EpochRecord {
    pub(crate) trail: TrailId,
    /// Node and run whose store is the beginning.
    pub(crate) begun_by: (NodeId, u64),
}

/// What is known of epochs.
#[derive(Debug)]
pub(crate) struct Epochs {
    own: (NodeId, u64),
    /// `None` until it was read.
    known: Option<Known>,
    is_reading: bool,
    read_at_ms: u64,
    repair: Option<Repair>,
}

/// The record as it was read last: its revision, and what it says, if there is one.
#[derive(Debug, Clone, Copy)]
struct Known {
    revision: Option<u64>,
    record: Option<EpochRecord>,
}

/// A repair that a person has asked for.
#[derive(Debug)]
struct Repair {
    until_ms: u64,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is to be judged.
    Waits,
    /// The stream of this epoch is being made.
    Makes(Option<ReadId>, u32, u64),
    /// The record is being written.
    Writes(EpochRecord),
    /// It may be written.
    Looks(EpochRecord),
}

impl EpochRecord {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u32(self.trail.epoch);
        out.put_u64(self.trail.incarnation.0);
        out.put_u64(self.begun_by.0.0);
        out.put_u64(self.begun_by.1);
        seal(&mut out);
        out
    }

    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let trail = TrailId { epoch: reader.u32()?, incarnation: Incarnation(reader.u64()?) };
        let record = Self { trail, begun_by: (NodeId(reader.u64()?), reader.u64()?) };
        reader.end()?;
        Ok(record)
    }
}

impl Epochs {
    pub(crate) fn new(own: (NodeId, u64)) -> Self {
        Self { own, known: None, is_reading: false, read_at_ms: 0, repair: None }
    }

    /// Returns the trail that the record names.
    pub(crate) fn trail(&self) -> Option<TrailId> {
        self.known?.record.map(|record| record.trail)
    }

    /// Returns true once it is known that there is no record: the trail is in its first epoch.
    pub(crate) fn is_first(&self) -> bool {
        self.known.is_some_and(|known| known.record.is_none())
    }

    /// Reads the record when it is time.
    pub(crate) fn run(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        if !self.is_reading && now.elapsed_ms >= self.read_at_ms {
            (self.is_reading, self.read_at_ms) = (true, now.elapsed_ms + READ_MS);
            out.push(TrailCommand::Common(Command::ReadRecord(RecordKey::Trail)));
        }
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        let read = (!self.is_reading).then_some(self.read_at_ms);
        let repair = self.repair.as_ref().map(|repair| match repair.step {
            Step::Waits => 0,
            Step::Makes(None, _, at_ms) => at_ms,
            Step::Makes(..) | Step::Writes(_) | Step::Looks(_) => repair.until_ms,
        });
        read.into_iter().chain(repair).min()
    }

    /// Takes in the record.
    pub(crate) fn read(&mut self, outcome: RecordOutcome, now: Moment, out: &mut Vec<TrailCommand>) {
        self.is_reading = false;
        let known = match outcome {
            RecordOutcome::Is { revision, bytes } => EpochRecord::read(&bytes)
                .ok()
                .map(|record| Known { revision: Some(revision), record: Some(record) }),
            RecordOutcome::Absent => Some(Known { revision: None, record: None }),
            RecordOutcome::NoAnswer => None,
        };
        let Some(known) = known else {
            self.read_at_ms = self.read_at_ms.min(now.elapsed_ms + AGAIN_MS);
            return;
        };
        // A read can be old, and epochs only rise.
        let epoch = |known: Known| known.record.map_or(0, |record| record.trail.epoch);
        if self.known.is_none_or(|own| epoch(own) <= epoch(known)) {
            self.known = Some(known);
        }
        let Some(Repair { step: Step::Looks(wanted), .. }) = self.repair else { return };
        if epoch(known) < wanted.trail.epoch {
            self.write(wanted, out);
        } else if known.record != Some(wanted) {
            self.end(Err(TrailRefusal::Overtaken), out);
        }
    }

    /// Returns the trail of the record if this run has begun it.
    pub(crate) fn own(&self) -> Option<TrailId> {
        let record = self.known?.record?;
        (record.begun_by == self.own).then_some(record.trail)
    }

    /// A person asks for a repair.
    pub(crate) fn ask(&mut self, now: Moment) {
        if self.repair.is_none() {
            self.repair = Some(Repair { until_ms: now.elapsed_ms + REPAIR_MS, step: Step::Waits });
        }
    }

    /// Returns true while a repair is to be judged, and the record is known.
    pub(crate) fn is_asked(&self) -> bool {
        let waits = self.repair.as_ref().is_some_and(|repair| repair.step == Step::Waits);
        waits && self.known.is_some()
    }

    /// Begins the epoch behind this one and behind the one of the record.
    pub(crate) fn begin(&mut self, own_epoch: u32) {
        let epoch = self.trail().map_or(own_epoch, |trail| trail.epoch.max(own_epoch)) + 1;
        if let Some(repair) = &mut self.repair {
            repair.step = Step::Makes(None, epoch, 0);
        }
    }

    /// Asks for the new stream, and gives up when it takes too long.
    pub(crate) fn run_repair(&mut self, now: Moment, numbers: &mut Numbers, out: &mut Vec<TrailCommand>) {
        let Some(repair) = &mut self.repair else { return };
        if now.elapsed_ms >= repair.until_ms {
            return self.end(Err(TrailRefusal::NoBrokers), out);
        }
        if let Step::Makes(read @ None, epoch, at_ms) = &mut repair.step
            && now.elapsed_ms >= *at_ms
        {
            let number = numbers.read();
            *read = Some(number);
            let stream = StreamId::trail(*epoch);
            out.push(TrailCommand::Common(Command::MakeStream { read: number, stream }));
        }
    }

    /// Takes in figures of a stream. Returns true if they are of the new one.
    pub(crate) fn made(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) -> bool {
        let Some(repair) = &mut self.repair else { return false };
        let Step::Makes(asked, epoch, at_ms) = &mut repair.step else { return false };
        if asked.take_if(|own| *own == read).is_none() {
            return false;
        }
        match outcome {
            StreamOutcome::Is(info) if info.last > 0 => self.end(Err(TrailRefusal::Overtaken), out),
            StreamOutcome::Is(info) => {
                let trail = TrailId { epoch: *epoch, incarnation: info.incarnation };
                let record = EpochRecord { trail, begun_by: self.own };
                self.write(record, out);
            }
            StreamOutcome::Absent | StreamOutcome::NoAnswer => *at_ms = now.elapsed_ms + AGAIN_MS,
        }
        true
    }

    fn write(&mut self, record: EpochRecord, out: &mut Vec<TrailCommand>) {
        let Some(repair) = &mut self.repair else { return };
        repair.step = Step::Writes(record);
        let (expected, bytes) = (self.known.and_then(|known| known.revision), record.write());
        out.push(TrailCommand::Common(Command::WriteRecord { key: RecordKey::Trail, expected, bytes }));
    }

    /// The record was written, or not.
    pub(crate) fn written(&mut self, outcome: WriteOutcome, now: Moment) {
        let Some(repair) = &mut self.repair else { return };
        let Step::Writes(record) = repair.step else { return };
        // A refused one may be the own, which was stored after all.
        repair.step = Step::Looks(record);
        match outcome {
            WriteOutcome::Written { revision } => {
                self.known = Some(Known { revision: Some(revision), record: Some(record) });
            }
            WriteOutcome::Refused => self.read_at_ms = now.elapsed_ms,
            WriteOutcome::NoAnswer => self.read_at_ms = self.read_at_ms.min(now.elapsed_ms + AGAIN_MS),
        }
    }

    /// Answers the persons who have asked.
    pub(crate) fn end(&mut self, result: Result<TrailRepair, TrailRefusal>, out: &mut Vec<TrailCommand>) {
        if self.repair.take().is_some() {
            out.push(TrailCommand::RepairEnded(result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};

    #[test]
    fn a_record_is_read_as_it_was_written_and_damage_is_found() {
        let trail = TrailId { epoch: 2, incarnation: Incarnation(7) };
        let record = EpochRecord { trail, begun_by: (NodeId(3), 4) };
        let bytes = record.write();
        assert_eq!(EpochRecord::read(&bytes), Ok(record));
        assert_damage_is_found(&bytes, EpochRecord::read);
        let mut chance = fastrand::Rng::with_seed(5);
        assert_no_damage_panics(&bytes, &mut chance, EpochRecord::read, EpochRecord::write);
    }
}
