//! The shard of each vehicle.

use vagn_cluster::ShardId;
use vagn_store::{Key, VehicleIdBuf};

/// Returns the number of the shard, of so many, that holds a vehicle: what [`vagn_store::Fleet::placed`] asks for.
pub fn shard_of(key: Key<'_>, shards: usize) -> usize {
    // There are at most `SHARDS_MAX` of them.
    let shards = u16::try_from(shards).unwrap_or(u16::MAX);
    let shard = match key {
        Key::Text(text) => ShardId::of_vehicle(text.as_bytes(), shards),
        Key::Uuid(_) => ShardId::of_vehicle(VehicleIdBuf::from(key).as_bytes(), shards),
    };
    usize::from(shard.0)
}

#[cfg(test)]
mod tests {
    use vagn_wire::VehicleId;

    use super::*;

    #[test]
    fn is_that_of_the_id_as_it_was_sent() {
        for id in [
            "bus-7",
            "4e091396-62ae-4f3b-8715-7b4fc9c64d14",
            "4E091396-62AE-4F3B-8715-7B4FC9C64D14",
            "車両一",
        ] {
            let shard = ShardId::of_vehicle(id.as_bytes(), 256);
            assert_eq!(shard_of(Key::of(VehicleId::new(id).unwrap()), 256), usize::from(shard.0), "{id}");
        }
    }
}
