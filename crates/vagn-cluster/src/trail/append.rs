//! Append: the one entry that this node has under way to the trail, until it is known whether the trail has it.
//!
//! | the brokers say | so |
//! |---|---|
//! | stored, at the sequence behind the expected one | the trail has it, if nothing speaks against it |
//! | the same after a refusal, or long after the entry before | it is read first, with the entry before it, by a subscription that begins now: the trail may have lost its end and grown again |
//! | the stream ends elsewhere | the entry behind the expected one is read: it may be this one, which was stored after all |
//! | nothing; full; no stream | the same entry is sent again, with the same expected sequence |
//!
//! Nothing else is appended meanwhile: one entry at most follows the expected one, so sending it again stores it once.

use std::sync::Arc;

use crate::command::Command;
use crate::event::PublishOutcome;
use crate::ids::{Moment, PublishId, StreamId};
use crate::numbers::Numbers;
use crate::trail::command::{TrailCommand, TrailHappened};
use crate::trail::entry::TrailBody;
use crate::trail::ids::{AlarmVersion, DeedId, EntryId, Term};
use crate::trail::mark::Mark;

/// Pause before an entry is sent again.
const AGAIN_MS: u64 = 250;

/// Pause before an entry is sent again to a stream that is full or absent, or that holds something else.
const LATER_MS: u64 = 1_000;

/// Pause before an entry is sent again that is there, and is read.
const READ_MS: u64 = 5_000;

/// An entry under way.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) id: EntryId,
    pub(crate) kind: Kind,
    stream: StreamId,
    expected: u64,
    pub(crate) bytes: Arc<[u8]>,
    publish: Option<PublishId>,
    /// Moment at which it was sent first: no entry of its leader is older than that.
    pub(crate) sent_ms: u64,
    again_at_ms: u64,
    refused: bool,
    /// It is there: what is delivered by a subscription that began since, and so compared the entry before it, is believed.
    is_read: bool,
    is_full: bool,
    has_fence: bool,
}

/// What an entry is to its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Claim(Term),
    Renewal,
    Farewell,
    Group { alarms: Vec<AlarmVersion>, deeds: Vec<DeedId> },
}

/// What an answer of the brokers means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The trail has the entry at this sequence.
    Stored(u64),
    /// Something is at its place: it has to be read.
    Doubt,
    /// Nothing yet.
    Nothing,
}

/// What the entry at the place of this one means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stored,
    Refused,
}

impl Kind {
    /// Returns the content of an entry that is a sign of its writer: what that had read.
    pub(crate) fn sign(&self, settings_hash: u64, read: Mark) -> TrailBody<'static> {
        let Mark { sequence, running_hash, .. } = read;
        match self {
            Self::Claim(_) => TrailBody::Claim { settings_hash, sequence, running_hash },
            Self::Farewell => TrailBody::Farewell { settings_hash, sequence, running_hash },
            Self::Renewal | Self::Group { .. } => {
                TrailBody::Renewal { settings_hash, sequence, running_hash }
            }
        }
    }
}

impl Append {
    pub(crate) fn new(
        id: EntryId,
        kind: Kind,
        (stream, expected): (StreamId, u64),
        bytes: Vec<u8>,
        now: Moment,
    ) -> Self {
        Self {
            id,
            kind,
            stream,
            expected,
            bytes: bytes.into(),
            publish: None,
            sent_ms: now.elapsed_ms,
            again_at_ms: now.elapsed_ms,
            refused: false,
            is_read: false,
            is_full: false,
            has_fence: true,
        }
    }

