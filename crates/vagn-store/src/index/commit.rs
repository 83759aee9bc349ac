//! The plan of a batch carried out: the index changes, and followers are told.

use vagn_wire::Fate;

use super::cell::GridPoint;
use super::plan::Plan;
use super::planned::{NONE, Planned};
use super::teller::Teller;
use super::{GROUP, Index};
use crate::Updates;
use crate::judge::Count;

impl Index {
    /// Carries out the plan for the updates in `range`. The ranges of a batch must follow each other.
    pub(crate) fn commit(
        &mut self,
        updates: &Updates,
        plan: &Plan,
        range: std::ops::Range<usize>,
        teller: &mut Teller<'_>,
    ) {
        for start in range.clone().step_by(GROUP) {
            let group = start..range.end.min(start + GROUP);
            // The plan has loaded ids and rows; the entries and leaves that a move changes are asked for here.
            let planned = &plan.planned[group.clone()];
            let grid_points =
                self.prefetch_moves(planned.iter().map(|planned| planned.slot), updates, group.clone());
            for ((at, planned), grid_point) in group.zip(planned).zip(grid_points) {
                if planned.is_plain() {
                    let sighting = updates.sighting(at);
                    teller.moves(at, planned.slot, &self.rows[planned.slot], sighting);
                    self.see(planned.slot, grid_point, sighting);
                } else if planned.fate == Fate::Stored {
                    self.commit_one(updates, at, planned, plan.count(planned), grid_point, teller);
                }
                if planned.count != NONE
                    && let Some(count) = plan.count(planned)
                {
                    self.counts.set(planned.slot, *count);
                }
            }
        }
    }

    #[inline(never)]
    fn commit_one(
        &mut self,
        updates: &Updates,
        at: usize,
        planned: &Planned,
        count: Option<&Count>,
        grid_point: GridPoint,
        teller: &mut Teller<'_>,
    ) {
        let update = updates.get(at).expect("the range lies within the updates");
        let sighting = planned.sighting(update.sighting);
        if planned.is_new_vehicle() {
            let slot = self.vacant_slot();
            debug_assert_eq!(slot, planned.slot, "nothing changed since the plan");
            teller.appears(at, slot, &sighting);
            self.fill(slot, self.ids.hash(&update.key), &update.key, &sighting);
            if let Some(key) = count.and_then(Count::key) {
                // The vehicle goes on with the count that it had left with.
                self.departed.take(update.hash, key);
            }
        } else {
            teller.moves(at, planned.slot, &self.rows[planned.slot], &sighting);
            self.see(planned.slot, grid_point, &sighting);
        }
    }
}
