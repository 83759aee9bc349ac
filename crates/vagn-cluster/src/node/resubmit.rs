//! Publishing again, in the stream of a new epoch, what this node's log of the old one holds. What the new epoch has is a repeat there,
//! by door and number; what only this node had is stored. Until all is in the stream the old log stays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::command::Command;
use crate::entry::{Body, Entry, with_epoch};
use crate::event::{LogRecord, PublishOutcome};
use crate::ids::{Moment, PublishId, StreamId};
use crate::numbers::Numbers;

/// Most messages under way.
const UNDER_WAY_MAX: usize = 8;

/// Bytes that are read from the log at a time.
const READ_BYTES: usize = 4 << 20;

/// Pause after an attempt that was not answered.
const RETRY_MS: u64 = 500;

/// Publishing of a log into a stream.
#[derive(Debug)]
pub(super) struct Resubmit {
    stream: StreamId,
    /// Next record to be read; 0 for the first of the log.
    next: u64,
    is_reading: bool,
    is_read: bool,
    waiting: VecDeque<Again>,
    under_way: BTreeMap<PublishId, Again>,
    retry_at_ms: u64,
}

/// A message as it goes again.
#[derive(Debug, Clone)]
struct Again {
    message_id: String,
    bytes: Arc<[u8]>,
}

impl Resubmit {
    pub(super) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            next: 0,
            is_reading: false,
            is_read: false,
            waiting: VecDeque::new(),
            under_way: BTreeMap::new(),
            retry_at_ms: 0,
        }
    }

    /// True when all is in the stream.
    pub(super) fn is_done(&self) -> bool {
        self.is_read && self.waiting.is_empty() && self.under_way.is_empty()
    }

    pub(super) fn run(&mut self, now: Moment, numbers: &mut Numbers, out: &mut Vec<Command>) {
        if self.waiting.is_empty() && !self.is_reading && !self.is_read {
            self.is_reading = true;
            out.push(Command::ReadLog { shard: self.stream.shard, from: self.next, max_bytes: READ_BYTES });
        }
        while self.under_way.len() < UNDER_WAY_MAX && now.elapsed_ms >= self.retry_at_ms {
            let Some(again) = self.waiting.pop_front() else { return };
            let publish = numbers.publish();
            self.under_way.insert(publish, again.clone());
            out.push(Command::Publish {
                publish,
                stream: self.stream,
                message_id: Some(again.message_id),
                expected_last: None,
                bytes: again.bytes,
            });
        }
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        (!self.waiting.is_empty() && self.under_way.len() < UNDER_WAY_MAX).then_some(self.retry_at_ms)
    }

    /// Takes records that were read.
    pub(super) fn read(&mut self, records: &[LogRecord]) {
        if !std::mem::take(&mut self.is_reading) {
            return;
        }
        match records.last() {
            Some(last) => self.next = last.sequence + 1,
            None => self.is_read = true,
        }
        let batches = records.iter().filter_map(|record| match Entry::read(&record.bytes).ok()?.body {
            Body::Batch(batch) => Some(Again {
                message_id: batch.id.to_string(),
                bytes: Arc::from(with_epoch(&record.bytes, self.stream.epoch)),
            }),
            Body::Tick(_) => None,
        });
        self.waiting.extend(batches);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::testing::{Log, NOW};

    #[test]
    fn every_batch_of_the_log_goes_again_until_it_is_in_the_stream() {
        let mut log = Log::new(1);
        (1..=20).for_each(|number| {
            log.batch(number, &["a"]).tick(NOW, NOW);
        });
        let stream = StreamId { shard: ShardId(0), epoch: 2 };
        let (mut resubmit, mut numbers) = (Resubmit::new(stream), Numbers::default());
        let (mut stored, mut attempts, mut now) = (Vec::new(), 0, Moment::default());
        while !resubmit.is_done() {
            let mut out = Vec::new();
            resubmit.run(now, &mut numbers, &mut out);
            assert!(resubmit.under_way.len() <= UNDER_WAY_MAX);
            for command in out {
                match command {
                    Command::ReadLog { from, .. } => {
                        let chunk: Vec<LogRecord> = log.behind(from.max(1) - 1).take(7).cloned().collect();
                        resubmit.read(&chunk);
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
