//! How far a stream may be purged, and who holds it up.
//!
//! Brokers discard nothing by themselves. What every owner in the record has synced may go; an owner of which nothing is known holds
//! all, and so does a node that copies. Who holds up half of the stream's room is struck off, and begins anew.

use crate::ids::NodeId;

/// Entries that stay beyond what must, so that a stream is not purged for each of them.
const STEP: u64 = 64;

/// An owner in the record, and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) node: NodeId,
    /// It is a full owner.
    pub(crate) is_full: bool,
    /// Last entry that it has synced, if it said so of late.
    pub(crate) synced: Option<u64>,
    /// Running hash after that entry, 0 when it is not known.
    pub(crate) running_hash: u64,
}

/// Returns the last entry that every owner has synced.
pub(crate) fn all_have(owners: &[Progress]) -> u64 {
    owners.iter().map(|owner| owner.synced.unwrap_or(0)).min().unwrap_or(0)
}

/// Returns how far to purge, if it is worth it. `purged` is how far it was; when the stream is crowded all of it goes again, for few
/// entries can be large, and a purge that was lost is not asked for again by new entries once the stream takes none.
pub(crate) fn purge(owners: &[Progress], purged: u64, is_crowded: bool) -> Option<u64> {
    let least = if is_crowded { 1 } else { purged + STEP };
    Some(all_have(owners)).filter(|through| *through >= least)
}

/// Returns the owner to be struck off, as seen by the full owner `me`, when the stream holds `bytes` of `room`.
pub(crate) fn laggard(owners: &[Progress], me: NodeId, bytes: u64, room: u64) -> Option<NodeId> {
    let own = owners.iter().find(|owner| owner.node == me && owner.is_full)?.synced?;
    let behind = owners.iter().filter(|owner| owner.node != me && owner.synced.unwrap_or(0) < own);
    let last = behind.min_by_key(|owner| (owner.synced.unwrap_or(0), owner.node));
    last.filter(|_| bytes > room / 2).map(|owner| owner.node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(node: u64, is_full: bool, synced: Option<u64>) -> Progress {
        Progress { node: NodeId(node), is_full, synced, running_hash: 0 }
    }

    #[test]
    fn what_every_owner_has_synced_may_go() {
        let cases = [
            (vec![owner(1, true, Some(500)), owner(2, true, Some(400))], Some(400)),
            (vec![owner(1, true, Some(500)), owner(2, true, None)], None),
            // One that copies.
            (vec![owner(1, true, Some(500)), owner(2, true, Some(400)), owner(3, false, None)], None),
            (vec![owner(1, true, Some(500)), owner(3, false, Some(450))], Some(450)),
            (vec![owner(1, true, Some(500))], Some(500)),
            (vec![], None),
        ];
        for (owners, through) in cases {
            assert_eq!(purge(&owners, 300, false), through, "{owners:?}");
        }
        let owners = [owner(1, true, Some(363))];
        assert_eq!(purge(&owners, 300, false), None, "not worth it");
        assert_eq!(purge(&owners, 363, true), Some(363), "the purge before may be lost, and the stream full");
        assert_eq!(purge(&[owner(1, true, Some(363)), owner(2, true, None)], 0, true), None);
    }

    #[test]
    fn who_holds_up_half_of_the_room_is_struck_off() {
        let me = NodeId(1);
        let owners = [owner(1, true, Some(500)), owner(2, true, Some(400)), owner(3, false, None)];
        assert_eq!(laggard(&owners, me, 50, 100), None);
        assert_eq!(laggard(&owners, me, 51, 100), Some(NodeId(3)));
        assert_eq!(laggard(&owners[..2], me, 51, 100), Some(NodeId(2)));
        assert_eq!(laggard(&owners[..2], NodeId(2), 51, 100), None, "nobody is behind it");
        assert_eq!(laggard(&owners, NodeId(3), 51, 100), None, "it is no full owner");
    }
}
