//! The desk, and stores that apply what it decides.

use std::collections::BTreeSet;
use std::time::Duration;

use vagn_cluster::trail::{AlarmId, DeedTaken, DeskState, Duty, Taken, Term};

use super::bench::{Bench, Handed, NOW_MS};
use crate::desk::RequestKind;
use crate::fix::Fix;
use crate::office::call_note::{DoorCall, note_of};
use crate::office::deed_form::{Deed, DeedRefusal};
use crate::record::attempt::{Attempt, Message, Outcome};
use crate::record::delivery::Told;
use crate::record::progress::State;
use crate::record::standing::Standing;
use crate::selection::Selection;

const OPENED: &str = "incident.opened";
const UPDATED: &str = "incident.updated";

fn told(target: &str, key: &str, message: &'static str) -> (String, String, &'static str) {
    (target.to_owned(), key.to_owned(), message)
}

#[test]
fn two_nodes_that_apply_the_same_groups_have_the_same_to_the_byte() {
    let (mut leader, mut standby) = (Bench::new(), Bench::new());
    leader.lead(1);
    let mut sequence = 1;
    let mut step = |leader: &mut Bench, standby: &mut Bench| {
        while let Some(group) = leader.record(sequence) {
            leader.apply(&group, sequence);
            standby.apply(&group, sequence);
            sequence += 2;
        }
        assert_eq!(leader.all(), standby.all());
    };
    let alarms: Vec<_> = (1..=40).map(|id| Handed::new(id, &format!("bus {id}"), id as u64)).collect();
    for alarm in &alarms {
        assert_eq!(leader.take(alarm), Taken::Open);
    }
    step(&mut leader, &mut standby);
    leader.send(Duty::Full);
    leader.end(503, Duty::Full);
    step(&mut leader, &mut standby);
    leader.clock.advance(Duration::from_secs(30));
    // The standby's clock is another one.
    standby.clock.advance(Duration::from_secs(5_000));
    leader.send(Duty::Full);
    leader.end(200, Duty::Full);
    assert_eq!(leader.take(&Handed::new(99, "bus 7", 9)), Taken::Joined);
    step(&mut leader, &mut standby);
    assert_eq!(leader.act(alarms[0].id(), RequestKind::Acknowledge), Ok(DeedTaken::Open));
    assert_eq!(leader.act(alarms[1].id(), RequestKind::Resolve), Ok(DeedTaken::Open));
    assert_eq!(leader.take(&alarms[2].clone().more()), Taken::Open);
    step(&mut leader, &mut standby);
    let open = standby.room.lane.desk.lock().overview().open;
    assert_eq!((open, standby.stored(alarms[1].id()).unwrap().progress.state), (39, State::Resolved));
}

#[test]
fn what_a_store_has_is_shown_although_the_actor_panicked_before_it_showed_it() {
    let mut node = Bench::new();
    node.lead(1);
    let alarm = Handed::new(7, "bus 7", 1);
    assert_eq!(node.take(&alarm), Taken::Open);
    let group = node.record(1).unwrap();
    node.apply_and_panic(&group, 1);
    node.go_on(1);
    // This compares what is shown with the store.
    node.all();
    node.lead(2);
    assert_eq!(node.take(&alarm), Taken::Recorded, "the next leader has it, under its id");
}

#[test]
fn a_group_that_fell_back_with_its_mark_is_applied_again_to_the_same() {
    let (mut leader, mut standby, mut behind) = (Bench::new(), Bench::new(), Bench::new());
    leader.lead(1);
    let mut groups = Vec::new();
    for id in 1..=3 {
        leader.take(&Handed::new(id, &format!("bus {id}"), 1));
        groups.push(leader.record(id as u64).unwrap());
    }
    for (group, sequence) in groups.iter().zip(1..) {
        standby.apply(group, sequence);
    }
    behind.apply(&groups[0], 1);
    let mut again = Bench::new();
    again.apply(&groups[0], 1);
    assert_eq!(again.all(), behind.all());
    again.apply(&groups[1], 2);
    again.apply(&groups[2], 3);
    assert_eq!(again.all(), standby.all());
}

