//! Copying a shard from one of its owners, in pieces; and being copied from.
//!
//! A copy is a snapshot of the owner at one entry. The stream goes on from the next: nobody purges it meanwhile, as a node that
//! copies stands in the record, and a purge waits for all that stand there. A piece that does not come is asked for again, and an owner
//! that is silent is left for another.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Command;
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, StreamId};
use crate::message::{Message, PIECE_MAX};

/// Pause before a piece is asked for again.
const AGAIN_MS: u64 = 1_000;

/// Silence of an owner after which another is asked.
const SILENCE_MS: u64 = 8_000;

/// Time for which an owner keeps a copy that nobody reads on.
const KEPT_MS: u64 = 30_000;

/// Time for which an owner keeps a copy whose last byte was sent to all who read it: that piece may be asked for again.
const SENT_KEPT_MS: u64 = 3 * AGAIN_MS;

/// Longest copy, in bytes.
const COPY_MAX: u64 = 4 << 30;

/// A copy that this node makes.
#[derive(Debug)]
pub(crate) struct Copying {
    stream: StreamId,
    source: Option<NodeId>,
    /// Number of the copy at its source, 0 before the first piece.
    copy: u64,
    total: u64,
    got: Vec<u8>,
    asked_ms: Option<u64>,
    heard_ms: u64,
    /// A piece had to be asked for again.
    was_cut: bool,
    /// Sources that were tried.
    tried: usize,
}

impl Copying {
    pub(crate) fn new(stream: StreamId) -> Self {
        Self {
            stream,
            source: None,
            copy: 0,
            total: 0,
            got: Vec::new(),
            asked_ms: None,
            heard_ms: 0,
            was_cut: false,
            tried: 0,
        }
    }

    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Asks for the next piece when it is time. `sources` are owners that have all, the best first.
    pub(crate) fn run(&mut self, now: Moment, sources: &[NodeId], out: &mut Vec<Command>) {
        let is_due = self.asked_ms.is_none_or(|asked_ms| now.elapsed_ms >= asked_ms + AGAIN_MS);
        if !is_due {
            return;
        }
        let is_lost = self
            .source
            .is_some_and(|source| now.elapsed_ms >= self.heard_ms + SILENCE_MS || !sources.contains(&source));
        if is_lost {
            self.begin_anew(out);
        }
        if self.source.is_none() && !sources.is_empty() {
            self.source = Some(sources[self.tried % sources.len()]);
            (self.tried, self.heard_ms) = (self.tried + 1, now.elapsed_ms);
        } else if self.source.is_some() && !self.got.is_empty() {
            self.was_cut = true;
        }
        self.ask(now, out);
    }

    pub(crate) fn due_ms(&self) -> u64 {
        self.asked_ms.map_or(0, |asked_ms| asked_ms + AGAIN_MS)
    }

    fn ask(&mut self, now: Moment, out: &mut Vec<Command>) {
        self.asked_ms = Some(now.elapsed_ms);
        if let Some(to) = self.source {
            let ask =
                Message::CopyAsk { stream: self.stream, copy: self.copy, offset: self.got.len() as u64 };
            out.push(Command::Send { to, bytes: ask.write() });
        }
    }

    fn begin_anew(&mut self, out: &mut Vec<Command>) {
        if !self.got.is_empty() {
            out.push(Command::Tell(Happened::CopyLost(self.stream.shard)));
        }
        *self = Self { tried: self.tried, ..Self::new(self.stream) };
    }

