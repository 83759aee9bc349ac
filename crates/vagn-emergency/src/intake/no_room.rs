//! Reasons for which an alarm is refused, and how often each was.

use std::fmt;

use vagn_flow::allowance::Source;

use crate::frequent::Frequent;

/// Reason for which an alarm is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// All places for incidents are taken.
    Places,
    /// Strangers have taken all places that they may.
    Strangers,
    /// Strangers from the same source have taken all places that one source may.
    Source,
    /// All places for drills are taken, or all that strangers may.
    Drills,
    /// Strangers from the same source call too often.
    Rate,
    /// Vehicles from the same source that could not be looked up call too often.
    Undecided,
    /// Too many alarms wait in the inbox.
    Inbox,
    /// The door of a node calls about too many by itself.
    Calls,
}

impl NoRoom {
    /// All reasons.
    pub(crate) const ALL: [Self; 8] = [
        Self::Places,
        Self::Strangers,
        Self::Source,
        Self::Drills,
        Self::Rate,
        Self::Undecided,
        Self::Inbox,
        Self::Calls,
    ];

    /// Returns its number in messages between nodes.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Places => 1,
            Self::Strangers => 2,
            Self::Source => 3,
            Self::Drills => 4,
            Self::Rate => 5,
            Self::Undecided => 6,
            Self::Inbox => 7,
            Self::Calls => 8,
        }
    }

    /// Returns the one of a number; one that only another version knows stands for room in general.
    pub(crate) fn of_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|limit| limit.number() == number).unwrap_or(Self::Places)
    }

    /// Returns the word in metrics and in the log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Places => "places",
            Self::Strangers => "strangers",
            Self::Source => "source",
            Self::Drills => "drills",
            Self::Rate => "rate",
            Self::Undecided => "undecided",
            Self::Inbox => "inbox",
            Self::Calls => "calls",
        }
    }
}

/// Alarms that were refused: how many for each reason, and the source of most of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RefusedAlarms {
    times: [u64; NoRoom::ALL.len()],
    from: Frequent<Source>,
}

impl RefusedAlarms {
    pub(crate) fn add(&mut self, reason: NoRoom, source: Option<Source>) {
        self.times[reason as usize] += 1;
        source.into_iter().for_each(|source| self.from.note(source));
    }

    pub(crate) fn add_all(&mut self, others: Self) {
        self.times.iter_mut().zip(others.times).for_each(|(own, other)| *own += other);
        self.from.note_all(others.from);
    }

    /// Returns how many there were, for whatever reason.
    pub(crate) fn total(&self) -> u64 {
        self.times.iter().sum()
    }

    /// Returns the reasons that occurred, and how often each did.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (NoRoom, u64)> {
        NoRoom::ALL.into_iter().zip(self.times).filter(|(_, times)| *times > 0)
    }
}

/// Such as `rate 120, source 7, most from 192.0.2.7`.
impl fmt::Display for RefusedAlarms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<_> =
            self.reasons().map(|(reason, times)| format!("{} {times}", reason.word())).collect();
        parts.extend(self.from.get().map(|source| format!("most from {source}")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_the_reasons_and_the_source_of_most() {
        let source = |last| Some(Source::from(std::net::IpAddr::from([192, 0, 2, last])));
        let (mut one, mut other) = (RefusedAlarms::default(), RefusedAlarms::default());
        assert_eq!(one.to_string(), "");
        for _ in 0..3 {
            one.add(NoRoom::Rate, source(7));
        }
        other.add(NoRoom::Places, None);
        other.add(NoRoom::Source, source(8));
        one.add_all(other);
        assert_eq!(
            (one.total(), one.to_string().as_str()),
            (5, "places 1, source 1, rate 3, most from 192.0.2.7")
        );
        let words: std::collections::BTreeSet<_> = NoRoom::ALL.iter().map(|reason| reason.word()).collect();
        assert_eq!(words.len(), NoRoom::ALL.len());
        let again = |limit: NoRoom| NoRoom::of_number(limit.number());
        assert_eq!((NoRoom::ALL.map(again), NoRoom::of_number(99)), (NoRoom::ALL, NoRoom::Places));
    }
}
