//! Purging, copies and rests, driven by hand.

use super::super::*;
use super::bench::*;
use crate::command::Command;
use crate::event::{DiskFault, Event, PublishOutcome, RecordKey, RecordOutcome};
use crate::trail::message::{Standing, TrailMessage};

const TRAIL: TrailId = TrailId { epoch: 1, incarnation: BORN };

fn mark(sequence: u64) -> Mark {
    Mark { sequence, entry_hash: 7, running_hash: 8, term: Term(9), ..Mark::begin(TRAIL) }
}

/// A node whose store has the trail up to this entry.
fn restored(sequence: u64) -> Bench {
    let mut bench = Bench::new(|_| {});
    bench.replace(TrailSettings { room_bytes: 100_000, ..TrailSettings::new(OWN, 1_000) });
    bench.tell(TrailEvent::Restored(Some(mark(sequence).write())));
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
    bench
}

/// A node that lacks what the stream has no more, and knows another that has it.
fn lacking() -> Bench {
    let mut bench = restored(100);
    bench.other_is(1, 900, Standing::Follows);
    bench.figures(500, 900, 10_000);
    bench
}

fn ask(of: Option<Mark>, from: &[u8]) -> TrailMessage {
    TrailMessage::AskCopy { trail: TRAIL, least: 499, of, from: from.to_vec() }
}

fn piece(sequence: u64, from: &[u8], next: Option<&[u8]>) -> TrailMessage {
    let next = next.map(<[u8]>::to_vec);
    TrailMessage::Piece { mark: mark(sequence), from: from.to_vec(), bytes: vec![1], next }
}

/// Takes the pieces that are to be put aside.
fn aside(bench: &mut Bench) -> Vec<(u32, Option<u64>)> {
    let pieces = bench.out.drain(..).filter_map(|command| match command {
        TrailCommand::TakeCopy { piece, mark, .. } => Some((piece, mark.map(|mark| mark.sequence))),
        _ => None,
    });
    pieces.collect()
}

