//! Decisions of the desk, without actors, disk or network. Here: what the tests share, admission, recording and
//! requests; in `delivery`: notices and turns; in `board`: the indexes; in `places`: where the vehicle is.

mod board;
mod delivery;
mod places;
mod strangers;

use vagn_wire::{Fate, Kind};

use super::*;
use crate::Targets;
use crate::fix::Fix;
use crate::intake::ack::PendingAck;
use crate::intake::known::KnownVehicle;
use crate::intake::no_room::NoRoom;
use crate::notify::notice::Notice;
use crate::record::attempt::{Message, Outcome};
use crate::record::progress::State;
use crate::record::standing::Standing;
use crate::tests::setup::turn;
use vagn_flow::receipt::{Answer, Receipt};

const NOW_MS: i64 = 1_700_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn rules() -> Rules {
    let chain = vec![turn("city", 60), turn("county", 30)];
    Rules { chain, ..Rules::new(20, &Targets::default()) }
}

fn desk() -> Desk {
    Desk::new(rules(), 1)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// An alarm `at_ms` after the start of the test.
fn alarm(vehicle_id: &str, at_ms: i64) -> Alarm {
    let mut alarm = Alarm::example(vehicle_id);
    alarm.received_ms = NOW_MS + at_ms;
    alarm.last_received_ms = NOW_MS + at_ms;
    alarm.arrived = ms(at_ms as u64);
    alarm.last_arrived = alarm.arrived;
    alarm
}

fn named(vehicle_id: &str, vehicle_incident: &str, at_ms: i64) -> Alarm {
    Alarm { vehicle_incident: Some(vehicle_incident.into()), ..alarm(vehicle_id, at_ms) }
}

fn waiting(mut alarm: Alarm) -> (Alarm, Answer) {
    let (receipt, answer) = Receipt::new(1);
    receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
    alarm.acks.push(PendingAck::new(receipt.answer_for_alarm(0), alarm.arrived));
    (alarm, answer)
}

fn now(at_ms: i64) -> Moment {
    Moment { ms: NOW_MS + at_ms, at: ms(at_ms.unsigned_abs()), is_sure: true, since_ms: i64::MIN }
}

fn admit(desk: &mut Desk, alarms: Vec<Alarm>) -> Admitted {
    desk.arrive(alarms);
    desk.admit(&Known::new())
}

/// Lets in alarms of known vehicles.
fn admit_known(desk: &mut Desk, alarms: Vec<Alarm>) -> Admitted {
    desk.arrive(alarms);
    let fix = Fix::at(1.0, 2.0, 0, false);
    let known = desk.newcomers().into_iter().map(|name| (name, KnownVehicle::known(fix)));
    desk.admit(&known.collect())
}

/// Counts open incidents, real ones and drills.
fn open_incidents(desk: &Desk) -> usize {
    let roster = &desk.board.indexes().roster;
    roster.open(false) + roster.open(true)
}

fn opened(admitted: &Admitted) -> IncidentId {
    assert_eq!(admitted.opened.len(), 1, "{admitted:?}");
    admitted.opened[0]
}

fn record(desk: &mut Desk) {
    let drafts = desk.drafts(1_000);
    desk.recorded(&drafts);
}

fn answer(desk: &mut Desk, notice: &Notice, status: u16, at_ms: i64) {
    let outcome = if status < 300 {
        Outcome::Accepted { status }
    } else {
        Outcome::Refused { status, retry_after_s: None }
    };
    desk.attempted(crate::tests::setup::ended(notice, outcome), now(at_ms));
}

/// Records the incident, sends its notice, and lets it be accepted.
fn accept(desk: &mut Desk, id: IncidentId, at_ms: i64) {
    record(desk);
    let due = desk.next_notice(now(at_ms)).expect("a notice is owed");
    assert_eq!(due.incident.id, id);
    answer(desk, &due, 200, at_ms);
    record(desk);
}

fn request(action: RequestKind) -> Request {
    Request { action, by: "Anna".into(), note: "".into() }
}

/// Lets it be accepted and acknowledged.
fn settle(desk: &mut Desk, id: IncidentId, at_ms: i64) {
    accept(desk, id, at_ms);
    desk.act(id, &request(RequestKind::Acknowledge), now(at_ms)).unwrap();
}

fn tidy(desk: &mut Desk, at_ms: i64) {
    desk.tidy(now(at_ms));
}

/// Sends every notice that is due and answers it with `status`. Returns target, message and number of the key of each.
fn send_due(desk: &mut Desk, at_ms: i64, status: u16) -> Vec<(String, Message, u64)> {
    let mut made = Vec::new();
    while let Some(notice) = desk.next_notice(now(at_ms)) {
        made.push((notice.target.to_string(), notice.message, notice.key.number));
        answer(desk, &notice, status, at_ms);
    }
    made
}

fn to(target: &str, message: Message, number: u64) -> (String, Message, u64) {
    (target.to_owned(), message, number)
}

/// An alarm at `at_ms` by the monotonic clock and at `wall_ms` by the wall clock.
fn shown(at_ms: i64, wall_ms: i64) -> Alarm {
    let stamp = NOW_MS + wall_ms;
    Alarm { received_ms: stamp, last_received_ms: stamp, ..alarm("bus 7", at_ms) }
}

#[test]
fn an_incident_goes_on_until_a_person_acknowledges_it_and_it_is_quiet() {
    let mut desk = desk();
    let first = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    accept(&mut desk, first, 1);
    let long_after = admit(&mut desk, vec![alarm("bus 7", 600 * MINUTE_MS)]);
    assert_eq!((long_after.opened.len(), long_after.updated), (0, 1), "no person has acknowledged it");
    desk.act(first, &request(RequestKind::Acknowledge), now(600 * MINUTE_MS)).unwrap();
    let soon = admit(&mut desk, vec![alarm("bus 7", 605 * MINUTE_MS)]);
    assert_eq!((soon.opened.len(), soon.updated), (0, 1));
    let second = opened(&admit(&mut desk, vec![alarm("bus 7", 610 * MINUTE_MS + 1)]));
    assert_ne!(first, second);
}

#[test]
fn a_request_is_noted_however_long_the_store_is_down() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    desk.store_down();
    for round in 0..500 {
        tidy(&mut desk, (round * 10 + 6) * MINUTE_MS);
        admit(&mut desk, vec![alarm("bus 7", (round * 10 + 7) * MINUTE_MS)]);
    }
    desk.act(id, &request(RequestKind::Acknowledge), now(6_000 * MINUTE_MS)).unwrap();
    let notes = desk.pending(id).0;
    assert!(notes.len() < 300 && notes.last().unwrap().action == EventKind::Acknowledged, "{}", notes.len());
}

