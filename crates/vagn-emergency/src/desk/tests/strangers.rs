//! Strangers at the desk: their share of the places, and what makes one known.

use super::*;
use crate::record::draft::Draft;

#[test]
fn strangers_have_their_share_and_displace_no_known_vehicle() {
    let mut desk = desk();
    let seen = |vehicle: &str| {
        let fix = Fix::at(1.0, 2.0, 0, false);
        if vehicle.starts_with("bus") { KnownVehicle::known(fix) } else { KnownVehicle::STRANGER }
    };
    let names: Vec<_> = (0..30).map(|number| format!("invented {number}")).chain(["bus 7".into()]).collect();
    desk.arrive(names.iter().map(|name| alarm(name, 0)).collect());
    let known: Known = desk.newcomers().into_iter().map(|name| (name.clone(), seen(&name))).collect();
    let admitted = desk.admit(&known);
    assert_eq!((admitted.opened.len(), admitted.refused.total()), (11, 20), "ten of twenty for strangers");
    assert_eq!(desk.overview().open_of_strangers, 10);
    assert_eq!(&*desk.drafts(1)[0].incident.vehicle_id, "bus 7", "known vehicles are written first");
    record(&mut desk);
    assert_eq!(&*desk.next_notice(now(1)).unwrap().incident.vehicle_id, "bus 7", "and sent first");
}

/// An alarm of a stranger from the address 192.0.2.`last`.
fn from(vehicle_id: &str, last: u8, kind: Option<Kind>) -> Alarm {
    let source = Some(std::net::IpAddr::from([192, 0, 2, last]).into());
    Alarm { source, kind, standing: Standing::Stranger, ..alarm(vehicle_id, 0) }
}

#[test]
fn one_source_has_so_many_places_for_strangers_and_known_vehicles_do_not_count() {
    let mut desk = Desk::new(Rules { open_max: 100, per_source_max: 20, ..rules() }, 1);
    let called = |name: &str, last, kind, count| {
        (0..count).map(|number| from(&format!("{name} {number}"), last, kind)).collect::<Vec<_>>()
    };
    let counts = |admitted: Admitted| (admitted.opened.len(), admitted.refused.reasons().collect::<Vec<_>>());
    assert_eq!(counts(admit(&mut desk, called("a", 1, None, 30))), (20, vec![(NoRoom::Source, 10)]));
    let buses = called("bus", 1, None, 30).into_iter();
    let buses = buses.map(|bus| Alarm { standing: Standing::Undecided, ..bus }).collect();
    assert_eq!(counts(admit_known(&mut desk, buses)), (30, vec![]));
    assert_eq!(counts(admit(&mut desk, called("b", 2, None, 15))), (15, vec![]));
    assert_eq!(counts(admit(&mut desk, called("c", 3, None, 20))), (15, vec![(NoRoom::Strangers, 5)]));
    let drills = admit(&mut desk, called("d", 1, Some(Kind::Test), 10));
    assert_eq!(counts(drills), (2, vec![(NoRoom::Source, 8)]), "a tenth, and apart from real ones");
    assert_eq!((desk.overview().open_of_strangers, desk.overview().fullest_source), (50, 20));
    let of_first =
        |desk: &Desk| desk.newest_first(None).filter(|one| one.vehicle_id.starts_with("a ")).count();
    assert_eq!(of_first(&desk), 20);
    for number in 0..5 {
        let id = desk.board.indexes().roster.of(&format!("a {number}"), false)[0];
        desk.act(id, &request(RequestKind::Resolve), now(1)).unwrap();
    }
    assert_eq!(desk.overview().fullest_source, 15);
    assert_eq!(counts(admit(&mut desk, called("e", 1, None, 30))), (5, vec![(NoRoom::Source, 25)]));
}

#[test]
fn a_stranger_without_a_place_is_not_looked_up_again() {
    let mut desk = Desk::new(Rules { open_max: 10, per_source_max: 1, ..rules() }, 1);
    admit(&mut desk, vec![from("invented", 1, None)]);
    let undecided = Alarm { standing: Standing::Undecided, ..from("bus", 1, None) };
    desk.arrive(vec![from("invented too", 1, None), undecided, from("from elsewhere", 2, None)]);
    assert_eq!(desk.newcomers().iter().map(|name| &**name).collect::<Vec<_>>(), ["bus", "from elsewhere"]);
    let admitted = desk.admit(&Known::new());
    assert_eq!(admitted.refused.reasons().collect::<Vec<_>>(), [(NoRoom::Source, 1)]);
}

