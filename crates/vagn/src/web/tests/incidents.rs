//! Incidents as the API shows them, with a stand-in for the lane that knows one call.

use axum::http::StatusCode;
use serde_json::json;

use super::super::services::{Asked, Incidents};
use super::{austin, get};
use crate::emergency::view::{AttemptView, CallStatus, CallView, PlaceView};
use crate::emergency::{Filter, IncidentId, IncidentView, Page, State};

const ID: &str = "019a0000-0000-7000-8000-000000000001";

/// The lane with one incident.
pub(super) struct OneCall;

impl Incidents for OneCall {
    fn list(&self, filter: Filter, limit: usize, after: Option<IncidentId>) -> Asked<'_, Page> {
        let lets = filter.vehicle_id.as_deref().is_none_or(|id| id == "bus 3")
            && filter.state.is_none_or(|state| state == State::Open)
            && filter.test != Some(true)
            && filter.over != Some(true)
            && after.is_none();
        let incidents = if lets { vec![view()] } else { Vec::new() };
        assert!((1..=1_000).contains(&limit));
        Box::pin(std::future::ready(Ok(Page { incidents, next: None, complete: true })))
    }

    fn one(&self, id: IncidentId) -> Asked<'_, Option<IncidentView>> {
        let found = (id.to_string() == ID).then(view);
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn view() -> IncidentView {
    let at = "2026-09-21T14:13:19.000Z".to_owned();
    let outcome = crate::emergency::incident::Outcome::Refused { status: 503 };
    let position = PlaceView { lat: 30.37, lon: -97.74, time: at.clone(), trusted: true };
    IncidentView {
        id: ID.parse().unwrap(),
        vehicle_id: "bus 3".into(),
        state: State::Open,
        over: false,
        test: false,
        kind: Some("manual"),
        vehicle_incident: None,
        raised_at: at.clone(),
        opened_at: at.clone(),
        updated_at: at.clone(),
        accepted_at: None,
        ended_at: None,
        reports: 3,
        position: Some(position),
        call: CallView {
            status: CallStatus::Pending,
            attempts: 1,
            unrecorded: false,
            latest: vec![AttemptView { number: 1, at, took_ms: 12, outcome }],
        },
    }
}

#[tokio::test]
async fn are_listed_with_the_time_of_the_answer() {
    let page = get(&austin(), "/api/v1/incidents").await.json();
    assert_eq!((&page["time"], &page["complete"]), (&json!("2026-09-21T14:13:20.000Z"), &json!(true)));
    let incident = &page["incidents"][0];
    assert_eq!((&incident["id"], &incident["state"]), (&json!(ID), &json!("open")));
    assert_eq!(
        incident["position"],
        json!({"lat": 30.37, "lon": -97.74, "time": "2026-09-21T14:13:19.000Z", "trusted": true})
    );
    let attempt = json!({"number": 1, "at": "2026-09-21T14:13:19.000Z", "took_ms": 12, "outcome": "refused", "status": 503});
    assert_eq!(incident["call"]["latest"], json!([attempt]));
}

#[tokio::test]
async fn are_found_by_what_is_asked_for() {
    for (query, found) in [
        ("", 1),
        ("?vehicle_id=bus%203&state=open&test=false&over=false&limit=1", 1),
        ("?vehicle_id=bus%204", 0),
        ("?state=notified", 0),
        ("?test=true", 0),
        ("?over=true", 0),
        (&format!("?after={ID}"), 0),
    ] {
        let page = get(&austin(), &format!("/api/v1/incidents{query}")).await.json();
        assert_eq!(page["incidents"].as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test]
async fn one_is_found_by_its_id() {
    let reply = get(&austin(), &format!("/api/v1/incidents/{ID}")).await;
    assert_eq!((reply.status, &reply.json()["vehicle_id"]), (StatusCode::OK, &json!("bus 3")));
    let unknown = get(&austin(), "/api/v1/incidents/019a0000-0000-7000-8000-000000000002").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_named() {
    for (path, parameter) in [
        ("/api/v1/incidents?limit=0", "limit"),
        ("/api/v1/incidents?limit=1001", "limit"),
        ("/api/v1/incidents?after=yesterday", "after"),
        ("/api/v1/incidents?state=closed", "state"),
        ("/api/v1/incidents?test=yes", "test"),
        ("/api/v1/incidents?over=1", "over"),
        ("/api/v1/incidents/7", "id"),
        ("/api/v1/incidents/%ff", "id"),
    ] {
        let reply = get(&austin(), path).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (StatusCode::BAD_REQUEST, "invalid-parameter"),
            "{path}"
        );
        assert_eq!(reply.json()["parameter"], parameter, "{path}: {}", reply.body);
    }
}
