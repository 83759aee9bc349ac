//! The trail over the API.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::{SmallLane, entry};
use super::{austin, get, services};

fn head() -> Value {
    json!({"head": format!("5:{:064x}", 5)})
}

#[tokio::test]
async fn a_trail_is_one_entry_per_line_and_the_head_in_the_last() {
    assert_eq!(get(&austin(), "/api/v1/audit/head").await.json(), head());
    for (query, first, last) in
        [("", 1, 5), ("?after=0&limit=2", 1, 2), ("?after=3", 4, 5), ("?after=5", 6, 5), ("?after=9", 6, 5)]
    {
        let reply = get(&austin(), &format!("/api/v1/audit/trail{query}")).await;
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> = reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let entries = (first..=last).map(|seq| serde_json::to_value(entry(seq)).unwrap());
        assert_eq!(lines, entries.chain([head()]).collect::<Vec<_>>(), "{query}");
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_no_empty_trail() {
    let mut services = services(SmallFleet::empty());
    services.incidents = Arc::new(SmallLane { trail: None, ..SmallLane::new() });
    let router = router(services);
    for path in ["/api/v1/audit/head", "/api/v1/audit/trail"] {
        let reply = get(&router, path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not-ready"));
    }
}

#[tokio::test]
async fn a_page_has_bounds() {
    for query in ["after=-1", "after=9223372036854775808", "limit=0", "limit=10001", "before=1"] {
        let reply = get(&austin(), &format!("/api/v1/audit/trail?{query}")).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "invalid-parameter"));
    }
}
