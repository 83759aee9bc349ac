//! Delivery: targets that fail, hang or ask for patience, and what a notice carries.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use vagn_otp::testkit::until;
use vagn_wire::{Position, Report};

use super::setup::*;
use super::target::{Reaction, TestTarget};
use crate::fix::Fix;
use crate::intake::known::KnownVehicle;
use crate::metrics::OutcomeLabel;
use crate::record::attempt::Outcome;
use crate::record::incident::PRIMARY;
use crate::show::view::NoticeStatus;

#[tokio::test]
async fn a_target_that_fails_half_of_the_time_gets_every_notice_under_one_key() {
    const VEHICLES: usize = 200;
    let dir = tempfile::tempdir().unwrap();
    let rng = Mutex::new(fastrand::Rng::with_seed(5));
    let accepted = Arc::new(Mutex::new(0));
    let counter = accepted.clone();
    let target = TestTarget::new(move |_| {
        let mut rng = rng.lock();
        if rng.bool() {
            return if rng.bool() { Reaction::Answer(503) } else { Reaction::HangUp };
        }
        let mut accepted = counter.lock();
        *accepted += 1;
        // The answer to the first that is accepted gets lost.
        if *accepted == 1 { Reaction::HangUp } else { Reaction::Answer(202) }
    })
    .await;
    let lane = Setup::new(dir.path(), target.target(16)).start().await;
    let names: Vec<_> = (0..VEHICLES).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
    }
    let all = lane.accepted(VEHICLES).await;
    assert_eq!(all.len(), VEHICLES);
    let mut keys: HashMap<String, HashSet<String>> = HashMap::new();
    for notice in target.heard() {
        let key = notice.header("idempotency-key").unwrap().to_owned();
        keys.entry(notice.vehicle().to_owned()).or_default().insert(key);
    }
    assert!(keys.len() == VEHICLES && keys.values().all(|keys| keys.len() == 1));
    assert_eq!(*accepted.lock(), VEHICLES + 1, "one was accepted twice, because its answer was lost");
    let notices = target.heard().len() as u64;
    let counted = |outcome| lane.metrics.emergencies.get_or_create(&OutcomeLabel { outcome }).get();
    assert_eq!((counted("accepted"), counted("retried")), (VEHICLES as u64, notices - VEHICLES as u64));
    lane.stop().await;
}

#[tokio::test]
async fn notices_that_hang_hold_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|notice| match notice.vehicle().starts_with("slow") {
        true => Reaction::Silence,
        false => Reaction::Answer(200),
    })
    .await;
    let mut setup = Setup::new(dir.path(), target.target(4));
    setup.vehicles = fleet(|_| KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)));
    let lane = setup.start().await;
    lane.send(&[help("slow 1"), help("slow 2"), help("slow 3")]);
    until(|| (target.heard().len() == 3).then_some(())).await;
    let names: Vec<_> = (0..50).map(|number| format!("vehicle {number}")).collect();
    lane.send(&names.iter().map(|name| help(name)).collect::<Vec<_>>());
    let all = lane.accepted(50).await;
    let is_under_way = |name: &str| {
        all.iter().any(|one| &*one.vehicle_id == name && one.notices.status == NoticeStatus::UnderWay)
    };
    assert!(is_under_way("slow 1") && is_under_way("slow 2") && is_under_way("slow 3"));
    lane.stop().await;
}

#[tokio::test]
async fn later_positions_follow_as_updates_under_keys_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let id = lane.accepted(1).await[0].id;
    for lat in [59.0, 58.0] {
        let heard = target.heard().len();
        lane.send(&[Report { position: Position::new(lat, 18.0), ..help("bus 7") }]);
        until(|| (target.heard().len() > heard).then_some(())).await;
    }
    let said: Vec<_> = target
        .heard()
        .iter()
        .map(|notice| {
            let key = notice.header("idempotency-key").unwrap().to_owned();
            (key, notice.body["type"].as_str().unwrap().to_owned(), notice.body["lat"].as_f64().unwrap())
        })
        .collect();
    let update = |number: u32, lat| (format!("{id}-{number}"), "incident.updated".to_owned(), lat);
    assert_eq!(
        said,
        [(id.to_string(), "incident.opened".to_owned(), 59.33), update(1, 59.0), update(2, 58.0)]
    );
    lane.stop().await;
}

