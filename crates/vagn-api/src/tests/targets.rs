//! The state of the targets over the API.

use serde_json::json;

use super::super::router;
use super::fleet::SmallFleet;
use super::lane::AT;
use super::{get, services};

#[tokio::test]
async fn targets_are_told_with_the_warnings_about_calls_and_no_others() {
    let services = services(SmallFleet::empty());
    services.readiness.warn("refused emergencies", "emergencies are refused: 5 incidents are open");
    services.readiness.warn("clock", "not believed");
    let reply = get(&router(services), "/api/v1/targets").await;
    assert_eq!(reply.header("cache-control"), "no-store");
    let mut told = reply.json();
    assert!(told.as_object_mut().unwrap().remove("time").unwrap().is_string());
    let expected = json!({
        "targets": [
            {"name": "primary", "up": true, "since": AT},
            {"name": "police", "up": false, "since": AT},
        ],
        "drill": null,
        "warnings": {"refused emergencies": "emergencies are refused: 5 incidents are open"},
    });
    assert_eq!(told, expected);
}
