//! Questions about the fleet: one request to each node, for the shards that it is asked about, and again to another owner when an
//! answer is late. What has none of them by then is asked for again at a pause, of the owners as they are then: a question or its answer can be lost
//! with a broker that hangs, and a shard that begins a new epoch has nobody for a moment. What is missing at the end is named.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{Command, ShardAnswer};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, QueryId, ShardId};
use crate::message::{Message, PIECE_MAX};
use crate::pulse::PULSE_MS;

/// Time after which another owner is asked too.
const HEDGE_MS: u64 = 50;

/// Silence of the other owners of a shard after which an answer counts though it may lack the latest, this node's own or an old one: since the question, or since
/// the last part of an answer that is on its way.
const SPARE_MS: u64 = 200;

/// Age from which another owner's answer is as one that is here and may lack the latest: no tick bears it out any more.
const OLD_MS: u64 = PULSE_MS;

/// Pause after which all owners are asked again for what has no answer. It doubles with each time.
const AGAIN_MS: u64 = 250;
const AGAIN_PAUSE_MAX_MS: u64 = 2_000;

/// Most times that a question is asked again.
const AGAIN_MAX: u32 = 16;

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

#[derive(Debug)]
struct Query {
    id: QueryId,
    question: Vec<u8>,
    asked_ms: u64,
    until_ms: u64,
    is_hedged: bool,
    again_at_ms: u64,
    again_pause_ms: u64,
    /// How often it was asked again.
    again: u32,
    open: BTreeMap<ShardId, Open>,
    answers: Vec<ShardAnswer>,
    /// See [`Asking::spares`]. Old answers of other owners are such too.
    spares: Vec<ShardAnswer>,
}

/// A shard without an answer.
#[derive(Debug, Default)]
struct Open {
    /// Nodes that may be asked, the best first, and how many were.
    owners: Vec<NodeId>,
    asked: usize,
    /// Nodes that were asked before these owners.
    before: BTreeSet<NodeId>,
    /// Moment at which the last part came.
    heard_ms: u64,
    /// What came of an answer in parts, by its node and the number under which that was asked: two answers of a node may differ.
    parts: BTreeMap<(NodeId, u64), Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    got: u32,
    bytes: Vec<u8>,
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

impl Query {
    /// Takes what may lack the latest for the shards that have no other answer, as far as it is due.
    fn take_spares(&mut self, is_due: impl Fn(u64) -> bool) {
        for spare in std::mem::take(&mut self.spares) {
            match self.spare_due_ms(&spare) {
                // Another owner has answered.
                None => {}
                Some(due_ms) if is_due(due_ms) => {
                    self.open.remove(&spare.shard);
                    self.answers.push(spare);
                }
                Some(_) => self.spares.push(spare),
            }
        }
    }

    /// Keeps the younger one of two answers for a shard.
    fn keep_spare(&mut self, answer: ShardAnswer) {
        match self.spares.iter_mut().find(|spare| spare.shard == answer.shard) {
            Some(spare) if spare.age_ms <= answer.age_ms => {}
            Some(spare) => *spare = answer,
            None => self.spares.push(answer),
        }
    }

    fn spare_due_ms(&self, spare: &ShardAnswer) -> Option<u64> {
        let open = self.open.get(&spare.shard)?;
        Some(open.heard_ms.max(self.asked_ms) + SPARE_MS)
    }

    fn spares_due_ms(&self) -> Option<u64> {
        self.spares.iter().filter_map(|spare| self.spare_due_ms(spare)).min()
    }

    fn again_due_ms(&self) -> Option<u64> {
        (self.again < AGAIN_MAX && self.again_at_ms < self.until_ms).then_some(self.again_at_ms)
    }

