//! Incidents that another one took in: their ids lead to that one, at every node.

use std::time::Duration;

use vagn_cluster::trail::{DeedTaken, Duty, Taken};
use vagn_flow::receipt::{Answer, Receipt};
use vagn_wire::Fate;

use super::bench::{Bench, Handed};
use crate::desk::RequestKind;
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::office::deed_form::DeedRefusal;
use crate::record::progress::State;
use crate::search::{find_record, look_up};

fn id(number: u128) -> IncidentId {
    IncidentId::from_u128(number)
}

/// Incident to which an id leads at a node, its state, and the id that was asked for where it is another.
fn found(node: &Bench, number: u128) -> Option<(IncidentId, State, Option<IncidentId>)> {
    let detail = look_up(&node.room.lane, id(number)).unwrap();
    let record = find_record(&node.room.lane, id(number)).unwrap();
    assert_eq!(record.map(|incident| incident.id), detail.as_ref().map(|detail| detail.incident.id));
    detail.map(|detail| (detail.incident.id, detail.incident.state, detail.joined_id))
}

/// Has a leader record all that it has, and these nodes apply it, from `sequence` on. Returns the next.
fn record(leader: &mut Bench, others: &mut [&mut Bench], mut sequence: u64) -> u64 {
    while let Some(group) = leader.record(sequence) {
        leader.apply(&group, sequence);
        others.iter_mut().for_each(|other| other.apply(&group, sequence));
        sequence += 1;
    }
    sequence
}

/// A leader at whose desk two doors have called about one vehicle: the second is joined to the first.
fn joined() -> Bench {
    let mut leader = Bench::new();
    leader.lead(1);
    assert_eq!(leader.take(&Handed::new(1, "bus 7", 1).called(b"")), Taken::Open);
    assert_eq!(leader.take(&Handed::new(2, "bus 7", 2).called(b"")), Taken::Joined);
    leader
}

#[test]
fn the_id_of_an_incident_that_was_taken_in_leads_to_the_one_that_goes_on_at_every_node() {
    let (mut leader, mut other, mut copier) = (joined(), Bench::new(), Bench::new());
    let sequence = record(&mut leader, &mut [&mut other], 1);
    copier.copy_of(&mut leader, 4_096, |_| ());
    other = Bench::in_dir(other.end_run(), None);
    for node in [&leader, &other, &copier] {
        assert_eq!(found(node, 1), Some((id(1), State::Open, None)));
        assert_eq!(found(node, 2), Some((id(1), State::Open, Some(id(2)))));
        assert_eq!(found(node, 9), None);
    }
    // What a person does is done to it, also before the asker knows that it was taken in.
    assert_eq!(leader.act(id(2), RequestKind::Acknowledge), Ok(DeedTaken::Open));
    let sequence = record(&mut leader, &mut [&mut other], sequence);
    assert_eq!(found(&other, 2), Some((id(1), State::Acknowledged, Some(id(2)))));
    assert!(matches!(leader.act(id(2), RequestKind::Acknowledge), Err(DeedRefusal::Late { .. })));
    assert_eq!(leader.act(id(9), RequestKind::Acknowledge), Err(DeedRefusal::NotFound));
    leader.act(id(1), RequestKind::Resolve).unwrap();
    record(&mut leader, &mut [&mut other], sequence);
    assert_eq!(found(&other, 2), Some((id(1), State::Resolved, Some(id(2)))));
    assert_eq!(leader.send(Duty::Full), []);
}

/// A sender that waits for its alarm, and what it hears.
fn sender(node: &Bench) -> (PendingAck, Answer) {
    let (receipt, answer) = Receipt::new(1);
    receipt.answer_for_reports(1).settle([(0, Fate::Stored)]);
    let now = node.room.lane.clock.monotonic();
    (PendingAck::new(receipt.answer_for_alarm(0), now), answer)
}

fn heard(answer: &mut Answer) -> Option<String> {
    answer.try_recv().ok().map(|fates| fates[0].incident.clone().expect("it is stored"))
}

#[test]
fn a_sender_hears_of_the_incident_that_took_its_alarm_in() {
    let (mut leader, mut node) = (joined(), Bench::new());
    let group = leader.record(1).unwrap();
    let room = node.room.clone();
    // The leader says that it is recorded before this node has the group.
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(2), vec![ack], &room);
    room.grants.look(&room);
    assert_eq!(heard(&mut answer), None);
    node.apply(&group, 1);
    assert_eq!(heard(&mut answer), Some(id(1).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(2), vec![ack], &room);
    assert_eq!(heard(&mut answer), Some(id(1).to_string()));
}

#[test]
fn a_disk_that_hangs_keeps_no_sender_waiting_and_neither_does_a_stop() {
    let node = Bench::new();
    let room = &node.room;
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(2), vec![ack], room);
    node.clock.advance(Duration::from_millis(500));
    room.grants.look(room);
    assert_eq!(heard(&mut answer), Some(id(2).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(3), vec![ack], room);
    room.grants.end(room);
    assert_eq!(heard(&mut answer), Some(id(3).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(4), vec![ack], room);
    assert_eq!(heard(&mut answer), Some(id(4).to_string()));
}
