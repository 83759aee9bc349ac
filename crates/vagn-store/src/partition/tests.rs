//! What decides the fate of a report outlives a restart, and a change of the number of partitions.

use super::{Forget, Partition, Settings};
use crate::disk::faulty::{FaultyDisk, Loss};
use crate::index::{DepartedCount, Held};
use crate::judge::Count;
use crate::{
    Changes, DataDir, Evidence, Fate, FixBefore, Key, KeyTag, OrderNumber, Seal, Sighting, Updates,
    VehicleIdBuf, partition,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use vagn_wire::{Oddities, Oddity, Position, Report, VehicleId};

/// Reports that come together, for one vehicle: one, or those of one envelope.
#[derive(Debug, Clone)]
struct Sent {
    vehicle: u8,
    reports: Vec<(Sighting, Evidence)>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Sent),
    Delete(u8),
    Forget(Forget),
    Housekeep,
    Sync,
}

/// Everything that decides fates, by vehicle; and the counts of those that left.
type Content = (BTreeMap<VehicleIdBuf, (Sighting, Count)>, Vec<DepartedCount>);

const BEGINNING_MS: i64 = 1_795_860_000_000;

fn name(vehicle: u8) -> String {
    format!("bus {vehicle}")
}

fn settings() -> Settings {
    Settings {
        segment_bytes: 12 * 80,
        snapshot_records: 12,
        slice: 2,
        history_keep_ms: i64::MAX,
        free_floor_bytes: 0,
        ..Settings::default()
    }
}

/// A report with few values of each kind, so that the rules meet.
fn report(random: &mut fastrand::Rng, now_ms: i64, receive_seq: u64) -> (Sighting, Evidence) {
    let lat = *random.choice(&[0.0, 1.0, 2.0]).unwrap();
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
    let (sighting, odd) = Sighting::of(&report, position, now_ms, receive_seq);
    let number = random.choice(&[0, 1, 2, 3, 70, 140, u64::MAX]).copied();
    let key = random.choice(&[None, None, Some(1), Some(2)]).unwrap();
    let sighting = Sighting { seq: number.filter(|_| key.is_some() || random.bool()), ..sighting };
    let seal = key.map(|key| Seal { key: KeyTag::of_key_id([key; 8]), more: false });
    (sighting, Evidence { seal, odd })
}

fn sent(random: &mut fastrand::Rng, now_ms: i64, receive_seq: &mut u64) -> Sent {
    *receive_seq += 10;
    let (sighting, evidence) = report(random, now_ms, *receive_seq);
    let mut reports = vec![(sighting, evidence)];
    let further = if evidence.seal.is_some() { random.u64(..3) } else { 0 };
    for at in 1..=further {
        let (other, _) = report(random, now_ms, *receive_seq + at);
        let seal = evidence.seal.map(|seal| Seal { more: true, ..seal });
        reports.push((Sighting { seq: sighting.seq, ..other }, Evidence { seal, ..evidence }));
    }
    Sent { vehicle: random.u8(..4), reports }
}

/// A story of a partition.
fn story(random: &mut fastrand::Rng, steps: usize) -> Vec<Step> {
    let (mut now_ms, mut receive_seq) = (BEGINNING_MS, 0);
    (0..steps)
        .map(|_| {
            now_ms += random.choice(&[0, 1, 1_000, 9_000, 11_000, 400_000, -1_000, -7_000]).unwrap();
            match random.u8(..14) {
                0 => Step::Delete(random.u8(..4)),
                1 => Step::Forget(Forget { before_ms: now_ms - 600_000, now_ms }),
                2..5 => Step::Housekeep,
                5 => Step::Sync,
                _ => Step::Write(sent(random, now_ms, &mut receive_seq)),
            }
        })
        .collect()
}

fn write(partition: &mut Partition, sent: &Sent) -> Vec<Fate> {
    let mut fates = Vec::new();
    partition.write(&updates_of(&name(sent.vehicle), sent), &mut fates).unwrap();
    fates
}

