//! A slice of the seeds.

use vagn_cluster::Faults;
use vagn_simulator::{REQUIRED, Reached, simulate};

/// Seeds whose runs found a fault once, beside those of the slice: logs that were trimmed of what only one owner had (235, 305, 361), an epoch that
/// was begun of a sound stream, so that a report was stored in both (41023).
const FOUND_ONCE: &[u64] = &[235, 305, 361, 41_023];

/// Ten runs of each kind, which take some seconds.
const SLICE: std::ops::Range<u64> = 0..140;

#[test]
fn nothing_goes_wrong_in_a_slice_of_the_seeds_and_it_reaches_all_states() {
    let mut reached = Reached::default();
    for seed in SLICE.chain(FOUND_ONCE.iter().copied()) {
        let outcome = simulate(seed, Faults::default(), 0);
        if outcome.wrong.is_some() {
            panic!("{}", simulate(seed, Faults::default(), 300));
        }
        reached.add(&outcome.reached);
    }
    let missed = reached.missed(REQUIRED);
    assert!(missed.is_empty(), "never reached: {missed:?}");
}

#[test]
fn a_seed_runs_alike_each_time_whether_it_is_told_in_words_or_not() {
    for seed in [5, 13] {
        let (one, other) = (simulate(seed, Faults::default(), 0), simulate(seed, Faults::default(), 100));
        assert_eq!((one.trace, one.events, &one.reached), (other.trace, other.events, &other.reached));
        assert_eq!((one.lines.len(), other.lines.len()), (0, 100));
        assert_ne!(one.trace, simulate(seed + 14, Faults::default(), 0).trace);
    }
}

#[test]
fn a_failing_run_tells_its_seed_its_plan_and_its_last_events() {
    let faults = Faults { all_owners_leave: true, ..Faults::default() };
    let text = simulate(6, faults, 100).to_string();
    for part in ["seed 6 (", "stream_bytes", "all_owners_leave: true", "< Delivered"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}
