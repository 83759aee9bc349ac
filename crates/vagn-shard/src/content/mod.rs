//! The content of a shard: the vehicles that it holds, and the settings that it shares with its replicas.
//!
//! A report is judged as on one machine, by the same code: it arrived when the entry's [`Place`] says, under the change's order number.
//! All that decides a fate is content, and stands in snapshot and hash: positions, counts of numbers with their keys, the bound,
//! the time of silence. Followers of the live map, and the seed by which ids are found, decide nothing and stand in neither.
//!
//! Vehicles are forgotten at ticks, those first whose last report was received first, and so many at most that a tick stays short.
//! That order follows from the entries. An order of slots would not: a replica that was copied has others.

#[cfg(test)]
pub(crate) mod tests;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use vagn_cluster::bytes::{Reader as Bytes, Write};
use vagn_cluster::{Change, Damaged, Place, ShardId, ShardState, fold};
use vagn_store::{Key, OrderNumber, Reader, Roster, Updates};
use vagn_wire::{Fate, VehicleId};

use crate::outlet::{Outlet, Teller};
use crate::payload::Payload;
use crate::question;
use crate::settings::ShardSettings;

/// Most vehicles that are forgotten at a tick: some milliseconds on the node's thread. A million that fall silent at once are gone in
/// four minutes.
const FORGOTTEN_AT_ONCE: usize = 4_096;

const VERSION: u8 = 1;

/// The content of a shard.
pub struct FleetShard {
    settings: ShardSettings,
    roster: Roster,
    /// Order number of the last change, 0 before the first.
    last_order: u64,
    teller: Teller,
    /// Reports of the entry under way that are still to be judged, all at once.
    reports: Updates,
}

impl FleetShard {
    fn new(shard: ShardId, settings: ShardSettings, last_order: u64, mut roster: Roster) -> Self {
        roster.bound(settings.max_vehicles as usize);
        Self { settings, roster, last_order, teller: Teller::new(shard), reports: Updates::new() }
    }

    /// Returns a reader of the shard's live index, for use beside the node and after it.
    pub fn reader(&self) -> Reader {
        self.roster.reader()
    }

    /// Gives the shard an outlet, in place of any before.
    pub fn attach(&self, outlet: Arc<dyn Outlet>) {
        self.teller.attach(outlet, self.end());
    }

    /// Takes the outlet away: another state of the shard is shown, and tells what becomes of it.
    pub fn detach(&self) {
        self.teller.detach();
    }

    /// Returns the settings that hold now.
    pub fn settings(&self) -> ShardSettings {
        self.settings
    }

    /// Returns the order number behind the last change.
    fn end(&self) -> OrderNumber {
        OrderNumber(self.last_order.saturating_add(1))
    }

    fn take(&mut self, place: Place, change: Change<'_>, fates: &mut Vec<Fate>) {
        if let Change::Report { vehicle_id, fields, .. } = change
            && self.push(place, vehicle_id, fields).is_ok()
        {
            self.last_order = place.order;
            return;
        }
        // All others end the row of reports before them.
        self.judge(fates);
        self.last_order = place.order;
        fates.push(match change {
            // Not the sender's fault: the door that wrote it, or this node, is of a version that the other does not know.
            Change::Report { .. } => Fate::Failed,
            Change::Deletion { vehicle_id } => self.delete(vehicle_id),
            Change::Setting { value } => self.set(value),
        });
    }

    fn push(&mut self, place: Place, vehicle_id: &[u8], fields: &[u8]) -> Result<(), Damaged> {
        let payload = Payload::read(fields)?;
        let vehicle_id = VehicleId::from_bytes(vehicle_id).map_err(|_| Damaged)?;
        let (sighting, evidence) = payload.judged(vehicle_id, place.arrival_ms, place.order);
        let key = Key::of(vehicle_id);
        self.reports.push_with(key, key.hash(), sighting, evidence);
        Ok(())
    }

