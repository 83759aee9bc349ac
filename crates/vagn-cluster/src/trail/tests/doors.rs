//! The door of a node: what it keeps, hands over, and calls about by itself.

use super::bench::*;
use crate::ids::Incarnation;
use crate::trail::lead::RELEASE_MS;
use crate::trail::message::TrailMessage;
use crate::trail::*;

#[test]
fn a_door_keeps_an_alarm_of_which_the_trail_has_an_older_version() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    let newer = AlarmId(7);
    bench.tell(TrailEvent::Alarm { alarm: newer, bytes: vec![2] });
    bench.out.clear();
    let id = EntryId { node: OTHER, run: 9, number: 5 };
    let body = TrailBody::Group { alarms: vec![as_given(newer)], deeds: vec![], content: b"drafts" };
    bench.deliver(TrailEntry { epoch: 1, id, term: Term(4), body }.write());
    let lets_go = |command: &TrailCommand| matches!(command, TrailCommand::LetGo { .. });
    assert!(!bench.out.iter().any(lets_go), "{:?}", bench.out);
    let sent = bench.sent();
    let [TrailMessage::Alarm(alarm)] = &sent[..] else { panic!("{sent:?}") };
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![alarm.version()] });
    let let_go = bench.out.iter().find_map(|command| match command {
        TrailCommand::LetGo { bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    assert_eq!(let_go, Some(vec![2]), "a driver must know for which version");
}

#[test]
fn a_door_calls_by_itself_after_250_ms_and_lets_go_when_the_trail_has_it() {
    let mut bench = Bench::new(|_| {});
    bench.alarm(7);
    bench.at(49);
    assert!(bench.door().is_empty());
    bench.at(249);
    assert_eq!(bench.door(), ["keep 7"]);
    bench.at(250);
    assert_eq!(bench.door(), ["call 7 Unanswered"]);
    bench.deliver_claim(OTHER, 4, 0);
    let sent = bench.sent();
    assert!(matches!(&sent[..], [TrailMessage::Alarm(alarm)] if alarm.unrecorded), "{sent:?}");
    let elsewhere = TrailId { epoch: 1, incarnation: Incarnation(6) };
    bench.receive(TrailMessage::Recorded { trail: elsewhere, alarms: vec![as_called(AlarmId(7))] });
    assert!(bench.door().is_empty(), "another trail has it");
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_called(AlarmId(7))] });
    assert_eq!(bench.door(), ["let go 7"]);
}

#[test]
fn an_alarm_is_kept_before_a_leader_that_cannot_record_it_calls() {
    let mut bench = Bench::leader();
    bench.door();
    bench.alarm(70);
    // A leader and its door may end together as soon as the target has accepted.
    bench.at(bench.now_ms + RELEASE_MS - 1);
    assert_eq!(bench.told(), ["Full"], "it has not called");
    assert_eq!(bench.door(), ["keep 70"]);
    bench.at(bench.now_ms + 1);
    assert_eq!((bench.told(), bench.door()), (vec!["release 70".to_owned()], vec![]));
}

#[test]
fn a_door_whose_leader_called_waits_5_s_for_the_record() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    bench.at(120);
    bench.receive(TrailMessage::Called { alarm: AlarmId(7) });
    bench.at(2_900);
    bench.receive(TrailMessage::Called { alarm: AlarmId(7) });
    assert_eq!(bench.door(), ["keep 7"], "this node may be the only one that has it");
    bench.at(5_120);
    assert_eq!(bench.door(), ["call 7 Unanswered"]);
}

#[test]
fn an_alarm_without_room_is_called_about_at_once_and_handed_over_from_the_store() {
    let mut bench = Bench::new(|settings| settings.door_max = 2);
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    bench.deliver_claim(OTHER, 4, 0);
    [7, 8, 9].into_iter().for_each(|alarm| bench.alarm(alarm));
    assert_eq!(bench.door(), ["keep 9", "call 9 NoRoom"]);
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_given(AlarmId(7))] });
    let reads = bench.out.iter().any(|command| matches!(command, TrailCommand::ReadKept { after: None, .. }));
    assert!(reads, "{:?}", bench.out);
    bench.out.clear();
    let kept = KeptAlarm { alarm: AlarmId(9), bytes: vec![1], note: vec![] };
    bench.tell(TrailEvent::Kept { alarms: vec![kept], is_end: true });
    let sent = bench.sent();
    assert!(matches!(&sent[..], [TrailMessage::Alarm(alarm)] if alarm.id == AlarmId(9)), "{sent:?}");
}