#[test]
fn two_drafts_written_at_once_lose_no_event() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    let early = desk.drafts(10);
    desk.act(id, &request(RequestKind::Acknowledge), now(1)).unwrap();
    let late = desk.drafts(10);
    desk.recorded(&late);
    desk.act(id, &Request { note: "sent car 4".into(), ..request(RequestKind::Comment) }, now(2)).unwrap();
    desk.recorded(&early);
    assert_eq!(desk.pending(id).0.len(), 1);
}

#[test]
fn the_track_begins_where_the_vehicle_was_last_known() {
    let mut desk = desk();
    let fix = Fix::at(1.0, 2.0, NOW_MS - 5_000, false);
    desk.arrive(vec![alarm("bus 7", 0)]);
    let known = Known::from([("bus 7".into(), KnownVehicle::known(fix))]);
    let id = opened(&desk.admit(&known));
    let incident = desk.get(id).unwrap();
    assert_eq!(incident.alarm.track.iter().map(|fix| fix.position.lat()).collect::<Vec<_>>(), [1.0, 59.33]);
    assert!(incident.alarm.fix.unwrap().trusted);
}

#[test]
fn the_first_person_wins() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    desk.act(id, &request(RequestKind::Acknowledge), now(5)).unwrap();
    let late = Request { by: "Bo".into(), ..request(RequestKind::Acknowledge) };
    let refusal = desk.act(id, &late, now(6)).unwrap_err();
    assert_eq!(
        (refusal.state, &*refusal.decision.by, refusal.decision.at_ms),
        (State::Acknowledged, "Anna", NOW_MS + 5)
    );
    desk.act(id, &Request { action: RequestKind::Resolve, ..late.clone() }, now(7)).unwrap();
    assert_eq!(&*desk.act(id, &request(RequestKind::Resolve), now(8)).unwrap_err().decision.by, "Bo");
    assert_eq!(desk.overview(), Overview { unrecorded: 1, ..Overview::default() });
}

