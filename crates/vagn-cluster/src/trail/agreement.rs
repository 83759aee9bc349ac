//! Agreement: whether a node may lead with other settings than the leader before, as nodes have been given new ones.
//!
//! Nodes tell their settings with how far they are. A node may lead with its own where no node is heard that has others, and those that have the same are most of
//! the nodes that are known. One that was started with other settings by mistake hears others; where it is cut off from them, it is not most.

use std::collections::BTreeSet;

use crate::ids::{Moment, NodeId};
use crate::trail::peers::{HEARD_MS, Peers};

/// Most owners that are remembered.
const OWNERS_MAX: usize = 1_024;

/// Who has the settings of a node, as far as that node hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreement {
    /// Nodes that have the same, this one too, and were heard within 10 s.
    pub alike: usize,
    /// Nodes that have others, and were heard within 10 s.
    pub others: usize,
    /// Nodes that are known: this one, owners of shards, and those that were heard within an hour; `None` until owners are known.
    pub known: Option<usize>,
}

impl Agreement {
    /// Returns true where nobody is heard that has other settings, and most nodes that are known have the same.
    pub fn is_reached(&self) -> bool {
        self.others == 0 && self.known.is_some_and(|known| 2 * self.alike > known)
    }
}

/// Nodes that own shards, whether they are heard or not.
#[derive(Debug, Default)]
pub(crate) struct Owners(Option<BTreeSet<NodeId>>);

impl Owners {
    pub(crate) fn set(&mut self, owners: impl IntoIterator<Item = NodeId>) {
        self.0 = Some(owners.into_iter().take(OWNERS_MAX).collect());
    }

    /// Says who has the settings of this node.
    pub(crate) fn agreement(
        &self,
        (own, settings_hash): (NodeId, u64),
        peers: &Peers,
        (away_ms, now): (u64, Moment),
    ) -> Agreement {
        let told = |span_ms| {
            peers.within(span_ms, now).filter_map(|(node, progress)| Some((node, progress.settings_hash?)))
        };
        let (same, others): (Vec<_>, Vec<_>) = told(HEARD_MS).partition(|(_, hash)| *hash == settings_hash);
        let known = self.0.as_ref().map(|owners| {
            let mut known = owners.clone();
            known.extend(told(away_ms).map(|(node, _)| node));
            known.insert(own);
            known.len()
        });
        Agreement { alike: 1 + same.len(), others: others.len(), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;
    use crate::trail::ids::TrailId;
    use crate::trail::message::{Progress, Standing};

    const AWAY_MS: u64 = 60_000;

    fn at(elapsed_ms: u64) -> Moment {
        Moment { elapsed_ms, wall_ms: 0 }
    }

    /// Node 1 has settings 7, knows these owners, and heard of these nodes which settings they had at these moments; 0: none, as they call nobody.
    fn check(owners: &[u64], told: &[(u64, u64, u64)], reached: bool, shown: (usize, usize, usize)) {
        let (mut known, mut peers) = (Owners::default(), Peers::default());
        known.set(owners.iter().copied().map(NodeId));
        let trail = TrailId { epoch: 1, incarnation: Incarnation(5) };
        for (node, settings, at_ms) in told.iter().copied() {
            let settings_hash = Some(settings).filter(|settings| *settings != 0);
            let progress = Progress { trail, saved: 1, state: Standing::Waits, wall_ms: 0, settings_hash };
            peers.note(NodeId(node), progress, at(at_ms));
        }
        let agreement = known.agreement((NodeId(1), 7), &peers, (AWAY_MS, at(50_000)));
        let (alike, others, known) = shown;
        assert_eq!(agreement, Agreement { alike, others, known: Some(known) }, "{owners:?} {told:?}");
        assert_eq!(agreement.is_reached(), reached, "{agreement:?} of {owners:?} {told:?}");
    }

    #[test]
    fn nodes_agree_where_all_that_are_heard_and_most_that_are_known_have_the_same_settings() {
        const LATELY: u64 = 49_000;
        check(&[1], &[], true, (1, 0, 1));
        check(&[1, 2, 3], &[(2, 7, LATELY), (3, 7, LATELY)], true, (3, 0, 3));
        // The last node with the settings of before is gone, or was given the new ones.
        check(&[1, 2, 3], &[(2, 7, LATELY), (3, 4, 40_000)], true, (2, 0, 3));
        check(&[1, 2, 3], &[(2, 7, LATELY), (3, 4, 40_001), (3, 7, LATELY)], true, (3, 0, 3));
        // One that owns nothing.
        check(&[1, 2], &[(2, 7, LATELY), (3, 7, LATELY)], true, (3, 0, 3));
        // A command that copies incidents.
        check(&[1, 2], &[(2, 7, LATELY), (9, 0, LATELY)], true, (2, 0, 2));
        // It is still there.
        check(&[1, 2, 3], &[(2, 7, LATELY), (3, 4, 40_001)], false, (2, 1, 3));
        check(&[1, 2, 3, 4], &[(2, 7, LATELY), (3, 4, LATELY), (4, 4, LATELY)], false, (2, 2, 4));
        // Cut off from the others, alone or not.
        check(&[1, 2, 3], &[], false, (1, 0, 3));
        check(&[1, 2, 3, 4, 5], &[(2, 7, LATELY)], false, (2, 0, 5));
        check(&[1, 2, 3, 4], &[(2, 7, LATELY)], false, (2, 0, 4));
        // The only other one, which owns nothing, was heard a while ago.
        check(&[1], &[(2, 7, 30_000)], false, (1, 0, 2));
        check(&[1, 2], &[(3, 4, 1)], false, (1, 0, 3));
    }

    #[test]
    fn nobody_agrees_before_it_is_known_who_owns_shards() {
        let agreement = Owners::default().agreement((NodeId(1), 7), &Peers::default(), (AWAY_MS, at(0)));
        assert_eq!(agreement, Agreement { alike: 1, others: 0, known: None });
        assert!(!agreement.is_reached());
    }
}
