//! What a door keeps, from the queue to the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vagn_cluster::trail::{AlarmId, TrailEvent, Why};
use vagn_flow::clock::ManualClock;
use vagn_nats::{Office, OfficeCommand};

use super::bench::{Bench, Handed, NOW_MS, parts};
use crate::id::IncidentId;
use crate::intake::alarm::Alarm;
use crate::intake::known::KnownVehicle;
use crate::notifier::{NoticeSender, NoticeSource};
use crate::office::alarm_form::AlarmForm;
use crate::office::call_note::{DoorCall, note_of};
use crate::office::door_source::DoorSource;
use crate::office::kept::Change;
use crate::office::kept_alarms::{CHANGES_MAX, KeptAlarms};
use crate::office::lane_office::LaneOffice;
use crate::record::alarms::AlarmState;
use crate::record::attempt::Attempt;
use crate::record::delivery::Told;
use crate::record::progress::State;
use crate::rules::Rules;
use crate::tests::setup::{fleet, help, offer};
use crate::{Parts, Targets, build_node};

fn keep(alarm: u128) -> Change {
    Change::Keep { alarm: AlarmId(alarm), bytes: b"help".to_vec() }
}

#[test]
fn a_life_of_the_writer_leaves_changes_alone_until_those_of_an_earlier_one_have_left_the_queue() {
    let node = Bench::new();
    let (kept, dir) = (&node.room.kept, tempfile::tempdir().unwrap());
    let next = KeptAlarms::new(node.room.clone(), dir.path().into());
    next.work();
    let earlier = kept.claim().unwrap();
    kept.push(keep(1)).unwrap();
    next.work();
    assert_eq!(kept.count(), 0);
    assert!(kept.fault().is_some(), "the disk does not answer");
    drop(earlier);
    next.work();
    assert_eq!((kept.count(), kept.fault()), (1, None));
}

#[test]
fn an_alarm_that_calls_anew_is_kept_under_its_new_id_however_much_waits_for_the_disk() {
    let node = Bench::new();
    let (kept, dir) = (&node.room.kept, tempfile::tempdir().unwrap());
    let writer = KeptAlarms::new(node.room.clone(), dir.path().into());
    let alarms = 0..CHANGES_MAX as u128;
    alarms.clone().for_each(|alarm| kept.push(keep(alarm)).unwrap());
    let note = |alarm| Change::Note { alarm: AlarmId(alarm), note: b"county".to_vec() };
    alarms.clone().for_each(|alarm| kept.push(note(alarm)).unwrap());
    kept.push(note(1)).unwrap_err();
    let new = |alarm| AlarmId(1_000_000 + alarm);
    for alarm in alarms.clone() {
        let into = new(alarm);
        kept.push(Change::Rename { alarm: AlarmId(alarm), into }).unwrap();
    }
    writer.work();
    kept.push(Change::LetGo { alarm: new(7), bytes: b"help".to_vec() }).unwrap();
    writer.work();
    assert_eq!(kept.count(), alarms.end as u64 - 1, "it is found under the new one");
}

#[test]
fn what_could_not_be_kept_without_a_driver_is_kept_anew_after_a_minute_and_when_the_node_stops() {
    for stops in [false, true] {
        let node = Bench::new();
        let (room, dir) = (&node.room, tempfile::tempdir().unwrap());
        let folder = dir.path().join("away");
        let writer = KeptAlarms::new(room.clone(), folder.clone());
        offer(&room.lane, &[help("bus 7")]);
        room.door.attend(room);
        node.clock.advance(Duration::from_secs(1));
        room.door.look(room);
        writer.work();
        assert!(room.kept.fault().is_some());
        std::fs::create_dir(&folder).unwrap();
        room.door.look(room);
        writer.work();
        assert_eq!(room.kept.count(), 0, "a disk that fails is not asked all the time");
        if stops {
            room.door.call_all(room);
        } else {
            node.clock.advance(Duration::from_secs(60));
            room.door.look(room);
        }
        writer.work();
        assert_eq!(room.kept.count(), 1, "stops: {stops}");
    }
}

