//! What a door does with an alarm that the leader refuses for a limit.

use super::bench::*;
use crate::trail::message::TrailMessage;
use crate::trail::*;

/// A refusal of an alarm as its door gave it last.
fn refused(alarm: AlarmVersion, ends: bool) -> TrailMessage {
    TrailMessage::Refused(alarm, Refusal { limit: 2, ends })
}

#[test]
fn an_alarm_that_is_refused_for_a_limit_before_anybody_called_is_called_about_by_nobody() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    assert!(bench.door().is_empty());
    bench.at(49);
    bench.receive(refused(as_given(AlarmId(7)), true));
    bench.at(5_000);
    assert_eq!(bench.door(), ["refuse 7"]);
    assert_eq!(bench.node.view(bench.moment()).waiting, 0);
}

#[test]
fn an_alarm_about_which_its_door_has_called_waits_for_room_until_the_leader_ends_it() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    bench.at(250);
    assert_eq!(bench.door(), ["keep 7", "call 7 Unanswered"]);
    bench.receive(refused(as_given(AlarmId(7)), true));
    let sent = bench.sent();
    assert!(
        matches!(&sent[..], [TrailMessage::Alarm(alarm)] if alarm.unrecorded),
        "it was refused as one that nobody called: {sent:?}"
    );
    for _ in 0..2 {
        bench.receive(refused(as_called(AlarmId(7)), false));
    }
    assert_eq!(bench.door(), ["refuse 7, and go on"], "once");
    bench.at(10_249);
    assert_eq!(bench.sent(), []);
    bench.at(10_250);
    assert!(matches!(&bench.sent()[..], [TrailMessage::Alarm(_)]), "there may be room by now");
    bench.receive(refused(as_called(AlarmId(7)), true));
    assert_eq!(bench.door(), ["refuse 7"]);
}

#[test]
fn an_alarm_about_which_a_leader_called_that_is_gone_stays_when_the_next_one_refuses_it() {
    let mut bench = Bench::new(|_| {});
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    bench.at(120);
    bench.receive(TrailMessage::Called { alarm: AlarmId(7) });
    bench.receive(refused(as_given(AlarmId(7)), true));
    assert_eq!(bench.door(), ["keep 7", "refuse 7, and go on"]);
    bench.at(5_120);
    assert_eq!(bench.door(), ["call 7 Unanswered"]);
}

#[test]
fn what_waits_for_room_at_the_leader_takes_none_from_others_at_its_door() {
    let mut bench = Bench::new(|settings| settings.door_max = 2);
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    bench.deliver_claim(OTHER, 4, 0);
    [7, 8].into_iter().for_each(|alarm| bench.alarm(alarm));
    bench.at(250);
    for alarm in [7, 8] {
        bench.receive(refused(as_called(AlarmId(alarm)), false));
    }
    bench.out.clear();
    bench.alarm(9);
    assert!(matches!(&bench.sent()[..], [TrailMessage::Alarm(alarm)] if alarm.id == AlarmId(9)));
    bench.at(299);
    assert!(bench.door().is_empty(), "the store keeps 7, and 9 is not called about");
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_given(AlarmId(9))] });
    let reads = bench.out.iter().any(|command| matches!(command, TrailCommand::ReadKept { after: None, .. }));
    assert!(reads, "{:?}", bench.out);
}

#[test]
fn a_leader_tells_a_door_for_which_limit_its_desk_refuses_an_alarm_and_one_in_doubt_refuses_nothing() {
    let mut bench = Bench::leader();
    let refusal = Refusal { limit: 2, ends: true };
    bench.node.desk_mut().refuses = Some(refusal);
    bench.out.clear();
    bench.hand_over(A);
    assert_eq!(bench.sent(), [TrailMessage::Refused(as_given(A), refusal)]);
    bench.at(9_000);
    bench.out.clear();
    bench.hand_over(A);
    assert_eq!(bench.sent(), [], "another node may lead by now");
}

/// Takes what the door asks of its driver about the alarm that the leader refused last: true if the leader was told that this door has called.
fn ended(bench: &mut Bench) -> Option<bool> {
    bench.out.drain(..).rev().find_map(|command| match command {
        TrailCommand::Refuse { unrecorded, refusal, .. } if refusal.ends => Some(unrecorded),
        _ => None,
    })
}

#[test]
fn what_a_door_forgot_of_its_call_when_the_alarm_gave_its_place_comes_back_from_the_driver() {
    let mut bench = Bench::new(|settings| settings.door_max = 1);
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    bench.at(250);
    bench.receive(refused(as_called(AlarmId(7)), false));
    bench.alarm(9);
    let trail = TrailId { epoch: 1, incarnation: BORN };
    bench.receive(TrailMessage::Recorded { trail, alarms: vec![as_given(AlarmId(9))] });
    // Its vehicle calls again before it is read from the disk.
    bench.alarm(7);
    bench.receive(refused(as_given(AlarmId(7)), true));
    assert_eq!(ended(&mut bench), Some(false), "the leader was not told of the call");
    let note = b"county".to_vec();
    bench.tell(TrailEvent::NotEnded { alarm: AlarmId(7), bytes: vec![1], note: note.clone() });
    let called = Alarm { id: AlarmId(7), bytes: vec![1], unrecorded: true, note };
    assert_eq!(bench.sent(), [TrailMessage::Alarm(called.clone())]);
    bench.receive(refused(called.version(), true));
    assert_eq!(ended(&mut bench), Some(true));
    assert_eq!(bench.node.view(bench.moment()).waiting, 0);
}

#[test]
fn an_alarm_about_which_only_a_leader_has_called_gives_no_place_to_another() {
    let mut bench = Bench::new(|settings| settings.door_max = 1);
    bench.tell(TrailEvent::Kept { alarms: vec![], is_end: true });
    bench.deliver_claim(OTHER, 4, 0);
    bench.alarm(7);
    bench.at(120);
    bench.receive(TrailMessage::Called { alarm: AlarmId(7) });
    bench.receive(refused(as_given(AlarmId(7)), true));
    bench.alarm(9);
    assert_eq!(bench.door(), ["keep 7", "refuse 7, and go on", "keep 9", "call 9 NoRoom"]);
    bench.at(5_120);
    bench.alarm(10);
    assert_eq!(bench.door(), ["call 7 Unanswered"], "its driver knows of the call from now on");
}
