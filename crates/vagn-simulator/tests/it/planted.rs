//! Faults that are planted in the core: a search that does not find them would find nothing.

use vagn_cluster::Faults;
use vagn_simulator::simulate;

/// Kinds of runs: a seed's remainder by their number is its kind.
const KINDS: u64 = 14;

/// Runs seeds of a kind until one finds the fault, and looks that all of them pass without it.
fn find(faults: Faults, kind: u64, count: u64) -> String {
    for seed in (0..count).map(|number| number * KINDS + kind) {
        let sound = simulate(seed, Faults::default(), 0);
        assert_eq!(sound.wrong, None, "seed {seed} without the fault");
        if let Some(wrong) = simulate(seed, faults, 0).wrong {
            return wrong;
        }
    }
    panic!("no seed of kind {kind} finds {faults:?}");
}

#[test]
fn finds_fates_that_are_answered_before_a_sync() {
    let wrong = find(Faults { ack_before_sync: true, ..Faults::default() }, 8, 20);
    assert!(wrong.contains("that were kept"), "{wrong}");
}

#[test]
fn finds_a_copy_that_skips_an_entry() {
    find(Faults { bootstrap_skips_one: true, ..Faults::default() }, 7, 5);
}

#[test]
fn finds_a_replica_that_forgets_by_its_own_clock() {
    find(Faults { forget_by_own_clock: true, ..Faults::default() }, 5, 5);
}

#[test]
fn finds_a_purge_before_the_sync() {
    find(Faults { purge_before_sync: true, ..Faults::default() }, 4, 10);
}

#[test]
fn finds_a_log_that_is_let_go_with_what_nobody_else_has() {
    let wrong = find(Faults { lacks_nothing: true, ..Faults::default() }, 10, 10);
    assert!(wrong.contains("that were kept"), "{wrong}");
}

#[test]
fn finds_a_log_that_could_not_be_read_and_is_let_go() {
    let wrong = find(Faults { unread_is_end: true, ..Faults::default() }, 10, 10);
    assert!(wrong.contains("that were kept"), "{wrong}");
}

#[test]
fn finds_the_rest_of_a_damaged_log_that_is_let_go() {
    let wrong = find(Faults { rest_is_nothing: true, ..Faults::default() }, 10, 40);
    assert!(wrong.contains("that were kept"), "{wrong}");
}

#[test]
fn finds_a_repair_that_is_refused_while_an_owner_could_begin_it() {
    let wrong = find(Faults { repairs_refused: true, ..Faults::default() }, 9, 5);
    assert!(wrong.contains("could begin"), "{wrong}");
}

#[test]
fn finds_a_repair_whose_end_nobody_is_told() {
    let wrong = find(Faults { repairs_untold: true, ..Faults::default() }, 9, 5);
    assert!(wrong.contains("waits for what became of a repair"), "{wrong}");
}

#[test]
fn finds_a_repair_of_a_stream_that_nobody_has_found_broken() {
    let wrong = find(Faults { sound_repaired: true, ..Faults::default() }, 1, 10);
    assert!(wrong.contains("and the stream is sound"), "{wrong}");
}

#[test]
fn finds_a_repair_that_is_told_before_it_is_made() {
    let wrong = find(Faults { repairs_told_early: true, ..Faults::default() }, 9, 10);
    assert!(wrong.contains("was repaired, and epoch 1 goes on"), "{wrong}");
}

#[test]
fn finds_owners_that_all_leave() {
    find(Faults { all_owners_leave: true, ..Faults::default() }, 12, 5);
}

#[test]
fn finds_a_stream_made_anew_that_nobody_notices() {
    find(Faults { stream_anew_unnoticed: true, ..Faults::default() }, 9, 5);
}