    /// Takes a piece, and asks for the next. Returns the whole when it was the last.
    pub(crate) fn piece(
        &mut self,
        from: NodeId,
        piece: Piece,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Option<Vec<u8>> {
        let is_ours = self.source == Some(from) && piece.stream == self.stream;
        let is_next = piece.offset == self.got.len() as u64 && !piece.bytes.is_empty();
        let is_same = self.copy == 0 || (piece.copy == self.copy && piece.total == self.total);
        let has_room = piece.total <= COPY_MAX && piece.offset + piece.bytes.len() as u64 <= piece.total;
        if !is_ours || !is_next || !is_same || !has_room {
            return None;
        }
        (self.copy, self.total, self.heard_ms) = (piece.copy, piece.total, now.elapsed_ms);
        self.got.extend_from_slice(&piece.bytes);
        if std::mem::take(&mut self.was_cut) {
            out.push(Command::Tell(Happened::CopyResumed(self.stream.shard)));
        }
        if self.got.len() as u64 == self.total {
            return Some(std::mem::take(&mut self.got));
        }
        self.ask(now, out);
        None
    }

    /// The source has no such copy any more, or cannot be copied from now.
    pub(crate) fn gone(
        &mut self,
        from: NodeId,
        stream: StreamId,
        copy: u64,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        if self.source == Some(from) && stream == self.stream && copy == self.copy {
            self.begin_anew(out);
            // Not at once: it could be refused without end.
            self.asked_ms = Some(now.elapsed_ms);
        }
    }
}

/// A piece of a copy, as a message carries it.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) stream: StreamId,
    pub(crate) copy: u64,
    pub(crate) total: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A copy of a shard that others read from this node.
#[derive(Debug)]
pub(crate) struct Frozen {
    stream: StreamId,
    copy: u64,
    bytes: Arc<[u8]>,
    begun_ms: u64,
    used_ms: u64,
    /// Nodes that read it and have not got its last byte.
    readers: BTreeSet<NodeId>,
}

impl Frozen {
    pub(crate) fn new(stream: StreamId, copy: u64, bytes: Vec<u8>, now: Moment) -> Self {
        let (begun_ms, used_ms) = (now.elapsed_ms, now.elapsed_ms);
        Self { stream, copy, bytes: Arc::from(bytes), begun_ms, used_ms, readers: BTreeSet::new() }
    }

    /// True if a copy that begins now can read it too.
    pub(crate) fn is_fresh(&self, stream: StreamId, now: Moment) -> bool {
        self.stream == stream && now.elapsed_ms < self.begun_ms + AGAIN_MS
    }

    /// True if it has this number.
    pub(crate) fn is(&self, copy: u64) -> bool {
        self.copy == copy
    }

    /// True when nobody reads it any more.
    pub(crate) fn is_over(&self, now: Moment) -> bool {
        let kept_ms = if self.readers.is_empty() { SENT_KEPT_MS } else { KEPT_MS };
        now.elapsed_ms >= self.used_ms + kept_ms
    }

