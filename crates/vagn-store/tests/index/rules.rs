//! Order, repeats and bounds.

use vagn_store::{Fate, Index, Plan, Sighting, Updates, Writer};

use crate::model::{at, key, sighting};

fn write(writer: &mut Writer, sightings: &[(&str, Sighting)]) -> Plan {
    let mut updates = Updates::new();
    for (id, sighting) in sightings {
        updates.push(key(id), key(id).hash(), *sighting);
    }
    let mut plan = Plan::default();
    writer.write(&updates, &mut plan);
    plan
}

fn fates(plan: &Plan) -> Vec<Fate> {
    plan.fates().collect()
}

fn forget(writer: &mut Writer, id: &str) -> bool {
    writer.change(|index| index.remove(key(id)))
}

#[test]
fn one_batch_is_stored_in_its_order() {
    let (here, there) = (at(1.0, 1.0), at(2.0, 2.0));
    let own = |position, time, seq| Sighting { own_time: true, ..sighting(position, time, seq) };
    let mut writer = Writer::new(Index::new(10));
    let plan = write(
        &mut writer,
        &[
            ("bus", own(here, 100, 1)),
            ("bus", own(there, 200, 2)),
            ("bus", own(here, 100, 3)),
            ("bus", own(there, 200, 4)),
            ("tram", own(there, 200, 5)),
        ],
    );
    let want = [Fate::Stored, Fate::Stored, Fate::Stale, Fate::Duplicate, Fate::Stored];
    assert_eq!(fates(&plan), want);
    assert_eq!(plan.new_vehicles(), 2);
    assert_eq!(writer.reader().get(key("bus")).unwrap().sighting.position, there);
}

#[test]
fn vehicles_beyond_the_bound_are_shed_and_known_ones_are_not() {
    let mut writer = Writer::new(Index::new(2));
    let seen = |seq| sighting(at(1.0, 0.0), seq as i64, seq);
    let plan = write(&mut writer, &[("a", seen(1)), ("b", seen(2)), ("c", seen(3)), ("a", seen(4))]);
    assert_eq!(fates(&plan), [Fate::Stored, Fate::Stored, Fate::Shed, Fate::Stored]);
    assert_eq!((plan.new_vehicles(), writer.reader().len()), (2, 2));
    assert!(forget(&mut writer, "b") && !forget(&mut writer, "b"));
    assert_eq!(fates(&write(&mut writer, &[("c", seen(5))])), [Fate::Stored]);
}

#[test]
fn an_id_that_comes_twice_is_loaded_once() {
    let first = sighting(at(1.0, 1.0), 1, 1);
    let second = sighting(at(2.0, 2.0), 2, 2);
    let vehicles = [(key("a"), &first), (key("b"), &first), (key("a"), &second), (key("c"), &first)];
    let loaded = Index::load(2, vehicles);
    assert_eq!(loaded.len(), 2);
    assert_eq!(loaded.get(key("a")).map(|vehicle| vehicle.sighting), Some(second));
}
