//! Persons: what they do about incidents, and what they find.

use super::setup::*;
use super::target::TestTarget;
use crate::id::IncidentId;
use crate::show::view::Filter;
use crate::{RequestKind, RequestOutcome, State, Targets};

#[tokio::test]
async fn what_is_over_is_kept_and_a_later_alarm_is_another_incident() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let first = lane.accepted(1).await[0].id;
    let done = lane.act(first, RequestKind::Resolve, "a false alarm").await;
    assert!(matches!(&done, RequestOutcome::Done(detail) if detail.incident.recorded), "{done:?}");
    lane.send(&[help("bus 7")]);
    let all = lane.accepted(2).await;
    assert_eq!((all[1].id, all[1].state), (first, State::Resolved));
    let ask = |state| Filter { state: Some(state), vehicle_id: Some("bus 7".into()), ..Filter::default() };
    let over = lane.handle.list(ask(State::Resolved), 10, None, PATIENCE).await.unwrap();
    let open = lane.handle.list(ask(State::Notified), 10, None, PATIENCE).await.unwrap();
    assert_eq!((over.incidents.len(), open.incidents.len()), (1, 1));
    let said = lane.act(first, RequestKind::Comment, "the driver called back").await;
    let RequestOutcome::Done(detail) = said else { panic!("{said:?}") };
    let trail: Vec<_> = detail.trail.iter().map(|entry| (entry.action, &*entry.by)).collect();
    let expected =
        [("opened", "bus 7"), ("notified", "primary"), ("resolved", "Anna"), ("commented", "Anna")];
    assert_eq!(trail, expected);
    assert!(detail.trail.iter().all(|entry| entry.hash.is_some()), "{detail:?}");
    lane.stop().await;
}

#[tokio::test]
async fn the_first_person_to_acknowledge_wins_and_the_others_get_the_name_and_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let target = TestTarget::accepting().await;
    let lane = Setup::new(dir.path(), target.target(8)).start().await;
    lane.send(&[help("bus 7")]);
    let id = lane.accepted(1).await[0].id;
    assert!(matches!(lane.act(id, RequestKind::Acknowledge, "on my way").await, RequestOutcome::Done(_)));
    let second = lane.act(id, RequestKind::Acknowledge, "me too").await;
    assert!(
        matches!(&second, RequestOutcome::Refused { by, note, .. } if &**by == "Anna" && &**note == "on my way"),
        "{second:?}"
    );
    assert!(matches!(lane.act(id, RequestKind::Resolve, "").await, RequestOutcome::Done(_)));
    let late = lane.act(id, RequestKind::Acknowledge, "").await;
    assert!(matches!(&late, RequestOutcome::Refused { state: State::Resolved, .. }), "{late:?}");
    assert_eq!(lane.act(IncidentId::from_u128(1), RequestKind::Comment, "?").await, RequestOutcome::NotFound);
    lane.stop().await;
}

#[tokio::test]
async fn what_goes_on_and_what_is_stored_are_listed_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let lane = Setup::new(dir.path(), Targets::default()).start().await;
    let names: Vec<_> = (0..25).map(|number| format!("vehicle {number}")).collect();
    for name in &names {
        lane.send(&[help(name)]);
        lane.when(|all| all.iter().any(|one| *one.vehicle_id == **name)).await;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = lane.handle.list(Filter::default(), 10, after, PATIENCE).await.unwrap();
        assert!(page.complete && page.incidents.len() <= 10);
        found.extend(page.incidents.into_iter().map(|one| one.vehicle_id.into_string()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.reverse();
    assert_eq!(found, names);
    let filter = Filter { vehicle_id: Some("vehicle 3".into()), ..Filter::default() };
    let page = lane.handle.list(filter, 10, None, PATIENCE).await.unwrap();
    let one = lane.handle.get(page.incidents[0].id, PATIENCE).await.unwrap();
    let found = one.map(|detail| detail.incident);
    assert_eq!((page.incidents.len(), found.as_ref()), (1, page.incidents.first()));
    lane.stop().await;
}
