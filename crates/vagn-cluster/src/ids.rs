//! Names of nodes, shards, streams, doors and batches; moments; and how they become numbers.

use std::fmt;

use crate::hash::hash;

/// Most shards of a data set.
pub const SHARDS_MAX: u16 = 256;

/// Most changes in one message, hence in one entry: an order number keeps twelve bits for the index.
pub const CHANGES_MAX: usize = 4_096;

/// A moment by both clocks of a node. The driver reads them once for each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Milliseconds since any moment before the start of this run. It never goes back while the run lasts. All waits go by it.
    pub elapsed_ms: u64,
    /// Milliseconds since 1970 by the wall clock, which can be wrong and can jump. It only goes into ticks and names.
    pub wall_ms: i64,
}

/// Number of a node, the same over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Makes the number of a node with this name. Two names with one number are found out by their heartbeats.
    pub fn of_name(name: &str) -> Self {
        Self(hash(&[name.as_bytes()]))
    }
}

/// Number of a shard, below the number of shards of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// Returns the shard of a vehicle. It is the same on all nodes and in all versions.
    pub fn of_vehicle(vehicle_id: &[u8], shards: u16) -> Self {
        // The remainder is below `shards`.
        Self((hash(&[vehicle_id]) % u64::from(shards.max(1))) as u16)
    }
}

/// A stream at the brokers. Each epoch of a shard, or of the trail, has one of its own, which is made once and never again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The shard whose changes it carries; of the trail's stream, a number that no shard has.
    pub shard: ShardId,
    /// Epoch of the shard: 1 at first, one more after each repair.
    pub epoch: u32,
}

impl StreamId {
    /// Returns the stream of an epoch of the trail. It has a number that no shard has, since there are no more than [`SHARDS_MAX`].
    pub const fn trail(epoch: u32) -> Self {
        Self { shard: ShardId(u16::MAX), epoch }
    }
}

/// Creation of a stream at the brokers, by the time that they keep of it in ns. A stream that was deleted and made anew under its name
/// has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A sender of batches to one shard. Each run of a node has new ones, so numbers of batches never begin anew under an old name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DoorId {
    /// The node, to which fates are sent.
    pub node: NodeId,
    /// Time at which the door took this name, ms since 1970.
    pub born_ms: i64,
    /// Number drawn by chance.
    pub random: u64,
}

/// A batch of a door: what is published again after a doubt has the same name, and is stored once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The sender.
    pub door: DoorId,
    /// 1 for the first batch of a door to a shard, then one more each time.
    pub number: u64,
}

impl fmt::Display for BatchId {
    /// Writes the message id of the batch at the brokers, at most 73 bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DoorId { node, born_ms, random } = self.door;
        write!(f, "{:x}-{born_ms:x}-{random:x}-{}", node.0, self.number)
    }
}

/// Returns the order number of a change: the number by which it is named outside of a shard.
///
/// `base` is the epoch's: it lies above every number before. `sequence` is that of the message in its stream, `index` the place
/// of the change in the message, below [`CHANGES_MAX`].
pub fn order_number(base: u64, sequence: u64, index: u16) -> u64 {
    base + (sequence << 12 | u64::from(index))
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);
    )*};
}

numbers! {
    /// A publish of this run. The node makes it, the driver gives it back with the outcome.
    PublishId;
    /// A subscription of this run. The node makes it, the driver gives it back with each message.
    SubscriptionId;
    /// A read of a stream's figures in this run. The node makes it, the driver gives it back with the outcome.
    ReadId;
    /// A group of changes that a reporter waits for. The driver makes it, the node gives it back with the fates.
    Ticket;
    /// A question about the fleet. The driver makes it, the node gives it back with the answer.
    QueryId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_rise_with_sequence_and_index() {
        let base = 1_800_000_000_000_000_000;
        let last = order_number(base, 7, (CHANGES_MAX - 1) as u16);
        assert_eq!(last + 1, order_number(base, 8, 0));
        assert_eq!(order_number(base, 0, 3), base + 3);
    }

    #[test]
    fn vehicles_spread_evenly_and_stay_in_their_shards() {
        let mut counts = [0; 8];
        for vehicle in 0..80_000 {
            counts[usize::from(ShardId::of_vehicle(format!("bus-{vehicle}").as_bytes(), 8).0)] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        // The shards of stored data: a change would look for vehicles where they are not.
        assert_eq!(ShardId::of_vehicle(b"bus-7", 256), ShardId(58));
    }

    #[test]
    fn a_message_id_is_short_at_its_longest() {
        let door = DoorId { node: NodeId(u64::MAX), born_ms: -1, random: u64::MAX };
        assert_eq!(BatchId { door, number: u64::MAX }.to_string().len(), 16 * 3 + 3 + 20);
    }
}
