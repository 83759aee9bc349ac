//! The outcome of a batch of updates, worked out before anything is changed.
//!
//! Between plan and commit stands the log: a batch that it cannot append is never shown. A plan knows the batch's own
//! effects too: the second report of a vehicle is compared with the first one of the same batch.

use hashbrown::HashTable;
use vagn_wire::{Fate, Oddities};

use super::latest::{Latest, LatestUpdate};
use super::planned::{
    ARRIVAL_STANDS_IN, CONTINUES, NEW_VEHICLE, NONE, Planned, RESTARTS, TELLS_COUNT, WRITTEN, flag_if,
};
use super::rule::Rule;
use super::{GROUP, Index};
use crate::judge::{Count, Verdict};
use crate::{Sighting, Update, Updates};

/// Outcome of each update of a batch. Made once and refilled.
#[derive(Debug, Default)]
pub struct Plan {
    pub(super) planned: Vec<Planned>,
    latest: Latest,
    /// Counts that updates change, one after another.
    counts: Vec<Count>,
    /// Updates that bring new vehicles.
    new: HashTable<u32>,
    /// Vacant slots not yet given away.
    vacant: usize,
    /// Slots given away behind the last one.
    behind: u32,
    /// Updates with oddities.
    odd: Vec<(u32, Oddities)>,
    /// Updates whose sealed reports came before, or are too old to tell.
    replays: u64,
}

impl Plan {
    /// Returns the fates in the order of the updates.
    pub fn fates(&self) -> impl Iterator<Item = Fate> {
        self.planned.iter().map(|planned| planned.fate)
    }

    /// Counts the updates that bring a vehicle not known before.
    pub fn new_vehicles(&self) -> usize {
        self.new.len()
    }

    /// Returns the updates whose reports are odd, by index, with all that is odd about each.
    pub fn odd(&self) -> impl Iterator<Item = (usize, Oddities)> {
        self.odd.iter().map(|(at, odd)| (*at as usize, *odd))
    }

    /// Counts the sealed reports that came before, or are too old to tell.
    pub fn replays(&self) -> u64 {
        self.replays
    }

    /// Returns the outcome of each update, with its hash and its sighting.
    #[inline]
    pub(crate) fn with<'a>(
        &'a self,
        updates: &'a Updates,
    ) -> impl Iterator<Item = (&'a Planned, (u64, &'a Sighting))> {
        self.planned.iter().zip(updates.sightings())
    }

    /// Returns the outcome of the update at `at`.
    #[inline]
    pub(crate) fn planned(&self, at: usize) -> &Planned {
        &self.planned[at]
    }

    /// Returns the count of the vehicle after an update that changed it.
    #[inline]
    pub(crate) fn count(&self, planned: &Planned) -> Option<&Count> {
        self.counts.get(planned.count as usize)
    }

    fn begin(&mut self, updates: usize, vacant: usize) {
        self.planned.clear();
        self.planned.reserve(updates);
        self.latest.begin(updates);
        self.counts.clear();
        self.odd.clear();
        self.replays = 0;
        self.new.clear();
        self.vacant = vacant;
        self.behind = 0;
    }
}

impl Index {
    /// Works out how [`Index::commit`] is to treat the updates. The index must not be changed in between.
    pub(crate) fn plan(&self, rule: &impl Rule, updates: &Updates, plan: &mut Plan) {
        plan.begin(updates.len(), self.vacant.len());
        for start in (0..updates.len()).step_by(GROUP) {
            self.plan_group(rule, updates, start..updates.len().min(start + GROUP), plan);
        }
    }

