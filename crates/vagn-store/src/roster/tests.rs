//! A roster beside a partition, beside another that goes over bytes, and beside what a search through all its vehicles tells.

use super::*;
use crate::disk::faulty::FaultyDisk;
use crate::index::Held;
use crate::{Evidence, KeyTag, Partition, Seal, Settings, Sighting, Vehicle};
use std::path::Path;
use std::sync::Arc;
use vagn_wire::{Oddity, Position, Report, VehicleId};

const NOW: i64 = 1_800_000_000_000;

/// Few enough that reports of new vehicles are shed.
const BOUND: usize = 6;

/// A change as a test makes it.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(usize, Sighting, Evidence)>),
    Delete(usize),
    Forget { before_ms: i64, most: usize },
    Bound(usize),
}

fn name(vehicle: usize) -> String {
    // Packed, kept as it is, and kept aside.
    match vehicle % 3 {
        0 => format!("4e091396-62ae-4f3b-8715-7b4fc9c64d{vehicle:02}"),
        1 => format!("bus {vehicle}"),
        _ => format!("a bus with a name of many words {vehicle}"),
    }
}

fn report(random: &mut fastrand::Rng, now_ms: i64, receive_seq: u64) -> (Sighting, Evidence) {
    let lat = *random.choice(&[0.0, -0.0, 1.0, 2.0]).unwrap();
    let position = Position::new(lat, 0.0).unwrap();
    let mut report = Report::new(VehicleId::new("any").unwrap(), position);
    report.event_time_ms = match random.u8(..8) {
        0..3 => None,
        3 => Some(now_ms + 3_000_000),
        4 => Some(now_ms - 2 * 365 * 86_400_000),
        _ => Some(now_ms - random.i64(0..4) * 1_000),
    };
    if random.u8(..8) == 0 {
        (report.event_time_ms, report.odd) = (None, Oddities::of(Oddity::TimeUnreadable));
    }
    let key = random.choice(&[None, None, Some(1), Some(2)]).unwrap();
    let number = random.choice(&[0, 1, 2, 3, 70, 140, u64::MAX]).copied();
    report.seq = number.filter(|_| key.is_some() || random.bool());
    report.speed_mps = Some(3.5).filter(|_| random.bool());
    report.heading_deg = Some(359.0).filter(|_| random.bool());
    report.emergency = random.u8(..8) == 0;
    let (sighting, odd) = Sighting::of(&report, position, now_ms, receive_seq);
    let seal = key.map(|key| Seal { key: KeyTag::of_key_id([key; 8]), more: random.u8(..4) == 0 });
    (sighting, Evidence { seal, odd })
}

fn steps(random: &mut fastrand::Rng) -> Vec<Step> {
    let (mut now_ms, mut receive_seq) = (NOW, 0);
    let step = |_| {
        now_ms += random.choice(&[0, 1, 1_000, 9_000, 400_000]).unwrap();
        match random.u8(..10) {
            0 => Step::Delete(random.usize(..9)),
            1 => Step::Forget { before_ms: now_ms - random.i64(..500_000), most: random.usize(..4) },
            2 => Step::Bound(random.usize(BOUND - 3..=BOUND)),
            _ => Step::Write(
                (0..random.usize(..20))
                    .map(|_| {
                        receive_seq += 1 + random.u64(..3);
                        // Doors may differ by a little.
                        let arrived_ms = now_ms + random.i64(..2);
                        let (sighting, evidence) = report(random, arrived_ms, receive_seq);
                        (random.usize(..9), sighting, evidence)
                    })
                    .collect(),
            ),
        }
    };
    (0..30).map(step).collect()
}

fn updates(reports: &[(usize, Sighting, Evidence)]) -> Updates {
    let mut updates = Updates::new();
    for (vehicle, sighting, evidence) in reports {
        let name = name(*vehicle);
        let key = Key::of(VehicleId::new(&name).unwrap());
        updates.push_with(key, key.hash(), *sighting, *evidence);
    }
    updates
}