#[test]
fn all_that_an_earlier_run_kept_is_called_about_whatever_the_room() {
    let mut bench = Bench::new(|settings| settings.door_max = 2);
    let kept = |alarms: [u128; 2]| {
        alarms.map(|alarm| KeptAlarm { alarm: AlarmId(alarm), bytes: vec![1], note: vec![] }).to_vec()
    };
    bench.out.clear();
    bench.tell(TrailEvent::Kept { alarms: kept([7, 8]), is_end: false });
    let reads = |after| move |command: &TrailCommand| matches!(command, TrailCommand::ReadKept { after: at, .. } if *at == after);
    assert!(bench.out.iter().any(reads(Some(AlarmId(8)))), "{:?}", bench.out);
    bench.tell(TrailEvent::Kept { alarms: kept([9, 10]), is_end: true });
    assert_eq!(bench.door(), ["call 9 Kept", "call 10 Kept"], "these are nowhere else");
    bench.at(2_000);
    assert_eq!(bench.door(), ["call 7 Kept", "call 8 Kept"]);
    assert_eq!(bench.node.view(bench.moment()).waiting, 2);
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_called(AlarmId(7))] });
    assert!(bench.out.iter().any(reads(None)), "what found no room is read again: {:?}", bench.out);
}

fn kept(alarm: u128, note: &[u8]) -> KeptAlarm {
    KeptAlarm { alarm: AlarmId(alarm), bytes: vec![1], note: note.to_vec() }
}

#[test]
fn nobody_calls_about_what_an_earlier_run_kept_and_the_leader_knows() {
    let mut bench = Bench::new(|_| {});
    bench.tell(TrailEvent::Kept { alarms: vec![kept(7, b"")], is_end: true });
    bench.at(1_000);
    assert!(bench.door().is_empty(), "no leader was asked yet");
    bench.deliver_claim(OTHER, 4, 0);
    let sent = bench.sent();
    assert!(matches!(&sent[..], [TrailMessage::Alarm(alarm)] if !alarm.unrecorded), "{sent:?}");
    bench.at(1_249);
    let trail = TrailId { epoch: 1, incarnation: BORN };
    // A person has resolved it meanwhile, perhaps.
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_given(AlarmId(7))] });
    bench.at(9_000);
    assert_eq!(bench.door(), ["let go 7"]);
}

#[test]
fn what_an_earlier_run_kept_is_called_about_250_ms_after_a_leader_is_heard_or_the_vehicle_calls_again() {
    let calls_at = |act: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new(|_| {});
        bench.tell(TrailEvent::Kept { alarms: vec![kept(7, b"")], is_end: true });
        bench.at(1_000);
        act(&mut bench);
        bench.at(1_249);
        assert!(bench.door().is_empty());
        bench.at(1_250);
        bench.door()
    };
    assert_eq!(calls_at(&|bench| bench.deliver_claim(OTHER, 4, 0)), ["call 7 Kept"]);
    assert_eq!(calls_at(&|bench| bench.alarm(7)), ["call 7 Kept"]);
    assert!(calls_at(&|_| {}).is_empty(), "nobody is heard for 2 s first");
}

