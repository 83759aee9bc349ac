//! Questions about the fleet: one request to each node, for the shards that it is asked about, and again to another owner when an
//! answer is late. What has none of them by then is asked for again at a pause, of the owners as they are then: a question or its answer can be lost
//! with a broker that hangs, and a shard that begins a new epoch has nobody for a moment. What is missing at the end is named.

mod query;

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, ShardAnswer};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, QueryId, ShardId};
use crate::message::{Message, PIECE_MAX};
use crate::pulse::PULSE_MS;

use self::query::{Open, Query};

/// Time after which another owner is asked too.
const HEDGE_MS: u64 = 50;

/// Age from which another owner's answer is as one that is here and may lack the latest: no tick bears it out any more.
const OLD_MS: u64 = PULSE_MS;

/// Pause after which all owners are asked again for what has no answer. It doubles with each time.
const AGAIN_MS: u64 = 250;
const AGAIN_PAUSE_MAX_MS: u64 = 2_000;

/// Longest time that a question may take.
const WITHIN_MAX_MS: u64 = 60_000;

/// Most questions that wait. What comes beyond is answered at once, with all missing.
const QUERIES_MAX: usize = 1_024;

/// Longest answer of a shard, in bytes.
const ANSWER_MAX: usize = 32 << 20;

/// Questions without an answer.
#[derive(Debug, Default)]
pub(crate) struct Scatter {
    queries: BTreeMap<u64, Query>,
    /// Numbers under which questions were asked again, with the numbers of the questions.
    again: BTreeMap<u64, u64>,
}

/// A question that is to be asked again.
#[derive(Debug)]
pub(crate) struct Late {
    pub(crate) number: u64,
    pub(crate) question: Vec<u8>,
    /// Shards without an answer.
    pub(crate) shards: Vec<ShardId>,
}

/// A part of an answer, as a message carries it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) shard: ShardId,
    pub(crate) age_ms: u64,
    pub(crate) part: u32,
    pub(crate) parts: u32,
    pub(crate) bytes: Vec<u8>,
}

/// A question, as it is taken in.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) id: QueryId,
    pub(crate) question: Vec<u8>,
    pub(crate) within_ms: u64,
    /// Answers of shards that are here.
    pub(crate) answers: Vec<ShardAnswer>,
    /// Answers of shards that are here and may lack the latest, with ages that are known: for those of which no other owner answers.
    pub(crate) spares: Vec<ShardAnswer>,
    /// Other shards, each with its owners, the best first.
    pub(crate) elsewhere: Vec<(ShardId, Vec<NodeId>)>,
}

impl Scatter {
    /// Takes a question under this number, and asks for what is elsewhere.
    pub(crate) fn ask(&mut self, number: u64, asking: Asking, now: Moment, out: &mut Vec<Command>) {
        let Asking { id, question, within_ms, answers, spares, elsewhere } = asking;
        let is_full = self.queries.len() >= QUERIES_MAX;
        let until_ms = now.elapsed_ms + if is_full { 0 } else { within_ms.min(WITHIN_MAX_MS) };
        let open = elsewhere.into_iter().map(|(shard, owners)| (shard, Open { owners, ..Open::default() }));
        let (asked_ms, open) = (now.elapsed_ms, open.collect());
        let mut query = Query {
            id,
            question,
            asked_ms,
            until_ms,
            is_hedged: false,
            again_at_ms: asked_ms + AGAIN_MS,
            again_pause_ms: AGAIN_MS,
            again: 0,
            open,
            answers,
            spares,
        };
        if !is_full {
            query.ask_next(number, |_| true, out);
        }
        self.queries.insert(number, query);
        self.finish(number, now, out);
    }

