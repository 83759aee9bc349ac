//! Publishing again what this node's log holds, before the log is let go: into the stream of a new epoch, or into the same one that has
//! gone on without this node and may have lost what it got. What the shard has is a repeat there, by door and number; what only this
//! node had is stored. Until all is in the stream the log stays: also when it cannot be read.
//!
//! The rest of a log that a start has found damaged goes the same way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::command::Command;
use crate::entry::{Body, Entry, with_epoch};
use crate::event::{LogOutcome, LogRecord, PublishOutcome};
use crate::ids::{BatchId, Moment, NodeId, PublishId, ReadId, StreamId};
use crate::numbers::Numbers;

use super::lack::Lack;

/// Most messages under way.
const UNDER_WAY_MAX: usize = 8;

/// Bytes that are read from the log at a time.
const READ_BYTES: usize = 4 << 20;

/// Pause after an attempt that was not answered.
const RETRY_MS: u64 = 500;

/// Pause after a reading that failed; each further one is twice as long, up to the longest. A disk that fails is not made busy.
const READ_AGAIN_MS: u64 = 2_000;
const READ_AGAIN_MAX_MS: u64 = 60_000;

/// Publishing of a log into a stream.
#[derive(Debug)]
pub(super) struct Resubmit {
    stream: StreamId,
    /// It is the rest of the log.
    is_rest: bool,
    /// Next record to be read, 0 for the first of the log; of a rest, how many records were.
    next: u64,
    reading: Option<ReadId>,
    read_at_ms: u64,
    /// Pause after the next reading that fails.
    pause_ms: u64,
    is_read: bool,
    is_damaged: bool,
    /// Owners are asked first which batches they lack.
    lack: Option<Lack<Again>>,
    /// Owners lacked something.
    has_lacked: bool,
    waiting: VecDeque<Again>,
    under_way: BTreeMap<PublishId, Again>,
    retry_at_ms: u64,
}

/// A message as it goes again.
#[derive(Debug, Clone)]
struct Again {
    message_id: Option<String>,
    bytes: Arc<[u8]>,
}

impl Resubmit {
    /// Publishes all of a log in the stream of a new epoch.
    pub(super) fn all(stream: StreamId) -> Self {
        Self {
            stream,
            is_rest: false,
            next: 0,
            reading: None,
            read_at_ms: 0,
            pause_ms: READ_AGAIN_MS,
            is_read: false,
            is_damaged: false,
            lack: None,
            has_lacked: false,
            waiting: VecDeque::new(),
            under_way: BTreeMap::new(),
            retry_at_ms: 0,
        }
    }

    /// Publishes what owners lack in the stream that this log is of.
    pub(super) fn of_lacking(stream: StreamId) -> Self {
        Self { lack: Some(Lack::new()), ..Self::all(stream) }
    }

    /// Publishes what the shard lacks of the rest of a log: as this node's replica tells, which has all, or else as owners tell.
    pub(super) fn of_rest(stream: StreamId, asks_owners: bool) -> Self {
        let lack = asks_owners.then(Lack::new);
        Self { is_rest: true, lack, ..Self::all(stream) }
    }

    pub(super) fn is_rest(&self) -> bool {
        self.is_rest
    }

    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// True when owners lacked something that this log has.
    pub(super) fn has_lacked(&self) -> bool {
        self.has_lacked
    }

    /// True when a part of the log could not be published again, as it is damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// True when all is in the stream.
    pub(super) fn is_done(&self) -> bool {
        self.is_read && self.is_sure() && self.waiting.is_empty() && self.under_way.is_empty()
    }

    fn is_sure(&self) -> bool {
        self.lack.as_ref().is_none_or(Lack::is_empty)
    }

    /// Does what is due. `sources` are other owners that have all.
    pub(super) fn run(
        &mut self,
        now: Moment,
        sources: &[NodeId],
        numbers: &mut Numbers,
        out: &mut Vec<Command>,
    ) {
        if let Some(lack) = &mut self.lack {
            lack.run(now, (self.stream, sources), numbers, out);
        }
        if self.is_to_read() && now.elapsed_ms >= self.read_at_ms {
            let (read, shard) = (numbers.read(), self.stream.shard);
            self.reading = Some(read);
            let (from, max_bytes) = (self.next, READ_BYTES);
            out.push(match self.is_rest {
                true => Command::ReadRest { read, shard, from, max_bytes },
                false => Command::ReadLog { read, shard, from, max_bytes },
            });
        }
        while self.under_way.len() < UNDER_WAY_MAX && now.elapsed_ms >= self.retry_at_ms {
            let Some(again) = self.waiting.pop_front() else { return };
            let publish = numbers.publish();
            self.under_way.insert(publish, again.clone());
            out.push(Command::Publish {
                publish,
                stream: self.stream,
                message_id: again.message_id,
                expected_last: None,
                bytes: again.bytes,
            });
        }
    }

