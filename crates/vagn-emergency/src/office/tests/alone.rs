//! A node as it is, without brokers: what its door takes it keeps, and calls about by itself.

use std::collections::BTreeSet;

use vagn_otp::Fault;
use vagn_otp::testkit::until;

use super::machine::{Machine, NOWHERE};
use crate::Targets;
use crate::office::kept::KeptStore;
use crate::tests::setup::help;
use crate::tests::target::{Reaction, TestTarget};

/// Keys under which a target heard of each vehicle.
fn keys(target: &TestTarget) -> BTreeSet<(String, String)> {
    let key = |heard: &crate::tests::target::HeardNotice| heard.header("idempotency-key").unwrap().to_owned();
    target.heard().iter().map(|heard| (heard.vehicle().to_owned(), key(heard))).collect()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix} {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_leader_takes_is_called_about_and_kept_and_called_about_by_the_next_run_under_the_same_keys()
{
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Answer(503)).await;
    let node = Machine::start(dir.path(), &target, 1, NOWHERE, "alone").await;
    let vehicles = names("bus", 20);
    vehicles.iter().for_each(|name| node.send(&[help(name)]));
    until(|| (keys(&target).len() == 20).then_some(())).await;
    until(|| (node.lane.status().kept == 20).then_some(())).await;
    // One that repeats itself is no other call.
    node.send(&[help("bus 3")]);
    let status = || node.lane.status();
    until(|| (status().calling_alone == 20 && status().waiting == 20).then_some(())).await;
    assert_eq!(keys(&target).len(), 20);
    node.end().await;

    let next_target = TestTarget::accepting().await;
    let next = Machine::start(dir.path(), &next_target, 1, NOWHERE, "alone").await;
    until(|| (keys(&next_target).len() == 20).then_some(())).await;
    assert_eq!(keys(&next_target), keys(&target));
    // A vehicle goes on under the id that its call had in the run before.
    next.send(&[help("bus 3"), help("bus 20")]);
    until(|| keys(&next_target).iter().any(|(vehicle, _)| vehicle == "bus 20").then_some(())).await;
    assert_eq!((keys(&next_target).len(), next.lane.status().waiting), (21, 21));
    until(|| (next.lane.status().calling_alone == 0).then_some(())).await;
    next.end().await;

    // What was accepted is called about no more.
    let last_target = TestTarget::accepting().await;
    let last = Machine::start(dir.path(), &last_target, 1, NOWHERE, "alone").await;
    last.send(&[help("bus 3"), help("bus 21")]);
    until(|| (!keys(&last_target).is_empty()).then_some(())).await;
    assert_eq!((keys(&last_target).len(), last.lane.status().waiting), (1, 22));
    last.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_targets_that_stops_keeps_what_its_door_has_just_taken() {
    for round in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Machine::start_with(dir.path(), Targets::default(), 1, NOWHERE, "stops").await;
        // Nobody else keeps it.
        node.end_driver().await;
        until(|| dir.path().join("kept.redb").exists().then_some(())).await;
        node.send(&[help("bus 7")]);
        node.stop().await;
        let kept = KeptStore::open(dir.path()).unwrap().count();
        assert_eq!(kept, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_and_a_driver_that_is_gone_cut_off_no_call() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let mut node = Machine::start(dir.path(), &target, 1, NOWHERE, "crashes").await;
    for (number, name) in names("bus", 60).iter().enumerate() {
        match number {
            10 => node.fail("door", Fault::Panic),
            20 => node.fail("notifier", Fault::Panic),
            30 => node.fail("kept-alarms", Fault::Panic),
            40 => node.fail("incident-files", Fault::Panic),
            50 => node.end_driver().await,
            _ => {}
        }
        node.send(&[help(name)]);
        tokio::task::yield_now().await;
    }
    until(|| (keys(&target).len() == 60).then_some(())).await;
    until(|| (node.lane.status().kept == 60).then_some(())).await;
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_refuses_is_called_again_until_it_accepts() {
    let dir = tempfile::tempdir().unwrap();
    let (calls, seen) = (std::sync::atomic::AtomicUsize::new(0), std::sync::atomic::Ordering::Relaxed);
    let refuses = move |_: &crate::tests::target::HeardNotice| match calls.fetch_add(1, seen) {
        0..3 => Reaction::Answer(503),
        _ => Reaction::Answer(200),
    };
    let target = TestTarget::new(refuses).await;
    let node = Machine::start(dir.path(), &target, 1, NOWHERE, "refuses").await;
    node.send(&[help("bus 7")]);
    until(|| (target.heard().len() == 4).then_some(())).await;
    until(|| (node.lane.status().calling_alone == 0).then_some(())).await;
    assert_eq!(keys(&target).len(), 1);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_called_about_although_the_incident_store_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Answer(503)).await;
    let node = Machine::start(dir.path(), &target, 1, NOWHERE, "damaged").await;
    names("bus", 5).iter().for_each(|name| node.send(&[help(name)]));
    until(|| (node.lane.status().kept == 5).then_some(())).await;
    until(|| (keys(&target).len() == 5).then_some(())).await;
    node.end().await;
    std::fs::write(dir.path().join(crate::record::store::FILE), "no store").unwrap();

    let next_target = TestTarget::accepting().await;
    let next = Machine::start(dir.path(), &next_target, 1, NOWHERE, "damaged").await;
    until(|| (keys(&next_target).len() == 5).then_some(())).await;
    assert_eq!(keys(&next_target), keys(&target));
    next.end().await;
}
