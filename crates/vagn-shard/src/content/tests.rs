//! A shard beside a partition of one machine, beside a replica that goes over snapshots, and as its followers see it.

mod cases;
mod followers;

use std::path::Path;

use vagn_store::disk::faulty::FaultyDisk;
use vagn_store::{Changes, Evidence, KeyTag, Move, Partition, Seal, Settings, Sighting, VehicleIdBuf};
use vagn_wire::{Oddities, Oddity, Position, Report, ms_of_number};

use super::*;
use crate::payload::SealOf;

const NOW: i64 = 1_795_860_000_000;

/// A report as a test sends it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sent {
    vehicle: u8,
    arrived_ms: i64,
    /// Latitude; 0 is no fix.
    place: i8,
    time: Option<i64>,
    /// `Seq`, or the sequence of the seal.
    number: Option<u64>,
    /// False for a time in a form that cannot be read.
    readable: bool,
    /// Key, and whether it is not the first of its envelope.
    seal: Option<(u8, bool)>,
}

impl Sent {
    fn at(arrived_ms: i64, place: i8) -> Self {
        Self { vehicle: 0, arrived_ms, place, time: None, number: None, readable: true, seal: None }
    }

    fn id(&self) -> String {
        id(self.vehicle)
    }

    fn seal(&self) -> Option<SealOf> {
        let (key, more) = self.seal?;
        let key = KeyTag::of_key_id([key; 8]);
        Some(SealOf { key, sequence: self.number.expect("a seal has a sequence"), more })
    }

    /// The report as a door decodes it.
    fn report<'a>(&self, id: &'a str) -> Report<'a> {
        let position = Position::new(f64::from(self.place), 0.0).unwrap();
        let mut report = Report::new(VehicleId::new(id).unwrap(), position);
        match self.time.map(ms_of_number) {
            _ if !self.readable => report.odd.add(Oddity::TimeUnreadable),
            Some((time_ms, odd)) => (report.event_time_ms, report.odd) = (Some(time_ms), odd),
            None => {}
        }
        // What a vehicle says in a sealed report is not its number.
        report.seq = if self.seal.is_some() { Some(1) } else { self.number };
        report.speed_mps = Some(f32::from(self.vehicle)).filter(|_| self.place == 2);
        report.heading_deg = Some(90.5).filter(|_| self.place == 1);
        report.emergency = self.place == 3;
        report
    }

    /// The report on its way to a partition, as ingest has it.
    fn update(&self, id: &str, order: u64) -> (Sighting, Evidence) {
        let report = self.report(id);
        let (mut sighting, odd) = Sighting::of(&report, report.position.unwrap(), self.arrived_ms, order);
        let seal = self.seal().map(|SealOf { key, sequence, more }| {
            sighting.seq = Some(sequence);
            Seal { key, more }
        });
        (sighting, Evidence { seal, odd })
    }

    fn payload(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        Payload::write(&self.report(&self.id()), self.seal(), &mut fields).unwrap();
        fields
    }
}

fn id(vehicle: u8) -> String {
    // Ids are kept in three ways.
    match vehicle % 3 {
        0 => format!("4e091396-62ae-4f3b-8715-7b4fc9c64d{vehicle:02}"),
        1 => format!("bus {vehicle}"),
        _ => format!("a bus with a name of many words {vehicle}"),
    }
}

/// Few values of each kind, so that the rules meet.
fn any(random: &mut fastrand::Rng, now_ms: i64, before: Option<Sent>) -> Sent {
    let time = match random.u8(..12) {
        0..4 => None,
        4 => Some(now_ms / 1_000),
        5 => Some(now_ms - 619_315_200_000),
        6 => *random.choice(&[Some(0), Some(i64::MIN), Some(946_684_800_000), Some(now_ms * 1_000)]).unwrap(),
        _ => Some(now_ms + random.choice(&[-400_000, -3_000, -1, 0, 1, 6_000, 3_000_000]).unwrap()),
    };
    let seal = random.choice(&[None, None, None, Some((1, false)), Some((2, false))]).copied().flatten();
    let number = random.choice(&[None, Some(0), Some(1), Some(2), Some(3), Some(70), Some(u64::MAX)]);
    let number = number.copied().flatten().or(seal.map(|_| 9));
    let sent = Sent {
        vehicle: random.u8(..9),
        arrived_ms: now_ms,
        place: random.i8(0..4),
        time,
        number,
        readable: random.u8(..8) > 0,
        seal,
    };
    match before.filter(|before| before.seal.is_some() && random.u8(..3) == 0) {
        // Another of the same envelope.
        Some(Sent { vehicle, seal: Some((key, _)), number, .. }) => {
            Sent { vehicle, number, seal: Some((key, true)), ..sent }
        }
        _ => sent,
    }
}

