//! Real tracks over the antimeridian: twenty Pacific storms, see `data/README.md`.

use vagn_store::{BBox, Nearby};
use vagn_wire::Position;

use crate::model::{Checked, at};

const TRACKS: &str = include_str!("../../../../data/hurdat2-antimeridian-storms.csv");

/// Storm number, time and position of each row.
fn fixes() -> Vec<(usize, i64, Position)> {
    let mut storms: Vec<&str> = Vec::new();
    let rows = TRACKS.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.map(|row| {
        let storm = storms.iter().position(|name| *name == row[0]).unwrap_or_else(|| {
            storms.push(row[0]);
            storms.len() - 1
        });
        let degrees = |text: &str| text.parse().expect("the file has coordinates in columns 3 and 4");
        (storm, row[1].parse().expect("the file has times in column 2"), at(degrees(row[2]), degrees(row[3])))
    })
    .collect()
}

fn around(center: Position) -> Nearby {
    Nearby { center, k: 20, max_m: 2e6, newer_than_ms: None }
}

#[test]
fn storms_are_found_from_both_sides_of_the_antimeridian() {
    let mut checked = Checked::new();
    let fixes = fixes();
    assert_eq!(fixes.len(), 1_159);
    for (storm, time, position) in fixes {
        checked.see(&[(storm, position, time)]);
        checked.check_nearby(&around(at(position.lat(), 180.0)));
        checked.check_nearby(&around(at(position.lat(), -180.0)));
        checked.check_nearby(&around(position));
        checked.check_bbox(&BBox::new(170.0, -10.0, -170.0, 60.0).unwrap(), 100);
    }
}

#[test]
fn every_fix_at_once_is_found_as_by_a_search_through_all() {
    let mut checked = Checked::new();
    let all: Vec<_> = fixes().into_iter().enumerate().map(|(number, fix)| (number, fix.2, fix.1)).collect();
    checked.see(&all);
    for lat in (-10..70).step_by(4) {
        for lon in [-180.0, -179.9, -170.0, 170.0, 179.9, 180.0] {
            checked.check_nearby(&around(at(f64::from(lat), lon)));
        }
    }
}
