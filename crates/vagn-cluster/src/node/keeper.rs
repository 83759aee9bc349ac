//! This node's copy of the record of assignment: read every 2 s, changed by compare-and-set, kept on disk, and written again should
//! the brokers lose it.
//!
//! A data set is begun only by a node that never saw one, hears of none, and finds all streams empty. Otherwise a lost record would
//! make a new data set over the old one.

use crate::assignment::{Assignment, Owner, ShardRecord};
use crate::command::Command;
use crate::event::{RecordKey, RecordOutcome, StreamOutcome, WriteOutcome};
use crate::happened::Happened;
use crate::ids::{Incarnation, Moment, NodeId, ReadId, ShardId, StreamId};
use crate::node::plan::Plan;
use crate::numbers::Numbers;
use crate::settings::Settings;

/// Time between reads of the record.
const READ_MS: u64 = 2_000;

/// Pause before a record is read again that another node has a later version of, or before a change is tried again.
const SOON_MS: u64 = 200;

/// Time for which a record must be missing, or older than ours, to be written again. A read can be 10 s old.
const LOST_MS: u64 = 12_000;

/// Time for which nothing may be heard of a data set before one is begun.
const FOUND_MS: u64 = 4_000;

/// Base of the first epoch's order numbers per millisecond since 1970.
const NS_PER_MS: u64 = 1_000_000;

/// The record as this node knows it.
#[derive(Debug)]
pub(super) struct Keeper {
    known: Option<Assignment>,
    /// Revision under which the brokers have what is known.
    revision: Option<u64>,
    /// Moment at which they were last seen to have it.
    confirmed_ms: Option<u64>,
    is_reading: bool,
    read_at_ms: u64,
    write: Option<Write>,
    /// Since when, and under which revision, the brokers have nothing or something older.
    lost: Option<(u64, Option<u64>)>,
    founding: Option<Founding>,
}

/// A change that is under way.
#[derive(Debug)]
struct Write {
    plan: Plan,
}

/// A data set that is about to be begun.
#[derive(Debug)]
struct Founding {
    reads: Vec<(ReadId, ShardId)>,
    made: Vec<Option<Incarnation>>,
}

impl Keeper {
    pub(super) fn new() -> Self {
        Self {
            known: None,
            revision: None,
            confirmed_ms: None,
            is_reading: false,
            read_at_ms: 0,
            write: None,
            lost: None,
            founding: None,
        }
    }

    /// Takes what an earlier run kept on disk.
    pub(super) fn restore(&mut self, note: &[u8]) {
        self.known = Assignment::read(note).ok();
    }

    /// Makes this node the owner of shards that it has and that its note gives to nobody, as that of a copy does.
    pub(super) fn own_copied(&mut self, me: NodeId, has: impl Fn(ShardId, u64, u32) -> bool) {
        let Some(Assignment { data_set, shards, .. }) = &mut self.known else { return };
        for (shard, place) in (0..).map(ShardId).zip(shards) {
            if place.owners.is_empty() && has(shard, *data_set, place.epoch) {
                place.set(me, true);
            }
        }
    }

    pub(super) fn known(&self) -> Option<&Assignment> {
        self.known.as_ref()
    }

