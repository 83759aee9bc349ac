//! All brokers away for long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::call_scene::Calls;
use super::readers::Tally;
use super::scene::Scene;
use crate::vagn::{Vagn, eventually};

/// Time without brokers: longer than the brokers know a message again. `VAGN_OUTAGE_S` names another one.
fn outage() -> Duration {
    let set = std::env::var("VAGN_OUTAGE_S").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(set.unwrap_or(150))
}

/// Longer than a report waits for its fate.
pub(crate) const ANSWERED_WITHIN: Duration = Duration::from_secs(8);

/// Senders send again what had no good answer, all the time and afterwards, and what was acknowledged too: none of it is stored twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_all_brokers_are_away_and_come_back() {
    let mut scene = Scene::begin().await;
    scene.random_time().await;
    (1..=3).for_each(|broker| drop(scene.order(&format!("kill {broker}"))));
    for (number, node) in scene.cluster.running() {
        eventually(&format!("node {number} to say that it stores nothing"), async || {
            let ready: Value = serde_json::from_str(&node.ops("/readyz").await.1).unwrap();
            (&ready["can_store"], &ready["can_take_alarms"]) == (&json!(false), &json!(true))
        })
        .await;
    }
    // What the brokers had delivered before is still answered.
    sleep(ANSWERED_WITHIN).await;
    let before = scene.ledger.acknowledged();
    sleep(outage()).await;
    assert_eq!(scene.ledger.acknowledged(), before, "nothing can be stored");
    (1..=3).for_each(|broker| drop(scene.order(&format!("start {broker}"))));
    scene.order("healthy");
    scene.goes_on().await;
    // Every node answers with what it has.
    scene.end(Tally::assert_answered).await;
}

/// Most memory that a node may take on while calls go on, MiB. It keeps some kilobytes of each.
const GROWTH_MAX: u64 = 48;

/// Returns the resident memory of a node, MiB.
fn memory(node: &Vagn) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

/// Each second a new vehicle calls at each node, and one that has called before repeats itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_calls_go_out_while_all_brokers_are_away_and_are_recorded_once_when_they_are_back() {
    let mut calls = Calls::begin().await;
    calls.call_everywhere().await;
    calls.all_recorded().await;
    calls.all_brokers("kill");
    let (began, mut second, mut early) = (Instant::now(), 0, None);
    let memory = |calls: &Calls| [0, 1, 2].map(|node| memory(calls.cluster.node(node)));
    while began.elapsed() < outage() {
        for node in 0..3 {
            calls.send_at(node, &format!("second {second} at {node}"));
            calls.send_at(node, &format!("second {} at {node}", second / 2));
        }
        second += 1;
        calls.all_accepted().await;
        // What a node needs once, it has by then.
        if early.is_none() && began.elapsed() > outage() / 3 {
            early = Some(memory(&calls));
        }
        sleep(Duration::from_secs(1)).await;
    }
    let (early, late, told) = (early.unwrap(), memory(&calls), calls.target.answered().len());
    eprintln!("{} vehicles called, {told} notices; memory {early:?}, then {late:?} MiB", calls.called.len());
    let has_grown = |(early, late): (&u64, &u64)| *late > early + GROWTH_MAX;
    assert!(!early.iter().zip(&late).any(has_grown), "{late:?} MiB after {early:?}");
    calls.all_brokers("start");
    calls.cluster.brokers.order("healthy");
    calls.leader().await;
    calls.call_everywhere().await;
    calls.end().await;
}
