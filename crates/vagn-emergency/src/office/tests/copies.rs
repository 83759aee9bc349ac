//! Copies of a node's store, and what they leave to be handed in.

use vagn_cluster::Incarnation;
use vagn_cluster::trail::{DeedId, DeedTaken, DeskState, Duty, Mark, Taken, Term, TrailId};

use super::bench::{Bench, Handed};
use crate::desk::RequestKind;
use crate::record::draft::Draft;
use crate::record::incident::Incident;
use crate::record::progress::State;
use crate::record::rest::parts_of;

/// Has a leader take in these vehicles' alarms, and all of it applied by these nodes from `sequence` on. Returns the next.
fn raise(
    leader: &mut Bench,
    others: &mut [&mut Bench],
    ids: std::ops::Range<u128>,
    mut sequence: u64,
) -> u64 {
    for id in ids {
        assert_eq!(leader.take(&Handed::new(id, &format!("bus {id}"), 1)), Taken::Open);
    }
    while let Some(group) = leader.record(sequence) {
        leader.apply(&group, sequence);
        others.iter_mut().for_each(|other| other.apply(&group, sequence));
        sequence += 1;
    }
    sequence
}

#[test]
fn a_copy_is_the_store_as_it_was_at_its_mark_while_that_goes_on_and_the_next_groups_follow() {
    for max in [257, 4_096, 1 << 20] {
        let (mut giver, mut fresh) = (Bench::new(), Bench::new());
        giver.lead(1);
        let sequence = raise(&mut giver, &mut [], 1..30, 1);
        giver.act(Handed::new(3, "bus 3", 1).id(), RequestKind::Resolve).unwrap();
        let sequence = raise(&mut giver, &mut [], 30..31, sequence);
        let before = giver.all();
        let mut behind = None;
        let pieces = fresh.copy_of(&mut giver, max, |giver| {
            if behind.is_none() {
                assert_eq!(giver.take(&Handed::new(40, "bus 40", 1)), Taken::Open);
                let group = giver.record(sequence).unwrap();
                giver.apply(&group, sequence);
                behind = Some(group);
            }
        });
        assert!((pieces == 1) == (max > 1 << 19), "{pieces} pieces of {max}");
        assert_eq!(fresh.all(), before);
        assert_eq!(fresh.rest(9), (Vec::new(), true));
        fresh.apply(&behind.unwrap(), sequence);
        assert_eq!(fresh.all(), giver.all());
        // It can lead: what it knows of alarms is in the copy too.
        fresh.lead(2);
        assert_eq!(fresh.take(&Handed::new(7, "bus 7", 1)), Taken::Recorded);
        assert_eq!(fresh.take(&Handed::new(3, "bus 3", 2)), Taken::Over);
    }
}

#[test]
fn a_store_of_another_epoch_is_given_as_it_is_in_that_one_although_a_picture_of_before_is_held() {
    let (mut giver, mut first, mut second) = (Bench::new(), Bench::new(), Bench::new());
    giver.lead(1);
    let sequence = raise(&mut giver, &mut [], 1..5, 1);
    first.copy_of(&mut giver, 1 << 20, |_| ());
    // A person begins the trail anew from what is here.
    assert_eq!(giver.take(&Handed::new(9, "bus 9", 1)), Taken::Open);
    let group = giver.record(sequence).unwrap();
    let trail = TrailId { epoch: 2, incarnation: Incarnation(10) };
    let mark =
        Mark { trail, sequence: 9, entry_hash: 1, running_hash: 9, term: Term(2), settings_hash: None };
    giver.room.files.save(mark.write(), vec![group]);
    giver.go_on(sequence);
    second.copy_of(&mut giver, 1 << 20, |_| ());
    assert_eq!(second.store().applied().unwrap().mark, Some(mark.write()));
    assert_eq!(second.all(), giver.all());
}

