//! Incidents that another one took in: their ids lead to that one, at every node.

use std::time::Duration;

use vagn_cluster::trail::{AlarmId, DeedId, DeedTaken, DeskState, Duty, Taken};
use vagn_flow::receipt::{Answer, Receipt};
use vagn_wire::Fate;

use super::bench::{Bench, Handed, NOW_MS};
use crate::desk::RequestKind;
use crate::id::IncidentId;
use crate::intake::ack::PendingAck;
use crate::office::deed_form::DeedRefusal;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::{Decision, State};
use crate::record::rest::parts_of;
use crate::search::{find_record, look_up};
use crate::trail::{Event, EventKind, SubjectId};

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
    room.grants.grant(id(2), None, vec![ack], &room);
    room.grants.look(&room);
    assert_eq!(heard(&mut answer), None);
    node.apply(&group, 1);
    assert_eq!(heard(&mut answer), Some(id(1).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(2), None, vec![ack], &room);
    assert_eq!(heard(&mut answer), Some(id(1).to_string()));
}

#[test]
fn a_disk_that_hangs_keeps_no_sender_waiting_and_neither_does_a_stop() {
    let node = Bench::new();
    let room = &node.room;
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(2), None, vec![ack], room);
    node.clock.advance(Duration::from_millis(500));
    room.grants.look(room);
    assert_eq!(heard(&mut answer), Some(id(2).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(3), None, vec![ack], room);
    room.grants.end(room);
    assert_eq!(heard(&mut answer), Some(id(3).to_string()));
    let (ack, mut answer) = sender(&node);
    room.grants.grant(id(4), None, vec![ack], room);
    assert_eq!(heard(&mut answer), Some(id(4).to_string()));
}

#[test]
fn the_sender_of_a_sealed_call_hears_from_the_door_at_which_it_counts_and_from_no_other() {
    let mut leader = Bench::new();
    leader.lead(1);
    let doors = [Handed::sealed(1, "bus 1", 1, 10), Handed::sealed(2, "bus 1", 2, 20)];
    assert_eq!(doors.each_ref().map(|alarm| leader.take(alarm)), [Taken::Open, Taken::Joined]);
    let group = leader.record(1).unwrap();
    for (alarm, hears) in doors.iter().zip([true, false]) {
        let mut node = Bench::new();
        node.apply(&group, 1);
        let (ack, mut answer) = sender(&node);
        node.room.grants.grant(alarm.id(), alarm.alarm.form.sealed_sitting(), vec![ack], &node.room);
        let told = answer.try_recv().unwrap()[0].incident.clone();
        assert_eq!(told.is_some(), hears, "the fate of its position says the rest");
    }
}

/// An incident of "bus 7" that a single machine had, opened so long before this test.
fn old(number: u128, before: Duration) -> Incident {
    let mut incident = Incident::example(id(number), "bus 7");
    let opened_ms = NOW_MS - before.as_millis() as i64;
    (incident.alarm.opened_ms, incident.alarm.updated_ms) = (opened_ms, opened_ms);
    incident
}

fn acknowledged(mut incident: Incident) -> Incident {
    incident.acknowledge(Decision { by: "Anna".into(), at_ms: NOW_MS, note: "car 4".into() });
    incident
}

/// The part of a rest with this incident, on whose trail a person has said so.
fn part(incident: &Incident, said: &str) -> Vec<u8> {
    let subject = SubjectId::Incident(incident.id);
    let (by, reason) = ("Anna".into(), said.into());
    let event = Event { at_ms: NOW_MS, subject, action: EventKind::Commented, by, reason };
    let draft = Draft { events: vec![event], ..Draft::of_record(incident.clone()) };
    let [part] = parts_of(&draft, None).try_into().unwrap();
    part
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn an_incident_that_comes_late_out_of_another_store_is_joined_to_the_one_that_its_vehicle_has_called_for() {
    let (mut leader, mut other) = (Bench::new(), Bench::new());
    leader.lead(1);
    assert_eq!(leader.take(&Handed::new(5, "bus 7", 1)), Taken::Open);
    let sequence = record(&mut leader, &mut [&mut other], 1);
    let late = acknowledged(old(1, MINUTE));
    let deeds = [(DeedId(91), part(&late, "one")), (DeedId(92), part(&late, "two"))];
    let taken = deeds.each_ref().map(|(deed, part)| leader.desk.deed(*deed, part));
    assert_eq!(taken, [Ok(DeedTaken::Joined(AlarmId(1))), Ok(DeedTaken::Open)], "it is counted once");
    let sequence = record(&mut leader, &mut [&mut other], sequence);
    for (deed, part) in &deeds {
        assert_eq!(leader.desk.deed(*deed, part), Ok(DeedTaken::Recorded));
    }
    for node in [&leader, &other] {
        assert_eq!(node.store().live().unwrap().len(), 1);
        // What a person has decided about it counts: without the change it would have taken the call in.
        assert_eq!(found(node, 1), Some((id(5), State::Acknowledged, Some(id(1)))));
        let trail = node.store().trail_of(id(5)).unwrap();
        let told = |action| trail.iter().filter(move |entry| entry.action == action);
        assert!(told(EventKind::Joined).all(|entry| entry.reason.contains(&id(1).to_string())));
        let comments: Vec<_> = told(EventKind::Commented).map(|entry| &*entry.reason).collect();
        assert_eq!((told(EventKind::Joined).count(), &comments[..]), (1, &["one", "two"][..]));
    }
    assert_eq!(leader.stored(id(5)).unwrap().alarm.reports, 2);
    // The target has one opening.
    let sent = leader.send(Duty::Full);
    assert_eq!(sent, [("county".into(), id(5).to_string(), "incident.opened")]);
    // Once it is over, nothing of the other opens anything.
    leader.act(id(1), RequestKind::Resolve).unwrap();
    record(&mut leader, &mut [&mut other], sequence);
    assert_eq!(leader.desk.deed(DeedId(93), &part(&late, "three")), Ok(DeedTaken::Recorded));
}

#[test]
fn an_incident_that_was_over_for_its_vehicle_when_it_called_again_stays_one_of_its_own() {
    let quiet = Bench::new().room.lane.rules.quiet_max + MINUTE;
    let mut leader = Bench::new();
    leader.lead(1);
    assert_eq!(leader.take(&Handed::new(5, "bus 7", 1)), Taken::Open);
    let seen_to = acknowledged(old(1, quiet));
    assert_eq!(leader.desk.deed(DeedId(91), &part(&seen_to, "one")), Ok(DeedTaken::Open));
    record(&mut leader, &mut [], 1);
    assert_eq!(leader.store().live().unwrap().len(), 2);
    assert_eq!(found(&leader, 1), Some((id(1), State::Acknowledged, None)));

    // Also where both come out of another store, in whatever order; what nobody has seen to goes on however long it is quiet.
    for (first, second, open) in [
        (acknowledged(old(1, quiet)), old(2, Duration::ZERO), 2),
        (old(2, Duration::ZERO), acknowledged(old(1, quiet)), 2),
        (old(2, Duration::ZERO), old(1, quiet), 1),
    ] {
        let mut leader = Bench::new();
        leader.lead(1);
        leader.desk.deed(DeedId(91), &part(&first, "one")).unwrap();
        leader.desk.deed(DeedId(92), &part(&second, "two")).unwrap();
        record(&mut leader, &mut [], 1);
        assert_eq!(leader.store().live().unwrap().len(), open);
    }
}