#[test]
fn strangers_leave_half_of_the_places_for_drills_too() {
    let mut desk = Desk::new(Rules { open_max: 40, ..rules() }, 1);
    let drill = |number| from(&format!("invented {number}"), number as u8, Some(Kind::Test));
    let drills = admit(&mut desk, (0..5).map(drill).collect());
    assert_eq!((drills.opened.len(), drills.refused.total()), (2, 3));
    let known = Alarm { kind: Some(Kind::Test), ..alarm("bus 7", 0) };
    assert_eq!(admit_known(&mut desk, vec![known]).opened.len(), 1);
}

#[test]
fn a_vehicle_that_is_found_to_be_known_is_one_although_its_first_incident_was_a_strangers() {
    let mut desk = desk();
    admit(&mut desk, vec![Alarm { standing: Standing::Stranger, ..named("bus 7", "first", 0) }]);
    admit(&mut desk, vec![Alarm { standing: Standing::Known, ..named("bus 7", "second", 1) }]);
    let standings: Vec<_> = desk.newest_first(None).map(|incident| incident.standing).collect();
    assert_eq!(standings, [Standing::Known, Standing::Stranger]);
}

#[test]
fn a_stranger_remains_one_under_every_name_it_gives_its_incidents() {
    let mut desk = desk();
    let strangers = Known::from([("invented".into(), KnownVehicle::STRANGER)]);
    for number in 0..8 {
        desk.arrive(vec![named("invented", &format!("incident {number}"), number)]);
        let known = if desk.newcomers().is_empty() { Known::new() } else { strangers.clone() };
        desk.admit(&known);
    }
    assert_eq!((desk.overview().open, desk.overview().open_of_strangers), (8, 8));
}

#[test]
fn an_undecided_vehicle_is_not_held_to_what_strangers_have_left_of_the_places_of_its_source() {
    let mut desk = Desk::new(Rules { open_max: 10, per_source_max: 2, ..rules() }, 1);
    let invented = (0..5).map(|number| from(&format!("invented {number}"), 1, None)).collect();
    assert_eq!(admit(&mut desk, invented).refused.reasons().collect::<Vec<_>>(), [(NoRoom::Source, 3)]);
    let undecided = |name| Alarm { standing: Standing::Undecided, ..from(name, 1, None) };
    let buses = ["bus 1", "bus 2", "bus 3", "bus 4"].map(undecided);
    let admitted = admit(&mut desk, buses.into());
    assert_eq!(admitted.opened.len(), 3, "half of all places");
    assert_eq!(admitted.refused.reasons().collect::<Vec<_>>(), [(NoRoom::Strangers, 1)]);
    let known = Alarm { standing: Standing::Known, ..from("bus 4", 1, None) };
    desk.arrive(vec![known]);
    let found = Known::from([("bus 4".into(), KnownVehicle::STRANGER)]);
    assert_eq!(desk.admit(&found).opened.len(), 1, "known at the door is known");
}

#[test]
fn known_vehicles_are_written_apart_from_strangers_and_their_changes_before_those_of_others() {
    let mut desk = desk();
    let name = |draft: &Draft| draft.incident.vehicle_id.to_string();
    let names = |drafts: Vec<Draft>| drafts.iter().map(name).collect::<Vec<_>>();
    admit(&mut desk, vec![from("invented", 1, None)]);
    admit_known(&mut desk, vec![alarm("bus 1", 1), alarm("bus 2", 2)]);
    assert_eq!(names(desk.drafts_of_known(10)), ["bus 1", "bus 2"]);
    assert_eq!(names(desk.drafts_of_known(1)), ["bus 1"]);
    record(&mut desk);
    assert!(desk.drafts_of_known(10).is_empty());
    admit(&mut desk, vec![from("invented", 1, None), alarm("bus 2", 3)]);
    assert_eq!(names(desk.drafts(10)), ["bus 2", "invented"]);
}

