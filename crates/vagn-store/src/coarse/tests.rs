//! A coarse place tells nothing about the exact one but the cell that it is in, whatever is asked.

use proptest::prelude::*;
use vagn_wire::VehicleId;

use super::*;
use crate::{Fleet, Hit, Index, Key, Nearby, Plan, Sight, Updates, Vehicle, Writer, distance_m, partition};

fn pair(lat: f64, lon: f64) -> Position {
    Position::new(lat, lon).unwrap()
}

fn exact(position: Position, event_time_ms: i64) -> Sighting {
    Sighting {
        position,
        event_time_ms,
        receive_time_ms: event_time_ms + 70,
        receive_seq: 9,
        seq: Some(3),
        speed_mps: Some(12.5),
        heading_deg: Some(271.0),
        emergency: true,
        own_time: true,
        unsure: true,
    }
}

#[test]
fn a_place_goes_to_the_nearest_of_the_grid_and_has_one_name() {
    for ((lat, lon), (to_lat, to_lon)) in [
        ((59.329_349, 18.068_651), (59.329, 18.069)),
        ((30.270_51, -97.739_49), (30.271, -97.739)),
        ((-0.000_4, 0.000_4), (0.0, 0.0)),
        ((12.3, 179.999_6), (12.3, -180.0)),
        ((12.3, -179.999_6), (12.3, -180.0)),
        ((12.3, 180.0), (12.3, -180.0)),
        ((12.3, 179.999_4), (12.3, 179.999)),
        ((89.999_6, 77.7), (90.0, 0.0)),
        ((90.0, 180.0), (90.0, 0.0)),
        ((-89.999_51, -3.0), (-90.0, 0.0)),
        ((89.999_4, 77.700_4), (89.999, 77.7)),
    ] {
        let coarse = place(pair(lat, lon));
        assert_eq!((coarse.lat(), coarse.lon()), (to_lat, to_lon), "{lat} {lon}");
        assert!(coarse.lat().is_sign_positive() || coarse.lat() != 0.0, "{lat} {lon}");
        assert!(coarse.lon().is_sign_positive() || coarse.lon() != 0.0, "{lat} {lon}");
    }
}

#[test]
fn nothing_but_place_and_time_is_left() {
    let coarse = sighting(exact(pair(59.329_349, 18.068_651), 1_790_000_019_999));
    let expected = Sighting {
        position: pair(59.329, 18.069),
        event_time_ms: 1_790_000_010_000,
        receive_time_ms: 1_790_000_020_000,
        receive_seq: 0,
        seq: None,
        speed_mps: None,
        heading_deg: None,
        emergency: false,
        own_time: true,
        unsure: false,
    };
    assert_eq!(coarse, expected);
    for (time, expected) in [(-1, -10_000), (0, 0), (9_999, 0), (10_000, 10_000)] {
        assert_eq!(time_ms(time), expected);
    }
    for (time, expected) in [(-1, 0), (0, 0), (1, 10_000), (10_000, 10_000), (i64::MAX, i64::MAX)] {
        assert_eq!(first_time_ms(time), expected);
    }
}

#[test]
fn a_search_of_a_metre_finds_the_place_of_the_grid_and_not_the_vehicle() {
    let fleet = fleet(&[("bus 7", pair(59.329_349, 18.068_651), 0)], 2);
    let found = |lat, lon| {
        let nearby = Nearby { center: pair(lat, lon), k: 10, max_m: 1.0, newer_than_ms: None };
        Sight::Coarse.nearby(&fleet, &nearby).unwrap().len()
    };
    assert_eq!((found(59.329_349, 18.068_651), found(59.329, 18.069)), (0, 1));
    let inside = |edges: [f64; 4]| {
        let [west, south, east, north] = edges;
        Sight::Coarse.bbox(&fleet, &BBox::new(west, south, east, north).unwrap(), 10).unwrap().len()
    };
    assert_eq!(inside([18.068_65, 59.329_34, 18.068_66, 59.329_35]), 0);
    assert_eq!(inside([18.069, 59.329, 18.069, 59.329]), 1);
}