#[test]
fn what_only_the_store_had_is_handed_in_again_and_nothing_accepted_or_decided_is_lost() {
    // Two stores of one trail, of which each goes on alone.
    let (mut one, mut other) = (Bench::new(), Bench::new());
    one.lead(1);
    let sequence = raise(&mut one, &mut [&mut other], 1..5, 1);
    other.lead(2);
    let accepted = Handed::new(1, "bus 1", 1).id();
    other.send(Duty::Full);
    other.out.retain(|(_, notice)| notice.incident.id == accepted);
    other.end(200, Duty::Full);
    other.out.clear();
    other.act(Handed::new(2, "bus 2", 1).id(), RequestKind::Resolve).unwrap();
    other.act(Handed::new(3, "bus 3", 1).id(), RequestKind::Comment).unwrap();
    raise(&mut other, &mut [], 50..52, sequence);
    let mut sequence = raise(&mut one, &mut [], 70..71, sequence);

    other.desk.stand_down();
    other.copy_of(&mut one, 4_096, |_| ());
    assert_eq!(other.all(), one.all());
    let mut handed = 0;
    loop {
        let (rest, is_end) = other.rest(2);
        for (deed, part) in &rest {
            let first = one.desk.deed(*deed, &part.clone()).unwrap();
            assert_eq!(first, DeedTaken::Open, "{}", String::from_utf8_lossy(part));
            assert_eq!(one.desk.deed(*deed, part), Ok(DeedTaken::Open), "a copy of it");
        }
        while let Some(group) = one.record(sequence) {
            one.apply(&group, sequence);
            other.apply(&group, sequence);
            sequence += 1;
        }
        for (deed, part) in rest {
            assert_eq!(one.desk.deed(deed, &part), Ok(DeedTaken::Recorded));
            other.drop_rest(deed);
            handed += 1;
        }
        if is_end {
            break;
        }
    }
    assert_eq!((handed, other.rest(9)), (5, (Vec::new(), true)));
    let of = |id: u128| one.stored(Handed::new(id, "bus", 1).id());
    assert!(of(1).unwrap().progress.accepted_ms.is_some());
    assert_eq!(of(2).unwrap().progress.state, State::Resolved);
    let told = one.store().trail_of(Handed::new(3, "bus 3", 1).id()).unwrap();
    assert_eq!(told.iter().filter(|entry| &*entry.by == "Anna").count(), 1, "{told:?}");
    for id in [50, 51] {
        assert_eq!(of(id).unwrap().progress.state, State::Open);
    }
    // They are called about, under the ids they had.
    let mut sent = one.send(Duty::Full);
    // A target has four slots, and two for vehicles that could not be looked up.
    while !one.out.is_empty() {
        one.end(200, Duty::Full);
        let next = one.out.iter();
        let next = next.map(|(_, it)| (it.target.to_string(), it.key.to_string(), it.message.event_type()));
        sent.extend(next);
    }
    let key = |id| Handed::new(id, "bus", 1).id().to_string();
    assert!([50, 51].iter().all(|id| sent.iter().any(|(_, sent, _)| *sent == key(*id))), "{sent:?}");
    assert!(
        sent.iter().all(|(_, sent, message)| *sent != key(1) || *message != "incident.opened"),
        "{sent:?}"
    );
    assert_eq!(one.all(), other.all());
}

#[test]
fn a_part_that_says_what_another_node_has_said_waits_for_the_same_group() {
    let mut leader = Bench::new();
    leader.lead(1);
    let incident = Incident::example(Handed::new(50, "bus 50", 1).id(), "bus 50");
    let part = parts_of(&Draft::of_record(incident), None).remove(0);
    assert_eq!(leader.desk.deed(DeedId(1), &part), Ok(DeedTaken::Open));
    assert_eq!(leader.desk.deed(DeedId(2), &part), Ok(DeedTaken::Open));
    let group = leader.record(2).unwrap();
    assert_eq!(leader.desk.deed(DeedId(2), &part), Ok(DeedTaken::Recorded));
    leader.apply(&group, 2);
    assert_eq!(leader.desk.deed(DeedId(3), &part), Ok(DeedTaken::Recorded));
}