#[test]
fn nothing_goes_out_before_the_trail_has_it_but_an_opening_that_is_released() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarms = [Handed::new(1, "bus 1", 1), Handed::new(2, "bus 2", 1)];
    assert_eq!(alarms.each_ref().map(|alarm| leader.take(alarm)), [Taken::Open; 2]);
    leader.clock.advance(Duration::from_secs(2));
    assert_eq!(leader.send(Duty::Full), []);
    leader.desk.release(AlarmId(2));
    let keys = alarms.each_ref().map(|alarm| alarm.id().to_string());
    assert_eq!(leader.send(Duty::Full), [told("county", &keys[1], OPENED)]);
    let group = leader.record(2).unwrap();
    assert_eq!(leader.send(Duty::Full), [told("county", &keys[0], OPENED)]);
    leader.end(200, Duty::Full);
    leader.apply(&group, 2);
    let group = leader.record(3).unwrap();
    leader.apply(&group, 3);
    let unrecorded = |id| leader.stored(id).unwrap().notices.unrecorded;
    assert_eq!(alarms.each_ref().map(|alarm| unrecorded(alarm.id())), [false, true]);
    // Of what a person decides targets hear when the trail has it.
    leader.clock.advance(Duration::from_secs(60));
    leader.act(alarms[0].id(), RequestKind::Acknowledge).unwrap();
    assert!(leader.send(Duty::Full).iter().all(|(_, key, _)| !key.starts_with(&keys[0])));
    leader.record(4).unwrap();
    let numbers = Term(1).numbers();
    let key = format!("{}-{}", keys[0], numbers.start() + 1);
    assert!(leader.send(Duty::Full).contains(&told("county", &key, UPDATED)));
}

#[test]
fn a_standby_goes_on_under_the_same_keys_and_with_numbers_of_its_own() {
    let (mut first, mut second) = (Bench::new(), Bench::new());
    first.lead(1);
    let (accepted, owed) = (Handed::new(1, "bus 1", 1), Handed::new(2, "bus 2", 1));
    first.take(&accepted);
    let mut groups = vec![first.record(2).unwrap()];
    first.send(Duty::Full);
    first.end(200, Duty::Full);
    groups.extend(first.record(3));
    first.take(&owed);
    groups.extend(first.record(4));
    // An update is under way when the first leader is gone.
    first.clock.advance(Duration::from_secs(30));
    first.act(accepted.id(), RequestKind::Acknowledge).unwrap();
    groups.extend(first.record(5));
    let keys = [accepted.id().to_string(), owed.id().to_string()];
    let of = |leader: &mut Bench| {
        let mut sent = leader.send(Duty::Full);
        sent.sort();
        sent
    };
    let number = |term: u64| format!("{}-{}", keys[0], Term(term).numbers().start() + 1);
    let sent = of(&mut first);
    assert_eq!(sent, [told("county", &number(1), UPDATED), told("county", &keys[1], OPENED)]);
    // The trail has its number, and the one that leads then may not go on with it.
    first.end(503, Duty::Full);
    groups.extend(first.record(6));
    for (group, sequence) in groups.iter().zip(2..) {
        second.apply(group, sequence);
    }
    second.clock.advance(Duration::from_secs(30));
    second.lead(2);
    let sent = of(&mut second);
    assert_eq!(sent, [told("county", &number(2), UPDATED), told("county", &keys[1], OPENED)]);
}

#[test]
fn a_turn_that_passes_on_is_recorded_before_the_next_target_hears_of_it() {
    let mut leader = Bench::new();
    leader.lead(1);
    leader.take(&Handed::new(1, "bus 1", 1));
    leader.record(2);
    leader.send(Duty::Full);
    leader.end(200, Duty::Full);
    leader.record(3);
    leader.clock.advance(Duration::from_secs(61));
    assert_eq!(leader.send(Duty::Full), []);
    leader.record(4).unwrap();
    let sent = leader.send(Duty::Full);
    assert!(sent.iter().any(|(target, _, message)| target == "state" && *message == OPENED), "{sent:?}");
}

