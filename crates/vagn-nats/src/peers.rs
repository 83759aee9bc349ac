//! Messages between nodes: in parts that brokers like, over one connection, or over both in doubt; received over both and taken once.
//!
//! A broker that hangs keeps its connections and its place in the routes for a minute. So each node listens on both of its connections, and what
//! comes twice is dropped. Each part ends with a trailer: run and number of the part, its place in the message, and the number of parts.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use vagn_cluster::NodeId;

use crate::brokers::{Brokers, FromNode};
use crate::counts::Loss;

/// Longest part without its trailer.
const PART_MAX: usize = 256 << 10;

/// Longest message that goes over both connections while one of them is silent: what a hung broker does not take stays in memory.
const BOTH_MAX: usize = 64 << 10;

/// Longest message that is put together.
const MESSAGE_MAX: usize = 1 << 20;

const TRAILER_LEN: usize = 8 + 8 + 1 + 1;

/// Numbers below the highest of which it is remembered whether they came.
const WINDOW: u64 = 1_024;

/// Nodes whose numbers are remembered.
const NODES_MAX: usize = 1_024;

/// Messages of which some parts came.
const UNFINISHED_MAX: usize = 64;

/// Numbers and parts of what other nodes send.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    part: Part,
    next: u64,
    seen: HashMap<NodeId, Seen>,
    unfinished: VecDeque<Unfinished>,
}

/// Part of a node that speaks to the same part of others. Each has numbers of its own, and subjects of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Part {
    /// The shards.
    #[default]
    Shards,
    /// Desk and door.
    Desk,
}

/// Numbers that came from a node.
#[derive(Debug)]
struct Seen {
    run: u64,
    highest: u64,
    came: [u64; (WINDOW / 64) as usize],
}

/// A message of which some parts came.
#[derive(Debug)]
struct Unfinished {
    from: NodeId,
    run: u64,
    /// Number of its first part.
    first: u64,
    parts: Vec<Option<Bytes>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Trailer {
    run: u64,
    number: u64,
    part: u8,
    parts: u8,
}

impl Peers {
    pub(crate) fn of(part: Part) -> Self {
        Self { part, ..Self::default() }
    }

    /// Sends a message to a node: over the connections by turns, or over both while one of them is silent.
    pub(crate) fn send(&mut self, brokers: &Brokers, to: NodeId, bytes: Vec<u8>) {
        let ways = brokers.ways(self.next, bytes.len() <= BOTH_MAX);
        if ways.is_empty() {
            return brokers.lose(Loss::NotSent);
        }
        let subject = match self.part {
            Part::Shards => brokers.names().to(to, brokers.node()),
            Part::Desk => brokers.names().desk(to, brokers.node()),
        };
        for part in self.split(brokers.run(), bytes) {
            let sent =
                ways.iter().filter(|client| brokers.say(client, subject.clone(), part.clone())).count();
            if sent == 0 {
                brokers.lose(Loss::NotSent);
            }
        }
    }

    /// Sends a message to all nodes, over both connections: it comes back to this one, and shows that they live.
    pub(crate) fn send_all(&mut self, brokers: &Brokers, bytes: Vec<u8>) {
        let subject = match self.part {
            Part::Shards => brokers.names().all(brokers.node()),
            Part::Desk => brokers.names().desks(brokers.node()),
        };
        for part in self.split(brokers.run(), bytes) {
            let sent =
                brokers.clients().filter(|client| brokers.say(client, subject.clone(), part.clone())).count();
            if sent == 0 {
                brokers.lose(Loss::NotSent);
            }
        }
    }

    fn split(&mut self, run: u64, bytes: Vec<u8>) -> Vec<Bytes> {
        if bytes.len() <= PART_MAX {
            return vec![self.part(run, bytes, 0, 1)];
        }
        let parts = u8::try_from(bytes.len().div_ceil(PART_MAX)).unwrap_or(u8::MAX);
        let pieces = (0..parts).zip(bytes.chunks(PART_MAX));
        pieces.map(|(part, piece)| self.part(run, piece.to_vec(), part, parts)).collect()
    }

