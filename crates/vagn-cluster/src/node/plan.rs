//! What a node wants changed in the record of assignment: about itself, and about owners that are gone or hold up the stream.

use crate::assignment::{Assignment, Candidate, OWNERS, Role, ShardRecord, propose};
use crate::happened::Happened;
use crate::ids::{Moment, NodeId, ShardId};
use crate::membership::{GONE_MS, Membership, SUSPECT_MS};
use crate::purge::{Progress, laggard};
use crate::settings::Settings;

/// Most shards that a node copies at a time.
const COPIES_MAX: usize = 4;

/// What this node has of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) epoch: u32,
    pub(super) synced: u64,
    pub(super) caught_up: bool,
    /// Bytes in the stream.
    pub(super) stream_bytes: u64,
}

/// What a node sees when it plans.
pub(super) struct View<'a> {
    pub(super) settings: &'a Settings,
    pub(super) members: &'a Membership,
    pub(super) now: Moment,
    /// Time since it started, in which it has heard others.
    pub(super) up_ms: u64,
    /// It gives away what it owns.
    pub(super) leaves: bool,
    /// What it has of each shard.
    pub(super) own: &'a dyn Fn(ShardId) -> Option<Own>,
    /// True for a shard of which it has content of another data set.
    pub(super) is_foreign: &'a dyn Fn(ShardId) -> bool,
}

/// A change of the record, and what is to be told when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) record: Assignment,
    pub(super) told: Vec<Happened>,
}

/// Plans the next change, if there is one.
pub(super) fn plan(record: &Assignment, view: &View<'_>) -> Option<Plan> {
    let wanted = propose(record.len(), &view.candidates());
    let mut plan = Plan { record: record.clone(), told: Vec::new() };
    let me = view.settings.node;
    let mut copies = record.shards.iter().filter(|shard| shard.role(me) == Role::Joining).count();
    for (shard, wanted) in (0..).map(ShardId).zip(&wanted) {
        let place = &mut plan.record.shards[usize::from(shard.0)];
        let is_wanted = wanted.contains(&me);
        match place.role(me) {
            // It could not copy the shard, and the purge would wait for it.
            _ if (view.is_foreign)(shard) => place.remove(me),
            Role::None if is_wanted && view.up_ms >= SUSPECT_MS && copies < COPIES_MAX => {
                copies += usize::from(place.set(me, false));
            }
            Role::None => {}
            Role::Joining if !is_wanted && view.up_ms >= GONE_MS => place.remove(me),
            Role::Joining => {
                if view.own(shard, place).is_some_and(|own| own.caught_up) {
                    place.set(me, true);
                }
            }
            Role::Full => full(shard, place, is_wanted, view, &mut plan.told),
        }
    }
    plan.record.version += 1;
    (plan.record.shards != record.shards).then_some(plan)
}

/// The changes that a full owner makes.
fn full(shard: ShardId, place: &mut ShardRecord, is_wanted: bool, view: &View<'_>, told: &mut Vec<Happened>) {
    let me = view.settings.node;
    let Some(own) = view.own(shard, place) else {
        // Its disk was lost. It is no full owner until it has copied the shard from another one.
        if place.full_but(me).next().is_some() {
            place.set(me, false);
        }
        return;
    };
    let sound = view.sound(shard, place);
    let may_leave = sound.iter().filter(|node| **node != me).count() >= OWNERS;
    if !is_wanted && (may_leave || view.settings.faults.all_owners_leave) {
        place.remove(me);
        return;
    }
    if !own.caught_up {
        return;
    }
    if view.up_ms >= GONE_MS {
        let is_gone = |node: NodeId| node != me && !view.members.is_there(node, view.now);
        let gone: Vec<_> = place.owners.iter().filter(|owner| is_gone(owner.node)).copied().collect();
        for owner in gone.iter().filter(|owner| !owner.is_full || sound.len() >= OWNERS) {
            place.remove(owner.node);
        }
    }
    let progress = progress(shard, place, me, Some(own), (view.members, view.now));
    if let Some(node) = laggard(&progress, me, own.stream_bytes, view.settings.stream_bytes) {
        place.remove(node);
        told.push(Happened::StruckOff(shard, node));
    }
}

