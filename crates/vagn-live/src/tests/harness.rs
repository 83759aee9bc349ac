//! A fleet on disks in memory, which tells its changes as the storages do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::clock::{Clock, ManualClock};
use vagn_flow::metrics::MetricRegistry;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{
    Changes, Fleet, Forget, Key, OrderNumber, Partition, Settings, Sighting, Updates, partition,
};
use vagn_wire::{Position, VehicleId};

use crate::tiles::{OpenIncidents, OpenVehicles, TileParts, Tiles};
use crate::{Positions, TileMetrics};

/// Time at which the tests begin, in ms.
pub(super) const NOW_MS: i64 = 1_790_000_000_000;

pub(super) fn at(lat: f64, lon: f64) -> Position {
    Position::new(lat, lon).unwrap()
}

/// Vehicles that call for help, as the test says.
#[derive(Default)]
pub(super) struct Incidents(pub(super) Mutex<OpenVehicles>);

impl OpenIncidents for Incidents {
    fn vehicles(&self) -> OpenVehicles {
        self.0.lock().clone()
    }
}

struct Shard {
    disk: FaultyDisk,
    partition: Partition,
    begun: OrderNumber,
}

/// The fleet, and the tiles of it.
pub(super) struct World {
    pub(super) clock: Arc<ManualClock>,
    pub(super) positions: Positions,
    pub(super) fleet: Arc<Fleet>,
    pub(super) incidents: Arc<Incidents>,
    pub(super) registry: Arc<MetricRegistry>,
    shards: Vec<Shard>,
    reports: u64,
}

impl World {
    pub(super) fn new(partitions: u32) -> Self {
        let fleet = Arc::new(Fleet::new(partitions as usize));
        let positions = Positions::new("positions");
        let shards = (0..partitions).map(|number| open(FaultyDisk::new(), number, NOW_MS)).collect();
        let world = Self {
            clock: Arc::new(ManualClock::at(NOW_MS)),
            positions,
            fleet,
            incidents: Arc::default(),
            registry: MetricRegistry::new(),
            shards,
            reports: 0,
        };
        (0..partitions).for_each(|number| world.present(number));
        world
    }

    pub(super) fn tiles(&self) -> Arc<Tiles> {
        let parts = TileParts {
            positions: self.positions.clone(),
            fleet: self.fleet.clone(),
            incidents: self.incidents.clone(),
            clock: self.clock.clone(),
            metrics: TileMetrics::new(&self.registry),
        };
        Tiles::new(parts, 0).0
    }

    fn present(&self, number: u32) {
        let shard = &self.shards[number as usize];
        self.tell(Changes::untold(number, shard.begun, shard.begun));
        self.fleet.set(number as usize, Some(shard.partition.reader()));
    }

    fn tell(&self, changes: Changes) {
        if self.positions.is_followed() {
            self.positions.publish(&Arc::new(changes));
        }
    }

    /// Stores a position of each vehicle, a second after the ones before.
    pub(super) fn report(&mut self, places: &[(&str, Position)]) {
        self.clock.advance(Duration::from_secs(1));
        let now_ms = self.clock.now_ms();
        let mut batches = vec![Updates::new(); self.shards.len()];
        for (id, position) in places {
            self.reports += 1;
            let key = Key::of(VehicleId::new(id).unwrap());
            let batch = &mut batches[partition(key.hash(), self.shards.len())];
            batch.push(key, key.hash(), sighting(*position, now_ms, self.reports));
        }
        for (number, updates) in (0..).zip(batches).filter(|(_, updates)| !updates.is_empty()) {
            self.write(number, updates);
        }
    }

    pub(super) fn write(&mut self, number: u32, updates: Updates) {
        let is_followed = self.positions.is_followed();
        let shard = &mut self.shards[number as usize];
        let (mut fates, mut moves) = (Vec::new(), Vec::new());
        let written = shard.partition.write_and_tell(&updates, &mut fates, &mut moves).unwrap();
        let changes = Changes::untold(number, shard.begun, written.end);
        // One that came meanwhile is told that it has missed something.
        self.tell(if is_followed { changes.with_moves(updates, moves) } else { changes });
    }

    pub(super) fn delete(&mut self, id: &str) {
        let key = Key::of(VehicleId::new(id).unwrap());
        let number = partition(key.hash(), self.shards.len());
        let shard = &mut self.shards[number];
        let gone = shard.partition.delete(key).unwrap();
        let changes = Changes::untold(number as u32, shard.begun, shard.partition.end());
        self.tell(changes.with_gone(gone.into_iter().collect()));
    }

    /// Forgets the vehicles that have not reported for so many seconds.
    pub(super) fn forget(&mut self, after_s: i64) {
        let now_ms = self.clock.now_ms();
        let command = Forget { before_ms: now_ms - after_s * 1_000, now_ms };
        for number in 0..self.shards.len() {
            loop {
                let shard = &mut self.shards[number];
                let forgotten = shard.partition.forget(command).unwrap();
                let changes = Changes::untold(number as u32, shard.begun, shard.partition.end());
                self.tell(changes.with_gone(forgotten.vehicles));
                if !forgotten.more {
                    break;
                }
            }
        }
    }

    /// Opens a partition anew, as after a crash of its storage.
    pub(super) fn restart(&mut self, number: u32) {
        self.fleet.set(number as usize, None);
        let disk = self.shards[number as usize].disk.restart(Loss::Nothing);
        self.shards[number as usize] = open(disk, number, self.clock.now_ms());
        self.present(number);
    }

    /// Takes a partition away.
    pub(super) fn take_away(&self, number: u32) {
        self.fleet.set(number as usize, None);
    }

    /// Tells that something was not told.
    pub(super) fn keep_silent(&self, number: u32) {
        let shard = &self.shards[number as usize];
        self.tell(Changes::untold(number, shard.begun, shard.partition.end()));
    }
}

fn open(disk: FaultyDisk, number: u32, now_ms: i64) -> Shard {
    let dir = Path::new("/data");
    let shared = Arc::new(disk.clone());
    let (partition, _) = Partition::open(shared, dir, number, Settings::default(), now_ms, &|_| ()).unwrap();
    let begun = partition.end();
    Shard { disk, partition, begun }
}

fn sighting(position: Position, now_ms: i64, receive_seq: u64) -> Sighting {
    Sighting {
        position,
        event_time_ms: now_ms - 200,
        receive_time_ms: now_ms,
        receive_seq,
        seq: None,
        speed_mps: Some(12.4),
        heading_deg: Some(271.26),
        emergency: false,
        own_time: true,
        unsure: false,
    }
}