    fn part(&mut self, run: u64, mut bytes: Vec<u8>, part: u8, parts: u8) -> Bytes {
        self.next += 1;
        bytes.extend_from_slice(&run.to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.extend_from_slice(&[part, parts]);
        bytes.into()
    }

    /// Takes a part for this run of a node. Returns the sender and the message once all of it is there. The sender can be this node, where another
    /// process runs under its name.
    pub(crate) fn take(
        &mut self,
        me: (NodeId, u64),
        part: FromNode,
        lose: impl Fn(Loss),
    ) -> Option<(NodeId, Vec<u8>)> {
        let FromNode { from, mut payload } = part;
        let Some(trailer) = trailer(&mut payload) else {
            lose(Loss::Damaged);
            return None;
        };
        if (from, trailer.run) == me || !self.is_new(from, trailer) {
            return None;
        }
        if trailer.parts == 1 {
            return Some((from, payload.into()));
        }
        self.join(from, trailer, payload, lose).map(|bytes| (from, bytes))
    }

    fn is_new(&mut self, from: NodeId, trailer: Trailer) -> bool {
        if self.seen.len() >= NODES_MAX && !self.seen.contains_key(&from) {
            // Most are of nodes that are gone; the others are back with their next message.
            self.seen.clear();
        }
        let fresh = Seen { run: trailer.run, highest: 0, came: Default::default() };
        let seen = self.seen.entry(from).or_insert_with(|| fresh);
        if seen.run != trailer.run {
            *seen = Seen { run: trailer.run, highest: 0, came: Default::default() };
        }
        seen.note(trailer.number)
    }

    fn join(
        &mut self,
        from: NodeId,
        trailer: Trailer,
        payload: Bytes,
        lose: impl Fn(Loss),
    ) -> Option<Vec<u8>> {
        let run = trailer.run;
        let first = trailer.number.checked_sub(u64::from(trailer.part))?;
        let known = self.unfinished.iter().position(|other| other.is(from, run, first));
        let at = known.unwrap_or_else(|| {
            if self.unfinished.len() >= UNFINISHED_MAX {
                self.unfinished.pop_front();
                lose(Loss::PartsMissing);
            }
            let parts = vec![None; usize::from(trailer.parts)];
            self.unfinished.push_back(Unfinished { from, run, first, parts });
            self.unfinished.len() - 1
        });
        let parts = &mut self.unfinished[at].parts;
        *parts.get_mut(usize::from(trailer.part))? = Some(payload);
        if parts.iter().any(Option::is_none) {
            return None;
        }
        let whole = self.unfinished.remove(at)?;
        Some(whole.parts.into_iter().flatten().flatten().collect())
    }
}

impl Unfinished {
    fn is(&self, from: NodeId, run: u64, first: u64) -> bool {
        (self.from, self.run, self.first) == (from, run, first)
    }
}

impl Seen {
    /// Notes a number. Returns false when it came before, or is too old to know.
    fn note(&mut self, number: u64) -> bool {
        if number + WINDOW <= self.highest {
            return false;
        }
        // Places of numbers between were used by lower ones.
        let passed = number.saturating_sub(self.highest).min(WINDOW);
        for skipped in number.saturating_sub(passed) + 1..=number {
            if skipped > self.highest {
                self.came[Self::word(skipped)] &= !(1 << (skipped % 64));
            }
        }
        self.highest = self.highest.max(number);
        let word = &mut self.came[Self::word(number)];
        let is_new = *word & (1 << (number % 64)) == 0;
        *word |= 1 << (number % 64);
        is_new
    }

