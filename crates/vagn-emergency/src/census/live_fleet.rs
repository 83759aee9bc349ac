//! The live fleet as the source of what is known of vehicles.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_flow::clock::Clock;
use vagn_store::{Fleet, Key};
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
/// that: it must have been there before this start, or in many rounds of the census.
pub struct LiveFleet {
    fleet: Arc<Fleet>,
    clock: Arc<dyn Clock>,
    seed: u64,
    /// Shortest time between the beginnings of two rounds.
    round: Duration,
    /// By partition; `None` until the partition was there.
    census: Mutex<Vec<Option<Census>>>,
    cursor: Mutex<Cursor>,
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
        let census = (0..fleet.partitions()).map(|_| None).collect();
        let round = known_after / ROUNDS;
        Self { fleet, clock, seed, round, census: Mutex::new(census), cursor: Mutex::default() }
    }

    /// Returns the standing of the vehicle in this row of its partition.
    fn standing(&self, census: &mut [Option<Census>], key: Key<'_>, row: u32) -> Standing {
        match self.census_of(census, self.fleet.home(key)) {
            Some(census) if census.is_known(row, key) => Standing::Known,
            Some(_) => Standing::Stranger,
            None => Standing::Undecided,
        }
    }

    /// Returns the census of a partition. It begins when the partition is there for the first time: one that is opened anew
    /// later makes nobody known.
    fn census_of<'a>(&self, census: &'a mut [Option<Census>], home: usize) -> Option<&'a mut Census> {
        let census = census.get_mut(home)?;
        if census.is_none() {
            *census = self.fleet.reader(home).map(|reader| Census::new(self.seed, reader.first_rows()));
        }
        census.as_mut()
    }

    /// Looks at the next chunk of rows. Breaks off at the end of a partition that may not be left yet.
    fn look(&self, cursor: &mut Cursor) -> ControlFlow<()> {
        let (home, row) = (cursor.partition, cursor.row);
        let Some(reader) = self.fleet.reader(home) else {
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
                if let Some(census) = self.census_of(&mut self.census.lock(), home) {
                    census.note(row, &seen);
                }
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
        let Ok(found) = self.fleet.seek_within(key, within) else { return KnownVehicle::UNDECIDED };
        let Some((row, vehicle)) = found else { return KnownVehicle::STRANGER };
        let sighting = vehicle.sighting;
        // It was there when the report arrived, at the latest.
        let time_ms = sighting.event_time_ms.min(sighting.receive_time_ms);
        let standing = self.standing(&mut self.census.lock(), key, row);
        KnownVehicle { standing, last_fix: Some(Fix::new(sighting.position, time_ms, false)) }
    }

    fn standings(&self, vehicle_ids: &[VehicleId<'_>], within: Duration) -> Vec<Standing> {
        let keys: Vec<_> = vehicle_ids.iter().map(|vehicle_id| Key::of(*vehicle_id)).collect();
        let rows = self.fleet.rows_within(&keys, within);
        let mut census = self.census.lock();
        let standings = keys.iter().zip(rows).map(|(key, row)| match row {
            Ok(Some(row)) => self.standing(&mut census, *key, row),
            Ok(None) => Standing::Stranger,
            Err(_) => Standing::Undecided,
        });
        standings.collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use vagn_flow::clock::ManualClock;
    use vagn_store::{Index, Plan, Sighting, Updates, Writer};

    const MINUTE: Duration = Duration::from_secs(60);

    /// A fleet of one partition, in which "old" was before the start.
    struct World {
        fleet: Arc<Fleet>,
        writer: Writer,
        clock: Arc<ManualClock>,
        vehicles: LiveFleet,
        reports: u64,
    }

    impl World {
        fn new() -> Self {
            let fleet = Arc::new(Fleet::new(1));
            let clock = Arc::new(ManualClock::at(7));
            let vehicles = LiveFleet::new(fleet.clone(), clock.clone(), 7, MINUTE * ROUNDS);
            let mut before = Writer::new(Index::new(10_000));
            report(&mut before, "old", 1, false);
            let mut index = Index::new(10_000);
            before.change(|old| std::mem::swap(old, &mut index));
            Self { fleet, writer: Writer::new(index), clock, vehicles, reports: 1 }
        }

        fn open(&self) {
            self.fleet.set(0, Some(self.writer.reader()));
        }

        fn report(&mut self, vehicle_id: &str, emergency: bool) {
            self.reports += 1;
            report(&mut self.writer, vehicle_id, self.reports, emergency);
        }

        fn standing(&self, vehicle_id: &str) -> Standing {
            let standing = self.vehicles.look_up(vehicle_id, LOOK_WITHIN).standing;
            let id = VehicleId::new(vehicle_id).unwrap();
            assert_eq!(self.vehicles.standings(&[id], LOOK_WITHIN), [standing], "both ways say the same");
            standing
        }

        /// Marks each second of a minute.
        fn minute(&self) {
            for _ in 0..60 {
                self.vehicles.mark();
                self.clock.advance(Duration::from_secs(1));
            }
        }
    }

    fn report(writer: &mut Writer, vehicle_id: &str, receive_seq: u64, emergency: bool) {
        let key = Key::of(VehicleId::new(vehicle_id).unwrap());
        let sighting = Sighting {
            position: vagn_wire::Position::new(1.0, 2.0).unwrap(),
            event_time_ms: 7,
            receive_time_ms: 7,
            receive_seq,
            seq: None,
            speed_mps: None,
            heading_deg: None,
            emergency,
            own_time: false,
            unsure: false,
        };
        let mut updates = Updates::new();
        updates.push(key, key.hash(), sighting);
        writer.write(&updates, &mut Plan::default());
    }

    #[test]
    fn vehicles_from_before_the_start_are_known_at_once_and_none_while_the_fleet_is_read() {
        let mut world = World::new();
        world.vehicles.mark();
        assert_eq!(world.standing("old"), Standing::Undecided);
        world.open();
        assert_eq!(world.standing("old"), Standing::Known);
        world.report("new", false);
        assert_eq!((world.standing("new"), world.standing("old")), (Standing::Stranger, Standing::Known));
        assert_eq!(world.vehicles.look_up("unheard of", LOOK_WITHIN), KnownVehicle::STRANGER);
        assert!(
            world.vehicles.look_up("new", LOOK_WITHIN).last_fix.is_some(),
            "its place is known all the same"
        );
    }

    #[test]
    fn a_vehicle_that_reports_for_minutes_becomes_known_and_one_that_reported_once_does_not() {
        let mut world = World::new();
        world.open();
        world.report("once", false);
        for _ in 0..ROUNDS {
            assert_eq!(world.standing("steady"), Standing::Stranger);
            for _ in 0..100 {
                world.report("steady", false);
            }
            world.report("caller", true);
            world.minute();
        }
        assert_eq!(world.standing("steady"), Standing::Known);
        world.minute();
        assert_eq!(
            (world.standing("once"), world.standing("caller")),
            (Standing::Stranger, Standing::Stranger)
        );
        assert_eq!(world.standing("old"), Standing::Known);
    }

    #[test]
    fn many_reports_within_a_round_count_once() {
        let mut world = World::new();
        world.open();
        for _ in 0..10 * ROUNDS {
            world.report("busy", false);
            world.vehicles.mark();
            world.clock.advance(Duration::from_secs(1) / 10);
        }
        assert_eq!(world.standing("busy"), Standing::Stranger);
    }

    #[test]
    fn a_partition_that_is_opened_anew_makes_nobody_known() {
        let mut world = World::new();
        world.open();
        world.vehicles.mark();
        world.report("new", false);
        world.fleet.set(0, None);
        assert_eq!(world.standing("old"), Standing::Undecided);
        let mut index = Index::new(10);
        world.writer.change(|old| std::mem::swap(old, &mut index));
        world.writer = Writer::new(index);
        world.open();
        assert_eq!((world.standing("new"), world.standing("old")), (Standing::Stranger, Standing::Known));
    }
}
