//! Copies of streams: which brokers do not keep up, as the leaders of those streams tell that this node reads each 2 s.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use vagn_cluster::StreamId;

use crate::names::is_trail;

/// Time without a word of another broker after which a leader may be cut off from it. They say something each second.
const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// Silence after which a broker that follows counts as away.
const AWAY_AFTER: Duration = Duration::from_secs(5);

/// Time for which what a leader told counts, and after which it is silent: an election takes up to 9 s.
const COUNTS_FOR: Duration = Duration::from_secs(15);

/// A broker that follows a stream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// True if it has all.
    #[serde(default, rename = "current")]
    pub is_current: bool,
    /// True if the leader does not hear it.
    #[serde(default, rename = "offline")]
    pub is_offline: bool,
    /// Time since the leader heard it, ns; 0: it was not yet.
    #[serde(default, rename = "active")]
    pub silent_ns: u64,
    /// Entries that it lacks.
    #[serde(default)]
    pub lag: u64,
}

/// Streams that this node reads, of which copies are missed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Copies {
    /// Streams of which a broker has no copy that keeps up, by its name.
    pub away: BTreeMap<String, Missed>,
    /// Streams without a leader that answers, for 15 s.
    pub silent: Missed,
}

/// Streams of which something is missed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Shards, by rising number.
    pub shards: Vec<u16>,
    /// The trail is one of them.
    pub trail: bool,
}

/// What leaders of streams told last.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<StreamId, Last>);

/// The last answers about a stream.
#[derive(Debug)]
struct Last {
    away: Vec<String>,
    at: Instant,
    /// Moment of the first question without an answer since the last one.
    silent_since: Option<Instant>,
}

impl Follower {
    /// Returns true if it does not run, is cut off, or stores nothing. Brokers call one that was killed offline only after half a minute; it is heard each second. One that
    /// was not heard since the leader leads has no silence at all.
    pub fn is_away(&self) -> bool {
        let is_heard = self.silent_ns > 0 && Duration::from_nanos(self.silent_ns) <= AWAY_AFTER;
        self.is_offline || !self.is_current && !is_heard
    }

    /// Returns true if the leader has heard it of late, or not yet.
    pub(crate) fn is_heard(&self) -> bool {
        Duration::from_nanos(self.silent_ns) <= HEARD_WITHIN
    }
}

impl Missed {
    /// Returns true if nothing is missed.
    pub fn is_none(&self) -> bool {
        self.shards.is_empty() && !self.trail
    }

    fn add(&mut self, stream: StreamId) {
        match is_trail(stream) {
            true => self.trail = true,
            false if self.shards.contains(&stream.shard.0) => {}
            false => self.shards.push(stream.shard.0),
        }
    }
}

impl Told {
    /// A leader tells who follows.
    pub(crate) fn answered<'a>(
        &mut self,
        stream: StreamId,
        followers: impl IntoIterator<Item = &'a Follower>,
        now: Instant,
    ) {
        let away = followers.into_iter().filter(|follower| follower.is_away());
        let away = away.map(|follower| follower.name.clone()).collect();
        self.0.insert(stream, Last { away, at: now, silent_since: None });
        // Streams of epochs before, and of shards that this node has given away, are read no more.
        self.0.retain(|_, last| now < last.at + COUNTS_FOR);
    }

    /// There is no answer. There may be no such stream.
    pub(crate) fn unanswered(&mut self, stream: StreamId, is_absent: bool, now: Instant) {
        if is_absent {
            self.0.remove(&stream);
            return;
        }
        let last = self.0.entry(stream).or_insert(Last { away: Vec::new(), at: now, silent_since: None });
        last.at = now;
        last.silent_since.get_or_insert(now);
    }

    pub(crate) fn copies(&self, now: Instant) -> Copies {
        let mut copies = Copies::default();
        for (stream, last) in self.0.iter().filter(|(_, last)| now < last.at + COUNTS_FOR) {
            match last.silent_since {
                None => last
                    .away
                    .iter()
                    .for_each(|name| copies.away.entry(name.clone()).or_default().add(*stream)),
                Some(since) if now >= since + COUNTS_FOR => copies.silent.add(*stream),
                Some(_) => {}
            }
        }
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_cluster::ShardId;

    const SECOND: Duration = Duration::from_secs(1);

    fn follower(name: &str, is_current: bool, silent_ns: u64) -> Follower {
        Follower { name: name.into(), is_current, is_offline: false, silent_ns, lag: 0 }
    }

    fn stream(shard: u16) -> StreamId {
        StreamId { shard: ShardId(shard), epoch: 1 }
    }

    #[test]
    fn a_broker_is_away_that_has_not_all_and_was_not_heard_of_late() {
        let away = |is_current, is_offline, silent_ns| {
            Follower { is_offline, ..follower("n2", is_current, silent_ns) }.is_away()
        };
        let long = AWAY_AFTER.as_nanos() as u64;
        assert!(away(false, true, 1) && away(false, false, long + 1) && away(false, false, 0));
        assert!(!away(false, false, long) && !away(true, false, long + 1) && !away(true, false, 0));
    }

    #[test]
    fn copies_that_are_missed_are_told_by_broker_until_leaders_tell_otherwise() {
        let (mut told, now) = (Told::default(), Instant::now());
        let (well, away) = ([follower("n2", true, 9), follower("n3", true, 9)], follower("n3", false, 0));
        for number in [0, 1] {
            told.answered(stream(number), &well, now);
        }
        assert_eq!(told.copies(now), Copies::default());
        told.answered(stream(1), [&well[0], &away], now);
        told.answered(stream(0), [&away], now);
        told.answered(StreamId::trail(2), [&away], now);
        let copies = told.copies(now);
        assert_eq!(
            copies.away.into_iter().collect::<Vec<_>>(),
            [("n3".into(), Missed { shards: vec![0, 1], trail: true })]
        );
        assert!(copies.silent.is_none());
        told.answered(stream(0), &well, now);
        assert_eq!(told.copies(now).away["n3"].shards, [1]);
        // This node has given the shards away, and reads no stream of theirs any more.
        assert_eq!(told.copies(now + COUNTS_FOR), Copies::default());
    }

    #[test]
    fn streams_without_an_answer_are_told_after_a_while_and_those_that_are_not_there_are_not() {
        let (mut told, began) = (Told::default(), Instant::now());
        let at = |second: u32| began + SECOND * second;
        told.answered(stream(3), [], at(0));
        for second in (2..=16).step_by(2) {
            told.unanswered(stream(3), false, at(second));
            told.unanswered(stream(4), true, at(second));
            assert!(told.copies(at(second)).silent.is_none(), "it may be an election");
        }
        told.unanswered(stream(3), false, at(18));
        assert_eq!(told.copies(at(18)).silent, Missed { shards: vec![3], trail: false });
        told.answered(stream(3), [], at(20));
        assert_eq!(told.copies(at(20)), Copies::default());
    }
}
