//! What followers of a shard hear.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::*;

/// An outlet that keeps what it hears.
#[derive(Default)]
pub(super) struct Heard {
    is_followed: AtomicBool,
    told: Mutex<(Vec<Changes>, Vec<Oddities>, u64)>,
}

impl Outlet for Heard {
    fn is_followed(&self) -> bool {
        self.is_followed.load(Relaxed)
    }

    fn tell(&self, changes: Changes) {
        self.told.lock().0.push(changes);
    }

    fn odd(&self, _: Key<'_>, _: i64, odd: Oddities) {
        self.told.lock().1.push(odd);
    }

    fn replays(&self, reports: u64) {
        self.told.lock().2 += reports;
    }
}

impl Heard {
    /// Takes what was told: changes, oddities, and the number of replays.
    pub(super) fn take(&self) -> (Vec<Changes>, Vec<Oddities>, u64) {
        std::mem::take(&mut self.told.lock())
    }
}

pub(super) fn attach(shard: &FleetShard, is_followed: bool) -> Arc<Heard> {
    let heard = Arc::new(Heard { is_followed: is_followed.into(), ..Heard::default() });
    shard.attach(heard.clone());
    heard
}

/// Shows the positions that were told.
pub(super) fn moves(changes: &Changes) -> Vec<String> {
    let moved = changes.moved();
    moved
        .map(|moved| {
            let (key, sighting) = (moved.update.key, moved.update.sighting);
            format!("{} {key} {sighting:?} {} {:?}", moved.row, moved.event_time_ms, moved.before)
        })
        .collect()
}

#[test]
fn a_follower_that_takes_all_changes_has_the_fleet() {
    for seed in 0..vagn_fuzz::rounds(100) as u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shard = shard(ShardSettings { forget_after_ms: 600_000, max_vehicles: 7 });
        let heard = attach(&shard, true);
        let (mut now_ms, mut order, mut before) = (NOW, 1, None);
        let mut rows = BTreeMap::new();
        let mut ends = vec![OrderNumber(0)];
        for _ in 0..40 {
            now_ms += random.choice(&[0, 1_000, 9_000, 400_000]).unwrap();
            let entry: Vec<_> =
                (0..random.usize(..12)).map(|_| given(&mut random, now_ms, &mut before)).collect();
            apply(&mut shard, order, now_ms, &entry);
            order += entry.len() as u64;
            shard.tick(now_ms);
            for changes in heard.take().0 {
                assert_eq!(changes.partition, 3);
                ends.push(changes.end);
                for moved in changes.moved() {
                    let fix = (moved.update.sighting.position, moved.event_time_ms);
                    let before = rows.insert(moved.row, (VehicleIdBuf::from(moved.update.key), fix));
                    let told = moved.before.map(|before| (before.position, before.event_time_ms));
                    assert_eq!(before.map(|(_, fix)| fix), told, "seed {seed}");
                }
                for gone in changes.gone() {
                    let (id, (last, _)) = rows.remove(&gone.row).unwrap();
                    assert_eq!((id, last), (gone.id, gone.last), "seed {seed}");
                }
            }
            let mut fleet = BTreeMap::new();
            shard.reader().visit_rows(0, u32::MAX, |found| {
                let fix = (found.sighting.position, found.sighting.event_time_ms);
                fleet.insert(found.row, (VehicleIdBuf::from(found.key), fix));
            });
            assert_eq!(rows, fleet, "seed {seed}");
        }
        assert!(ends.is_sorted() && ends.last() <= Some(&OrderNumber(order)), "seed {seed}");
    }
}

#[test]
fn without_followers_nothing_is_told_and_one_that_comes_is_told_to_look() {
    let mut shard = shard(ShardSettings::UNBOUNDED);
    let heard = attach(&shard, false);
    apply(&mut shard, 1, NOW, &[Given::Report(Sent::at(NOW, 1)), Given::Deletion(0)]);
    assert!(heard.take().0.is_empty());
    let heard = attach(&shard, true);
    let told = heard.take().0;
    assert!(told.len() == 1 && !told[0].is_whole && told[0].end == OrderNumber(3));
}

#[test]
fn a_shard_whose_outlet_is_taken_away_tells_nothing_until_it_has_one_again() {
    let mut shard = shard(ShardSettings::UNBOUNDED);
    let heard = attach(&shard, true);
    assert_eq!(heard.take().0.len(), 1);
    shard.detach();
    apply(&mut shard, 1, NOW, &[Given::Report(Sent::at(NOW, 1))]);
    let told = heard.take();
    assert!(told.0.is_empty() && told.1.is_empty());
    shard.attach(heard.clone());
    assert!(heard.take().0.iter().all(|changes| !changes.is_whole));
    apply(&mut shard, 2, NOW, &[Given::Report(Sent::at(NOW, 2))]);
    assert_eq!(heard.take().0.iter().map(|changes| changes.moved().count()).sum::<usize>(), 1);
}

#[test]
fn each_state_of_a_shard_counts_as_another_writer() {
    let one = shard(ShardSettings::UNBOUNDED);
    let told = [&one, &again(&one), &again(&one)].map(|shard| attach(shard, true).take().0[0].begun);
    assert!(told[0] != told[1] && told[1] != told[2] && told[0] != told[2]);
}

#[test]
fn of_two_states_of_a_shard_only_the_one_that_is_attached_tells() {
    let mut states = [shard(ShardSettings::UNBOUNDED), shard(ShardSettings::UNBOUNDED)];
    let heard = attach(&states[0], true);
    states[1].attach(heard.clone());
    let mut order = 1;
    let mut begun = |states: &mut [FleetShard; 2]| {
        heard.take();
        for state in states.iter_mut() {
            apply(
                state,
                order,
                NOW + order as i64,
                &[Given::Report(Sent::at(NOW + order as i64, order as i8))],
            );
        }
        order += 1;
        heard.take().0.into_iter().map(|changes| changes.begun).collect::<Vec<_>>()
    };
    let both = begun(&mut states);
    assert!(both.len() == 2 && both[0] != both[1], "{both:?}");
    states[0].detach();
    assert_eq!(begun(&mut states), both[1..]);
    // The other one is shown again.
    states[1].detach();
    states[0].attach(heard.clone());
    assert_eq!(begun(&mut states), both[..1]);
}
