//! Whose a report in an envelope is: whoever takes it out and whoever decodes it must find the same.

use std::collections::BTreeMap;

use vagn_fuzz::{rounds, seeded};
use vagn_wire::sealed::{Contents, Taken};
use vagn_wire::{MAX_DATAGRAM, VehicleId, decode};

use crate::inputs::input;

const INPUTS: usize = 200_000;

/// How often each kind of report must have come up, lest the inputs miss what is to be compared.
const EACH_AT_LEAST: usize = 1_000;

#[test]
fn a_report_is_of_the_same_vehicle_for_whoever_takes_it_out_and_whoever_decodes_it() {
    let mut chance = seeded();
    let mut kinds = BTreeMap::new();
    for _ in 0..rounds(INPUTS) {
        let content = input(&mut chance);
        let stranger = VehicleId::new("a").unwrap();
        let inside = decode(&content).map(|report| report.vehicle_id);
        let own = inside.ok().filter(|_| chance.bool()).unwrap_or(stranger);
        let mut contents = Contents::new(&content, Some(own));
        let mut report = Vec::new();
        while let Some(taken) = contents.take(&mut report) {
            *kinds.entry(check(&report, taken, own)).or_insert(0) += 1;
            report.clear();
        }
    }
    let is_enough = |kind: &str| kinds.get(kind).is_some_and(|count| *count >= EACH_AT_LEAST);
    assert!(["completed", "own", "of another"].into_iter().all(is_enough), "{kinds:?}");
}

fn check(report: &[u8], taken: Taken, own: VehicleId<'_>) -> &'static str {
    let Ok(decoded) = decode(report) else { return "none" };
    let is_own = decoded.vehicle_id == own;
    // Of one that is too long only the beginning is read, so that nothing is said before.
    let fits = report.len() <= MAX_DATAGRAM;
    assert!(taken.is_own == is_own || (!fits && !taken.is_own), "{taken:?} of {own:?}: {report:x?}");
    match taken {
        Taken { was_completed: true, .. } => "completed",
        Taken { is_own: true, .. } => "own",
        _ => "of another",
    }
}
