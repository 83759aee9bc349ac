//! Escalation with the real clock: the turn passes from target to target, over a kill too, until a person acknowledges.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::emergencies::Sink;
use crate::vagn::{Vagn, eventually, report, settings};

/// Longer than the turns of both targets together.
const BOTH_TURNS: Duration = Duration::from_secs(3);

fn two_targets(city: &Sink, county: &Sink) -> String {
    format!(
        "[emergency]\nurl = \"{}\"\nescalate_after = \"1s\"\n[[emergency.targets]]\nname = \"county\"\nurl = \"{}\"\n",
        city.url, county.url
    )
}

/// Returns the notices of one type, in the order of their arrival.
fn of_type(sink: &Sink, name: &str) -> Vec<Value> {
    sink.heard().into_iter().filter(|call| call["type"] == name).collect()
}

fn keys(calls: &[Value]) -> BTreeSet<&str> {
    calls.iter().map(|call| call["idempotency_key"].as_str().unwrap()).collect()
}

async fn level(vagn: &Vagn, id: &str) -> u64 {
    let incident = vagn.json(&format!("/api/v1/incidents/{id}")).await;
    incident["call"]["escalation"]["level"].as_u64().unwrap()
}

async fn acknowledge(vagn: &Vagn, id: &str, by: &str) -> (u16, Value) {
    vagn.post(&format!("/api/v1/incidents/{id}/acknowledge"), json!({"by": by, "note": "here"}).to_string())
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_turn_passes_on_over_a_kill_until_a_person_acknowledges() {
    let dir = tempfile::tempdir().unwrap();
    let (city, county) = (Sink::start(&[]), Sink::start(&[]));
    let config = settings(dir.path(), &two_targets(&city, &county));
    let mut vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    vagn.send(&report("bus 7", 59.33, 18.06, true));
    eventually("the notice to the second target", async || !of_type(&county, "incident.opened").is_empty())
        .await;
    let id = of_type(&city, "incident.opened")[0]["idempotency_key"].as_str().unwrap().to_owned();
    let second = &of_type(&county, "incident.opened")[0];
    assert_eq!((second["idempotency_key"].as_str(), &second["call"]["escalation"]), (Some(&*id), &json!(1)));
    eventually("the chain to begin again", async || !of_type(&city, "incident.escalated").is_empty()).await;

    let before = level(&vagn, &id).await;
    assert!(before >= 2, "{before}");
    vagn = vagn.restart();
    let after = level(&vagn, &id).await;
    assert!(after >= before, "the turn was number {before}, and {after} after the kill");
    let heard = of_type(&county, "incident.escalated").len();
    eventually("it to go on", async || of_type(&county, "incident.escalated").len() > heard).await;

    assert_eq!(acknowledge(&vagn, &id, "Anna").await.0, 200);
    assert_ended(&vagn, &city, &county, &id).await;
    let vagn = vagn.restart();
    assert_ended(&vagn, &city, &county, &id).await;
    for (sink, name) in [(&city, "city"), (&county, "county")] {
        let openings = of_type(sink, "incident.opened");
        assert_eq!(keys(&openings), BTreeSet::from([&*id]), "{name}");
        let escalations = of_type(sink, "incident.escalated");
        let reminders = keys(&escalations);
        assert!(reminders.iter().all(|key| key.starts_with(&format!("{id}-"))), "{name}: {reminders:?}");
    }
}

/// Checks that the turn does not pass on any more, and that a second acknowledgement is told that Anna was first.
async fn assert_ended(vagn: &Vagn, city: &Sink, county: &Sink, id: &str) {
    let told = || [city, county].map(|sink| of_type(sink, "incident.escalated").len());
    let (before, turn) = (told(), level(vagn, id).await);
    tokio::time::sleep(BOTH_TURNS).await;
    assert_eq!((told(), level(vagn, id).await), (before, turn), "it goes on although Anna has acknowledged");
    let (status, refusal) = acknowledge(vagn, id, "Bo").await;
    let first = ["state", "by", "note"].map(|field| refusal[field].as_str().unwrap_or_default().to_owned());
    assert_eq!((status, first), (409, ["acknowledged", "Anna", "here"].map(str::to_owned)), "{refusal}");
    let incident = vagn.json(&format!("/api/v1/incidents/{id}")).await;
    assert_eq!(
        (&incident["state"], &incident["call"]["escalation"]["next_at"]),
        (&json!("acknowledged"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_that_ended_while_the_service_was_down_passes_on_at_its_start() {
    let dir = tempfile::tempdir().unwrap();
    let (city, county) = (Sink::start(&[]), Sink::start(&[]));
    let text = two_targets(&city, &county).replace("\"1s\"", "\"3s\"");
    let config = settings(dir.path(), &text);
    let mut vagn = Vagn::start(&dir.path().join("data"), &["--config", &config]);
    vagn.send(&report("bus 7", 59.33, 18.06, true));
    eventually("the acceptance to be recorded", async || {
        let listed = vagn.json("/api/v1/incidents").await;
        !city.accepted().is_empty() && listed["incidents"][0]["recorded"] == true
    })
    .await;
    vagn.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(county.heard().is_empty());
    let started = std::time::Instant::now();
    let _vagn = vagn.restart();
    eventually("the notice to the second target", async || !county.accepted().is_empty()).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}: the turn began again", started.elapsed());
}