#[test]
fn what_a_target_accepted_from_an_earlier_run_is_handed_over_with_its_note_and_not_called_about() {
    let mut bench = Bench::new(|_| {});
    bench.tell(TrailEvent::Kept { alarms: vec![kept(7, b"county")], is_end: true });
    bench.at(2_900);
    assert!(bench.door().is_empty());
    bench.deliver_claim(OTHER, 4, 0);
    let sent = bench.sent();
    let [TrailMessage::Alarm(alarm)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((alarm.unrecorded, &alarm.note[..]), (true, &b"county"[..]));
}

#[test]
fn an_alarm_that_the_store_did_not_keep_is_given_to_it_again() {
    let mut bench = Bench::new(|settings| settings.door_max = 1);
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    bench.deliver_claim(OTHER, 4, 0);
    [7, 8].into_iter().for_each(|alarm| bench.alarm(alarm));
    bench.at(250);
    assert_eq!(bench.door(), ["keep 8", "call 8 NoRoom", "keep 7", "call 7 Unanswered"]);
    for alarm in [7, 8, 9] {
        bench.tell(TrailEvent::NotKept { alarm: AlarmId(alarm), bytes: vec![1] });
    }
    let told = |command: &&TrailCommand| matches!(command, TrailCommand::Tell(TrailHappened::NotKept(_)));
    assert_eq!(bench.out.iter().filter(told).count(), 3, "{:?}", bench.out);
    let placeless =
        |command: &&TrailCommand| matches!(command, TrailCommand::Tell(TrailHappened::NoPlace(_)));
    assert_eq!(bench.out.iter().filter(placeless).count(), 1, "{:?}", bench.out);
    let sent = bench.sent();
    assert!(matches!(&sent[..], [TrailMessage::Alarm(alarm)] if alarm.id == AlarmId(8)), "{sent:?}");
    bench.at(1_249);
    assert!(bench.door().is_empty());
    bench.at(1_250);
    assert_eq!(bench.door(), ["keep 7", "keep 8"], "9 would be more than twice the room");
}

#[test]
fn an_alarm_that_is_too_long_is_called_about_and_stays_at_its_door() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    let bytes = vec![1; ALARM_MAX + 1];
    bench.tell(TrailEvent::Alarm { alarm: A, bytes: bytes.clone() });
    assert_eq!(bench.door(), ["keep 70", "call 70 TooLong"]);
    bench.tell(TrailEvent::NotKept { alarm: A, bytes });
    assert!(bench.out.iter().any(|command| matches!(command, TrailCommand::Tell(TrailHappened::NoPlace(_)))));
    assert_eq!(bench.sent(), []);
}

#[test]
fn what_found_no_room_during_a_read_of_the_store_is_read_after_it() {
    let mut bench = Bench::new(|settings| settings.door_max = 2);
    [7, 8, 5].into_iter().for_each(|alarm| bench.alarm(alarm));
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: false });
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_given(AlarmId(7))] });
    bench.out.clear();
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    let reads = bench.out.iter().any(|command| matches!(command, TrailCommand::ReadKept { after: None, .. }));
    assert!(reads, "{:?}", bench.out);
}

#[test]
fn a_door_that_stops_has_its_store_keep_all_that_it_has_at_once() {
    let mut bench = Bench::new(|_| {});
    bench.alarm(7);
    bench.at(40);
    assert!(bench.door().is_empty());
    bench.tell(TrailEvent::StopAsked);
    assert_eq!(bench.door(), ["keep 7"]);
    bench.alarm(8);
    assert_eq!(bench.door(), ["keep 8"]);
    bench.at(250);
    assert_eq!(bench.door(), ["call 7 Unanswered"], "as long as it lasts");
}

#[test]
fn what_an_earlier_run_kept_is_called_about_although_the_incident_store_cannot_be_read() {
    let mut bench = Bench::unread();
    bench.tell(TrailEvent::DeskChanged);
    let reads = bench.out.iter().any(|command| matches!(command, TrailCommand::ReadKept { after: None, .. }));
    assert!(reads, "{:?}", bench.out);
    let kept = KeptAlarm { alarm: AlarmId(9), bytes: vec![1], note: vec![] };
    bench.tell(TrailEvent::Kept { alarms: vec![kept], is_end: true });
    bench.at(2_000);
    assert_eq!(bench.door(), ["call 9 Kept"]);
    // What was not kept is given to the disk again.
    bench.alarm(7);
    bench.at(2_250);
    assert_eq!(bench.door(), ["keep 7", "call 7 Unanswered"]);
    bench.tell(TrailEvent::NotKept { alarm: AlarmId(7), bytes: vec![1] });
    bench.at(3_300);
    assert_eq!(bench.door(), ["keep 7"]);
}
