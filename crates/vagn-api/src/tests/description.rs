//! The description of the API and the API itself agree.

use axum::http::{Method, StatusCode};
use serde_json::Value;

use super::super::routes::routes;
use super::super::{map, openapi, page};
use super::{austin, call, concrete, get};
use vagn_http::problem::Kind;

fn description() -> Value {
    serde_json::from_str(openapi::TEXT).unwrap()
}

/// Every operation: its path as described, its method and its description.
fn operations(description: &Value) -> Vec<(String, Method, &Value)> {
    let mut found = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
        {
            found.push((path.clone(), method.to_uppercase().parse().unwrap(), operation));
        }
    }
    found
}

#[tokio::test]
async fn is_served_as_it_is() {
    let reply = get(&austin(), openapi::ROUTE).await;
    assert_eq!((reply.status, reply.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(reply.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn every_operation_answers_with_a_status_that_is_described() {
    for (path, method, operation) in operations(&description()) {
        let asked = concrete(&path, "0190b0a0-0000-7000-8000-000000000000");
        let reply = call(&austin(), method.clone(), &asked).await;
        assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        let described = operation["responses"].get(reply.status.as_str());
        assert!(described.is_some(), "{method} {path} answers {}, which is not described", reply.status);
        if reply.status == StatusCode::NOT_FOUND {
            let detail = reply.json()["detail"].to_string();
            assert!(!detail.contains("nothing is at"), "{method} {path} is no route: {detail}");
        }
    }
}

/// Pages and their files are for browsers, not for clients of the API.
const NOT_DESCRIBED: [&str; 5] = [
    page::CONSOLE_ROUTE,
    page::CONSOLE_SLASH_ROUTE,
    page::SHARE_ROUTE,
    page::ASSET_ROUTE,
    page::LICENSES_ROUTE,
];

#[test]
fn every_route_is_described_and_every_operation_is_a_route() {
    let described = description();
    let mut operations: Vec<_> =
        operations(&described).into_iter().map(|(path, method, _)| (path, method)).collect();
    let routes = routes().into_iter().filter(|route| !NOT_DESCRIBED.contains(&route.path()));
    // A route that answers every method is described by its GET.
    let mut routes: Vec<_> = routes
        .map(|route| (route.path().to_owned(), route.method().cloned().unwrap_or(Method::GET)))
        .collect();
    operations.sort_by_key(|(path, method)| format!("{path} {method}"));
    routes.sort_by_key(|(path, method)| format!("{path} {method}"));
    assert_eq!(operations, routes);
}

#[tokio::test]
async fn an_incident_has_the_fields_that_are_described() {
    let answer = get(&austin(), &format!("/api/v1/incidents/{}", super::lane::ID)).await.json();
    let schemas = &description()["components"]["schemas"];
    for (pointer, schema, apart) in [
        ("", "Incident", &["ledger", "trail"][..]),
        ("/call", "Call", &[]),
        ("/call/latest/0", "Attempt", &["status"]),
        ("/call/targets/0", "TargetCall", &[]),
        ("/call/escalation", "Escalation", &[]),
        ("/ledger/0", "LedgerEntry", &["status"]),
        ("/trail/0", "TrailEntry", &[]),
    ] {
        let mut fields: Vec<_> = answer.pointer(pointer).unwrap().as_object().unwrap().keys().collect();
        fields.retain(|name| !apart.contains(&name.as_str()));
        let mut described: Vec<_> = schemas[schema]["required"].as_array().unwrap().iter().collect();
        fields.sort_unstable();
        described.sort_unstable_by_key(|name| name.as_str());
        assert_eq!(serde_json::json!(fields), serde_json::json!(described), "{schema}");
    }
}

#[tokio::test]
async fn the_settings_of_the_map_have_the_fields_that_are_described() {
    let answer = get(&austin(), map::SETTINGS_ROUTE).await.json();
    let mut fields: Vec<_> = answer.as_object().unwrap().keys().collect();
    let described = description();
    let mut required: Vec<_> = described["components"]["schemas"]["MapSettings"]["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    fields.sort_unstable();
    required.sort_unstable();
    assert_eq!(fields, required);
}

#[test]
fn has_the_version_of_the_program() {
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(root: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(reference)) = map.get("$ref") {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(root.pointer(pointer).is_some(), "{reference} leads nowhere");
                }
                map.values().for_each(|value| walk(root, value));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(root, value)),
            _ => {}
        }
    }
    let root = description();
    walk(&root, &root);
}

#[test]
fn every_problem_is_described() {
    let described = description();
    let names = &described["components"]["schemas"]["Problem"]["properties"]["type"]["enum"];
    let expected: Vec<_> = Kind::ALL.iter().map(|kind| format!("urn:vagn:problem:{}", kind.name())).collect();
    assert_eq!(*names, serde_json::json!(expected));
}
