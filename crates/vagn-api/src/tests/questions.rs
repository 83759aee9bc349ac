//! Questions about the fleet, and their answers.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde_json::json;

use super::super::services::Unavailable;
use super::super::{QueryMetrics, Services, router};
use super::fleet::SmallFleet;
use super::{NOW_MS, austin, call, failing, get, send, services};
use vagn_flow::metrics::MetricRegistry;
use vagn_flow::rfc3339::rfc3339;

fn ids(features: &serde_json::Value) -> Vec<&str> {
    features.as_array().unwrap().iter().map(|feature| feature["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn answers_the_nearest_as_the_original_does() {
    let expected = format!(
        r#"[{{"ID":"bus 1","Lat":30.27,"Lon":-97.74,"Date":{}}},{{"ID":"bus 2","Lat":30.28,"Lon":-97.74,"Date":{}}}]"#,
        NOW_MS - 250,
        NOW_MS - 1_000
    );
    for method in [Method::GET, Method::POST, Method::PUT] {
        let reply = call(&austin(), method, "/?lat=30.27&lon=-97.74&k=2&x=y").await;
        assert_eq!((reply.status, reply.body.as_str()), (StatusCode::OK, expected.as_str()));
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let head = call(&austin(), Method::HEAD, "/?lat=30.27&lon=-97.74&k=2").await;
    assert_eq!(
        (head.body.as_str(), head.header("content-length")),
        ("", expected.len().to_string().as_str())
    );
    for method in [Method::TRACE, Method::QUERY] {
        let refused = call(&austin(), method, "/?lat=30.27&lon=-97.74&k=2").await;
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
        );
        assert_eq!(refused.header("allow"), "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS");
    }
}

#[tokio::test]
async fn writes_the_original_s_numbers_and_escapes() {
    let reply = get(&austin(), "/?lat=-17.5&lon=-180&k=1").await;
    assert_eq!(
        reply.body,
        format!(r#"[{{"ID":"\u003cferry\u003e","Lat":-17.5,"Lon":180,"Date":{NOW_MS}}}]"#)
    );
    let empty = router(services(SmallFleet::empty()));
    assert_eq!(get(&empty, "/?lat=1&lon=2").await.body, "[]");
}

#[tokio::test]
async fn a_url_that_a_shell_cut_off_is_told_so() {
    for (path, missing) in [("/?lon=-97.74", "lat"), ("/?lat=30.27", "lon")] {
        let reply = get(&austin(), path).await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::BAD_REQUEST, "invalid-parameter"));
        let problem = reply.json();
        assert_eq!(problem["parameter"], missing);
        assert!(problem["detail"].as_str().unwrap().contains("quoted"), "{problem}");
    }
}

#[tokio::test]
async fn nearby_says_how_far_and_how_old() {
    let reply = get(&austin(), "/api/v1/vehicles/nearby?lat=30.28&lon=-97.74&k=1").await;
    assert_eq!(reply.header("content-type"), "application/geo+json");
    assert_eq!(
        reply.json(),
        json!({
            "type": "FeatureCollection", "time": "2026-09-21T14:13:20.000Z", "returned": 1, "truncated": false,
            "features": [{
                "type": "Feature", "id": "bus 2",
                "geometry": {"type": "Point", "coordinates": [-97.74, 30.28]},
                "properties": {
                    "distance_m": 0.0, "age_s": 1.0, "time": "2026-09-21T14:13:19.000Z",
                    "speed_mps": 12.5, "heading_deg": null, "emergency_flag": false,
                },
            }],
        })
    );
}

#[tokio::test]
async fn nearby_keeps_to_radius_and_age() {
    for (bounds, expected) in [
        ("", vec!["bus 1", "bus 2", "bus 3", "<ferry>"]),
        ("&radius_m=5000", vec!["bus 1", "bus 2"]),
        ("&max_age_s=30", vec!["bus 1", "bus 2", "<ferry>"]),
        ("&max_age_s=0.5&radius_m=5000", vec!["bus 1"]),
        ("&max_age_s=0&radius_m=0", vec![]),
    ] {
        let reply = get(&austin(), &format!("/api/v1/vehicles/nearby?lat=30.27&lon=-97.74{bounds}")).await;
        assert_eq!(ids(&reply.json()["features"]), expected, "{bounds}");
    }
}

#[tokio::test]
async fn a_box_may_cross_the_antimeridian_and_says_when_it_is_cut() {
    let reply = get(&austin(), "/api/v1/vehicles?bbox=179,-18,-179,-17").await;
    assert_eq!(ids(&reply.json()["features"]), ["<ferry>"]);
    for (limit, returned, truncated) in [(2, 2, true), (3, 3, false)] {
        let reply =
            get(&austin(), &format!("/api/v1/vehicles?bbox=-98,30,-97,31&limit={limit}")).await.json();
        assert_eq!((&reply["returned"], &reply["truncated"]), (&json!(returned), &json!(truncated)));
        assert_eq!(reply["features"].as_array().unwrap().len(), returned);
    }
}

#[tokio::test]
async fn one_vehicle_is_found_by_its_id_and_may_be_forgotten() {
    let reply = get(&austin(), "/api/v1/vehicles/bus%203").await;
    assert_eq!(
        (&reply.json()["id"], &reply.json()["properties"]["emergency_flag"]),
        (&json!("bus 3"), &json!(true))
    );
    assert_eq!(
        call(&austin(), Method::DELETE, "/api/v1/vehicles/bus%203").await.status,
        StatusCode::NO_CONTENT
    );
    for method in [Method::GET, Method::DELETE] {
        let reply = call(&austin(), method, "/api/v1/vehicles/bus%204").await;
        assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    }
    for (path, id) in [("a%2Fb", "a/b"), ("%6Eearby", "nearby"), ("b%C3%A5t%20%F0%9F%9A%8C", "båt 🚌")] {
        let detail = get(&austin(), &format!("/api/v1/vehicles/{path}")).await.json()["detail"].to_string();
        assert!(detail.contains(id), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_vehicle_of_any_id_is_found_by_a_parameter() {
    let ids = ["nearby", "stream", ".", "..", "/", "a/b", "%2F", " ", "?", "a&b=c", "båt"];
    let router = router(services(SmallFleet::at(&ids.map(|id| (id, 1.0, 2.0, 0)))));
    for id in ids {
        let query: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!("/api/v1/vehicle?id={query}");
        let reply = get(&router, &path).await;
        assert_eq!((reply.status, &reply.json()["id"]), (StatusCode::OK, &json!(id)), "{id}");
        assert_eq!(call(&router, Method::DELETE, &path).await.status, StatusCode::NO_CONTENT, "{id}");
    }
    for (query, parameter) in
        [("", "id"), ("?id=", "id"), ("?id=a&id=b", "id"), ("?id=a&bbox=1,2,3,4", "bbox")]
    {
        let reply = get(&router, &format!("/api/v1/vehicle{query}")).await;
        assert_eq!((reply.status, &reply.json()["parameter"]), (StatusCode::BAD_REQUEST, &json!(parameter)));
    }
    assert_eq!(get(&router, "/api/v1/vehicle?id=bus").await.problem(), "not-found");
}

#[tokio::test]
async fn a_long_answer_is_the_same_in_pieces() {
    let names: Vec<String> = (0..700).map(|number| format!("bus {number}")).collect();
    let vehicles: Vec<_> =
        names.iter().zip(0..).map(|(id, at)| (id.as_str(), 1.0, 0.01 * at as f64, 0)).collect();
    let router = router(services(SmallFleet::at(&vehicles)));
    for count in [1, 40, 41, 100, 101, 700] {
        for path in [
            "/?lat=1&lon=0&k=",
            "/api/v1/vehicles/nearby?lat=1&lon=0&k=",
            "/api/v1/vehicles?bbox=-1,0,8,2&limit=",
        ] {
            let answer = get(&router, &format!("{path}{count}")).await.json();
            let found = answer.as_array().or_else(|| answer["features"].as_array()).unwrap();
            assert_eq!(found.len(), count, "{path}");
            if path.contains("nearby") {
                assert_eq!(
                    (ids(&answer["features"]), &answer["returned"]),
                    (names[..count].iter().map(String::as_str).collect(), &json!(count))
                );
            }
            if path.contains("bbox") {
                assert_eq!(answer["truncated"], json!(count < 700));
            }
        }
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    for (path, parameter) in [
        ("/?lat=91&lon=0", "lat"),
        ("/?lat=&lon=0", "lat"),
        ("/?lat=0&lon=0&k=0", "k"),
        ("/api/v1/vehicles/nearby?lat=0", "lon"),
        ("/api/v1/vehicles/nearby?lat=0&lon=0&radius_m=-1", "radius_m"),
        ("/api/v1/vehicles/nearby?lat=0&lon=0&max_age_s=x", "max_age_s"),
        ("/api/v1/vehicles", "bbox"),
        ("/api/v1/vehicles?bbox=1,2,3", "bbox"),
        ("/api/v1/vehicles?bbox=0,0,1,1&limit=10001", "limit"),
        ("/api/v1/vehicles/%ff", "id"),
        ("/api/v1/vehicles/a%0Ab", "id"),
        (&format!("/api/v1/vehicles/{}", "x".repeat(65)), "id"),
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

#[tokio::test]
async fn a_parameter_that_a_path_does_not_know_is_refused_and_nothing_done() {
    for (method, path) in [
        (Method::GET, "/api/v1/vehicles/nearby?lat=0&lon=0&"),
        (Method::GET, "/api/v1/vehicles?bbox=0,0,1,1&"),
        (Method::GET, "/api/v1/vehicles/bus%203?"),
        (Method::DELETE, "/api/v1/vehicles/bus%203?"),
        (Method::POST, "/api/v1/positions?"),
        (Method::GET, "/api/v1/incidents?"),
        (Method::GET, "/api/v1/incidents/019a0000-0000-7000-8000-000000000001?"),
        (Method::GET, "/api/v1/incidents/events?"),
        (Method::GET, "/api/v1/incidents/019a0000-0000-7000-8000-000000000001/responders?"),
        (Method::POST, "/api/v1/incidents/019a0000-0000-7000-8000-000000000001/resolve?"),
        (Method::GET, "/api/v1/audit/head?"),
        (Method::GET, "/api/v1/audit/trail?"),
        (Method::GET, "/api/v1/openapi.json?"),
        (Method::GET, "/licenses.txt?"),
        (Method::GET, "/map/settings.json?"),
        (Method::GET, "/map/base.pmtiles?"),
    ] {
        let reply = call(&austin(), method.clone(), &format!("{path}max_age=5")).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (StatusCode::BAD_REQUEST, "invalid-parameter"),
            "{method} {path}"
        );
        assert_eq!(reply.json()["parameter"], "max_age", "{method} {path}: {}", reply.body);
        assert!(reply.json()["detail"].as_str().unwrap().contains("`max_age` is unknown"), "{}", reply.body);
    }
    for page in ["/?x=1", "/incidents?x=1"] {
        assert_eq!(get(&austin(), page).await.status, StatusCode::OK, "{page}");
    }
}

#[tokio::test]
async fn an_unknown_place_or_method_is_a_problem_too() {
    let reply = get(&austin(), "/api/v2/vehicles").await;
    assert_eq!((reply.status, reply.problem().as_str()), (StatusCode::NOT_FOUND, "not-found"));
    let reply = call(&austin(), Method::PATCH, "/api/v1/vehicles/bus%201").await;
    assert_eq!(
        (reply.status, reply.problem().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
    );
    assert_eq!(reply.header("allow"), "GET,HEAD,DELETE");
}

#[tokio::test]
async fn never_shows_a_part_of_the_fleet_as_if_it_were_all() {
    for (why, problem, status) in [
        (Unavailable::NotReady, "not-ready", StatusCode::SERVICE_UNAVAILABLE),
        (Unavailable::Full, "overloaded", StatusCode::SERVICE_UNAVAILABLE),
        (Unavailable::Late, "deadline-passed", StatusCode::SERVICE_UNAVAILABLE),
        (Unavailable::NoLeader, "in-doubt", StatusCode::SERVICE_UNAVAILABLE),
        (Unavailable::NotYet, "not-ready", StatusCode::SERVICE_UNAVAILABLE),
        (Unavailable::Crashed, "internal", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        for path in [
            "/?lat=0&lon=0",
            "/api/v1/vehicles/nearby?lat=0&lon=0",
            "/api/v1/vehicles?bbox=0,0,1,1",
            "/api/v1/vehicles/bus%201",
        ] {
            let reply = get(&failing(why), path).await;
            assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{path}");
            let again = status == StatusCode::SERVICE_UNAVAILABLE && problem != "in-doubt";
            assert_eq!(reply.header("retry-after") == "1", again, "{problem}");
        }
    }
}

#[tokio::test]
async fn one_vehicle_tells_what_is_odd_about_it() {
    let router = router(services(SmallFleet::austin()));
    let odd = get(&router, "/api/v1/vehicles/bus%202").await.json();
    let since = rfc3339(NOW_MS - 90_000);
    let want = json!([{ "part": "clock", "what": "time_near_1970", "since": since, "last": rfc3339(NOW_MS), "reports": 12 }]);
    assert_eq!(odd["properties"]["odd"], want);
    let well = get(&router, "/api/v1/vehicles/bus%201").await.json();
    assert!(well["properties"].get("odd").is_none(), "{well}");
}

#[tokio::test]
async fn counts_every_question_under_its_route() {
    let registry = MetricRegistry::new();
    let metrics = QueryMetrics::new(&registry);
    let router = router(Services { metrics, ..services(SmallFleet::austin()) });
    get(&router, "/?lat=0&lon=0").await;
    get(&router, "/api/v1/vehicles/bus%201").await;
    get(&router, "/api/v1/vehicles/bus%204").await;
    let page = registry.page();
    assert!(page.contains(r#"vagn_query_seconds_count{route="/"} 1"#), "{page}");
    assert!(page.contains(r#"vagn_query_seconds_count{route="/api/v1/vehicles/{id}"} 2"#), "{page}");
}

#[tokio::test]
async fn with_tokens_set_data_is_for_their_bearers_only() {
    let guarded = || {
        let mut services = services(SmallFleet::austin());
        services.entry = vagn_http::testing::entry(&["s3cret"]);
        router(services)
    };
    for path in ["/?lat=0&lon=0", "/api/v1/vehicles/nearby?lat=0&lon=0", "/api/v1/openapi.json"] {
        let reply = get(&guarded(), path).await;
        assert_eq!(
            (reply.status, reply.problem().as_str()),
            (StatusCode::UNAUTHORIZED, "unauthorized"),
            "{path}"
        );
        assert_eq!(reply.header("www-authenticate"), "Bearer realm=\"vagn\"");
        let request =
            Request::get(path).header(header::AUTHORIZATION, "Bearer s3cret").body(Body::empty()).unwrap();
        assert_eq!(send(&guarded(), request).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(get(&guarded(), "/").await.status, StatusCode::OK, "the page holds no data");
}
