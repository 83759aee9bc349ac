//! Epochs that a person begins, driven by hand.

use super::super::*;
use super::bench::*;
use crate::command::Command;
use crate::event::{Event, RecordKey, RecordOutcome, StreamInfo, StreamOutcome, WriteOutcome};
use crate::happened::Stop;
use crate::ids::{Incarnation, NodeId, StreamId};
use crate::trail::epochs::EpochRecord;
use crate::trail::message::{Standing, TrailMessage};

const NEW: TrailId = TrailId { epoch: 2, incarnation: Incarnation(6) };

/// A node that found its trail broken, with entries up to the second one in its store.
fn broken() -> Bench {
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.stored(publish, 2);
    bench.deliver(bytes);
    bench.tell(TrailEvent::Saved(Ok(())));
    bench.at(9_000);
    let anew = StreamInfo { incarnation: Incarnation(99), first: 1, last: 0, bytes: 0 };
    bench.is(anew);
    assert_eq!(bench.node.view(bench.moment()).stopped, Some(Stop::StreamAnew));
    bench.out.clear();
    bench
}

fn ended(bench: &mut Bench) -> Option<Result<TrailRepair, TrailRefusal>> {
    bench.out.drain(..).find_map(|command| match command {
        TrailCommand::RepairEnded(result) => Some(result),
        _ => None,
    })
}

/// The new stream is made, and the record is to be written: returns it.
fn made(bench: &mut Bench, last: u64) -> Option<Vec<u8>> {
    let read = bench.out.drain(..).find_map(|command| match command {
        TrailCommand::Common(Command::MakeStream { read, stream }) => {
            assert_eq!(stream, StreamId::trail(2));
            Some(read)
        }
        _ => None,
    });
    let info = StreamInfo { incarnation: NEW.incarnation, first: 1, last, bytes: 0 };
    bench.common(Event::StreamRead(read.unwrap(), StreamOutcome::Is(info)));
    bench.out.iter().find_map(|command| match command {
        TrailCommand::Common(Command::WriteRecord { expected: None, bytes, .. }) => Some(bytes.clone()),
        _ => None,
    })
}

fn read(bench: &mut Bench, record: Vec<u8>) {
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Is { revision: 4, bytes: record }));
}

/// It goes on in the new epoch, from its own store.
fn assert_begun(bench: &mut Bench) {
    let saved = bench.out.iter().find_map(|command| match command {
        TrailCommand::Save { mark, groups } => Some((*mark, groups.len())),
        _ => None,
    });
    let (mark, groups) = saved.expect("the mark is saved");
    assert_eq!((mark.trail, mark.sequence, groups), (NEW, 0, 0));
    assert!(mark.term > Term::default(), "terms go on");
    assert_eq!(ended(bench), Some(Ok(TrailRepair::Begun)));
    bench.tell(TrailEvent::Saved(Ok(())));
    let view = bench.node.view(bench.moment());
    assert_eq!((view.trail, view.stopped, view.duty), (Some(NEW), None, Duty::Standby));
    // It claims, as the first entry.
    bench.at(bench.now_ms + 3_000);
    assert_eq!(bench.published().1, Some(0));
}

#[test]
fn a_broken_trail_goes_on_in_a_new_epoch_from_the_store_of_the_node_that_is_asked() {
    let mut bench = broken();
    bench.tell(TrailEvent::RepairAsked);
    assert!(made(&mut bench, 0).is_some());
    let written = WriteOutcome::Written { revision: 1 };
    bench.common(Event::RecordWritten(RecordKey::Trail, written));
    assert_begun(&mut bench);
}

#[test]
fn a_record_whose_answer_was_lost_is_read_before_anything_is_begun() {
    for outcome in [WriteOutcome::NoAnswer, WriteOutcome::Refused] {
        let mut bench = broken();
        bench.tell(TrailEvent::RepairAsked);
        let record = made(&mut bench, 0).unwrap();
        bench.common(Event::RecordWritten(RecordKey::Trail, outcome));
        assert_eq!(bench.node.view(bench.moment()).stopped, Some(Stop::StreamAnew), "not yet");
        read(&mut bench, record);
        assert_begun(&mut bench);
    }
    // It was not written, and is again.
    let mut bench = broken();
    bench.tell(TrailEvent::RepairAsked);
    let record = made(&mut bench, 0).unwrap();
    bench.common(Event::RecordWritten(RecordKey::Trail, WriteOutcome::NoAnswer));
    bench.out.clear();
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
    let again = bench.out.iter().any(|command| {
        matches!(command, TrailCommand::Common(Command::WriteRecord { bytes, .. }) if *bytes == record)
    });
    assert!(again, "{:?}", bench.out);
}

