//! Slots: given, given back, and taken again.

use super::{AsTheyCome, Held, Index, Plan};
use crate::judge::Count;
use crate::{Key, Sighting, Updates};
use vagn_wire::Position;

fn sighting(lat: f64, event_time_ms: i64) -> Sighting {
    Sighting {
        position: Position::new(lat, 1.0).unwrap(),
        event_time_ms,
        receive_time_ms: event_time_ms,
        receive_seq: event_time_ms as u64,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: false,
        unsure: false,
    }
}

fn see(index: &mut Index, name: &str, sighting: Sighting) {
    let key = Key::Text(name);
    let mut updates = Updates::new();
    updates.push(key, key.hash(), sighting);
    let mut plan = Plan::default();
    index.plan(&AsTheyCome, &updates, &mut plan);
    index.commit(&updates, &plan, 0..1, &mut crate::index::Teller::default());
}

#[test]
fn slots_given_back_are_used_again() {
    let mut index = Index::new(1_000);
    for round in 0..50 {
        for number in 0..10 {
            see(&mut index, &format!("bus {number}"), sighting(0.0, round));
        }
        for number in 0..10 {
            assert!(index.remove(Key::Text(&format!("bus {number}"))));
        }
    }
    assert_eq!((index.len(), index.slots_end()), (0, 10));
}

#[test]
fn vehicles_come_back_into_the_slots_they_had() {
    let mut old = Index::new(1_000);
    for number in 0..300 {
        see(&mut old, &format!("bus {number}"), sighting(f64::from(number) / 10.0, 5));
    }
    for number in (1..300).step_by(3) {
        assert!(old.remove(Key::Text(&format!("bus {number}"))));
    }
    let mut new = Index::new(1_000);
    let kept: Vec<_> = old.slots(0, u32::MAX).collect();
    for held in kept.iter().rev() {
        assert!(new.put_back(held.slot, held.key, &held.sighting, held.count));
    }
    assert!(new.slots(0, u32::MAX).eq(kept.iter().copied()));
    for number in 0..100 {
        see(&mut new, &format!("new {number}"), kept[0].sighting);
    }
    assert_eq!(new.slots_end(), 299 + 1, "the gaps are filled first");
}

#[test]
fn a_slot_holds_one_vehicle_and_a_vehicle_one_slot() {
    let [a, b] = [Key::Text("a"), Key::Text("b")];
    let first = sighting(1.0, 1);
    let second = sighting(2.0, 2);
    let mut index = Index::new(10);
    let mut count = Count::NONE;
    count.note(7);
    assert!(index.put_back(4, a, &first, count));
    assert!(index.put_back(4, b, &first, Count::NONE));
    assert_eq!(index.get(a), None);
    assert!(index.slots(4, 1).all(|held| held.count.is_none()), "a count goes with its vehicle");
    assert!(index.put_back(2, b, &second, count));
    assert_eq!((index.len(), index.slot_of(b)), (1, Some(2)));
    assert!(index.slots(2, 1).eq([Held { slot: 2, key: b, sighting: second, count }]));
    assert!(index.remove_slot(2) && !index.remove_slot(2) && index.is_empty());
    assert!(index.counts.get(2).is_none());
}

#[test]
fn a_shed_vehicle_has_no_slot() {
    let mut index = Index::new(1);
    see(&mut index, "a", sighting(0.0, 1));
    see(&mut index, "b", sighting(0.0, 1));
    assert_eq!((index.slots_end(), index.slot_of(Key::Text("b"))), (1, None));
}