    /// True if a reading is this one's.
    pub(super) fn is_reading(&self, read: ReadId) -> bool {
        self.reading == Some(read)
    }

    fn is_to_read(&self) -> bool {
        self.waiting.is_empty() && self.is_sure() && self.reading.is_none() && !self.is_read
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        let read = self.is_to_read().then_some(self.read_at_ms);
        let publish =
            (!self.waiting.is_empty() && self.under_way.len() < UNDER_WAY_MAX).then_some(self.retry_at_ms);
        let ask = self.lack.as_ref().and_then(Lack::due_ms);
        publish.into_iter().chain(ask).chain(read).min()
    }

    /// Takes what was read. Returns if it could be, or nothing when it is of a reading that is not this one's: of an earlier attempt that was
    /// given up, perhaps, before the log went on. `has_seen` tells what this node's replica has.
    pub(super) fn read(
        &mut self,
        read: ReadId,
        outcome: LogOutcome,
        has_seen: impl Fn(BatchId) -> bool,
        now: Moment,
    ) -> Option<bool> {
        self.reading.take_if(|own| *own == read)?;
        match outcome {
            LogOutcome::Records(records) if self.is_rest => self.add_rest(&records, has_seen),
            LogOutcome::Records(records) => self.add(&records),
            LogOutcome::End => self.is_read = true,
            LogOutcome::Damaged { next } => {
                // Never the same again, whatever the disk says.
                (self.next, self.is_damaged) = (next.max(self.next + 1), true);
            }
            // Nothing is known of what the log holds: it must not be let go.
            LogOutcome::Fault => {
                self.read_at_ms = now.elapsed_ms + self.pause_ms;
                self.pause_ms = (self.pause_ms * 2).min(READ_AGAIN_MAX_MS);
                return Some(false);
            }
        }
        self.pause_ms = READ_AGAIN_MS;
        Some(true)
    }

    fn add(&mut self, records: &[LogRecord]) {
        if let Some(last) = records.last() {
            self.next = last.sequence + 1;
        }
        match &mut self.lack {
            // Without a message id: brokers that lost a message may know its id all the same.
            Some(lack) => lack.add(
                batches(records)
                    .map(|(id, record)| (id, Again { message_id: None, bytes: record.bytes.clone() })),
            ),
            None => self.waiting.extend(batches(records).map(|(id, record)| Again {
                message_id: Some(id.to_string()),
                bytes: Arc::from(with_epoch(&record.bytes, self.stream.epoch)),
            })),
        }
    }

    /// Without message ids, and in the epoch of now: the log may be of an earlier one.
    fn add_rest(&mut self, records: &[LogRecord], has_seen: impl Fn(BatchId) -> bool) {
        self.next += records.len() as u64;
        let epoch = self.stream.epoch;
        let again = |record: &LogRecord| Again {
            message_id: None,
            bytes: Arc::from(with_epoch(&record.bytes, epoch)),
        };
        match &mut self.lack {
            Some(lack) => lack.add(batches(records).map(|(id, record)| (id, again(record)))),
            None => {
                let lacking = batches(records).filter(|(id, _)| !has_seen(*id));
                let before = self.waiting.len();
                self.waiting.extend(lacking.map(|(_, record)| again(record)));
                self.has_lacked |= self.waiting.len() > before;
            }
        }
    }

    /// An owner told what it lacks.
    pub(super) fn lacking(&mut self, ask: u64, batches: &[BatchId]) {
        let lacking = self.lack.as_mut().map(|lack| lack.told(ask, batches)).unwrap_or_default();
        self.has_lacked |= !lacking.is_empty();
        self.waiting.extend(lacking);
    }

    /// A publish was answered. Returns true if it was this one's.
    pub(super) fn published(&mut self, publish: PublishId, outcome: PublishOutcome, now: Moment) -> bool {
        let Some(again) = self.under_way.remove(&publish) else { return false };
        if !matches!(outcome, PublishOutcome::Stored { .. }) {
            self.waiting.push_front(again);
            self.retry_at_ms = now.elapsed_ms + RETRY_MS;
        }
        true
    }
}

