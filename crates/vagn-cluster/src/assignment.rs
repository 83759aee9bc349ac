//! The record of assignment: which nodes own which shards.
//!
//! Hashing only proposes. What holds is the record, and each change of it takes compare-and-set: so two owners that see each
//! other alive, or dead, cannot both act on it. An owner leaves only by a change after which two others are full owners.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::bytes::{Reader, Write, seal};
use crate::hash::{fold, hash};
use crate::ids::{Incarnation, NodeId, SHARDS_MAX, ShardId, StreamId};
use crate::state::{Damaged, FIELDS_MAX};

/// Owners that a shard is to have.
pub(crate) const OWNERS: usize = 2;

/// Most owners that a record can name, those that copy and those that are about to leave included.
const OWNERS_MAX: usize = 8;

const VERSION: u8 = 1;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Number of changes, rising over all losses of the record.
    pub(crate) version: u64,
    /// Number of the data set, drawn when it was begun.
    pub(crate) data_set: u64,
    /// Settings with which the states began.
    pub(crate) settings: Vec<u8>,
    /// One for each shard of the data set.
    pub(crate) shards: Vec<ShardRecord>,
}

/// A shard in the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShardRecord {
    pub(crate) epoch: u32,
    /// Base of the epoch's order numbers.
    pub(crate) base: u64,
    /// The stream of the epoch as it was made.
    pub(crate) incarnation: Incarnation,
    /// Time of the shard before its first tick.
    pub(crate) begun_ms: i64,
    /// Node from whose log the epoch began; of no meaning in the first.
    pub(crate) founder: NodeId,
    /// By rising number of the node.
    pub(crate) owners: Vec<Owner>,
}

/// An owner of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    /// It has all of the shard on its disk. Others copy.
    pub(crate) is_full: bool,
}

/// Part of a node in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    None,
    /// It is to copy the shard.
    Joining,
    Full,
}

impl Assignment {
    /// Number of shards.
    pub(crate) fn len(&self) -> u16 {
        self.shards.len() as u16
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Option<&ShardRecord> {
        self.shards.get(usize::from(shard.0))
    }

    pub(crate) fn shard_mut(&mut self, shard: ShardId) -> Option<&mut ShardRecord> {
        self.shards.get_mut(usize::from(shard.0))
    }

    /// All shards with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ShardId, &ShardRecord)> {
        (0..).map(ShardId).zip(&self.shards)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(self.version);
        out.put_u64(self.data_set);
        out.put_long(&self.settings);
        out.put_count(self.shards.len());
        for shard in &self.shards {
            out.put_u32(shard.epoch);
            out.put_u64(shard.base);
            out.put_u64(shard.incarnation.0);
            out.put_i64(shard.begun_ms);
            out.put_u64(shard.founder.0);
            out.put_count(shard.owners.len());
            for owner in &shard.owners {
                out.put_u64(owner.node.0);
                out.put_u8(u8::from(owner.is_full));
            }
        }
        seal(&mut out);
        out
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::unseal(bytes)?;
        if reader.u8()? != VERSION {
            return Err(Damaged);
        }
        let (version, data_set) = (reader.u64()?, reader.u64()?);
        let settings = reader.long(FIELDS_MAX)?.to_vec();
        let mut shards = Vec::new();
        for _ in 0..reader.count(usize::from(SHARDS_MAX), 40)? {
            shards.push(ShardRecord::read(&mut reader)?);
        }
        reader.end()?;
        if shards.is_empty() { Err(Damaged) } else { Ok(Self { version, data_set, settings, shards }) }
    }
}

impl ShardRecord {
    pub(crate) fn stream(&self, shard: ShardId) -> StreamId {
        StreamId { shard, epoch: self.epoch }
    }

    pub(crate) fn role(&self, node: NodeId) -> Role {
        match self.owners.iter().find(|owner| owner.node == node) {
            None => Role::None,
            Some(Owner { is_full: false, .. }) => Role::Joining,
            Some(Owner { is_full: true, .. }) => Role::Full,
        }
    }

