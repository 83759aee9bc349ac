//! The live fleet as the source of what is known of vehicles.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::clock::Clock;
use vagn_store::{Fleet, IndexMark, Key, Reader, Vehicle};
use vagn_wire::VehicleId;

use super::rows::{CHUNK, Census, ROUNDS, Seen};
use crate::fix::Fix;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::record::standing::Standing;

/// Longest wait for a look at one chunk of rows. The fleet's writers let readers in after some 50 µs.
const LOOK_WITHIN: Duration = Duration::from_millis(5);

/// Most chunks that are looked at in a row: a millisecond or two, for which alarms may have to wait. A fleet of two million
/// vehicles gets its round in a minute; a larger one is known later.
const CHUNKS_AT_ONCE: usize = 32;

/// The live fleet as the source. An alarm is a position report as well, so a vehicle that is in the fleet is not known for
/// that: it must have been heard in many rounds of the census, of this run or earlier ones.
pub struct LiveFleet {
    /// Vehicles that are counted.
    fleet: Arc<Fleet>,
    /// All vehicles that are seen here, where that are more: those of mirrors have places, and count where their owners are.
    seen: Option<Arc<Fleet>>,
    clock: Arc<dyn Clock>,
    seed: u64,
    /// Shortest time between the beginnings of two rounds.
    round: Duration,
    /// By partition; `None` until the keeper has begun it.
    begun: Mutex<Vec<Option<Begun>>>,
    cursor: Mutex<Cursor>,
}

/// The census of a partition, and of which index it tells: in one that is opened anew, vehicles have other rows.
struct Begun {
    index: IndexMark,
    census: Census,
}

/// Next rows to look at, and the beginning of the round.
#[derive(Debug, Default)]
struct Cursor {
    began: Option<Duration>,
    partition: usize,
    row: u32,
}

impl LiveFleet {
    /// Returns a source that reads `fleet`. Vehicles that report are known after `known_after`, at the earliest; `seed` is any
    /// secret number.
    pub fn new(fleet: Arc<Fleet>, clock: Arc<dyn Clock>, seed: u64, known_after: Duration) -> Self {
        let begun = (0..fleet.partitions()).map(|_| None).collect();
        let round = known_after / ROUNDS;
        Self { fleet, seen: None, clock, seed, round, begun: Mutex::new(begun), cursor: Mutex::default() }
    }

    /// Lets it look for the places of vehicles in `seen` as well. Of one that is there alone it is undecided here who it is.
    pub fn seeing(self, seen: Arc<Fleet>) -> Self {
        Self { seen: Some(seen), ..self }
    }

    /// Puts a reader of vehicles that are counted here in place, or takes it away.
    pub fn set(&self, partition: usize, reader: Option<Reader>) {
        self.fleet.set(partition, reader);
    }

    /// Returns true while vehicles of this partition are counted here.
    pub fn counts(&self, partition: usize) -> bool {
        self.fleet.reader(partition).is_some()
    }