fn told(bench: &mut Bench) -> Vec<TrailHappened> {
    let told = bench.out.drain(..).filter_map(|command| match command {
        TrailCommand::Tell(happened) => Some(happened),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_leader_purges_what_all_stores_have_when_it_is_old() {
    let mut bench = Bench::new(|settings| settings.away_ms = 10_000);
    bench.lead();
    for second in 4..=100 {
        bench.at(second * 1_000);
        let (publish, _, bytes) = bench.published();
        bench.stored(publish, bench.last + 1);
        bench.deliver(bytes);
    }
    // Its store has all of it with the next group.
    bench.hand_over(A);
    let (publish, _, bytes) = bench.published();
    bench.stored(publish, bench.last + 1);
    bench.deliver(bytes);
    bench.at(103_000);
    bench.other_is(1, 80, Standing::Follows);
    bench.figures(1, 99, 5_000);
    assert!(bench.purged().is_empty(), "its own store has nothing on disk");
    bench.tell(TrailEvent::Saved(Ok(())));
    bench.at(105_000);
    bench.figures(1, 99, 5_000);
    assert_eq!(bench.purged(), [79]);
    bench.other_is(1, 60, Standing::Follows);
    bench.at(107_000);
    bench.figures(1, 99, 5_000);
    assert!(bench.purged().is_empty(), "not worth it");
    // It is away for too long.
    bench.at(118_000);
    bench.figures(1, 99, 5_000);
    assert_eq!(bench.purged(), [98]);
}

#[test]
fn who_finds_no_room_for_a_claim_purges() {
    let mut bench = restored(100);
    bench.figures(1, 100, 100_000);
    assert!(bench.purged().is_empty(), "another may lead");
    bench.at(3_000);
    let (publish, ..) = bench.published();
    bench.common(Event::Published(publish, PublishOutcome::Full));
    bench.figures(1, 100, 100_000);
    assert_eq!(bench.purged(), [74]);
}

#[test]
fn a_store_that_lacks_what_was_purged_takes_another_s_content_and_goes_on_behind_it() {
    let mut bench = lacking();
    assert_eq!(bench.sent(), [ask(None, b"")]);
    bench.receive(piece(898, b"", Some(b"a")));
    assert_eq!(aside(&mut bench), [(0, None)]);
    bench.receive(piece(898, b"a", None));
    assert_eq!(aside(&mut bench), [], "the one before is not put aside yet");
    bench.tell(TrailEvent::CopyTaken(Ok(())));
    assert_eq!(bench.sent(), [ask(Some(mark(898)), b"a")]);
    bench.receive(piece(899, b"a", None));
    bench.receive(piece(898, b"", Some(b"a")));
    assert_eq!(aside(&mut bench), [], "of another copy, and one that is there");
    bench.receive(piece(898, b"a", None));
    assert_eq!(aside(&mut bench), [(1, Some(898))]);
    // The disk is full for a moment.
    bench.tell(TrailEvent::CopyTaken(Err(DiskFault::Full)));
    assert!(bench.node.view(bench.moment()).lacks_copy);
    bench.at(1_000);
    assert_eq!(bench.sent(), [ask(Some(mark(898)), b"a")]);
    bench.receive(piece(898, b"a", None));
    assert_eq!(aside(&mut bench), [(1, Some(898))]);
    bench.tell(TrailEvent::CopyTaken(Ok(())));
    let view = bench.node.view(bench.moment());
    assert_eq!((view.received, view.lacks_copy, view.stopped), (898, false, None));
    let follows = bench
        .out
        .iter()
        .any(|command| matches!(command, TrailCommand::Common(Command::Subscribe { from: 898, .. })));
    assert!(follows, "the entry of the mark is compared: {:?}", bench.out);
}

#[test]
fn a_node_that_may_not_lead_does_not_claim_behind_a_copy_either() {
    let mut bench = Bench::new(|_| {});
    bench.replace(TrailSettings { may_lead: false, ..TrailSettings::new(OWN, 1_000) });
    bench.tell(TrailEvent::Restored(Some(mark(100).write())));
    bench.common(Event::RecordRead(RecordKey::Trail, RecordOutcome::Absent));
    bench.other_is(1, 900, Standing::Follows);
    bench.figures(500, 900, 10_000);
    bench.receive(piece(898, b"", None));
    bench.tell(TrailEvent::CopyTaken(Ok(())));
    assert_eq!(bench.node.view(bench.moment()).received, 898);
    bench.out.clear();
    bench.at(60_000);
    let claims = |command: &TrailCommand| matches!(command, TrailCommand::Common(Command::Publish { .. }));
    assert!(!bench.out.iter().any(claims), "{:?}", bench.out);
}

#[test]
fn a_copy_that_breaks_off_begins_anew() {
    let mut bench = lacking();
    assert_eq!(bench.sent(), [ask(None, b"")]);
    bench.receive(piece(898, b"", Some(b"a")));
    bench.tell(TrailEvent::CopyTaken(Ok(())));
    bench.sent();
    // A lost message is asked for again; a giver that is silent is left.
    bench.at(1_000);
    assert_eq!(bench.sent(), [ask(Some(mark(898)), b"a")]);
    bench.at(5_000);
    assert_eq!(told(&mut bench), [TrailHappened::CopyLost]);
    bench.at(6_000);
    bench.other_is(1, 900, Standing::Follows);
    assert_eq!(bench.sent(), [ask(None, b"")]);
    bench.receive(piece(899, b"", Some(b"a")));
    assert_eq!(aside(&mut bench), [(0, None)], "what was put aside before is thrown away");
    bench.tell(TrailEvent::CopyTaken(Ok(())));
    bench.receive(TrailMessage::NoCopy { of: mark(899) });
    assert_eq!(told(&mut bench), [TrailHappened::CopyLost]);
    // One behind which the stream does not go on.
    bench.at(7_000);
    bench.other_is(1, 900, Standing::Follows);
    assert_eq!(bench.sent(), [ask(None, b"")]);
    bench.receive(piece(498, b"", None));
    assert_eq!(told(&mut bench), [TrailHappened::CopyLost]);
}

#[test]
fn a_node_gives_its_store_while_it_is_sound() {
    let mut bench = restored(600);
    bench.receive(ask(None, b""));
    let read = bench.out.drain(..).find_map(|command| match command {
        TrailCommand::ReadCopy { read, of: None, least: 499, .. } => Some(read),
        _ => None,
    });
    let outcome = CopyOutcome::Piece { mark: mark(600), bytes: vec![1], next: Some(b"a".to_vec()) };
    bench.tell(TrailEvent::CopyRead { read: read.unwrap(), outcome });
    assert_eq!(bench.sent(), [piece(600, b"", Some(b"a"))]);
    let other =
        TrailMessage::AskCopy { trail: TrailId { epoch: 2, ..TRAIL }, least: 0, of: None, from: Vec::new() };
    bench.receive(other);
    let reads = |bench: &Bench| {
        bench.out.iter().filter(|command| matches!(command, TrailCommand::ReadCopy { .. })).count()
    };
    assert_eq!(reads(&bench), 0, "it is not of that trail");
    bench.figures(700, 900, 10_000);
    bench.receive(ask(None, b""));
    assert_eq!(reads(&bench), 0, "it lacks something itself");
}

#[test]
fn a_rest_is_handed_to_the_leader_until_the_trail_has_it() {
    let mut bench = Bench::new(|_| {});
    let (deed, bytes) = (DeedId(5), vec![9]);
    bench.tell(TrailEvent::RestRead { rest: vec![(deed, bytes.clone())], is_end: true });
    assert!(bench.node.view(bench.moment()).has_rest);
    assert_eq!(bench.sent(), [], "nobody leads");
    bench.deliver_claim(OTHER, 4, 0);
    let rest = TrailMessage::Rest { deed, bytes };
    assert_eq!(bench.sent(), std::slice::from_ref(&rest));
    bench.receive(TrailMessage::DeedUnavailable { deed });
    bench.at(2_000);
    assert_eq!(bench.sent(), [rest]);
    bench.receive(TrailMessage::DeedDone { deed });
    let dropped = bench.out.iter().any(|command| matches!(command, TrailCommand::DropRest { .. }));
    assert!(dropped && !bench.node.view(bench.moment()).has_rest);
}

#[test]
fn an_incident_out_of_a_rest_that_the_desk_joins_to_another_is_told_and_recorded() {
    let mut bench = Bench::leader();
    let deed = DeedId(5);
    bench.receive(TrailMessage::Rest { deed, bytes: LATE_INCIDENT.to_vec() });
    let joined = TrailHappened::Joined(AlarmId(70));
    let is_it = |command: &&TrailCommand| matches!(command, TrailCommand::Tell(told) if *told == joined);
    assert_eq!(bench.out.iter().filter(is_it).count(), 1);
    let (publish, ..) = bench.published();
    bench.stored(publish, 2);
    assert_eq!(bench.sent(), [TrailMessage::DeedDone { deed }]);
}
