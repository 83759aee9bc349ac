//! Who is there: nodes as their heartbeats tell. Views of nodes differ for seconds, so nothing that cannot be undone follows
//! from one alone: it takes a change of the record of assignment.

use std::collections::BTreeMap;

use crate::bytes::{Reader, Write};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, SHARDS_MAX, ShardId};
use crate::settings::Settings;
use crate::state::Damaged;
use crate::view::MemberView;

/// Time between heartbeats.
pub(crate) const BEAT_MS: u64 = 500;

/// Silence after which a node is suspected: others do its work meanwhile, but it keeps what it owns.
pub(crate) const SUSPECT_MS: u64 = 3_000;

/// Silence after which a node counts as gone: others take over its shards.
pub(crate) const GONE_MS: u64 = 15_000;

/// Most nodes that are remembered.
const NODES_MAX: usize = 256;

/// Most runs of one node that are told apart at once.
const RUNS_MAX: usize = 4;

/// What a node says of itself twice a second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    /// Number of the run.
    pub(crate) run: u64,
    pub(crate) name: String,
    pub(crate) zone: Option<String>,
    /// Latest version of the messages that it understands.
    pub(crate) version: u32,
    pub(crate) settings_hash: u64,
    pub(crate) stores: bool,
    /// A person asked it to give away what it owns.
    pub(crate) leaves: bool,
    /// Version of the record of assignment that it knows, 0 when none.
    pub(crate) assignment: u64,
    pub(crate) shards: Vec<Holding>,
    /// Fields of a later version, as they came: what stands before them says what it always said.
    pub(crate) later: Vec<u8>,
}

/// What a node has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holding {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u32,
    /// Last entry that is synced.
    pub(crate) synced: u64,
    /// Running hash after that entry, 0 when it is not known.
    pub(crate) running_hash: u64,
    /// It follows, and had all a moment ago.
    pub(crate) caught_up: bool,
    /// It has stopped because of its stream, which only a repair helps.
    pub(crate) is_broken: bool,
}

impl Heartbeat {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.run);
        out.put_text(&self.name);
        out.put_u8(u8::from(self.zone.is_some()));
        if let Some(zone) = &self.zone {
            out.put_text(zone);
        }
        out.put_u32(self.version);
        out.put_u64(self.settings_hash);
        out.put_u8(u8::from(self.stores));
        out.put_u8(u8::from(self.leaves));
        out.put_u64(self.assignment);
        out.put_count(self.shards.len());
        for holding in &self.shards {
            out.put_u16(holding.shard.0);
            out.put_u32(holding.epoch);
            out.put_u64(holding.synced);
            out.put_u64(holding.running_hash);
            out.put_u8(u8::from(holding.caught_up));
            out.put_u8(u8::from(holding.is_broken));
        }
        out.extend_from_slice(&self.later);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (run, name) = (reader.u64()?, reader.text()?);
        let zone = if reader.flag()? { Some(reader.text()?) } else { None };
        let (version, settings_hash) = (reader.u32()?, reader.u64()?);
        let (stores, leaves, assignment) = (reader.flag()?, reader.flag()?, reader.u64()?);
        let mut shards = Vec::new();
        for _ in 0..reader.count(usize::from(SHARDS_MAX), 24)? {
            shards.push(Holding {
                shard: ShardId(reader.u16()?),
                epoch: reader.u32()?,
                synced: reader.u64()?,
                running_hash: reader.u64()?,
                caught_up: reader.flag()?,
                is_broken: reader.flag()?,
            });
        }
        let later = reader.take(reader.rest().len())?.to_vec();
        Ok(Self { run, name, zone, version, settings_hash, stores, leaves, assignment, shards, later })
    }
}

/// The other nodes.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    members: BTreeMap<NodeId, Member>,
    /// Runs under the number of this node: itself, and others by mistake.
    own: Runs,
}

/// Runs that speak under one number. After a restart the one before is silent; two at once are two processes with one name.
#[derive(Debug, Default)]
struct Runs(Vec<Run>);

#[derive(Debug, Clone, Copy)]
struct Run {
    run: u64,
    first_ms: u64,
    last_ms: u64,
}

impl Runs {
    /// Notes a run that was heard. Returns true when this shows first that two speak at once.
    fn heard(&mut self, run: u64, now: Moment) -> bool {
        let was_twice = self.are_two(now);
        self.0.retain(|each| each.run == run || each.is_heard(now));
        let has_room = self.0.len() < RUNS_MAX;
        match self.0.iter_mut().find(|each| each.run == run) {
            Some(each) => each.last_ms = now.elapsed_ms,
            None if has_room => {
                self.0.push(Run { run, first_ms: now.elapsed_ms, last_ms: now.elapsed_ms });
            }
            None => {}
        }
        !was_twice && self.are_two(now)
    }

