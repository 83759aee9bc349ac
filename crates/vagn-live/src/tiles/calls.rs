//! Vehicles that call for help, looked up once per tick for all tiles.

use vagn_store::{Fleet, NotReady, VehicleIdBuf};
use vagn_wire::Position;

use super::bin;
use crate::mercator::{Cell, Tile, grid};

/// Ids of vehicles with an open incident.
#[derive(Debug, Clone, Default)]
pub struct OpenVehicles {
    /// Those with a real one.
    pub real: Vec<VehicleIdBuf>,
    /// Those with a drill.
    pub drills: Vec<VehicleIdBuf>,
}

/// Tells which vehicles have an open incident. Bounded by what may be open at a time.
pub trait OpenIncidents: Send + Sync {
    /// Returns the vehicles.
    fn vehicles(&self) -> OpenVehicles;
}

/// The open incidents of one tick.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// By the hash of the key; the same vehicle may be in it twice.
    calls: Vec<Call>,
    /// Cell and position of the vehicles with a real one, by cell; each vehicle once.
    real: Vec<(Cell, Position)>,
}

#[derive(Debug)]
struct Call {
    hash: u64,
    id: VehicleIdBuf,
    flag: u8,
}

impl Calls {
    /// Looks up the places of the vehicles.
    pub(crate) fn find(open: &OpenVehicles, fleet: &Fleet) -> Result<Self, NotReady> {
        let real = open.real.iter().map(|id| (id, bin::REAL));
        let all = real.chain(open.drills.iter().map(|id| (id, bin::DRILL)));
        let mut calls: Vec<Call> =
            all.map(|(id, flag)| Call { hash: id.key().hash(), id: *id, flag }).collect();
        calls.sort_unstable_by_key(|call| (call.hash, call.flag, call.id));
        calls.dedup_by_key(|call| (call.id, call.flag));
        let mut places = Vec::new();
        for call in calls.iter().filter(|call| call.flag == bin::REAL) {
            // A vehicle that calls and has sent no position yet is not on the map.
            let found = fleet.get(call.id.key())?;
            let position = found.map(|found| found.sighting.position);
            places.extend(position.map(|position| (grid().cell(position), position)));
        }
        places.sort_unstable_by_key(|(cell, _)| *cell);
        Ok(Self { calls, real: places })
    }

    /// Returns the flags of a vehicle, as in a binary tile.
    pub(crate) fn flags(&self, id: &str, hash: u64) -> u8 {
        let first = self.calls.partition_point(|call| call.hash < hash);
        let same = self.calls[first..].iter().take_while(|call| call.hash == hash);
        same.filter(|call| call.id.as_str() == id).fold(0, |flags, call| flags | call.flag)
    }

    /// Returns cell and position of the vehicles with a real incident in a tile.
    pub(crate) fn within(&self, tile: Tile) -> &[(Cell, Position)] {
        let z = tile.zoom();
        let number = tile.number();
        let first = self.real.partition_point(|(cell, _)| cell.at(z) < number);
        let end = self.real.partition_point(|(cell, _)| cell.at(z) <= number);
        &self.real[first..end]
    }
}
