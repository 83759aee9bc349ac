//! Peers: how far the stores of other nodes have the trail, and how far its stream may be purged by that.
//!
//! What a node's store has the stream needs no more for it. So what this node's store has and the store of each node that was heard of late may go, once it is old
//! enough for a node that was away to have come back. Where half of the room is taken, all but the newest quarter goes, whoever lacks it: without room no call is
//! recorded, and who lacks something copies a store. What this node's own store does not have stays in any case.

use std::collections::{BTreeMap, VecDeque};

use crate::event::StreamInfo;
use crate::hash::mix;
use crate::ids::{Moment, NodeId};
use crate::trail::ids::TrailId;
use crate::trail::message::{Progress, Standing};

/// Time between two tellings of the own progress.
pub(crate) const TELL_MS: u64 = 2_000;

/// Silence after which a node is not asked for a copy, nor counted when a person has the trail begun anew.
pub(crate) const HEARD_MS: u64 = 10_000;

/// Time for which a node that has told counts as one that runs, where that is not to be a guess.
const ON_TIME_MS: u64 = TELL_MS + 1_000;

/// Most nodes that are remembered.
const PEERS_MAX: usize = 1_024;

/// Entries that stay beyond what must, so that the stream is not purged for each of them.
const STEP: u64 = 64;

/// Moments that are remembered of the time for which entries stay.
const AGES: u64 = 16;

/// Furthest that clocks of nodes may be apart, ms. By more the ages in notices would mislead.
const CLOCKS_APART_MS: u64 = 10_000;

/// The clock of a node beside those of the others that were heard lately. The one in the middle of all is taken for right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clocks {
    /// Time by which the own clock is ahead of the one in the middle, ms.
    pub ahead_ms: i64,
    /// The node whose clock is furthest from it, by more than 10 s, and by how much it is ahead, ms. The own one where that is wrong.
    pub wrong: Option<(NodeId, i64)>,
}

impl Clocks {
    /// Returns true if the own clock is one of those that are wrong.
    pub(crate) fn is_own_wrong(&self) -> bool {
        self.ahead_ms.unsigned_abs() > CLOCKS_APART_MS
    }
}

/// What other nodes told of themselves.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    heard: BTreeMap<NodeId, Heard>,
    /// Moments, each with the last entry that had been received then.
    ages: VecDeque<(u64, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    progress: Progress,
    at_ms: u64,
    /// Time by which its clock was ahead of this node's, ms.
    ahead_ms: i64,
}

/// A stream's room, and how much time a node has to come back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    /// The brokers refused an entry for want of room.
    pub(crate) is_full: bool,
    pub(crate) away_ms: u64,
}

/// How far to purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) through: u64,
    /// Some node that may come back does not have it.
    pub(crate) is_lacked: bool,
}

impl Peers {
    /// A node tells how far it is.
    pub(crate) fn note(&mut self, from: NodeId, progress: Progress, now: Moment) {
        if self.heard.len() >= PEERS_MAX && !self.heard.contains_key(&from) {
            let oldest = self.heard.iter().min_by_key(|(_, heard)| heard.at_ms).map(|(node, _)| *node);
            oldest.and_then(|node| self.heard.remove(&node));
        }
        let ahead_ms = progress.wall_ms.saturating_sub(now.wall_ms);
        self.heard.insert(from, Heard { progress, at_ms: now.elapsed_ms, ahead_ms });
    }

    /// Compares the clocks of this node and of those that were heard lately. Of two nobody knows which is right.
    pub(crate) fn clocks(&self, own: NodeId, now: Moment) -> Clocks {
        let is_late = |heard: &&Heard| now.elapsed_ms < heard.at_ms + HEARD_MS;
        let mut all: Vec<i64> = self.heard.values().filter(is_late).map(|heard| heard.ahead_ms).collect();
        all.push(0);
        all.sort_unstable();
        let (low, high) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
        let right_ms = if low.unsigned_abs() <= high.unsigned_abs() { low } else { high };
        let ahead_ms = right_ms.saturating_neg();
        let others = self.heard.iter().filter(|(_, heard)| is_late(heard));
        let wrong = others
            .map(|(node, heard)| (*node, heard.ahead_ms.saturating_sub(right_ms)))
            .filter(|(_, ahead_ms)| ahead_ms.unsigned_abs() > CLOCKS_APART_MS)
            .max_by_key(|(_, ahead_ms)| ahead_ms.unsigned_abs());
        let mut clocks = Clocks { ahead_ms, wrong };
        if clocks.is_own_wrong() {
            clocks.wrong = Some((own, ahead_ms));
        }
        clocks
    }