    /// Asks for all memory that the group needs, one dependency at a time.
    fn plan_group(
        &self,
        rule: &impl Rule,
        updates: &Updates,
        group: std::ops::Range<usize>,
        plan: &mut Plan,
    ) {
        let mut hashes = [0; GROUP];
        let mut guesses = [None; GROUP];
        for (hash, at) in hashes.iter_mut().zip(group.clone()) {
            let update = updates.get(at).expect("the group lies within the updates");
            *hash = self.ids.hash(&update.key);
            self.ids.prefetch(*hash);
        }
        for (guess, hash) in guesses[..group.len()].iter_mut().zip(hashes) {
            // Step by step for the whole group: it waits for memory once per step and not once per vehicle.
            *guess = self.ids.guess(hash);
            self.prefetch_row(*guess);
        }
        for ((hash, guess), at) in hashes.into_iter().zip(guesses).zip(group) {
            let planned = self.plan_one(rule, updates, at, hash, guess, plan);
            plan.planned.push(planned);
        }
    }

    fn plan_one(
        &self,
        rule: &impl Rule,
        updates: &Updates,
        at: usize,
        hash: u64,
        guess: Option<u32>,
        plan: &mut Plan,
    ) -> Planned {
        let update = updates.get(at).expect("the group lies within the updates");
        // The id is compared only now, when the lines it needs have come.
        let guessed = guess.filter(|&slot| self.rows[slot].is_taken() && self.ids.is(slot, &update.key));
        if let Some(slot) = guessed
            && let entry = plan.latest.find(slot)
            && !plan.latest.has(entry)
            && !self.counts.has(slot)
            && rule.is_surely_stored(&update, self.rows[slot].event_time_ms())
        {
            plan.latest.set(entry, slot, at as u32, NONE);
            return Planned::plain(slot);
        }
        self.plan_by_rule(rule, updates, at, hash, guessed, plan)
    }

    /// Plans an update whose vehicle is that in the slot `guessed`, if any is. Out of line, so that most updates pass it by.
    #[inline(never)]
    fn plan_by_rule(
        &self,
        rule: &impl Rule,
        updates: &Updates,
        at: usize,
        hash: u64,
        guessed: Option<u32>,
        plan: &mut Plan,
    ) -> Planned {
        let update = updates.get(at).expect("the group lies within the updates");
        let known = guessed.or_else(|| self.ids.find(hash, &update.key));
        let Some(slot) = known.or_else(|| new_slot(updates, &update, hash, plan)) else {
            return self.plan_new(rule, updates, at, hash, plan);
        };
        let entry = plan.latest.find(slot);
        let LatestUpdate { update: latest, count, .. } = plan.latest.get(entry);
        let before = plan.counts.get(count as usize).copied().unwrap_or_else(|| self.counts.get(slot));
        let mut count = before;
        let verdict = match updates.get(latest as usize) {
            Some(earlier) => {
                let kept = plan.planned[latest as usize].sighting(earlier.sighting);
                rule.outcome(at, &update, Some(&kept), &mut count)
            }
            None => rule.outcome(at, &update, Some(&self.rows[slot].sighting()), &mut count),
        };
        plan.note(at, entry, slot, &update, &verdict, before, count)
    }

    fn plan_new(
        &self,
        rule: &impl Rule,
        updates: &Updates,
        at: usize,
        hash: u64,
        plan: &mut Plan,
    ) -> Planned {
        let update = updates.get(at).expect("the group lies within the updates");
        let mut count = self.count_before(&update);
        let verdict = rule.outcome(at, &update, None, &mut count);
        if verdict.fate != Fate::Stored {
            plan.replays += u64::from(verdict.unwritten);
            plan.note_odd(at, &update, &verdict);
            return Planned::without_slot(verdict.fate);
        }
        if self.len() + plan.new.len() >= self.max_vehicles {
            return Planned::without_slot(Fate::Shed);
        }
        plan.new.insert_unique(hash, at as u32, |&at| {
            updates.get(at as usize).map_or(0, |update| self.ids.hash(&update.key))
        });
        let slot = self.plan_slot(plan);
        let entry = plan.latest.find(slot);
        let planned = plan.note(at, entry, slot, &update, &verdict, Count::NONE, count);
        Planned { flags: planned.flags | NEW_VEHICLE, ..planned }
    }

    /// Returns the count that a vehicle without slot had under the key of this report when it left.
    fn count_before(&self, update: &Update<'_>) -> Count {
        let Some(seal) = update.evidence.seal.filter(|_| !self.departed.is_empty()) else {
            return Count::NONE;
        };
        self.departed.find(update.hash, seal.key).unwrap_or(Count::NONE)
    }

