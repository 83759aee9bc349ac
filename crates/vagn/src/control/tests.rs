//! Commands and a service on one data directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use redb::backends::InMemoryBackend;
use serde_json::{Value, json};
use vagn_flow::clock::ManualClock;
use vagn_flow::guard::Guard;
use vagn_flow::metrics::{MetricRegistry, ReportMetrics};
use vagn_flow::proof::DeviceMode;
use vagn_otp::testkit::until;
use vagn_otp::{Root, Strategy, Supervisor};
use vagn_registry::{Registry, Role, Share};

use super::*;
use crate::logging::HeardLog;

/// A present time, ms since 1970.
const NOW: i64 = 1_795_860_000_000;

/// A service with a control socket in a directory whose path is longer than the address of a socket may be.
struct Service {
    root: Root,
    dir: tempfile::TempDir,
    registry: Registry,
}

impl Service {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open_on(InMemoryBackend::new(), None).unwrap();
        let root = serve(&deep(&dir), registry.clone()).await;
        Self { root, dir, registry }
    }

    async fn ask(&self, request: ControlRequest) -> (Result<Value, ControlError>, Vec<ControlLine>) {
        let dir = deep(&self.dir);
        let asked = tokio::task::spawn_blocking(move || {
            let mut lines = Vec::new();
            let tell = &mut |line| {
                lines.push(line);
                Ok(())
            };
            (connect(&dir).unwrap().ask(&request, tell), lines)
        });
        asked.await.unwrap()
    }
}

fn deep(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let deep = dir.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    deep
}

/// Copies nothing, and says where to.
struct NoCopies;