#[test]
fn a_box_around_the_globe_with_both_edges_in_one_column_has_each_vehicle_once() {
    let fleet = fleet(&[("bus 7", pair(0.001, 0.000_2), 0), ("bus 8", pair(0.001, 5.0), 0)], 1);
    let bbox = BBox::new(0.0, -1.0, -0.000_6, 1.0).unwrap();
    let found = |limit| Sight::Coarse.bbox(&fleet, &bbox, limit).unwrap().len();
    assert_eq!([1, 2, 3].map(found), [1, 2, 2]);
}

/// A fleet of so many partitions; vehicles by id, place and time.
fn fleet(vehicles: &[(&str, Position, i64)], partitions: usize) -> Fleet {
    let fleet = Fleet::new(partitions);
    for number in 0..partitions {
        let (mut updates, mut writer) = (Updates::new(), Writer::new(Index::new(10_000)));
        for (id, position, time_ms) in vehicles {
            let key = Key::of(VehicleId::new(id).unwrap());
            if partition(key.hash(), partitions) == number {
                updates.push(key, key.hash(), exact(*position, *time_ms));
            }
        }
        writer.write(&updates, &mut Plan::default());
        fleet.set(number, Some(writer.reader()));
    }
    fleet
}

/// Degrees with many at the special ones, and many in few cells.
fn coordinate(most: f64) -> impl Strategy<Value = f64> {
    prop_oneof![
        2 => -most..=most,
        4 => -0.003..0.003,
        2 => (most - 0.003)..=most,
        2 => -most..=(0.003 - most),
        1 => prop_oneof![Just(most), Just(-most), Just(0.0)],
    ]
}

fn any_place() -> impl Strategy<Value = Position> {
    (coordinate(90.0), coordinate(180.0)).prop_map(|(lat, lon)| pair(lat, lon))
}

fn any_box() -> impl Strategy<Value = BBox> {
    (coordinate(90.0), coordinate(90.0), coordinate(180.0), coordinate(180.0))
        .prop_map(|(one, other, west, east)| BBox::new(west, one.min(other), east, one.max(other)).unwrap())
}

/// Vehicles, each with another place in the same cell and another time in the same step.
fn twins() -> impl Strategy<Value = Vec<(String, [(Position, i64); 2])>> {
    let shift = || (-0.499..0.499, -0.499..0.499, 0_i64..10_000);
    let twin = (any_place(), 0_i64..6, shift(), shift()).prop_map(|(place, step, one, other)| {
        let coarse = super::place(place);
        [one, other].map(|(lat, lon, ms): (f64, f64, i64)| {
            let lat = (coarse.lat() + lat / STEPS).clamp(-90.0, 90.0);
            let lon = coarse.lon() + lon / STEPS;
            let lon = if lon < -180.0 { lon + 360.0 } else { lon };
            (pair(lat, lon), step * TIME_STEP_MS + ms)
        })
    });
    prop::collection::vec(twin, 1..60).prop_map(|twins| {
        twins.into_iter().enumerate().map(|(at, twin)| (format!("bus {at}"), twin)).collect()
    })
}

/// All vehicles as they are seen coarse, for a search through all of them.
fn all(vehicles: &[(&str, Position, i64)]) -> Vec<Vehicle> {
    vehicles
        .iter()
        .map(|(id, position, time_ms)| Vehicle {
            id: VehicleId::new(id).unwrap().into(),
            sighting: sighting(exact(*position, *time_ms)),
        })
        .collect()
}

fn nearest(vehicles: Vec<Vehicle>, nearby: &Nearby) -> Vec<Hit> {
    let hits = vehicles
        .into_iter()
        .map(|vehicle| Hit { distance_m: distance_m(nearby.center, vehicle.sighting.position), vehicle });
    let mut hits: Vec<_> = hits
        .filter(|hit| hit.distance_m <= nearby.max_m)
        .filter(|hit| nearby.newer_than_ms.is_none_or(|oldest| hit.vehicle.sighting.event_time_ms >= oldest))
        .collect();
    hits.sort_by(Hit::order);
    hits.truncate(nearby.k);
    hits
}

