//! Alarms: from a published batch to the notice.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vagn_wire::{Position, Report};

use super::setup::*;
use super::target::TestTarget;
use crate::Targets;
use crate::fix::Fix;
use crate::intake::known::KnownVehicle;
use crate::show::view::NoticeStatus;

#[tokio::test]
async fn the_flag_counts_whatever_becomes_of_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let mut setup = Setup::new(dir.path(), target.target(8));
    let last = Fix::at(1.0, 2.0, 0, false);
    let seen = KnownVehicle::known(last);
    setup.vehicles =
        fleet(move |vehicle_id| if vehicle_id == "known" { seen } else { KnownVehicle::STRANGER });
    let lane = setup.start().await;
    let future = Some(now_ms() + 7_200_000);
    let stale = Some(now_ms() - 86_400_000);
    lane.send(&[
        help("fine"),
        nowhere("known"),
        nowhere("unknown"),
        Report { event_time_ms: future, ..help("future") },
        Report { event_time_ms: stale, ..help("stale") },
        Report { emergency: false, ..help("no emergency") },
    ]);
    let not_a_number =
        b"\x84\xa2ID\xa3nan\xa3Lat\xcb\x7f\xf8\0\0\0\0\0\0\xa3Lon\x01\xa9Emergency\xc3".to_vec();
    let cut_off = b"\x84\xa2ID\xa3cut\xa9Emergency\xc3\xa3Lat\xcb".to_vec();
    lane.publish(vagn_flow::testing::SHEDDING, &[not_a_number, cut_off, b"noise".to_vec()], None);
    lane.accepted(7).await;
    let heard: HashMap<_, _> =
        target.heard().into_iter().map(|notice| (notice.vehicle().to_owned(), notice.body)).collect();
    assert_eq!(heard.len(), 7);
    for (vehicle_id, lat, trusted) in [
        ("fine", Some(59.33), true),
        ("known", Some(1.0), false),
        ("unknown", None, false),
        ("future", Some(59.33), false),
        ("stale", Some(59.33), true),
        ("nan", None, false),
        ("cut", None, false),
    ] {
        assert_eq!(heard[vehicle_id]["lat"].as_f64(), lat, "{vehicle_id}");
        assert_eq!(heard[vehicle_id]["position_trusted"], trusted, "{vehicle_id}");
    }
    assert!(heard["stale"]["age_s"].as_f64().unwrap() >= 86_400.0);
    lane.stop().await;
}

#[tokio::test]
async fn a_position_is_looked_up_once_the_fleet_can_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    let recovered = Arc::new(Mutex::new(false));
    let is_recovered = recovered.clone();
    let place = Fix::new(Position::new(1.0, 2.0).unwrap(), 3, false);
    let seen = KnownVehicle::known(place);
    setup.vehicles = fleet(move |_| if *is_recovered.lock() { seen } else { KnownVehicle::UNDECIDED });
    let lane = setup.start().await;
    lane.send(&[nowhere("bus 7")]);
    let all = lane.when(|all| all.len() == 1).await;
    assert_eq!((&all[0].position, all[0].notices.status), (&None, NoticeStatus::NoTarget));
    *recovered.lock() = true;
    let all = lane.when(|all| all[0].position.is_some()).await;
    assert!(!all[0].position.as_ref().unwrap().trusted);
    lane.stop().await;
}
