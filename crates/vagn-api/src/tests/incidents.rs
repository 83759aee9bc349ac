//! Incidents as the API shows them, and how they are found.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::FutureExt;
use serde_json::json;
use vagn_http::caller::Caller;

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::{ID, SmallLane};
use super::{Reply, austin, get, send, services};

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
    let attempt = json!({"number": 1, "target": "primary", "at": "2026-09-21T14:13:19.000Z", "took_ms": 12, "outcome": "refused", "status": 503});
    assert_eq!(incident["call"]["latest"], json!([attempt]));
}

#[tokio::test]
async fn are_found_by_what_is_asked_for() {
    for (query, found) in [
        ("", 1),
        ("?vehicle_id=bus%203&state=open&test=false&quiet=false&dead_letter=false&limit=1", 1),
        ("?vehicle_id=bus%204", 0),
        ("?state=notified", 0),
        ("?test=true", 0),
        ("?state=acknowledged", 0),
        ("?state=resolved", 0),
        ("?quiet=true", 0),
        ("?dead_letter=true", 0),
        (&format!("?after={ID}"), 0),
    ] {
        let page = get(&austin(), &format!("/api/v1/incidents{query}")).await.json();
        assert_eq!(page["incidents"].as_array().unwrap().len(), found, "{query}");
    }
}

#[tokio::test]
async fn a_source_leaves_searches_to_others_and_all_together_leave_time_for_other_questions() {
    let router = austin();
    let ask = |address: &str, query: &str| {
        let caller = Caller::new(Arc::default(), address.parse().unwrap());
        let request = Request::get(format!("/api/v1/incidents{query}")).extension(caller);
        let (router, request) = (router.clone(), request.body(Body::empty()).unwrap());
        Box::pin(async move { send(&router, request).await })
    };
    let mut searching = [0, 1].map(|_| ask("192.0.2.1", "?vehicle_id=slow"));
    for search in &mut searching {
        assert!(search.now_or_never().is_none());
    }
    let refused = ask("192.0.2.1", "?vehicle_id=bus%203").await;
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too-many-requests")
    );
    assert_eq!(ask("192.0.2.1", "").await.status, StatusCode::OK, "a list is no search");
    let mut other = ask("192.0.2.2", "?vehicle_id=slow");
    assert!((&mut other).now_or_never().is_none());
    let refused = ask("192.0.2.4", "?vehicle_id=bus%203").await;
    assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    drop(searching);
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.4"] {
        assert_eq!(ask(address, "?vehicle_id=bus%203").await.status, StatusCode::OK, "its place came back");
    }
}

/// Lists incidents, of which there are more pages or not, beside other answers that hold much memory. Returns the limit that the lane was
/// asked with, and the answer.
async fn listed_beside(large: bool, small: bool, next: Option<&str>) -> (Option<usize>, Reply) {
    let mut services = services(SmallFleet::empty());
    let lane = Arc::new(SmallLane { next: next.map(|id| id.parse().unwrap()), ..SmallLane::new() });
    services.incidents = lane.clone();
    let caller = Caller::alone();
    let fill = |wanted: bool, bytes| std::iter::from_fn(move || wanted.then_some(bytes));
    let _large: Vec<_> = fill(large, 1 << 20).map_while(|bytes| caller.room(bytes).ok()).collect();
    let _small: Vec<_> = fill(small, 8 << 10).map_while(|bytes| caller.room(bytes).ok()).collect();
    let request = Request::get("/api/v1/incidents").extension(caller.clone()).body(Body::empty()).unwrap();
    let reply = send(&router(services), request).await;
    let limit = lane.limits.lock().first().copied();
    (limit, reply)
}

#[tokio::test]
async fn a_page_has_its_memory_before_it_is_asked_for() {
    for (large, small, next, limit, status) in [
        (false, false, Some(ID), Some(100), StatusCode::OK),
        (true, false, None, Some(4), StatusCode::OK),
        // Cut short it would pass for all that there is.
        (true, false, Some(ID), Some(4), StatusCode::SERVICE_UNAVAILABLE),
        (true, true, None, None, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let (asked, reply) = listed_beside(large, small, next).await;
        assert_eq!((asked, reply.status), (limit, status), "{large} {small} {next:?}");
    }
}

#[tokio::test]
async fn one_is_found_by_its_id_with_its_ledger_and_its_trail() {
    let reply = get(&austin(), &format!("/api/v1/incidents/{ID}")).await;
    assert_eq!((reply.status, &reply.json()["vehicle_id"]), (StatusCode::OK, &json!("bus 3")));
    assert_eq!(reply.json()["ledger"][0]["target"], "primary");
    assert_eq!(reply.json()["trail"][0]["action"], "opened");
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
        ("/api/v1/incidents?quiet=1", "quiet"),
        ("/api/v1/incidents?dead_letter=", "dead_letter"),
        ("/api/v1/incidents?over=true", "over"),
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
