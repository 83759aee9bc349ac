//! The ops pages over a small tree of real processes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use vagn_otp::{Actor, Addr, ChildSpec, Context, Handle, Root, Strategy, Supervisor, TaskContext};

use vagn_store::Key;
use vagn_wire::{Oddities, Oddity};

use super::{Services, ShowCluster, router};
use crate::odd::OddFleet;
use vagn_flow::clock::{ManualClock, SystemClock};
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::readiness::{Purpose, Readiness};
use vagn_flow::rfc3339::rfc3339;
use vagn_flow::trust::Trust;

/// Counts its messages.
struct Counter(u64);

impl Actor for Counter {}

struct Count;

impl Handle<Count> for Counter {
    type Reply = u64;

    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// Takes this long.
struct Work(Duration);

impl Handle<Work> for Counter {
    type Reply = ();

    async fn handle(&mut self, Work(time): Work, _: &mut Context<Self>) {
        tokio::time::sleep(time).await;
    }
}

/// Time of the clock, ms since 1970.
const NOW_MS: i64 = 1_800_000_000_000;

struct Fixture {
    router: Router,
    readiness: Arc<Readiness>,
    counter: Addr<Counter>,
    root: Root,
}

async fn fixture(fault_injection: bool) -> Fixture {
    fixture_in(fault_injection, None).await
}

async fn fixture_in(fault_injection: bool, cluster: Option<ShowCluster>) -> Fixture {
    let (counter, spec) = ChildSpec::actor("counter", 8, || Counter(0));
    let doors = Supervisor::new("doors", Strategy::OneForOne).children(["udp", "tcp"].map(open));
    let root = Supervisor::new("vagn", Strategy::OneForOne).intensity(10, Duration::from_secs(1)).child(spec);
    let root = root.child(ChildSpec::supervisor(doors)).child(open("web")).start().await.unwrap();
    let readiness = Arc::new(Readiness::default());
    let processes = Arc::new(OnceLock::from(root.processes()));
    let registry = MetricRegistry::new();
    ReportMetrics::new(&registry);
    let odd = OddFleet::new(2);
    let table = odd.of_partition(1);
    table.lock().note(Key::Text("bus 1"), NOW_MS - 90_000, Oddities::of(Oddity::TimeAhead));
    table.lock().note(Key::Text("bus 1"), NOW_MS, Oddities::of(Oddity::TimeAhead));
    let services = Services {
        registry,
        trust: trust(),
        readiness: readiness.clone(),
        processes,
        odd,
        clock: Arc::new(ManualClock::at(NOW_MS)),
        cluster,
        names: Vec::new(),
        fault_injection,
    };
    Fixture { router: router(services), readiness, counter, root }
}

fn trust() -> Arc<Trust> {
    Trust::blind(Arc::new(SystemClock::new()))
}

/// A door that stays closed for 30 s after a failure.
fn open(name: &str) -> ChildSpec {
    let run = |ctx: TaskContext| async move {
        ctx.ready();
        ctx.stopping().await;
        Ok(())
    };
    ChildSpec::task(name, run).backoff(Duration::from_secs(30), Duration::from_secs(30))
}

async fn call(router: &Router, method: Method, path: &str) -> (StatusCode, String) {
    let request =
        Request::builder().method(method).uri(path).header("x-vagn", "1").body(Body::empty()).unwrap();
    let response = TowerToHyperService::new(router.clone()).call(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.into()).unwrap())
}

async fn get(router: &Router, path: &str) -> (StatusCode, String) {
    call(router, Method::GET, path).await
}

async fn count(counter: &Addr<Counter>) -> Result<u64, vagn_otp::CallError> {
    counter.call(Count, Duration::from_secs(5)).await
}

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|err| panic!("{err}: {body}"))
}

#[tokio::test]
async fn names_the_vehicles_that_behave_oddly() {
    let fixture = fixture(false).await;
    let (status, body) = get(&fixture.router, "/oddities").await;
    assert_eq!(status, StatusCode::OK);
    let odd = json!({
        "part": "clock",
        "what": "time_ahead",
        "since": rfc3339(NOW_MS - 90_000),
        "last": rfc3339(NOW_MS),
        "reports": 2,
    });
    let want = json!({
        "vehicles": {"clock": 1, "counter": 0, "position": 0},
        "latest": [{"vehicle_id": "bus 1", "odd": [odd]}],
    });
    assert_eq!(json(&body), want);
}

