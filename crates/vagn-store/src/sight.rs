//! The two forms in which a caller sees the fleet: exactly, or coarse.

use std::ops::ControlFlow;

use vagn_wire::Position;

use crate::{BBox, Fleet, Found, Hit, Key, Nearby, NotReady, Reader, Sighting, Vehicle, coarse};

/// The form in which a caller sees the fleet. Whatever is shown in a form is found, counted and ordered by it too: a search
/// through exact places would tell by its answers what the places in them hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sight {
    /// Everything as it was sent.
    Exact,
    /// Places on a grid of 0.001°, times to 10 s, and nothing else: no speed, heading or emergency.
    Coarse,
}

impl Sight {
    /// Returns the place as it is seen.
    #[inline]
    pub fn place(self, position: Position) -> Position {
        match self {
            Self::Exact => position,
            Self::Coarse => coarse::place(position),
        }
    }

    /// Returns the sighting as it is seen.
    #[inline]
    pub fn sighting(self, sighting: Sighting) -> Sighting {
        match self {
            Self::Exact => sighting,
            Self::Coarse => coarse::sighting(sighting),
        }
    }

    /// Returns the vehicle as it is seen.
    #[inline]
    pub fn vehicle(self, vehicle: Vehicle) -> Vehicle {
        Vehicle { sighting: self.sighting(vehicle.sighting), ..vehicle }
    }

    /// Returns boxes that together have all vehicles which are seen in `bbox`, and perhaps some others.
    pub fn sources(self, bbox: &BBox) -> Vec<BBox> {
        match self {
            Self::Exact => vec![*bbox],
            Self::Coarse => coarse::sources(bbox),
        }
    }

    /// Visits the vehicles of a partition that are seen in a box, as they are seen; else as [`Reader::visit_box`].
    #[inline]
    pub fn visit_box(
        self,
        reader: &Reader,
        bbox: &BBox,
        visit: &mut impl FnMut(&Found<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        match self {
            Self::Exact => reader.visit_box(bbox, visit),
            Self::Coarse => coarse::visit_box(reader, bbox, visit),
        }
    }

    /// Returns the nearest vehicles as they are seen; else as [`Fleet::nearby`].
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn nearby(self, fleet: &Fleet, nearby: &Nearby) -> Result<Vec<Hit>, NotReady> {
        match self {
            Self::Exact => fleet.nearby(nearby),
            Self::Coarse => fleet.nearby_coarse(nearby),
        }
    }

    /// Returns up to `limit` vehicles in a box as they are seen. Exact ones are in no particular order; coarse ones in that of
    /// place and id, because any other would tell more than the places do.
    ///
    /// # Errors
    /// [`NotReady`] while a partition is missing.
    pub fn bbox(self, fleet: &Fleet, bbox: &BBox, limit: usize) -> Result<Vec<Vehicle>, NotReady> {
        match self {
            Self::Exact => fleet.bbox(bbox, limit),
            Self::Coarse => Ok(coarse::inside(&fleet.readers()?, bbox, limit)),
        }
    }

    /// Returns a vehicle by its id, as it is seen.
    ///
    /// # Errors
    /// [`NotReady`] while the partition that would have it is missing.
    pub fn get(self, fleet: &Fleet, key: Key<'_>) -> Result<Option<Vehicle>, NotReady> {
        Ok(fleet.get(key)?.map(|vehicle| self.vehicle(vehicle)))
    }
}
