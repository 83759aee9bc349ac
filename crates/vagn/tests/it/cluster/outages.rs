//! All brokers away for long.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::readers::Tally;
use super::scene::Scene;
use crate::vagn::eventually;

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