#[test]
fn what_a_person_forgot_to_resolve_ends_after_a_quiet_day() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    settle(&mut desk, id, 1);
    tidy(&mut desk, 24 * 60 * MINUTE_MS);
    assert_eq!(desk.get(id).unwrap().progress.state, State::Acknowledged);
    tidy(&mut desk, 24 * 60 * MINUTE_MS + 1);
    assert_eq!(&*desk.get(id).unwrap().progress.resolved.as_ref().unwrap().by, "vagn");
}

#[test]
fn a_wall_clock_that_stands_still_keeps_no_incident_open() {
    let mut desk = desk();
    let ahead = 600 * MINUTE_MS;
    let first = opened(&admit(&mut desk, vec![shown(0, ahead)]));
    settle(&mut desk, first, 1);
    let second = opened(&admit(&mut desk, vec![shown(5 * MINUTE_MS + 1, ahead)]));
    desk.tidy(Moment { ms: NOW_MS, at: ms(11 * MINUTE_MS as u64), is_sure: true, since_ms: i64::MIN });
    let quiet = |id| desk.get(id).unwrap().progress.quiet_ms.is_some();
    assert!(quiet(first) && quiet(second), "it waits for the wall clock to catch up");
}

#[test]
fn a_wall_clock_that_jumps_makes_no_second_incident() {
    let mut desk = desk();
    let first = opened(&admit(&mut desk, vec![shown(0, 0)]));
    settle(&mut desk, first, 1);
    desk.tidy(Moment { ms: NOW_MS + 600 * MINUTE_MS, at: ms(1), is_sure: true, since_ms: i64::MIN });
    let repeat = admit(&mut desk, vec![shown(1_000, 600 * MINUTE_MS)]);
    assert_eq!((repeat.opened.len(), repeat.updated), (0, 1));
}

#[test]
fn a_restored_incident_has_been_quiet_since_its_last_report_but_never_for_less_than_no_time() {
    let check = |updated_ms, at_ms, goes_on| {
        let mut old = desk();
        let first = opened(&admit(&mut old, vec![shown(0, updated_ms)]));
        settle(&mut old, first, 1);
        let left = vec![old.get(first).unwrap().clone()];
        let mut new = desk();
        new.restore(left, Moment { ms: NOW_MS, at: ms(3), is_sure: true, since_ms: i64::MIN });
        assert_eq!(
            admit(&mut new, vec![alarm("bus 7", 3 + at_ms)]).updated == 1,
            goes_on,
            "{updated_ms} {at_ms}"
        );
    };
    check(-4 * MINUTE_MS, MINUTE_MS, true);
    check(-4 * MINUTE_MS, MINUTE_MS + 1, false);
    check(600 * MINUTE_MS, 5 * MINUTE_MS, true);
    check(600 * MINUTE_MS, 5 * MINUTE_MS + 1, false);
}