#[test]
fn an_update_says_what_is_recorded_though_more_is_known() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 1);
    leader.take(&alarm);
    leader.record(2);
    leader.send(Duty::Full);
    leader.end(200, Duty::Full);
    let found = |leader: &mut Bench, lat, time_ms| {
        let now = leader.desk.now().at;
        leader.desk.desk.located(alarm.id(), Fix::at(lat, 18.0, NOW_MS + time_ms, false), now);
    };
    found(&mut leader, 60.0, 20_000);
    leader.record(3).unwrap();
    leader.clock.advance(Duration::from_secs(30));
    found(&mut leader, 61.0, 40_000);
    assert_eq!(leader.send(Duty::Full).len(), 1);
    let notice = &leader.out[0].1;
    assert_eq!(notice.incident.alarm.fix.unwrap().position.lat(), 60.0);
    assert_eq!(notice.told.position, Some(Fix::at(60.0, 18.0, 0, false).into()));
}

#[test]
fn what_came_of_a_notice_of_an_earlier_reign_is_not_noted() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 1);
    leader.take(&alarm);
    let group = leader.record(2).unwrap();
    leader.send(Duty::Full);
    leader.desk.stand_down();
    assert_eq!(leader.send(Duty::Standby), []);
    leader.apply(&group, 2);
    leader.lead(2);
    leader.end(200, Duty::Full);
    // The target hears it again, under the same key.
    let key = alarm.id().to_string();
    assert!(leader.out.iter().all(|(_, notice)| notice.key.to_string() == key) && leader.out.len() == 1);
    leader.end(200, Duty::Full);
    let group = leader.record(4).unwrap();
    leader.apply(&group, 4);
    assert_eq!(leader.stored(alarm.id()).unwrap().notices.attempts, 1);
}

#[test]
fn a_leader_in_doubt_calls_openings_and_nothing_else_and_goes_further_on_until_one_is_accepted() {
    let mut leader = Bench::new();
    leader.lead(1);
    let (accepted, owed) = (Handed::new(1, "bus 1", 1), Handed::new(2, "bus 2", 1));
    leader.take(&accepted);
    leader.record(2);
    leader.send(Duty::Full);
    leader.end(200, Duty::Full);
    leader.record(3);
    leader.take(&owed);
    leader.desk.release(AlarmId(2));
    leader.desk.set_duty(Duty::FirstOnly);
    let key = owed.id().to_string();
    assert_eq!(leader.send(Duty::FirstOnly), [told("county", &key, OPENED)]);
    leader.end(503, Duty::FirstOnly);
    leader.clock.advance(Duration::from_secs(61));
    let sent = leader.send(Duty::FirstOnly);
    assert!(sent.contains(&told("county", &key, OPENED)), "{sent:?}");
    assert!(sent.iter().all(|(_, sent, message)| (sent, *message) == (&key, OPENED)), "{sent:?}");
    leader.clock.advance(Duration::from_secs(2));
    let further = leader.send(Duty::FirstOnly);
    assert!(sent.iter().chain(&further).any(|(target, ..)| target == "state"), "{sent:?} {further:?}");
    assert_eq!(leader.send(Duty::Standby), []);
}

#[test]
fn an_alarm_that_comes_again_is_told_from_one_that_says_more() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 5);
    assert_eq!(leader.take(&alarm), Taken::Open);
    assert_eq!(leader.take(&alarm), Taken::Open, "it is not recorded yet");
    let group = leader.record(2).unwrap();
    assert_eq!(leader.take(&alarm), Taken::Recorded, "the trail has it, the own store does not");
    leader.apply(&group, 2);
    assert_eq!(leader.take(&alarm), Taken::Recorded);
    let more = alarm.clone().more().more();
    assert_eq!(leader.take(&more), Taken::Open);
    let group = leader.record(3).unwrap();
    leader.apply(&group, 3);
    assert_eq!(leader.stored(alarm.id()).unwrap().alarm.reports, 3, "each report counts once");
    // Another door took the vehicle's call: the same incident, and both are known from here on.
    let other = Handed::new(8, "bus 1", 6);
    assert_eq!(leader.take(&other), Taken::Joined);
    let group = leader.record(4).unwrap();
    leader.apply(&group, 4);
    assert_eq!(leader.take(&other), Taken::Recorded);
    leader.act(alarm.id(), RequestKind::Resolve).unwrap();
    let group = leader.record(5).unwrap();
    for _ in 0..2 {
        assert_eq!(leader.take(&other), Taken::Recorded);
        assert_eq!(leader.take(&more), Taken::Recorded);
        assert_eq!(leader.take(&more.clone().more()), Taken::Over, "it calls anew");
        assert_eq!(leader.take(&Handed::new(8, "bus 1", 7)), Taken::Over);
        if leader.room.files.mark().is_some() && leader.stored(alarm.id()).unwrap().is_resolved() {
            continue;
        }
        leader.apply(&group, 5);
    }
    assert_eq!(leader.take(&Handed::new(9, "bus 1", 7)), Taken::Open);
}