    /// Owners that have all.
    pub(crate) fn full(&self) -> impl Iterator<Item = NodeId> {
        self.owners.iter().filter(|owner| owner.is_full).map(|owner| owner.node)
    }

    /// Owners that have all, but for this node.
    pub(crate) fn full_but(&self, node: NodeId) -> impl Iterator<Item = NodeId> {
        self.full().filter(move |other| *other != node)
    }

    /// Adds an owner, or makes it what is given. Returns false when there is no place.
    pub(crate) fn set(&mut self, node: NodeId, is_full: bool) -> bool {
        match self.owners.binary_search_by_key(&node, |owner| owner.node) {
            Ok(at) => self.owners[at].is_full = is_full,
            Err(_) if self.owners.len() >= OWNERS_MAX => return false,
            Err(at) => self.owners.insert(at, Owner { node, is_full }),
        }
        true
    }

    /// Removes an owner.
    pub(crate) fn remove(&mut self, node: NodeId) {
        self.owners.retain(|owner| owner.node != node);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let mut shard = Self {
            epoch: reader.u32()?,
            base: reader.u64()?,
            incarnation: Incarnation(reader.u64()?),
            begun_ms: reader.i64()?,
            founder: NodeId(reader.u64()?),
            owners: Vec::new(),
        };
        for _ in 0..reader.count(OWNERS_MAX, 9)? {
            let owner = Owner { node: NodeId(reader.u64()?), is_full: reader.flag()? };
            if shard.owners.last().is_some_and(|last| last.node >= owner.node) {
                return Err(Damaged);
            }
            shard.owners.push(owner);
        }
        Ok(shard)
    }
}

/// A node that could own shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) node: NodeId,
    pub(crate) zone: Option<String>,
}

/// Proposes owners for each shard: by rendezvous hashing two of different zones, none with more than its part, ⌈2S/N⌉. Where that
/// cannot be had, two nodes are more than one, and one zone is better than none.
pub(crate) fn propose(shards: u16, candidates: &[Candidate]) -> Vec<Vec<NodeId>> {
    let most = (OWNERS * usize::from(shards)).div_ceil(candidates.len().max(1));
    let mut loads: BTreeMap<NodeId, usize> = BTreeMap::new();
    (0..shards)
        .map(|shard| {
            let mut ranked: Vec<&Candidate> = candidates.iter().collect();
            // Whoever has room for all shards that are left comes first: it could not use that room otherwise.
            let left = usize::from(shards - shard);
            let is_free = |node: NodeId| most - loads.get(&node).copied().unwrap_or(0).min(most) < left;
            ranked.sort_by_key(|candidate| {
                (is_free(candidate.node), Reverse(weight(candidate.node, shard)), candidate.node)
            });
            let mut chosen: Vec<&Candidate> = Vec::new();
            // What is asked for is given up in turn: first the part of a node, then the zones.
            for (keeps_part, keeps_zones) in [(true, true), (false, true), (true, false), (false, false)] {
                for candidate in &ranked {
                    let has_room = !keeps_part || loads.get(&candidate.node).is_none_or(|load| *load < most);
                    let is_apart = !chosen.iter().any(|other| shares_zone(other, candidate));
                    let is_new = !chosen.iter().any(|other| other.node == candidate.node);
                    if chosen.len() < OWNERS && is_new && has_room && (is_apart || !keeps_zones) {
                        chosen.push(candidate);
                        *loads.entry(candidate.node).or_default() += 1;
                    }
                }
            }
            chosen.iter().map(|candidate| candidate.node).collect()
        })
        .collect()
}

fn shares_zone(one: &Candidate, other: &Candidate) -> bool {
    one.zone.is_some() && one.zone == other.zone
}

