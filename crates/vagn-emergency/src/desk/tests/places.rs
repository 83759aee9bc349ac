//! The place of a call: the newest usable one of the vehicle's own reports, else the last known one.

use vagn_wire::{Oddities, Oddity, Position, Report, VehicleId};

use super::*;
use crate::intake::alarm::Alarm;

const A: (f64, f64) = (10.0, 10.0);
const B: (f64, f64) = (20.0, 20.0);
const C: (f64, f64) = (30.0, 30.0);
const ORIGIN: (f64, f64) = (0.0, 0.0);

/// An alarm from this place that arrives `at_ms` after the start of the test, with a time of its own or without.
fn call(place: (f64, f64), own_ms: Option<i64>, at_ms: i64) -> Alarm {
    call_with(place, own_ms, at_ms, Oddities::NONE)
}

fn call_with(place: (f64, f64), own_ms: Option<i64>, at_ms: i64, odd: Oddities) -> Alarm {
    let position = Position::new(place.0, place.1).unwrap();
    let mut report = Report::new(VehicleId::new("bus 7").unwrap(), position);
    report.emergency = true;
    report.event_time_ms = own_ms.map(|own_ms| NOW_MS + own_ms);
    report.odd = odd;
    let id = Alarm::example("bus 7").id;
    Alarm::new(id, &report, NOW_MS + at_ms, ms(at_ms as u64))
}

/// Returns where the incident is after these alarms, and whether that is trusted. They come one by one, and all at once.
fn place_of(calls: &dyn Fn() -> Vec<Alarm>, last: Option<Fix>) -> Option<((f64, f64), bool)> {
    let vehicle = KnownVehicle { standing: Standing::Known, last_fix: last };
    let known = Known::from([("bus 7".into(), vehicle)]);
    let place = |batches: Vec<Vec<Alarm>>| {
        let mut desk = desk();
        for batch in batches {
            desk.arrive(batch);
            desk.admit(&known);
        }
        let incident = desk.newest_first(None).next().unwrap();
        incident.alarm.fix.map(|fix| ((fix.position.lat(), fix.position.lon()), fix.trusted))
    };
    let one_by_one = place(calls().into_iter().map(|alarm| vec![alarm]).collect());
    let mut merged = calls();
    let mut first = merged.remove(0);
    merged.into_iter().for_each(|repeat| assert!(first.merge(repeat).is_empty()));
    assert_eq!(place(vec![vec![first]]), one_by_one, "they were merged on the way");
    one_by_one
}

fn last(place: (f64, f64), at_ms: i64) -> Option<Fix> {
    Some(Fix::at(place.0, place.1, NOW_MS + at_ms, false))
}

#[test]
fn a_vehicle_is_where_it_was_last_heard_to_be_although_its_clock_was_ahead() {
    let ahead = 50 * MINUTE_MS;
    let check = |calls: &dyn Fn() -> Vec<Alarm>, expected| assert_eq!(place_of(calls, None), Some(expected));
    check(&|| vec![call(A, Some(ahead), 0)], (A, false));
    check(&|| vec![call(A, Some(ahead), 0), call(B, Some(1_000), 1_000)], (B, true));
    check(&|| vec![call(A, Some(ahead), 0), call(B, Some(-20_000), 1_000)], (B, true));
    check(&|| vec![call(A, Some(ahead), 0), call(B, Some(1_000), 1_000), call(C, None, 2_000)], (C, true));
    check(&|| vec![call(B, Some(0), 0), call(C, None, 1_000), call(A, Some(ahead), 2_000)], (A, false));
    check(&|| vec![call(A, Some(4_900), 0), call(B, Some(1_000), 1_000)], (B, true));
}

#[test]
fn a_time_that_cannot_be_makes_its_place_the_last_known_one() {
    let calls = [
        call(A, Some(50 * MINUTE_MS), 0),
        call(A, Some(-NOW_MS + 20_635), 0),
        call(A, Some(-NOW_MS - 3_000_000_000_000), 0),
        call_with(A, None, 0, Oddities::of(Oddity::TimeUnreadable)),
    ];
    for alarm in calls {
        let fix = alarm.fix.unwrap();
        assert!(fix.unsure && !fix.trusted && fix.time_ms == NOW_MS, "{fix:?}");
    }
    let unsure = || vec![call(A, Some(50 * MINUTE_MS), 0)];
    assert_eq!(place_of(&unsure, last(B, -1_000)), Some((A, false)));
    assert_eq!(place_of(&unsure, last(B, 1_000)), Some((B, false)), "it was heard there since");
    assert_eq!(place_of(&|| vec![call(A, Some(-1_000), 0)], last(B, 1_000)), Some((A, true)));
}

#[test]
fn no_fix_sent_as_zero_degrees_is_the_last_known_place_and_a_ship_near_there_is_believed() {
    let nowhere = || vec![call(ORIGIN, None, 0)];
    assert_eq!(place_of(&nowhere, None), None);
    assert_eq!(place_of(&nowhere, last((30.27, -97.74), -1_000)), Some(((30.27, -97.74), false)));
    assert_eq!(place_of(&nowhere, last((0.5, 0.5), -1_000)), Some((ORIGIN, true)));
    let after = |place| move || vec![call(place, None, 0), call(ORIGIN, None, 1_000)];
    assert_eq!(place_of(&after(A), None), Some((A, true)));
    assert_eq!(place_of(&after((0.3, -0.3)), None), Some((ORIGIN, true)));
}