    fn word(number: u64) -> usize {
        (number % WINDOW / 64) as usize
    }
}

/// Cuts the trailer off.
fn trailer(payload: &mut Bytes) -> Option<Trailer> {
    let end = payload.len().checked_sub(TRAILER_LEN)?;
    let bytes = payload.split_off(end);
    let run = u64::from_le_bytes(*bytes.first_chunk()?);
    let number = u64::from_le_bytes(*bytes[8..].first_chunk()?);
    let read = Trailer { run, number, part: bytes[16], parts: bytes[17] };
    let fits = usize::from(read.parts) * PART_MAX <= MESSAGE_MAX && payload.len() <= PART_MAX;
    (read.part < read.parts && fits).then_some(read)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const ME: NodeId = NodeId(1);
    const RUN: u64 = 77;
    const OTHER: NodeId = NodeId(2);

    struct Rig {
        peers: Peers,
        lost: RefCell<Vec<Loss>>,
    }

    impl Rig {
        fn new() -> Self {
            Self { peers: Peers::default(), lost: RefCell::default() }
        }

        fn take(&mut self, from: NodeId, payload: &Bytes) -> Option<Vec<u8>> {
            let part = FromNode { from, payload: payload.clone() };
            let taken = self.peers.take((ME, RUN), part, |loss| self.lost.borrow_mut().push(loss));
            taken.map(|(sender, bytes)| {
                assert_eq!(sender, from);
                bytes
            })
        }
    }

    fn parts(run: u64, after: u64, bytes: Vec<u8>) -> Vec<Bytes> {
        let mut peers = Peers { next: after, ..Peers::default() };
        peers.split(run, bytes)
    }

    #[test]
    fn what_comes_over_both_connections_is_taken_once() {
        let mut rig = Rig::new();
        for number in [0, 1, 2, 5, 3, 900, 4] {
            let part = &parts(7, number, vec![9])[0];
            assert_eq!(rig.take(OTHER, part), Some(vec![9]), "{number}");
            assert_eq!(rig.take(OTHER, part), None, "{number}");
        }
        let early = &parts(7, 6, vec![9])[0];
        assert_eq!(rig.take(OTHER, early), Some(vec![9]));
        assert_eq!(rig.take(OTHER, &parts(7, 10_000, vec![8])[0]), Some(vec![8]));
        assert_eq!(rig.take(OTHER, early), None, "too old to know");
        // Another run begins anew, and another node has numbers of its own.
        assert_eq!(rig.take(OTHER, &parts(8, 0, vec![1])[0]), Some(vec![1]));
        assert_eq!(rig.take(NodeId(3), early), Some(vec![9]));
    }

    #[test]
    fn what_another_process_of_the_same_name_sends_is_taken_and_the_own_is_not() {
        let mut rig = Rig::new();
        assert_eq!(rig.take(ME, &parts(RUN, 0, vec![9])[0]), None);
        assert_eq!(rig.take(ME, &parts(RUN + 1, 0, vec![9])[0]), Some(vec![9]));
        assert_eq!(*rig.lost.borrow(), []);
    }

    #[test]
    fn numbers_are_new_once_in_whatever_order_within_the_window() {
        let mut chance = fastrand::Rng::with_seed(3);
        let mut seen = Seen { run: 0, highest: 0, came: Default::default() };
        let mut came = std::collections::BTreeSet::new();
        for _ in 0..20_000 {
            let highest = came.last().copied().unwrap_or(WINDOW);
            let number = chance.u64(highest - WINDOW / 2..highest + 9);
            assert_eq!(seen.note(number), came.insert(number), "{number}");
        }
    }

    #[test]
    fn a_long_message_comes_in_parts_and_is_put_together() {
        let long: Vec<u8> = (0..600_000_u32).map(|at| at as u8).collect();
        let mut pieces = parts(7, 0, long.clone());
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.len() <= PART_MAX + TRAILER_LEN));
        let mut rig = Rig::new();
        pieces.swap(0, 2);
        let taken: Vec<Option<usize>> =
            pieces.iter().map(|piece| rig.take(OTHER, piece).map(|bytes| bytes.len())).collect();
        assert_eq!(taken, [None, None, Some(long.len())]);
        assert!(rig.peers.unfinished.is_empty());
        let mut again = Rig::new();
        let whole = parts(7, 0, long.clone()).iter().find_map(|piece| again.take(OTHER, piece));
        assert_eq!(whole, Some(long));
    }

    #[test]
    fn parts_whose_others_never_come_have_a_bound() {
        let mut rig = Rig::new();
        for message in 0..=UNFINISHED_MAX as u64 {
            let pieces = parts(7, message * 3, vec![0; PART_MAX + 1]);
            assert_eq!(rig.take(OTHER, &pieces[0]), None);
        }
        assert_eq!(rig.peers.unfinished.len(), UNFINISHED_MAX);
        assert_eq!(*rig.lost.borrow(), [Loss::PartsMissing]);
    }

    #[test]
    fn what_is_damaged_is_counted_and_what_is_our_own_is_not() {
        let mut rig = Rig::new();
        let good = &parts(7, 0, vec![9])[0];
        assert_eq!(rig.take(ME, &parts(RUN, 0, vec![9])[0]), None);
        let damaged = [&[][..], &good[1..], &[0; TRAILER_LEN], &[9; 40]];
        for bytes in damaged {
            assert_eq!(
                rig.take(OTHER, &Bytes::copy_from_slice(bytes)).filter(|bytes| !bytes.is_empty()),
                None
            );
        }
        // One byte short is a message without content under another number: the node drops it.
        assert_eq!(*rig.lost.borrow(), [Loss::Damaged; 3]);
    }
}
