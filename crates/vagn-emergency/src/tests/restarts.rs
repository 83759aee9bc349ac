//! Restarts of the service: what was owed is still owed.

use std::collections::HashSet;
use std::time::Duration;

use vagn_otp::testkit::until;

use super::gated::Gated;
use super::setup::*;
use super::target::TestTarget;

#[tokio::test]
async fn a_restart_goes_on_with_what_no_target_accepted_oldest_first() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = TestTarget::answering(500).await;
    let lane = Setup::new(dir.path(), refusing.target(8)).start().await;
    let names: Vec<_> = (0..20).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
        lane.when(|all| all.iter().any(|one| *one.vehicle_id == **name)).await;
    }
    let before = lane.when(|all| all.iter().all(|one| one.notices.attempts > 0)).await;
    lane.stop().await;
    let willing = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), willing.target(1)).start().await;
    let after = lane.accepted(names.len()).await;
    assert_eq!(
        before.iter().map(|one| one.id).collect::<Vec<_>>(),
        after.iter().map(|one| one.id).collect::<Vec<_>>()
    );
    assert_eq!(willing.heard().iter().map(|notice| notice.vehicle().to_owned()).collect::<Vec<_>>(), names);
    assert!(willing.heard().iter().all(|notice| notice.body["attempt"].as_u64().unwrap() > 1));
    lane.stop().await;
}

#[tokio::test]
async fn a_repeat_during_a_slow_restart_is_no_second_incident() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = TestTarget::answering(500).await;
    let lane = Setup::new(dir.path(), refusing.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    lane.when(|all| all.len() == 1 && all[0].notices.attempts > 0).await;
    lane.stop().await;
    let willing = TestTarget::accepting().await;
    let gate = Gated::closed();
    let lane = Setup::new(dir.path(), willing.target(8)).behind(&gate).start().await;
    lane.send(&[help("bus 7")]);
    let shared = lane.handle.lane.clone();
    // Longer than a record may take.
    let late = |arrived| shared.clock.monotonic() > arrived + Duration::from_millis(150);
    until(|| shared.inbox.others_since().filter(|arrived| late(*arrived))).await;
    gate.open();
    let all = lane.accepted(1).await;
    assert_eq!(all.len(), 1);
    let keys = |target: &TestTarget| -> HashSet<String> {
        target.heard().iter().map(|notice| notice.header("idempotency-key").unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&willing), keys(&refusing));
    lane.stop().await;
}
