//! Vehicles that a node cannot look up, since it does not have their shards: an owner is asked before limits for strangers hold.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::bench::{Bench, Handed};
use crate::id::IncidentId;
use crate::intake::no_room::NoRoom;
use crate::office::asked::{ASKED_MAX, ASKED_WITHIN, About, Owners, answered};
use crate::record::standing::Standing;
use crate::tests::setup::{help, offer};
use vagn_cluster::trail::{Duty, Taken};
use vagn_flow::metrics::ReasonLabel;

/// Owners that know who calls itself so.
struct ByName;

fn standing_of(vehicle_id: &str) -> Standing {
    match () {
        () if vehicle_id.contains("known") => Standing::Known,
        () if vehicle_id.contains("silent") => Standing::Undecided,
        () => Standing::Stranger,
    }
}

impl Owners for ByName {
    fn standings(&self, vehicle_ids: Vec<Box<str>>, _: Duration) -> BoxFuture<'static, Vec<Standing>> {
        async move { vehicle_ids.iter().map(|id| standing_of(id)).collect() }.boxed()
    }
}

/// A node without a driver, which has no shard of vehicles whose ids begin with `elsewhere`.
fn node() -> Bench {
    let node = Bench::new();
    node.room.ask(Arc::new(ByName));
    node
}

fn call(node: &Bench, vehicle_id: &str) {
    offer(&node.room.lane, &[help(vehicle_id)]);
    node.room.door.attend(&node.room);
}

/// The task asks about all that waits.
fn ask(node: &Bench) -> usize {
    let about = || node.room.door.question();
    std::iter::from_fn(about).map(|about| answer(node, about)).sum()
}

fn answer(node: &Bench, about: About) -> usize {
    let ids: Vec<Box<str>> = match &about {
        About::Alarms(ids) => ids.clone(),
        About::Open(open) => open.iter().map(|(_, id)| id.clone()).collect(),
    };
    let standings: Vec<_> = ids.iter().map(|id| standing_of(id)).collect();
    answered(&node.room, about, standings);
    ids.len()
}

/// Time goes by, until the door calls by itself.
fn wait(node: &Bench) {
    node.clock.advance(ASKED_WITHIN);
    node.room.door.look(&node.room);
    node.room.door.show(&node.room);
}

fn refused(node: &Bench, reason: NoRoom) -> u64 {
    let reason = ReasonLabel { reason: reason.word() };
    node.room.metrics.emergencies_refused.get_or_create(&reason).get()
}

/// Invented vehicles of shards that are elsewhere call at the node, until it refuses them. Returns how many it has called about.
fn flood(node: &Bench) -> usize {
    for number in 0..120 {
        call(node, &format!("elsewhere {number}"));
        assert_eq!(ask(node), 1);
        wait(node);
    }
    node.room.calls.count()
}

#[test]
fn a_known_vehicle_of_another_nodes_shard_is_not_refused_for_strangers_and_these_are_counted_as_such() {
    let node = node();
    assert_eq!(flood(&node), 50);
    for number in 0..120 {
        call(&node, &format!("elsewhere known {number}"));
        assert_eq!(ask(&node), 1);
        wait(&node);
    }
    assert_eq!(node.room.calls.count(), 50 + 120);
    assert_eq!(refused(&node, NoRoom::Strangers), 70);
}

#[test]
fn where_no_owner_answers_an_undecided_vehicle_has_half_of_what_is_kept_for_known_ones_beside_strangers() {
    let node = node();
    flood(&node);
    for number in 0..60 {
        call(&node, &format!("elsewhere silent {number}"));
        // Half of them have an answer that nobody knows, the others none in time.
        (number % 2 == 0).then(|| ask(&node));
        wait(&node);
    }
    // The calls of a door are not counted with the others for what all may have.
    assert_eq!(node.room.calls.count(), 75);
    assert_eq!(node.room.door.count(), 75);
    call(&node, "known here");
    assert_eq!(node.room.door.count(), 76);
}

#[test]
fn alarms_of_one_vehicle_stay_in_order_and_a_full_room_holds_up_none() {
    let node = node();
    call(&node, "elsewhere known");
    let Some(about) = node.room.door.question() else { panic!("it is asked about") };
    call(&node, "elsewhere known");
    assert_eq!((node.room.door.question(), node.room.door.count()), (None, 2));
    answer(&node, about);
    assert_eq!(node.room.door.count(), 1, "they are one alarm");
    (0..ASKED_MAX).for_each(|number| call(&node, &format!("elsewhere known {number}")));
    assert_eq!(node.room.calls.count(), 0);
    call(&node, "elsewhere silent");
    assert_eq!(node.room.door.count(), 1 + ASKED_MAX + 1);
    assert_eq!(ask(&node), ASKED_MAX, "the last one went on at once");
}

#[test]
fn a_leader_asks_owners_about_undecided_vehicles_and_counts_them_as_what_they_are() {
    let mut leader = node();
    leader.lead(1);
    let handed = ["elsewhere known", "elsewhere stranger", "elsewhere silent"]
        .map(|id| Handed::new(id.len() as u128, id, 1));
    for alarm in &handed {
        assert_eq!(leader.take(alarm), Taken::Open);
    }
    let group = leader.record(1).unwrap();
    leader.apply(&group, 1);
    leader.room.look_up_vehicles();
    assert_eq!(ask(&leader), 3);
    leader.send(Duty::Full);
    let standing = |id: IncidentId| leader.desk.standing_of(id);
    assert_eq!(
        handed.map(|alarm| standing(alarm.id())),
        [Some(Standing::Known), Some(Standing::Stranger), Some(Standing::Undecided)]
    );
}