#[test]
fn undecided_vehicles_take_no_room_from_known_ones_and_are_served_behind_them() {
    let mut desk = Desk::new(Rules { open_max: 200, ..rules() }, 1);
    let names: Vec<_> = (0..150).map(|number| format!("vehicle {number}")).collect();
    let admitted = admit(&mut desk, names.iter().map(|name| alarm(name, 0)).collect());
    assert_eq!(
        (admitted.opened.len(), desk.get(admitted.opened[0]).unwrap().standing),
        (100, Standing::Undecided)
    );
    record(&mut desk);
    admit(&mut desk, vec![from("invented", 1, None), alarm("one more", 1)]);
    admit_known(&mut desk, vec![alarm("bus 7", 2)]);
    let name = |draft: &Draft| draft.incident.vehicle_id.to_string();
    assert_eq!(desk.drafts_of_known(10).iter().map(name).collect::<Vec<_>>(), ["bus 7"]);
    record(&mut desk);
    assert_eq!(&*desk.next_notice(now(3)).unwrap().incident.vehicle_id, "bus 7");
}

/// A desk with incidents of undecided vehicles from the address 192.0.2.1.
fn with_undecided(names: impl Iterator<Item = String>) -> Desk {
    let mut desk = Desk::new(Rules { open_max: 1_000, per_source_max: 50, ..rules() }, 1);
    let undecided = |name: String| Alarm { standing: Standing::Undecided, ..from(&name, 1, None) };
    admit(&mut desk, names.map(undecided).collect());
    desk
}

/// Looks undecided vehicles up again, `at_once` together: buses are known. Returns those that were looked up.
fn decide(desk: &mut Desk, at_once: usize) -> Vec<String> {
    let undecided = desk.take_undecided(at_once);
    for (id, name) in &undecided {
        let is_bus = name.starts_with("bus");
        desk.decide(*id, if is_bus { Standing::Known } else { Standing::Stranger });
    }
    undecided.into_iter().map(|(_, name)| name.into()).collect()
}

#[test]
fn an_undecided_vehicle_is_in_its_place_everywhere_as_soon_as_it_is_looked_up_again() {
    let names = (0..100).map(|number| format!("invented {number}")).chain(["bus 7".to_owned()]);
    let mut desk = with_undecided(names);
    record(&mut desk);
    assert_eq!((desk.overview().open_of_strangers, desk.overview().fullest_source), (101, 101));
    assert_eq!(decide(&mut desk, 1_000).len(), 101);
    assert_eq!((desk.overview().open_of_strangers, desk.overview().fullest_source), (100, 100));
    let bus = &desk.drafts(1)[0].incident;
    assert_eq!((&*bus.vehicle_id, bus.standing), ("bus 7", Standing::Known), "it is recorded, and first");
    assert_eq!(&*desk.next_notice(now(1)).unwrap().incident.vehicle_id, "bus 7", "and called first");
    let refused = admit(&mut desk, vec![from("one more", 1, None)]).refused;
    assert_eq!(refused.reasons().collect::<Vec<_>>(), [(NoRoom::Source, 1)], "its source has all it may");
    assert!(decide(&mut desk, 1_000).is_empty());
    record(&mut desk);
    desk.board.indexes().check(desk.board.all(), &desk.rules);
}

#[test]
fn undecided_vehicles_are_looked_up_in_rounds_those_first_that_no_target_has_accepted() {
    let mut desk = with_undecided((0..5).map(|number| format!("vehicle {number}")));
    record(&mut desk);
    let first = desk.next_notice(now(1)).unwrap();
    answer(&mut desk, &first, 200, 1);
    let look = |desk: &mut Desk| desk.take_undecided(2).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    let rounds: Vec<_> = (0..6).flat_map(|_| look(&mut desk)).collect();
    let round = ["vehicle 1", "vehicle 2", "vehicle 3", "vehicle 4", "vehicle 0"];
    assert_eq!(rounds.iter().map(|name| &**name).collect::<Vec<_>>(), [round, round].concat());
}

#[test]
fn a_call_of_an_undecided_vehicle_that_its_door_knows_by_now_decides_its_incident() {
    let mut desk = with_undecided(["bus 7".to_owned(), "invented".to_owned()].into_iter());
    let again = |name, standing| Alarm { standing, ..from(name, 1, None) };
    admit(&mut desk, vec![again("bus 7", Standing::Known), again("invented", Standing::Stranger)]);
    let standings: Vec<_> = desk.newest_first(None).map(|incident| incident.standing).collect();
    assert_eq!(standings, [Standing::Stranger, Standing::Known]);
    admit(&mut desk, vec![again("bus 7", Standing::Stranger), again("invented", Standing::Known)]);
    let kept: Vec<_> = desk.newest_first(None).map(|incident| incident.standing).collect();
    assert_eq!(kept, standings, "what was decided stays as long as the incident is open");
}