#[tokio::test]
async fn is_alive_even_when_it_is_not_ready() {
    let fixture = fixture(false).await;
    fixture.readiness.missing("partition 0", Purpose::FLEET, "recovering");
    fixture.readiness.warn("emergency", "no target");
    assert_eq!(get(&fixture.router, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    let (status, body) = get(&fixture.router, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        json(&body),
        json!({
            "ready": false,
            "missing": {"partition 0": "recovering"},
            "warnings": {"emergency": "no target"},
            "can_take_alarms": true,
            "can_ask": false,
            "can_store": false,
        })
    );
    fixture.readiness.present("partition 0");
    let (status, body) = get(&fixture.router, "/readyz").await;
    assert_eq!((status, &json(&body)["warnings"]["emergency"]), (StatusCode::OK, &json!("no target")));
}

#[tokio::test(start_paused = true)]
async fn is_not_ready_while_a_door_or_the_api_is_closed() {
    for (process, name) in [("doors/udp", "door udp"), ("doors/tcp", "door tcp"), ("web", "web")] {
        let fixture = fixture(false).await;
        assert_eq!(get(&fixture.router, "/readyz").await.0, StatusCode::OK);
        assert!(fixture.root.processes().kill(&format!("vagn/{process}")));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let (status, body) = get(&fixture.router, "/readyz").await;
        let report = json(&body);
        let missing = report["missing"].as_object().unwrap();
        assert_eq!((status, missing.len()), (StatusCode::SERVICE_UNAVAILABLE, 1), "{body}");
        assert!(missing[name].as_str().unwrap().starts_with("waiting for 10 s; its last end: "), "{body}");
        assert_eq!(report["ready"], json!(false));
        assert_eq!(report["can_take_alarms"], json!(true), "another entrance is open");
        assert_eq!(report["can_ask"], json!(name != "web"));
        tokio::time::sleep(Duration::from_secs(21)).await;
        assert_eq!(get(&fixture.router, "/readyz").await.0, StatusCode::OK, "it is open again");
    }
}

#[tokio::test]
async fn shows_the_tree_and_its_metrics() {
    let fixture = fixture(false).await;
    assert_eq!(count(&fixture.counter).await, Ok(1));
    let (_, body) = get(&fixture.router, "/actors").await;
    let tree = json(&body);
    assert_eq!((&tree["name"], &tree["kind"]), (&json!("vagn"), &json!("supervisor")));
    let counter = &tree["children"][0];
    assert_eq!((&counter["path"], &counter["kind"]), (&json!("vagn/counter"), &json!("actor")));
    assert_eq!((&counter["state"], &counter["mailbox"]["capacity"]), (&json!("running"), &json!(8)));
    let (_, page) = get(&fixture.router, "/metrics").await;
    for line in [
        r#"vagn_mailbox_depth{actor="counter"} 0"#,
        r#"vagn_mailbox_capacity{actor="counter"} 8"#,
        r#"vagn_actor_restarts_total{actor="counter"} 0"#,
        r#"vagn_reports_total{fate="stored"} 0"#,
    ] {
        assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
    }
    assert!(page.ends_with("# EOF\n"));
}

#[tokio::test]
async fn shows_the_nodes_of_a_cluster_beside_the_tree() {
    let alone = fixture(false).await;
    let (_, body) = get(&alone.router, "/actors").await;
    assert_eq!(json(&body).get("cluster"), None, "on one machine");
    for shown in [Some(json!({"members": [{"name": "north-1", "heard": true}]})), None] {
        let show = shown.clone();
        let fixture = fixture_in(false, Some(Arc::new(move || show.clone()))).await;
        let (status, body) = get(&fixture.router, "/actors").await;
        let tree = json(&body);
        assert_eq!((status, &tree["name"]), (StatusCode::OK, &json!("vagn")));
        assert_eq!(
            tree.get("cluster"),
            Some(&shown.unwrap_or(Value::Null)),
            "null while the node does not run"
        );
    }
}

/// Reads the counter's mailbox from `/actors`, and checks that `/metrics` says the same.
async fn mailbox(fixture: &Fixture) -> Value {
    let (_, body) = get(&fixture.router, "/actors").await;
    let counter = json(&body)["children"][0].clone();
    let (_, page) = get(&fixture.router, "/metrics").await;
    for (name, value) in [
        ("mailbox_oldest_seconds", &counter["mailbox"]["oldest_s"]),
        ("mailbox_stalled_seconds", &counter["mailbox"]["stalled_s"]),
        ("actor_wakeups_total", &counter["wakeups"]),
    ] {
        let line = format!(r#"vagn_{name}{{actor="counter"}} {value}"#);
        assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
    }
    json!([
        counter["mailbox"]["oldest_s"],
        counter["mailbox"]["stalled_s"],
        counter["handled"],
        counter["wakeups"]
    ])
}

#[tokio::test(start_paused = true)]
async fn a_stuck_actor_shows_a_long_time_since_the_last_message_was_taken() {
    let fixture = fixture(false).await;
    assert_eq!(mailbox(&fixture).await, json!([0.0, 0.0, 0, 0]));
    for seconds in [60, 1] {
        fixture.counter.try_tell(Work(Duration::from_secs(seconds))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mailbox(&fixture).await, json!([10.0, 10.0, 0, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_busy_actor_shows_old_messages_and_that_the_last_was_taken_just_now() {
    let fixture = fixture(false).await;
    for _ in 0..8 {
        fixture.counter.try_tell(Work(Duration::from_secs(3))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mailbox(&fixture).await, json!([10.0, 1.0, 3, 1]));
}

#[tokio::test]
async fn an_injected_fault_makes_a_process_fail_and_its_restart_is_shown() {
    let fixture = fixture(true).await;
    for name in ["counter", "vagn%2Fcounter"] {
        let (status, _) =
            call(&fixture.router, Method::POST, &format!("/actors/{name}/fault?kind=panic")).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(count(&fixture.counter).await, Err(vagn_otp::CallError::Crashed));
        assert_eq!(count(&fixture.counter).await, Ok(1), "it starts anew");
    }
    let (_, body) = get(&fixture.router, "/actors").await;
    let counter = &json(&body)["children"][0];
    assert_eq!(counter["restarts"], json!(2));
    assert!(counter["last_exit"].as_str().unwrap().starts_with("panicked: injected panic"), "{body}");
    let (_, page) = get(&fixture.router, "/metrics").await;
    assert!(page.contains(r#"vagn_actor_restarts_total{actor="counter"} 2"#), "{page}");
}

#[tokio::test]
async fn a_fault_that_cannot_be_injected_is_refused_with_a_reason() {
    let closed = fixture(false).await.router;
    let open = fixture(true).await.router;
    for (router, path, status, word) in [
        (&closed, "/actors/counter/fault?kind=panic", StatusCode::FORBIDDEN, "ops.fault_injection"),
        (&open, "/actors/counter/fault?kind=flood", StatusCode::BAD_REQUEST, "panic or hang"),
        (&open, "/actors/counter/fault", StatusCode::BAD_REQUEST, "panic or hang"),
        (&open, "/actors/unknown/fault?kind=hang", StatusCode::NOT_FOUND, "unknown"),
        (&open, "/actors/vagn/fault?kind=hang", StatusCode::NOT_FOUND, "vagn"),
    ] {
        let (got, body) = call(router, Method::POST, path).await;
        assert_eq!(got, status, "{path}: {body}");
        assert!(json(&body)["detail"].as_str().unwrap().contains(word), "{path}: {body}");
    }
    assert_eq!(call(&open, Method::GET, "/actors/counter/fault").await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(get(&open, "/favicon.ico").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_page_in_a_browser_reaches_nothing_here() {
    let fixture = fixture(true).await;
    for (method, path, header) in [
        (Method::GET, "/metrics", ("host", "evil.example")),
        (Method::GET, "/nowhere", ("host", "evil.example")),
        (Method::POST, "/clock/accept", ("host", "localhost")),
        (Method::POST, "/actors/counter/fault?kind=panic", ("host", "localhost")),
        (Method::POST, "/actors/counter/fault?kind=panic", ("origin", "https://evil.example")),
    ] {
        let request = Request::builder().method(method).uri(path).header(header.0, header.1);
        let response =
            TowerToHyperService::new(fixture.router.clone()).call(request.body(Body::empty()).unwrap());
        let status = response.await.unwrap().status();
        assert!(matches!(status.as_u16(), 403 | 421), "{path} {header:?}: {status}");
    }
    assert_eq!(count(&fixture.counter).await, Ok(1), "nothing has failed");
    let (_, page) = get(&fixture.router, "/metrics").await;
    for line in [
        r#"vagn_ops_requests_refused_total{reason="host"} 2"#,
        r#"vagn_ops_requests_refused_total{reason="header"} 3"#,
    ] {
        assert!(page.lines().any(|each| each == line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn answers_503_while_the_tree_is_still_starting() {
    let services = Services {
        registry: MetricRegistry::new(),
        trust: trust(),
        readiness: Arc::new(Readiness::default()),
        processes: Arc::new(OnceLock::new()),
        odd: OddFleet::new(1),
        clock: Arc::new(ManualClock::at(NOW_MS)),
        cluster: None,
        names: Vec::new(),
        fault_injection: false,
    };
    let router = router(services);
    assert_eq!(get(&router, "/actors").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&router, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&router, "/metrics").await.0, StatusCode::OK);
}