proptest! {
    #[test]
    fn a_coarse_place_is_near_on_the_grid_and_its_own_coarse_place(position in any_place()) {
        let coarse = place(position);
        prop_assert!(distance_m(position, coarse) <= REACH_M, "{:?} {:?}", position, coarse);
        prop_assert_eq!(place(coarse), coarse);
        for coordinate in [coarse.lat(), coarse.lon()] {
            prop_assert_eq!(format!("{coordinate:.3}").parse::<f64>().unwrap(), coordinate);
        }
    }

    #[test]
    fn the_sources_of_a_box_have_all_that_is_seen_in_it(bbox in any_box(), position in any_place()) {
        if bbox.contains(place(position)) {
            prop_assert!(sources(&bbox).iter().any(|source| source.contains(position)));
        }
    }

    #[test]
    fn answers_are_those_of_a_search_through_coarse_places_wherever_the_exact_ones_are(
        twins in twins(),
        center in any_place(),
        bbox in any_box(),
        k in 1_usize..70,
        max_m in prop_oneof![Just(f64::INFINITY), 0.0..400.0, 0.0..3e7],
        newer_than_ms in prop::option::of(0_i64..60_000),
        partitions in 1_usize..4,
    ) {
        // A store takes exactly (0, 0) for no fix.
        let is_fix = |place: Position| (place.lat(), place.lon()) != (0.0, 0.0);
        prop_assume!(twins.iter().all(|(_, twin)| twin.iter().all(|(place, _)| is_fix(*place))));
        let nearby = Nearby { center, k, max_m, newer_than_ms };
        for form in 0..2 {
            let vehicles: Vec<_> =
                twins.iter().map(|(id, twin)| (id.as_str(), twin[form].0, twin[form].1)).collect();
            let fleet = fleet(&vehicles, partitions);
            // From the first of the twins, for both of them.
            let seen: Vec<_> = twins.iter().map(|(id, twin)| (id.as_str(), twin[0].0, twin[0].1)).collect();
            let without_receipt = |mut hits: Vec<Hit>| {
                hits.iter_mut().for_each(|hit| hit.vehicle.sighting.receive_time_ms = 0);
                hits
            };
            let found = Sight::Coarse.nearby(&fleet, &nearby).unwrap();
            prop_assert_eq!(without_receipt(found), without_receipt(nearest(all(&seen), &nearby)));

            let inside: Vec<_> =
                all(&seen).into_iter().filter(|vehicle| bbox.contains(vehicle.sighting.position)).collect();
            let found = Sight::Coarse.bbox(&fleet, &bbox, twins.len()).unwrap();
            let ids = |vehicles: &[Vehicle]| vehicles.iter().map(|vehicle| vehicle.id).collect::<Vec<_>>();
            let mut sorted = (ids(&found), ids(&inside));
            sorted.0.sort_unstable();
            sorted.1.sort_unstable();
            prop_assert_eq!(sorted.0, sorted.1);
            // However few are wanted, they are the first of all.
            for limit in [0, 1, 2, 5, twins.len() / 2] {
                let first = Sight::Coarse.bbox(&fleet, &bbox, limit).unwrap();
                prop_assert_eq!(ids(&first), ids(&found[..limit.min(found.len())]));
            }
            if form == 1 {
                let other: Vec<_> = twins.iter().map(|(id, twin)| (id.as_str(), twin[0].0, twin[0].1)).collect();
                let other = Sight::Coarse.bbox(&self::fleet(&other, 1), &bbox, twins.len()).unwrap();
                prop_assert_eq!(ids(&found), ids(&other), "the order tells nothing");
            }
        }
    }
}