    /// Remembers when this entry had been received, now and then.
    pub(crate) fn passed(&mut self, last: u64, now: Moment, away_ms: u64) {
        let is_due = |(at_ms, _): &(u64, u64)| now.elapsed_ms >= at_ms + (away_ms / AGES).max(1);
        if self.ages.back().is_none_or(is_due) {
            self.ages.push_back((now.elapsed_ms, last));
        }
        while self.ages.get(1).is_some_and(|(at_ms, _)| at_ms + away_ms <= now.elapsed_ms) {
            self.ages.pop_front();
        }
    }

    /// The trail is another one: what was remembered of entries is of the one before.
    pub(crate) fn begin_anew(&mut self) {
        self.ages.clear();
    }

    /// Returns how far the stream may be purged, if it is worth it. `saved` is the last entry in the own store, on disk.
    pub(crate) fn purge(
        &self,
        (trail, saved): (TrailId, u64),
        info: StreamInfo,
        room: Room,
        now: Moment,
    ) -> Option<Purge> {
        let counts = |heard: &&Heard| {
            let holds =
                matches!(heard.progress.state, Standing::Follows | Standing::Copies | Standing::Waits);
            holds && heard.progress.trail == trail && now.elapsed_ms < heard.at_ms + room.away_ms
        };
        let others = self.heard.values().filter(counts).map(|heard| heard.progress.saved);
        let all_have = others.fold(saved, u64::min);
        let bytes = if room.is_full { room.bytes.min(info.bytes) } else { room.bytes };
        let is_crowded = info.bytes > bytes / 2;
        let most = if is_crowded {
            saved.min(all_but_a_quarter(info, bytes))
        } else {
            let is_old = |(at_ms, _): &&(u64, u64)| at_ms + room.away_ms <= now.elapsed_ms;
            all_have.min(self.ages.front().filter(is_old).map_or(0, |(_, last)| *last))
        };
        // The last one stays: who has it compares it when he subscribes.
        let through = most.saturating_sub(1);
        let least = if is_crowded { info.first } else { info.first + STEP };
        (through >= least).then_some(Purge { through, is_lacked: through > all_have })
    }

    /// Returns a node that can give a copy of its store behind which the stream goes on: each time another one.
    pub(crate) fn giver(
        &self,
        (trail, first): (TrailId, u64),
        leader: Option<NodeId>,
        (random, tries): (u64, u64),
        now: Moment,
    ) -> Option<NodeId> {
        let has = |heard: &Heard| {
            let follows = heard.progress.state == Standing::Follows && heard.progress.trail == trail;
            follows && heard.progress.saved + 1 >= first && now.elapsed_ms < heard.at_ms + HEARD_MS
        };
        let mut givers: Vec<NodeId> =
            self.heard.iter().filter(|(_, heard)| has(heard)).map(|(node, _)| *node).collect();
        // The leader has more to do than others.
        givers.sort_by_key(|node| (Some(*node) == leader, mix(random ^ node.0)));
        let count = givers.len() as u64;
        (count > 0).then(|| givers[(tries % count) as usize])
    }

    /// Returns a trail of a later epoch that some node follows.
    pub(crate) fn later(&self, epoch: u32, now: Moment) -> Option<TrailId> {
        self.of_late(now)
            .filter(|(_, progress)| progress.state == Standing::Follows && progress.trail.epoch > epoch)
            .map(|(_, progress)| progress.trail)
            .max_by_key(|trail| trail.epoch)
    }

    /// Returns true if some node follows this trail, and so does its leader.
    pub(crate) fn follow(&self, trail: TrailId, now: Moment) -> bool {
        self.of_late(now).any(|(_, progress)| progress.follows(trail))
    }

    /// Returns true if such a node told on time, so that it has hardly ended.
    pub(crate) fn surely_follow(&self, trail: TrailId, now: Moment) -> bool {
        let is_on_time = |heard: &Heard| now.elapsed_ms < heard.at_ms + ON_TIME_MS;
        self.heard.values().any(|heard| is_on_time(heard) && heard.progress.follows(trail))
    }

    /// Returns the node whose store has most, if that is more than this one's.
    pub(crate) fn has_more(&self, (trail, saved): (TrailId, u64), now: Moment) -> Option<NodeId> {
        let place = |progress: &Progress| (progress.trail.epoch, progress.saved);
        let whole = self.of_late(now).filter(|(_, progress)| progress.state != Standing::Copies);
        let most = whole.max_by_key(|(_, progress)| place(progress))?;
        (place(&most.1) > (trail.epoch, saved)).then_some(most.0)
    }