fn updates_of(name: &str, sent: &Sent) -> Updates {
    let (key, mut updates) = (Key::Text(name), Updates::new());
    for (sighting, evidence) in &sent.reports {
        updates.push_with(key, key.hash(), *sighting, *evidence);
    }
    updates
}

fn take(partition: &mut Partition, step: &Step) -> Vec<Fate> {
    match step {
        Step::Write(sent) => return write(partition, sent),
        Step::Delete(vehicle) => drop(partition.delete(Key::Text(&name(*vehicle))).unwrap()),
        Step::Forget(command) => while partition.forget(*command).unwrap().more {},
        Step::Housekeep => drop(partition.housekeep(0).unwrap()),
        Step::Sync => drop(partition.syncer().sync().unwrap()),
    }
    Vec::new()
}

fn content(partition: &Partition) -> Content {
    partition.index.look(|index| {
        let all = index.slots(0, u32::MAX);
        let vehicles = all.map(|held| {
            let mut count = held.count;
            // An envelope is never divided by a restart, as its reports are one write.
            count.set_repeated(false);
            (VehicleIdBuf::of(held.key), (held.sighting, count))
        });
        (vehicles.collect(), index.departed().behind(None).collect())
    })
}

fn open(disk: &FaultyDisk) -> Partition {
    Partition::open(Arc::new(disk.clone()), Path::new("p"), 0, settings(), 0, &|_| {}).unwrap().0
}

/// Fates of all steps, and the content at the end, with restarts behind the steps for which `restarts` is true.
fn run(story: &[Step], restarts: impl Fn(usize) -> bool) -> (Vec<Vec<Fate>>, Content) {
    let mut disk = FaultyDisk::new();
    let mut partition = open(&disk);
    let mut fates = Vec::new();
    for (at, step) in story.iter().enumerate() {
        fates.push(take(&mut partition, step));
        if restarts(at) {
            // Killed, or ended in order and without power.
            let loss = if at % 2 == 0 { Loss::Nothing } else { Loss::Unsynced };
            if loss == Loss::Unsynced {
                partition.close().unwrap();
            } else {
                drop(partition);
            }
            disk = disk.restart(loss);
            partition = open(&disk);
        }
    }
    (fates, content(&partition))
}

#[test]
fn a_restart_at_any_record_changes_no_fate() {
    let seeds = if std::env::var_os("VAGN_LONG").is_some() { 1_000 } else { 40 };
    for seed in 0..seeds {
        let story = story(&mut fastrand::Rng::with_seed(seed), 60);
        let wanted = run(&story, |_| false);
        for restart in 0..story.len() {
            assert_eq!(run(&story, |at| at == restart), wanted, "seed {seed}, restart behind step {restart}");
        }
        assert_eq!(run(&story, |_| true), wanted, "seed {seed}, restarts behind every step");
    }
}

/// The partitions of a data directory.
struct Partitions {
    opened: Vec<Partition>,
    _data: DataDir,
}

impl Partitions {
    fn open(disk: &FaultyDisk, partitions: u32, history_keep_ms: i64) -> Self {
        let settings = Settings { history_keep_ms, ..settings() };
        let mut data =
            DataDir::open(Arc::new(disk.clone()), Path::new("d"), Some(partitions), u64::from(partitions))
                .unwrap();
        data.prepare(settings, 0, &|_| {}).unwrap();
        let open = |number| data.open_partition(number, settings, 0, &|_| {}).unwrap().0;
        Self { opened: (0..partitions).map(open).collect(), _data: data }
    }

    fn take(&mut self, step: &Step) -> Vec<Fate> {
        let number = |vehicle: u8| partition(Key::Text(&name(vehicle)).hash(), self.opened.len());
        let of = match step {
            Step::Write(sent) => number(sent.vehicle),
            Step::Delete(vehicle) => number(*vehicle),
            _ => return self.opened.iter_mut().flat_map(|partition| take(partition, step)).collect(),
        };
        take(&mut self.opened[of], step)
    }