/// A call of the door about an alarm as it is, which the county has accepted.
pub(super) fn accepted_call(alarm: &Handed) -> DoorCall {
    accepted_at(1, alarm)
}

/// The same, at the attempt of this number.
fn accepted_at(number: u32, alarm: &Handed) -> DoorCall {
    let attempt = Attempt {
        number,
        target: "county".into(),
        message: Message::Opened,
        at_ms: NOW_MS,
        took_ms: 5,
        outcome: Outcome::Accepted { status: 200 },
        next_ms: None,
    };
    let fix = alarm.alarm.form.alarm(alarm.id(), Duration::ZERO).fix;
    DoorCall { attempt, told: Told { position: fix.map(Into::into), acknowledged: false } }
}

#[test]
fn a_target_that_a_door_has_called_hears_where_the_vehicle_has_gone_since() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 1);
    let note = note_of(&[accepted_call(&alarm)]);
    assert_eq!(leader.take(&alarm.more_at(59.5).called(&note)), Taken::Open);
    let group = leader.record(2).unwrap();
    leader.apply(&group, 2);
    let sent = leader.send(Duty::Full);
    assert!(matches!(&sent[..], [(target, _, UPDATED)] if target == "county"), "{sent:?}");
}

#[test]
fn attempts_of_a_leader_have_numbers_behind_those_that_the_targets_saw_from_the_door() {
    let mut leader = Bench::new();
    leader.lead(1);
    // The door has called alone, and its third attempt was accepted.
    let alone = Handed::new(1, "bus 1", 1);
    let note = note_of(&[accepted_at(3, &alone)]);
    assert_eq!(leader.take(&alone.clone().more_at(59.5).called(&note)), Taken::Open);
    // The leader has called as well, and heard of the door's call behind its own.
    let both = Handed::new(2, "bus 2", 2);
    assert_eq!(leader.take(&both), Taken::Open);
    let group = leader.record(2).unwrap();
    leader.apply(&group, 2);
    leader.send(Duty::Full);
    let numbers =
        |leader: &Bench| leader.out.iter().map(|(_, notice)| notice.number).collect::<BTreeSet<_>>();
    assert_eq!(numbers(&leader), BTreeSet::from([1, 4]));
    leader.end(200, Duty::Full);
    let note = note_of(&[accepted_at(5, &both)]);
    assert_eq!(leader.take(&both.more_at(59.5).called(&note)), Taken::Open);
    let group = leader.record(3).unwrap();
    leader.apply(&group, 3);
    leader.clock.advance(Duration::from_secs(30));
    leader.send(Duty::Full);
    assert_eq!(numbers(&leader), BTreeSet::from([6]));
    let ledger = leader.store().ledger(alone.id()).unwrap();
    let recorded: BTreeSet<_> = ledger.iter().map(|attempt| attempt.number).collect();
    assert_eq!(recorded, BTreeSet::from([3, 4]));
}

#[test]
fn what_its_door_has_called_about_is_marked_and_not_called_about_again() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 1);
    let note = note_of(&[accepted_call(&alarm)]);
    assert_eq!(leader.take(&alarm), Taken::Open);
    assert_eq!(leader.take(&alarm.clone().called(&note)), Taken::Open);
    let group = leader.record(2).unwrap();
    assert_eq!(leader.send(Duty::Full), [], "the county knows it");
    leader.apply(&group, 2);
    assert_eq!(leader.take(&alarm.clone().called(&note)), Taken::Recorded);
    let incident = leader.stored(alarm.id()).unwrap();
    assert!(incident.notices.unrecorded && incident.progress.accepted_ms.is_some());
    assert_eq!(leader.store().ledger(alarm.id()).unwrap().len(), 1);
    // One that another door called about too: both are known to the target.
    let other = Handed::new(2, "bus 1", 2).called(&note);
    assert_eq!(leader.take(&other), Taken::Joined);
    let group = leader.record(3).unwrap();
    leader.apply(&group, 3);
    let told = leader.store().trail_of(alarm.id()).unwrap();
    assert!(told.iter().any(|entry| entry.reason.contains("a target may know both")), "{told:?}");
}