/// A change as an entry has it.
#[derive(Debug, Clone)]
enum Given {
    Report(Sent),
    /// A report whose fields cannot be read.
    Unreadable(u8),
    Deletion(u8),
    Setting(ShardSettings),
}

impl Given {
    /// Calls `with` for the change.
    fn with<R>(&self, with: impl FnOnce(Change<'_>) -> R) -> R {
        match self {
            Self::Report(sent) => {
                let (id, fields) = (sent.id(), sent.payload());
                with(Change::Report {
                    vehicle_id: id.as_bytes(),
                    arrival_ms: sent.arrived_ms,
                    fields: &fields,
                })
            }
            Self::Unreadable(vehicle) => {
                let id = id(*vehicle);
                with(Change::Report { vehicle_id: id.as_bytes(), arrival_ms: 0, fields: b"\x02" })
            }
            Self::Deletion(vehicle) => with(Change::Deletion { vehicle_id: id(*vehicle).as_bytes() }),
            Self::Setting(settings) => with(Change::Setting { value: &settings.to_bytes() }),
        }
    }
}

fn place(order: u64, arrival_ms: i64) -> Place {
    Place { order, time_ms: arrival_ms, arrival_ms }
}

/// Applies changes of one entry, all at once.
fn apply(shard: &mut FleetShard, first_order: u64, now_ms: i64, given: &[Given]) -> Vec<Fate> {
    let mut owned = Vec::new();
    for one in given {
        one.with(|change| match change {
            Change::Report { vehicle_id, fields, .. } => owned.push((vehicle_id.to_vec(), fields.to_vec())),
            Change::Deletion { vehicle_id } => owned.push((vehicle_id.to_vec(), Vec::new())),
            Change::Setting { value } => owned.push((Vec::new(), value.to_vec())),
        });
    }
    let changes = given.iter().zip(&owned).zip(first_order..).map(|((given, (id, bytes)), order)| {
        let change = match given {
            Given::Report(_) | Given::Unreadable(_) => {
                Change::Report { vehicle_id: id, arrival_ms: 0, fields: bytes }
            }
            Given::Deletion(_) => Change::Deletion { vehicle_id: id },
            Given::Setting(_) => Change::Setting { value: bytes },
        };
        let arrival_ms = if let Given::Report(sent) = given { sent.arrived_ms } else { now_ms };
        (place(order, arrival_ms), change)
    });
    shard.apply_all(changes)
}

fn shard(settings: ShardSettings) -> FleetShard {
    FleetShard::begin(ShardId(3), &settings.to_bytes())
}

fn snapshot(shard: &FleetShard) -> Vec<u8> {
    let mut out = Vec::new();
    shard.write_snapshot(&mut out);
    out
}

fn again(shard: &FleetShard) -> FleetShard {
    FleetShard::read_snapshot(ShardId(3), &snapshot(shard)).unwrap()
}

/// Shards for a corpus.
pub(crate) fn of_each_kind() -> [(&'static str, FleetShard); 3] {
    let settings = ShardSettings { forget_after_ms: 86_400_000, max_vehicles: 9 };
    let mut full = shard(settings);
    let sent = [
        Sent::at(NOW, 1),
        Sent { vehicle: 1, time: Some(NOW - 5), number: Some(7), ..Sent::at(NOW, 2) },
        Sent { vehicle: 2, number: Some(NOW as u64), seal: Some((4, false)), ..Sent::at(NOW + 9, 3) },
        Sent { vehicle: 3, readable: false, ..Sent::at(NOW + 10, 3) },
    ];
    assert_eq!(apply(&mut full, 1 << 60, NOW, &sent.map(Given::Report)), [Fate::Stored; 4]);
    let mut left = again(&full);
    assert_eq!(apply(&mut left, 1 << 61, NOW, &[Given::Deletion(2), Given::Deletion(0)]), [Fate::Stored; 2]);
    [("empty", shard(settings)), ("vehicles", full), ("left", left)]
}

fn vehicles(reader: &Reader) -> Vec<(VehicleIdBuf, Sighting)> {
    let mut vehicles = Vec::new();
    let mut from = 0;
    while reader.visit_rows(from, 64, |found| vehicles.push((VehicleIdBuf::from(found.key), found.sighting)))
    {
        from += 64;
    }
    vehicles.sort_by_key(|(id, _)| *id);
    vehicles
}

/// One machine: a partition, and reports that come to it as from ingest.
struct OneMachine(Partition);

impl OneMachine {
    fn new(bound: usize) -> Self {
        let (disk, settings) = (Arc::new(FaultyDisk::new()), Settings::default());
        let (mut partition, _) = Partition::open(disk, Path::new("p"), 3, settings, NOW, &|_| {}).unwrap();
        partition.bound(bound);
        Self(partition)
    }

    /// Takes reports at once; returns their fates, and the moves.
    fn take(&mut self, first_order: u64, reports: &[Sent]) -> (Vec<Fate>, Changes) {
        let mut updates = Updates::new();
        for (sent, order) in reports.iter().zip(first_order..) {
            let id = sent.id();
            let key = Key::of(VehicleId::new(&id).unwrap());
            let (sighting, evidence) = sent.update(&id, order);
            updates.push_with(key, key.hash(), sighting, evidence);
        }
        let (mut fates, mut moves): (_, Vec<Move>) = (Vec::new(), Vec::new());
        self.0.write_and_tell(&updates, &mut fates, &mut moves).unwrap();
        let none = OrderNumber::default();
        (fates, Changes::untold(3, none, none).with_moves(updates, moves))
    }
}

#[test]
fn judges_as_one_machine_does() {
    for seed in 0..vagn_fuzz::rounds(300) as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut one_machine = OneMachine::new(7);
        let mut shard = shard(ShardSettings { max_vehicles: 7, ..ShardSettings::UNBOUNDED });
        let outlet = followers::attach(&shard, true);
        let (mut now_ms, mut order, mut before) = (NOW, 1, None);
        for _ in 0..20 {
            now_ms += random.choice(&[0, 1, 1_000, 9_000, 10_001, 400_000, -1, -6_000]).unwrap();
            let mut sent: Vec<_> = Vec::new();
            for _ in 0..random.usize(..20) {
                before = Some(any(&mut random, now_ms, before));
                sent.extend(before);
            }
            let (fates, moved) = one_machine.take(order, &sent);
            let given: Vec<_> = sent.iter().copied().map(Given::Report).collect();
            assert_eq!(apply(&mut shard, order, now_ms, &given), fates, "seed {seed}: {sent:?}");
            order += sent.len() as u64;
            assert_eq!(vehicles(&shard.reader()), vehicles(&one_machine.0.reader()), "seed {seed}");
            let odd: Vec<Oddities> = one_machine.0.odd().map(|(_, odd)| odd).collect();
            let (told, told_odd, replays) = outlet.take();
            assert_eq!((told_odd, replays), (odd, one_machine.0.replays()), "seed {seed}");
            let told: Vec<String> = told.iter().flat_map(followers::moves).collect();
            assert_eq!(told, followers::moves(&moved), "seed {seed}");
            if random.u8(..4) == 0 {
                let vehicle = random.u8(..9);
                let id = id(vehicle);
                let gone = one_machine.0.delete(Key::of(VehicleId::new(&id).unwrap())).unwrap();
                let fate = if gone.is_some() { Fate::Stored } else { Fate::Duplicate };
                assert_eq!(apply(&mut shard, order, now_ms, &[Given::Deletion(vehicle)]), [fate]);
                order += 1;
                let told = outlet.take().0;
                assert!(told.iter().flat_map(|changes| changes.gone()).eq(&gone), "seed {seed}");
            }
        }
    }
}

fn given(random: &mut fastrand::Rng, now_ms: i64, before: &mut Option<Sent>) -> Given {
    match random.u8(..24) {
        0 => Given::Unreadable(random.u8(..9)),
        1 | 2 => Given::Deletion(random.u8(..9)),
        3 => Given::Setting(ShardSettings {
            forget_after_ms: random.i64(1..900_000),
            max_vehicles: random.u32(3..9),
        }),
        _ => {
            *before = Some(any(random, now_ms, *before));
            Given::Report(before.unwrap())
        }
    }
}

#[test]
fn replicas_agree_whatever_snapshots_and_entries_lie_between() {
    for seed in 0..vagn_fuzz::rounds(300) as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = ShardSettings { forget_after_ms: 600_000, max_vehicles: 7 };
        let (mut one, mut other) = (shard(settings), shard(settings));
        let (mut now_ms, mut order, mut before) = (NOW, 1_u64 << 60, None);
        for _ in 0..40 {
            now_ms += random.choice(&[0, 1, 1_000, 9_000, 400_000]).unwrap();
            let entry: Vec<_> =
                (0..random.usize(..12)).map(|_| given(&mut random, now_ms, &mut before)).collect();
            let fates = apply(&mut one, order, now_ms, &entry);
            let mut each = Vec::new();
            for (given, order) in entry.iter().zip(order..) {
                let arrival_ms = if let Given::Report(sent) = given { sent.arrived_ms } else { now_ms };
                each.push(given.with(|change| other.apply(place(order, arrival_ms), change)));
            }
            assert_eq!(fates, each, "seed {seed}: {entry:?}");
            order += 4_096;
            if random.bool() {
                one.tick(now_ms);
                other.tick(now_ms);
            }
            assert_eq!(snapshot(&one), snapshot(&other), "seed {seed}");
            assert_eq!(one.content_hash(), other.content_hash(), "seed {seed}");
            if random.u8(..4) == 0 {
                other = again(&other);
                assert_eq!(one.content_hash(), other.content_hash(), "seed {seed}");
            }
        }
    }
}

