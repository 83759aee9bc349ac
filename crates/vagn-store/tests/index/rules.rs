//! Order, repeats, bounds and slots.

use vagn_store::{Applied, Fate, Index, Key, Sighting, Updates};

use crate::model::{at, id, key, sighting};

fn apply(index: &mut Index, sightings: &[(&str, Sighting)]) -> Vec<Applied> {
    let mut updates = Updates::new();
    for (id, sighting) in sightings {
        updates.push(key(id), key(id).hash(), *sighting);
    }
    let mut applied = Vec::new();
    index.apply(&updates, &mut applied);
    applied
}

fn fates(applied: &[Applied]) -> Vec<Fate> {
    applied.iter().map(|applied| applied.fate).collect()
}

#[test]
fn one_batch_is_applied_in_its_order() {
    let (here, there) = (at(1.0, 1.0), at(2.0, 2.0));
    let own = |position, time, seq| Sighting { own_time: true, ..sighting(position, time, seq) };
    let mut index = Index::new(10);
    let applied = apply(
        &mut index,
        &[
            ("bus", own(here, 100, 1)),
            ("bus", own(there, 200, 2)),
            ("bus", own(here, 100, 3)),
            ("bus", own(there, 200, 4)),
            ("tram", own(there, 200, 5)),
        ],
    );
    let want = [Fate::Stored, Fate::Stored, Fate::Stale, Fate::Duplicate, Fate::Stored];
    assert_eq!(fates(&applied), want);
    assert_eq!(applied.iter().filter(|applied| applied.new_vehicle).count(), 2);
    assert_eq!(index.get(key("bus")).unwrap().sighting.position, there);
}

#[test]
fn vehicles_beyond_the_bound_are_shed_and_known_ones_are_not() {
    let mut index = Index::new(2);
    let at_origin = |seq| sighting(at(0.0, 0.0), seq as i64, seq);
    let applied = apply(
        &mut index,
        &[("a", at_origin(1)), ("b", at_origin(2)), ("c", at_origin(3)), ("a", at_origin(4))],
    );
    assert_eq!(fates(&applied), [Fate::Stored, Fate::Stored, Fate::Shed, Fate::Stored]);
    assert_eq!((applied[2].slot, applied[2].new_vehicle, index.len()), (Applied::NO_SLOT, false, 2));
    index.remove(key("b"));
    assert_eq!(fates(&apply(&mut index, &[("c", at_origin(5))])), [Fate::Stored]);
}

#[test]
fn slots_given_back_are_used_again() {
    let mut index = Index::new(1_000);
    for round in 0..50_u64 {
        for number in 0..10 {
            apply(&mut index, &[(&id(number), sighting(at(0.0, 0.0), 0, round))]);
        }
        for number in 0..10 {
            assert!(index.remove(key(&id(number))).is_some());
        }
    }
    assert_eq!((index.len(), index.slots_end()), (0, 10));
}

#[test]
fn vehicles_come_back_into_the_slots_they_had() {
    let mut old = Index::new(1_000);
    for number in 0..300 {
        apply(&mut old, &[(&id(number), sighting(at(number as f64 / 10.0, 0.0), 5, number as u64))]);
    }
    (0..300)
        .filter(|number| number % 3 == 1)
        .for_each(|number| assert!(old.remove(key(&id(number))).is_some()));
    let mut new = Index::new(1_000);
    let kept: Vec<_> = old.slots(0, u32::MAX).collect();
    for (slot, key, sighting) in kept.iter().rev() {
        assert_eq!(new.insert_slot(*slot, *key, sighting), Fate::Stored);
    }
    assert!(new.slots(0, u32::MAX).eq(kept.iter().copied()));
    let slots: Vec<_> =
        (0..100).map(|number| apply(&mut new, &[(&format!("new {number}"), kept[0].2)])[0].slot).collect();
    assert_eq!(new.slots_end(), 299 + 1, "the gaps are filled first: {slots:?}");
}

#[test]
fn a_slot_holds_one_vehicle_and_a_vehicle_one_slot() {
    let (first, second) = (sighting(at(1.0, 1.0), 1, 1), sighting(at(2.0, 2.0), 2, 2));
    let mut index = Index::new(10);
    assert_eq!(index.insert_slot(4, key("a"), &first), Fate::Stored);
    assert_eq!(index.insert_slot(4, key("a"), &second), Fate::Stored);
    assert_eq!(index.insert_slot(4, key("a"), &first), Fate::Stale);
    assert_eq!(index.insert_slot(4, key("b"), &first), Fate::Stored);
    assert_eq!(index.get(key("a")), None);
    assert_eq!(index.insert_slot(2, key("b"), &first), Fate::Stored);
    assert_eq!((index.len(), index.slot_of(key("b"))), (1, Some(2)));
    assert_eq!(index.update_slot(4, &second), Fate::Failed);
    assert_eq!(index.update_slot(2, &second), Fate::Stored);
    assert!(index.remove_slot(2) && !index.remove_slot(2) && index.is_empty());
}

#[test]
fn forgetting_looks_at_a_few_slots_per_call() {
    let mut index = Index::new(1_000);
    for number in 0..100 {
        apply(&mut index, &[(&id(number), sighting(at(0.0, 0.0), number as i64, 0))]);
    }
    let mut forgotten = Vec::new();
    index.forget_before(50, 20, &mut forgotten);
    assert_eq!(forgotten.len(), 20);
    index.forget_before(50, 1_000, &mut forgotten);
    assert_eq!((forgotten.len(), index.len()), (50, 50));
}

#[test]
fn loading_takes_what_comes_twice_as_one_by_one() {
    let (first, second) = (sighting(at(1.0, 1.0), 1, 1), sighting(at(2.0, 2.0), 2, 2));
    let vehicles = [
        (3, key("a"), &first),
        (3, key("a"), &second),
        (5, key("b"), &first),
        (5, key("c"), &first),
        (9, key("a"), &first),
        (1, key("d"), &second),
    ];
    let mut one_by_one = Index::new(3);
    for (slot, key, sighting) in vehicles {
        one_by_one.insert_slot(slot, key, sighting);
    }
    let loaded = Index::load(3, vehicles);
    assert_eq!(loaded.len(), 3);
    assert!(loaded.slots(0, u32::MAX).eq(one_by_one.slots(0, u32::MAX)));
}

#[test]
fn loading_in_any_order_is_as_one_by_one() {
    let mut random = fastrand::Rng::with_seed(1);
    let names = ["", "a", "b", "c", "an id of more than sixteen bytes"];
    for _ in 0..2_000 {
        let (count, backwards) = (random.usize(..8), random.u32(..3));
        let mut slot = 0;
        let vehicles: Vec<_> = (0..count)
            .map(|number| {
                slot = (slot + random.u32(..3)).saturating_sub(backwards * random.u32(..2));
                let place = at(f64::from(random.u8(..2)), 1.0);
                let time = random.i64(..3);
                (slot, Key::Text(names[random.usize(..names.len())]), sighting(place, time, number as u64))
            })
            .collect();
        let max_vehicles = random.usize(..6);
        let mut one_by_one = Index::new(max_vehicles);
        for (slot, key, sighting) in &vehicles {
            one_by_one.insert_slot(*slot, *key, sighting);
        }
        let loaded = Index::load(max_vehicles, vehicles.iter().map(|(slot, key, seen)| (*slot, *key, seen)));
        assert!(loaded.slots(0, u32::MAX).eq(one_by_one.slots(0, u32::MAX)), "{vehicles:?}");
    }
}
