//! What becomes of an alarm for which the leader has no room: by whether somebody has called about it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use vagn_cluster::trail::{AlarmId, Refusal, Taken, TrailEvent};
use vagn_flow::clock::Clock;
use vagn_flow::metrics::ReasonLabel;
use vagn_flow::receipt::Receipt;
use vagn_nats::{Office, OfficeCommand};
use vagn_wire::Fate;

use super::bench::{Bench, Handed};
use super::desk::accepted_call;
use crate::Targets;
use crate::desk::RequestKind;
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::intake::alarm::Alarm;
use crate::intake::no_room::NoRoom;
use crate::notifier::{NoticeSender, NoticeSource};
use crate::office::call_note::{calls_of, note_of};
use crate::office::door_source::DoorSource;
use crate::office::lane_office::LaneOffice;
use crate::office::look::Look;
use crate::record::attempt::Outcome;
use crate::record::standing::Standing;
use crate::show::feed::FeedItem;
use crate::tests::setup::{help, offer};

const STRANGERS: u8 = 2;

fn refused(ends: bool) -> Taken {
    Taken::Refused(Refusal { limit: STRANGERS, ends })
}

/// A leader at which strangers have taken all places that they may.
fn full() -> Bench {
    let mut leader = Bench::new();
    leader.lead(1);
    for number in 0..50 {
        let opened = leader.take(&Handed::new(1 + number, &format!("invented {number}"), 1));
        assert_eq!(opened, Taken::Open);
    }
    leader
}

#[test]
fn a_leader_refuses_strangers_beyond_their_part_at_once_and_known_vehicles_not_for_them() {
    let mut leader = full();
    let stranger = Handed::new(60, "invented 60", 1);
    assert_eq!(leader.take(&stranger), refused(true), "nobody has called");
    assert_eq!(leader.take(&stranger.called(&[])), refused(false), "its door has");
    let mut known = Handed::new(70, "bus 7", 1);
    known.alarm.form.standing = Standing::Known;
    assert_eq!(leader.take(&known), Taken::Open);
}

#[test]
fn a_call_without_room_is_taken_in_when_there_is_room_and_ends_when_its_vehicle_is_silent_for_long() {
    let mut leader = full();
    let [accepted, open, lucky] = [60, 61, 62].map(|id| Handed::new(id, &format!("invented {id}"), 1));
    let accepted = accepted.clone().called(&note_of(&[accepted_call(&accepted)]));
    let (open, lucky) = (open.called(&[]), lucky.called(&[]));
    let take = |leader: &mut Bench| [&accepted, &open].map(|alarm| leader.take(alarm));
    leader.clock.advance(Duration::from_secs(3_500));
    assert_eq!(take(&mut leader), [refused(false), refused(false)]);
    leader.clock.advance(Duration::from_secs(24 * 3_600));
    assert_eq!(take(&mut leader), [refused(true), refused(false)], "no target has heard of the second");
    leader.act(IncidentId::from_u128(1), RequestKind::Resolve).unwrap();
    assert_eq!(leader.take(&lucky), Taken::Open);
}

/// A vehicle calls at this node, whose driver does not take it yet. Returns its id.
fn call(node: &Bench, vehicle: &str) -> IncidentId {
    let now = node.clock.monotonic();
    let alarm = Alarm { arrived: now, last_arrived: now, ..Alarm::example(vehicle) };
    let id = alarm.id;
    node.room.door.put(alarm);
    id
}

/// Time goes by at the door.
fn wait(node: &Bench, time: Duration) {
    node.clock.advance(time);
    node.room.door.look(&node.room);
    node.room.door.show(&node.room);
    node.room.lane.announce();
}

/// The leader refuses an alarm, which it was told is `unrecorded` or not. Returns the note with which it comes back if it does not end for that.
fn refuse(node: &Bench, id: IncidentId, unrecorded: bool, ends: bool) -> Option<Vec<u8>> {
    let bytes = node.room.door.form(id, &node.room).unwrap().to_bytes();
    let slots = &node.room.lane.metrics.slots;
    let sender = NoticeSender::new(&Targets::default(), node.clock.clone(), slots);
    let look = Look::stepped(node.clock.clone());
    let mut office = LaneOffice::looking(node.room.clone(), Arc::new(sender), look);
    let (alarm, refusal) = (AlarmId(id.as_u128()), Refusal { limit: STRANGERS, ends });
    office.carry_out(OfficeCommand::Refuse { alarm, bytes: bytes.clone(), unrecorded, refusal });
    match office.poll_event(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(TrailEvent::NotEnded { alarm: came, bytes: back, note }) => {
            assert_eq!((came, back), (alarm, bytes));
            Some(note)
        }
        _ => None,
    }
}