#[test]
fn content_that_differs_in_a_vehicle_or_a_setting_has_another_hash() {
    let settings = ShardSettings { forget_after_ms: 1_000, max_vehicles: 9 };
    let hash = |settings, given: &[Given]| {
        let mut shard = shard(settings);
        apply(&mut shard, 1, NOW, given);
        shard.content_hash()
    };
    let report = Given::Report(Sent::at(NOW, 1));
    let hashes = [
        hash(settings, &[]),
        hash(settings, std::slice::from_ref(&report)),
        hash(settings, &[Given::Report(Sent::at(NOW, 2))]),
        // The same report under another order number.
        hash(settings, &[Given::Deletion(0), report]),
        hash(ShardSettings { forget_after_ms: 1_001, ..settings }, &[]),
        hash(ShardSettings { max_vehicles: 8, ..settings }, &[]),
    ];
    for (at, hash) in hashes.iter().enumerate() {
        assert!(hashes[at + 1..].iter().all(|other| other != hash), "{at}");
    }
    assert_eq!(hash(settings, &[Given::Report(Sent::at(NOW, 1)), Given::Deletion(0)]), hashes[0]);
}

#[test]
fn what_was_sealed_is_known_at_all_replicas_when_its_vehicle_was_deleted_or_forgotten() {
    let settings = ShardSettings { forget_after_ms: 1_000, max_vehicles: 9 };
    let empty = shard(settings).content_hash();
    let sent = |number, arrived_ms| {
        Given::Report(Sent { number: Some(number), seal: Some((1, false)), ..Sent::at(arrived_ms, 1) })
    };
    for is_deleted in [true, false] {
        let mut one = shard(settings);
        assert_eq!(apply(&mut one, 1, NOW, &[sent(5, NOW)]), [Fate::Stored]);
        // A replica that is copied before the vehicle leaves, and one that is copied after that.
        let mut before = again(&one);
        for replica in [&mut one, &mut before] {
            if is_deleted {
                assert_eq!(apply(replica, 2, NOW, &[Given::Deletion(0)]), [Fate::Stored]);
            } else {
                replica.tick(NOW + 2_000);
            }
            assert_eq!(replica.reader().len(), 0);
        }
        let after = again(&one);
        assert_ne!(one.content_hash(), empty, "a replica that has lost it is found");
        let mut replicas = [one, before, after];
        for (number, fate, len) in [(5, Fate::Duplicate, 0), (6, Fate::Stored, 1), (5, Fate::Duplicate, 1)] {
            let (order, now_ms) = (10 * number + len as u64, NOW + 3_000);
            let heard: Vec<_> = replicas
                .iter_mut()
                .map(|replica| {
                    let fates = apply(replica, order, now_ms, &[sent(number, now_ms)]);
                    (fates, replica.reader().len(), replica.content_hash(), snapshot(replica))
                })
                .collect();
            assert_eq!((&heard[0].0[..], heard[0].1), (&[fate][..], len), "{is_deleted}, {number}");
            assert!(heard.iter().all(|other| *other == heard[0]), "{is_deleted}, {number}");
        }
    }
}