    /// Judges the reports that wait, and tells what they have changed.
    fn judge(&mut self, fates: &mut Vec<Fate>) {
        if self.reports.is_empty() {
            return;
        }
        let end = self.end();
        let Self { roster, teller, reports, .. } = self;
        let mut moves = teller.is_followed().then(Vec::new);
        match &mut moves {
            Some(moves) => roster.write_and_tell(reports, fates, moves),
            None => roster.write(reports, fates),
        }
        teller.tell_odd(reports, roster.odd(), roster.replays());
        teller.tell_moves(end, reports, moves);
        reports.clear();
    }

    /// Forgets a vehicle. A deletion of one that is not known is a duplicate, so that the caller can tell the two apart.
    fn delete(&mut self, vehicle_id: &[u8]) -> Fate {
        let Ok(vehicle_id) = VehicleId::from_bytes(vehicle_id) else { return Fate::Failed };
        let gone = self.roster.delete(Key::of(vehicle_id));
        let fate = if gone.is_some() { Fate::Stored } else { Fate::Duplicate };
        self.teller.tell_gone(self.end(), gone.into_iter().collect());
        fate
    }

    fn set(&mut self, value: &[u8]) -> Fate {
        let Ok(settings) = ShardSettings::of_bytes(value) else { return Fate::Failed };
        self.settings = settings;
        self.roster.bound(settings.max_vehicles as usize);
        Fate::Stored
    }
}

impl ShardState for FleetShard {
    /// Settings that cannot be read bound nothing: a data set is begun by one node, and all others must make the same of them.
    fn begin(shard: ShardId, settings: &[u8]) -> Self {
        let settings = ShardSettings::of_bytes(settings).unwrap_or(ShardSettings::UNBOUNDED);
        Self::new(shard, settings, 0, Roster::new(hash_seed()))
    }

    fn apply(&mut self, place: Place, change: Change<'_>) -> Fate {
        let mut fates = self.apply_all(std::iter::once((place, change)));
        fates.pop().expect("each change has a fate")
    }

    fn apply_all<'a>(&mut self, changes: impl Iterator<Item = (Place, Change<'a>)>) -> Vec<Fate> {
        let mut fates = Vec::with_capacity(changes.size_hint().0);
        for (place, change) in changes {
            self.take(place, change, &mut fates);
        }
        self.judge(&mut fates);
        fates
    }

    fn tick(&mut self, time_ms: i64) {
        let before_ms = time_ms.saturating_sub(self.settings.forget_after_ms);
        let gone = self.roster.forget(before_ms, FORGOTTEN_AT_ONCE);
        self.teller.tell_gone(self.end(), gone);
    }

    fn content_hash(&self) -> u64 {
        let ShardSettings { forget_after_ms, max_vehicles } = self.settings;
        fold(fold(self.roster.hash(), forget_after_ms as u64), u64::from(max_vehicles))
    }

    /// Writes a version, the settings, the last order number, and the [bytes of the roster](Roster::write_bytes).
    fn write_snapshot(&self, out: &mut Vec<u8>) {
        out.put_u8(VERSION);
        self.settings.write(out);
        out.put_u64(self.last_order);
        self.roster.write_bytes(out);
    }

    fn read_snapshot(shard: ShardId, bytes: &[u8]) -> Result<Self, Damaged> {
        let mut bytes = Bytes::new(bytes);
        if bytes.u8()? != VERSION {
            return Err(Damaged);
        }
        let settings = ShardSettings::read(&mut bytes)?;
        let last_order = bytes.u64()?;
        let roster = Roster::read_bytes(hash_seed(), bytes.rest()).ok_or(Damaged)?;
        // They never are: with fewer the state would not be the one that was written.
        if roster.reader().departed_counts().kept > settings.max_vehicles as usize {
            return Err(Damaged);
        }
        Ok(Self::new(shard, settings, last_order, roster))
    }

    fn answer(&self, question: &[u8], out: &mut Vec<u8>) {
        if !question::answer_known(question, |keys| self.teller.known(keys), out) {
            question::answer(question, &self.reader(), out);
        }
    }
}

/// Draws the seed of the hash by which ids are found, so that a sender cannot choose ids that collide. No content follows from it.
fn hash_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}