fn batches(records: &[LogRecord]) -> impl Iterator<Item = (BatchId, &LogRecord)> {
    records.iter().filter_map(|record| match Entry::read(&record.bytes).ok()?.body {
        Body::Batch(batch) => Some((batch.id, record)),
        Body::Tick(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::testing::{Log, NOW};

    /// A replica that has nothing.
    fn unseen(_: BatchId) -> bool {
        false
    }

    #[test]
    fn a_late_answer_to_an_attempt_that_was_given_up_is_no_answer_to_the_next() {
        let stream = StreamId { shard: ShardId(0), epoch: 2 };
        let mut numbers = Numbers::default();
        let mut ask = |resubmit: &mut Resubmit| {
            let mut out = Vec::new();
            resubmit.run(Moment::default(), &[], &mut numbers, &mut out);
            match out[..] {
                [Command::ReadLog { read, from: 0, .. }] => read,
                _ => panic!("{out:?}"),
            }
        };
        let early = ask(&mut Resubmit::all(stream));
        // The log was empty then, and has gone on since.
        let mut resubmit = Resubmit::all(stream);
        let read = ask(&mut resubmit);
        assert_eq!(resubmit.read(early, LogOutcome::End, unseen, Moment::default()), None);
        assert!(!resubmit.is_done());
        assert_eq!(resubmit.read(read, LogOutcome::End, unseen, Moment::default()), Some(true));
        assert!(resubmit.is_done());
    }

    #[test]
    fn a_log_that_cannot_be_read_is_read_again_ever_more_seldom() {
        let stream = StreamId { shard: ShardId(0), epoch: 2 };
        let (mut resubmit, mut numbers, mut now) =
            (Resubmit::all(stream), Numbers::default(), Moment::default());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let mut out = Vec::new();
            resubmit.run(now, &[], &mut numbers, &mut out);
            let [Command::ReadLog { read, .. }] = out[..] else { panic!("{out:?}") };
            assert_eq!(resubmit.read(read, LogOutcome::Fault, unseen, now), Some(false));
            let due_ms = resubmit.due_ms().unwrap();
            pauses.push((due_ms - now.elapsed_ms) / 1_000);
            now.elapsed_ms = due_ms;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn every_batch_of_the_log_goes_again_until_it_is_in_the_stream() {
        let mut log = Log::new(1);
        (1..=20).for_each(|number| {
            log.batch(number, &["a"]).tick(NOW, NOW);
        });
        let stream = StreamId { shard: ShardId(0), epoch: 2 };
        let (mut resubmit, mut numbers) = (Resubmit::all(stream), Numbers::default());
        let (mut stored, mut attempts, mut reads, mut now) = (Vec::new(), 0, 0, Moment::default());
        while !resubmit.is_done() {
            let mut out = Vec::new();
            resubmit.run(now, &[], &mut numbers, &mut out);
            assert!(resubmit.under_way.len() <= UNDER_WAY_MAX);
            for command in out {
                match command {
                    Command::ReadLog { read, from, .. } => {
                        reads += 1;
                        let chunk: Vec<LogRecord> = log.behind(from.max(1) - 1).take(7).cloned().collect();
                        let outcome = match chunk.is_empty() {
                            _ if reads % 2 == 0 => LogOutcome::Fault,
                            true => LogOutcome::End,
                            false => LogOutcome::Records(chunk),
                        };
                        let is_fault = outcome == LogOutcome::Fault;
                        assert_eq!(resubmit.read(read, outcome, unseen, now), Some(!is_fault));
                        assert_eq!(
                            resubmit.read(read, LogOutcome::End, unseen, now),
                            None,
                            "it was answered"
                        );
                    }
                    Command::Publish { publish, bytes, .. } => {
                        attempts += 1;
                        let outcome = match attempts % 3 {
                            0 => PublishOutcome::NoAnswer,
                            _ => PublishOutcome::Stored { sequence: 1, duplicate: false },
                        };
                        if outcome != PublishOutcome::NoAnswer {
                            let Ok(Entry { epoch: 2, body: Body::Batch(batch) }) = Entry::read(&bytes) else {
                                panic!("batches of the new epoch")
                            };
                            stored.push(batch.id.number);
                        }
                        assert!(resubmit.published(publish, outcome, now));
                    }
                    other => panic!("{other:?}"),
                }
            }
            now.elapsed_ms += RETRY_MS;
        }
        stored.sort_unstable();
        assert_eq!(stored, (1..=20).collect::<Vec<_>>());
    }
}
