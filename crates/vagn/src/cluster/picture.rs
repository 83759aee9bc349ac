//! A look at the node: members, shards and counts at one moment.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vagn_cluster::{
    Counts, MemberView, Node, NodeId, OwnerView, ShardId, ShardState, ShardView, Stage, Stop, TickMark,
};
use vagn_nats::Copies;

/// The cluster as this node sees it.
#[derive(Debug, Clone)]
pub struct Picture {
    /// This node first, then the others.
    pub members: Vec<MemberView>,
    /// All shards of the data set, by rising number; none while the record of assignment is not known.
    pub shards: Vec<ShardPicture>,
    /// The record of assignment is known.
    pub is_known: bool,
    /// Changes that came in through this node.
    pub counts: Counts,
    /// Streams of which copies at brokers are missed.
    pub copies: Copies,
}

/// A shard, as this node sees it.
#[derive(Debug, Clone)]
pub struct ShardPicture {
    /// Its number.
    pub shard: ShardId,
    /// Its owners.
    pub owners: Vec<OwnerView>,
    /// The replica here, if there is one.
    pub own: Option<ShardView>,
    /// What stood behind the damaged part of the log here cannot be read.
    pub is_rest_unread: bool,
}

impl Picture {
    /// Looks at the node.
    pub fn of<S: ShardState>(node: &Node<S>) -> Self {
        let replicas = node.shards();
        let shard = |number| {
            let shard = ShardId(number);
            let own = replicas.iter().find(|view| view.shard == shard).copied();
            let is_rest_unread = node.is_rest_unread(shard);
            ShardPicture { shard, owners: node.owner_views(shard), own, is_rest_unread }
        };
        let count = node.shard_count();
        Self {
            members: node.members(),
            shards: (0..count.unwrap_or(0)).map(shard).collect(),
            is_known: count.is_some(),
            counts: node.counts(),
            copies: Copies::default(),
        }
    }

    /// Returns the name of a node; its number where it was never heard.
    pub fn name_of(&self, node: NodeId) -> String {
        let found = self.members.iter().find(|member| member.node == node);
        found.map_or_else(|| format!("{:016x}", node.0), |member| member.name.clone())
    }

    /// Returns the number of shards that a node owns, or copies to own.
    pub fn owned_by(&self, node: NodeId) -> usize {
        self.shards.iter().filter(|shard| shard.owners.iter().any(|owner| owner.node == node)).count()
    }

    /// Returns the nodes that own shards, or copy some to own, whether they are heard or not; `None` while the record of assignment is not known.
    pub fn owners(&self) -> Option<BTreeSet<NodeId>> {
        let owners = self.shards.iter().flat_map(|shard| shard.owners.iter().map(|owner| owner.node));
        self.is_known.then(|| owners.collect())
    }

    /// Returns the shards that no node answers for with all they have.
    pub fn unowned(&self) -> Vec<u16> {
        let unowned = self.shards.iter().filter(|shard| !shard.owners.iter().any(OwnerView::has_all));
        unowned.map(|shard| shard.shard.0).collect()
    }

    /// Shows it as JSON.
    pub fn json(&self) -> Value {
        let members: Vec<_> = self.members.iter().map(member).collect();
        let shards: Vec<_> = self.shards.iter().map(|shard| shard.json(self)).collect();
        let away = self.copies.away.iter().map(
            |(broker, missed)| json!({"broker": broker, "shards": missed.shards, "trail": missed.trail}),
        );
        let silent = &self.copies.silent;
        json!({
            "members": members,
            "shards": shards,
            "unowned_shards": self.unowned(),
            "brokers_behind": away.collect::<Vec<_>>(),
            "streams_silent": {"shards": silent.shards, "trail": silent.trail},
        })
    }
}

fn member(member: &MemberView) -> Value {
    json!({
        "name": member.name,
        "zone": member.zone,
        "messages_version": member.version,
        "stores": member.stores,
        "leaves": member.leaves,
        "heard": member.is_heard,
        "stops": member.stops,
        "silent_ms": member.silent_ms,
        "differs": member.differs,
        "twice": member.is_twice,
    })
}

impl ShardPicture {
    /// Returns the entries by which the replica here is behind the owner that has most.
    pub fn lag(&self) -> Option<u64> {
        let own = self.own.as_ref()?;
        let most = self.owners.iter().filter_map(|owner| owner.synced).max().unwrap_or(0);
        Some(most.saturating_sub(own.applied))
    }

    fn json(&self, of: &Picture) -> Value {
        let owners = self.owners.iter().map(|owner| {
            json!({
                "node": of.name_of(owner.node),
                "full": owner.is_full,
                "caught_up": owner.caught_up,
                "synced": owner.synced,
            })
        });
        json!({
            "shard": self.shard.0,
            "owners": owners.collect::<Vec<_>>(),
            "stage": self.own.map(|own| stage_name(own.stage)),
            "stopped": self.own.and_then(|own| stop_of(own.stage)).map(stop_reason),
            "epoch": self.own.map(|own| own.stream.epoch),
            "applied": self.own.map(|own| own.applied),
            "lag": self.lag(),
            "time_ms": self.own.and_then(|own| own.tick).map(|tick| tick.time_ms),
            "tick": self.own.and_then(|own| own.tick).map(tick),
        })
    }
}

/// Shows the last tick with the hashes that all replicas have there. As text: JavaScript rounds numbers of 64 bits.
fn tick(mark: TickMark) -> Value {
    json!({
        "sequence": mark.sequence,
        "content_hash": format!("{:016x}", mark.content_hash),
        "running_hash": format!("{:016x}", mark.running_hash),
    })
}

