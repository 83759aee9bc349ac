//! The census of a fleet over many runs.

mod disks;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vagn_flow::clock::ManualClock;
use vagn_flow::readiness::Readiness;
use vagn_store::disk::Disk;
use vagn_store::disk::faulty::{FaultyDisk, Loss};
use vagn_store::{Fleet, Index, Key, Plan, Sighting, Updates, Writer};
use vagn_wire::VehicleId;

use super::LiveFleet;
use super::keeper::{CensusKeeper, CensusParts};
use super::rows::ROUNDS;
use crate::intake::known::{KnownVehicle, KnownVehicles};
use crate::record::standing::Standing;
use Standing::{Known, Stranger, Undecided};

const MINUTE: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_millis(5);

/// A fleet of one partition, in which "old" was before the first start.
struct World {
    fleet: Arc<Fleet>,
    writer: Writer,
    clock: Arc<ManualClock>,
    vehicles: Arc<LiveFleet>,
    keeper: CensusKeeper,
    readiness: Arc<Readiness>,
    disk: FaultyDisk,
    reports: u64,
}

impl World {
    fn new() -> Self {
        let mut index = Index::new(10_000);
        let mut before = Writer::new(Index::new(10_000));
        report(&mut before, "old", 1, false);
        before.change(|old| std::mem::swap(old, &mut index));
        Self::on(FaultyDisk::new(), index, 1)
    }

    fn on(disk: FaultyDisk, index: Index, reports: u64) -> Self {
        let fleet = Arc::new(Fleet::new(1));
        let clock = Arc::new(ManualClock::at(7));
        let vehicles = Arc::new(LiveFleet::new(fleet.clone(), clock.clone(), reports, MINUTE * ROUNDS));
        let readiness = Arc::new(Readiness::default());
        let parts = CensusParts {
            vehicles: vehicles.clone(),
            data_dir: "data".into(),
            every: MINUTE * ROUNDS,
            spare: 1_000,
            secret: [reports, 9],
            clock: clock.clone(),
            readiness: readiness.clone(),
        };
        let keeper = CensusKeeper::new(Arc::new(parts), Arc::new(disk.clone()));
        Self { fleet, writer: Writer::new(index), clock, vehicles, keeper, readiness, disk, reports }
    }

    /// Reads the partition from disk, as it were, and lets the keeper look.
    fn open(&mut self) {
        self.fleet.set(0, Some(self.writer.reader()));
        self.look();
    }

    fn opened(mut self) -> Self {
        self.open();
        self
    }

    fn look(&mut self) {
        self.keeper.look(&|| true);
    }

    /// Begins the next run, after an orderly stop.
    fn restart(mut self) -> Self {
        self.keeper.close(&|| true);
        self.kill()
    }

    /// Begins the next run, after a crash of the process.
    fn kill(self) -> Self {
        let disk = self.disk.restart(Loss::Nothing);
        self.next(disk)
    }

    /// Begins the next run on this disk.
    fn next(mut self, disk: FaultyDisk) -> Self {
        Self::on(disk, self.take_index(), self.reports).opened()
    }

    fn take_index(&mut self) -> Index {
        let mut index = Index::new(10_000);
        self.writer.change(|old| std::mem::swap(old, &mut index));
        index
    }

    fn report(&mut self, vehicle_id: &str, emergency: bool) {
        self.reports += 1;
        report(&mut self.writer, vehicle_id, self.reports, emergency);
    }

    /// Lets a vehicle be heard in so many rounds.
    fn rounds(&mut self, vehicle_id: &str, rounds: u32) {
        for _ in 0..rounds {
            self.report(vehicle_id, false);
            self.minute();
        }
    }

    fn standing(&self, vehicle_id: &str) -> Standing {
        let standing = self.vehicles.look_up(vehicle_id, WITHIN).standing;
        let id = VehicleId::new(vehicle_id).unwrap();
        assert_eq!(self.vehicles.standings(&[id], WITHIN), [standing], "both ways say the same");
        standing
    }

    /// Marks each second of a minute, and lets the keeper look.
    fn minute(&mut self) {
        for _ in 0..60 {
            self.vehicles.mark();
            self.clock.advance(Duration::from_secs(1));
        }
        self.look();
    }

    fn damage(&self, change: impl FnOnce(&mut Vec<u8>)) {
        self.disk.damage(&file(), change).unwrap();
    }

    fn names(&self) -> Vec<String> {
        self.disk.list(Path::new("data/census")).unwrap()
    }

    /// Returns the warning for the operator.
    fn warning(&self) -> Option<String> {
        self.readiness.report().warnings.get("census").cloned()
    }
}