#[test]
fn nothing_ends_by_a_wall_clock_that_may_be_wrong_and_ages_follow_once_it_is_believed() {
    let resolved = |wrong_by_ms: i64, down_ms: i64| {
        let mut old = desk();
        let id = opened(&admit(&mut old, vec![alarm("bus 7", 0)]));
        settle(&mut old, id, 1);
        let mut new = desk();
        let start = NOW_MS + down_ms;
        let moment =
            |off_ms, at: u64, is_sure| Moment { ms: start + off_ms, at: ms(at), is_sure, since_ms: i64::MIN };
        new.restore(vec![old.get(id).unwrap().clone()], moment(wrong_by_ms, 0, false));
        new.tidy(moment(wrong_by_ms, 1_000, false));
        let live = new.get(id).unwrap();
        assert!(!live.is_resolved() && live.progress.quiet_ms.is_none(), "{wrong_by_ms} {down_ms}");
        new.tidy(moment(4_000, 4_000, true));
        new.get(id).is_none_or(Incident::is_resolved)
    };
    let (hour, day) = (60 * MINUTE_MS, 24 * 60 * MINUTE_MS);
    assert!(!resolved(40 * day, hour), "the hour counts that it was down, not the forty days");
    assert!(resolved(-4_000 * day, day + hour), "it was quiet for a day although the clock said otherwise");
}

#[test]
fn what_is_over_leaves_the_desk_once_that_is_recorded() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    accept(&mut desk, id, 1);
    desk.act(id, &request(RequestKind::Resolve), now(2)).unwrap();
    assert_eq!((desk.overview().open, desk.is_recorded(id)), (0, false));
    record(&mut desk);
    assert!(desk.get(id).is_none());
    assert_eq!((desk.wake_at(), desk.overview().unrecorded), (None, 0));
}

#[test]
fn the_vehicles_own_name_for_an_incident_tells_two_apart() {
    let mut desk = desk();
    let bare = opened(&admit(&mut desk, vec![alarm("bus 7", 0)]));
    let adopted = admit(&mut desk, vec![named("bus 7", "a", 1)]);
    assert_eq!((adopted.opened.len(), adopted.updated), (0, 1), "the incident without a name gets this one");
    let other = opened(&admit(&mut desk, vec![named("bus 7", "b", 2)]));
    let again = admit(&mut desk, vec![named("bus 7", "a", 3), named("bus 7", "b", 3), alarm("bus 7", 3)]);
    assert_eq!(again.updated, 3);
    assert_eq!(desk.get(bare).unwrap().alarm.reports, 3);
    assert_eq!(desk.get(other).unwrap().alarm.reports, 3, "a report without a name goes to the latest");
    let elsewhere = admit(&mut desk, vec![named("bus 8", "a", 4)]);
    assert_eq!(elsewhere.opened.len(), 1, "the name is the vehicle's own");
}

#[test]
fn one_vehicle_cannot_fill_the_desk_with_names() {
    let mut desk = desk();
    for number in 0..100 {
        admit(&mut desk, vec![named("bus 7", &format!("incident {number}"), number)]);
    }
    assert_eq!(desk.overview().open, 8);
}

#[test]
fn past_the_limit_new_vehicles_are_refused_and_drills_have_a_limit_of_their_own() {
    let mut desk = desk();
    let drill = |number| Alarm { kind: Some(Kind::Test), ..alarm(&format!("bus {number}"), 0) };
    let drills = admit_known(&mut desk, (0..5).map(drill).collect());
    assert_eq!((drills.opened.len(), drills.refused.total()), (2, 3));
    let real = admit_known(&mut desk, (0..25).map(|number| alarm(&format!("bus {number}"), 0)).collect());
    assert_eq!((real.opened.len(), real.refused.total()), (20, 5), "drills take no room from real ones");
    let (known, answer) = waiting(alarm("bus 3", 1));
    let (new, refusal) = waiting(alarm("bus 99", 1));
    assert_eq!(admit(&mut desk, vec![known, new]).refused.total(), 1);
    record(&mut desk);
    assert!(answer.blocking_recv().unwrap()[0].incident.is_some());
    assert_eq!(refusal.blocking_recv().unwrap()[0].fate, Fate::Failed);
}