    /// Nodes that were heard within this span, with what each told last.
    pub(crate) fn within(&self, span_ms: u64, now: Moment) -> impl Iterator<Item = (NodeId, Progress)> {
        let is_late = move |heard: &Heard| now.elapsed_ms < heard.at_ms + span_ms;
        self.heard
            .iter()
            .filter(move |(_, heard)| is_late(heard))
            .map(|(node, heard)| (*node, heard.progress))
    }

    fn of_late(&self, now: Moment) -> impl Iterator<Item = (NodeId, Progress)> {
        self.within(HEARD_MS, now)
    }
}

/// Returns the last entry before the newest, which have a quarter of the room: as many as have it when each is as long as they are on average.
fn all_but_a_quarter(info: StreamInfo, room: u64) -> u64 {
    let count = (info.last + 1).saturating_sub(info.first);
    let kept = u128::from(room / 4) * u128::from(count) / u128::from(info.bytes.max(1));
    info.last.saturating_sub(u64::try_from(kept).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;

    const TRAIL: TrailId = TrailId { epoch: 1, incarnation: Incarnation(5) };
    const OTHER: TrailId = TrailId { epoch: 1, incarnation: Incarnation(6) };
    const ROOM: Room = Room { bytes: 100_000, is_full: false, away_ms: 60_000 };

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    fn info(bytes: u64) -> StreamInfo {
        StreamInfo { incarnation: TRAIL.incarnation, first: 1, last: 1_000, bytes }
    }

    /// A node that received entry 500 a minute ago, and heard these nodes at these moments.
    fn heard(nodes: &[(u64, TrailId, u64, Standing, u64)]) -> Peers {
        let mut peers = Peers::default();
        peers.passed(500, at(0), ROOM.away_ms);
        for (node, trail, saved, state, at_ms) in nodes {
            let progress =
                Progress { trail: *trail, saved: *saved, state: *state, wall_ms: 0, settings_hash: None };
            peers.note(NodeId(*node), progress, at(*at_ms));
        }
        peers
    }

    #[test]
    fn what_all_stores_have_goes_when_it_is_old() {
        use Standing::{Copies, Follows, Lacks, Stopped};
        let cases = [
            (vec![], Some(499)),
            (vec![(2, TRAIL, 400, Follows, 59_000)], Some(399)),
            (vec![(2, TRAIL, 400, Follows, 59_000), (3, TRAIL, 300, Copies, 59_000)], Some(299)),
            // It was heard when the minute began, and may be back.
            (vec![(2, TRAIL, 400, Follows, 1)], Some(399)),
            // These need a copy in any case.
            (vec![(2, TRAIL, 400, Follows, 0)], Some(499)),
            (vec![(2, OTHER, 400, Follows, 59_000), (3, TRAIL, 100, Lacks, 59_000)], Some(499)),
            (vec![(2, TRAIL, 400, Stopped, 59_000)], Some(499)),
            // Not worth it.
            (vec![(2, TRAIL, 40, Follows, 59_000)], None),
        ];
        for (nodes, through) in cases {
            let purge = heard(&nodes).purge((TRAIL, 900), info(1_000), ROOM, at(60_000));
            assert_eq!(purge, through.map(|through| Purge { through, is_lacked: false }), "{nodes:?}");
        }
        assert_eq!(heard(&[]).purge((TRAIL, 900), info(1_000), ROOM, at(59_999)), None, "too young");
        let behind = heard(&[]).purge((TRAIL, 90), info(1_000), ROOM, at(60_000));
        assert_eq!(behind, Some(Purge { through: 89, is_lacked: false }), "the own store has no more");
    }

    #[test]
    fn where_half_of_the_room_is_taken_all_but_a_quarter_goes_whoever_lacks_it() {
        let peers = heard(&[(2, TRAIL, 400, Standing::Follows, 1_000)]);
        let purge = |saved, bytes, is_full| {
            peers.purge((TRAIL, saved), info(bytes), Room { is_full, ..ROOM }, at(1_000))
        };
        assert_eq!(purge(900, 50_000, false), None);
        assert_eq!(purge(900, 50_001, false), Some(Purge { through: 500, is_lacked: true }));
        assert_eq!(purge(900, 100_000, false), Some(Purge { through: 749, is_lacked: true }));
        assert_eq!(
            purge(300, 100_000, false),
            Some(Purge { through: 299, is_lacked: false }),
            "the own store"
        );
        assert_eq!(purge(0, 100_000, false), None);
        // The stream is full with less than it was to have.
        assert_eq!(purge(900, 10_000, true), Some(Purge { through: 749, is_lacked: true }));
    }

    #[test]
    fn who_told_on_time_surely_follows() {
        let peers = heard(&[(2, TRAIL, 400, Standing::Follows, 5_000)]);
        assert!(peers.surely_follow(TRAIL, at(7_999)) && !peers.surely_follow(TRAIL, at(8_000)));
        assert!(peers.follow(TRAIL, at(8_000)) && !peers.surely_follow(OTHER, at(5_000)));
        let copies = heard(&[(2, TRAIL, 400, Standing::Copies, 5_000)]);
        assert!(!copies.surely_follow(TRAIL, at(5_000)));
    }

    #[test]
    fn a_copy_is_given_by_who_follows_and_has_enough_by_the_leader_last() {
        use Standing::{Copies, Follows};
        let peers = heard(&[
            (2, TRAIL, 400, Follows, 9_000),
            (3, TRAIL, 500, Follows, 9_000),
            (4, TRAIL, 398, Follows, 9_000),
            (5, TRAIL, 500, Copies, 9_000),
            (6, OTHER, 500, Follows, 9_000),
            (7, TRAIL, 500, Follows, 0),
        ]);
        let givers = |leader: Option<u64>| {
            [0, 1, 2].map(|tries| {
                peers.giver((TRAIL, 400), leader.map(NodeId), (1, tries), at(10_000)).map_or(0, |node| node.0)
            })
        };
        assert_eq!(givers(Some(2)), [3, 2, 3]);
        assert_eq!(givers(Some(3)), [2, 3, 2]);
        assert_eq!(peers.giver((TRAIL, 502), None, (1, 0), at(10_000)), None);
    }

    #[test]
    fn the_clock_in_the_middle_is_taken_for_right() {
        const DAY_MS: i64 = 86_400_000;
        let check = |others: &[i64], ahead_ms, wrong: Option<(u64, i64)>| {
            let mut peers = Peers::default();
            let now = Moment { elapsed_ms: 5, wall_ms: 7 * DAY_MS };
            for (node, other_ms) in (2..).zip(others) {
                let progress = Progress {
                    trail: TRAIL,
                    saved: 1,
                    state: Standing::Follows,
                    wall_ms: now.wall_ms + other_ms,
                    settings_hash: None,
                };
                peers.note(NodeId(node), progress, now);
            }
            let wrong = wrong.map(|(node, ahead_ms)| (NodeId(node), ahead_ms));
            assert_eq!(peers.clocks(NodeId(1), now), Clocks { ahead_ms, wrong }, "{others:?}");
            assert_eq!(peers.clocks(NodeId(1), at(5 + HEARD_MS)), Clocks::default(), "they are silent");
        };
        check(&[], 0, None);
        check(&[9_000, -9_000], 0, None);
        check(&[-DAY_MS, -DAY_MS + 40], DAY_MS - 40, Some((1, DAY_MS - 40)));
        check(&[DAY_MS, DAY_MS, 40], -40, Some((3, DAY_MS - 40)));
        check(&[3, -DAY_MS], 0, Some((3, -DAY_MS)));
        check(&[-DAY_MS, DAY_MS, 2 * DAY_MS, 3], -3, Some((4, 2 * DAY_MS - 3)));
        // Of two nobody knows which is right.
        check(&[DAY_MS], 0, Some((2, DAY_MS)));
        check(&[i64::MIN, i64::MIN], i64::MAX, Some((1, i64::MAX)));
    }

    #[test]
    fn who_has_more_is_known_by_epoch_and_place() {
        let later = TrailId { epoch: 2, incarnation: Incarnation(9) };
        let peers = heard(&[(2, TRAIL, 400, Standing::Stopped, 0), (3, TRAIL, 300, Standing::Lacks, 0)]);
        assert_eq!(peers.has_more((TRAIL, 400), at(5)), None);
        assert_eq!(peers.has_more((TRAIL, 399), at(5)), Some(NodeId(2)));
        assert_eq!(peers.has_more((later, 0), at(5)), None);
        assert_eq!(peers.has_more((TRAIL, 0), at(HEARD_MS)), None, "they are silent");
        assert!(!peers.follow(TRAIL, at(5)) && peers.later(1, at(5)).is_none());
        let peers = heard(&[(2, later, 7, Standing::Follows, 0)]);
        assert_eq!((peers.later(1, at(5)), peers.later(2, at(5))), (Some(later), None));
    }
}
