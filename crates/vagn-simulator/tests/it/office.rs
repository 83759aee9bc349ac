//! Calls for help with the service's own desk, office, door and files: a slice of the seeds, and faults that must be found.

use vagn_cluster::trail::TrailFaults;
use vagn_simulator::{DeskFault, KINDS_OF_CALLS, simulate_office};

/// A run of each kind.
const SLICE: std::ops::Range<u64> = 0..KINDS_OF_CALLS;

#[test]
fn nothing_goes_wrong_with_the_services_own_desk_in_a_run_of_each_kind() {
    for seed in SLICE {
        let outcome = simulate_office(seed, TrailFaults::default(), None, 0);
        if outcome.wrong.is_some() {
            panic!("{}", simulate_office(seed, TrailFaults::default(), None, 300));
        }
    }
}

#[test]
fn a_seed_of_the_services_own_desk_runs_alike_each_time() {
    let run = |lines| simulate_office(3, TrailFaults::default(), None, lines);
    let (one, other) = (run(0), run(100));
    assert_eq!((one.trace, one.events, &one.reached), (other.trace, other.events, &other.reached));
}

/// Runs seeds of a kind until one finds the fault, and looks that it passes without it.
fn find(faults: TrailFaults, desk: Option<DeskFault>, kind: u64) -> String {
    for seed in (0..3).map(|number| number * KINDS_OF_CALLS + kind) {
        if let Some(wrong) = simulate_office(seed, faults, desk, 0).wrong {
            let sound = simulate_office(seed, TrailFaults::default(), None, 0);
            assert_eq!(sound.wrong, None, "seed {seed} without the fault");
            return wrong;
        }
    }
    panic!("no seed of kind {kind} finds {faults:?} {desk:?}");
}

#[test]
fn finds_a_leader_whose_own_desk_acts_before_the_trail_has_it() {
    let wrong = find(TrailFaults { act_before_append: true, ..TrailFaults::default() }, None, 0);
    assert!(wrong.contains("answered as stored"), "{wrong}");
}

#[test]
fn finds_alarms_that_the_desk_says_are_recorded_and_are_not() {
    let wrong = find(TrailFaults::default(), Some(DeskFault::SaidRecorded), 0);
    assert!(wrong.contains("answered as stored"), "{wrong}");
}

#[test]
fn finds_a_desk_that_recalls_nothing_of_its_store() {
    let wrong = find(TrailFaults::default(), Some(DeskFault::NothingRecalled), 2);
    assert!(wrong.contains("two open incidents") || wrong.contains("was never called about"), "{wrong}");
}
