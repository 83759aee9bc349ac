//! What other nodes say to this one, and questions about the fleet.

use super::{Around, Node, is_confirmed};
use crate::assignment::Role;
use crate::bootstrap::Piece;
use crate::command::Command;
use crate::event::StreamOutcome;
use crate::ids::{Moment, NodeId, QueryId, ReadId, ShardId, StreamId};
use crate::message::{Message, QUESTION_MAX};
use crate::scatter::{Asking, Late, Part as AnswerPart, replies};
use crate::state::ShardState;

use super::part::Bench;

impl<S: ShardState> Node<S> {
    pub(super) fn receive(&mut self, from: NodeId, message: Message, now: Moment, out: &mut Vec<Command>) {
        match message {
            Message::Heartbeat(beat) => {
                self.keeper.hear(beat.assignment, now);
                let mut told = Vec::new();
                self.members.heard(from, beat, &self.settings, now, &mut told);
                out.extend(told.into_iter().map(Command::Tell));
            }
            Message::Fates { batch, fates } => {
                self.door.fates(batch, &fates);
                self.run_door(now, out);
            }
            Message::DoorRefused { batch, time_ms } => {
                let (door, mut desk) = self.door(now, out);
                door.refused(batch, time_ms, &mut desk);
                self.run_door(now, out);
            }
            Message::Unanswered { batch, stream, sequence } => {
                self.with_part(stream.shard, now, out, |part, bench| {
                    part.unanswered(batch, stream, sequence, bench);
                });
            }
            Message::CopyAsk { stream, copy, offset } => {
                if self.parts.contains_key(&stream.shard) {
                    let lacks_it = self.lacks_its_own(from, stream, now);
                    let (part, mut bench) = self.part(stream.shard, now, out);
                    part.copy_asked(from, stream, copy, offset, lacks_it, &mut bench);
                } else {
                    self.mail.push((from, Message::CopyGone { stream, copy }));
                }
            }
            Message::CopyPiece { stream, copy, total, offset, bytes } => {
                let piece = Piece { stream, copy, total, offset, bytes };
                // A node that is to own a shard copies it for its disk and, while somebody looks, for its mirror.
                if self.mirrors.contains_key(&stream.shard) {
                    let same = piece.clone();
                    self.with_mirror(stream.shard, now, out, |mirror, facts, bench| {
                        mirror.copy_piece(from, same, facts, bench);
                    });
                }
                self.with_part(stream.shard, now, out, |part, bench| part.copy_piece(from, piece, bench));
            }
            Message::CopyGone { stream, copy } => {
                self.with_mirror(stream.shard, now, out, |mirror, _, bench| {
                    mirror.copy_gone(from, stream, copy, bench);
                });
                self.with_part(stream.shard, now, out, |part, bench| {
                    part.copy_gone(from, stream, copy, bench)
                });
            }
            Message::Question { query, shards, question } => self.reply(from, query, &shards, &question, now),
            Message::Reply { query, shard, age_ms, part, parts, bytes } => {
                let part = AnswerPart { shard, age_ms, part, parts, bytes };
                self.scatter.part(query, from, part, now, out);
            }
            Message::NoReply { query, shards } => self.scatter.refused(query, from, &shards, now, out),
            Message::LackAsk { stream, ask, batches } => {
                self.with_part(stream.shard, now, out, |part, bench| {
                    part.lack_asked(from, stream, ask, batches, bench);
                });
            }
            Message::Lack { stream, ask, batches } => {
                self.with_part(stream.shard, now, out, |part, _| part.lacking(stream, ask, &batches));
                self.hurries = true;
            }
            Message::RepairAsk { shard } => self.repair(shard, from, now, out),
            Message::RepairAskDamaged { shard } => self.repair_damaged(shard, from, now, out),
            Message::Farewell { run } => {
                let mut told = Vec::new();
                self.members.said_farewell(from, run, &mut told);
                out.extend(told.into_iter().map(Command::Tell));
                self.scatter.left(from, out);
            }
            Message::RepairAnswer { shard, result } => self.repair_answered(from, shard, result, now, out),
        }
    }

    /// True for a node that is to have this shard on its disk and has not. Another one that asks for it copies it into a mirror.
    fn lacks_its_own(&self, node: NodeId, stream: StreamId, now: Moment) -> bool {
        let place = self.keeper.known().and_then(|known| known.shard(stream.shard));
        match place.map_or(Role::None, |place| place.role(node)) {
            Role::None => false,
            Role::Joining => true,
            Role::Full => self.members.holding(node, stream.shard, stream.epoch, now).is_none(),
        }
    }

