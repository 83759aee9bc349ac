//! Names of streams and subjects: all begin with the data set's.
//!
//! | what | stream | subject |
//! |---|---|---|
//! | a shard's epoch | `vagn-SET-SHARD-EPOCH` | `vagn.SET.shard.SHARD.EPOCH` |
//! | an epoch of the trail | `vagn-SET-trail-EPOCH` | `vagn.SET.trail.EPOCH` |
//! | records | `KV_vagn-SET`, the bucket `vagn-SET` | `$KV.vagn-SET.assignment`, `$KV.vagn-SET.trail` |
//! | the registry | `KV_vagn-SET_registry`, the bucket `vagn-SET_registry` | `$KV.vagn-SET_registry.KIND.KEY` |
//! | to a node, to all | | `vagn.SET.to.NODE.FROM`, `vagn.SET.all.FROM` |
//! | to a node's desk and door, to all | | `vagn.SET.desk.NODE.FROM`, `vagn.SET.desk.all.FROM` |

use vagn_cluster::{NodeId, RecordKey, StreamId};

/// Names of one data set.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    set: String,
}

impl Names {
    /// Takes the name of a data set that was checked.
    pub(crate) fn new(set: String) -> Self {
        Self { set }
    }

    pub(crate) fn stream(&self, stream: StreamId) -> String {
        match is_trail(stream) {
            true => format!("vagn-{}-trail-{}", self.set, stream.epoch),
            false => format!("vagn-{}-{}-{}", self.set, stream.shard.0, stream.epoch),
        }
    }

    pub(crate) fn subject(&self, stream: StreamId) -> String {
        match is_trail(stream) {
            true => format!("vagn.{}.trail.{}", self.set, stream.epoch),
            false => format!("vagn.{}.shard.{}.{}", self.set, stream.shard.0, stream.epoch),
        }
    }

    /// Returns the subjects of all shards' streams.
    pub(crate) fn subjects(&self) -> String {
        format!("vagn.{}.shard.>", self.set)
    }

    /// Returns the subjects of the trail's streams.
    pub(crate) fn trails(&self) -> String {
        format!("vagn.{}.trail.>", self.set)
    }

    /// Returns name and subject of a stream that is made to find out how much room there is, and removed.
    pub(crate) fn trial(&self, token: u64) -> (String, String) {
        (format!("vagn-{}-room-{token:x}", self.set), format!("vagn.{}.room.{token:x}", self.set))
    }

    pub(crate) fn bucket(&self) -> String {
        format!("KV_vagn-{}", self.set)
    }

    pub(crate) fn records(&self) -> String {
        format!("$KV.vagn-{}.>", self.set)
    }

    pub(crate) fn record(&self, key: RecordKey) -> String {
        let key = match key {
            RecordKey::Assignment => "assignment",
            RecordKey::Trail => "trail",
        };
        format!("$KV.vagn-{}.{key}", self.set)
    }

    /// Returns the stream of the registry. No data set has `_` in its name, so none can be called so.
    pub(crate) fn registry(&self) -> String {
        format!("KV_vagn-{}_registry", self.set)
    }

    /// Returns the beginning of the subjects of the registry.
    pub(crate) fn registry_prefix(&self) -> String {
        format!("$KV.vagn-{}_registry.", self.set)
    }

    pub(crate) fn to(&self, node: NodeId, from: NodeId) -> String {
        format!("vagn.{}.to.{:x}.{:x}", self.set, node.0, from.0)
    }

    pub(crate) fn to_me(&self, me: NodeId) -> String {
        format!("vagn.{}.to.{:x}.*", self.set, me.0)
    }

    pub(crate) fn all(&self, from: NodeId) -> String {
        format!("vagn.{}.all.{:x}", self.set, from.0)
    }

    pub(crate) fn to_all(&self) -> String {
        format!("vagn.{}.all.*", self.set)
    }

    pub(crate) fn desk(&self, node: NodeId, from: NodeId) -> String {
        format!("vagn.{}.desk.{:x}.{:x}", self.set, node.0, from.0)
    }

    /// Returns the subject of messages to all desks. No node is called so: their names are hexadecimal here.
    pub(crate) fn desks(&self, from: NodeId) -> String {
        format!("vagn.{}.desk.all.{:x}", self.set, from.0)
    }

    pub(crate) fn to_desks(&self) -> String {
        format!("vagn.{}.desk.all.*", self.set)
    }

    pub(crate) fn my_desk(&self, me: NodeId) -> String {
        format!("vagn.{}.desk.{:x}.*", self.set, me.0)
    }
}

/// Returns true for a stream of the trail, and for no shard's.
pub(crate) fn is_trail(stream: StreamId) -> bool {
    stream == StreamId::trail(stream.epoch)
}

/// Reads the sender in the subject of a message between nodes.
pub(crate) fn sender(subject: &str) -> Option<NodeId> {
    let last = subject.rsplit('.').next()?;
    u64::from_str_radix(last, 16).ok().map(NodeId)
}

#[cfg(test)]
mod tests {
    use vagn_cluster::ShardId;

    use super::*;

    #[test]
    fn a_name_says_where_it_belongs() {
        let names = Names::new("buses".into());
        let stream = StreamId { shard: ShardId(7), epoch: 2 };
        assert_eq!(
            (&*names.stream(stream), &*names.subject(stream)),
            ("vagn-buses-7-2", "vagn.buses.shard.7.2")
        );
        assert_eq!(names.record(RecordKey::Assignment), "$KV.vagn-buses.assignment");
        assert_eq!(names.record(RecordKey::Trail), "$KV.vagn-buses.trail");
        let trail = StreamId::trail(2);
        assert_eq!(
            (&*names.stream(trail), &*names.subject(trail)),
            ("vagn-buses-trail-2", "vagn.buses.trail.2")
        );
    }

    #[test]
    fn the_sender_is_read_from_the_subject() {
        let names = Names::new("buses".into());
        assert_eq!(sender(&names.to(NodeId(1), NodeId(0xfe))), Some(NodeId(0xfe)));
        assert_eq!(sender(&names.all(NodeId(u64::MAX))), Some(NodeId(u64::MAX)));
        assert_eq!(sender(&names.desk(NodeId(2), NodeId(0xa))), Some(NodeId(0xa)));
        assert_eq!(sender("vagn.buses.all.x"), None);
    }
}