    /// Returns true while two are heard that have spoken beside each other for 3 s. By less, messages of a run that has ended may be late.
    fn are_two(&self, now: Moment) -> bool {
        let is_beside = |one: &Run, other: &Run| {
            let (first_ms, last_ms) = (one.first_ms.max(other.first_ms), one.last_ms.min(other.last_ms));
            one.run != other.run && other.is_heard(now) && last_ms >= first_ms + SUSPECT_MS
        };
        let mut heard = self.0.iter().filter(|run| run.is_heard(now));
        heard.any(|one| self.0.iter().any(|other| is_beside(one, other)))
    }
}

impl Run {
    fn is_heard(&self, now: Moment) -> bool {
        now.elapsed_ms < self.last_ms + SUSPECT_MS
    }
}

#[derive(Debug)]
struct Member {
    beat: Heartbeat,
    heard_ms: u64,
    is_suspected: bool,
    /// It said that this run of it stops.
    stops: bool,
    differs: bool,
    runs: Runs,
}

impl Membership {
    /// Notes a heartbeat.
    pub(crate) fn heard(
        &mut self,
        from: NodeId,
        beat: Heartbeat,
        settings: &Settings,
        now: Moment,
        told: &mut Vec<Happened>,
    ) {
        if from == settings.node {
            let is_twice = self.own.heard(settings.random, now) | self.own.heard(beat.run, now);
            return told.extend(is_twice.then_some(Happened::Twice(from)));
        }
        if self.members.len() >= NODES_MAX && !self.members.contains_key(&from) {
            return;
        }
        let before = self.members.get(&from);
        if before.is_some_and(|member| member.stops && member.beat.run == beat.run) {
            // It was sent before the farewell, and came later by another way.
            return;
        }
        let other_name = before.is_some_and(|member| member.beat.name != beat.name);
        let differs = beat.settings_hash != settings.settings_hash || other_name;
        if differs && !before.is_some_and(|member| member.differs) {
            told.push(Happened::Differs(from));
        }
        if before.is_some_and(|member| member.is_suspected || member.stops) {
            told.push(Happened::HeardAgain(from));
        }
        let known = self.members.get_mut(&from);
        let mut runs = known.map_or_else(Runs::default, |member| std::mem::take(&mut member.runs));
        told.extend(runs.heard(beat.run, now).then_some(Happened::Twice(from)));
        let member =
            Member { beat, heard_ms: now.elapsed_ms, is_suspected: false, stops: false, differs, runs };
        self.members.insert(from, member);
    }

    /// Notes that a run of a node stops: it counts as heard no more. It keeps what it owns, as one that is restarted is back soon.
    pub(crate) fn said_farewell(&mut self, from: NodeId, run: u64, told: &mut Vec<Happened>) {
        let member = self.members.get_mut(&from).filter(|member| member.beat.run == run && !member.stops);
        if let Some(member) = member {
            member.stops = true;
            told.push(Happened::SaidFarewell(from));
        }
    }

    /// Lets time pass: suspects who was silent, and forgets who is gone for long.
    pub(crate) fn pass(&mut self, now: Moment, told: &mut Vec<Happened>) {
        for (node, member) in &mut self.members {
            if !member.is_suspected && !member.stops && now.elapsed_ms >= member.heard_ms + SUSPECT_MS {
                member.is_suspected = true;
                told.push(Happened::Suspected(*node));
            }
        }
        self.members.retain(|_, member| now.elapsed_ms < member.heard_ms + 240 * GONE_MS);
    }

    /// True for a node that understands messages of this version, or was not heard yet.
    pub(crate) fn understands(&self, node: NodeId, version: u32) -> bool {
        self.beat(node).is_none_or(|beat| beat.version >= version)
    }

    /// Returns what a node last said, however long ago.
    pub(crate) fn beat(&self, node: NodeId) -> Option<&Heartbeat> {
        self.members.get(&node).map(|member| &member.beat)
    }

    /// True for a node that was heard within 3 s, and has not said since that it stops.
    pub(crate) fn is_heard(&self, node: NodeId, now: Moment) -> bool {
        let stops = self.members.get(&node).is_some_and(|member| member.stops);
        !stops && self.silence_ms(node, now) < SUSPECT_MS
    }

    /// True for a node that was heard within 15 s.
    pub(crate) fn is_there(&self, node: NodeId, now: Moment) -> bool {
        self.silence_ms(node, now) < GONE_MS
    }

