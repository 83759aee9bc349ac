//! Drills: they reach the target for drills alone.

use std::collections::HashSet;

use super::setup::*;
use super::target::TestTarget;
use crate::Targets;
use crate::show::view::NoticeStatus;

#[tokio::test]
async fn a_drill_without_a_target_for_drills_is_recorded_and_never_sent() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let answer = lane.ask(&drill("bus 7"));
    assert!(answer.await.unwrap()[0].incident.is_some(), "a drill is acknowledged like the real thing");
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(1).await;
    let seen: Vec<_> = all.iter().map(|one| (one.drill, one.notices.status)).collect();
    assert_eq!(seen, [(false, NoticeStatus::Accepted), (true, NoticeStatus::NoTarget)]);
    assert_eq!(target.heard().len(), 1);
    assert_eq!(target.heard()[0].header("idempotency-key").unwrap(), all[0].id.to_string());
    lane.stop().await;
}

#[tokio::test]
async fn a_drill_goes_the_whole_way_to_its_own_target_and_a_real_alarm_to_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let real = TestTarget::accepting().await;
    let training = TestTarget::accepting().await;
    let targets = Targets { drill: Some(training.named("drill", 8)), ..real.target(8) };
    let lane = Setup::new(dir.path(), targets).start().await;
    lane.send(&[drill("bus 7"), help("bus 7"), drill("bus 8")]);
    let all = lane.accepted(3).await;
    assert_eq!(all.len(), 3, "a drill and a real alarm of one vehicle are two incidents");
    assert_eq!(
        vehicles_and_drills(&training),
        HashSet::from([("bus 7".into(), true), ("bus 8".into(), true)])
    );
    assert_eq!(vehicles_and_drills(&real), HashSet::from([("bus 7".into(), false)]));
    assert!(lane.handle.is_calling_for_help("bus 7") && !lane.handle.is_calling_for_help("bus 8"));
    lane.stop().await;
}

fn vehicles_and_drills(target: &TestTarget) -> HashSet<(String, bool)> {
    target.heard().iter().map(|notice| (notice.vehicle().to_owned(), notice.body["test"] == true)).collect()
}