#[test]
fn vehicles_that_fall_silent_go_in_the_order_of_receipt_and_so_many_at_a_tick() {
    let mut shard = shard(ShardSettings { forget_after_ms: 60_000, ..ShardSettings::UNBOUNDED });
    let count = FORGOTTEN_AT_ONCE + 10;
    let report = |shard: &mut FleetShard, number: usize, order: usize, arrival_ms| {
        let id = format!("bus-{number}");
        let mut fields = Vec::new();
        let at = Report::new(VehicleId::new(&id).unwrap(), Position::new(1.0, 1.0).unwrap());
        Payload::write(&at, None, &mut fields).unwrap();
        let change = Change::Report { vehicle_id: id.as_bytes(), arrival_ms, fields: &fields };
        assert_eq!(shard.apply(place(order as u64, arrival_ms), change), Fate::Stored);
    };
    (0..count).for_each(|number| report(&mut shard, number, number, NOW));
    // Heard again, so it goes last; and one more whose arrival is a little later than that of the one behind it.
    report(&mut shard, 0, count, NOW + 1_000);
    report(&mut shard, 1, count + 1, NOW + 500);
    let left = |shard: &mut FleetShard, time_ms| {
        shard.tick(time_ms);
        *shard = again(shard);
        shard.reader().len()
    };
    assert_eq!(left(&mut shard, NOW + 60_000), count, "none is older than a minute");
    assert_eq!(left(&mut shard, NOW + 60_001), 10);
    let get =
        |shard: &FleetShard, number: usize| shard.reader().get(Key::Text(&format!("bus-{number}"))).is_some();
    assert!(get(&shard, 0) && get(&shard, 1) && get(&shard, count - 1) && !get(&shard, 2));
    assert_eq!(left(&mut shard, NOW + 60_002), 2);
    assert_eq!(left(&mut shard, NOW + 60_700), 2, "behind one that is to stay");
    assert_eq!(left(&mut shard, NOW + 61_001), 0);
}