#[test]
fn a_sender_hears_of_it_only_when_its_own_report_is_on_disk() {
    let mut desk = desk();
    let (first, mut first_answer) = waiting(alarm("bus 7", 0));
    let id = opened(&admit(&mut desk, vec![first]));
    let drafts = desk.drafts(10);
    let (second, mut second_answer) = waiting(alarm("bus 7", 1));
    admit(&mut desk, vec![second]);
    assert!(first_answer.try_recv().is_err());
    desk.recorded(&drafts);
    assert_eq!(first_answer.try_recv().unwrap()[0].incident, Some(id.to_string()));
    assert!(second_answer.try_recv().is_err(), "it came after what was written");
    record(&mut desk);
    assert_eq!(second_answer.try_recv().unwrap()[0].incident, Some(id.to_string()));
    assert_eq!(desk.overview().unrecorded, 0);
}

#[test]
fn a_sender_does_not_wait_for_ever() {
    let mut desk = desk();
    let (first, mut answer) = waiting(alarm("bus 7", 0));
    admit(&mut desk, vec![first]);
    desk.store_down();
    tidy(&mut desk, 5_000);
    assert!(answer.try_recv().is_err());
    tidy(&mut desk, 5_001);
    let outcome = &answer.try_recv().unwrap()[0];
    assert_eq!((outcome.fate, &outcome.incident), (Fate::Failed, &None));
}

#[test]
fn a_repeat_that_came_before_the_store_was_read_joins_what_it_repeats() {
    let check = |left: Alarm, repeat: Alarm, joins: bool| {
        let mut old = desk();
        let first = opened(&admit(&mut old, vec![left]));
        record(&mut old);
        let mut new = desk();
        let (repeat, mut answer) = waiting(repeat);
        let second = opened(&admit(&mut new, vec![repeat]));
        let merged = new.restore(vec![old.get(first).unwrap().clone()], now(5));
        assert_eq!((merged.len(), open_incidents(&new)), if joins { (1, 1) } else { (0, 2) });
        record(&mut new);
        let known = if joins { first } else { second };
        assert_eq!(answer.try_recv().unwrap()[0].incident, Some(known.to_string()));
        assert_eq!(new.get(known).unwrap().alarm.reports, if joins { 2 } else { 1 });
        let mut sent = std::iter::from_fn(|| new.next_notice(now(5))).map(|notice| notice.incident.id);
        assert!(sent.all(|id| !joins || id == first));
    };
    let drill = Alarm { kind: Some(Kind::Test), ..alarm("bus 7", 2) };
    check(alarm("bus 7", 0), alarm("bus 7", 1), true);
    check(alarm("bus 7", 0), named("bus 7", "a", 1), true);
    check(named("bus 7", "a", 0), named("bus 7", "a", 1), true);
    check(named("bus 7", "a", 0), alarm("bus 7", 1), true);
    check(named("bus 7", "a", 0), named("bus 7", "b", 1), false);
    check(alarm("bus 7", 0), alarm("bus 8", 1), false);
    check(alarm("bus 7", 0), drill, false);
}

#[test]
fn what_is_restored_part_by_part_goes_on_at_once_and_meets_what_was_opened_meanwhile() {
    let mut old = desk();
    for number in 0..6 {
        admit_known(&mut old, vec![alarm(&format!("bus {number}"), 0)]);
    }
    record(&mut old);
    let left: Vec<_> = old.newest_first(None).cloned().collect();
    let (known, id) = (left[5].vehicle_id.clone(), left[5].id);
    let mut new = desk();
    let mut left = left.into_iter();
    new.begin_restore(now(10));
    new.restore_part(left.by_ref().take(3), now(10));
    assert_eq!(send_due(&mut new, 10, 200).len(), 3, "no notice waits for the rest");
    // The store has not been read to its end when the vehicle repeats its call.
    new.store_down();
    admit_known(&mut new, vec![alarm(&known, 11)]);
    new.restore_part(left, now(12));
    let merged = new.end_restore(now(12));
    assert_eq!((merged.len(), merged[0].into, open_incidents(&new)), (1, id, 6));
}