#[test]
fn a_node_that_stops_keeps_what_came_after_what_was_kept() {
    let node = Bench::new();
    let (room, dir) = (&node.room, tempfile::tempdir().unwrap());
    let writer = KeptAlarms::new(room.clone(), dir.path().into());
    for _ in 0..2 {
        offer(&room.lane, &[help("bus 7")]);
        room.door.attend(room);
        room.door.call_all(room);
    }
    writer.work();
    let kept = room.kept.all();
    assert_eq!(kept.len(), 1);
    assert_eq!(AlarmForm::from_bytes(&kept[0].bytes).unwrap().reports, 2);
}

/// Keeps an alarm of bus 7 in a directory, as a node does that ends. A target has accepted a call about it, if there is a note.
fn keep_call(dir: &Path, note: &[u8]) -> IncidentId {
    let node = Bench::new();
    let room = &node.room;
    let writer = KeptAlarms::new(room.clone(), dir.into());
    offer(&room.lane, &[help("bus 7")]);
    room.door.attend(room);
    room.door.call_all(room);
    writer.work();
    let alarm = room.kept.all()[0].alarm;
    room.kept.push(Change::Note { alarm, note: note.to_vec() }).unwrap();
    writer.work();
    IncidentId::from_u128(alarm.0)
}

/// A node that has just begun and has not read what an earlier run kept.
fn begins() -> Bench {
    Bench::in_dir(tempfile::tempdir().unwrap(), None)
}

/// Returns the incidents about which the door of a node without a driver calls a second later.
fn called_in_a_second(node: &Bench) -> Vec<IncidentId> {
    let room = &node.room;
    room.door.attend(room);
    node.clock.advance(Duration::from_secs(1));
    room.door.look(room);
    std::iter::from_fn(|| room.calls.next_notice()).map(|notice| notice.key.incident).collect()
}

#[test]
fn a_vehicle_that_repeats_itself_as_a_run_begins_goes_on_under_the_id_that_the_one_before_kept() {
    let dir = tempfile::tempdir().unwrap();
    let kept = keep_call(dir.path(), b"");
    let node = begins();
    let writer = KeptAlarms::new(node.room.clone(), dir.path().into());
    offer(&node.room.lane, &[help("bus 7")]);
    assert_eq!(called_in_a_second(&node), [], "under another id perhaps");
    writer.work();
    assert_eq!(called_in_a_second(&node), [kept]);
    assert_eq!(node.room.door.count(), 1);
}

#[test]
fn what_an_earlier_run_kept_and_its_vehicle_does_not_repeat_is_called_about_without_a_driver_after_5_s() {
    let dir = tempfile::tempdir().unwrap();
    let kept = keep_call(dir.path(), b"");
    let node = begins();
    KeptAlarms::new(node.room.clone(), dir.path().into()).work();
    assert_eq!((0..5).map(|_| called_in_a_second(&node).len()).sum::<usize>(), 0, "the leader may know it");
    assert_eq!(called_in_a_second(&node), [kept]);
}

#[test]
fn a_call_waits_5_s_for_a_disk_that_hangs_and_not_for_one_that_fails_or_as_the_node_stops() {
    for case in ["hangs", "fails", "stops"] {
        let node = begins();
        let room = &node.room;
        offer(&room.lane, &[help("bus 7")]);
        room.door.attend(room);
        assert_eq!(room.door.count(), 0, "{case}");
        match case {
            "hangs" => node.clock.advance(Duration::from_secs(5)),
            "fails" => KeptAlarms::new(room.clone(), "/nowhere".into()).work(),
            _ => DoorSource(room.clone()).rescue(true),
        }
        assert_eq!(called_in_a_second(&node).len(), 1, "{case}");
    }
}

#[test]
fn what_a_target_accepted_from_an_earlier_run_is_shown_so_and_not_called_about_again() {
    let dir = tempfile::tempdir().unwrap();
    let attempt = Attempt::example("county", NOW_MS);
    let kept = keep_call(dir.path(), &note_of(&[DoorCall { attempt, told: Told::default() }]));
    let node = begins();
    let room = &node.room;
    KeptAlarms::new(room.clone(), dir.path().into()).work();
    let state = || room.lane.desk.lock().get(kept).map(|incident| incident.progress.state);
    assert_eq!(state(), Some(State::Notified));
    for _ in 0..9 {
        offer(&room.lane, &[help("bus 7")]);
        assert_eq!(called_in_a_second(&node), []);
    }
    assert_eq!((room.door.count(), room.calls.count()), (1, 0));
}