#[test]
fn of_two_persons_the_first_is_heard_and_many_incidents_are_resolved_together() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarms: Vec<_> = (1..=45).map(|id| Handed::new(id, &format!("bus {id}"), 1)).collect();
    assert!(alarms.iter().all(|alarm| leader.take(alarm) == Taken::Open));
    let mut sequence = 2;
    let mut record = |leader: &mut Bench| {
        while let Some(group) = leader.record(sequence) {
            leader.apply(&group, sequence);
            sequence += 1;
        }
    };
    record(&mut leader);
    assert_eq!(leader.act(alarms[0].id(), RequestKind::Acknowledge), Ok(DeedTaken::Open));
    let late = leader.act(alarms[0].id(), RequestKind::Acknowledge);
    assert!(matches!(&late, Err(DeedRefusal::Late { decision, .. }) if &*decision.by == "Anna"), "{late:?}");
    let unknown = crate::id::IncidentId::from_u128(777);
    assert_eq!(leader.act(unknown, RequestKind::Resolve), Err(DeedRefusal::NotFound));
    let selection = Selection { state: Some(State::Open), ..Selection::default() };
    let ids = alarms.iter().map(Handed::id).collect();
    let many = Deed::ResolveThese { ids, selection, by: "Bo".into(), note: "a test".into() };
    assert_eq!(leader.deed(many), Ok(DeedTaken::Open));
    record(&mut leader);
    assert_eq!(leader.room.lane.desk.lock().overview().open, 1);
    let results = leader.room.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // The tags of a bench are the numbers of its deeds.
    let of = |tag| runtime.block_on(results.results.of(tag, Duration::from_millis(1)));
    assert_eq!(of(1).and_then(|result| result.incident), Some(alarms[0].id()));
    assert_eq!(of(4).map(|result| result.count), Some(44));
    // A comment on one that is over comes with what the asker's store has of it.
    let over = leader.stored(alarms[5].id()).unwrap();
    let comment =
        crate::Request { action: RequestKind::Comment, by: "Anna".into(), note: "false alarm".into() };
    let record_of = crate::record::draft::Draft::of_record(over);
    assert_eq!(leader.deed(Deed::about(alarms[5].id(), comment, Some(record_of))), Ok(DeedTaken::Open));
    record(&mut leader);
    let told = leader.store().trail_of(alarms[5].id()).unwrap();
    assert!(told.iter().any(|entry| &*entry.reason == "false alarm"), "{told:?}");
}

#[test]
fn a_group_keeps_its_bounds_whatever_waits() {
    let mut leader = Bench::new();
    leader.lead(1);
    for id in 1..=49 {
        leader.take(&Handed::new(id, &format!("bus {id}"), 1));
    }
    let id = Handed::new(1, "bus 1", 1).id();
    for number in 0..150 {
        let note = format!("{number} {}", "x".repeat(4_000)).into();
        let request = crate::Request { action: RequestKind::Comment, by: "Anna".into(), note };
        leader.deed(Deed::about(id, request, None)).unwrap();
    }
    let mut recorded = 0;
    while let Some(draft) = leader.desk.draft() {
        assert!(draft.content.len() <= vagn_cluster::trail::GROUP_MAX, "{}", draft.content.len());
        recorded += draft.deeds.len();
        leader.desk.recorded(recorded as u64 + 2);
    }
    assert_eq!(recorded, 150);
}

#[test]
fn a_place_that_is_found_reaches_targets_once_it_is_recorded() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(1, "bus 1", 1);
    leader.take(&alarm);
    leader.record(2);
    leader.send(Duty::Full);
    leader.end(200, Duty::Full);
    leader.record(3);
    leader.clock.advance(Duration::from_secs(30));
    leader.desk.desk.located(
        alarm.id(),
        Fix::at(60.0, 18.0, NOW_MS + 20_000, false),
        Duration::from_secs(40),
    );
    assert_eq!(leader.send(Duty::Full), []);
    leader.record(4).unwrap();
    let sent = leader.send(Duty::Full);
    assert_eq!(sent.len(), 1);
    assert_eq!(leader.out[0].1.incident.alarm.fix.unwrap().position.lat(), 60.0);
}