/// What became of a step: the fates of its reports, and the vehicles that left. Their slots are another matter.
type Done = (Vec<Fate>, Vec<(String, Position)>);

fn left(gone: impl IntoIterator<Item = Gone>) -> Vec<(String, Position)> {
    gone.into_iter().map(|gone| (gone.id.to_string(), gone.last)).collect()
}

fn take(roster: &mut Roster, step: &Step, at_once: usize) -> Done {
    let mut fates = Vec::new();
    match step {
        Step::Write(reports) => {
            reports.chunks(at_once).for_each(|some| roster.write(&updates(some), &mut fates));
            (fates, Vec::new())
        }
        Step::Delete(vehicle) => {
            let name = name(*vehicle);
            (fates, left(roster.delete(Key::of(VehicleId::new(&name).unwrap()))))
        }
        Step::Forget { before_ms, most } => (fates, left(roster.forget(*before_ms, *most))),
        Step::Bound(most) => {
            roster.bound(*most);
            (fates, Vec::new())
        }
    }
}

fn bytes(roster: &Roster) -> Vec<u8> {
    let mut out = Vec::new();
    roster.write_bytes(&mut out);
    out
}

fn held(roster: &Roster) -> Vec<(String, Held<'static>)> {
    roster.index.look(|index| {
        let held = index.slots(0, u32::MAX);
        let mut held: Vec<_> =
            held.map(|held| (held.key.to_string(), Held { key: Key::Text(""), slot: 0, ..held })).collect();
        held.sort_by_key(|(_, held)| held.sighting.receive_seq);
        held
    })
}

/// Checks what is kept beside the rows against the rows themselves.
fn check_beside(roster: &Roster) {
    roster.index.look(|index| {
        let hash_of = |held: Held<'_>| beside::row_hash(held.key.hash(), &held.sighting, &held.count);
        let hashes = index.slots(0, u32::MAX).map(hash_of);
        assert_eq!(roster.hash(), hashes.fold(index.departed().sum(), u64::wrapping_add));
        let mut received: Vec<_> =
            index.slots(0, u32::MAX).map(|held| (held.sighting.receive_seq, held.slot)).collect();
        received.sort_unstable();
        assert!(roster.beside.in_order().eq(received.into_iter().map(|(_, slot)| slot)));
    });
}

/// Vehicles that a step of forgetting must take: the first by receipt, none behind one that is still to stay.
fn silent(roster: &Roster, before_ms: i64, most: usize) -> Vec<String> {
    let held = held(roster);
    let silent = held.iter().take(most).take_while(|(_, held)| held.sighting.receive_time_ms < before_ms);
    silent.map(|(name, _)| name.clone()).collect()
}

#[test]
fn what_it_holds_follows_from_its_calls_whatever_their_batches_and_bytes_between() {
    let rounds = vagn_fuzz::rounds(400);
    for seed in 0..rounds as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut one, mut other) = (Roster::new(1), Roster::new(2));
        let mut bound = usize::MAX;
        for step in steps(&mut random) {
            if let Step::Bound(most) = step {
                bound = most;
            }
            let expected = match step {
                Step::Forget { before_ms, most } => Some(silent(&one, before_ms, most)),
                _ => None,
            };
            let done = take(&mut one, &step, usize::MAX);
            assert_eq!(take(&mut other, &step, 1 + random.usize(..3)), done, "seed {seed}: {step:?}");
            if let Some(expected) = expected {
                assert!(done.1.iter().map(|(name, _)| name).eq(&expected), "seed {seed}: {step:?}");
            }
            check_beside(&one);
            let written = bytes(&one);
            assert_eq!((bytes(&other), other.hash()), (written.clone(), one.hash()), "seed {seed}");
            if random.u8(..4) == 0 {
                other = Roster::read_bytes(3, &written).unwrap();
                check_beside(&other);
                assert_eq!(held(&other), held(&one), "seed {seed}");
                other.bound(bound);
            }
        }
    }
}