#[test]
fn a_repeat_that_a_target_may_know_keeps_its_key() {
    let mut old = desk();
    let first = opened(&admit(&mut old, vec![alarm("bus 7", 0)]));
    let mut new = desk();
    let second = opened(&admit(&mut new, vec![alarm("bus 7", 1)]));
    assert_eq!(new.next_notice(now(200)).unwrap().incident.id, second);
    assert_eq!(new.restore(vec![old.get(first).unwrap().clone()], now(200)), []);
    assert_eq!(new.overview().open, 2);
}

#[test]
fn a_store_that_is_back_gets_all_that_is_at_the_desk() {
    let mut desk = desk();
    admit(&mut desk, vec![alarm("before", 0)]);
    record(&mut desk);
    desk.store_down();
    admit(&mut desk, vec![alarm("meanwhile", 1)]);
    assert!(desk.next_notice(now(1)).is_some(), "it does not wait for a store that is down");
    desk.restore(Vec::new(), now(2));
    let mut written: Vec<_> = desk.drafts(10).into_iter().map(|draft| draft.incident.vehicle_id).collect();
    written.sort();
    assert_eq!(written, ["before".into(), "meanwhile".into()]);
}

#[test]
fn new_incidents_are_written_before_old_ones_that_changed() {
    let mut desk = desk();
    admit(&mut desk, vec![alarm("old", 0)]);
    record(&mut desk);
    admit(&mut desk, vec![alarm("old", 1), alarm("new", 2)]);
    assert!(desk.is_urgent());
    assert_eq!(&*desk.drafts(1)[0].incident.vehicle_id, "new");
}

#[test]
fn what_ended_while_the_store_was_down_is_kept_up_to_a_limit() {
    let mut desk = desk();
    desk.store_down();
    for round in 0..50_i64 {
        let at_ms = round * 10 * MINUTE_MS;
        let id = opened(&admit(&mut desk, vec![alarm("bus 7", at_ms)]));
        desk.act(id, &request(RequestKind::Resolve), now(at_ms)).unwrap();
        tidy(&mut desk, at_ms + 6 * MINUTE_MS);
    }
    assert_eq!(desk.overview().unrecorded, 20);
}

#[test]
fn the_last_known_position_stands_in_for_a_missing_one() {
    let mut desk = desk();
    let id = opened(&admit(&mut desk, vec![Alarm { fix: None, ..alarm("bus 7", 0) }]));
    assert_eq!(desk.take_unlocated(), [(id, "bus 7".into())]);
    desk.unlocated(id);
    assert_eq!(desk.take_unlocated().len(), 1);
    let last_known = Fix::at(1.0, 2.0, 3, false);
    desk.located(id, last_known, ms(0));
    assert_eq!(desk.get(id).unwrap().alarm.fix, Some(last_known));
    admit(&mut desk, vec![alarm("bus 7", 1)]);
    assert!(desk.get(id).unwrap().alarm.fix.unwrap().trusted);
    assert!(desk.take_unlocated().is_empty());
}

#[test]
fn a_receipt_that_is_dropped_is_answered() {
    let (receipt, answer) = Receipt::new(1);
    let mut desk = desk();
    let mut late = alarm("bus 7", 0);
    late.acks.push(PendingAck::new(receipt.answer_for_alarm(0), ms(0)));
    drop(receipt);
    admit(&mut desk, vec![late]);
    drop(desk);
    assert_eq!(answer.blocking_recv().unwrap()[0].fate, Fate::Failed);
}