#[test]
fn what_came_before_the_end_of_an_incident_is_not_said_to_be_recorded_before_a_group_has_it() {
    let mut leader = Bench::new();
    leader.lead(1);
    let first = Handed::new(1, "bus 1", 1);
    leader.take(&first);
    let group = leader.record(2).unwrap();
    leader.apply(&group, 2);
    let second = first.clone().more();
    assert_eq!(leader.take(&second), Taken::Open);
    leader.act(first.id(), RequestKind::Resolve).unwrap();
    // Its door hands it over again, and both are still only here.
    assert_eq!(leader.take(&second), Taken::Open);
    assert_eq!(leader.take(&first), Taken::Open);
    let group = leader.record(3).unwrap();
    assert_eq!(leader.take(&second), Taken::Recorded);
    leader.apply(&group, 3);
    assert_eq!(leader.take(&second), Taken::Recorded);
    assert_eq!(leader.take(&second.clone().more()), Taken::Over);
}

#[test]
fn a_call_that_came_to_two_doors_is_not_said_to_be_recorded_before_a_group_has_the_end_of_its_incident() {
    let mut leader = Bench::new();
    leader.lead(1);
    let doors = [Handed::sealed(1, "bus 1", 1, 10), Handed::sealed(2, "bus 1", 2, 20)];
    assert_eq!(leader.take(&doors[0]), Taken::Open);
    leader.act(doors[0].id(), RequestKind::Resolve).unwrap();
    assert_eq!(leader.take(&doors[1]), Taken::Joined);
    let group = leader.record(2).unwrap();
    assert_eq!(doors.each_ref().map(|alarm| leader.take(alarm)), [Taken::Recorded; 2]);
    leader.apply(&group, 2);
    assert_eq!(doors.each_ref().map(|alarm| leader.take(alarm)), [Taken::Recorded; 2]);
    // A third door has it too, and there is nothing left to record.
    assert_eq!(leader.take(&Handed::sealed(3, "bus 1", 3, 30)), Taken::Recorded);
}

#[test]
fn a_leader_hears_what_undecided_vehicles_are_and_has_it_recorded() {
    let mut leader = Bench::new();
    leader.lead(1);
    let alarm = Handed::new(7, "tram 7", 1);
    assert_eq!(leader.take(&alarm), Taken::Open);
    let group = leader.record(1).unwrap();
    leader.apply(&group, 1);
    assert_eq!(leader.stored(alarm.id()).unwrap().standing, Standing::Undecided);
    // Its fleet is there, and has no such vehicle.
    leader.room.look_up_vehicles();
    leader.send(Duty::Full);
    let group = leader.record(2).unwrap();
    leader.apply(&group, 2);
    assert_eq!(leader.stored(alarm.id()).unwrap().standing, Standing::Stranger);
    leader.all();
    leader.room.look_up_vehicles();
    assert!(leader.room.take_decided().is_empty(), "nothing is left to look up");
}

#[test]
fn of_a_sealed_call_that_came_to_two_doors_only_one_counts_however_often_it_is_handed_over() {
    let mut leader = Bench::new();
    leader.lead(1);
    let doors = [Handed::sealed(1, "bus 1", 1, 10), Handed::sealed(2, "bus 1", 2, 20)];
    assert_eq!(leader.take(&doors[0]), Taken::Open);
    assert_eq!([leader.take(&doors[1]), leader.take(&doors[1])], [Taken::Joined, Taken::Open]);
    let group = leader.record(2).unwrap();
    leader.apply(&group, 2);
    assert_eq!(leader.take(&doors[1]), Taken::Recorded);
    assert_eq!(leader.stored(doors[0].id()).unwrap().alarm.reports, 1);
    let known = leader.room.known.lock();
    let counted = doors.map(|alarm| known.get(alarm.id()).unwrap().sittings().len());
    assert_eq!(counted, [1, 0]);
}