    /// Returns true if the brokers refused it for want of room.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Planted fault.
    pub(crate) fn without_fence(&mut self) {
        self.has_fence = false;
    }

    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.publish.is_none().then_some(self.again_at_ms)
    }

    /// Sends it when it is time.
    pub(crate) fn run(&mut self, now: Moment, numbers: &mut Numbers, out: &mut Vec<TrailCommand>) {
        if self.publish.is_some() || now.elapsed_ms < self.again_at_ms {
            return;
        }
        let publish = numbers.publish();
        // This one may be stored behind another entry than the one before it.
        (self.publish, self.is_read) = (Some(publish), false);
        out.push(TrailCommand::Common(Command::Publish {
            publish,
            stream: self.stream,
            message_id: Some(self.id.to_string()),
            expected_last: self.has_fence.then_some(self.expected),
            bytes: self.bytes.clone(),
        }));
    }

    /// Takes in an answer of the brokers. `is_sure` says that nobody else can have written since the entry before.
    pub(crate) fn published(
        &mut self,
        publish: PublishId,
        outcome: PublishOutcome,
        (is_sure, now): (bool, Moment),
        out: &mut Vec<TrailCommand>,
    ) -> Answer {
        if self.publish.take_if(|own| *own == publish).is_none() {
            return Answer::Nothing;
        }
        self.again_at_ms = now.elapsed_ms + AGAIN_MS;
        match outcome {
            PublishOutcome::Stored { sequence, .. } if !self.has_fence => return Answer::Stored(sequence),
            PublishOutcome::Stored { sequence, .. }
                if sequence == self.expected + 1 && is_sure && !self.refused =>
            {
                return Answer::Stored(sequence);
            }
            PublishOutcome::Stored { sequence, .. } if sequence == self.expected + 1 => {
                return if self.begin_read(now) { Answer::Doubt } else { Answer::Nothing };
            }
            // A broker that is cut off may tell an end before the expected one: whether entries are gone is for the chain to find.
            PublishOutcome::Stored { .. } | PublishOutcome::WrongLast { .. } => {
                (self.refused, self.again_at_ms) = (true, now.elapsed_ms + LATER_MS);
                return Answer::Doubt;
            }
            PublishOutcome::Full => {
                if !std::mem::replace(&mut self.is_full, true) {
                    out.push(TrailCommand::Tell(TrailHappened::Full));
                }
                self.again_at_ms = now.elapsed_ms + LATER_MS;
            }
            PublishOutcome::Absent => self.again_at_ms = now.elapsed_ms + LATER_MS,
            PublishOutcome::NoAnswer => {}
        }
        Answer::Nothing
    }

    /// Returns true for the place at which it is to stand.
    pub(crate) fn is_due_at(&self, sequence: u64) -> bool {
        self.has_fence && sequence == self.expected + 1
    }

    /// Begins to read it. Returns false if that is under way.
    fn begin_read(&mut self, now: Moment) -> bool {
        self.again_at_ms = now.elapsed_ms + READ_MS;
        !std::mem::replace(&mut self.is_read, true)
    }

    /// Returns true for this entry at its place where that is not to be believed yet: the subscription may be older than the loss of entries
    /// before it. It is to be read again, by one that begins now. `is_sure` as for an answer.
    pub(crate) fn doubts(&mut self, sequence: u64, read: EntryId, (is_sure, now): (bool, Moment)) -> bool {
        let is_own = self.is_due_at(sequence) && read == self.id;
        let is_believed = is_sure && !self.refused || self.is_read;
        is_own && !is_believed && self.begin_read(now)
    }

    /// Judges it by an entry that was read; `None` if that is at another place.
    pub(crate) fn judge(&self, sequence: u64, read: EntryId, out: &mut Vec<TrailCommand>) -> Option<Fate> {
        if !self.has_fence {
            return (read == self.id).then_some(Fate::Stored);
        }
        if sequence != self.expected + 1 {
            return None;
        }
        if read != self.id {
            return Some(Fate::Refused);
        }
        if self.refused {
            out.push(TrailCommand::Tell(TrailHappened::OwnRefused));
        }
        Some(Fate::Stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::NodeId;

    const OWN: EntryId = EntryId { node: NodeId(1), run: 2, number: 3 };
    const OTHER: EntryId = EntryId { node: NodeId(2), run: 2, number: 3 };

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    /// Sends an entry behind the 7th, and tells what became of it.
    fn answered(outcome: PublishOutcome) -> (Append, Answer) {
        answered_when(true, outcome)
    }

    fn answered_when(is_sure: bool, outcome: PublishOutcome) -> (Append, Answer) {
        let (mut out, mut numbers) = (Vec::new(), Numbers::new(1));
        let mut append = Append::new(OWN, Kind::Renewal, (StreamId::trail(1), 7), vec![1], at(0));
        append.run(at(0), &mut numbers, &mut out);
        append.run(at(1), &mut numbers, &mut out);
        let [TrailCommand::Common(Command::Publish { publish, expected_last: Some(7), .. })] = out[..] else {
            panic!("{out:?}");
        };
        let answer = append.published(publish, outcome, (is_sure, at(5)), &mut out);
        let again = append.published(publish, outcome, (is_sure, at(5)), &mut out);
        assert_eq!(again, Answer::Nothing, "answered once");
        (append, answer)
    }

    #[test]
    fn it_is_stored_at_its_own_place_alone() {
        let stored = |sequence, duplicate| answered(PublishOutcome::Stored { sequence, duplicate }).1;
        assert_eq!(stored(8, false), Answer::Stored(8));
        assert_eq!(stored(8, true), Answer::Stored(8));
        assert_eq!(stored(6, true), Answer::Doubt);
    }

    #[test]
    fn it_is_read_first_when_others_may_have_written() {
        let outcome = PublishOutcome::Stored { sequence: 8, duplicate: false };
        let (mut append, answer) = answered_when(false, outcome);
        assert_eq!(answer, Answer::Doubt);
        assert!(!append.doubts(8, OWN, (false, at(6))), "a subscription that began since brings it");
        // Sent again it may be stored behind something else.
        let (mut out, mut numbers) = (Vec::new(), Numbers::new(9));
        append.run(at(6_000), &mut numbers, &mut out);
        assert!(append.publish.is_some());
        assert!(append.doubts(8, OWN, (false, at(6_001))));
        assert!(!append.doubts(8, OWN, (false, at(6_002))), "once");
        let (mut append, _) = answered(PublishOutcome::NoAnswer);
        assert!(!append.doubts(8, OWN, (true, at(6))), "nobody else can have written");
        assert!(!append.doubts(8, OTHER, (false, at(6))) && !append.doubts(9, OWN, (false, at(6))));
        // The end of the trail was lost, and others filled it up to the expected one.
        let (mut append, answer) = answered(PublishOutcome::WrongLast { last: 5 });
        assert_eq!(answer, Answer::Doubt);
        let (mut out, mut numbers) = (Vec::new(), Numbers::new(9));
        append.run(at(2_000), &mut numbers, &mut out);
        let publish = append.publish.unwrap();
        assert_eq!(append.published(publish, outcome, (true, at(2_001)), &mut out), Answer::Doubt);
    }

    #[test]
    fn a_refused_one_may_be_its_own() {
        let (append, answer) = answered(PublishOutcome::WrongLast { last: 9 });
        assert_eq!(answer, Answer::Doubt);
        let mut out = Vec::new();
        assert_eq!(append.judge(7, OWN, &mut out), None);
        assert_eq!(append.judge(8, OTHER, &mut out), Some(Fate::Refused));
        assert!(out.is_empty());
        assert_eq!(append.judge(8, OWN, &mut out), Some(Fate::Stored));
        assert!(matches!(out[..], [TrailCommand::Tell(TrailHappened::OwnRefused)]));
    }

    #[test]
    fn without_an_answer_the_same_is_sent_again_behind_the_same() {
        for outcome in [PublishOutcome::NoAnswer, PublishOutcome::Full, PublishOutcome::Absent] {
            let (mut append, answer) = answered(outcome);
            assert_eq!(answer, Answer::Nothing);
            let (mut out, mut numbers) = (Vec::new(), Numbers::new(1));
            append.run(at(100), &mut numbers, &mut out);
            assert!(out.is_empty(), "at once would be too often");
            append.run(at(append.due_ms().unwrap()), &mut numbers, &mut out);
            let [TrailCommand::Common(Command::Publish { expected_last, message_id, .. })] = &out[..] else {
                panic!("{out:?}");
            };
            assert_eq!((*expected_last, message_id), (Some(7), &Some(OWN.to_string())));
        }
    }
}
