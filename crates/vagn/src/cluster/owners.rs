//! Owners: what the owners of vehicles say of whom they know, for calls for help at a node that does not have their shards.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use vagn_cluster::{ShardAnswer, ShardId};
use vagn_emergency::record::standing::Standing;
use vagn_emergency::{ASKED_AT_ONCE, Owners};
use vagn_shard::question::{KNOWN_MAX, read_known_answer, write_known_question};
use vagn_shard::{FleetShard, shard_of};
use vagn_store::Key;
use vagn_wire::VehicleId;

use super::link::NodeLink;

// A longer question no shard would read.
const _: () = assert!(ASKED_AT_ONCE <= KNOWN_MAX);

/// The way to the owners over the node of this machine.
pub struct NodeOwners(pub NodeLink<FleetShard>);

impl Owners for NodeOwners {
    fn standings(&self, vehicle_ids: Vec<Box<str>>, within: Duration) -> BoxFuture<'static, Vec<Standing>> {
        let (handle, shards) = (self.0.handle(), self.0.shards());
        async move {
            let mut standings = vec![Standing::Undecided; vehicle_ids.len()];
            let (Ok(handle), Some(count)) = (handle, shards) else { return standings };
            let (question, shards) = question(&vehicle_ids, count);
            // None would ask all.
            if !shards.is_empty()
                && let Ok(answered) = handle.ask(shards, question, within).await
            {
                answered.shards.iter().for_each(|answer| take(answer, &mut standings));
            }
            standings
        }
        .boxed()
    }
}

/// Returns one question for all these vehicles, and the shards that they are in: a shard tells of its own.
fn question(vehicle_ids: &[Box<str>], count: u16) -> (Vec<u8>, Vec<ShardId>) {
    let valid: Vec<_> = vehicle_ids.iter().filter_map(|id| VehicleId::new(id).ok()).collect();
    let mut bytes = Vec::new();
    if valid.len() < vehicle_ids.len() {
        // No alarm has such an id, and the places in the answer would be others.
        return (bytes, Vec::new());
    }
    let shards: BTreeSet<u16> = valid.iter().map(|id| shard_of(Key::of(*id), count.into()) as u16).collect();
    write_known_question(valid.into_iter(), &mut bytes);
    (bytes, shards.into_iter().map(ShardId).collect())
}

/// Takes what a shard tells. An answer that is none counts for nothing.
fn take(answer: &ShardAnswer, standings: &mut [Standing]) {
    let known = read_known_answer(&answer.bytes).unwrap_or_default();
    for (standing, known) in standings.iter_mut().zip(known) {
        match known {
            Some(true) => *standing = Standing::Known,
            Some(false) => *standing = Standing::Stranger,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use vagn_cluster::NodeId;

    use super::*;

    #[test]
    fn shards_are_asked_together_and_each_tells_of_its_own_vehicles() {
        let ids: Vec<Box<str>> = (0..20).map(|number| format!("bus {number}").into()).collect();
        let (_, shards) = question(&ids, 4);
        assert_eq!(shards, [0, 1, 2, 3].map(ShardId));
        assert!(question(&["".into()], 4).1.is_empty());
        let mut standings = [Standing::Undecided; 3];
        let mut tell = |bytes: &[u8]| {
            let answer = ShardAnswer { shard: ShardId(0), node: NodeId(1), age_ms: 0, bytes: bytes.to_vec() };
            take(&answer, &mut standings);
            standings
        };
        use Standing::{Known, Stranger, Undecided};
        assert_eq!(tell(&[]), [Undecided; 3]);
        assert_eq!(tell(&[1, 5, 3, 0, 0, 0, 2, 0, 0]), [Known, Undecided, Undecided]);
        assert_eq!(tell(&[1, 5, 3, 0, 0, 0, 0, 0, 1]), [Known, Undecided, Stranger]);
    }
}
