//! Floods: many copies of one alarm, and alarms past the limit.

use vagn_wire::Fate;

use super::setup::*;
use super::target::TestTarget;
use crate::metrics::OutcomeLabel;
use crate::{State, Targets};

#[tokio::test]
async fn a_hundred_copies_are_one_incident_and_one_notice() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    for _ in 0..10 {
        lane.send(&[help("bus 7"); 10]);
    }
    lane.when(|all| all.iter().map(|incident| incident.reports).sum::<u64>() == 100).await;
    let all = lane.accepted(1).await;
    assert_eq!((all.len(), all[0].state, all[0].notices.attempts), (1, State::Notified, 1));
    let heard = target.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].header("idempotency-key"), Some(all[0].id.to_string().as_str()));
    lane.stop().await;
}

#[tokio::test]
async fn past_the_limit_an_alarm_is_refused_counted_and_reported_to_the_operator() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(dir.path(), Targets::default());
    setup.open_max = 4; // Half of it for vehicles that may be strangers.
    let lane = setup.start().await;
    lane.send(&[help("one"), help("two")]);
    lane.when(|all| all.len() == 2).await;
    let answer = lane.ask(&help("three")).await.unwrap();
    assert_eq!((answer[0].fate, &answer[0].incident), (Fate::Failed, &None));
    let known = lane.ask(&help("one")).await.unwrap();
    assert!(known[0].incident.is_some(), "an open incident goes on");
    let refused = &OutcomeLabel { outcome: "refused" };
    assert_eq!(lane.metrics.emergencies.get_or_create(refused).get(), 1);
    let warnings = lane.readiness.report().warnings;
    assert!(
        warnings.contains_key("refused emergencies") && warnings.contains_key("emergency target"),
        "{warnings:?}"
    );
    lane.stop().await;
}