fn weight(node: NodeId, shard: u16) -> u64 {
    fold(hash(&[&node.0.to_le_bytes()]), u64::from(shard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{assert_damage_is_found, assert_no_damage_panics};

    fn candidates(zones: &[&str]) -> Vec<Candidate> {
        let of = |(node, zone): (u64, &&str)| Candidate {
            node: NodeId(node),
            zone: (!zone.is_empty()).then(|| (*zone).to_owned()),
        };
        (1..).zip(zones).map(of).collect()
    }

    fn loads(proposed: &[Vec<NodeId>]) -> BTreeMap<NodeId, usize> {
        let mut loads = BTreeMap::new();
        for node in proposed.iter().flatten() {
            *loads.entry(*node).or_default() += 1;
        }
        loads
    }

    fn record() -> Assignment {
        let mut shard = ShardRecord {
            epoch: 1,
            base: 9,
            incarnation: Incarnation(4),
            begun_ms: -1,
            founder: NodeId(2),
            owners: Vec::new(),
        };
        assert!(shard.set(NodeId(2), true) && shard.set(NodeId(1), false));
        Assignment { version: 3, data_set: 8, settings: vec![1, 2], shards: vec![shard.clone(), shard] }
    }

    #[test]
    fn each_shard_gets_two_nodes_and_each_node_its_part() {
        for nodes in 2..=9 {
            for shards in [1, 8, 64] {
                let proposed = propose(shards, &candidates(&vec![""; nodes]));
                assert!(proposed.iter().all(|owners| owners.len() == 2 && owners[0] != owners[1]));
                let most = (2 * usize::from(shards)).div_ceil(nodes);
                let loads = loads(&proposed);
                // The last shards may find no two nodes with room: one more is then too many for one node at most.
                assert!(
                    loads.values().all(|load| *load <= most + 1),
                    "{nodes} nodes, {shards} shards: {loads:?}"
                );
            }
        }
    }

    #[test]
    fn owners_stand_in_different_zones_where_there_are_some() {
        for zones in
            [&["a", "b"][..], &["a", "a", "b"], &["a", "a", "a", "b"], &["a", "b", "c", "a", "b", "c"]]
        {
            let candidates = candidates(zones);
            let zone = |node: NodeId| candidates[node.0 as usize - 1].zone.clone();
            let proposed = propose(16, &candidates);
            assert!(proposed.iter().all(|owners| zone(owners[0]) != zone(owners[1])), "{zones:?}");
        }
        assert!(propose(8, &candidates(&["a", "a"])).iter().all(|owners| owners.len() == 2));
        assert!(propose(8, &candidates(&["a"])).iter().all(|owners| owners == &[NodeId(1)]));
        assert!(propose(8, &[]).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_node_more_moves_few_shards() {
        let (before, after) = (propose(64, &candidates(&[""; 6])), propose(64, &candidates(&[""; 7])));
        let kept = before
            .iter()
            .zip(&after)
            .map(|(one, other)| one.iter().filter(|node| other.contains(node)).count());
        let moved = 128 - kept.sum::<usize>();
        assert!(moved <= 45, "{moved} of 128; the new node's part is 19");
    }

    #[test]
    fn owners_are_set_and_removed() {
        let mut shard = record().shards.remove(0);
        assert_eq!(shard.role(NodeId(1)), Role::Joining);
        assert!(shard.set(NodeId(1), true));
        assert_eq!((shard.role(NodeId(1)), shard.full().count()), (Role::Full, 2));
        shard.remove(NodeId(2));
        assert_eq!((shard.role(NodeId(2)), shard.full_but(NodeId(1)).count()), (Role::None, 0));
        let added = (10..30).filter(|node| shard.set(NodeId(*node), false)).count();
        assert_eq!(added, OWNERS_MAX - 1);
    }

    #[test]
    fn is_read_as_it_was_written_and_damage_is_found() {
        let bytes = record().write();
        assert_eq!(Assignment::read(&bytes), Ok(record()));
        assert_damage_is_found(&bytes, Assignment::read);
        assert_no_damage_panics(
            &bytes,
            &mut fastrand::Rng::with_seed(7),
            Assignment::read,
            Assignment::write,
        );
    }
}