    /// Answers a node that reads.
    pub(crate) fn piece(
        &mut self,
        reader: NodeId,
        (stream, copy): (StreamId, u64),
        offset: u64,
        len: usize,
        now: Moment,
    ) -> Message {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let is_there = stream == self.stream && (copy == self.copy || copy == 0 && offset == 0);
        if !is_there || start >= self.bytes.len() {
            return Message::CopyGone { stream, copy };
        }
        self.used_ms = now.elapsed_ms;
        let end = self.bytes.len().min(start + len.clamp(1, PIECE_MAX));
        if end == self.bytes.len() {
            self.readers.remove(&reader);
        } else {
            self.readers.insert(reader);
        }
        let (total, bytes) = (self.bytes.len() as u64, self.bytes[start..end].to_vec());
        Message::CopyPiece { stream, copy: self.copy, total, offset, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardId;

    const STREAM: StreamId = StreamId { shard: ShardId(1), epoch: 1 };
    const ONE: NodeId = NodeId(1);
    const TWO: NodeId = NodeId(2);

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    fn asked(out: &mut Vec<Command>) -> Vec<(NodeId, u64, u64)> {
        let asks = out.drain(..).filter_map(|command| match command {
            Command::Send { to, bytes } => match Message::read(&bytes).unwrap() {
                Message::CopyAsk { copy, offset, .. } => Some((to, copy, offset)),
                _ => None,
            },
            _ => None,
        });
        asks.collect()
    }

    fn told(out: &[Command]) -> Vec<Happened> {
        let told = out.iter().filter_map(|command| match command {
            Command::Tell(happened) => Some(*happened),
            _ => None,
        });
        told.collect()
    }

    fn piece(message: Message) -> Piece {
        match message {
            Message::CopyPiece { stream, copy, total, offset, bytes } => {
                Piece { stream, copy, total, offset, bytes }
            }
            other => panic!("no piece: {other:?}"),
        }
    }

    fn frozen(copy: u64) -> Frozen {
        Frozen::new(STREAM, copy, (0..100).collect(), at(0))
    }

    #[test]
    fn a_copy_is_whole_and_asked_for_piece_by_piece() {
        let (mut copying, mut frozen, mut out) = (Copying::new(STREAM), frozen(7), Vec::new());
        copying.run(at(0), &[ONE, TWO], &mut out);
        let mut pieces = 0;
        let whole = loop {
            let [(ONE, copy, offset)] = asked(&mut out)[..] else { panic!("one is asked for") };
            let piece = piece(frozen.piece(ONE, (STREAM, copy), offset, 30, at(0)));
            pieces += 1;
            if let Some(whole) = copying.piece(ONE, piece, at(0), &mut out) {
                break whole;
            }
        };
        assert_eq!((whole, pieces), ((0..100).collect(), 4));
        assert!(told(&out).is_empty());
    }

    #[test]
    fn a_copy_that_was_cut_off_goes_on_where_it_was() {
        let (mut copying, mut frozen, mut out) = (Copying::new(STREAM), frozen(7), Vec::new());
        copying.run(at(0), &[ONE], &mut out);
        let first = piece(frozen.piece(ONE, (STREAM, 0), 0, 30, at(0)));
        copying.piece(ONE, first, at(0), &mut out);
        asked(&mut out);
        copying.run(at(AGAIN_MS - 1), &[ONE], &mut out);
        assert!(asked(&mut out).is_empty());
        copying.run(at(AGAIN_MS), &[ONE], &mut out);
        assert_eq!(asked(&mut out), [(ONE, 7, 30)]);
        copying.piece(ONE, piece(frozen.piece(ONE, (STREAM, 7), 30, 30, at(1))), at(AGAIN_MS), &mut out);
        assert_eq!(told(&out), [Happened::CopyResumed(ShardId(1))]);
        // What came twice, late, from another or of another copy is none.
        for (from, copy, offset) in [(ONE, 7, 30), (TWO, 7, 60), (ONE, 8, 60)] {
            let stray = Piece { stream: STREAM, copy, total: 100, offset, bytes: vec![9; 10] };
            assert_eq!(copying.piece(from, stray, at(AGAIN_MS), &mut out), None);
        }
        assert_eq!(copying.got.len(), 60);
    }

    #[test]
    fn a_silent_source_is_left_for_another_and_the_copy_begins_anew() {
        let (mut copying, mut out) = (Copying::new(STREAM), Vec::new());
        copying.run(at(0), &[ONE, TWO], &mut out);
        copying.piece(ONE, piece(frozen(7).piece(ONE, (STREAM, 0), 0, 30, at(0))), at(10), &mut out);
        for second in 1..=9 {
            copying.run(at(10 + second * AGAIN_MS), &[ONE, TWO], &mut out);
        }
        assert_eq!(told(&out), [Happened::CopyLost(ShardId(1))]);
        assert_eq!(asked(&mut out).last(), Some(&(TWO, 0, 0)));
        copying.gone(TWO, STREAM, 0, at(10_000), &mut out);
        assert!(asked(&mut out).is_empty());
        copying.run(at(10_000 + AGAIN_MS), &[ONE, TWO], &mut out);
        assert_eq!(asked(&mut out), [(ONE, 0, 0)]);
    }

    #[test]
    fn a_source_that_owns_no_more_is_left_at_once() {
        let (mut copying, mut out) = (Copying::new(STREAM), Vec::new());
        copying.run(at(0), &[ONE], &mut out);
        copying.run(at(AGAIN_MS), &[TWO], &mut out);
        assert_eq!(asked(&mut out), [(ONE, 0, 0), (TWO, 0, 0)]);
        copying.run(at(2 * AGAIN_MS), &[], &mut out);
        assert!(asked(&mut out).is_empty(), "nobody is there to be asked");
    }

    #[test]
    fn a_copy_that_is_over_is_gone() {
        let mut frozen = frozen(7);
        assert!(frozen.is_fresh(STREAM, at(1)) && !frozen.is_fresh(STREAM, at(AGAIN_MS)));
        frozen.piece(ONE, (STREAM, 7), 30, 30, at(500));
        assert!(!frozen.is_over(at(499 + KEPT_MS)) && frozen.is_over(at(500 + KEPT_MS)));
        let other = StreamId { epoch: 2, ..STREAM };
        for (stream, copy, offset) in [(STREAM, 8, 30), (STREAM, 0, 30), (STREAM, 7, 100), (other, 7, 0)] {
            assert_eq!(
                frozen.piece(ONE, (stream, copy), offset, 9, at(0)),
                Message::CopyGone { stream, copy }
            );
        }
    }

    #[test]
    fn a_copy_that_all_have_read_makes_room_soon() {
        let mut frozen = frozen(7);
        for (reader, ms) in [(ONE, 0), (TWO, 10)] {
            frozen.piece(reader, (STREAM, 0), 0, 60, at(ms));
        }
        frozen.piece(ONE, (STREAM, 7), 60, 60, at(20));
        assert!(!frozen.is_over(at(20 + SENT_KEPT_MS)), "the other reads on");
        frozen.piece(TWO, (STREAM, 7), 60, 60, at(30));
        // Its last piece may be lost.
        assert!(!frozen.is_over(at(29 + SENT_KEPT_MS)) && frozen.is_over(at(30 + SENT_KEPT_MS)));
    }
}
