//! Sealed calls: one that comes again makes no second incident, in this run or the next.

use vagn_flow::proof::SealMark;
use vagn_seal::{Epoch, KeyId};
use vagn_wire::Report;

use super::setup::*;
use super::target::TestTarget;
use crate::desk::RequestKind;
use crate::raise::{Raise, Raised};
use vagn_flow::batch::BatchBuilder;
use vagn_flow::stamp::Stamp;
use vagn_flow::testing::SHEDDING;

impl TestLane {
    /// Publishes calls out of one envelope: sequence, and its number in the run.
    fn sealed(&self, (sequence, call_number): (u64, u64), calls: &[Report<'_>]) {
        let mut batch = BatchBuilder::new(SHEDDING);
        for call in calls {
            batch.push(&encoded(call));
            let (key_id, epoch) = (KeyId([7; 8]), Epoch::FIRST);
            batch.seal_last(SealMark {
                key_id,
                epoch,
                sequence,
                more: false,
                call_number,
                needs_time: false,
            });
        }
        let batch = batch.seal(Stamp { time_ms: now_ms(), first_seq: 0 }, None, &self.reports);
        batch.take_share().unwrap().settle_rest(vagn_wire::Fate::Stored);
        self.topic.publish(&batch);
    }
}

#[tokio::test]
async fn a_call_that_comes_again_adds_nothing_and_makes_no_incident_after_a_restart_either() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let named = Report { incident: Some("a"), ..help("bus 7") };
    // Two calls in one envelope, and the whole envelope again.
    for number in [1, 2] {
        lane.sealed((5, number), &[help("bus 7"), named]);
    }
    let all = lane.when(|all| all.len() == 1 && all[0].recorded).await;
    assert_eq!(all[0].reports, 2);
    lane.sealed((6, 3), &[help("bus 7")]);
    let all = lane.when(|all| all[0].reports == 3 && all[0].recorded).await;
    lane.act(all[0].id, RequestKind::Resolve, "over").await;
    for sequence in [5, 6] {
        lane.sealed((sequence, 10 + sequence), &[help("bus 7")]);
    }
    assert_eq!(lane.all().await.len(), 1);
    lane.stop().await;

    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    for sequence in [5, 6] {
        lane.sealed((sequence, sequence), &[help("bus 7")]);
    }
    assert_eq!(lane.all().await.len(), 1, "a replay made an incident");
    lane.sealed((7, 20), &[help("bus 7")]);
    assert_eq!(lane.all().await.len(), 2);
    assert!(lane.handle.keys_with_calls().unwrap().eq([KeyId([7; 8])]));
    // The key is revoked: what is kept of it goes.
    lane.handle.forget_keys([KeyId([7; 8])].into(), PATIENCE).await.unwrap();
    assert_eq!(lane.handle.lane.shelf.store().unwrap().call_windows().unwrap(), []);
}

#[tokio::test]
async fn a_person_raises_a_call_that_could_not_be_proved() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    let raise = async || {
        let raise = Raise {
            vehicle_id: "tram 9".into(),
            position: vagn_wire::Position::new(59.0, 18.0).ok(),
            heard_ms: 1_790_000_000_000,
            kind: None,
            vehicle_incident: None,
            by: "Anna".into(),
        };
        match lane.handle.raise(raise, PATIENCE).await.unwrap() {
            Raised::Done(detail) => *detail,
            Raised::NoRoom => panic!("there is room"),
        }
    };
    let incident = raise().await.incident;
    let trusted = incident.position.map(|position| position.trusted);
    assert_eq!((&*incident.vehicle_id, trusted), ("tram 9", Some(false)));
    let store = lane.handle.lane.shelf.store().unwrap();
    assert!(store.get(incident.id).unwrap().is_some(), "it is on disk before the person hears of it");
    let again = raise().await;
    assert_eq!((again.incident.id, lane.all().await.len()), (incident.id, 1));
    let by: Vec<_> = again.trail.iter().map(|entry| (entry.action, &*entry.by)).collect();
    assert!(by.contains(&("opened", "Anna")), "{by:?}");
}

#[tokio::test]
async fn a_raise_into_an_open_incident_keeps_the_place_that_was_proved() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.sealed((1, 1), &[help("bus 7")]);
    let all = lane.when(|all| all.len() == 1 && all[0].recorded).await;
    let proved = all[0].position.clone();
    assert!(proved.as_ref().is_some_and(|position| position.trusted));
    let raise = async |vehicle_id: &str| {
        let raise = Raise {
            vehicle_id: vehicle_id.into(),
            position: vagn_wire::Position::new(-33.0, 18.0).ok(),
            heard_ms: 1_790_000_000_000,
            kind: None,
            vehicle_incident: None,
            by: "Anna".into(),
        };
        match lane.handle.raise(raise, PATIENCE).await.unwrap() {
            Raised::Done(detail) => detail.incident,
            Raised::NoRoom => panic!("there is room"),
        }
    };
    let incident = raise("bus 7").await;
    assert_eq!((incident.position, lane.all().await.len()), (proved, 1));
    // Where nothing was proved, the place of the call counts, at the time at which it was heard.
    let incident = raise("tram 9").await;
    let heard = vagn_flow::rfc3339::rfc3339(1_790_000_000_000);
    let position = incident.position.unwrap();
    assert_eq!((position.lat, &*position.time, &*incident.raised_at), (-33.0, &*heard, &*heard));
}