    pub(super) fn version(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.version)
    }

    /// Moment at which the brokers were last seen to have what is known.
    pub(super) fn confirmed_ms(&self) -> Option<u64> {
        self.confirmed_ms
    }

    /// True when a change can be made now.
    pub(super) fn may_change(&self) -> bool {
        self.revision.is_some() && self.write.is_none() && self.lost.is_none()
    }

    /// Reads the record when it is time.
    pub(super) fn run(&mut self, now: Moment, out: &mut Vec<Command>) {
        if !self.is_reading && now.elapsed_ms >= self.read_at_ms {
            (self.is_reading, self.read_at_ms) = (true, now.elapsed_ms + READ_MS);
            out.push(Command::ReadRecord(RecordKey::Assignment));
        }
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        (!self.is_reading).then_some(self.read_at_ms)
    }

    /// Another node knows a later version.
    pub(super) fn hear(&mut self, version: u64, now: Moment) {
        if version > self.version() {
            self.read_at_ms = self.read_at_ms.min(now.elapsed_ms + SOON_MS);
        }
    }

    /// The record was read. Returns true when it is another than before.
    pub(super) fn read(
        &mut self,
        outcome: RecordOutcome,
        context: Context<'_>,
        out: &mut Vec<Command>,
    ) -> bool {
        self.is_reading = false;
        match outcome {
            RecordOutcome::NoAnswer => false,
            RecordOutcome::Absent => {
                self.missing(None, context, out);
                false
            }
            RecordOutcome::Is { revision, bytes } => {
                // A record that cannot be read is of a later version of the program: nothing may be changed.
                let Ok(read) = Assignment::read(&bytes) else { return false };
                let is_older = |known: &Assignment| {
                    // What is of another data set is neither older nor newer: the brokers' counts, and the shards here stop.
                    read.data_set == known.data_set && read.version < known.version
                };
                if self.known.as_ref().is_some_and(is_older) {
                    self.missing(Some(revision), context, out);
                    return false;
                }
                self.take(read, revision, context.now, out)
            }
        }
    }

    /// Takes a record that the brokers have.
    fn take(&mut self, read: Assignment, revision: u64, now: Moment, out: &mut Vec<Command>) -> bool {
        (self.lost, self.founding) = (None, None);
        (self.revision, self.confirmed_ms) = (Some(revision), Some(now.elapsed_ms));
        let is_new = self.known.as_ref() != Some(&read);
        if is_new {
            out.push(Command::WriteNote(read.write()));
            self.known = Some(read);
        }
        is_new
    }

    /// The brokers have no record, or one that is older than ours.
    fn missing(&mut self, revision: Option<u64>, context: Context<'_>, out: &mut Vec<Command>) {
        let (since_ms, _) = *self.lost.get_or_insert((context.now.elapsed_ms, revision));
        self.lost = Some((since_ms, revision));
        let lost_ms = context.now.elapsed_ms - since_ms;
        if self.write.is_some() {
            return;
        }
        match &self.known {
            // Who knows the latest version writes it again; others read it then.
            Some(known) if lost_ms >= LOST_MS && known.version >= context.heard_version => {
                let mut record = known.clone();
                record.version += 1;
                let told = vec![Happened::RecordRestored];
                self.write(Plan { record, told }, revision, out);
            }
            Some(_) => {}
            None if lost_ms >= FOUND_MS && !context.anybody_holds && context.settings.stores => {
                self.found(context, out);
            }
            None => {}
        }
    }

    /// Makes the streams of a new data set.
    fn found(&mut self, context: Context<'_>, out: &mut Vec<Command>) {
        let shards = context.settings.shards.clamp(1, crate::ids::SHARDS_MAX);
        let mut founding = Founding { reads: Vec::new(), made: vec![None; usize::from(shards)] };
        for shard in (0..shards).map(ShardId) {
            let read = context.numbers.read();
            founding.reads.push((read, shard));
            out.push(Command::MakeStream { read, stream: StreamId { shard, epoch: 1 } });
        }
        self.founding = Some(founding);
    }

    /// A stream was made. Returns false when it was not asked for here.
    pub(super) fn made(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        context: Context<'_>,
        out: &mut Vec<Command>,
    ) -> bool {
        let Some(founding) = &mut self.founding else { return false };
        let Some((_, shard)) = founding.reads.iter().find(|(own, _)| *own == read) else { return false };
        match outcome {
            StreamOutcome::Is(info) if info.last == 0 => {
                founding.made[usize::from(shard.0)] = Some(info.incarnation);
            }
            // A stream that holds something belongs to a data set whose record is lost.
            _ => self.founding = None,
        }
        let Some(made) = self
            .founding
            .as_ref()
            .and_then(|founding| founding.made.iter().copied().collect::<Option<Vec<Incarnation>>>())
        else {
            return true;
        };
        self.founding = None;
        if self.known.is_none() && self.write.is_none() && !context.anybody_holds {
            let data_set = context.numbers.random();
            let record = founded(made, data_set, context.settings, context.now);
            self.write(Plan { record, told: vec![Happened::Founded] }, None, out);
        }
        true
    }

    /// Makes a change of what is known.
    pub(super) fn change(&mut self, plan: Plan, out: &mut Vec<Command>) {
        if self.may_change() {
            self.write(plan, self.revision, out);
        }
    }

    fn write(&mut self, plan: Plan, expected: Option<u64>, out: &mut Vec<Command>) {
        out.push(Command::WriteRecord { key: RecordKey::Assignment, expected, bytes: plan.record.write() });
        self.write = Some(Write { plan });
    }

    /// A change was answered. Returns true when the record is another than before.
    pub(super) fn written(&mut self, outcome: WriteOutcome, now: Moment, out: &mut Vec<Command>) -> bool {
        let Some(Write { plan }) = self.write.take() else { return false };
        match outcome {
            WriteOutcome::Written { revision } => {
                out.extend(plan.told.into_iter().map(Command::Tell));
                self.take(plan.record, revision, now, out)
            }
            WriteOutcome::Refused | WriteOutcome::NoAnswer => {
                // What the brokers have is known only after a read.
                self.revision = None;
                self.read_at_ms = self.read_at_ms.min(now.elapsed_ms + SOON_MS);
                false
            }
        }
    }
}

/// What a keeper is told beside the answer.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Moment,
    pub(super) numbers: &'a mut Numbers,
    /// Latest version that another node said it knows.
    pub(super) heard_version: u64,
    /// Another node, or this one's disk, has something of a data set.
    pub(super) anybody_holds: bool,
}

/// Returns the record of a data set that begins now, all of it owned by this node.
fn founded(made: Vec<Incarnation>, data_set: u64, settings: &Settings, now: Moment) -> Assignment {
    let shard = |incarnation| ShardRecord {
        epoch: 1,
        base: u64::try_from(now.wall_ms).unwrap_or(0).saturating_mul(NS_PER_MS).min(1 << 62),
        incarnation,
        begun_ms: now.wall_ms,
        founder: settings.node,
        owners: vec![Owner { node: settings.node, is_full: true }],
    };
    let shards = made.into_iter().map(shard).collect();
    Assignment { version: 1, data_set, settings: settings.begin.clone(), shards }
}

/// Returns the base of an epoch that follows one whose last entry was at most `sequence`.
pub(super) fn next_base(base: u64, sequence: u64) -> u64 {
    // Entries that only another owner had lie below it too, unless there are four thousand million of them.
    base + ((sequence + (1 << 32)) << 12)
}

/// Returns the record with a new epoch of a shard that begins from the content of `founder`.
pub(super) fn repaired(
    known: &Assignment,
    shard: ShardId,
    founder: NodeId,
    incarnation: Incarnation,
    sequence: u64,
) -> Option<Plan> {
    let mut record = known.clone();
    let place = record.shard_mut(shard)?;
    (place.epoch, place.base) = (place.epoch + 1, next_base(place.base, sequence));
    (place.incarnation, place.founder) = (incarnation, founder);
    for owner in &mut place.owners {
        owner.is_full = false;
    }
    place.set(founder, true);
    record.version += 1;
    Some(Plan { record, told: Vec::new() })
}

#[cfg(test)]
mod tests;
