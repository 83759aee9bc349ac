//! A hundred thousand vehicles where there is room for one.

use vagn_store::{BBox, Nearby};
use vagn_wire::Position;

use crate::model::{Checked, at};

const MANY: usize = 100_000;

fn near(center: Position, k: usize) -> Nearby {
    Nearby { center, k, max_m: f64::INFINITY, newer_than_ms: None }
}

fn all_at(position: Position) -> Checked {
    let mut checked = Checked::new();
    let seen: Vec<_> = (0..MANY).map(|number| (number, position, 0)).collect();
    checked.see(&seen);
    checked
}

#[test]
fn a_full_depot_answers_and_empties_like_any_other_place() {
    let depot = at(57.7089, 11.9746);
    let mut checked = all_at(depot);
    checked.check_nearby(&near(depot, 10));
    checked.check_nearby(&near(at(-57.0, -168.0), 3));
    checked.check_bbox(&BBox::new(11.0, 57.0, 12.0, 58.0).unwrap(), 50);
    let leaving: Vec<_> = (0..MANY)
        .filter(|number| number % 2 == 0)
        .map(|number| (number, at(57.7, 11.9 + number as f64 / 1e6), 1))
        .collect();
    checked.see(&leaving);
    checked.check_nearby(&near(depot, 10));
    checked.check_nearby(&near(at(57.7, 11.95), 40));
    (1..MANY).step_by(2).for_each(|number| checked.remove(number));
    checked.check_nearby(&near(depot, 10));
    assert_eq!(checked.index().len(), MANY / 2);
}

#[test]
fn a_newcomer_beside_the_crowd_is_found() {
    let depot = at(0.0, 180.0);
    let mut checked = all_at(depot);
    for (number, apart) in [1e-3, 1e-6, 1e-9, 1e-14, 0.0].into_iter().enumerate() {
        checked.see(&[(MANY + number, at(apart, -180.0), 0)]);
        checked.check_nearby(&near(at(apart, 180.0), 2));
        checked.check_nearby(&near(at(1e-3, 180.0), 3));
    }
}

#[test]
fn the_crowd_may_be_on_the_antimeridian_under_both_names() {
    let mut checked = Checked::new();
    let seen: Vec<_> =
        (0..200).map(|number| (number, at(-0.0, if number % 2 == 0 { 180.0 } else { -180.0 }), 0)).collect();
    checked.see(&seen);
    for lon in [180.0, -180.0, -179.999_992_670_207_38, 179.123_456_789] {
        checked.check_nearby(&near(at(-1e-12, lon), 1));
        checked.check_nearby(&near(at(1e-3, lon), 30));
    }
}

#[test]
fn the_crowd_may_be_at_a_pole_under_any_longitude() {
    let mut checked = Checked::new();
    let seen: Vec<_> = (0..2_000).map(|number| (number, at(90.0, number as f64 * 0.18 - 180.0), 0)).collect();
    checked.see(&seen);
    checked.check_nearby(&near(at(89.0, 33.0), 25));
    checked.check_bbox(&BBox::new(10.0, 80.0, 20.0, 90.0).unwrap(), usize::MAX);
    checked.check_all();
}

#[test]
fn only_the_newest_of_a_crowd_are_asked_for() {
    let place = at(10.0, 20.0);
    let mut checked = Checked::new();
    let seen: Vec<_> = (0..5_000).map(|number| (number, place, number as i64 * 1_000)).collect();
    checked.see(&seen);
    for oldest in [-1, 0, 65_535, 65_536, 4_990_000, 4_999_000, 4_999_001] {
        checked.check_nearby(&Nearby { newer_than_ms: Some(oldest), ..near(place, 10) });
    }
}
