//! Requests of persons about incidents over the API.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode, header};
use serde_json::json;

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::{AT, ID, SmallLane};
use super::{Reply, get, send, services};
use vagn_emergency::record::standing::Standing;
use vagn_emergency::{Request, RequestKind, Selection, State};

fn desk() -> (Router, Arc<SmallLane>) {
    let lane = Arc::new(SmallLane::new());
    let mut services = services(SmallFleet::austin());
    services.incidents = lane.clone();
    (router(services), lane)
}

async fn post(router: &Router, path: &str, body: impl Into<Body>) -> Reply {
    let request = HttpRequest::post(format!("/api/v1/incidents/{path}"));
    let request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    send(router, request.body(body.into()).unwrap()).await
}

fn request(action: RequestKind, by: &str, note: &str) -> Request {
    Request { action, by: by.into(), note: note.into() }
}

#[tokio::test]
async fn the_first_request_wins_and_the_second_is_told_the_name_and_time_of_the_first() {
    let (router, lane) = desk();
    let acknowledge = format!("{ID}/acknowledge");
    let first = post(&router, &acknowledge, r#"{"by":" Anna ","note":"on our way\nwith two"}"#).await;
    assert_eq!((first.status, &first.json()["state"]), (StatusCode::OK, &json!("acknowledged")));
    let by_anna = json!({"by": "Anna", "at": AT, "note": "on our way\nwith two"});
    assert_eq!((&first.json()["acknowledged"], &first.json()["recorded"]), (&by_anna, &json!(true)));

    let second = post(&router, &acknowledge, r#"{"by":"Bo"}"#).await;
    assert_eq!((second.status, second.problem().as_str()), (StatusCode::CONFLICT, "conflict"));
    let problem = second.json();
    for (name, value) in
        [("state", "acknowledged"), ("by", "Anna"), ("at", AT), ("note", "on our way\nwith two")]
    {
        assert_eq!(problem[name], value, "{problem}");
    }
    assert_eq!(problem["detail"], format!("it has been acknowledged since {AT}, by Anna"));
    assert_eq!(*lane.done.lock(), [request(RequestKind::Acknowledge, "Anna", "on our way\nwith two")]);
}

#[tokio::test]
async fn a_request_is_passed_on_as_it_was_sent() {
    let (router, lane) = desk();
    for (path, body, expected) in [
        (
            "comments",
            r#"{"by":"Bo","text":"called back"}"#,
            request(RequestKind::Comment, "Bo", "called back"),
        ),
        ("replay", r#"{"by":"Bo","note":null}"#, request(RequestKind::Replay, "Bo", "")),
        (
            "resolve",
            r#"{"by":"Åsa 🚌","note":"false alarm"}"#,
            request(RequestKind::Resolve, "Åsa 🚌", "false alarm"),
        ),
    ] {
        let reply = post(&router, &format!("{ID}/{path}"), body).await;
        assert_eq!((reply.status, &reply.json()["id"]), (StatusCode::OK, &json!(ID)), "{path}");
        assert_eq!(lane.done.lock().last(), Some(&expected), "{path}");
    }
    let reply = post(&router, "replay", r#"{"by":"Bo"}"#).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({"replayed": 3})));
    assert_eq!(get(&router, &format!("/api/v1/incidents/{ID}")).await.json()["state"], "resolved");
}

#[tokio::test]
async fn a_field_that_is_not_right_is_pointed_at_and_nothing_is_done() {
    let (router, lane) = desk();
    let name = |length| format!(r#"{{"by":"{}"}}"#, "å".repeat(length));
    let note = |field, length| format!(r#"{{"by":"Bo","{field}":"{}"}}"#, "x".repeat(length));
    for (path, body, pointer) in [
        ("acknowledge", "{}".to_owned(), "/by"),
        ("acknowledge", r#"{"by":" "}"#.to_owned(), "/by"),
        ("acknowledge", r#"{"by":7}"#.to_owned(), "/by"),
        ("acknowledge", name(65), "/by"),
        ("acknowledge", r#"{"by":"Bo\nAnna"}"#.to_owned(), "/by"),
        ("acknowledge", r#"{"by":"Bo","nte":"x"}"#.to_owned(), "/nte"),
        ("acknowledge", r#"{"by":"Bo","a/b~":"x"}"#.to_owned(), "/a~1b~0"),
        ("resolve", note("note", 1_001), "/note"),
        ("resolve", r#"{"by":"Bo","note":"\u0000"}"#.to_owned(), "/note"),
        ("comments", r#"{"by":"Bo"}"#.to_owned(), "/text"),
        ("comments", note("note", 1), "/note"),
        ("comments", note("text", 1_001), "/text"),
        ("replay", r#"{"by":[]}"#.to_owned(), "/by"),
    ] {
        let reply = post(&router, &format!("{ID}/{path}"), body.clone()).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field");
        assert_eq!((reply.status, reply.problem().as_str()), expected, "{path} {body}");
        assert_eq!(reply.json()["pointer"], pointer, "{path} {body}: {}", reply.body);
    }
    assert_eq!(*lane.done.lock(), []);
    assert_eq!(post(&router, &format!("{ID}/acknowledge"), name(64)).await.status, StatusCode::OK);
    assert_eq!(post(&router, &format!("{ID}/comments"), note("text", 1_000)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_or_leads_nowhere_is_refused() {
    let (router, lane) = desk();
    let good = r#"{"by":"Bo"}"#;
    for (path, body, status, problem) in [
        (&*format!("{ID}/resolve"), "", StatusCode::BAD_REQUEST, "invalid-body"),
        (&format!("{ID}/resolve"), "{", StatusCode::BAD_REQUEST, "invalid-body"),
        (&format!("{ID}/resolve"), "[]", StatusCode::BAD_REQUEST, "invalid-body"),
        (&format!("{ID}/resolve"), r#"{"by":"Bo"} {}"#, StatusCode::BAD_REQUEST, "invalid-body"),
        (&format!("{ID}/resolve?by=Bo"), good, StatusCode::BAD_REQUEST, "invalid-parameter"),
        ("7/resolve", good, StatusCode::BAD_REQUEST, "invalid-parameter"),
        (&format!("{ID}/forget"), good, StatusCode::NOT_FOUND, "not-found"),
        ("019a0000-0000-7000-8000-000000000002/resolve", good, StatusCode::NOT_FOUND, "not-found"),
        (&format!("{ID}/resolve"), &" ".repeat(20_000), StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
    ] {
        let reply = post(&router, path, body.to_owned()).await;
        assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{path}");
    }
    for path in [&*format!("{ID}/acknowledge"), "replay"] {
        let request = HttpRequest::post(format!("/api/v1/incidents/{path}")).body(Body::from(good)).unwrap();
        let reply = send(&router, request).await;
        let expected = (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type");
        assert_eq!((reply.status, reply.problem().as_str()), expected, "a page elsewhere could send this");
    }
    assert_eq!(*lane.done.lock(), []);
}

#[tokio::test]
async fn many_incidents_are_chosen_by_fields_and_resolved_under_one_name() {
    let (router, lane) = desk();
    let flood = r#"{"by":"Bo","note":"forged","standing":"stranger","vehicle_id_prefix":"x-","vehicle_ids":["x-1"],
        "opened_from":"2026-11-22T08:00:00Z","opened_until":"2026-11-22T08:00:01.5Z","state":"open","test":false}"#;
    let reply = post(&router, "resolve", flood).await;
    let said = json!({"dry_run": false, "matched": 12, "resolved": 10, "left": 2, "recorded": true});
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, said));
    let chosen = Selection {
        vehicle_ids: Some(vec!["x-1".into()]),
        vehicle_id_prefix: Some("x-".into()),
        opened_from_ms: Some(1_795_334_400_000),
        opened_until_ms: Some(1_795_334_401_500),
        standing: Some(Standing::Stranger),
        state: Some(State::Open),
        drill: Some(false),
    };
    assert_eq!(*lane.chosen.lock(), [chosen]);
    assert_eq!(*lane.done.lock(), [request(RequestKind::Resolve, "Bo", "forged")]);
    let dry = post(&router, "resolve", r#"{"by":"Bo","test":true,"dry_run":true}"#).await.json();
    assert_eq!(dry, json!({"dry_run": true, "matched": 12, "resolved": 0, "left": 12, "recorded": true}));
    assert_eq!(lane.done.lock().len(), 1, "nothing is done");
}

#[tokio::test]
async fn nothing_is_resolved_unless_something_chooses_it() {
    let (router, lane) = desk();
    let long = "x".repeat(65);
    for (body, pointer) in [
        (json!({"by": "Bo"}), ""),
        (json!({"by": "Bo", "standing": null}), ""),
        (json!({"standing": "stranger"}), "/by"),
        (json!({"by": "Bo", "standing": "foe"}), "/standing"),
        (json!({"by": "Bo", "state": 7}), "/state"),
        (json!({"by": "Bo", "test": "maybe"}), "/test"),
        (json!({"by": "Bo", "test": true, "dry_run": 1}), "/dry_run"),
        (json!({"by": "Bo", "vehicle_id_prefix": ""}), "/vehicle_id_prefix"),
        (json!({"by": "Bo", "vehicle_id_prefix": long}), "/vehicle_id_prefix"),
        (json!({"by": "Bo", "vehicle_ids": []}), "/vehicle_ids"),
        (json!({"by": "Bo", "vehicle_ids": ["x", 7]}), "/vehicle_ids"),
        (json!({"by": "Bo", "vehicle_ids": vec!["x"; 201]}), "/vehicle_ids"),
        (json!({"by": "Bo", "opened_from": "yesterday"}), "/opened_from"),
        (json!({"by": "Bo", "prefix": "x"}), "/prefix"),
    ] {
        let reply = post(&router, "resolve", body.to_string()).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, "invalid-field");
        assert_eq!((reply.status, reply.problem().as_str()), expected, "{body}");
        assert_eq!(reply.json()["pointer"], pointer, "{body}: {}", reply.body);
    }
    assert!(lane.done.lock().is_empty() && lane.chosen.lock().is_empty());
}