    fn silence_ms(&self, node: NodeId, now: Moment) -> u64 {
        self.members.get(&node).map_or(u64::MAX, |member| now.elapsed_ms - member.heard_ms)
    }

    /// Nodes that are there.
    pub(crate) fn there(&self, now: Moment) -> impl Iterator<Item = (NodeId, &Heartbeat)> {
        let there = self.members.iter().filter(move |(node, _)| self.is_there(**node, now));
        there.map(|(node, member)| (*node, &member.beat))
    }

    /// Shows the other nodes, by rising number.
    pub(crate) fn views(&self, now: Moment) -> impl Iterator<Item = MemberView> {
        self.members.iter().map(move |(node, member)| {
            let Heartbeat { name, zone, version, stores, leaves, .. } = &member.beat;
            MemberView {
                node: *node,
                name: name.clone(),
                zone: zone.clone(),
                version: *version,
                stores: *stores,
                leaves: *leaves,
                silent_ms: self.silence_ms(*node, now),
                is_heard: self.is_heard(*node, now),
                stops: member.stops,
                differs: member.differs,
                is_twice: member.runs.are_two(now),
            }
        })
    }

    /// Returns true while another process speaks under the number of this node.
    pub(crate) fn is_own_twice(&self, now: Moment) -> bool {
        self.own.are_two(now)
    }

    /// Returns what a node has of a shard in this epoch, as it said within 15 s.
    pub(crate) fn holding(&self, node: NodeId, shard: ShardId, epoch: u32, now: Moment) -> Option<Holding> {
        let beat = self.beat(node).filter(|_| self.is_there(node, now))?;
        beat.shards.iter().find(|holding| holding.shard == shard && holding.epoch == epoch).copied()
    }

    /// Returns the highest version of the record that a node knows of.
    pub(crate) fn assignment(&self) -> u64 {
        self.members.values().map(|member| member.beat.assignment).max().unwrap_or(0)
    }

