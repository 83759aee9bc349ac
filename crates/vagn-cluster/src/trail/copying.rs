//! Copying: a node takes over the content of another node's store, and gives its own.
//!
//! A store lacks what the stream has no more: it was away for too long, is new, or of an epoch before. It asks a node that follows for its store as it is at one mark, piece by piece,
//! and puts the pieces aside. Only when it has the last one they take the place of what it had, together with the mark; behind that it follows the stream, whose
//! entries are compared with the mark as after any start. A giver that is silent is left for another one, and the copy begins anew, as it does when the giver holds it no more.

use std::collections::BTreeMap;

use crate::event::DiskFault;
use crate::ids::{Moment, NodeId, ReadId};
use crate::numbers::Numbers;
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::event::CopyOutcome;
use crate::trail::ids::TrailId;
use crate::trail::mark::Mark;
use crate::trail::message::{PIECE_MAX, PLACE_MAX, TrailMessage};

/// Pause before a piece is asked for again.
const AGAIN_MS: u64 = 1_000;

/// Silence of a giver after which another one is asked.
const SILENCE_MS: u64 = 5_000;

/// Most pieces that are read for others at a time.
const READS_MAX: usize = 4;

type Mail = Vec<(NodeId, TrailMessage)>;

/// Taking of a copy by this node.
#[derive(Debug)]
pub(crate) struct Taking {
    /// Trail whose content it is to be.
    pub(crate) trail: TrailId,
    /// First entry that its stream still holds, as far as is known: the copy must reach there.
    pub(crate) first: u64,
    source: Option<Source>,
    begin_at_ms: u64,
    tries: u64,
    /// Planted fault.
    is_hasty: bool,
}

/// A copy, as far as it has come.
#[derive(Debug)]
struct Source {
    giver: NodeId,
    mark: Option<Mark>,
    piece: u32,
    from: Vec<u8>,
    heard_ms: u64,
    ask_at_ms: u64,
    /// A piece is being put aside: where the next one begins.
    writing: Option<Option<Vec<u8>>>,
}

impl Taking {
    pub(crate) fn new(trail: TrailId, first: u64, is_hasty: bool) -> Self {
        Self { trail, first, source: None, begin_at_ms: 0, tries: 0, is_hasty }
    }

