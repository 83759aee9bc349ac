//! The state machine on made-up clocks: each doubt with its ends, and what holds for any clocks whatever.

use proptest::prelude::*;

use super::*;

const MARK_MS: i64 = 1_790_000_000_000;
const DAY_MS: i64 = 24 * 3_600_000;
const AHEAD_MAX_MS: i64 = 15 * DAY_MS;

fn look(wall_ms: i64, at_ms: u64) -> Look {
    Look { wall_ms, at: Duration::from_millis(at_ms) }
}

/// A start with the mark `MARK_MS`, at a wall clock that is so far ahead of it.
fn start(ahead_ms: i64) -> (Belief, Option<Change>) {
    let first = look(MARK_MS + ahead_ms, 0);
    let mut belief =
        Belief::new(Some(Believed { now_ms: MARK_MS, since_ms: MARK_MS }), first, AHEAD_MAX_MS, 0);
    let change = belief.look(first, || false);
    (belief, change)
}

/// One that runs since `MARK_MS`, and believes its clock.
fn running() -> Belief {
    start(0).0
}

#[test]
fn a_start_is_believed_within_its_limits() {
    for (ahead_ms, doubted) in [
        (-HELD_BACK_MAX_MS, None),
        (-HELD_BACK_MAX_MS - 1, Some(Change::Began(Reason::Behind))),
        (AHEAD_MAX_MS, None),
        (AHEAD_MAX_MS + 1, Some(Change::Began(Reason::Ahead))),
    ] {
        assert_eq!(start(ahead_ms).1, doubted, "{ahead_ms}");
    }
}

#[test]
fn a_start_without_a_mark_is_believed() {
    let mut belief = Belief::new(None, look(0, 0), AHEAD_MAX_MS, 0);
    assert_eq!(belief.look(look(0, 0), || false), None);
}

#[test]
fn the_log_stands_in_for_a_mark_that_is_lost() {
    let now = look(MARK_MS + 40 * DAY_MS, 0);
    let mut belief = Belief::new(None, now, AHEAD_MAX_MS, 0);
    belief.look(now, || false);
    belief.logged(0, i64::MIN, now);
    assert_eq!(belief.look(now, || false), None, "an empty log");
    belief.logged(0, MARK_MS - 3 * DAY_MS, now);
    assert_eq!(belief.look(now, || false), Some(Change::Began(Reason::Ahead)));
    belief.logged(0, MARK_MS, now);
    assert_eq!(belief.expected_ms(now.at), MARK_MS, "the newest of the partitions counts");
    belief.accept(now);
    belief.logged(0, MARK_MS - DAY_MS, now);
    assert_eq!(belief.look(now, || false), None, "an operator has accepted it");
    let mut marked = start(0).0;
    marked.logged(0, MARK_MS - 40 * DAY_MS, look(MARK_MS, 1));
    assert_eq!(marked.look(look(MARK_MS, 1), || false), None, "a mark is newer than the log");
}

#[test]
fn a_jump_is_doubted_either_way() {
    for (by_ms, doubted) in [
        (APART_MAX_MS, None),
        (APART_MAX_MS + 1, Some(Change::Began(Reason::Jumped))),
        (-APART_MAX_MS, None),
        (-APART_MAX_MS - 1, Some(Change::Began(Reason::Jumped))),
        (i64::MAX, Some(Change::Began(Reason::Jumped))),
        (i64::MIN, Some(Change::Began(Reason::Jumped))),
    ] {
        let wall_ms = (MARK_MS + 500).saturating_add(by_ms);
        assert_eq!(running().look(look(wall_ms, 500), || false), doubted, "{by_ms}");
    }
}

#[test]
fn the_kernel_leaves_no_doubt_and_ends_one() {
    let mut belief = running();
    assert_eq!(belief.look(look(0, 500), || true), Some(Change::Followed));
    assert_eq!(belief.look(look(500, 1_000), || false), None, "that is the time now");
    let (mut belief, _) = start(40 * DAY_MS);
    assert_eq!(belief.look(look(MARK_MS + 40 * DAY_MS, 1), || true), Some(Change::Ended(Ending::Kernel)));
}

#[test]
fn ten_vehicles_end_a_doubt_and_no_vehicle_counts_twice() {
    let (mut belief, _) = start(40 * DAY_MS);
    let now = look(MARK_MS + 40 * DAY_MS, 1);
    let mut hear = |vehicles: std::ops::Range<u64>, off_ms: i64| {
        for vehicle in vehicles {
            belief.hear(vehicle, now.wall_ms + off_ms, now.wall_ms);
        }
        belief.look(now, || false)
    };
    assert_eq!(hear(0..9, 0), None);
    assert_eq!(hear(0..9, 0), None, "the same nine");
    assert_eq!(hear(20..99, 60_001), None, "they do not agree");
    assert_eq!(hear(9..10, -60_000), Some(Change::Ended(Ending::Vehicles)));
}

#[test]
fn what_vehicles_said_before_another_jump_does_not_count() {
    let (mut belief, _) = start(40 * DAY_MS);
    let wall_ms = MARK_MS + 40 * DAY_MS;
    (0..9).for_each(|vehicle| belief.hear(vehicle, wall_ms, wall_ms));
    assert_eq!(belief.look(look(wall_ms + DAY_MS, 10), || false), None);
    belief.hear(9, wall_ms + DAY_MS, wall_ms + DAY_MS);
    assert_eq!(belief.look(look(wall_ms + DAY_MS, 20), || false), None);
}

