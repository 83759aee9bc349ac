//! Actors that crash or hang: they lose nothing and hold up nothing.

use std::collections::HashSet;
use std::time::Duration;

use vagn_otp::testkit::until;
use vagn_otp::{CallError, Fault};

use super::setup::*;
use super::target::{Reaction, TestTarget};
use crate::Targets;
use crate::fix::Fix;
use crate::intake::known::KnownVehicle;
use crate::show::view::{Filter, NoticeStatus};

#[tokio::test]
async fn panics_of_either_actor_lose_nothing() {
    const VEHICLES: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let names: Vec<_> = (0..VEHICLES).map(|number| format!("vehicle {number}")).collect();
    for (number, name) in names.iter().enumerate() {
        match number % 20 {
            5 => lane.fail("incidents", Fault::Panic),
            15 => lane.fail("notifier", Fault::Panic),
            _ => {}
        }
        lane.send(&[help(name)]);
        tokio::task::yield_now().await;
    }
    let all = lane.accepted(VEHICLES).await;
    assert_eq!(all.len(), VEHICLES);
    lane.restarted("incidents", 1).await;
    lane.restarted("notifier", 1).await;
    let notified: HashSet<_> = target.heard().iter().map(|notice| notice.vehicle().to_owned()).collect();
    assert_eq!(notified.len(), VEHICLES);
    lane.stop().await;
}

#[tokio::test]
async fn a_hung_incidents_actor_holds_up_no_notice() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let mut setup = Setup::new(dir.path(), target.target(8));
    let place = Fix::at(1.0, 2.0, 0, false);
    setup.vehicles = fleet(move |_| KnownVehicle::known(place));
    let lane = setup.start().await;
    assert!(lane.all().await.is_empty(), "it has begun, and is idle");
    lane.fail("incidents", Fault::Hang);
    lane.send(&[nowhere("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    assert_eq!(lane.processes().get("incidents").unwrap().restarts, 0, "the notice waited for the watchdog");
    assert_eq!(target.heard()[0].body["lat"], 1.0);
    lane.restarted("incidents", 1).await;
    let all = lane.accepted(1).await;
    assert!(all[0].notices.unrecorded);
    lane.stop().await;
}

#[tokio::test]
async fn a_crash_of_the_recorder_cuts_off_no_notice() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Silence).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    lane.fail("incidents", Fault::Panic);
    lane.send(&[drill("bus 8")]);
    lane.restarted("incidents", 1).await;
    let all = lane.all().await;
    let real = all.iter().find(|one| !one.drill).unwrap();
    assert_eq!(lane.processes().get("notifier").unwrap().restarts, 0);
    assert_eq!((real.notices.status, real.notices.attempts), (NoticeStatus::UnderWay, 0));
    assert_eq!(target.heard().len(), 1, "it was cut off and sent again");
    lane.stop().await;
}

#[tokio::test]
async fn a_hung_notifier_is_replaced_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.fail("notifier", Fault::Hang);
    lane.send(&[help("bus 7")]);
    lane.accepted(1).await;
    assert_eq!(lane.processes().get("notifier").unwrap().restarts, 1);
    lane.stop().await;
}

#[tokio::test]
async fn a_search_that_hangs_holds_up_no_record() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    assert!(lane.all().await.is_empty(), "it has begun, and is idle");
    lane.fail("incident-reader", Fault::Hang);
    let within = Duration::from_millis(300);
    let hangs = lane.handle.list(Filter::default(), 1, None, within).await;
    assert_eq!(hangs, Err(CallError::Timeout));
    assert!(lane.ask(&help("bus 7")).await.unwrap()[0].incident.is_some());
    assert_eq!(lane.processes().get("incident-reader").unwrap().restarts, 0, "it waited for the watchdog");
    lane.restarted("incident-reader", 1).await;
    assert_eq!(lane.all().await.len(), 1);
    lane.stop().await;
}