    /// Returns which of these vehicles are known, of those of this partition, as far as it is counted here. For the thread of its writer, which must
    /// not wait for long.
    pub fn counted(&self, partition: usize, keys: &[Key<'_>]) -> Vec<Option<bool>> {
        let here = |key: &&Key<'_>| self.fleet.home(**key) == partition;
        let sought: Vec<_> = keys.iter().filter(here).copied().collect();
        let mut standings = self.standings_of(&sought, LOOK_WITHIN).into_iter();
        let mut told = |key| match here(&key).then(|| standings.next()).flatten()? {
            Standing::Known => Some(true),
            Standing::Stranger => Some(false),
            Standing::Undecided => None,
        };
        keys.iter().map(&mut told).collect()
    }

    fn standings_of(&self, keys: &[Key<'_>], within: Duration) -> Vec<Standing> {
        let rows = self.fleet.rows_within(keys, within);
        let begun = self.begun.lock();
        let standings = keys.iter().zip(rows).map(|(key, row)| match row {
            Ok(Some(row)) => self.standing(&begun, *key, row),
            Ok(None) => Standing::Stranger,
            Err(_) => Standing::Undecided,
        });
        standings.collect()
    }

    pub(super) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Puts the census of a partition with this index in place.
    pub(super) fn begin(&self, home: usize, index: IndexMark, census: Census) {
        if let Some(begun) = self.begun.lock().get_mut(home) {
            *begun = Some(Begun { index, census });
        }
    }

    /// Returns true once the census of the partition that is read here has begun.
    pub(super) fn has_begun(&self, home: usize, reader: &Reader) -> bool {
        self.with(home, reader, |_| ()).is_some()
    }

    /// Looks at the census of the partition that is read here, if it has begun. To be kept short: alarms wait.
    pub(super) fn with<R>(
        &self,
        home: usize,
        reader: &Reader,
        look: impl FnOnce(&mut Census) -> R,
    ) -> Option<R> {
        let mut begun = self.begun.lock();
        let begun = begun.get_mut(home)?.as_mut().filter(|begun| begun.index.is_of(reader))?;
        Some(look(&mut begun.census))
    }

    /// Returns the standing of the vehicle in this row of its partition.
    fn standing(&self, begun: &[Option<Begun>], key: Key<'_>, row: u32) -> Standing {
        let home = self.fleet.home(key);
        let begun = begun.get(home).and_then(Option::as_ref);
        match begun.filter(|begun| self.fleet.has(home, &begun.index)) {
            Some(begun) if begun.census.is_known(row, key) => Standing::Known,
            Some(_) => Standing::Stranger,
            None => Standing::Undecided,
        }
    }

    /// Looks at the next chunk of rows. Breaks off at the end of a partition that may not be left yet.
    fn look(&self, cursor: &mut Cursor) -> ControlFlow<()> {
        let (home, row) = (cursor.partition, cursor.row);
        let Some(reader) = self.fleet.reader(home).filter(|reader| self.has_begun(home, reader)) else {
            // It is being read from disk, or could not be.
            (cursor.partition, cursor.row) = (home + 1, 0);
            return ControlFlow::Continue(());
        };
        let mut seen = Vec::with_capacity(CHUNK as usize);
        let looked = reader.visit_rows_within(LOOK_WITHIN, row, CHUNK, |found| {
            seen.push(Seen::new(self.seed, found));
        });
        match looked {
            Some(true) => {
                self.with(home, &reader, |census| census.note(row, &seen));
                cursor.row += CHUNK;
                ControlFlow::Continue(())
            }
            Some(false) => {
                (cursor.partition, cursor.row) = (home + 1, 0);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
}

impl KnownVehicles for LiveFleet {
    fn look_up(&self, vehicle_id: &str, within: Duration) -> KnownVehicle {
        let Ok(vehicle_id) = VehicleId::new(vehicle_id) else { return KnownVehicle::STRANGER };
        let key = Key::of(vehicle_id);
        if self.fleet.reader(self.fleet.home(key)).is_none() {
            let seen = self.seen.as_ref().and_then(|seen| seen.get_within(key, within).ok().flatten());
            return KnownVehicle {
                last_fix: seen.map(|vehicle| last_fix(&vehicle)),
                ..KnownVehicle::UNDECIDED
            };
        }
        let Ok(found) = self.fleet.seek_within(key, within) else { return KnownVehicle::UNDECIDED };
        let Some((row, vehicle)) = found else { return KnownVehicle::STRANGER };
        let standing = self.standing(&self.begun.lock(), key, row);
        KnownVehicle { standing, last_fix: Some(last_fix(&vehicle)) }
    }

    fn standings(&self, vehicle_ids: &[VehicleId<'_>], within: Duration) -> Vec<Standing> {
        let keys: Vec<_> = vehicle_ids.iter().map(|vehicle_id| Key::of(*vehicle_id)).collect();
        self.standings_of(&keys, within)
    }

    fn mark(&self) {
        let now = self.clock.monotonic();
        let mut cursor = self.cursor.lock();
        if cursor.partition == 0 && cursor.row == 0 {
            if cursor.began.is_some_and(|began| now.saturating_sub(began) < self.round) {
                return;
            }
            cursor.began = Some(now);
        }
        for _ in 0..CHUNKS_AT_ONCE {
            if self.look(&mut cursor).is_break() {
                return;
            }
            if cursor.partition >= self.fleet.partitions() {
                (cursor.partition, cursor.row) = (0, 0);
                return;
            }
        }
    }
}

fn last_fix(vehicle: &Vehicle) -> Fix {
    let sighting = vehicle.sighting;
    // It was there when the report arrived, at the latest.
    let time_ms = sighting.event_time_ms.min(sighting.receive_time_ms);
    Fix::new(sighting.position, time_ms, false)
}