#[test]
fn new_vehicles_beyond_the_bound_are_shed_until_a_setting_raises_it() {
    let settings = ShardSettings { max_vehicles: 1, ..ShardSettings::UNBOUNDED };
    let mut shard = shard(settings);
    let reports =
        [0, 1, 0].map(|vehicle| Given::Report(Sent { vehicle, ..Sent::at(NOW + i64::from(vehicle), 1) }));
    let more = Given::Setting(ShardSettings { max_vehicles: 2, ..settings });
    let entry = [&reports[..2], &[more], &reports[1..2]].concat();
    assert_eq!(apply(&mut shard, 1, NOW, &entry), [Fate::Stored, Fate::Shed, Fate::Stored, Fate::Stored]);
    assert_eq!((shard.reader().len(), shard.settings().max_vehicles), (2, 2));
    assert_eq!(again(&shard).settings(), shard.settings());
}

#[test]
fn what_cannot_be_read_fails_and_changes_nothing() {
    let mut shard = shard(ShardSettings::UNBOUNDED);
    apply(&mut shard, 1, NOW, &[Given::Report(Sent::at(NOW, 1))]);
    let before = shard.content_hash();
    let good = Sent::at(NOW, 1).payload();
    for change in [
        Change::Report { vehicle_id: b"bus", arrival_ms: NOW, fields: b"" },
        Change::Report { vehicle_id: b"b\0s", arrival_ms: NOW, fields: &good },
        Change::Deletion { vehicle_id: b"\xff" },
        Change::Setting { value: b"\x02" },
    ] {
        assert_eq!(shard.apply(place(9, NOW), change), Fate::Failed, "{change:?}");
    }
    assert_eq!((shard.content_hash(), shard.reader().len()), (before, 1));
    assert_eq!(FleetShard::begin(ShardId(3), b"other").settings(), ShardSettings::UNBOUNDED);
}

#[test]
fn answers_of_what_it_holds() {
    let mut shard = shard(ShardSettings::UNBOUNDED);
    apply(&mut shard, 1, NOW, &[Given::Report(Sent::at(NOW, 1))]);
    let (mut question, mut out) = (Vec::new(), Vec::new());
    crate::question::write_question(&vagn_store::Question::Count, &mut question);
    shard.answer(&question, &mut out);
    assert_eq!(crate::question::read_answer(&out), Ok(vagn_store::Answer::Count(1)));
}
