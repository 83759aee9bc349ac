//! What the desk decides, without actors, disk or network.

use std::sync::Arc;
use std::time::Duration;

use vagn_wire::{Fate, Kind};

use super::candidate::{Candidate, Claim};
use super::desk::{Admitted, Desk};
use super::id::IncidentId;
use super::incident::{Attempt, Outcome, Place};
use super::rules::Rules;
use crate::fate::{Answer, Receipt};

const NOW_MS: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn rules() -> Rules {
    Rules { lines: Some(4), ..Rules::new(20, None) }
}

fn desk() -> Desk {
    Desk::new(rules(), 1)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A call at so many ms after the start of the test.
fn call(vehicle_id: &str, at_ms: i64) -> Candidate {
    let mut call = Candidate::example(vehicle_id);
    (call.received_ms, call.last_received_ms) = (NOW_MS + at_ms, NOW_MS + at_ms);
    (call.arrived, call.last_arrived) = (ms(at_ms as u64), ms(at_ms as u64));
    call
}

fn named(vehicle_id: &str, vehicle_incident: &str, at_ms: i64) -> Candidate {
    Candidate { vehicle_incident: Some(vehicle_incident.into()), ..call(vehicle_id, at_ms) }
}

fn waiting(mut call: Candidate) -> (Candidate, Answer) {
    let (receipt, answer) = Receipt::new(1);
    receipt.set(0, Fate::Stored);
    call.claims.push(Claim::new(receipt, 0, call.arrived));
    (call, answer)
}

fn opened(admitted: &Admitted) -> IncidentId {
    assert_eq!(admitted.opened.len(), 1, "{admitted:?}");
    admitted.opened[0]
}

fn record(desk: &mut Desk) {
    let drafts = desk.drafts(1_000);
    desk.recorded(&drafts);
}

fn attempt(number: u32, status: u16) -> Attempt {
    let outcome = if status < 300 { Outcome::Accepted { status } } else { Outcome::Refused { status } };
    Attempt { number, at_ms: NOW_MS, took_ms: 1, outcome }
}

/// Lets the incident be recorded, called and accepted.
fn accept(desk: &mut Desk, id: IncidentId) {
    record(desk);
    let due = desk.next_call(Duration::MAX).expect("a call is owed");
    assert_eq!(due.incident.id, id);
    desk.attempted(id, attempt(due.number, 200), Duration::ZERO);
    record(desk);
}

fn tidy(desk: &mut Desk, at_ms: i64) {
    desk.tidy(NOW_MS + at_ms, ms(at_ms as u64));
}

#[test]
fn an_episode_goes_on_until_it_is_accepted_and_quiet() {
    let mut desk = desk();
    let first = opened(&desk.admit(vec![call("bus 7", 0)]));
    let long_after = desk.admit(vec![call("bus 7", 600 * MINUTE_MS)]);
    assert_eq!((long_after.opened.len(), long_after.updated), (0, 1), "nobody has accepted it");
    accept(&mut desk, first);
    let soon = desk.admit(vec![call("bus 7", 605 * MINUTE_MS)]);
    assert_eq!((soon.opened.len(), soon.updated), (0, 1));
    let second = opened(&desk.admit(vec![call("bus 7", 610 * MINUTE_MS + 1)]));
    assert_ne!(first, second);
}

/// The report that comes at so many ms while the wall clock shows so many.
fn shown(at_ms: i64, wall_ms: i64) -> Candidate {
    let stamp = NOW_MS + wall_ms;
    Candidate { received_ms: stamp, last_received_ms: stamp, ..call("bus 7", at_ms) }
}

#[test]
fn a_wall_clock_that_stands_still_keeps_no_episode_open() {
    let mut desk = desk();
    let ahead = 600 * MINUTE_MS;
    let first = opened(&desk.admit(vec![shown(0, ahead)]));
    accept(&mut desk, first);
    let second = opened(&desk.admit(vec![shown(5 * MINUTE_MS + 1, ahead)]));
    accept(&mut desk, second);
    desk.tidy(NOW_MS, ms(11 * MINUTE_MS as u64));
    assert_eq!(desk.standing().open, 0, "it waits for the wall clock to catch up");
}

#[test]
fn a_wall_clock_that_jumps_makes_no_second_incident() {
    let mut desk = desk();
    let first = opened(&desk.admit(vec![shown(0, 0)]));
    accept(&mut desk, first);
    desk.tidy(NOW_MS + 600 * MINUTE_MS, ms(1));
    let repeat = desk.admit(vec![shown(1_000, 600 * MINUTE_MS)]);
    assert_eq!((repeat.opened.len(), repeat.updated), (0, 1));
}

#[test]
fn a_restored_incident_has_been_quiet_since_its_last_report_but_never_for_less_than_no_time() {
    let check = |updated_ms, at_ms, goes_on| {
        let mut old = desk();
        let first = opened(&old.admit(vec![shown(0, updated_ms)]));
        accept(&mut old, first);
        let left = vec![old.get(first).unwrap().clone()];
        let mut new = desk();
        new.restore(left, NOW_MS, ms(3));
        assert_eq!(new.admit(vec![call("bus 7", 3 + at_ms)]).updated == 1, goes_on, "{updated_ms} {at_ms}");
    };
    check(-4 * MINUTE_MS, MINUTE_MS, true);
    check(-4 * MINUTE_MS, MINUTE_MS + 1, false);
    check(600 * MINUTE_MS, 5 * MINUTE_MS, true);
    check(600 * MINUTE_MS, 5 * MINUTE_MS + 1, false);
}

#[test]
fn what_is_over_leaves_the_desk_once_that_is_recorded() {
    let mut desk = desk();
    let id = opened(&desk.admit(vec![call("bus 7", 0)]));
    accept(&mut desk, id);
    tidy(&mut desk, 5 * MINUTE_MS);
    assert!(desk.get(id).is_some_and(|incident| incident.ended_ms.is_none()));
    tidy(&mut desk, 5 * MINUTE_MS + 1);
    assert!(desk.get(id).is_some_and(|incident| incident.ended_ms.is_some()));
    assert_eq!(desk.standing().open, 0);
    record(&mut desk);
    assert!(desk.get(id).is_none());
}

#[test]
fn the_vehicles_own_name_for_an_incident_tells_two_apart() {
    let mut desk = desk();
    let bare = opened(&desk.admit(vec![call("bus 7", 0)]));
    let adopted = desk.admit(vec![named("bus 7", "a", 1)]);
    assert_eq!((adopted.opened.len(), adopted.updated), (0, 1), "the incident without a name gets this one");
    let other = opened(&desk.admit(vec![named("bus 7", "b", 2)]));
    let again = desk.admit(vec![named("bus 7", "a", 3), named("bus 7", "b", 3), call("bus 7", 3)]);
    assert_eq!(again.updated, 3);
    assert_eq!(desk.get(bare).unwrap().reports, 3);
    assert_eq!(desk.get(other).unwrap().reports, 3, "a report without a name goes to the latest");
    let elsewhere = desk.admit(vec![named("bus 8", "a", 4)]);
    assert_eq!(elsewhere.opened.len(), 1, "the name is the vehicle's own");
}

#[test]
fn one_vehicle_cannot_fill_the_desk_with_names() {
    let mut desk = desk();
    for number in 0..100 {
        desk.admit(vec![named("bus 7", &format!("incident {number}"), number)]);
    }
    assert_eq!(desk.standing().open, 8);
}

#[test]
fn past_the_limit_new_vehicles_are_refused_and_trials_have_a_limit_of_their_own() {
    let mut desk = desk();
    let trial = |number| Candidate { kind: Some(Kind::Test), ..call(&format!("bus {number}"), 0) };
    let trials = desk.admit((0..5).map(trial).collect());
    assert_eq!((trials.opened.len(), trials.refused.len()), (2, 3));
    let real = desk.admit((0..25).map(|number| call(&format!("bus {number}"), 0)).collect());
    assert_eq!((real.opened.len(), real.refused.len()), (20, 5), "trials take no room from real calls");
    let (known, answer) = waiting(call("bus 3", 1));
    let (new, refusal) = waiting(call("bus 99", 1));
    assert_eq!(desk.admit(vec![known, new]).refused, ["bus 99".into()]);
    record(&mut desk);
    assert!(answer.blocking_recv().unwrap()[0].incident.is_some());
    assert_eq!(refusal.blocking_recv().unwrap()[0].fate, Fate::Failed);
}

#[test]
fn a_sender_hears_of_it_only_when_its_own_report_is_on_disk() {
    let mut desk = desk();
    let (first, mut first_answer) = waiting(call("bus 7", 0));
    let id = opened(&desk.admit(vec![first]));
    let drafts = desk.drafts(10);
    let (second, mut second_answer) = waiting(call("bus 7", 1));
    desk.admit(vec![second]);
    assert!(first_answer.try_recv().is_err());
    desk.recorded(&drafts);
    assert_eq!(first_answer.try_recv().unwrap()[0].incident, Some(id.to_string()));
    assert!(second_answer.try_recv().is_err(), "it came after what was written");
    record(&mut desk);
    assert_eq!(second_answer.try_recv().unwrap()[0].incident, Some(id.to_string()));
    assert_eq!(desk.standing().unrecorded, 0);
}

#[test]
fn a_sender_does_not_wait_for_ever() {
    let mut desk = desk();
    let (first, mut answer) = waiting(call("bus 7", 0));
    desk.admit(vec![first]);
    desk.store_down();
    desk.tidy(NOW_MS, ms(5_000));
    assert!(answer.try_recv().is_err());
    desk.tidy(NOW_MS, ms(5_001));
    let outcome = &answer.try_recv().unwrap()[0];
    assert_eq!((outcome.fate, &outcome.incident), (Fate::Failed, &None));
}

#[test]
fn calls_when_recorded_or_after_a_tenth_of_a_second() {
    let mut desk = desk();
    let slow = opened(&desk.admit(vec![call("slow", 0)]));
    assert!(desk.next_call(ms(99)).is_none());
    let unrecorded = desk.next_call(ms(100)).unwrap();
    assert!(unrecorded.incident.id == slow && unrecorded.incident.called_unrecorded);
    assert_eq!(unrecorded.arrived, Some(ms(0)));
    let quick = opened(&desk.admit(vec![call("quick", 200)]));
    record(&mut desk);
    let recorded = desk.next_call(ms(200)).unwrap();
    assert!(recorded.incident.id == quick && !recorded.incident.called_unrecorded);
}

#[test]
fn what_waited_for_the_store_to_be_read_is_still_recorded_and_placed_before_it_is_called() {
    let mut desk = desk();
    desk.restore(Vec::new(), NOW_MS, ms(3_000));
    desk.admit(vec![call("bus 7", 0)]);
    assert!(desk.next_call(ms(3_099)).is_none());
    assert!(desk.next_call(ms(3_100)).is_some());
}

#[test]
fn tries_on_at_the_pace_of_the_schedule() {
    let mut desk = desk();
    let id = opened(&desk.admit(vec![call("bus 7", 0)]));
    record(&mut desk);
    let mut now = ms(0);
    for number in 1..=30 {
        let call = desk.next_call(now).expect("due");
        assert_eq!((call.number, call.arrived.is_some()), (number, number == 1));
        desk.attempted(id, attempt(number, 503), now);
        let due = desk.wake_at().unwrap();
        assert!(due > now && due - now <= ms(15_000));
        assert!(desk.next_call(due - ms(1)).is_none());
        now = due;
    }
    assert_eq!(desk.standing().unaccepted, 1, "there is no end to it");
}

#[test]
fn a_new_run_calls_what_the_old_one_owed() {
    let mut old = desk();
    let owed = opened(&old.admit(vec![call("owed", 0)]));
    let done = opened(&old.admit(vec![call("done", 1)]));
    old.admit(vec![Candidate { kind: Some(Kind::Test), ..call("trial", 2) }]);
    record(&mut old);
    while let Some(call) = old.next_call(ms(0)) {
        let status = if call.incident.id == done { 200 } else { 500 };
        old.attempted(call.incident.id, attempt(call.number, status), ms(0));
    }
    let left: Vec<_> = old.drafts(10).into_iter().map(|draft| draft.incident).collect();
    let mut new = desk();
    new.restore(left, NOW_MS, ms(0));
    let call = new.next_call(ms(0)).unwrap();
    assert_eq!((call.incident.id, call.number, call.arrived), (owed, 2, None));
    assert!(new.next_call(Duration::MAX).is_none());
    let repeat = new.admit(vec![Candidate::example("owed")]);
    assert_eq!((repeat.opened.len(), repeat.updated), (0, 1), "a repeat joins it");
}

#[test]
fn a_repeat_that_came_before_the_store_was_read_joins_what_it_repeats() {
    let check = |left: Candidate, repeat: Candidate, joins: bool| {
        let mut old = desk();
        let first = opened(&old.admit(vec![left]));
        record(&mut old);
        let mut new = desk();
        let (repeat, mut answer) = waiting(repeat);
        let second = opened(&new.admit(vec![repeat]));
        let folded = new.restore(vec![old.get(first).unwrap().clone()], NOW_MS, ms(5));
        let standing = new.standing();
        assert_eq!((folded.len(), standing.open + standing.open_tests), if joins { (1, 1) } else { (0, 2) });
        record(&mut new);
        let known = if joins { first } else { second };
        assert_eq!(answer.try_recv().unwrap()[0].incident, Some(known.to_string()));
        assert_eq!(new.get(known).unwrap().reports, if joins { 2 } else { 1 });
        let calls = std::iter::from_fn(|| new.next_call(ms(5))).map(|call| call.incident.id);
        assert!(calls.into_iter().all(|id| !joins || id == first));
    };
    let trial = Candidate { kind: Some(Kind::Test), ..call("bus 7", 2) };
    check(call("bus 7", 0), call("bus 7", 1), true);
    check(call("bus 7", 0), named("bus 7", "a", 1), true);
    check(named("bus 7", "a", 0), named("bus 7", "a", 1), true);
    check(named("bus 7", "a", 0), call("bus 7", 1), true);
    check(named("bus 7", "a", 0), named("bus 7", "b", 1), false);
    check(call("bus 7", 0), call("bus 8", 1), false);
    check(call("bus 7", 0), trial, false);
}

#[test]
fn a_repeat_that_has_been_called_about_keeps_its_key() {
    let mut old = desk();
    let first = opened(&old.admit(vec![call("bus 7", 0)]));
    let mut new = desk();
    let second = opened(&new.admit(vec![call("bus 7", 1)]));
    assert_eq!(new.next_call(ms(200)).unwrap().incident.id, second);
    assert_eq!(new.restore(vec![old.get(first).unwrap().clone()], NOW_MS, ms(200)), []);
    assert_eq!(new.standing().open, 2);
}

#[test]
fn a_store_that_is_back_gets_all_that_is_at_the_desk() {
    let mut desk = desk();
    desk.admit(vec![call("before", 0)]);
    record(&mut desk);
    desk.store_down();
    desk.admit(vec![call("meanwhile", 1)]);
    assert!(desk.next_call(ms(1)).is_some(), "it does not wait for a store that is down");
    desk.restore(Vec::new(), NOW_MS, ms(2));
    let mut written: Vec<_> = desk.drafts(10).into_iter().map(|draft| draft.incident.vehicle_id).collect();
    written.sort();
    assert_eq!(written, ["before".into(), "meanwhile".into()]);
}

#[test]
fn new_incidents_are_written_before_old_ones_that_changed() {
    let mut desk = desk();
    desk.admit(vec![call("old", 0)]);
    record(&mut desk);
    desk.admit(vec![call("old", 1), call("new", 2)]);
    assert!(desk.is_urgent());
    assert_eq!(&*desk.drafts(1)[0].incident.vehicle_id, "new");
}

#[test]
fn what_ended_while_the_store_was_down_is_kept_up_to_a_limit() {
    let mut desk = desk();
    desk.store_down();
    for round in 0..50_i64 {
        let at_ms = round * 10 * MINUTE_MS;
        let id = opened(&desk.admit(vec![call("bus 7", at_ms)]));
        let due = desk.next_call(Duration::MAX).unwrap();
        desk.attempted(id, attempt(due.number, 200), ms(0));
        tidy(&mut desk, at_ms + 6 * MINUTE_MS);
    }
    assert_eq!(desk.standing().unrecorded, 20);
}

#[test]
fn the_last_known_place_stands_in_for_a_missing_one() {
    let mut desk = desk();
    let id = opened(&desk.admit(vec![Candidate { place: None, ..call("bus 7", 0) }]));
    assert_eq!(desk.take_unplaced(), [(id, "bus 7".into())]);
    desk.unplaced(id);
    assert_eq!(desk.take_unplaced().len(), 1);
    let last_known = Place { lat: 1.0, lon: 2.0, time_ms: 3, trusted: false };
    desk.place(id, last_known);
    assert_eq!(desk.get(id).unwrap().place, Some(last_known));
    desk.admit(vec![call("bus 7", 1)]);
    assert!(desk.get(id).unwrap().place.unwrap().trusted);
    assert!(desk.take_unplaced().is_empty());
}

#[test]
fn a_receipt_held_by_nobody_is_answered() {
    let (receipt, answer) = Receipt::new(1);
    let mut desk = desk();
    let mut late = call("bus 7", 0);
    late.claims.push(Claim::new(Arc::clone(&receipt), 0, ms(0)));
    drop(receipt);
    desk.admit(vec![late]);
    drop(desk);
    assert_eq!(answer.blocking_recv().unwrap()[0].fate, Fate::Failed);
}
