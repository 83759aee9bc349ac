//! Many incidents resolved at once, by what they have in common.

use super::setup::*;
use crate::fix::Fix;
use crate::intake::known::KnownVehicle;
use crate::record::standing::Standing;
use crate::{ResolvedMany, Selection, State, Targets};

/// Returns how many were chosen, and how many of them resolved.
async fn resolve(lane: &TestLane, selection: &Selection) -> (u64, u64) {
    let resolve = lane.handle.resolve_many(selection.clone(), "Anna".into(), "forged".into(), PATIENCE);
    let ResolvedMany { matched, resolved, .. } = resolve.await.unwrap();
    (matched, resolved)
}

fn setup(dir: &std::path::Path) -> Setup {
    let mut setup = Setup::new(dir, Targets::default());
    setup.vehicles = fleet(|vehicle_id| match vehicle_id.starts_with("bus") {
        true => KnownVehicle::known(Fix::at(1.0, 2.0, 0, false)),
        false => KnownVehicle { standing: Standing::Stranger, last_fix: None },
    });
    setup.open_max = 5_000;
    setup
}

#[tokio::test]
async fn a_flood_of_strangers_is_resolved_and_a_known_vehicle_stays() {
    let dir = tempfile::tempdir().unwrap();
    let lane = setup(dir.path()).start().await;
    let names: Vec<_> = (0..1_300).map(|number| format!("invented {number}")).collect();
    lane.send(&names.iter().map(|name| help(name)).collect::<Vec<_>>());
    lane.send(&[help("bus 7"), drill("invented drill")]);
    let strangers =
        Selection { standing: Some(Standing::Stranger), drill: Some(false), ..Selection::default() };
    vagn_otp::testkit::until(|| (lane.handle.count(&Selection::default()) == 1_302).then_some(())).await;
    assert_eq!(lane.handle.count(&strangers), 1_300);
    assert_eq!(resolve(&lane, &strangers).await, (1_300, 1_300));
    assert_eq!(resolve(&lane, &strangers).await, (0, 0));
    let left = lane
        .when(|all| {
            let open = all.iter().filter(|one| one.state != State::Resolved);
            open.count() == 2 && all.iter().all(|one| one.recorded)
        })
        .await;
    let one = left.iter().find(|one| one.state == State::Resolved).unwrap();
    let decision = one.resolved.as_ref().unwrap();
    assert_eq!((&*decision.by, &*decision.note), ("Anna", "forged"));
    let detail = lane.handle.get(one.id, PATIENCE).await.unwrap().unwrap();
    let last = detail.trail.last().unwrap();
    assert_eq!((last.action, &*last.by, &*last.reason), ("resolved", "Anna", "forged"));
    lane.stop().await;
}

#[tokio::test]
async fn every_condition_that_is_given_must_hold() {
    let dir = tempfile::tempdir().unwrap();
    let lane = setup(dir.path()).start().await;
    lane.send(&[help("bus 7"), help("bus 8"), help("tram 7"), drill("bus 9")]);
    let all = lane.when(|all| all.len() == 4).await;
    let acknowledged = all.iter().find(|one| &*one.vehicle_id == "bus 8").unwrap().id;
    lane.act(acknowledged, crate::RequestKind::Acknowledge, "").await;
    let count = |selection: Selection| lane.handle.count(&selection);
    let any = Selection::default;
    assert_eq!(count(Selection { vehicle_id_prefix: Some("bus".into()), ..any() }), 3);
    assert_eq!(count(Selection { vehicle_id_prefix: Some("bus".into()), drill: Some(false), ..any() }), 2);
    assert_eq!(count(Selection { state: Some(State::Acknowledged), ..any() }), 1);
    assert_eq!(count(Selection { standing: Some(Standing::Known), ..any() }), 3);
    let ids = Some(vec!["tram 7".into(), "bus 7".into(), "unheard of".into()]);
    assert_eq!(count(Selection { vehicle_ids: ids, ..any() }), 2);
    let now_ms = now_ms();
    assert_eq!(count(Selection { opened_until_ms: Some(now_ms + 60_000), ..any() }), 4);
    assert_eq!(count(Selection { opened_from_ms: Some(now_ms + 60_000), ..any() }), 0);
    assert_eq!(resolve(&lane, &Selection { drill: Some(true), ..any() }).await, (1, 1), "drills too");
    lane.stop().await;
}