#[test]
fn a_clock_that_is_right_again_is_believed_after_a_while() {
    let (mut belief, _) = start(40 * DAY_MS);
    let right = |at_ms: u64| look(MARK_MS + at_ms as i64, at_ms);
    assert_eq!(belief.look(right(4_000), || false), None);
    assert_eq!(belief.look(look(0, 9_000), || false), None, "wrong again");
    assert_eq!(belief.look(right(10_000), || false), None);
    assert_eq!(belief.look(right(19_999), || false), None);
    assert_eq!(belief.look(right(20_000), || false), Some(Change::Ended(Ending::Returned)));
}

#[test]
fn an_operator_ends_a_doubt_and_the_clock_goes_on_from_there() {
    let (mut belief, _) = start(-9_000 * DAY_MS);
    let now = look(MARK_MS - 9_000 * DAY_MS, 1);
    assert_eq!(belief.accept(now), Some(Change::Ended(Ending::Operator)));
    assert_eq!((belief.accept(now), belief.expected_ms(now.at)), (None, now.wall_ms));
}

/// One look after a pause: the step of the wall clock beside it, and what else there is to hear.
#[derive(Debug, Clone)]
enum Step {
    Pass { ms: u64, drift_ppm: i64 },
    Jump { by_ms: i64 },
    Vehicle { id: u64, off_ms: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_600_000_u64, -500..=500_i64).prop_map(|(ms, drift_ppm)| Step::Pass { ms, drift_ppm }),
        2 => (-4_000 * DAY_MS..4_000 * DAY_MS).prop_map(|by_ms| Step::Jump { by_ms }),
        1 => (-APART_MAX_MS..APART_MAX_MS).prop_map(|by_ms| Step::Jump { by_ms }),
        1 => (0..20_u64, -90_000..90_000_i64).prop_map(|(id, off_ms)| Step::Vehicle { id, off_ms }),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn no_drift_of_a_crystal_becomes_a_doubt(
        drift_ppm in -500..=500_i64, pauses in proptest::collection::vec(1..100_000_u64, 500),
    ) {
        let (mut belief, mut at_ms) = (running(), 0);
        // Each pause stands for a thousand of them: years in all.
        for pause in pauses.into_iter().cycle().take(20_000) {
            at_ms += pause * 10;
            let wall_ms = MARK_MS + at_ms as i64 + (at_ms as i64) / 1_000_000 * drift_ppm;
            prop_assert_eq!(belief.look(look(wall_ms, at_ms), || false), None);
        }
    }

    /// Whatever the clocks do: a believed reading is within its limits of the last believed one, or others have vouched for it.
    #[test]
    fn nothing_is_believed_without_a_reason(ahead_ms in -99 * DAY_MS..99 * DAY_MS, steps in steps()) {
        let (mut belief, began) = start(ahead_ms);
        prop_assert_eq!(began.is_some(), !(-HELD_BACK_MAX_MS..=AHEAD_MAX_MS).contains(&ahead_ms));
        let (mut wall_ms, mut at_ms) = (MARK_MS + ahead_ms, 0_u64);
        let mut witnesses = std::collections::BTreeSet::new();
        for step in steps {
            match step {
                Step::Pass { ms, drift_ppm } => {
                    at_ms += ms;
                    wall_ms += ms as i64 + ms as i64 * drift_ppm / 1_000_000;
                }
                Step::Jump { by_ms } => wall_ms += by_ms,
                Step::Vehicle { id, off_ms } => {
                    belief.hear(id, wall_ms + off_ms, wall_ms);
                    if belief.is_in_doubt() && off_ms.abs() <= 60_000 {
                        witnesses.insert(id);
                    }
                }
            }
            let now = look(wall_ms, at_ms);
            let (was_in_doubt, agrees) = (belief.is_in_doubt(), belief.allowed().contains(&belief.difference_ms(now)));
            let change = belief.look(now, || false);
            match change {
                Some(Change::Began(_)) => prop_assert!(!was_in_doubt && !agrees),
                Some(Change::Ended(Ending::Vehicles)) => prop_assert!(witnesses.len() >= WITNESSES),
                Some(Change::Ended(Ending::Returned)) => prop_assert!(was_in_doubt && agrees),
                Some(other) => prop_assert!(false, "{:?}", other),
                None => prop_assert_eq!(belief.is_in_doubt(), was_in_doubt),
            }
            if change.is_some() {
                witnesses.clear();
            }
            prop_assert!(belief.is_in_doubt() || belief.difference_ms(now).abs() <= APART_MAX_MS);
        }
    }

    #[test]
    fn a_clock_that_the_kernel_keeps_is_never_doubted(steps in steps()) {
        let (mut belief, mut wall_ms, mut at_ms) = (running(), MARK_MS, 0);
        for step in steps {
            match step {
                Step::Pass { ms, .. } => { at_ms += ms; wall_ms += ms as i64; }
                Step::Jump { by_ms } => wall_ms += by_ms,
                Step::Vehicle { .. } => {}
            }
            belief.look(look(wall_ms, at_ms), || true);
            prop_assert!(!belief.is_in_doubt());
        }
    }
}
