//! Escalation: the turn passes on.

use std::sync::Arc;

use parking_lot::Mutex;
use vagn_otp::testkit::until;

use super::setup::*;
use super::target::{Reaction, TestTarget};
use crate::Targets;
use crate::show::view::Filter;

#[tokio::test]
async fn a_refusal_for_good_is_a_dead_letter_passes_the_turn_on_and_can_be_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let mended = Arc::new(Mutex::new(false));
    let is_mended = mended.clone();
    let wrong = TestTarget::new(move |_| Reaction::Answer(if *is_mended.lock() { 200 } else { 404 })).await;
    let next = TestTarget::accepting().await;
    let targets = Targets { chain: vec![wrong.named("city", 8), next.named("county", 8)], drill: None };
    let lane = Setup::new(dir.path(), targets).start().await;
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(1).await;
    assert_eq!((wrong.heard().len(), next.heard().len()), (1, 1));
    assert_eq!(next.heard()[0].body["escalation"], 1);
    assert_eq!(lane.metrics.dead_letters.get(), 1);
    assert!(lane.readiness.report().warnings.contains_key("dead letters"));
    let dead = Filter { dead_letter: Some(true), ..Filter::default() };
    assert_eq!(lane.handle.list(dead, 10, None, PATIENCE).await.unwrap().incidents.len(), 1);
    *mended.lock() = true;
    assert_eq!(lane.handle.replay("Anna".into(), PATIENCE).await.unwrap(), 1);
    until(|| (wrong.heard().len() == 2 && lane.metrics.dead_letters.get() == 0).then_some(())).await;
    let detail = lane.handle.get(all[0].id, PATIENCE).await.unwrap().unwrap();
    let ledger: Vec<_> =
        detail.ledger.iter().map(|one| (one.number, &*one.target, one.outcome.word())).collect();
    assert_eq!(ledger, [(1, "city", "dead"), (2, "county", "accepted"), (3, "city", "accepted")]);
    lane.stop().await;
}
