//! A small state: the order numbers of vehicles.

use std::collections::BTreeMap;

use vagn_cluster::{Change, Damaged, NewChange, Place, ShardId, ShardState, hash};
use vagn_wire::Fate;

/// Order number of the last report of each vehicle.
#[derive(Clone, Default)]
pub(crate) struct Orders {
    vehicles: BTreeMap<Vec<u8>, u64>,
}

/// Bytes of the answer to the question `long`, for each shard.
pub(crate) const LONG: usize = 700 << 10;

impl Orders {
    pub(crate) fn has(&self, vehicle: &str) -> bool {
        self.vehicles.contains_key(vehicle.as_bytes())
    }
}

impl ShardState for Orders {
    fn begin(_: ShardId, _: &[u8]) -> Self {
        Self::default()
    }

    fn apply(&mut self, place: Place, change: Change<'_>) -> Fate {
        match change {
            Change::Report { vehicle_id, .. } => drop(self.vehicles.insert(vehicle_id.to_vec(), place.order)),
            Change::Deletion { vehicle_id } => drop(self.vehicles.remove(vehicle_id)),
            Change::Setting { .. } => {}
        }
        Fate::Stored
    }

    fn tick(&mut self, _: i64) {}

    fn content_hash(&self) -> u64 {
        let rows = self.vehicles.iter().map(|(id, order)| hash(&[id, &order.to_le_bytes()]));
        rows.fold(0, u64::wrapping_add)
    }

    fn write_snapshot(&self, out: &mut Vec<u8>) {
        for (id, order) in &self.vehicles {
            out.push(id.len() as u8);
            out.extend(id);
            out.extend(order.to_le_bytes());
        }
    }

    fn read_snapshot(_: ShardId, mut bytes: &[u8]) -> Result<Self, Damaged> {
        let mut read = Self::default();
        while let Some((len, rest)) = bytes.split_first() {
            let (id, rest) = rest.split_at_checked(usize::from(*len)).ok_or(Damaged)?;
            let (order, rest) = rest.split_first_chunk().ok_or(Damaged)?;
            read.vehicles.insert(id.to_vec(), u64::from_le_bytes(*order));
            bytes = rest;
        }
        Ok(read)
    }

    fn answer(&self, question: &[u8], out: &mut Vec<u8>) {
        match question {
            b"long" => out.resize(LONG, 7),
            b"count" => out.extend((self.vehicles.len() as u64).to_le_bytes()),
            _ => {}
        }
    }
}

pub(crate) fn report(vehicle: &str) -> NewChange {
    NewChange::Report {
        vehicle_id: vehicle.as_bytes().to_vec(),
        arrival_ms: crate::rig::now_ms(),
        fields: vec![7; 40],
    }
}
