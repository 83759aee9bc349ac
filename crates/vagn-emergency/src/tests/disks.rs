//! Disks and stores that are slow, broken or missing.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use redb::backends::InMemoryBackend;
use vagn_flow::clock::Believed;
use vagn_flow::clock::SystemClock;
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::trust::{Trust, TrustParts};
use vagn_otp::CallError;
use vagn_otp::testkit::until;

use super::gated::Gated;
use super::setup::*;
use super::target::TestTarget;
use crate::id::IncidentId;
use crate::record::incident::Incident;
use crate::record::store::Store;
use crate::show::view::Filter;
use crate::{Request, RequestKind, Targets};

#[tokio::test]
async fn a_store_that_takes_too_long_to_open_holds_up_no_notice() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let gate = Gated::closed();
    let mut setup = Setup::new(dir.path(), target.target(8)).behind(&gate);
    setup.recall_within = Duration::from_millis(5);
    let lane = setup.start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    gate.open();
    lane.accepted(1).await;
    lane.stop().await;
}

#[tokio::test]
async fn a_record_that_makes_no_sense_keeps_no_notice_from_its_target() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20, 100).unwrap();
    let (nonsense, owed) = (IncidentId::from_u128(1), IncidentId::from_u128(2));
    store.save(&[Incident::example(owed, "bus 7").into()]).unwrap();
    store.save_nonsense(nonsense);
    drop(store);
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.accepted(1).await;
    assert!(lane.handle.get(nonsense, PATIENCE).await.unwrap().is_none());
    let page = lane.handle.list(Filter::default(), 10, None, PATIENCE).await.unwrap();
    assert_eq!((page.complete, page.incidents.len(), page.incidents[0].id), (true, 1, owed));
    assert_eq!(lane.handle.lane.shelf.failure(), None);
    until(|| lane.readiness.report().warnings.contains_key("incident records").then_some(())).await;
    lane.stop().await;
}

#[tokio::test]
async fn a_notice_does_not_wait_for_a_slow_disk_but_the_stored_ack_does() {
    let target = TestTarget::accepting().await;
    let disk = Gated::default();
    let (storage, dir) = (disk.clone(), tempfile::tempdir().unwrap());
    let mut setup = Setup::new(dir.path(), target.target(8));
    setup.opener = Box::new(move |_| Store::on(storage.clone(), 100));
    let lane = setup.start().await;
    let first = lane.ask(&help("first")).await.unwrap();
    assert!(first[0].incident.is_some());
    lane.accepted(1).await;
    disk.close();
    let mut answer = lane.ask(&help("second"));
    lane.send(&[help("third")]);
    until(|| (target.heard().len() == 3).then_some(())).await;
    assert!(answer.try_recv().is_err(), "acknowledged before it was on disk");
    disk.open();
    let answer = answer.await.unwrap();
    let all = lane.accepted(3).await;
    let second = all.iter().find(|one| &*one.vehicle_id == "second").unwrap();
    assert_eq!(answer[0].incident, Some(second.id.to_string()));
    assert!(all.iter().take(2).all(|one| one.notices.unrecorded), "{all:?}");
    lane.stop().await;
}

#[tokio::test]
async fn notices_go_out_without_a_store_and_are_recorded_when_there_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("not yet");
    let target = TestTarget::accepting().await;
    let lane = Setup::new(&gone, target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 1).then_some(())).await;
    let page = lane.handle.list(Filter::default(), 10, None, PATIENCE).await.unwrap();
    assert!(!page.complete && page.incidents[0].notices.unrecorded);
    let id = page.incidents[0].id;
    assert!(lane.handle.get(id, PATIENCE).await.unwrap().is_some_and(|found| !found.incident.recorded));
    // It may have ended, and be in the store.
    let unknown = IncidentId::from_u128(7);
    assert_eq!(lane.handle.get(unknown, PATIENCE).await, Err(CallError::Down));
    let request = Request { action: RequestKind::Comment, by: "Anna".into(), note: "there?".into() };
    assert_eq!(lane.handle.act(unknown, request, PATIENCE).await, Err(CallError::Down.into()));
    assert!(lane.handle.lane.shelf.failure().is_some());
    assert!(lane.readiness.report().warnings.contains_key("incident store"));
    fs::create_dir(&gone).unwrap();
    until(|| (lane.handle.lane.desk.lock().overview().unrecorded == 0).then_some(())).await;
    assert_eq!(lane.handle.lane.shelf.failure(), None);
    assert_eq!(lane.handle.get(unknown, PATIENCE).await, Ok(None));
    lane.stop().await;
    let store = Store::open(&gone, 4096, 10).unwrap();
    assert!(store.live().unwrap()[0].progress.accepted_ms.is_some());
}

#[tokio::test]
async fn ended_incidents_do_not_go_while_the_clock_is_doubted() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    setup.opener = Box::new(|_| Store::on(InMemoryBackend::new(), 1));
    setup.trust = Trust::new(TrustParts {
        clock: Arc::new(SystemClock::new()),
        // Later than any time that the clock of this machine has.
        marked: Some(Believed { now_ms: i64::MAX / 4, since_ms: 0 }),
        partitions: 0,
        forget_after: Duration::from_secs(3600),
        kernel: false,
        readiness: Arc::default(),
        registry: MetricRegistry::new(),
    });
    let lane = setup.start().await;
    for vehicle_id in ["bus 7", "bus 8"] {
        lane.ask(&help(vehicle_id)).await.unwrap();
        let newest = lane.all().await.remove(0).id;
        lane.act(newest, RequestKind::Resolve, "a mistake").await;
    }
    assert_eq!(lane.all().await.len(), 2);
    lane.stop().await;
}