    /// Takes a part of an answer. `asked` is the number under which it was asked.
    pub(crate) fn part(&mut self, asked: u64, from: NodeId, part: Part, now: Moment, out: &mut Vec<Command>) {
        let number = self.number(asked);
        let Some(query) = self.queries.get_mut(&number) else { return };
        let Some(open) = query.open.get_mut(&part.shard) else { return };
        if !open.owners[..open.asked].contains(&from) && !open.before.contains(&from) {
            return;
        }
        let parts = open.parts.entry((from, asked)).or_default();
        if part.part != parts.got || parts.bytes.len() + part.bytes.len() > ANSWER_MAX {
            // A part before it was lost. Another owner may still answer.
            return;
        }
        open.heard_ms = now.elapsed_ms;
        parts.got += 1;
        parts.bytes.extend_from_slice(&part.bytes);
        if parts.got == part.parts {
            let bytes = std::mem::take(&mut parts.bytes);
            let answer = ShardAnswer { shard: part.shard, node: from, age_ms: part.age_ms, bytes };
            if answer.age_ms >= OLD_MS {
                // An owner with a full disk may be hours behind, and another one that has all only slow.
                let is_last = open.asked > 0 && open.owners[open.asked - 1] == from;
                query.keep_spare(answer);
                query.ask_next(asked, |shard| is_last && shard == part.shard, out);
                return;
            }
            query.open.remove(&part.shard);
            query.answers.push(answer);
            self.finish(number, now, out);
        }
    }

    /// A node has none of these shards: the next owner is asked at once.
    pub(crate) fn refused(
        &mut self,
        asked: u64,
        from: NodeId,
        shards: &[ShardId],
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let number = self.number(asked);
        let Some(query) = self.queries.get_mut(&number) else { return };
        let is_last = |open: &Open| open.asked > 0 && open.owners[open.asked - 1] == from;
        let refused: Vec<ShardId> =
            shards.iter().copied().filter(|shard| query.open.get(shard).is_some_and(is_last)).collect();
        query.ask_next(number, |shard| refused.contains(&shard), out);
        self.finish(number, now, out);
    }

    /// A node stops: of what it was asked for last, the next owner is asked at once. Its own answer counts still, if it comes.
    pub(crate) fn left(&mut self, node: NodeId, out: &mut Vec<Command>) {
        for (number, query) in &mut self.queries {
            let is_last = |open: &Open| open.asked > 0 && open.owners[open.asked - 1] == node;
            let lost: Vec<ShardId> =
                query.open.iter().filter(|(_, open)| is_last(open)).map(|(shard, _)| *shard).collect();
            query.ask_next(*number, |shard| lost.contains(&shard), out);
        }
    }

    /// Returns the questions that are to be asked again now. Where an answer is on its way, it is waited for.
    pub(crate) fn late(&mut self, now: Moment) -> Vec<Late> {
        let mut late = Vec::new();
        for (number, query) in &mut self.queries {
            if query.again_due_ms().is_none_or(|due_ms| now.elapsed_ms < due_ms) {
                continue;
            }
            let since_ms = now.elapsed_ms.saturating_sub(query.again_pause_ms);
            query.again += 1;
            query.again_pause_ms = (query.again_pause_ms * 2).min(AGAIN_PAUSE_MAX_MS);
            query.again_at_ms = now.elapsed_ms + query.again_pause_ms;
            let silent =
                query.open.iter().filter(|(_, open)| open.parts.is_empty() || open.heard_ms <= since_ms);
            let shards: Vec<ShardId> = silent.map(|(shard, _)| *shard).collect();
            if !shards.is_empty() {
                late.push(Late { number: *number, question: query.question.clone(), shards });
            }
        }
        late
    }