    /// Returns the slot that [`Index::vacant_slot`] will give.
    fn plan_slot(&self, plan: &mut Plan) -> u32 {
        while plan.vacant > 0 {
            plan.vacant -= 1;
            let slot = self.vacant[plan.vacant];
            // A slot may be listed twice.
            if !self.rows[slot].is_taken() && !plan.latest.has(plan.latest.find(slot)) {
                return slot;
            }
        }
        plan.behind += 1;
        self.slots_end() + plan.behind - 1
    }
}

impl Plan {
    /// Notes the outcome of an update of the vehicle in `slot`, whose count was `before` and is `count` now.
    #[inline]
    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of an update where its outcome is decided"
    )]
    fn note(
        &mut self,
        at: usize,
        entry: usize,
        slot: u32,
        update: &Update<'_>,
        verdict: &Verdict,
        before: Count,
        count: Count,
    ) -> Planned {
        let stored = verdict.fate == Fate::Stored;
        let written = stored || (verdict.fate == Fate::Stale && !verdict.unwritten);
        let flags = flag_if(written, WRITTEN)
            | flag_if(verdict.arrival_stands_in, ARRIVAL_STANDS_IN)
            | flag_if(verdict.restarts, RESTARTS)
            | flag_if(verdict.continues, CONTINUES);
        let mut planned = Planned { slot, count: NONE, fate: verdict.fate, flags };
        if update.sighting.seq.is_some() || !before.is_none() || !count.is_none() {
            self.note_count(&mut planned, update.sighting.seq, before, count);
            self.replays += u64::from(verdict.unwritten);
        }
        if stored || planned.count != NONE {
            let before = self.latest.get(entry);
            let update = if stored { at as u32 } else { before.update };
            let count = if planned.count == NONE { before.count } else { planned.count };
            self.latest.set(entry, slot, update, count);
        }
        self.note_odd(at, update, verdict);
        planned
    }

    #[inline(never)]
    fn note_count(&mut self, planned: &mut Planned, number: Option<u64>, before: Count, count: Count) {
        let mut replayed = before;
        if planned.is_written() {
            replayed.take(number, planned.has(RESTARTS));
        }
        planned.flags |= flag_if(!replayed.is_same(&count), TELLS_COUNT);
        if count != before || planned.tells_count() {
            planned.count = self.counts.len() as u32;
            self.counts.push(count);
        }
    }

    #[inline]
    fn note_odd(&mut self, at: usize, update: &Update<'_>, verdict: &Verdict) {
        let odd = update.evidence.odd.and(verdict.odd);
        if !odd.is_empty() {
            self.odd.push((at as u32, odd));
        }
    }
}

/// Returns the slot of a vehicle that is new with an earlier update of the batch.
fn new_slot(updates: &Updates, update: &Update<'_>, hash: u64, plan: &Plan) -> Option<u32> {
    let found =
        plan.new.find(hash, |&at| updates.get(at as usize).is_some_and(|earlier| earlier.key == update.key));
    found.map(|&at| plan.planned[at as usize].slot)
}

#[cfg(test)]
mod tests {
    use super::super::rule::AsTheyCome;
    use super::super::teller::Teller;
    use super::*;
    use crate::index::{DepartedCount, Held};
    use crate::{Evidence, Key, KeyTag, Seal};
    use proptest::prelude::*;
    use vagn_wire::{Oddity, Position};

    const MAX_VEHICLES: usize = 6;

    /// A report as a test sends it.
    #[derive(Debug, Clone)]
    struct Sent {
        vehicle: u8,
        /// Half of them without a time that counts.
        time: i64,
        arrival: i64,
        /// Latitude; zero is no fix.
        lat: u8,
        number: Option<u64>,
        seal: Option<(u8, bool)>,
        readable: bool,
    }

