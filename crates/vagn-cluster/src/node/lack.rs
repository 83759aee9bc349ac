//! Asking owners of a shard which batches of a log it lacks: what they have need not be published again.

use std::collections::{BTreeSet, VecDeque};

use crate::command::Command;
use crate::ids::{BatchId, Moment, NodeId, StreamId};
use crate::message::{BATCHES_MAX, Message};
use crate::numbers::Numbers;

/// Time after which another owner is asked.
const AGAIN_MS: u64 = 1_000;

/// Batches of which it is not known if the shard has them.
#[derive(Debug)]
pub(super) struct Lack<T> {
    unsure: VecDeque<(BatchId, T)>,
    asked: Option<Asked>,
    /// Nobody is asked before.
    ask_at_ms: u64,
    /// Questions that were asked, so that owners are asked in turn.
    asks: usize,
}

/// A question that is under way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    ask: u64,
    batches: usize,
}

impl<T> Lack<T> {
    pub(super) fn new() -> Self {
        Self { unsure: VecDeque::new(), asked: None, ask_at_ms: 0, asks: 0 }
    }

    pub(super) fn add(&mut self, batches: impl IntoIterator<Item = (BatchId, T)>) {
        self.unsure.extend(batches);
    }

    /// True when all that was added is known.
    pub(super) fn is_empty(&self) -> bool {
        self.unsure.is_empty()
    }

    /// Asks when it is time. `sources` are other owners that have all.
    pub(super) fn run(
        &mut self,
        now: Moment,
        (stream, sources): (StreamId, &[NodeId]),
        numbers: &mut Numbers,
        out: &mut Vec<Command>,
    ) {
        if self.unsure.is_empty() || now.elapsed_ms < self.ask_at_ms {
            return;
        }
        // Also where nobody is there to be asked: they are looked for again after the same pause.
        self.ask_at_ms = now.elapsed_ms + AGAIN_MS;
        if sources.is_empty() {
            return;
        }
        let batches: Vec<BatchId> = self.unsure.iter().take(BATCHES_MAX).map(|(batch, _)| *batch).collect();
        let (ask, to) = (numbers.next(), sources[self.asks % sources.len()]);
        self.asks += 1;
        self.asked = Some(Asked { ask, batches: batches.len() });
        out.push(Command::Send { to, bytes: Message::LackAsk { stream, ask, batches }.write() });
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        (!self.unsure.is_empty()).then_some(self.ask_at_ms)
    }

    /// Takes an answer in. Returns what the shard lacks.
    pub(super) fn told(&mut self, ask: u64, lacking: &[BatchId]) -> Vec<T> {
        let Some(asked) = self.asked.take_if(|asked| asked.ask == ask) else { return Vec::new() };
        self.ask_at_ms = 0;
        let lacking: BTreeSet<BatchId> = lacking.iter().copied().collect();
        let known = self.unsure.drain(..asked.batches);
        known.filter(|(batch, _)| lacking.contains(batch)).map(|(_, thing)| thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;
    use crate::testing::batch_id;

    const STREAM: StreamId = StreamId { shard: ShardId(0), epoch: 1 };

    struct Rig {
        lack: Lack<u64>,
        numbers: Numbers,
        now: Moment,
    }

    impl Rig {
        fn new(batches: u64) -> Self {
            let mut lack = Lack::new();
            lack.add((1..=batches).map(|number| (batch_id(number), number)));
            Self { lack, numbers: Numbers::default(), now: Moment::default() }
        }

        /// Whom it asks, by which number, for how many.
        fn asks(&mut self, after_ms: u64, sources: &[u64]) -> Option<(u64, u64, usize)> {
            self.now.elapsed_ms += after_ms;
            let (mut out, sources) = (Vec::new(), sources.iter().map(|node| NodeId(*node)));
            let sources: Vec<NodeId> = sources.collect();
            self.lack.run(self.now, (STREAM, &sources), &mut self.numbers, &mut out);
            let Command::Send { to, bytes } = out.pop()? else { panic!("it asks") };
            let Ok(Message::LackAsk { ask, batches, .. }) = Message::read(&bytes) else {
                panic!("it asks what is lacking")
            };
            Some((to.0, ask, batches.len()))
        }
    }

    #[test]
    fn what_an_owner_lacks_is_told_and_the_rest_is_let_go() {
        let mut rig = Rig::new(BATCHES_MAX as u64 + 2);
        let (_, first, batches) = rig.asks(0, &[2]).unwrap();
        assert_eq!(batches, BATCHES_MAX);
        assert_eq!(rig.lack.told(first, &[batch_id(3), batch_id(9)]), [3, 9]);
        assert!(!rig.lack.is_empty());
        let (_, second, batches) = rig.asks(0, &[2]).unwrap();
        assert_eq!(batches, 2);
        // An answer that comes twice is none.
        assert!(rig.lack.told(first, &[batch_id(BATCHES_MAX as u64 + 1)]).is_empty());
        assert_eq!(rig.lack.told(second, &[]), [0; 0]);
        assert!(rig.lack.is_empty() && rig.lack.due_ms().is_none());
    }

    #[test]
    fn an_owner_that_says_nothing_is_left_for_another() {
        let mut rig = Rig::new(1);
        assert_eq!(rig.asks(5, &[]), None, "nobody is there to be asked");
        assert_eq!(rig.lack.due_ms(), Some(5 + AGAIN_MS), "and it does not look all the time");
        let (one, silent, _) = rig.asks(AGAIN_MS, &[2, 3]).unwrap();
        assert_eq!(rig.asks(AGAIN_MS - 1, &[2, 3]), None);
        let (other, ask, _) = rig.asks(1, &[2, 3]).unwrap();
        assert_eq!((one, other), (2, 3));
        assert!(rig.lack.told(silent, &[batch_id(1)]).is_empty(), "of a question that was given up");
        assert_eq!(rig.lack.told(ask, &[batch_id(1)]), [1]);
    }
}
