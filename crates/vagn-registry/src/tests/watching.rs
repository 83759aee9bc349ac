//! Those who watch.

use std::time::Duration;

use super::{NOW, in_memory};
use crate::changes::CHANGES_MAX;
use crate::{DeviceOf, Kind, Put, Registry, Watch};

/// Longest wait for what must come at once.
const SOON: Duration = Duration::from_secs(10);

async fn next(watch: &mut Watch) -> Option<Vec<crate::Change>> {
    tokio::time::timeout(SOON, watch.next()).await.expect("a change comes")
}

fn put(registry: &Registry, key: &str, value: Option<&[u8]>) -> u64 {
    let revision = registry.get(Kind::Token, key).unwrap().map_or(0, |object| object.revision);
    registry.put_if(Kind::Token, key, revision, value).unwrap()
}

/// Writes so many objects in one transaction.
fn put_many(registry: &Registry, prefix: &str, count: usize) {
    let keys: Vec<_> = (0..count).map(|number| format!("{prefix}{number:06}")).collect();
    let puts: Vec<_> =
        keys.iter().map(|key| Put { kind: Kind::Session, key, revision: 0, value: Some(b"{}") }).collect();
    registry.put_all(&puts).unwrap();
}

#[tokio::test]
async fn gets_all_changes_in_order() {
    let registry = in_memory();
    put(&registry, "before", Some(b"{}"));
    let mut watch = registry.watch(registry.revision());
    put(&registry, "a", Some(b"{}"));
    put(&registry, "a", None);
    let changes = next(&mut watch).await.unwrap();
    let seen: Vec<_> =
        changes.iter().map(|change| (change.revision, &*change.key, change.value.is_some())).collect();
    assert_eq!(seen, [(2, "a", true), (3, "a", false)]);
}

#[tokio::test]
async fn waits_until_something_changes() {
    let registry = in_memory();
    let mut watch = registry.watch(registry.revision());
    let (changes, ()) = tokio::join!(next(&mut watch), async {
        tokio::task::yield_now().await;
        put(&registry, "a", Some(b"{}"));
    });
    assert_eq!(changes.unwrap().len(), 1);
}

#[tokio::test]
async fn lists_anew_when_it_is_too_far_behind() {
    let registry = in_memory();
    let mut watch = registry.watch(registry.revision());
    put_many(&registry, "a", CHANGES_MAX);
    put_many(&registry, "b", 1);
    assert_eq!(next(&mut watch).await, None);
    put(&registry, "after", Some(b"{}"));
    assert_eq!(next(&mut watch).await.unwrap()[0].key, "after".into(), "it goes on from what was listed");
}

#[tokio::test]
async fn gets_a_whole_block_without_listing() {
    let registry = in_memory();
    let mut watch = registry.watch(registry.revision());
    put_many(&registry, "a", CHANGES_MAX);
    let mut seen = 0;
    while seen < CHANGES_MAX {
        seen += next(&mut watch).await.unwrap().len();
    }
    assert_eq!(seen, CHANGES_MAX);
}

#[tokio::test]
async fn lists_anew_when_its_revision_is_of_another_registry() {
    let registry = in_memory();
    assert_eq!(next(&mut registry.watch(99)).await, None);
}

#[tokio::test]
async fn reads_devices_in_changes() {
    let registry = in_memory();
    let mut watch = registry.watch(0);
    let device = registry.add_device(DeviceOf::Vehicle("TAXI1".into()), NOW).unwrap();
    let changes = next(&mut watch).await.unwrap();
    assert_eq!(registry.device_in(&changes[0]), Some(device));
    assert_eq!(registry.token_in(&changes[0]), None);
}

#[tokio::test]
async fn a_change_is_seen_once_each_watcher_asks_for_the_next_one() {
    let registry = in_memory();
    assert!(registry.wait_until_seen(Duration::ZERO), "nobody watches");
    let mut first = registry.watch(registry.revision());
    let second = registry.watch(registry.revision());
    put(&registry, "a", Some(b"{}"));
    assert!(!registry.wait_until_seen(Duration::ZERO));
    drop(second);
    next(&mut first).await;
    assert!(!registry.wait_until_seen(Duration::ZERO), "it is not dealt with yet");
    let waiting = registry.clone();
    let waiting = tokio::task::spawn_blocking(move || waiting.wait_until_seen(SOON));
    let given_up = tokio::time::timeout(Duration::ZERO, first.next()).await;
    assert!(given_up.is_err() && waiting.await.unwrap());
}