    /// Asks the next owner of each open shard that is meant, one request to a node. Returns the shards that had one.
    fn ask_next(
        &mut self,
        number: u64,
        is_meant: impl Fn(ShardId) -> bool,
        out: &mut Vec<Command>,
    ) -> Vec<ShardId> {
        let mut requests: BTreeMap<NodeId, Vec<ShardId>> = BTreeMap::new();
        for (shard, open) in self.open.iter_mut().filter(|(shard, _)| is_meant(**shard)) {
            if let Some(node) = open.owners.get(open.asked) {
                open.asked += 1;
                requests.entry(*node).or_default().push(*shard);
            }
        }
        let asked = requests.values().flatten().copied().collect();
        for (to, shards) in requests {
            let question = Message::Question { query: number, shards, question: self.question.clone() };
            out.push(Command::Send { to, bytes: question.write() });
        }
        asked
    }
}

/// Cuts the answer of a shard into messages.
pub(crate) fn replies(query: u64, shard: ShardId, age_ms: u64, bytes: &[u8]) -> Vec<Message> {
    let parts = bytes.len().div_ceil(PIECE_MAX).max(1) as u32;
    let piece = |part: u32| bytes.chunks(PIECE_MAX).nth(part as usize).unwrap_or_default().to_vec();
    (0..parts).map(|part| Message::Reply { query, shard, age_ms, part, parts, bytes: piece(part) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    fn asking(elsewhere: Vec<(ShardId, Vec<NodeId>)>) -> Asking {
        let own = ShardAnswer { shard: ShardId(9), node: NodeId(7), age_ms: 0, bytes: vec![] };
        Asking {
            id: QueryId(5),
            question: b"where".to_vec(),
            within_ms: 2_000,
            answers: vec![own],
            spares: Vec::new(),
            elsewhere,
        }
    }

    fn scatter() -> (Scatter, Vec<Command>) {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        let elsewhere = vec![(ShardId(0), vec![A, B]), (ShardId(1), vec![A]), (ShardId(2), vec![B, A])];
        scatter.ask(1, asking(elsewhere), at(0), &mut out);
        (scatter, out)
    }

    fn requests(out: &mut Vec<Command>) -> Vec<(u64, Vec<u16>)> {
        let requests = out.extract_if(.., |command| matches!(command, Command::Send { .. }));
        let read = requests.map(|command| match command {
            Command::Send { to, bytes } => match Message::read(&bytes).unwrap() {
                Message::Question { query: 1, shards, question } if question == b"where" => {
                    (to.0, shards.iter().map(|shard| shard.0).collect())
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        read.collect()
    }

    fn reply(
        scatter: &mut Scatter,
        from: NodeId,
        shard: u16,
        len: usize,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        for message in replies(1, ShardId(shard), 3, &vec![7; len]) {
            let Message::Reply { shard, age_ms, part, parts, bytes, .. } = message else { panic!("a reply") };
            scatter.part(1, from, Part { shard, age_ms, part, parts, bytes }, now, out);
        }
    }

    /// Shards that answered, with the lengths of their answers; and those that did not.
    type Answered = (Vec<(u16, usize)>, Vec<u16>);

    fn answer(out: &[Command]) -> Option<Answered> {
        out.iter().find_map(|command| match command {
            Command::Answer { query: QueryId(5), answers, missing } => Some((
                answers.iter().map(|answer| (answer.shard.0, answer.bytes.len())).collect(),
                missing.iter().map(|shard| shard.0).collect(),
            )),
            _ => None,
        })
    }

    #[test]
    fn a_node_is_asked_once_for_all_its_shards() {
        let (mut scatter, mut out) = scatter();
        assert_eq!(requests(&mut out), [(1, vec![0, 1]), (2, vec![2])]);
        reply(&mut scatter, A, 0, 0, at(1), &mut out);
        reply(&mut scatter, B, 2, 600 << 10, at(1), &mut out);
        assert_eq!(answer(&out), None);
        reply(&mut scatter, A, 1, 5, at(1), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 0), (1, 5), (2, 600 << 10), (9, 0)], vec![])));
        assert_eq!((scatter.queries.len(), scatter.due_ms()), (0, None));
    }

    #[test]
    fn what_is_late_is_asked_of_another_owner_and_the_first_answer_counts() {
        let (mut scatter, mut out) = scatter();
        requests(&mut out);
        reply(&mut scatter, A, 1, 1, at(1), &mut out);
        scatter.run(at(HEDGE_MS - 1), &mut out);
        assert!(requests(&mut out).is_empty());
        scatter.run(at(HEDGE_MS), &mut out);
        scatter.run(at(HEDGE_MS + 1), &mut out);
        assert_eq!(requests(&mut out), [(1, vec![2]), (2, vec![0])]);
        reply(&mut scatter, B, 0, 2, at(60), &mut out);
        reply(&mut scatter, A, 0, 9, at(60), &mut out);
        reply(&mut scatter, B, 2, 3, at(60), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 2), (1, 1), (2, 3), (9, 0)], vec![])));
    }

    #[test]
    fn what_is_missing_at_the_end_is_named() {
        let (mut scatter, mut out) = scatter();
        reply(&mut scatter, A, 0, 1, at(1), &mut out);
        // One that was not asked, and a part whose predecessor was lost.
        reply(&mut scatter, B, 1, 1, at(1), &mut out);
        let late = Part { shard: ShardId(2), age_ms: 0, part: 1, parts: 2, bytes: vec![1] };
        scatter.part(1, B, late, at(1), &mut out);
        scatter.run(at(HEDGE_MS), &mut out);
        assert_eq!((answer(&out), scatter.due_ms()), (None, Some(AGAIN_MS)));
        scatter.run(at(2_000), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![1, 2])));
    }

    #[test]
    fn a_node_that_has_it_not_is_left_at_once() {
        let (mut scatter, mut out) = scatter();
        requests(&mut out);
        scatter.refused(1, A, &[ShardId(0), ShardId(1), ShardId(2)], at(1), &mut out);
        assert_eq!(requests(&mut out), [(2, vec![0])], "nobody else has 1, and A was not asked for 2");
    }

    #[test]
    fn questions_have_a_bound_and_those_beyond_are_answered_as_missing() {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        for number in 0..QUERIES_MAX as u64 {
            scatter.ask(number, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
        }
        out.clear();
        scatter.ask(QUERIES_MAX as u64, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
        assert_eq!(answer(&out), Some((vec![(9, 0)], vec![0])));
        assert_eq!(out.len(), 1, "nobody was asked");
    }

    #[test]
    fn a_shard_that_is_here_and_late_answers_where_no_other_owner_does() {
        let spare = |shard| ShardAnswer {
            shard: ShardId(shard),
            node: NodeId(7),
            age_ms: 9_000,
            bytes: vec![shard as u8],
        };
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        let elsewhere = vec![(ShardId(0), vec![A]), (ShardId(1), vec![B]), (ShardId(2), vec![A])];
        scatter.ask(1, Asking { spares: vec![spare(0), spare(1)], ..asking(elsewhere) }, at(0), &mut out);
        // B answers in time, and its answer counts.
        let part = Part { shard: ShardId(1), age_ms: 5, part: 0, parts: 1, bytes: vec![100] };
        scatter.part(1, B, part, at(10), &mut out);
        assert_eq!(scatter.due_ms(), Some(HEDGE_MS));
        scatter.run(at(HEDGE_MS), &mut out);
        assert_eq!(scatter.due_ms(), Some(SPARE_MS));
        scatter.run(at(SPARE_MS), &mut out);
        assert_eq!(scatter.due_ms(), Some(AGAIN_MS), "of shard 2 nothing is here");
        scatter.run(at(2_000), &mut out);
        let Some(Command::Answer { answers, missing, .. }) = out.pop() else { panic!("no answer") };
        let answered: Vec<(u16, u64)> =
            answers.iter().map(|answer| (answer.shard.0, answer.age_ms)).collect();
        // Ages are as of the answer, and it was held for 2 s.
        assert_eq!((answered, missing), (vec![(0, 11_000), (1, 2_005), (9, 2_000)], vec![ShardId(2)]));
    }

    #[test]
    fn an_age_that_is_not_known_stays_so() {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        scatter.ask(1, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
        whole(&mut scatter, A, u64::MAX, 1, 20, &mut out);
        scatter.run(at(20 + SPARE_MS), &mut out);
        let Some(Command::Answer { answers, .. }) = out.pop() else { panic!("no answer") };
        assert_eq!(answers.iter().map(|answer| answer.age_ms).collect::<Vec<_>>(), [u64::MAX, 20 + SPARE_MS]);
    }

    fn whole(scatter: &mut Scatter, from: NodeId, age_ms: u64, byte: u8, ms: u64, out: &mut Vec<Command>) {
        let part = Part { shard: ShardId(0), age_ms, part: 0, parts: 1, bytes: vec![byte; byte.into()] };
        scatter.part(1, from, part, at(ms), out);
        scatter.run(at(ms), out);
    }

    #[test]
    fn an_owner_that_is_far_behind_does_not_win_over_a_slow_one_that_has_all() {
        const C: NodeId = NodeId(3);
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        scatter.ask(1, asking(vec![(ShardId(0), vec![A, B, C])]), at(0), &mut out);
        scatter.run(at(HEDGE_MS), &mut out);
        assert_eq!(requests(&mut out), [(1, vec![0]), (2, vec![0])]);
        whole(&mut scatter, B, 7_200_000, 2, 60, &mut out);
        assert_eq!(
            (answer(&out), requests(&mut out)),
            (None, vec![(3, vec![0])]),
            "the next is asked at once"
        );
        assert_eq!(scatter.due_ms(), Some(AGAIN_MS));
        assert!(scatter.late(at(AGAIN_MS)).is_empty());
        whole(&mut scatter, A, OLD_MS - 1, 1, 59 + SPARE_MS, &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
        assert_eq!(scatter.queries.len(), 0);
    }

    #[test]
    fn of_owners_that_are_all_behind_the_one_that_is_least_so_counts() {
        for (first, second) in [(A, B), (B, A)] {
            let age_ms = |node| if node == A { OLD_MS } else { u64::MAX };
            let (mut scatter, mut out) = (Scatter::default(), Vec::new());
            scatter.ask(1, asking(vec![(ShardId(0), vec![first, second])]), at(0), &mut out);
            whole(&mut scatter, first, age_ms(first), first.0 as u8, 10, &mut out);
            whole(&mut scatter, second, age_ms(second), second.0 as u8, 20, &mut out);
            scatter.run(at(19 + SPARE_MS), &mut out);
            assert_eq!((answer(&out), scatter.due_ms()), (None, Some(20 + SPARE_MS)));
            scatter.run(at(20 + SPARE_MS), &mut out);
            assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
        }
    }

    #[test]
    fn what_is_here_does_not_count_while_an_answer_is_on_its_way() {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        let spare = ShardAnswer { shard: ShardId(0), node: NodeId(7), age_ms: 9_000, bytes: vec![1] };
        let asking = asking(vec![(ShardId(0), vec![A])]);
        scatter.ask(1, Asking { spares: vec![spare], ..asking }, at(0), &mut out);
        scatter.run(at(HEDGE_MS), &mut out);
        let mut part = |number, ms, out: &mut Vec<Command>| {
            let part = Part { shard: ShardId(0), age_ms: 5, part: number, parts: 4, bytes: vec![7] };
            scatter.part(1, A, part, at(ms), out);
            scatter.run(at(ms), out);
            scatter.queries[&1].spares_due_ms()
        };
        assert_eq!(part(0, 150, &mut out), Some(150 + SPARE_MS));
        assert_eq!(part(1, 149 + SPARE_MS, &mut out), Some(149 + 2 * SPARE_MS));
        assert_eq!(answer(&out), None);
        // The third is lost: the answer of A will not be whole.
        assert_eq!(part(3, 200 + SPARE_MS, &mut out), Some(149 + 2 * SPARE_MS));
        scatter.run(at(149 + 2 * SPARE_MS), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 1), (9, 0)], vec![])));
    }

    /// Numbers under which nodes were asked, with the shards.
    fn asked(out: &mut Vec<Command>) -> Vec<(u64, u64, Vec<u16>)> {
        let requests = out.extract_if(.., |command| matches!(command, Command::Send { .. }));
        let read = requests.map(|command| match command {
            Command::Send { to, bytes } => match Message::read(&bytes).unwrap() {
                Message::Question { query, shards, .. } => {
                    (to.0, query, shards.iter().map(|shard| shard.0).collect())
                }
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        });
        read.collect()
    }

    #[test]
    fn what_has_no_answer_is_asked_for_again_at_a_growing_pause_of_those_who_own_it_then() {
        const C: NodeId = NodeId(3);
        let (mut scatter, mut out) = scatter();
        reply(&mut scatter, A, 0, 1, at(1), &mut out);
        scatter.run(at(HEDGE_MS), &mut out);
        assert!(scatter.late(at(AGAIN_MS - 1)).is_empty());
        assert_eq!(scatter.due_ms(), Some(AGAIN_MS));
        out.clear();
        let late = scatter.late(at(AGAIN_MS)).pop().unwrap();
        assert_eq!((late.number, &late.shards[..]), (1, &[ShardId(1), ShardId(2)][..]));
        scatter.ask_again(1, 50, vec![(ShardId(1), vec![C]), (ShardId(2), vec![A, C])], &mut out);
        assert_eq!(asked(&mut out), [(1, 50, vec![2]), (3, 50, vec![1]), (3, 50, vec![2])]);
        assert_eq!(out.len(), 3, "each asking is told: {out:?}");
        assert!(scatter.late(at(AGAIN_MS)).is_empty(), "it pauses");
        assert_eq!(scatter.due_ms(), Some(3 * AGAIN_MS));
        // An answer to the first asking counts as well, and one that comes twice counts once.
        reply(&mut scatter, A, 1, 5, at(300), &mut out);
        let part = || Part { shard: ShardId(1), age_ms: 0, part: 0, parts: 1, bytes: vec![1; 9] };
        scatter.part(50, C, part(), at(301), &mut out);
        assert_eq!(answer(&out), None);
        let part = || Part { shard: ShardId(2), age_ms: 0, part: 0, parts: 1, bytes: vec![1; 7] };
        scatter.part(50, C, part(), at(302), &mut out);
        scatter.part(50, A, part(), at(303), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 1), (1, 5), (2, 7), (9, 0)], vec![])));
        assert!(scatter.queries.is_empty() && scatter.again.is_empty());
    }

    #[test]
    fn parts_of_two_answers_of_a_node_are_not_put_together() {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        scatter.ask(1, asking(vec![(ShardId(0), vec![A])]), at(0), &mut out);
        let part = |part, byte| Part { shard: ShardId(0), age_ms: 0, part, parts: 2, bytes: vec![byte; 2] };
        scatter.part(1, A, part(0, 1), at(100), &mut out);
        assert!(scatter.late(at(AGAIN_MS)).is_empty(), "its answer is on its way");
        assert_eq!(scatter.late(at(3 * AGAIN_MS)).len(), 1, "and the rest was lost");
        scatter.ask_again(1, 50, vec![(ShardId(0), vec![A])], &mut out);
        scatter.part(50, A, part(1, 2), at(800), &mut out);
        scatter.part(1, A, part(1, 1), at(800), &mut out);
        assert_eq!(answer(&out), None);
        scatter.part(50, A, part(0, 2), at(801), &mut out);
        scatter.part(50, A, part(1, 2), at(802), &mut out);
        assert_eq!(answer(&out), Some((vec![(0, 4), (9, 0)], vec![])));
    }

    #[test]
    fn a_question_is_asked_again_a_bounded_number_of_times() {
        let (mut scatter, mut out) = (Scatter::default(), Vec::new());
        let asking = Asking { within_ms: u64::MAX, ..asking(vec![(ShardId(0), vec![A])]) };
        scatter.ask(1, asking, at(0), &mut out);
        let times = (0..WITHIN_MAX_MS).filter(|ms| !scatter.late(at(*ms)).is_empty()).count();
        assert_eq!(times, AGAIN_MAX as usize);
        scatter.run(at(WITHIN_MAX_MS), &mut out);
        assert_eq!(answer(&out), Some((vec![(9, 0)], vec![0])));
    }
}