    /// True when a node that is there has something of a data set.
    pub(crate) fn anybody_holds(&self) -> bool {
        self.members.values().any(|member| !member.beat.shards.is_empty() || member.beat.assignment > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat() -> Heartbeat {
        let holding = Holding {
            shard: ShardId(3),
            epoch: 2,
            synced: 9,
            running_hash: 77,
            caught_up: true,
            is_broken: true,
        };
        Heartbeat {
            run: 1,
            name: "one".into(),
            zone: Some("north".into()),
            version: 4,
            settings_hash: 0,
            stores: true,
            leaves: false,
            assignment: 7,
            shards: vec![holding],
            later: Vec::new(),
        }
    }

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    const OTHER: NodeId = NodeId(2);

    #[test]
    fn a_silent_node_is_suspected_and_then_gone() {
        let (mut members, mut told) = (Membership::default(), Vec::new());
        let settings = Settings::new(NodeId(1), 1);
        members.heard(OTHER, beat(), &settings, at(0), &mut told);
        members.pass(at(SUSPECT_MS - 1), &mut told);
        assert!(told.is_empty() && members.is_heard(OTHER, at(SUSPECT_MS - 1)));
        members.pass(at(SUSPECT_MS), &mut told);
        members.pass(at(SUSPECT_MS + 1), &mut told);
        assert_eq!(told, [Happened::Suspected(OTHER)]);
        assert!(!members.is_heard(OTHER, at(SUSPECT_MS)) && members.is_there(OTHER, at(SUSPECT_MS)));
        assert!(!members.is_there(OTHER, at(GONE_MS)));
        assert_eq!(members.holding(OTHER, ShardId(3), 2, at(GONE_MS)), None);
        members.heard(OTHER, beat(), &settings, at(GONE_MS), &mut told);
        assert_eq!(told[1..], [Happened::HeardAgain(OTHER)]);
        assert_eq!(members.holding(OTHER, ShardId(3), 2, at(GONE_MS)).unwrap().synced, 9);
        assert_eq!(members.holding(OTHER, ShardId(3), 1, at(GONE_MS)), None, "of another epoch");
        assert_eq!(members.there(at(GONE_MS)).map(|(node, _)| node).collect::<Vec<_>>(), [OTHER]);
    }

    #[test]
    fn a_node_that_differs_is_told_of_once() {
        let (mut members, mut told) = (Membership::default(), Vec::new());
        let settings = Settings::new(NodeId(1), 1);
        let other = Heartbeat { settings_hash: 5, ..beat() };
        members.heard(OTHER, other.clone(), &settings, at(0), &mut told);
        members.heard(OTHER, other, &settings, at(1), &mut told);
        assert_eq!(told, [Happened::Differs(OTHER)]);
        members.heard(OTHER, beat(), &settings, at(2), &mut told);
        members.heard(OTHER, Heartbeat { name: "two".into(), ..beat() }, &settings, at(3), &mut told);
        assert_eq!(told.len(), 2, "the same number under another name");
        members.heard(NodeId(1), beat(), &settings, at(4), &mut told);
        assert_eq!(members.there(at(4)).count(), 1, "a node is not its own member");
    }

    #[test]
    fn two_processes_under_one_name_are_told_of_by_themselves_and_by_others() {
        let settings = Settings::new(NodeId(1), 1);
        for node in [settings.node, OTHER] {
            let (mut members, mut told) = (Membership::default(), Vec::new());
            let is_twice = |members: &Membership, now: Moment| match node == settings.node {
                true => members.is_own_twice(now),
                false => members.views(now).all(|view| view.is_twice),
            };
            for at_ms in (0..3_000).step_by(500) {
                for run in [1, 2] {
                    members.heard(node, Heartbeat { run, ..beat() }, &settings, at(at_ms), &mut told);
                }
            }
            assert!(told.is_empty() && !is_twice(&members, at(2_999)), "one may have ended: {told:?}");
            for at_ms in [3_000, 3_500, 6_000] {
                for run in [1, 2] {
                    members.heard(node, Heartbeat { run, ..beat() }, &settings, at(at_ms), &mut told);
                }
            }
            assert_eq!(told, [Happened::Twice(node)], "told once");
            assert!(is_twice(&members, at(6_000)));
            members.heard(node, beat(), &settings, at(8_999), &mut told);
            assert!(is_twice(&members, at(8_999)) && !is_twice(&members, at(9_000)), "one has ended");
        }
    }

    #[test]
    fn a_run_behind_another_is_a_restart() {
        let settings = Settings::new(NodeId(1), 1);
        let (mut members, mut told) = (Membership::default(), Vec::new());
        // Each run speaks for 4 s, and its last message is late.
        let of_run = |run: u64| {
            (0..=8).map(|each| each * 500).chain([5_500]).map(move |at_ms| (run * 4_000 + at_ms, run))
        };
        let mut beats: Vec<_> = (0..3).flat_map(of_run).collect();
        beats.sort_unstable();
        for (at_ms, run) in beats {
            members.heard(OTHER, Heartbeat { run, ..beat() }, &settings, at(at_ms), &mut told);
        }
        assert_eq!(told, []);
        // This node has begun anew.
        members.heard(settings.node, Heartbeat { run: 9, ..beat() }, &settings, at(0), &mut told);
        members.heard(settings.node, Heartbeat { run: 9, ..beat() }, &settings, at(2_000), &mut told);
        assert_eq!(told, []);
    }

    #[test]
    fn a_node_that_says_farewell_is_heard_no_more_until_its_next_run() {
        let (mut members, mut told) = (Membership::default(), Vec::new());
        let settings = Settings::new(NodeId(1), 1);
        members.heard(OTHER, beat(), &settings, at(0), &mut told);
        members.said_farewell(OTHER, 8, &mut told);
        assert!(members.is_heard(OTHER, at(1)), "a farewell of another run");
        members.said_farewell(OTHER, 1, &mut told);
        members.said_farewell(OTHER, 1, &mut told);
        assert!(!members.is_heard(OTHER, at(1)) && members.is_there(OTHER, at(1)));
        assert!(members.views(at(1)).all(|view| view.stops && !view.is_heard));
        members.heard(OTHER, beat(), &settings, at(2), &mut told);
        assert!(!members.is_heard(OTHER, at(2)), "a heartbeat that was overtaken");
        members.heard(OTHER, Heartbeat { run: 2, ..beat() }, &settings, at(3), &mut told);
        assert!(members.is_heard(OTHER, at(3)) && members.views(at(3)).all(|view| !view.stops));
        assert_eq!(told, [Happened::SaidFarewell(OTHER), Happened::HeardAgain(OTHER)]);
    }

    #[test]
    fn the_table_has_a_bound() {
        let (mut members, mut told) = (Membership::default(), Vec::new());
        let settings = Settings::new(NodeId(1), 1);
        for node in 2..=NODES_MAX as u64 + 9 {
            members.heard(NodeId(node), beat(), &settings, at(0), &mut told);
        }
        assert_eq!(members.there(at(0)).count(), NODES_MAX);
        assert!(members.anybody_holds());
        members.pass(at(240 * GONE_MS), &mut told);
        assert_eq!((members.members.len(), members.assignment()), (0, 0));
    }
}