    fn sent() -> impl Strategy<Value = Sent> {
        let (times, arrivals) = (0..6_i64, prop::sample::select(vec![0, 1, 9_000, 400_000, 40_000_000_000]));
        let numbers = prop::option::weighted(0.6, prop::sample::select(vec![0, 1, 2, 3, 70, 140]));
        let seals = prop::option::weighted(0.3, (1..3_u8, any::<bool>()));
        (0..9_u8, times, arrivals, 0..3_u8, numbers, seals, any::<bool>()).prop_map(
            |(vehicle, time, arrival, lat, number, seal, readable)| Sent {
                vehicle,
                time,
                arrival,
                lat,
                number,
                seal,
                readable,
            },
        )
    }

    impl Sent {
        fn sighting(&self, receive_seq: u64) -> Sighting {
            let own_time = self.time % 2 == 0;
            Sighting {
                position: Position::new(f64::from(self.lat), 0.0).unwrap(),
                event_time_ms: if own_time { self.time } else { self.arrival },
                receive_time_ms: self.arrival,
                receive_seq,
                seq: self.number,
                speed_mps: None,
                heading_deg: None,
                emergency: false,
                own_time,
                unsure: !own_time && !self.readable,
            }
        }

        fn evidence(&self) -> Evidence {
            let odd = if self.readable { Oddities::NONE } else { Oddities::of(Oddity::TimeUnreadable) };
            let seal = self.seal.map(|(key, more)| Seal { key: KeyTag::of_key_id([key; 8]), more });
            Evidence { seal, odd }
        }
    }

    fn content(index: &Index) -> (Vec<Held<'_>>, Vec<DepartedCount>) {
        (index.slots(0, u32::MAX).collect(), index.departed().behind(None).collect())
    }

    /// Outcome of an update, with its count.
    type Done = (Planned, Option<Count>);

    fn write(index: &mut Index, plan: &mut Plan, updates: &Updates) -> Vec<Done> {
        index.plan(&AsTheyCome, updates, plan);
        let half = updates.len() / 2;
        index.commit(updates, plan, 0..half, &mut Teller::default());
        index.commit(updates, plan, half..updates.len(), &mut Teller::default());
        let done = plan.planned.iter().map(|planned| (*planned, plan.count(planned).copied()));
        // The place of a count in its plan is another in every batch.
        done.map(|(planned, count)| (Planned { count: NONE, ..planned }, count)).collect()
    }

    /// A batch of one update knows no earlier one of the same batch.
    fn write_singly(index: &mut Index, plan: &mut Plan, updates: &Updates) -> Vec<Done> {
        let mut single = Updates::new();
        let singly = updates.iter().flat_map(|update| {
            single.clear();
            single.push_with(update.key, update.hash, *update.sighting, *update.evidence);
            write(index, plan, &single)
        });
        singly.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        /// Whatever vehicles a batch repeats, brings or leaves out, and whatever numbers, seals and times they send.
        #[test]
        fn a_batch_does_what_its_updates_do_one_by_one(
            batches in prop::collection::vec(prop::collection::vec(sent(), 0..150), 1..8),
            removals in prop::collection::vec((0..9_u8, 0..9_u8), 8),
        ) {
            let (mut at_once, mut one_by_one) = (Index::new(MAX_VEHICLES), Index::new(MAX_VEHICLES));
            let mut plan = Plan::default();
            for (batch, removed) in batches.iter().zip(removals) {
                let mut updates = Updates::new();
                for (sent, receive_seq) in batch.iter().zip(0..) {
                    let name = format!("bus {}", sent.vehicle);
                    let key = Key::Text(&name);
                    updates.push_with(key, key.hash(), sent.sighting(receive_seq), sent.evidence());
                }
                let singly = write_singly(&mut one_by_one, &mut plan, &updates);
                prop_assert_eq!(write(&mut at_once, &mut plan, &updates), singly);
                prop_assert_eq!(content(&at_once), content(&one_by_one));
                for vehicle in [removed.0, removed.1] {
                    let name = format!("bus {vehicle}");
                    prop_assert_eq!(at_once.remove(Key::Text(&name)), one_by_one.remove(Key::Text(&name)));
                }
            }
        }
    }
}