#[test]
fn judges_as_a_partition_does() {
    for seed in 0..vagn_fuzz::rounds(200) as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut roster = Roster::new(0);
        let (disk, settings) = (Arc::new(FaultyDisk::new()), Settings::default());
        let (mut partition, _) = Partition::open(disk, Path::new("p"), 0, settings, NOW, &|_| {}).unwrap();
        for step in steps(&mut random) {
            let done = match &step {
                Step::Write(reports) => {
                    let (mut fates, updates) = (Vec::new(), updates(reports));
                    let (mut moves, mut told) = (Vec::new(), Vec::new());
                    partition.write_and_tell(&updates, &mut fates, &mut told).unwrap();
                    let mut own = Vec::new();
                    roster.write_and_tell(&updates, &mut own, &mut moves);
                    assert_eq!(moves, told, "seed {seed}");
                    assert!(roster.odd().eq(partition.odd()) && roster.replays() == partition.replays());
                    assert_eq!(own, fates, "seed {seed}: {step:?}");
                    continue;
                }
                Step::Delete(vehicle) => {
                    let name = name(*vehicle);
                    left(partition.delete(Key::of(VehicleId::new(&name).unwrap())).unwrap())
                }
                Step::Bound(most) => {
                    partition.bound(*most);
                    Vec::new()
                }
                Step::Forget { .. } => continue,
            };
            assert_eq!(take(&mut roster, &step, usize::MAX).1, done, "seed {seed}: {step:?}");
            let of = |reader: Reader| (0..9).map(|at| vehicle(&reader, at)).collect::<Vec<_>>();
            assert_eq!(of(roster.reader()), of(partition.reader()), "seed {seed}: {step:?}");
        }
    }
}

fn vehicle(reader: &Reader, number: usize) -> Option<Vehicle> {
    let name = name(number);
    reader.get(Key::of(VehicleId::new(&name).unwrap()))
}

/// A roster with a vehicle of each kind.
fn some() -> Roster {
    let mut random = fastrand::Rng::with_seed(7);
    let mut roster = Roster::new(0);
    while roster.len() < 5 {
        for step in steps(&mut random) {
            take(&mut roster, &step, usize::MAX);
        }
    }
    assert!(roster.reader().departed_counts().kept > 0);
    roster
}

/// Counts that are kept of vehicles that left, and that were lost.
fn departed(roster: &Roster) -> (usize, u64) {
    let counts = roster.reader().departed_counts();
    (counts.kept, counts.lost)
}

fn sealed(vehicle: usize, number: u64, receive_seq: u64) -> (usize, Sighting, Evidence) {
    let (plain, _) = report(&mut fastrand::Rng::with_seed(1), NOW, receive_seq);
    let position = Position::new(2.0, 0.0).unwrap();
    let seal = Seal { key: KeyTag::of_key_id([1; 8]), more: false };
    let sighting = Sighting { seq: Some(number), position, own_time: false, event_time_ms: NOW, ..plain };
    (vehicle, sighting, Evidence { seal: Some(seal), ..Evidence::default() })
}

#[test]
fn what_was_sealed_is_known_when_its_vehicle_has_left() {
    let key_of = |vehicle| Step::Delete(vehicle);
    let mut roster = Roster::new(1);
    let empty = (bytes(&roster), roster.hash());
    let sent = |number, receive_seq| Step::Write(vec![sealed(1, number, receive_seq)]);
    assert_eq!(take(&mut roster, &sent(7, 1), 1).0, [Fate::Stored]);
    take(&mut roster, &key_of(1), 1);
    assert_eq!((roster.len(), departed(&roster)), (0, (1, 0)));
    assert_ne!(roster.hash(), empty.1, "replicas of which one has forgotten more are not alike");
    for again in [Roster::read_bytes(2, &bytes(&roster)).unwrap(), roster] {
        let mut again = again;
        check_beside(&again);
        let left = (bytes(&again), again.hash());
        assert_eq!(take(&mut again, &sent(7, 2), 1).0, [Fate::Duplicate]);
        assert_eq!((again.replays(), again.len()), (1, 0));
        assert_eq!((bytes(&again), again.hash()), left, "it has changed nothing");
        // What is new brings the vehicle back, and its count is where it was.
        assert_eq!(take(&mut again, &sent(8, 3), 1).0, [Fate::Stored]);
        assert_eq!((again.len(), departed(&again)), (1, (0, 0)));
        check_beside(&again);
        assert_eq!(take(&mut again, &sent(7, 4), 1).0, [Fate::Duplicate]);
        // Beyond the bound a count goes.
        take(&mut again, &key_of(1), 1);
        take(&mut again, &Step::Bound(0), 1);
        assert_eq!((departed(&again), (bytes(&again), again.hash())), ((0, 1), empty.clone()));
    }
}

