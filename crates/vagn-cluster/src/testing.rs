//! A small state, and entries, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use vagn_wire::Fate;

use crate::bytes::{Reader, Write};
use crate::entry::{BatchWriter, Tick};
use crate::event::LogRecord;
use crate::hash::hash;
use crate::ids::{BatchId, DoorId, NodeId, ShardId};
use crate::state::{Change, Damaged, NewChange, Place, ShardState};

pub(crate) const NOW: i64 = 1_800_000_000_000;

/// Age at which a vehicle is forgotten.
const KEPT_MS: i64 = 300_000;

/// Last order number and arrival of each vehicle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Places {
    vehicles: BTreeMap<Vec<u8>, (u64, i64)>,
    refuses: bool,
}

impl Places {
    pub(crate) fn orders(&self, vehicle: &str) -> u64 {
        self.vehicles[vehicle.as_bytes()].0
    }

    pub(crate) fn arrival_ms(&self, vehicle: &str) -> i64 {
        self.vehicles[vehicle.as_bytes()].1
    }

    pub(crate) fn len(&self) -> usize {
        self.vehicles.len()
    }

    pub(crate) fn refuse_all(&mut self) {
        self.refuses = true;
    }
}

impl ShardState for Places {
    fn begin(_: ShardId, _: &[u8]) -> Self {
        Self::default()
    }

    fn apply(&mut self, place: Place, change: Change<'_>) -> Fate {
        match change {
            _ if self.refuses => return Fate::Stale,
            Change::Report { vehicle_id: b"beyond", .. } => return Fate::Shed,
            Change::Report { vehicle_id, .. } => {
                self.vehicles.insert(vehicle_id.to_vec(), (place.order, place.arrival_ms));
            }
            Change::Deletion { vehicle_id } => {
                self.vehicles.remove(vehicle_id);
            }
            Change::Setting { .. } => {}
        }
        Fate::Stored
    }

    fn tick(&mut self, time_ms: i64) {
        self.vehicles.retain(|_, (_, arrival_ms)| *arrival_ms > time_ms - KEPT_MS);
    }

    fn content_hash(&self) -> u64 {
        self.vehicles.iter().fold(0, |sum, (id, (order, arrival_ms))| {
            sum.wrapping_add(hash(&[id, &order.to_le_bytes(), &arrival_ms.to_le_bytes()]))
        })
    }

    fn write_snapshot(&self, out: &mut Vec<u8>) {
        for (id, (order, arrival_ms)) in &self.vehicles {
            out.put_long(id);
            out.put_u64(*order);
            out.put_i64(*arrival_ms);
        }
    }

    fn read_snapshot(_: ShardId, bytes: &[u8]) -> Result<Self, Damaged> {
        let (mut reader, mut read) = (Reader::new(bytes), Self::default());
        while !reader.rest().is_empty() {
            let id = reader.long(64)?.to_vec();
            read.vehicles.insert(id, (reader.u64()?, reader.i64()?));
        }
        Ok(read)
    }

    fn answer(&self, question: &[u8], out: &mut Vec<u8>) {
        match self.vehicles.get(question) {
            Some((order, _)) => out.put_u64(*order),
            None if question == b"large" => out.resize(600 << 10, 7),
            None => {}
        }
    }
}

/// A stream as it was stored.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) epoch: u32,
    pub(crate) records: Vec<LogRecord>,
}

impl Log {
    pub(crate) fn new(epoch: u32) -> Self {
        Self { epoch, records: Vec::new() }
    }

    pub(crate) fn push(&mut self, bytes: Vec<u8>, time_ms: i64) -> &mut Self {
        let sequence = self.records.len() as u64 + 1;
        self.records.push(LogRecord { sequence, time_ms, bytes: Arc::from(bytes) });
        self
    }

    pub(crate) fn batch(&mut self, number: u64, vehicles: &[&str]) -> &mut Self {
        self.batch_at(number, vehicles, NOW)
    }

    pub(crate) fn batch_at(&mut self, number: u64, vehicles: &[&str], arrival_ms: i64) -> &mut Self {
        self.batch_between(number, vehicles, arrival_ms, arrival_ms)
    }

    /// Reports that came to a door at the one time and to a broker at the other.
    pub(crate) fn batch_between(
        &mut self,
        number: u64,
        vehicles: &[&str],
        arrival_ms: i64,
        broker_ms: i64,
    ) -> &mut Self {
        let mut writer = BatchWriter::new(self.epoch, batch_id(number));
        assert!(vehicles.iter().all(|vehicle| writer.push(&report(vehicle, arrival_ms))));
        self.push(writer.finish(), broker_ms)
    }

    pub(crate) fn tick(&mut self, wall_ms: i64, broker_ms: i64) -> &mut Self {
        self.push(tick(wall_ms).write(self.epoch), broker_ms)
    }

    pub(crate) fn at(&self, sequence: u64) -> &LogRecord {
        &self.records[sequence as usize - 1]
    }

    pub(crate) fn behind(&self, sequence: u64) -> impl Iterator<Item = &LogRecord> {
        self.records.iter().filter(move |record| record.sequence > sequence)
    }
}

/// A tick whose writer compares nothing.
pub(crate) fn tick(wall_ms: i64) -> Tick {
    Tick { node: NodeId(9), wall_ms, sequence: 0, running_hash: 0, tick_sequence: 0, content_hash: 0 }
}

pub(crate) fn batch_id(number: u64) -> BatchId {
    BatchId { door: DoorId { node: NodeId(1), born_ms: NOW, random: 1 }, number }
}

pub(crate) fn report(vehicle: &str, arrival_ms: i64) -> NewChange {
    NewChange::Report { vehicle_id: vehicle.as_bytes().to_vec(), arrival_ms, fields: vec![1, 2, 3] }
}