#[test]
fn a_repair_is_refused_where_it_is_not_safe() {
    let mut bench = Bench::leader();
    bench.at(6_000);
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::Sound)));
    let mut bench = broken();
    bench.other_is(1, 3, Standing::Stopped);
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::HasMore(OTHER))));
    // Another node makes an epoch at the same time.
    let mut bench = broken();
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(made(&mut bench, 1), None);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::Overtaken)));
    let mut bench = broken();
    bench.tell(TrailEvent::RepairAsked);
    made(&mut bench, 0).unwrap();
    bench.common(Event::RecordWritten(RecordKey::Trail, WriteOutcome::Refused));
    read(&mut bench, EpochRecord { trail: NEW, begun_by: (OTHER, 5) }.write());
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::Overtaken)));
    assert!(bench.node.view(bench.moment()).lacks_copy, "it copies what the other has begun");
    // Nobody answers.
    let mut bench = broken();
    bench.tell(TrailEvent::RepairAsked);
    bench.at(39_000);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::NoBrokers)));
    // A store that cannot be read, and one that is behind.
    let mut bench = Bench::new(|_| {});
    bench.replace(TrailSettings::new(OWN, 1_000));
    bench.tell(TrailEvent::Restored(Some(vec![1])));
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
    bench.at(6_000);
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::Unread)));
    let mut bench = Bench::leader();
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.stored(publish, 2);
    bench.deliver(bytes);
    bench.deliver_claim(NodeId(3), 1, 0);
    bench.at(9_000);
    let gone = bench.subscription.unwrap();
    let message = crate::event::Delivered {
        subscription: gone,
        incarnation: Incarnation(99),
        sequence: 4,
        time_ms: 0,
        bytes: vec![1].into(),
    };
    bench.common(Event::Delivered(message));
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(ended(&mut bench), Some(Err(TrailRefusal::Unsaved)));
}

#[test]
fn a_node_that_alone_has_something_else_copies_the_others() {
    let mut bench = broken();
    bench.other_is(1, 2, Standing::Follows);
    bench.tell(TrailEvent::RepairAsked);
    assert_eq!(ended(&mut bench), Some(Ok(TrailRepair::Copies)));
    assert!(bench.node.view(bench.moment()).lacks_copy);
}

#[test]
fn a_node_goes_over_to_a_later_epoch_by_the_record_or_by_another_node() {
    let record = EpochRecord { trail: NEW, begun_by: (OTHER, 5) }.write();
    let by_record = |bench: &mut Bench| read(bench, record.clone());
    let by_node = |bench: &mut Bench| bench.other_is(2, 7, Standing::Follows);
    let ways: [&dyn Fn(&mut Bench); 2] = [&by_record, &by_node];
    for way in ways {
        // A leader that was apart goes on with its openings until it has the copy.
        let mut bench = Bench::leader();
        bench.told();
        way(&mut bench);
        assert!(bench.node.view(bench.moment()).lacks_copy);
        assert_eq!(bench.told(), ["Alone"]);
        bench.alarm(71);
        assert!(bench.sent().iter().all(|message| !matches!(message, TrailMessage::Alarm(_))));
    }
    // A new node does not look for the stream of the first one.
    let mut bench = Bench::new(|_| {});
    bench.replace(TrailSettings::new(OWN, 1_000));
    bench.tell(TrailEvent::Restored(None));
    read(&mut bench, EpochRecord { trail: NEW, begun_by: (OTHER, 5) }.write());
    let makes =
        bench.out.iter().any(|command| matches!(command, TrailCommand::Common(Command::MakeStream { .. })));
    assert!(!makes && bench.node.view(bench.moment()).lacks_copy);
}