impl View<'_> {
    /// Nodes that could own shards.
    fn candidates(&self) -> Vec<Candidate> {
        let me = Candidate { node: self.settings.node, zone: self.settings.zone.clone() };
        let own = (self.settings.stores && !self.leaves).then_some(me);
        let others = self.members.there(self.now).filter(|(_, beat)| beat.stores && !beat.leaves);
        own.into_iter()
            .chain(others.map(|(node, beat)| Candidate { node, zone: beat.zone.clone() }))
            .collect()
    }

    fn own(&self, shard: ShardId, place: &ShardRecord) -> Option<Own> {
        (self.own)(shard).filter(|own| own.epoch == place.epoch)
    }

    /// Full owners that are there and caught up.
    fn sound(&self, shard: ShardId, place: &ShardRecord) -> Vec<NodeId> {
        let is_sound = |node: &NodeId| match *node == self.settings.node {
            true => self.own(shard, place).is_some_and(|own| own.caught_up),
            false => {
                let holding = self.members.holding(*node, shard, place.epoch, self.now);
                self.members.is_heard(*node, self.now) && holding.is_some_and(|holding| holding.caught_up)
            }
        };
        place.full().filter(is_sound).collect()
    }
}

/// Returns what each owner of a shard has, as far as it is known. `own` is what this node has of it.
pub(super) fn progress(
    shard: ShardId,
    place: &ShardRecord,
    me: NodeId,
    own: Option<Own>,
    (members, now): (&Membership, Moment),
) -> Vec<Progress> {
    let synced = |node: NodeId| {
        if node == me {
            own.filter(|own| own.epoch == place.epoch).map(|own| own.synced)
        } else {
            members.holding(node, shard, place.epoch, now).map(|holding| holding.synced)
        }
    };
    let hash = |node: NodeId| {
        members.holding(node, shard, place.epoch, now).map_or(0, |holding| holding.running_hash)
    };
    let owners = place.owners.iter();
    owners
        .map(|owner| Progress {
            node: owner.node,
            is_full: owner.is_full,
            synced: synced(owner.node),
            running_hash: hash(owner.node),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;
    use crate::membership::{Heartbeat, Holding};
    use crate::settings::Faults;

    const ME: NodeId = NodeId(1);
    const NOW: Moment = Moment { elapsed_ms: 100_000, wall_ms: 0 };

    struct Rig {
        settings: Settings,
        members: Membership,
        own: Option<Own>,
        up_ms: u64,
        leaves: bool,
        is_foreign: bool,
    }

    impl Rig {
        fn new() -> Self {
            let own = Own { epoch: 1, synced: 500, caught_up: true, stream_bytes: 0 };
            Self {
                settings: Settings { shards: 1, ..Settings::new(ME, 1) },
                members: Membership::default(),
                own: Some(own),
                up_ms: 100_000,
                leaves: false,
                is_foreign: false,
            }
        }

        /// Another node, which was heard so long ago.
        fn with(mut self, node: u64, silent_ms: u64, synced: Option<u64>) -> Self {
            let holding = |synced| Holding {
                shard: ShardId(0),
                epoch: 1,
                synced,
                running_hash: 0,
                caught_up: true,
                is_broken: false,
            };
            let beat = Heartbeat {
                run: 1,
                name: node.to_string(),
                zone: None,
                version: 1,
                settings_hash: 0,
                stores: true,
                leaves: false,
                assignment: 1,
                shards: synced.map(holding).into_iter().collect(),
                later: Vec::new(),
            };
            let heard = Moment { elapsed_ms: NOW.elapsed_ms - silent_ms, ..NOW };
            self.members.heard(NodeId(node), beat, &self.settings, heard, &mut Vec::new());
            self
        }

        fn plan(&self, owners: &[(u64, bool)]) -> Option<Vec<(u64, bool)>> {
            let mut shard = ShardRecord {
                epoch: 1,
                base: 0,
                incarnation: Incarnation(1),
                begun_ms: 0,
                founder: ME,
                owners: Vec::new(),
            };
            for (node, is_full) in owners {
                shard.set(NodeId(*node), *is_full);
            }
            let record = Assignment { version: 4, data_set: 8, settings: Vec::new(), shards: vec![shard] };
            let own = |_| self.own;
            let view = View {
                settings: &self.settings,
                members: &self.members,
                now: NOW,
                up_ms: self.up_ms,
                leaves: self.leaves,
                own: &own,
                is_foreign: &|_| self.is_foreign,
            };
            let plan = plan(&record, &view)?;
            assert_eq!(plan.record.version, 5);
            Some(plan.record.shards[0].owners.iter().map(|owner| (owner.node.0, owner.is_full)).collect())
        }
    }

    #[test]
    fn a_node_joins_when_it_is_wanted_and_is_full_when_it_has_all() {
        let mut rig = Rig::new().with(2, 0, Some(500));
        rig.own = None;
        assert_eq!(rig.plan(&[(2, true)]), Some(vec![(1, false), (2, true)]));
        assert_eq!(rig.plan(&[(1, false), (2, true)]), None, "it copies");
        rig.own = Some(Own { epoch: 1, synced: 5, caught_up: false, stream_bytes: 0 });
        assert_eq!(rig.plan(&[(1, false), (2, true)]), None);
        rig.own = Rig::new().own;
        assert_eq!(rig.plan(&[(1, false), (2, true)]), Some(vec![(1, true), (2, true)]));
        rig.up_ms = SUSPECT_MS - 1;
        assert_eq!(rig.plan(&[(2, true)]), None, "it has heard nobody yet");
    }

    #[test]
    fn a_node_with_content_of_another_data_set_does_not_join() {
        let mut rig = Rig::new().with(2, 0, Some(500));
        (rig.own, rig.is_foreign) = (None, true);
        assert_eq!(rig.plan(&[(2, true)]), None);
        assert_eq!(rig.plan(&[(1, false), (2, true)]), Some(vec![(2, true)]));
    }

    #[test]
    fn an_owner_leaves_only_when_two_others_have_all() {
        let mut rig = Rig::new().with(2, 0, Some(500)).with(3, 0, Some(500));
        rig.leaves = true;
        assert_eq!(rig.plan(&[(1, true), (2, true), (3, true)]), Some(vec![(2, true), (3, true)]));
        assert_eq!(rig.plan(&[(1, true), (2, true), (3, false)]), None);
        assert_eq!(rig.plan(&[(1, true), (2, true)]), None);
        let mut silent = Rig::new().with(2, 0, Some(500)).with(3, SUSPECT_MS, Some(500));
        silent.leaves = true;
        assert_eq!(silent.plan(&[(1, true), (2, true), (3, true)]), None);
        let mut without = Rig::new().with(2, 0, Some(500)).with(3, 0, None);
        without.leaves = true;
        assert_eq!(without.plan(&[(1, true), (2, true), (3, true)]), None);
        without.settings.faults = Faults { all_owners_leave: true, ..Faults::default() };
        assert_eq!(without.plan(&[(1, true), (2, true), (3, true)]), Some(vec![(2, true), (3, true)]));
    }

    #[test]
    fn a_full_owner_without_content_copies_from_another() {
        let mut rig = Rig::new().with(2, 0, Some(500));
        rig.own = None;
        assert_eq!(rig.plan(&[(1, true), (2, true)]), Some(vec![(1, false), (2, true)]));
        assert_eq!(rig.plan(&[(1, true), (2, false)]), None, "nobody else has it");
        rig.own = Some(Own { epoch: 2, ..Rig::new().own.unwrap() });
        assert_eq!(rig.plan(&[(1, true), (2, true)]), Some(vec![(1, false), (2, true)]), "of another epoch");
    }

    #[test]
    fn who_is_gone_is_removed_when_two_others_have_all() {
        let gone = Rig::new().with(2, 0, Some(500)).with(3, GONE_MS, Some(500));
        assert_eq!(gone.plan(&[(1, true), (2, true), (3, true)]), Some(vec![(1, true), (2, true)]));
        assert_eq!(gone.plan(&[(1, true), (2, false), (3, true)]), None);
        assert_eq!(gone.plan(&[(1, true), (2, true), (3, false)]), Some(vec![(1, true), (2, true)]));
        let silent = Rig::new().with(2, 0, Some(500)).with(3, GONE_MS - 1, Some(500));
        assert!(silent.plan(&[(1, true), (2, true), (3, true)]).is_none_or(|owners| owners.len() == 2));
        let mut young = Rig::new().with(2, 0, Some(500));
        young.up_ms = GONE_MS - 1;
        assert_eq!(
            young.plan(&[(1, true), (2, true), (3, true)]),
            None,
            "it has not waited for its heartbeat"
        );
    }

    #[test]
    fn who_holds_up_the_stream_is_struck_off() {
        let mut rig = Rig::new().with(2, 0, Some(400));
        let room = rig.settings.stream_bytes;
        rig.own = rig.own.map(|own| Own { stream_bytes: room / 2 + 1, ..own });
        assert_eq!(rig.plan(&[(1, true), (2, true)]), Some(vec![(1, true)]));
        rig.own = rig.own.map(|own| Own { caught_up: false, ..own });
        assert_eq!(rig.plan(&[(1, true), (2, true)]), None);
    }
}
