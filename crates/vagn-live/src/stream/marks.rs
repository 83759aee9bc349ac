//! Marks of a channel: the vehicles that its clients have to be told of.
//!
//! Marks gather in a set, so that a vehicle is told of once however often it moved. A round takes what has gathered and tells it
//! in as many passes as it needs, while new marks gather for the next one.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};
use vagn_store::{OrderNumber, VehicleIdBuf};

use super::row::FleetRow;

/// The way a vehicle left the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Departure {
    /// It moved out.
    Left,
    /// It was deleted or forgotten.
    Gone,
}

/// Vehicles that left the box.
pub(super) type Departed = HashMap<VehicleIdBuf, Departure, FixedState>;

/// Marks of one channel.
#[derive(Default)]
pub(super) struct Marks {
    rows: HashSet<FleetRow, FixedState>,
    departed: Departed,
    round: Option<Round>,
}

/// Marks that are being told.
#[derive(Default)]
struct Round {
    rows: Vec<FleetRow>,
    departed: Departed,
    /// Order numbers behind all that it holds, by partition.
    ends: Box<[OrderNumber]>,
}

/// A part of a round, for one pass.
pub(super) struct RoundPart {
    pub(super) rows: Vec<FleetRow>,
    pub(super) departed: Departed,
    /// Order numbers behind the round when this is its last part.
    pub(super) ends: Option<Box<[OrderNumber]>>,
}

impl Marks {
    /// Marks a vehicle that is in the box. Returns false if it was marked already.
    pub(super) fn mark(&mut self, row: FleetRow) -> bool {
        self.rows.insert(row)
    }

    /// Marks a vehicle that is not in the box any more. Returns false if it was marked so already.
    pub(super) fn mark_departed(&mut self, id: VehicleIdBuf, departure: Departure) -> bool {
        self.departed.insert(id, departure).is_none()
    }

    pub(super) fn len(&self) -> usize {
        let round = self.round.as_ref().map_or(0, |round| round.rows.len() + round.departed.len());
        self.rows.len() + self.departed.len() + round
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes the next part of the round, of at most `most` rows; the round begins with what is marked now when there is none.
    /// `ends` are the order numbers behind the marks.
    pub(super) fn take(&mut self, most: usize, ends: &[OrderNumber]) -> RoundPart {
        let mut round = self.round.take().unwrap_or_else(|| self.begin(ends));
        let rest = round.rows.len().saturating_sub(most);
        let rows = round.rows.split_off(rest);
        // Few beside the rows, and soon told.
        let departed = std::mem::take(&mut round.departed);
        if rest == 0 {
            return RoundPart { rows, departed, ends: Some(round.ends) };
        }
        self.round = Some(round);
        RoundPart { rows, departed, ends: None }
    }

    fn begin(&mut self, ends: &[OrderNumber]) -> Round {
        // With their memory: a crowd comes once, and its channel may stay.
        let Self { rows, departed, .. } = std::mem::take(self);
        let mut rows: Vec<_> = rows.into_iter().collect();
        rows.sort_unstable();
        Round { rows, departed, ends: ends.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u32) -> FleetRow {
        FleetRow { partition: 0, row }
    }

    #[test]
    fn a_round_is_told_in_parts_and_ends_with_its_own_order_numbers() {
        let mut marks = Marks::default();
        assert!((0..5).chain(0..0).all(|at| marks.mark(row(at))) && !marks.mark(row(3)));
        let id = VehicleIdBuf::from(vagn_wire::VehicleId::new("bus 7").unwrap());
        assert!(marks.mark_departed(id, Departure::Left) && !marks.mark_departed(id, Departure::Gone));
        let (first, later) = ([OrderNumber(7)], [OrderNumber(9)]);
        let part = marks.take(3, &first);
        assert_eq!((part.rows.len(), part.ends), (3, None));
        assert_eq!(part.departed.get(&id), Some(&Departure::Gone));
        assert!(marks.mark(row(4)), "what is marked meanwhile is for the next round");
        let part = marks.take(3, &later);
        assert_eq!((part.rows.len(), part.ends.as_deref()), (2, Some(&first[..])));
        assert_eq!(marks.len(), 1);
        let part = marks.take(3, &later);
        assert_eq!((part.rows, part.ends.as_deref()), (vec![row(4)], Some(&later[..])));
        assert_eq!(marks.len(), 0);
    }
}