/// A node whose disk has an alarm of an earlier run, of which two reports came then, and at whose door the same alarm waits. The trail has
/// `recorded` of the two. Returns what the door hands over, and what is kept once the trail has that.
async fn meets_earlier(recorded: u64) -> (AlarmForm, u64) {
    let node = Bench::new();
    let (room, dir) = (&node.room, tempfile::tempdir().unwrap());
    let writer = KeptAlarms::new(room.clone(), dir.path().into());
    let earlier = Handed::new(7, "bus 7", 5).more();
    let mut state = AlarmState::new(earlier.id());
    state.note(5, recorded);
    room.known.lock().learn([(7, state)], [], 9);
    room.kept.push(Change::Keep { alarm: AlarmId(7), bytes: earlier.alarm.form.to_bytes() }).unwrap();

    let sender = NoticeSender::new(&Targets::default(), room.lane.clock.clone(), &room.lane.metrics.slots);
    let mut office = LaneOffice::new(room.clone(), Arc::new(sender));
    let later = Alarm { id: earlier.id(), ..Alarm::example("bus 7") };
    let later =
        Alarm { received_ms: later.received_ms + 9, last_received_ms: later.received_ms + 9, ..later };
    room.door.put(later);
    office.carry_out(OfficeCommand::ReadKept { after: None, max: 9 });
    writer.work();
    let event = std::future::poll_fn(|cx| office.poll_event(cx)).await;
    let TrailEvent::Kept { alarms, .. } = event else { panic!("{event:?}") };
    let bytes = room.door.form(earlier.id(), room).unwrap().to_bytes();
    let heard: Vec<_> = alarms.iter().map(|kept| &kept.bytes).collect();
    assert_eq!(heard, [&bytes], "the trail does not hear of both");
    office.carry_out(OfficeCommand::CallAlone {
        alarm: AlarmId(7),
        bytes: earlier.alarm.form.to_bytes(),
        why: Why::Kept,
    });
    assert_eq!(room.door.form(earlier.id(), room).unwrap().to_bytes(), bytes, "it is taken in once");
    office.carry_out(OfficeCommand::LetGo { alarm: AlarmId(7), bytes: bytes.clone() });
    writer.work();
    assert_eq!((room.door.count(), room.calls.count()), (0, 0));
    (AlarmForm::from_bytes(&bytes).unwrap(), room.kept.count())
}

#[tokio::test]
async fn what_an_earlier_run_kept_of_an_alarm_that_waits_by_then_goes_to_the_trail_and_from_the_disk_with_it()
{
    for (recorded, reports) in [(0, 3), (1, 2), (2, 1)] {
        let (told, kept) = meets_earlier(recorded).await;
        assert_eq!((told.reports, kept), (reports, 0), "{recorded}");
        let came = told.alarm(IncidentId::from_u128(7), Duration::ZERO);
        let since_first = came.last_received_ms - came.received_ms;
        assert_eq!(since_first, if recorded < 2 { 9 } else { 0 }, "{recorded}");
    }
}

#[test]
fn what_a_door_that_crashed_had_taken_from_the_inbox_is_called_about_and_kept_as_the_node_stops() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let asked = fails.clone();
    let vehicles = fleet(move |_| {
        assert!(!asked.swap(false, Ordering::Relaxed), "the fleet fails");
        KnownVehicle::STRANGER
    });
    let parts = Parts { vehicles, ..parts(dir.path(), Arc::new(ManualClock::at(NOW_MS))) };
    let (_, node, _) = build_node(parts, Rules::new(100, &Targets::default()), 50);
    let room = node.room;
    room.kept.note_read();
    offer(&room.lane, &[help("bus 7")]);
    fails.store(true, Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| room.door.attend(&room))).unwrap_err();
    assert_eq!((room.door.count(), room.calls.count()), (1, 0));
    DoorSource(room.clone()).rescue(true);
    assert_eq!((room.door.count(), room.calls.count()), (1, 1));
    KeptAlarms::new(room.clone(), dir.path().into()).work();
    assert_eq!(room.kept.count(), 1);
}