fn file() -> PathBuf {
    "data/census/0-of-1".into()
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
fn without_a_file_vehicles_from_before_the_start_are_known_at_once_and_none_while_the_fleet_is_read() {
    let mut world = World::new();
    world.vehicles.mark();
    assert_eq!(world.standing("old"), Undecided);
    world.open();
    assert_eq!(world.standing("old"), Known);
    world.report("new", false);
    assert_eq!((world.standing("new"), world.standing("old")), (Stranger, Known));
    assert_eq!(world.vehicles.look_up("unheard of", WITHIN), KnownVehicle::STRANGER);
    assert!(world.vehicles.look_up("new", WITHIN).last_fix.is_some(), "its place is known all the same");
}

#[test]
fn a_vehicle_that_reports_for_minutes_becomes_known_and_one_that_reported_once_does_not() {
    let mut world = World::new().opened();
    world.report("once", false);
    for _ in 0..ROUNDS {
        assert_eq!(world.standing("steady"), Stranger);
        for _ in 0..100 {
            world.report("steady", false);
        }
        world.report("caller", true);
        world.minute();
    }
    assert_eq!(world.standing("steady"), Known);
    world.minute();
    assert_eq!((world.standing("once"), world.standing("caller")), (Stranger, Stranger));
    assert_eq!(world.standing("old"), Known);
}

#[test]
fn many_reports_within_a_round_count_once() {
    let mut world = World::new().opened();
    for _ in 0..10 * ROUNDS {
        world.report("busy", false);
        world.vehicles.mark();
        world.clock.advance(Duration::from_secs(1) / 10);
    }
    assert_eq!(world.standing("busy"), Stranger);
}

#[test]
fn one_report_before_a_restart_makes_nobody_known() {
    let mut world = World::new().opened();
    world.report("made up", false);
    world.minute();
    for _ in 0..2 * ROUNDS {
        world = world.restart();
        world.minute();
        assert_eq!((world.standing("made up"), world.standing("old")), (Stranger, Known));
    }
    assert_eq!(world.warning(), None);
}

#[test]
fn rounds_are_counted_over_restarts() {
    let mut world = World::new().opened();
    for _ in 0..ROUNDS / 2 {
        assert_eq!(world.standing("daily"), Stranger);
        world.rounds("daily", 2);
        world = world.restart();
    }
    assert_eq!(world.standing("daily"), Known);
}

#[test]
fn a_report_on_the_way_to_a_restart_counts_in_the_run_after_it() {
    let mut world = World::new().opened();
    world.rounds("bus", ROUNDS - 1);
    world.report("bus", false);
    let world = world.restart();
    assert_eq!(world.standing("bus"), Known);
}

#[test]
fn after_a_crash_it_is_as_it_was_last_written() {
    let mut world = World::new().opened();
    world.rounds("early", ROUNDS);
    world.minute();
    // Ten minutes after the first file, which came at once.
    world.rounds("late", ROUNDS - 1);
    let world = world.kill();
    assert_eq!(
        [world.standing("early"), world.standing("late"), world.standing("old")],
        [Known, Stranger, Known]
    );
}

#[test]
fn who_comes_after_the_first_start_is_a_stranger_even_if_it_ends_at_once() {
    let mut world = World::new().opened();
    world.look();
    world.report("made up", false);
    let world = world.kill();
    assert_eq!((world.standing("made up"), world.standing("old")), (Stranger, Known));
}

#[test]
fn a_partition_that_is_opened_anew_has_what_its_file_says() {
    let mut world = World::new().opened();
    world.rounds("bus", ROUNDS);
    world.minute();
    world.report("made up", false);
    world.fleet.set(0, None);
    assert_eq!(world.standing("bus"), Undecided);
    world.writer = Writer::new(world.take_index());
    world.fleet.set(0, Some(world.writer.reader()));
    assert_eq!(world.standing("bus"), Undecided, "until it is read");
    world.look();
    assert_eq!(["bus", "old", "made up"].map(|id| world.standing(id)), [Known, Known, Stranger]);
}

#[test]
fn a_vehicle_that_is_only_seen_here_has_a_place_and_is_undecided() {
    let mut writer = Writer::new(Index::new(10));
    report(&mut writer, "bus", 1, false);
    let (own, all) = (Arc::new(Fleet::new(1)), Arc::new(Fleet::new(1)));
    all.set(0, Some(writer.reader()));
    let vehicles = LiveFleet::new(own, Arc::new(ManualClock::at(7)), 1, MINUTE * ROUNDS).seeing(all);
    let bus = VehicleId::new("bus").unwrap();
    let found = vehicles.look_up("bus", WITHIN);
    assert_eq!((found.standing, found.last_fix.is_some()), (Undecided, true));
    assert_eq!(vehicles.look_up("tram", WITHIN), KnownVehicle::UNDECIDED, "it may not be here yet");
    assert_eq!(vehicles.standings(&[bus], WITHIN), [Undecided]);
    assert_eq!(vehicles.counted(0, &[Key::of(bus)]), [None]);
}

#[test]
fn an_owner_tells_of_its_own_partition_alone() {
    let world = World::new().opened();
    let keys = ["old", "new"].map(|id| Key::of(VehicleId::new(id).unwrap()));
    assert_eq!(world.vehicles.counted(0, &keys), [Some(true), Some(false)]);
    assert_eq!(world.vehicles.counted(1, &keys), [None, None]);
}
