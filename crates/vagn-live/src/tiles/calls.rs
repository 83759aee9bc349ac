//! Vehicles that call for help, looked up once per tick for all tiles.

use vagn_store::{Fleet, Key, NotReady, VehicleIdBuf};

use super::bin;
use crate::mercator::{Cell, grid};

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
    /// Cells of the vehicles with a real one, in order; each vehicle once.
    real: Vec<Cell>,
}

#[derive(Debug)]
struct Call {
    hash: u64,
    id: VehicleIdBuf,
    flag: u8,
}

impl Calls {
    /// Looks up where the vehicles are.
    pub(crate) fn find(open: &OpenVehicles, fleet: &Fleet) -> Result<Self, NotReady> {
        let real = open.real.iter().map(|id| (id, bin::REAL));
        let all = real.chain(open.drills.iter().map(|id| (id, bin::DRILL)));
        let mut calls: Vec<Call> =
            all.map(|(id, flag)| Call { hash: id.key().hash(), id: *id, flag }).collect();
        calls.sort_unstable_by_key(|call| (call.hash, call.flag, call.id));
        calls.dedup_by_key(|call| (call.id, call.flag));
        let mut cells = Vec::new();
        for call in calls.iter().filter(|call| call.flag == bin::REAL) {
            // A vehicle that calls and has sent no position yet is not on the map.
            let found = fleet.get(call.id.key())?;
            cells.extend(found.map(|found| grid().cell(found.sighting.position)));
        }
        cells.sort_unstable();
        Ok(Self { calls, real: cells })
    }

    /// Returns true when no vehicle has an open incident.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the flags of a vehicle, as in a binary tile.
    #[inline]
    pub(crate) fn flags(&self, key: Key<'_>, hash: u64) -> u8 {
        if self.calls.is_empty() {
            return 0;
        }
        let first = self.calls.partition_point(|call| call.hash < hash);
        let same = self.calls[first..].iter().take_while(|call| call.hash == hash);
        same.filter(|call| call.id.key() == key).fold(0, |flags, call| flags | call.flag)
    }

    /// Counts the vehicles with a real incident in the cell of this number and level.
    pub(crate) fn count(&self, cell: u32, level: u8) -> u32 {
        let first = self.real.partition_point(|at| at.at(level) < cell);
        let end = self.real.partition_point(|at| at.at(level) <= cell);
        (end - first) as u32
    }
}