    /// Asks all these owners of shards without an answer, once and under a new number: an owner that is only slow is not asked for more than it can
    /// do, and a connection that hangs is what drivers see to. What comes under the numbers before counts as well.
    pub(crate) fn ask_again(
        &mut self,
        number: u64,
        asked: u64,
        elsewhere: Vec<(ShardId, Vec<NodeId>)>,
        out: &mut Vec<Command>,
    ) {
        let Some(query) = self.queries.get_mut(&number) else { return };
        self.again.insert(asked, number);
        let mut shards = BTreeSet::new();
        for (shard, owners) in elsewhere {
            let Some(open) = query.open.get_mut(&shard) else { continue };
            open.before.extend(open.owners.drain(..).take(open.asked));
            (open.owners, open.asked) = (owners, 0);
            // One of them was lost, or the rest would have come.
            open.parts.clear();
            shards.insert(shard);
        }
        loop {
            let again = query.ask_next(asked, |shard| shards.contains(&shard), out);
            if again.is_empty() {
                return;
            }
            out.extend(again.into_iter().map(|shard| Command::Tell(Happened::Hedged(shard))));
        }
    }

    /// Takes this node's own answer for a shard that had none.
    pub(crate) fn take_own(&mut self, number: u64, answer: ShardAnswer, now: Moment, out: &mut Vec<Command>) {
        let Some(query) = self.queries.get_mut(&number) else { return };
        if query.open.remove(&answer.shard).is_some() {
            query.answers.push(answer);
            self.finish(number, now, out);
        }
    }

    /// Returns the number of the question that was asked under this one.
    fn number(&self, asked: u64) -> u64 {
        self.again.get(&asked).copied().unwrap_or(asked)
    }

    /// Asks again what is late, and ends what has no more time.
    pub(crate) fn run(&mut self, now: Moment, out: &mut Vec<Command>) {
        for (number, query) in &mut self.queries {
            if !query.is_hedged && now.elapsed_ms >= query.asked_ms + HEDGE_MS {
                query.is_hedged = true;
                for shard in query.ask_next(*number, |_| true, out) {
                    out.push(Command::Tell(Happened::Hedged(shard)));
                }
            }
            query.take_spares(|due_ms| now.elapsed_ms >= due_ms);
        }
        let over: Vec<u64> = self.queries.keys().copied().collect();
        for number in over {
            self.finish(number, now, out);
        }
    }

    /// Returns the moment at which [`run`](Self::run) has something to do.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        let due = self.queries.values().map(|query| {
            let hedge_ms = (!query.is_hedged).then_some(query.asked_ms + HEDGE_MS);
            let dues = [hedge_ms, query.spares_due_ms(), query.again_due_ms()];
            dues.into_iter().flatten().fold(query.until_ms, u64::min)
        });
        due.min()
    }

    /// Answers a question that has all, or no more time.
    fn finish(&mut self, number: u64, now: Moment, out: &mut Vec<Command>) {
        let is_over = |query: &Query| query.open.is_empty() || now.elapsed_ms >= query.until_ms;
        if !self.queries.get(&number).is_some_and(is_over) {
            return;
        }
        if let Some(mut query) = self.queries.remove(&number) {
            if query.again > 0 {
                self.again.retain(|_, of| *of != number);
            }
            query.take_spares(|_| true);
            // Each is of the moment at which it came, and what is told is of this one. Those that are not known stay so.
            let held_ms = now.elapsed_ms.saturating_sub(query.asked_ms);
            query.answers.iter_mut().for_each(|answer| answer.age_ms = answer.age_ms.saturating_add(held_ms));
            query.answers.sort_by_key(|answer| answer.shard);
            let missing = query.open.into_keys().collect();
            out.push(Command::Answer { query: query.id, answers: query.answers, missing });
        }
    }
}

/// Cuts the answer of a shard into messages.
pub(crate) fn replies(query: u64, shard: ShardId, age_ms: u64, bytes: &[u8]) -> Vec<Message> {
    let parts = bytes.len().div_ceil(PIECE_MAX).max(1) as u32;
    let piece = |part: u32| bytes.chunks(PIECE_MAX).nth(part as usize).unwrap_or_default().to_vec();
    (0..parts).map(|part| Message::Reply { query, shard, age_ms, part, parts, bytes: piece(part) }).collect()
}

#[cfg(test)]
mod tests;