    fn content(&self) -> Content {
        let (mut vehicles, mut departed) = Content::default();
        for partition in &self.opened {
            let (more, left) = content(partition);
            vehicles.extend(more);
            departed.extend(left);
        }
        departed.sort_by_key(DepartedCount::at);
        (vehicles, departed)
    }

    fn close(self) {
        for partition in self.opened {
            partition.close().unwrap();
        }
    }
}

#[test]
fn another_number_of_partitions_changes_no_fate() {
    for seed in 0..300 {
        // Without history, late reports are found whose vehicle has no position in the log any more.
        let history_keep_ms = if seed % 2 == 0 { i64::MAX } else { 0 };
        let story = story(&mut fastrand::Rng::with_seed(seed), 120);
        let wanted = run(&story, |_| false);
        let disk = FaultyDisk::new();
        let mut fates = Vec::new();
        let mut last = None;
        for (partitions, steps) in [1, 3, 2].into_iter().zip(story.chunks(40)) {
            let mut all = Partitions::open(&disk, partitions, history_keep_ms);
            if let Some(last) = last {
                assert_eq!(all.content(), last, "seed {seed}, {partitions} partitions");
            }
            fates.extend(steps.iter().map(|step| all.take(step)));
            last = Some(all.content());
            all.close();
        }
        assert_eq!((fates, last), (wanted.0, Some(wanted.1)), "seed {seed}");
    }
}

/// The fleet as a follower has it: row, position and time of each vehicle.
type Followed = BTreeMap<VehicleIdBuf, (u32, FixBefore)>;

fn follow(followed: &mut Followed, changes: &Changes) {
    for moved in changes.moved() {
        let fix = FixBefore { position: moved.update.sighting.position, event_time_ms: moved.event_time_ms };
        let before = followed.insert(moved.update.key.into(), (moved.row, fix));
        assert_eq!(before, moved.before.map(|before| (moved.row, before)));
    }
    for gone in changes.gone() {
        let (row, last) = followed.remove(&gone.id).unwrap();
        assert_eq!((row, last.position), (gone.row, gone.last));
    }
}

/// The changes that a step tells.
fn tell(partition: &mut Partition, step: &Step) -> Changes {
    let untold = Changes::untold(0, OrderNumber(0), partition.end());
    match step {
        Step::Write(sent) => {
            let (updates, mut moves) = (updates_of(&name(sent.vehicle), sent), Vec::new());
            partition.write_and_tell(&updates, &mut Vec::new(), &mut moves).unwrap();
            untold.with_moves(updates, moves)
        }
        Step::Delete(vehicle) => {
            untold.with_gone(partition.delete(Key::Text(&name(*vehicle))).unwrap().into_iter().collect())
        }
        Step::Forget(command) => untold.with_gone(partition.forget(*command).unwrap().vehicles),
        Step::Housekeep | Step::Sync => {
            take(partition, step);
            untold
        }
    }
}

#[test]
fn changes_that_are_told_lead_to_what_the_fleet_shows() {
    for seed in 0..300 {
        let (mut partition, mut followed) = (open(&FaultyDisk::new()), Followed::new());
        for step in story(&mut fastrand::Rng::with_seed(seed), 100) {
            follow(&mut followed, &tell(&mut partition, &step));
            let shown = partition.index.look(|index| {
                let fix = |held: Held<'_>| FixBefore {
                    position: held.sighting.position,
                    event_time_ms: held.sighting.event_time_ms,
                };
                let all = index.slots(0, u32::MAX);
                all.map(|held| (VehicleIdBuf::of(held.key), (held.slot, fix(held)))).collect::<Followed>()
            });
            assert_eq!(followed, shown, "seed {seed}, {step:?}");
        }
    }
}