impl Copier for NoCopies {
    fn copy(&self, dir: &std::path::Path, _: &mut Tell<'_>) -> Result<Value, ControlError> {
        Err(ControlError::new(Problem::Failed, format!("no copy to {}", dir.display())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_asked_of_who_makes_copies() {
    let service = Service::start().await;
    let refused = service.ask(ControlRequest::Backup { dir: "/backups/monday".into() }).await.0.unwrap_err();
    assert_eq!(refused.message, "no copy to /backups/monday");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_cluster_says_so() {
    let service = Service::start().await;
    let refused = service.ask(ControlRequest::ClusterStatus {}).await.0.unwrap_err();
    assert!(refused.problem == Problem::Refused && refused.message.contains("--nats"), "{refused}");
}

async fn serve(dir: &std::path::Path, registry: Registry) -> Root {
    let deeds = Deeds { registry, clock: Arc::new(ManualClock::at(NOW)), origin: "".into(), guard: None };
    let parts = ControlParts { deeds, copier: Arc::new(NoCopies), cluster: None };
    let child = child(ControlSocket::bind(dir).unwrap(), parts, &MetricRegistry::new());
    Supervisor::new("root", Strategy::OneForOne).child(child).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn makes_a_token_that_the_registry_knows() {
    let service = Service::start().await;
    let request = ControlRequest::TokenAdd {
        name: "eva".into(),
        role: Role::Operate,
        is_person: true,
        is_on_behalf: false,
        expires_in_ms: Some(60_000),
    };
    let made = service.ask(request.clone()).await.0.unwrap();
    assert_eq!((&made["name"], &made["role"]), (&json!("eva"), &json!("operate")));
    let digest = vagn_registry::NewSecret::digest_of(made["token"].as_str().unwrap());
    let token = &service.registry.tokens().unwrap()[0];
    assert_eq!((token.digest, token.expires_ms, token.is_person), (digest, Some(NOW + 60_000), true));
    let refused = service.ask(request).await.0.unwrap_err();
    assert_eq!(refused.problem, Problem::Refused);
    let (listed, lines) = service.ask(ControlRequest::TokenList {}).await;
    assert_eq!(listed.unwrap(), json!({"count": 1}));
    assert!(!serde_json::to_string(&lines).unwrap().contains(made["token"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tells_of_the_links_that_a_revoked_token_leaves() {
    let service = Service::start().await;
    let add = ControlRequest::TokenAdd {
        name: "desk".into(),
        role: Role::Operate,
        is_person: false,
        is_on_behalf: true,
        expires_in_ms: None,
    };
    service.ask(add).await.0.unwrap();
    let share = |by: &str, expires_ms| {
        let share = Share {
            digest: vagn_registry::NewSecret::random().digest(),
            number: 0,
            vehicle_id: "bus 7".into(),
            by: by.into(),
            added_ms: NOW,
            expires_ms,
        };
        service.registry.add_share(share).unwrap().number
    };
    let lasting = [share("desk", NOW + 1), share("Anna via desk", NOW + 1)];
    for (by, expires_ms) in [("desk", NOW), ("my desk", NOW + 1), ("Anna via helpdesk", NOW + 1)] {
        share(by, expires_ms);
    }
    let revoked = service.ask(ControlRequest::TokenRevoke { name: "desk".into() }).await.0.unwrap();
    assert_eq!((&revoked["shares"], &revoked["state"]), (&json!(lasting), &json!("revoked")));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_a_change_once_the_service_has_it_in_force() {
    let service = Service::start().await;
    let mut watch = service.registry.watch(service.registry.revision());
    let asked = service.ask(ControlRequest::ShareAdd { vehicle_id: "bus 7".into(), expires_in_ms: 1 });
    tokio::pin!(asked);
    // The part that watches has taken the change, and is not done with it.
    let changes = tokio::select! {
        _ = &mut asked => panic!("it was answered before its time"),
        changes = watch.next() => changes.unwrap(),
    };
    assert!(!changes.is_empty());
    let waits = tokio::time::timeout(std::time::Duration::from_millis(200), &mut asked).await;
    assert!(waits.is_err(), "it was answered before its time");
    tokio::select! {
        answer = &mut asked => assert!(answer.0.is_ok()),
        _ = watch.next() => panic!("nothing else changes"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_for_the_services_user_alone_and_replaces_a_stale_one() {
    let service = Service::start().await;
    let path = deep(&service.dir).join(SOCKET);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let Service { root, dir, registry } = service;
    root.stop().await;
    drop(root);
    assert!(matches!(connect(&deep(&dir)), Err(ClientError::NoService)), "nobody listens");
    let service = Service { root: serve(&deep(&dir), registry.clone()).await, dir, registry };
    assert!(service.ask(ControlRequest::DeviceList {}).await.0.is_ok());
}

#[test]
fn leaves_another_file_of_its_name_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(SOCKET), "mine").unwrap();
    assert!(ControlSocket::bind(dir.path()).unwrap_err().to_string().contains("move it away"));
    assert_eq!(std::fs::read(dir.path().join(SOCKET)).unwrap(), b"mine");
    assert!(matches!(connect(&dir.path().join("none")), Err(ClientError::NoService)));
}

/// Writes bytes to the socket, and returns what comes back.
async fn raw(service: &Service, bytes: &'static [u8]) -> String {
    let dir = deep(&service.dir);
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = folder::connect(&dir).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn what_was_done_for_a_command_that_has_left_is_in_the_log() {
    // Before the service starts, whose tasks run on this thread.
    let log = HeardLog::begin();
    let service = Service::start().await;
    let request =
        br#"{"token_add":{"name":"eva","role":"read","is_person":true,"is_on_behalf":false,"expires_in_ms":null}}"#;
    let mut command = folder::connect(&deep(&service.dir)).unwrap();
    command.write_all(&[&request[..], b"\n"].concat()).unwrap();
    drop(command);
    let mut said = String::new();
    until(|| {
        said += &log.take();
        said.contains("command on the control socket").then_some(())
    })
    .await;
    assert!(said.contains(r#"command="token_add" subject="eva (read)" done=true"#), "{said}");
    assert_eq!(service.registry.tokens().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_what_it_does_not_understand() {
    let service = Service::start().await;
    for wrong in [
        &b"\n"[..],
        b"{}\n",
        b"hello\n",
        b"{\"device_add\":{}}\n",
        b"{\"device_list\":{\"x\":1}}\n",
        b"\xff\n",
    ] {
        let answer = raw(&service, wrong).await;
        assert!(answer.starts_with("{\"error\":{\"problem\":\"invalid\""), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_a_bounded_number_of_commands_at_once() {
    let service = Service::start().await;
    let dir = deep(&service.dir);
    let silent: Vec<_> = (0..8).map(|_| folder::connect(&dir).unwrap()).collect();
    let refused = service.ask(ControlRequest::DeviceList {}).await.0.unwrap_err();
    assert_eq!(refused.problem, Problem::Busy);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_command_hear_what_was_made_for_it_and_turns_others_away() {
    let service = Service::start().await;
    let mut watch = service.registry.watch(service.registry.revision());
    let asked = service.ask(ControlRequest::ShareAdd { vehicle_id: "bus 7".into(), expires_in_ms: 1 });
    tokio::pin!(asked);
    // It is made, and not yet in force everywhere.
    tokio::select! {
        _ = &mut asked => panic!("it was answered before its time"),
        changes = watch.next() => assert!(changes.is_some()),
    }
    let stop = service.root.stop();
    let others = async {
        loop {
            let (listed, _) = service.ask(ControlRequest::ShareList {}).await;
            if let Err(err) = listed {
                break err;
            }
        }
    };
    let rest = async {
        let turned_away = others.await;
        assert_eq!(turned_away.problem, Problem::Busy, "{turned_away}");
        tokio::select! {
            (answer, _) = &mut asked => answer,
            _ = watch.next() => panic!("nothing else changes"),
        }
    };
    let (answer, _) = tokio::join!(rest, stop);
    assert!(answer.unwrap()["path"].as_str().unwrap().starts_with("/s/"));
}

/// A service that is ended once it has heard a request.
fn ask_one_that_dies(request: ControlRequest) -> ControlError {
    ask_one_that_says("", request)
}

/// A service that hears a request and says this.
fn ask_one_that_says(line: &'static str, request: ControlRequest) -> ControlError {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    let service = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(&stream).read_line(&mut String::new()).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
    });
    let err = connect(dir.path()).unwrap().ask(&request, &mut |_| Ok(())).unwrap_err();
    service.join().unwrap();
    err
}

#[test]
fn a_command_whose_service_is_ended_says_how_to_go_on() {
    let add = ControlRequest::DeviceAdd { name: "bus 7".into(), is_gateway: false, prefix: "".into() };
    let said = ask_one_that_dies(add).message;
    assert!(said.contains("vagn device rotate bus 7"), "{said}");
}

#[test]
fn what_may_be_done_is_not_busy_and_says_how_to_go_on() {
    let err = ControlError::from(vagn_registry::PutError::Doubtful("the brokers did not say".into()));
    assert_eq!(err.problem, Problem::Doubtful, "a busy service is asked again, which may make two links");
    let add = ControlRequest::ShareAdd { vehicle_id: "bus 7".into(), expires_in_ms: 1 };
    let line = "{\"error\":{\"problem\":\"doubtful\",\"message\":\"the brokers did not say\"}}\n";
    let said = ask_one_that_says(line, add);
    assert_eq!(said.problem, Problem::Doubtful);
    assert!(said.message.starts_with("the brokers did not say; if `vagn share list` shows"), "{said}");
}

#[test]
fn a_request_that_cannot_be_written_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
    let request = ControlRequest::Backup { dir: std::ffi::OsStr::from_bytes(b"/backups/\xff").into() };
    let refused = connect(dir.path()).unwrap().ask(&request, &mut |_| Ok(())).unwrap_err();
    assert_eq!(refused.problem, Problem::Invalid, "{refused}");
    drop(listener);
}

#[test]
fn a_running_service_tells_what_its_doors_know_of_a_key() {
    let guard = Guard::open_to_all(ReportMetrics::new(&MetricRegistry::new()));
    let deeds = Deeds {
        registry: Registry::open_on(InMemoryBackend::new(), None).unwrap(),
        clock: Arc::new(ManualClock::at(NOW)),
        origin: "".into(),
        guard: Some(guard.clone()),
    };
    let add = |name: &str| {
        let request = ControlRequest::DeviceAdd { name: name.into(), is_gateway: false, prefix: "".into() };
        let added = deeds.perform(request, &mut |_| Ok(())).unwrap();
        added["key_id"].as_str().unwrap().parse().unwrap()
    };
    let (ahead, near) = (add("ahead"), add("near"));
    let days = |days: u64| NOW.unsigned_abs() + days * 24 * 3_600_000 + 5;
    guard.noted().numbered(ahead, days(12), || NOW);
    guard.noted().numbered(near, days(0), || NOW);
    let mut listed = Vec::new();
    let tell = &mut |line| {
        let ControlLine::Item(item) = line else { panic!("{line:?}") };
        listed.push(item);
        Ok(())
    };
    deeds.perform(ControlRequest::DeviceList {}, tell).unwrap();
    listed.sort_by_key(|item| item["vehicle_id"].to_string());
    assert_eq!((&listed[0]["sequence"], &listed[0]["days_ahead"]), (&json!(days(12)), &json!(12)));
    assert_eq!((&listed[1]["sequence"], &listed[1]["days_ahead"]), (&Value::Null, &Value::Null));

    guard.set_mode(DeviceMode::Mixed);
    let revoke = ControlRequest::DeviceRevoke { name: "near".into() };
    assert_eq!(deeds.perform(revoke, &mut |_| Ok(())).unwrap()["auth_devices"], "mixed");
}
