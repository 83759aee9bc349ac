//! A stream at the brokers: a log that knows repeats for a while, and that can lose its end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vagn_cluster::{Incarnation, PublishOutcome, StreamInfo};

/// A message, as a stream keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) time_ms: i64,
    pub(crate) bytes: Arc<[u8]>,
    id: Option<String>,
    at: u64,
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    incarnation: Incarnation,
    first: u64,
    messages: VecDeque<Message>,
    bytes: u64,
    /// Sequence of the message with an id, until the window has passed.
    ids: BTreeMap<String, (u64, u64)>,
    /// Highest sequence that was ever given, lost or not.
    highest: u64,
    window: u64,
    bytes_max: u64,
}

/// What a stream did with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) outcome: PublishOutcome,
    /// It was added to the stream.
    pub(crate) added: bool,
    /// Its sequence was that of a message that was lost.
    pub(crate) reused: bool,
    /// A message with its id was there, and is again: its window had passed.
    pub(crate) twin: bool,
    /// It was refused for the last sequence, and the last message is its own.
    pub(crate) refused_by_itself: bool,
}

/// A message on its way into a stream.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) id: Option<String>,
    pub(crate) expected_last: Option<u64>,
    pub(crate) bytes: Arc<[u8]>,
}

impl Stream {
    pub(crate) fn new(incarnation: Incarnation, window: u64, bytes_max: u64) -> Self {
        Self {
            incarnation,
            first: 1,
            messages: VecDeque::new(),
            bytes: 0,
            ids: BTreeMap::new(),
            highest: 0,
            window,
            bytes_max,
        }
    }

    pub(crate) fn last(&self) -> u64 {
        self.first + self.messages.len() as u64 - 1
    }

    pub(crate) fn info(&self) -> StreamInfo {
        StreamInfo { incarnation: self.incarnation, first: self.first, last: self.last(), bytes: self.bytes }
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Message> {
        self.messages.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }

    /// Takes a message in, as a leader does whose clock shows `time_ms`: a known id counts before the expected sequence.
    pub(crate) fn append(&mut self, now: u64, time_ms: i64, offer: Offer) -> Appended {
        let known = offer.id.as_ref().and_then(|id| self.ids.get(id)).copied();
        if let Some((sequence, at)) = known
            && now < at + self.window
        {
            return Appended::no(PublishOutcome::Stored { sequence, duplicate: true });
        }
        let last = self.last();
        if offer.expected_last.is_some_and(|expected| expected != last) {
            let refused_by_itself = known.is_some_and(|(sequence, _)| sequence == last);
            return Appended { refused_by_itself, ..Appended::no(PublishOutcome::WrongLast { last }) };
        }
        if self.bytes + offer.bytes.len() as u64 > self.bytes_max {
            return Appended::no(PublishOutcome::Full);
        }
        let sequence = last + 1;
        if let Some(id) = &offer.id {
            self.ids.insert(id.clone(), (sequence, now));
        }
        self.bytes += offer.bytes.len() as u64;
        self.messages.push_back(Message { time_ms, bytes: offer.bytes, id: offer.id, at: now });
        let reused = sequence <= self.highest;
        self.highest = self.highest.max(sequence);
        let outcome = PublishOutcome::Stored { sequence, duplicate: false };
        Appended { outcome, added: true, reused, twin: known.is_some(), refused_by_itself: false }
    }

    /// Removes messages up to a sequence, which may lie beyond the end.
    pub(crate) fn purge(&mut self, through: u64) {
        while self.first <= through.min(self.highest) {
            let Some(message) = self.messages.pop_front() else { return };
            self.bytes -= message.bytes.len() as u64;
            self.first += 1;
        }
    }

    /// Loses the last messages, as brokers do that had not synced them: their sequences will be given again, and what is known
    /// of ids is what the rest of the log tells. Says how many were lost.
    pub(crate) fn lose_tail(&mut self, count: u64) -> u64 {
        let mut lost = 0;
        while lost < count
            && let Some(message) = self.messages.pop_back()
        {
            self.bytes -= message.bytes.len() as u64;
            lost += 1;
        }
        let first = self.first;
        self.ids = self
            .messages
            .iter()
            .zip(first..)
            .filter_map(|(message, sequence)| Some((message.id.clone()?, (sequence, message.at))))
            .collect();
        lost
    }
}

impl Appended {
    fn no(outcome: PublishOutcome) -> Self {
        Self { outcome, added: false, reused: false, twin: false, refused_by_itself: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        Stream::new(Incarnation(1), 120, 100)
    }

    fn offer(id: &str, expected_last: Option<u64>) -> Offer {
        Offer { id: Some(id.to_owned()), expected_last, bytes: vec![0; 10].into() }
    }

    fn stored(sequence: u64, duplicate: bool) -> PublishOutcome {
        PublishOutcome::Stored { sequence, duplicate }
    }

    #[test]
    fn knows_a_repeat_within_its_window_only() {
        let mut stream = stream();
        assert_eq!(stream.append(0, 0, offer("a", None)).outcome, stored(1, false));
        assert_eq!(stream.append(119, 0, offer("a", None)).outcome, stored(1, true));
        let late = stream.append(120, 0, offer("a", None));
        assert_eq!((late.outcome, late.twin), (stored(2, false), true));
    }

    #[test]
    fn refuses_an_append_for_the_sender_s_own_message_after_the_window() {
        let mut stream = stream();
        stream.append(0, 0, offer("a", Some(0)));
        assert_eq!(stream.append(1, 0, offer("a", Some(0))).outcome, stored(1, true));
        let late = stream.append(200, 0, offer("a", Some(0)));
        assert_eq!((late.outcome, late.refused_by_itself), (PublishOutcome::WrongLast { last: 1 }, true));
    }

    #[test]
    fn is_full_until_it_is_purged() {
        let mut stream = stream();
        let outcomes: Vec<_> =
            (0..11).map(|n| stream.append(n, 0, offer(&n.to_string(), None)).added).collect();
        assert_eq!(outcomes, [[true; 10].as_slice(), &[false]].concat());
        stream.purge(3);
        assert_eq!(stream.info(), StreamInfo { incarnation: Incarnation(1), first: 4, last: 10, bytes: 70 });
        assert!(stream.append(20, 0, offer("x", None)).added);
        stream.purge(99);
        assert_eq!(stream.info(), StreamInfo { incarnation: Incarnation(1), first: 12, last: 11, bytes: 0 });
    }

    #[test]
    fn gives_sequences_of_a_lost_tail_again_and_forgets_its_ids() {
        let mut stream = stream();
        for id in ["a", "b", "c"] {
            stream.append(0, 0, offer(id, None));
        }
        assert_eq!(stream.lose_tail(2), 2);
        assert_eq!(stream.last(), 1);
        assert_eq!(stream.append(1, 0, offer("a", None)).outcome, stored(1, true));
        let again = stream.append(1, 0, offer("c", None));
        assert_eq!((again.outcome, again.reused), (stored(2, false), true));
    }
}
