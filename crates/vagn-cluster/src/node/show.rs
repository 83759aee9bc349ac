//! What a node shows of itself: for readiness, for status, for those who read its contents in place, and for the proof.

use super::Node;
use super::mirror::Mirror;
use super::part::Part;
use crate::assignment::Assignment;
use crate::copied::{CopyRecord, ShardCopy};
use crate::ids::{BatchId, NodeId, ShardId, StreamId};
use crate::settings::Settings;
use crate::state::ShardState;
use crate::view::{Counts, MemberView, OwnerView, ShardView, Stage};

impl<S: ShardState> Node<S> {
    /// Returns the settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns its replicas as they were after the last event, by rising number of the shard.
    pub fn shards(&self) -> Vec<ShardView> {
        self.parts.values().filter_map(|part| part.view(self.now)).collect()
    }

    /// True while what stood behind the damaged part of this node's log cannot be read.
    pub fn is_rest_unread(&self, shard: ShardId) -> bool {
        self.parts.get(&shard).is_some_and(Part::is_rest_unread)
    }

    /// Returns the content of a replica: for tests and for a driver that reads it in place.
    pub fn state(&self, shard: ShardId) -> Option<&S> {
        self.parts.get(&shard).and_then(Part::state)
    }

    /// Returns the content of a shard that this node may show: of its replica, or of its mirror when that has had more. So there is no gap
    /// when another node becomes its owner.
    pub fn shown(&self, shard: ShardId) -> Option<&S> {
        let (own, mirror) = (self.parts.get(&shard), self.mirrors.get(&shard));
        let is_behind = own.is_some_and(|part| part.is_behind(self.now));
        let better = mirror.filter(|mirror| is_behind && mirror.has_caught_up()).and_then(Mirror::content);
        let here = better.or_else(|| own.and_then(Part::shown)).or_else(|| mirror.and_then(Mirror::content));
        // Until its mirror is there, a shard that is owned here no more.
        here.or_else(|| own.and_then(Part::left_over))
    }

    /// Returns the contents of a shard that are here beside the one that is [shown](Self::shown).
    pub fn hidden(&self, shard: ShardId) -> impl Iterator<Item = &S> {
        let shown = self.shown(shard);
        let mirrored = self.mirrors.get(&shard).and_then(Mirror::content);
        let all = self.state(shard).into_iter().chain(mirrored);
        all.filter(move |state| !shown.is_some_and(|shown| std::ptr::eq(shown, *state)))
    }

    /// Returns how many copies of a shard others read.
    #[cfg(test)]
    pub(crate) fn copies(&self, shard: ShardId) -> usize {
        self.parts.get(&shard).map_or(0, Part::copies)
    }

    /// Changes the content of mirrors, as no entry did.
    #[cfg(test)]
    pub(crate) fn spoil_mirrors(&mut self, spoil: impl Fn(&mut S)) {
        self.mirrors.values_mut().for_each(|mirror| mirror.spoil(&spoil));
    }

    /// Returns its mirrors as they were after the last event, by rising number of the shard.
    pub fn mirrors(&self) -> Vec<ShardView> {
        self.mirrors.values().filter_map(|mirror| mirror.view(self.now)).collect()
    }

    /// Returns a copy of a shard that this node mirrors, as it is here. It takes as long as an owner needs who is copied.
    pub fn copied(&self, shard: ShardId) -> Option<ShardCopy> {
        self.mirrors.get(&shard)?.copied()
    }

    /// Returns the record of assignment as a copy has it; `None` until it is known.
    pub fn copied_record(&self) -> Option<CopyRecord> {
        self.keeper.known().map(CopyRecord::of)
    }

    /// Returns what became of the changes that came in through this node.
    pub fn counts(&self) -> Counts {
        self.door.counts()
    }

    /// Returns the owners of a shard as this node knows them, and which of them have all; with the stream of its epoch.
    pub fn owners(&self, shard: ShardId) -> Option<(StreamId, Vec<(NodeId, bool)>)> {
        let place = self.keeper.known()?.shard(shard)?;
        Some((place.stream(shard), place.owners.iter().map(|owner| (owner.node, owner.is_full)).collect()))
    }

    /// Returns the number of shards of the data set; `None` until its record of assignment is known.
    pub fn shard_count(&self) -> Option<u16> {
        self.keeper.known().map(Assignment::len)
    }

    /// Returns the owners of a shard with what each last said of it; none while the record of assignment is not known.
    pub fn owner_views(&self, shard: ShardId) -> Vec<OwnerView> {
        let Some(place) = self.keeper.known().and_then(|known| known.shard(shard)) else { return Vec::new() };
        let (epoch, own) = (place.epoch, self.settings.node);
        let of_own = || self.parts.get(&shard).and_then(|part| part.view(self.now));
        let views = place.owners.iter().map(|owner| {
            let (synced, caught_up) = if owner.node == own {
                let view = of_own().filter(|view| view.stream.epoch == epoch);
                (view.map(|view| view.applied), view.is_some_and(|view| view.stage == Stage::CaughtUp))
            } else {
                let holding = self.members.holding(owner.node, shard, epoch, self.now);
                (holding.map(|held| held.synced), holding.is_some_and(|held| held.caught_up))
            };
            OwnerView { node: owner.node, is_full: owner.is_full, synced, caught_up }
        });
        views.collect()
    }

    /// Returns the nodes of the cluster as this one knows them: itself first, then the others by rising number.
    pub fn members(&self) -> Vec<MemberView> {
        let own = MemberView {
            node: self.settings.node,
            name: self.settings.name.clone(),
            zone: self.settings.zone.clone(),
            version: self.settings.version,
            stores: self.settings.stores,
            leaves: self.leaves,
            silent_ms: 0,
            is_heard: true,
            stops: self.stops,
            differs: false,
            is_twice: self.members.is_own_twice(self.now),
        };
        std::iter::once(own).chain(self.members.views(self.now)).collect()
    }

    /// True if the content of a replica has this batch.
    pub fn has_seen(&self, shard: ShardId, batch: BatchId) -> bool {
        self.parts.get(&shard).is_some_and(|part| part.has_seen(batch))
    }
}