    /// Returns the mark behind which this node will go on.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.source.as_ref()?.mark
    }

    pub(crate) fn has_giver(&self) -> bool {
        self.source.is_some()
    }

    /// Returns true when a node is to be found that gives.
    pub(crate) fn lacks_giver(&mut self, now: Moment, out: &mut Vec<TrailCommand>) -> bool {
        let is_silent =
            |source: &mut Source| source.writing.is_none() && now.elapsed_ms >= source.heard_ms + SILENCE_MS;
        if self.source.take_if(is_silent).is_some() {
            self.lose(now, out);
        }
        self.source.is_none() && now.elapsed_ms >= self.begin_at_ms
    }

    /// Returns how many givers were lost.
    pub(crate) fn tries(&self) -> u64 {
        self.tries
    }

    fn lose(&mut self, now: Moment, out: &mut Vec<TrailCommand>) {
        (self.source, self.begin_at_ms) = (None, now.elapsed_ms + AGAIN_MS);
        self.tries += 1;
        out.push(TrailCommand::Tell(TrailHappened::CopyLost));
    }

    /// Begins with this node.
    pub(crate) fn begin(&mut self, giver: NodeId, now: Moment) {
        self.source = Some(Source {
            giver,
            mark: None,
            piece: 0,
            from: Vec::new(),
            heard_ms: now.elapsed_ms,
            ask_at_ms: now.elapsed_ms,
            writing: None,
        });
    }

    /// Asks for the next piece when it is time.
    pub(crate) fn run(&mut self, now: Moment, mail: &mut Mail) {
        let Some(source) = &mut self.source else { return };
        if source.writing.is_none() && now.elapsed_ms >= source.ask_at_ms {
            source.ask_at_ms = now.elapsed_ms + AGAIN_MS;
            let (of, from) = (source.mark, source.from.clone());
            let least = self.first.saturating_sub(1);
            mail.push((source.giver, TrailMessage::AskCopy { trail: self.trail, least, of, from }));
        }
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        // Who gives is heard of by a message, or found when it is time to tell others of this node.
        let source = self.source.as_ref()?;
        source.writing.is_none().then_some(source.ask_at_ms)
    }

    /// A piece came.
    pub(crate) fn piece(
        &mut self,
        (giver, mark): (NodeId, Mark),
        (from, bytes): (Vec<u8>, Vec<u8>),
        next: Option<Vec<u8>>,
        now: Moment,
        out: &mut Vec<TrailCommand>,
    ) {
        let (trail, first) = (self.trail, self.first);
        let Some(source) = self.source.as_mut().filter(|source| source.giver == giver) else { return };
        let is_next = source.writing.is_none() && source.from == from && mark.trail == trail;
        if !is_next || source.mark.is_some_and(|own| own != mark) {
            return;
        }
        if mark.sequence + 1 < first {
            // The stream goes on behind what it would give.
            return self.lose(now, out);
        }
        source.heard_ms = now.elapsed_ms;
        source.mark = Some(mark);
        let next = next.filter(|_| !self.is_hasty);
        let mark = next.is_none().then_some(mark);
        source.writing = Some(next);
        out.push(TrailCommand::TakeCopy { piece: source.piece, bytes, mark });
    }

    /// The giver holds the copy no more.
    pub(crate) fn gone(&mut self, giver: NodeId, of: Mark, now: Moment, out: &mut Vec<TrailCommand>) {
        let is_it =
            |source: &Source| source.giver == giver && source.mark == Some(of) && source.writing.is_none();
        if self.source.as_ref().is_some_and(is_it) {
            self.lose(now, out);
        }
    }

    /// A piece was put aside, or not. Returns the mark once it was the last one, and the store has all.
    pub(crate) fn taken(&mut self, result: Result<(), DiskFault>, now: Moment) -> Option<Mark> {
        let source = self.source.as_mut()?;
        let next = source.writing.take()?;
        source.heard_ms = now.elapsed_ms;
        if result.is_err() {
            source.ask_at_ms = now.elapsed_ms + AGAIN_MS;
            return None;
        }
        let Some(next) = next else { return source.mark };
        (source.piece, source.from, source.ask_at_ms) = (source.piece + 1, next, now.elapsed_ms);
        None
    }
}

/// Pieces that are read for other nodes.
#[derive(Debug, Default)]
pub(crate) struct Giving {
    reads: BTreeMap<ReadId, (NodeId, Option<Mark>, Vec<u8>)>,
}

impl Giving {
    /// A node asks for a piece. Further ones are for later: it asks again.
    pub(crate) fn ask(
        &mut self,
        to: NodeId,
        (of, least, from): (Option<Mark>, u64, Vec<u8>),
        numbers: &mut Numbers,
        out: &mut Vec<TrailCommand>,
    ) {
        if self.reads.len() >= READS_MAX || self.reads.values().any(|(node, ..)| *node == to) {
            return;
        }
        if of.is_none() {
            out.push(TrailCommand::Tell(TrailHappened::CopyGiven));
        }
        let read = numbers.read();
        self.reads.insert(read, (to, of, from.clone()));
        out.push(TrailCommand::ReadCopy { read, of, least, from, max_bytes: PIECE_MAX });
    }

    /// Returns what is to be sent when a piece was read.
    pub(crate) fn read(&mut self, read: ReadId, outcome: CopyOutcome) -> Option<(NodeId, TrailMessage)> {
        let (to, of, from) = self.reads.remove(&read)?;
        let message = match (outcome, of) {
            (CopyOutcome::Piece { mark, bytes, next }, _) => {
                // As a message it would be none.
                let is_long = |next: &Vec<u8>| next.len() > PLACE_MAX;
                if bytes.len() > PIECE_MAX || next.as_ref().is_some_and(is_long) {
                    return None;
                }
                TrailMessage::Piece { mark, from, bytes, next }
            }
            (CopyOutcome::Gone, Some(of)) => TrailMessage::NoCopy { of },
            (CopyOutcome::Gone, None) | (CopyOutcome::Fault, _) => return None,
        };
        Some((to, message))
    }
}