#[test]
fn a_row_that_differs_in_anything_has_another_hash() {
    let count = |numbers: &[u64]| {
        let mut count = crate::judge::Count::NONE;
        numbers.iter().for_each(|number| count.note(*number));
        count
    };
    let (plain, _) = report(&mut fastrand::Rng::with_seed(1), NOW, 1);
    let plain = Sighting { seq: None, speed_mps: None, heading_deg: None, emergency: false, ..plain };
    let place = |lat, lon| Position::new(lat, lon).unwrap();
    let mut hashes = vec![
        beside::row_hash(1, &plain, &count(&[])),
        beside::row_hash(2, &plain, &count(&[])),
        beside::row_hash(1, &plain, &count(&[0])),
        beside::row_hash(1, &plain, &count(&[1])),
        beside::row_hash(1, &plain, &count(&[0, 1])),
        beside::row_hash(1, &plain, &crate::judge::Count::begin(Some(KeyTag::of_key_id([9; 8])))),
    ];
    for other in [
        Sighting { position: place(7.0, 0.0), ..plain },
        Sighting { position: place(0.0, 7.0), ..plain },
        Sighting { event_time_ms: 5, ..plain },
        Sighting { receive_time_ms: 5, ..plain },
        Sighting { receive_seq: 5, ..plain },
        Sighting { seq: Some(0), ..plain },
        Sighting { seq: Some(5), ..plain },
        Sighting { speed_mps: Some(0.0), ..plain },
        Sighting { speed_mps: Some(5.0), ..plain },
        Sighting { heading_deg: Some(0.0), ..plain },
        Sighting { heading_deg: Some(5.0), ..plain },
        Sighting { emergency: true, ..plain },
        Sighting { own_time: !plain.own_time, ..plain },
        Sighting { unsure: !plain.unsure, ..plain },
    ] {
        hashes.push(beside::row_hash(1, &other, &count(&[])));
    }
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}

#[test]
fn bytes_are_the_only_ones_of_what_is_read_of_them() {
    let whole = bytes(&some());
    assert!(Roster::check_bytes(&whole));
    for at in 0..whole.len() {
        assert!(!Roster::check_bytes(&whole[..at]), "cut at {at}");
        for bit in 0..8 {
            let mut other = whole.clone();
            other[at] ^= 1 << bit;
            match Roster::read_bytes(0, &other) {
                Some(read) => assert_eq!(bytes(&read), other, "changed at {at}"),
                None => continue,
            }
            assert!(Roster::check_bytes(&other));
        }
    }
    assert!(!Roster::check_bytes(&[&whole[..], &[0]].concat()));
}

#[test]
fn a_vehicle_that_comes_twice_is_not_read() {
    let roster = some();
    let mut out = bytes(&Roster::new(0));
    out[4] = 2;
    roster.index.look(|index| {
        let held = index.slots(0, u32::MAX).next().unwrap();
        for slot in 0..2 {
            let receive_seq = u64::from(slot);
            let sighting = Sighting { receive_seq, ..held.sighting };
            crate::snapshot::put_vehicle(&Held { slot, sighting, ..held }, &mut out);
        }
    });
    assert!(Roster::check_bytes(&out) && Roster::read_bytes(0, &out).is_none());
}
