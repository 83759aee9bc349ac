//! Counts of sealed vehicles that left, under keys that are over: nothing opens what was sealed under these, so nobody needs
//! to know it again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use vagn_otp::Addr;
use vagn_seal::KeyTable;
use vagn_store::{Fleet, KeyTag};

use crate::storage::{ForgetKeys, Storage};

/// Longest time between two looks: a key may have been revoked before its vehicle left, or while no service ran.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// Shortest time between two looks. Each goes through all keys and counts.
const PAUSE: Duration = Duration::from_secs(10);

/// Pause where a partition is missing, as at a start.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Has counts forgotten whose keys are over.
#[derive(Clone)]
pub struct DepartedKeys {
    fleet: Arc<Fleet>,
    storages: Arc<[Addr<Storage>]>,
    /// The next look without a reason, and the first one for which a reason is enough; on the monotonic clock.
    next: Duration,
    earliest: Duration,
    has_reason: bool,
}

impl DepartedKeys {
    /// Looks at these partitions.
    pub fn new(fleet: Arc<Fleet>, storages: Arc<[Addr<Storage>]>) -> Self {
        Self { fleet, storages, next: Duration::ZERO, earliest: Duration::ZERO, has_reason: false }
    }

    /// Has counts forgotten if it is time, and soon if keys were revoked. Where a partition is missing, or does not listen, it is done
    /// later.
    pub(super) fn forget_due(&mut self, now: Duration, has_reason: bool, keys: &KeyTable, beat: &dyn Fn()) {
        self.has_reason |= has_reason;
        if now < self.earliest || (now < self.next && !self.has_reason) {
            return;
        }
        let over = keys_over(&self.fleet, keys, beat);
        self.earliest = now + if over.is_some() { PAUSE } else { TRY_AGAIN };
        let Some(over) = over else { return };
        let over = Arc::new(over);
        let is_told = |storage: &Addr<Storage>| storage.try_tell(ForgetKeys(over.clone())).is_ok();
        if over.is_empty() || self.storages.iter().all(is_told) {
            (self.next, self.has_reason) = (now + LOOK_EVERY, false);
        }
    }
}

/// Returns the keys under which counts are kept, and of which none is in force. `None` while a partition is missing.
fn keys_over(fleet: &Fleet, keys: &KeyTable, beat: &dyn Fn()) -> Option<HashSet<KeyTag>> {
    let mut over = HashSet::new();
    let visited = fleet.visit_departed_keys(|key| {
        over.insert(key);
        beat();
    });
    visited.ok()?;
    if !over.is_empty() {
        // By the tag, as counts have no more of a key: one that two keys have in common counts as in force.
        keys.visit(|key_id| {
            over.remove(&KeyTag::of_key_id(key_id.0));
        });
    }
    beat();
    Some(over)
}

#[cfg(test)]
mod tests {
    use vagn_seal::{Epoch, KeyId, KeyInForce, Secret, Speaker};
    use vagn_store::{Evidence, Index, Key, Plan, Seal, Sighting, Updates, Writer};
    use vagn_wire::{Position, Report, VehicleId};

    use super::*;

    #[test]
    fn keys_are_over_that_have_counts_and_are_not_in_force() {
        let (table, mut writer, mut updates) =
            (KeyTable::default(), Writer::new(Index::new(9)), Updates::new());
        let ids = ["a", "b", "c"];
        for (number, id) in (1..).zip(ids) {
            let vehicle_id = VehicleId::new(id).unwrap();
            let report = Report { seq: Some(5), ..Report::new(vehicle_id, Position::new(1.0, 1.0).unwrap()) };
            let (sighting, _) = Sighting::of(&report, report.position.unwrap(), 1, u64::from(number));
            let seal = Some(Seal { key: KeyTag::of_key_id([number; 8]), more: false });
            let evidence = Evidence { seal, ..Evidence::default() };
            updates.push_with(Key::of(vehicle_id), Key::of(vehicle_id).hash(), sighting, evidence);
        }
        writer.write(&updates, &mut Plan::default());
        // The third one is still there.
        ids[..2].iter().for_each(|id| assert!(writer.change(|index| index.remove(Key::Text(id)))));
        let put = |number| {
            let secret = Secret::from_base64(&format!("{}=", "A".repeat(43))).unwrap();
            let epochs = &[(Epoch::FIRST, secret)];
            let speaker = Speaker::Vehicle(VehicleId::new("a").unwrap());
            assert!(table.put(&KeyInForce { key_id: KeyId([number; 8]), speaker, epochs }));
        };
        put(1);
        let fleet = Fleet::new(1);
        assert_eq!(keys_over(&fleet, &table, &|| ()), None, "nobody knows what a missing partition has");
        fleet.set(0, Some(writer.reader()));
        let tag = |number| KeyTag::of_key_id([number; 8]);
        assert_eq!(keys_over(&fleet, &table, &|| ()), Some([tag(2)].into()));
        table.revoke(KeyId([1; 8]));
        assert_eq!(keys_over(&fleet, &table, &|| ()), Some([tag(1), tag(2)].into()));
    }
}
