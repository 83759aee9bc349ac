//! Floods: many copies of one alarm, and alarms past the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use vagn_flow::clock::ManualClock;
use vagn_wire::Fate;

use super::setup::*;
use super::target::TestTarget;
use crate::fix::Fix;
use crate::incidents::Incidents;
use crate::intake::known::KnownVehicle;
use crate::metrics::OutcomeLabel;
use crate::record::standing::Standing;
use crate::{State, Targets};

#[tokio::test]
async fn a_hundred_copies_are_one_incident_and_one_notice() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    for _ in 0..10 {
        lane.send(&[help("bus 7"); 10]);
    }
    lane.when(|all| all.iter().map(|incident| incident.reports).sum::<u64>() == 100).await;
    let all = lane.accepted(1).await;
    assert_eq!((all.len(), all[0].state, all[0].notices.attempts), (1, State::Notified, 1));
    let heard = target.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].header("idempotency-key"), Some(all[0].id.to_string().as_str()));
    lane.stop().await;
}

#[tokio::test]
async fn past_the_limit_an_alarm_is_refused_counted_and_reported_to_the_operator() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    setup.open_max = 4; // Half of it for vehicles that may be strangers.
    let lane = setup.start().await;
    lane.send(&[help("one"), help("two")]);
    lane.when(|all| all.len() == 2).await;
    let answer = lane.ask(&help("three")).await.unwrap();
    assert_eq!((answer[0].fate, &answer[0].incident), (Fate::Failed, &None));
    let known = lane.ask(&help("one")).await.unwrap();
    assert!(known[0].incident.is_some(), "an open incident goes on");
    let refused = &OutcomeLabel { outcome: "refused" };
    assert_eq!(lane.metrics.emergencies.get_or_create(refused).get(), 1);
    let warnings = lane.readiness.report().warnings;
    assert!(
        warnings.contains_key("refused emergencies") && warnings.contains_key("emergency target"),
        "{warnings:?}"
    );
    lane.stop().await;
}

#[test]
fn a_known_vehicle_is_on_disk_before_a_stranger_of_a_flood_is_let_in() {
    let vehicles = fleet(|vehicle_id| match vehicle_id {
        "bus" => KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)),
        _ => KnownVehicle::STRANGER,
    });
    let lane = test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), vehicles, 10_000);
    let invented: Vec<_> = (0..250).map(|number| format!("invented {number}")).collect();
    offer(&lane, &invented.iter().map(|name| help(name)).collect::<Vec<_>>());
    offer(&lane, &[help("bus")]);
    Incidents::new(lane.clone()).attend_known();
    {
        let desk = lane.desk.lock();
        let all: Vec<_> = desk.newest_first(None).collect();
        assert_eq!(all.iter().map(|incident| &*incident.vehicle_id).collect::<Vec<_>>(), ["bus"]);
        assert!(desk.is_recorded(all[0].id));
    }
    lane.admit_others();
    let open = lane.desk.lock().overview().open;
    assert!((2..=65).contains(&open) && lane.inbox.has_some(), "{open} are open: a few at a time");
}

#[test]
fn undecided_vehicles_are_looked_up_again_once_the_fleet_is_there() {
    let is_read = Arc::new(AtomicBool::new(false));
    let read = is_read.clone();
    let vehicles = fleet(move |vehicle_id| match (read.load(Ordering::Relaxed), vehicle_id) {
        (false, _) => KnownVehicle::UNDECIDED,
        (true, "bus") => KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)),
        (true, _) => KnownVehicle::STRANGER,
    });
    let lane = test_lane_in(Arc::new(ManualClock::at(1_700_000_000_000)), vehicles, 10_000);
    let names: Vec<_> = (0..600).map(|number| format!("invented {number}")).chain(["bus".into()]).collect();
    offer(&lane, &names.iter().map(|name| help(name)).collect::<Vec<_>>());
    while lane.inbox.has_some() {
        lane.admit_others();
    }
    let count = |standing| {
        let desk = lane.desk.lock();
        desk.newest_first(None).filter(|incident| incident.standing == standing).count()
    };
    lane.decide();
    assert_eq!(count(Standing::Undecided), 601, "the fleet is not read");
    is_read.store(true, Ordering::Relaxed);
    lane.decide();
    assert_eq!([Standing::Known, Standing::Undecided, Standing::Stranger].map(count), [1, 0, 600]);
    lane.store_down();
    assert_eq!(&*lane.next_notice().unwrap().incident.vehicle_id, "bus", "it goes first");
}