/// Names of stages, for metrics and status.
pub(super) const STAGES: [&str; 5] = ["caught_up", "catching_up", "restored", "copying", "stopped"];

pub(super) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::CaughtUp => STAGES[0],
        Stage::CatchingUp => STAGES[1],
        Stage::Restored => STAGES[2],
        Stage::Copying => STAGES[3],
        Stage::Stopped(_) => STAGES[4],
    }
}

pub(super) fn stop_of(stage: Stage) -> Option<Stop> {
    match stage {
        Stage::Stopped(stop) => Some(stop),
        _ => None,
    }
}

/// Says why a replica takes no more, and what helps.
pub(super) fn stop_reason(stop: Stop) -> &'static str {
    use vagn_cluster::DiskFault;
    match stop {
        Stop::StreamAnew => {
            "its stream at the brokers was made anew; nothing is dropped here until it is repaired"
        }
        Stop::OtherDataSet => {
            "the brokers have another data set than the data directory; name the right brokers or `cluster.set`, or move `cluster/` of the \
             data directory away"
        }
        Stop::StreamBehind => {
            "its stream at the brokers ends before what is here; nothing is dropped here until it is repaired"
        }
        Stop::StreamGone => "its stream at the brokers is gone; nothing is dropped here until it is repaired",
        Stop::NextEntryPurged => {
            "its stream no longer has what is needed next, and no other owner can be copied from"
        }
        Stop::HashDiffers => "the entries of another owner are others",
        Stop::ContentDiffers => "the content of another owner is another one",
        Stop::EntryDamaged => "an entry of its stream cannot be read; run the same version on all nodes",
        Stop::Disk(DiskFault::Full) => {
            "too little free space on the disk, or no memory or file handle left; the log says which; free some"
        }
        Stop::Disk(DiskFault::Broken) => {
            "its disk failed; what it has is unknown until a restart of the service"
        }
        Stop::LogUnread => {
            "its log cannot be read, and may be the only place of some reports; it is kept, and read again each minute at most; mend the disk and \
             start the service again; if the log is lost, the runbook of VagnReplicasStopped says what may be moved"
        }
        Stop::DiskDamaged => "what is on disk cannot be read",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_cluster::StreamId;
    use vagn_nats::Missed;

    fn picture() -> Picture {
        let owner =
            |node, synced, caught_up| OwnerView { node: NodeId(node), is_full: true, synced, caught_up };
        let shard = |number, owners: Vec<OwnerView>| {
            let stream = StreamId { shard: ShardId(number), epoch: 1 };
            let own = ShardView {
                shard: ShardId(number),
                stream,
                stage: Stage::CatchingUp,
                received: 5,
                applied: 5,
                tick: Some(TickMark { sequence: 4, time_ms: 9, content_hash: u64::MAX, running_hash: 1 }),
            };
            ShardPicture { shard: ShardId(number), owners, own: Some(own), is_rest_unread: false }
        };
        let member = MemberView {
            node: NodeId(1),
            name: "north-1".into(),
            zone: Some("north".into()),
            version: 1,
            stores: true,
            leaves: false,
            silent_ms: 0,
            is_heard: true,
            stops: false,
            differs: false,
            is_twice: false,
        };
        let owners = |other: Option<u64>| vec![owner(1, Some(5), false), owner(2, other, other.is_some())];
        Picture {
            members: vec![member],
            shards: vec![shard(0, owners(Some(9))), shard(1, owners(None))],
            is_known: true,
            counts: Counts::default(),
            copies: Copies::default(),
        }
    }

    #[test]
    fn a_shard_without_an_owner_that_has_all_is_named() {
        assert_eq!(picture().unowned(), [1]);
    }

    #[test]
    fn owners_are_known_once_the_record_is_whether_they_are_heard_or_not() {
        assert_eq!(picture().owners(), Some([1, 2].map(NodeId).into()));
        assert_eq!(Picture { is_known: false, shards: Vec::new(), ..picture() }.owners(), None);
    }

    #[test]
    fn a_replica_is_behind_the_owner_that_has_most() {
        let lags: Vec<_> = picture().shards.iter().map(ShardPicture::lag).collect();
        assert_eq!(lags, [Some(4), Some(0)]);
    }

    #[test]
    fn status_names_nodes_and_gives_the_number_of_one_that_was_never_heard() {
        let shown = picture().json();
        assert_eq!(shown["members"][0]["name"], "north-1");
        assert_eq!(shown["shards"][0]["owners"][0]["node"], "north-1");
        assert_eq!(shown["shards"][0]["owners"][1]["node"], "0000000000000002");
        assert_eq!(
            (&shown["shards"][0]["stage"], &shown["shards"][0]["lag"]),
            (&json!("catching_up"), &json!(4))
        );
        assert_eq!(shown["unowned_shards"], json!([1]));
        assert_eq!(
            (&shown["brokers_behind"], &shown["streams_silent"]["trail"]),
            (&json!([]), &json!(false))
        );
        let copies = Copies {
            away: [("n3".to_owned(), Missed { shards: vec![0, 1], trail: true })].into(),
            silent: Missed { shards: vec![1], trail: false },
        };
        let shown = Picture { copies, ..picture() }.json();
        assert_eq!(shown["brokers_behind"], json!([{"broker": "n3", "shards": [0, 1], "trail": true}]));
        assert_eq!(shown["streams_silent"], json!({"shards": [1], "trail": false}));
        let hashes =
            json!({"sequence": 4, "content_hash": "ffffffffffffffff", "running_hash": "0000000000000001"});
        assert_eq!(shown["shards"][0]["tick"], hashes);
    }
}