    /// Answers another node's question. A replica that never had all in this run may lack anything: it answers only where nobody else can.
    fn reply(&mut self, from: NodeId, query: u64, shards: &[ShardId], question: &[u8], now: Moment) {
        let me = self.settings.node;
        let mut missing = Vec::new();
        for shard in shards {
            let is_only_one = || {
                let place = self.keeper.known().and_then(|known| known.shard(*shard));
                place.is_some_and(|place| place.full_but(me).next().is_none())
            };
            let part = self.parts.get(shard).filter(|part| part.had_all() || is_only_one());
            match part.and_then(|part| part.answer(question, me, now)) {
                Some(answer) => {
                    let parts = replies(query, *shard, answer.age_ms, &answer.bytes);
                    self.mail.extend(parts.into_iter().map(|part| (from, part)));
                }
                None => missing.push(*shard),
            }
        }
        if !missing.is_empty() {
            self.mail.push((from, Message::NoReply { query, shards: missing }));
        }
    }

    /// Takes a question of this node's driver. A shard that is here and has all is answered here; one that is here and may lack the latest is too,
    /// if no other owner answers.
    pub(super) fn ask(
        &mut self,
        id: QueryId,
        shards: Vec<ShardId>,
        question: Vec<u8>,
        within_ms: u64,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let count = self.keeper.known().map_or(self.settings.shards, |known| known.len());
        let mut wanted = if shards.is_empty() { (0..count).map(ShardId).collect() } else { shards };
        wanted.sort_unstable();
        wanted.dedup();
        let (mut answers, mut spares, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
        let is_short = question.len() <= QUESTION_MAX;
        for shard in wanted {
            let others = self.owners_to_ask(shard, now);
            let own = self.parts.get(&shard).filter(|_| is_short);
            let here = own.and_then(|part| {
                let has_all = part.is_caught_up(now) || others.is_empty();
                // What never had all in this run may lack anything: a vehicle that is not in it may be there all the same.
                if !has_all && !part.had_all() {
                    return None;
                }
                part.answer(&question, self.settings.node, now).map(|answer| (has_all, answer))
            });
            match here {
                Some((true, answer)) => answers.push(answer),
                here => {
                    spares.extend(here.map(|(_, answer)| answer));
                    elsewhere.push((shard, if is_short { others } else { Vec::new() }));
                }
            }
        }
        let number = self.numbers.next();
        self.scatter.ask(number, Asking { id, question, within_ms, answers, spares, elsewhere }, now, out);
    }

    /// Full owners of a shard but this node: those first that have all, then those that are heard, and among them each node has its own order,
    /// so that questions spread.
    fn owners_to_ask(&self, shard: ShardId, now: Moment) -> Vec<NodeId> {
        let me = self.settings.node;
        let place = self.keeper.known().and_then(|known| known.shard(shard));
        let Some(place) = place else { return Vec::new() };
        let mut owners: Vec<NodeId> = place.full_but(me).collect();
        owners.sort_by_key(|node| {
            let holding = self.members.holding(*node, shard, place.epoch, now);
            let is_heard = self.members.is_heard(*node, now);
            (
                !(is_heard && holding.is_some_and(|holding| holding.caught_up)),
                !is_heard,
                crate::hash::mix(me.0 ^ crate::hash::fold(node.0, shard.0.into())),
            )
        });
        owners
    }

    /// Asks again for shards without an answer: of those who own them now, which may be others, or this node itself.
    pub(super) fn ask_again(&mut self, now: Moment, out: &mut Vec<Command>) {
        for Late { number, question, shards } in self.scatter.late(now) {
            if question.len() > QUESTION_MAX {
                continue;
            }
            let (mut own, mut elsewhere) = (Vec::new(), Vec::new());
            for shard in shards {
                let others = self.owners_to_ask(shard, now);
                let part = self.parts.get(&shard);
                let part = part.filter(|part| part.is_caught_up(now) || others.is_empty());
                match part.and_then(|part| part.answer(&question, self.settings.node, now)) {
                    Some(answer) => own.push(answer),
                    None => elsewhere.push((shard, others)),
                }
            }
            let asked = self.numbers.next();
            self.scatter.ask_again(number, asked, elsewhere, out);
            own.into_iter().for_each(|answer| self.scatter.take_own(number, answer, now, out));
        }
    }

    /// Figures of a stream came: of a new data set, of a repair, or of a stream that is followed.
    pub(super) fn stream_read(
        &mut self,
        read: ReadId,
        outcome: StreamOutcome,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let (keeper, context) = self.keeper(now);
        if keeper.made(read, outcome, context, out) || self.repair_made(read, outcome, out) {
            self.hurries = true;
            return;
        }
        let Self { settings, numbers, keeper, members, parts, mail, .. } = self;
        let is_confirmed = is_confirmed(keeper, now);
        for (shard, part) in parts {
            let around = keeper.known().map(|known| Around { known, members, settings, is_confirmed, now });
            let facts = around.and_then(|around| around.facts(*shard, None));
            if part.stream_read(
                read,
                outcome,
                facts.as_ref(),
                &mut Bench { settings, now, numbers, out, mail },
            ) {
                self.hurries = true;
                return;
            }
        }
        self.hurries = true;
        self.each_mirror(now, out, |mirror, bench| {
            mirror.stream_read(read, outcome, bench);
        });
    }
}
