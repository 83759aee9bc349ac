//! Stores that have rolled back, or cannot be opened: what was answered is there, and the owed calls are made.

use std::fs;

use vagn_otp::testkit::until;

use super::setup::*;
use super::target::TestTarget;
use crate::record::journal::FILES;
use crate::record::progress::State;
use crate::record::store::{FILE, Store};
use crate::{RequestKind, Targets};

#[tokio::test]
async fn a_call_that_the_store_has_lost_is_made_and_the_loss_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    lane.ask(&help("bus 7")).await.unwrap();
    lane.stop().await;
    let older = fs::read(&path).unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    lane.ask(&help("bus 8")).await.unwrap();
    let first = lane.when(|all| all.len() == 2).await.pop().unwrap().id;
    lane.act(first, RequestKind::Acknowledge, "on our way").await;
    lane.stop().await;
    fs::write(&path, older).unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let all = lane.accepted(2).await;
    assert_eq!((&*all[0].vehicle_id, all[0].state), ("bus 8", State::Notified));
    assert_eq!((&*all[1].vehicle_id, all[1].state), ("bus 7", State::Acknowledged), "a person was told so");
    let detail = lane.handle.get(first, PATIENCE).await.unwrap().unwrap();
    assert!(detail.trail.iter().any(|change| change.action == "restored"), "{:?}", detail.trail);
    until(|| lane.readiness.report().warnings.get("incidents restored").cloned()).await;
    lane.stop().await;
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    assert_eq!(lane.all().await.len(), 2);
    lane.restarted("incidents", 0).await;
    assert!(!lane.readiness.report().warnings.contains_key("incidents restored"));
    lane.stop().await;
}

#[tokio::test]
async fn a_call_is_made_although_the_store_that_has_it_cannot_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    lane.ask(&help("bus 7")).await.unwrap();
    lane.ask(&help("bus 8")).await.unwrap();
    let over = lane.when(|all| all.len() == 2).await.remove(0).id;
    lane.act(over, RequestKind::Resolve, "a mistake").await;
    lane.stop().await;
    fs::write(dir.path().join(FILE), b"this is not a database at all").unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    until(|| (!target.heard().is_empty()).then_some(())).await;
    until(|| {
        lane.readiness.report().warnings.get("incident store").filter(|said| said.contains(FILE)).cloned()
    })
    .await;
    lane.stop().await;
    assert_eq!(
        target.heard().iter().map(|notice| notice.vehicle().to_owned()).collect::<Vec<_>>(),
        ["bus 7"]
    );
}

#[tokio::test]
async fn a_decision_in_the_store_stands_although_an_older_journal_was_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (path, aside) = (dir.path().join(FILE), dir.path().join("aside"));
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    lane.ask(&help("bus 7")).await.unwrap();
    lane.ask(&help("bus 8")).await.unwrap();
    let all = lane.when(|all| all.len() == 2).await;
    // As by a journal that fails from here on.
    let journal = FILES.map(|name| fs::read(dir.path().join(name)).unwrap());
    lane.act(all[0].id, RequestKind::Acknowledge, "on our way").await;
    lane.act(all[1].id, RequestKind::Resolve, "a mistake").await;
    lane.stop().await;
    FILES.iter().zip(journal).for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    fs::rename(&path, &aside).unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    lane.when(|all| all.len() == 2 && all.iter().all(|one| one.state == State::Open)).await;
    fs::rename(&aside, &path).unwrap();
    until(|| (lane.handle.lane.shelf.failure().is_none()).then_some(())).await;
    let all = lane.when(|all| all.iter().all(|one| one.recorded)).await;
    assert_eq!(all.iter().map(|one| one.state).collect::<Vec<_>>(), [State::Acknowledged, State::Resolved]);
    lane.stop().await;
    let store = Store::open(dir.path(), 4096, 10).unwrap();
    let live = store.live().unwrap();
    assert_eq!((live.len(), live[0].progress.state), (1, State::Acknowledged));
}