fn counted(node: &Bench) -> u64 {
    let reason = ReasonLabel { reason: NoRoom::Strangers.word() };
    node.room.metrics.emergencies_refused.get_or_create(&reason).get()
}

#[test]
fn an_alarm_that_is_refused_before_anybody_called_leaves_its_door_and_its_sender_hears_that_it_failed() {
    let node = Bench::new();
    let (receipt, mut answer) = Receipt::new(1);
    receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
    let now = node.clock.monotonic();
    let acks = vec![PendingAck::new(receipt.answer_for_alarm(0), now)];
    drop(receipt);
    let alarm = Alarm { arrived: now, last_arrived: now, acks, ..Alarm::example("invented") };
    let id = alarm.id;
    node.room.door.put(alarm);
    assert_eq!(refuse(&node, id, false, true), None);
    assert_eq!(answer.try_recv().unwrap()[0].fate, Fate::Failed);
    assert_eq!((node.room.door.count(), node.room.calls.count(), counted(&node)), (0, 0, 1));
    wait(&node, Duration::from_secs(1));
    assert!(node.room.calls.next_notice().is_none(), "nobody calls");
}

#[test]
fn a_call_without_room_is_counted_once_and_shown_until_it_ends_and_followers_hear_that_it_is_over() {
    let node = Bench::new();
    let mut follower = node.room.lane.announcer.feed().since(None);
    let id = call(&node, "invented");
    wait(&node, Duration::from_millis(250));
    let notice = node.room.calls.next_notice().unwrap();
    assert_eq!(
        refuse(&node, id, false, true),
        Some(vec![]),
        "the leader was not told that this door has called"
    );
    for _ in 0..2 {
        assert_eq!(refuse(&node, id, true, false), None);
    }
    let now = || node.clock.monotonic();
    assert_eq!((counted(&node), node.room.door.count_stuck(now())), (1, (1, 0)));
    let ended = notice.end(node.clock.now_ms(), Duration::from_millis(5), Outcome::Accepted { status: 200 });
    DoorSource(node.room.clone()).attempted(ended);
    wait(&node, Duration::from_secs(60));
    assert!(node.room.lane.desk.lock().get(id).is_some(), "it is shown");
    assert_eq!(refuse(&node, id, true, true), None);
    wait(&node, Duration::ZERO);
    assert_eq!((counted(&node), node.room.door.count()), (1, 0));
    assert!(node.room.lane.desk.lock().get(id).is_none());
    let mut last = Value::Null;
    while let Some(Some(FeedItem::Event(event))) = follower.next().now_or_never() {
        last = serde_json::from_str(&event.data).unwrap();
    }
    assert_eq!((&last["change"], &last["incident"]["state"]), (&"resolved".into(), &"resolved".into()));
}

#[test]
fn what_a_target_has_accepted_ends_only_where_the_leader_was_told_of_it() {
    let node = Bench::new();
    let id = call(&node, "invented");
    wait(&node, Duration::from_millis(250));
    assert_eq!(refuse(&node, id, true, false), None);
    let notice = node.room.calls.next_notice().unwrap();
    let ended = notice.end(node.clock.now_ms(), Duration::from_millis(5), Outcome::Accepted { status: 200 });
    DoorSource(node.room.clone()).attempted(ended);
    // It gave its place at the driver to another, and its vehicle calls again.
    let note = refuse(&node, id, false, true).expect("it goes on");
    let [called] = &calls_of(&note)[..] else { panic!("{note:?}") };
    assert_eq!((&*called.attempt.target, node.room.door.count()), ("county", 1));
    assert!(node.room.calls.has(id));
    assert_eq!(refuse(&node, id, true, true), None);
    assert_eq!((node.room.door.count(), node.room.calls.has(id)), (0, false));
}

#[test]
fn an_alarm_that_waits_under_a_leader_that_says_nothing_is_late_after_ten_seconds() {
    let node = Bench::new();
    call(&node, "bus 7");
    let stuck = |node: &Bench| node.room.door.count_stuck(node.clock.monotonic());
    wait(&node, Duration::from_millis(9_999));
    assert_eq!(stuck(&node), (0, 0));
    wait(&node, Duration::from_millis(1));
    assert_eq!(stuck(&node), (0, 1));
}

#[test]
fn strangers_have_their_part_of_the_calls_that_a_door_makes_by_itself_and_known_vehicles_are_not_held_to_it()
{
    let node = Bench::new();
    for (name, called) in [("known", 120), ("invented", 170)] {
        for number in 0..120 {
            offer(&node.room.lane, &[help(&format!("{name} {number}"))]);
            node.room.door.attend(&node.room);
            wait(&node, Duration::from_millis(250));
        }
        assert_eq!(node.room.calls.count(), called);
    }
    assert_eq!(counted(&node), 70);
}