#[tokio::test]
async fn a_target_that_asks_for_patience_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::new(|_| Reaction::Later(3600)).await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let all = lane.when(|all| all.len() == 1 && all[0].notices.attempts == 1).await;
    let next = &all[0].notices.targets[0];
    // No longer than five minutes, whatever it asks for.
    let due: jiff::Timestamp = next.next_at.as_ref().unwrap().parse().unwrap();
    let wait_s = due.as_second() - now_ms() / 1000;
    assert!((250..=301).contains(&wait_s), "{wait_s} s, {next:?}");
    assert_eq!(next.name.as_ref(), PRIMARY);
    lane.stop().await;
}

#[tokio::test]
async fn a_notice_carries_the_head_of_the_trail() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    lane.accepted(1).await;
    let head = target.heard()[0].body["trail_head"].as_str().unwrap().to_owned();
    assert!(head.starts_with("1:"), "{head}");
    let page = lane.handle.trail(0, 10, PATIENCE).await.unwrap().unwrap();
    assert_eq!(head.strip_prefix("1:"), page.entries[0].hash.as_deref());
    lane.stop().await;
}

#[tokio::test]
async fn whatever_the_target_does_costs_one_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let tried = Mutex::new(HashSet::new());
    let target = TestTarget::new(move |notice| {
        if !tried.lock().insert(notice.vehicle().to_owned()) {
            return Reaction::Answer(200);
        }
        match notice.vehicle() {
            "redirect" => Reaction::Redirect,
            "drip" => Reaction::Drip,
            "endless refusal" => Reaction::Endless(500),
            "endless welcome" => Reaction::Endless(200),
            _ => Reaction::HangUp,
        }
    })
    .await;
    let mut quick = target.target(8);
    quick.chain[0].timeout = Duration::from_millis(200);
    let lane = Setup::new(dir.path(), quick).start().await;
    let names = ["redirect", "drip", "endless refusal", "endless welcome", "hang up"];
    lane.send(&names.map(help));
    let all = lane.accepted(names.len()).await;
    for incident in &all {
        let expected = if &*incident.vehicle_id == "endless welcome" { 1 } else { 2 };
        assert_eq!(incident.notices.attempts, expected, "{incident:?}");
    }
    assert!(target.url().contains("token"));
    let told = serde_json::to_string(&all).unwrap();
    assert!(!told.contains("token"), "the url's path may be a secret: {told}");
    lane.stop().await;
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_off_by_its_length_and_an_honest_target_gets_all_meanwhile() {
    for (reaction, reason) in [(Reaction::Interim, "64 KiB"), (Reaction::EndlessHead, "")] {
        let dir = tempfile::tempdir().unwrap();
        let nasty = TestTarget::new(move |_| reaction).await;
        let honest = TestTarget::accepting().await;
        let mut targets = honest.target(4);
        targets.drill = Some(nasty.named("drill", 4));
        let lane = Setup::new(dir.path(), targets).start().await;
        lane.send(&[drill("bus 7")]);
        until(|| (!nasty.heard().is_empty()).then_some(())).await;
        let names: Vec<_> = (0..50).map(|number| format!("vehicle {number}")).collect();
        lane.send(&names.iter().map(|name| help(name)).collect::<Vec<_>>());
        lane.accepted(50).await;
        assert_eq!(honest.heard().len(), 50);
        // Its time-out is 20 s, the patience of a test longer: only the reason tells that the length ended it.
        let has_failed = |one: &crate::IncidentView| one.drill && one.notices.attempts > 0;
        let all = lane.when(|all| all.iter().any(has_failed)).await;
        let latest = &all.iter().find(|one| one.drill).unwrap().notices.latest[0];
        match &latest.outcome {
            Outcome::Failed { reason: said } => {
                assert!(said.contains(reason) && !said.contains("in time"), "{reaction:?}: {said}");
            }
            other => panic!("{reaction:?}: {other:?}"),
        }
        lane.stop().await;
    }
}
