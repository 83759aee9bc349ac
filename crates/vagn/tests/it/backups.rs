//! A copy of the whole service, made while it runs or when it has stopped, and brought back elsewhere.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::audit;
use crate::stored_acks::{hear, say, vehicle};
use crate::vagn::{Vagn, command, eventually, report};

/// Incidents by vehicle, as their alarms were answered.
type Answered = BTreeMap<String, String>;

fn run(args: &[&str]) -> Output {
    command().args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command, checks its exit code, and returns all that it says.
fn said(args: &[&str], code: i32) -> String {
    let output = run(args);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert_eq!(output.status.code(), Some(code), "vagn {args:?}: {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Sends positions and alarms until `ends`, and notes each alarm that is answered.
fn flow(vagn: &Vagn, ends: Arc<AtomicBool>, answered: Arc<Mutex<Answered>>) -> std::thread::JoinHandle<()> {
    let socket = vehicle(vagn);
    #[expect(clippy::disallowed_methods, reason = "a test has no supervisor")]
    std::thread::spawn(move || {
        for number in 0.. {
            if ends.load(Ordering::Relaxed) {
                return;
            }
            for bus in 0..20 {
                socket.send(&report(&format!("bus-{bus}"), 59.0, f64::from(number % 90), false)).unwrap();
            }
            socket.send(&say(&format!("calls-{number}"), Some(1), true)).unwrap();
            let Some((id, _, incident)) = hear(&socket) else { continue };
            answered.lock().unwrap().insert(id, incident);
        }
    })
}

/// Asks with a token.
async fn get(vagn: &Vagn, token: &str, path: &str) -> serde_json::Value {
    let asked = crate::vagn::client().get(vagn.url(path)).bearer_auth(token);
    asked.send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_service_has_all_that_was_answered_before_and_is_restored_elsewhere() {
    let outer = tempfile::tempdir().unwrap();
    let [data, backup, to] = ["data", "backup", "restored"].map(|name| outer.path().join(name));
    let vagn = Vagn::start(&data, &[]);
    let token = vagn.control(&serde_json::json!({"token_add": {"name": "anna", "role": "read"}}));
    let token = token.last().unwrap()["ok"]["token"].as_str().unwrap().to_owned();
    let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Answered::new())));
    let flowing = flow(&vagn, ends.clone(), answered.clone());
    eventually("some answers", async || answered.lock().unwrap().len() >= 20).await;
    let before = answered.lock().unwrap().clone();
    // An answer tells of the incident; the position comes into the log by another way, perhaps later.
    for id in before.keys() {
        let path = format!("/api/v1/vehicles/{id}");
        eventually("the position of the alarm", async || {
            get(&vagn, &token, &path).await["id"] == id.as_str()
        })
        .await;
    }
    eventually("the census", async || !census(&data).is_empty()).await;
    let made = said(&["backup", text(&backup), "--data-dir", text(&data)], 0);
    let during = answered.lock().unwrap().len();
    eventually("answers after it", async || answered.lock().unwrap().len() > during).await;
    ends.store(true, Ordering::Relaxed);
    flowing.join().unwrap();
    let refused = said(&["backup", text(&backup), "--data-dir", text(&data)], 64);
    assert!(refused.contains("is not empty"), "{refused}");
    drop(vagn);

    let head = made.lines().find_map(|line| line.strip_prefix("trail ")).unwrap();
    let restored = said(&["restore", text(&backup), "--data-dir", text(&to)], 0);
    assert!(restored.contains(head), "{restored}");
    assert!(!census(&to).is_empty(), "not everybody is known there");
    assert!(to.join("answers").exists(), "the numbers of sealed answers go on from where they were");
    audit::said(&["verify", "--data-dir", text(&to), "--head", head], 0);
    let vagn = Vagn::start(&to, &[]);
    for (id, incident) in &before {
        let found = get(&vagn, &token, &format!("/api/v1/incidents/{incident}")).await;
        assert_eq!(found["vehicle_id"], id.as_str(), "{found}");
        assert_eq!(get(&vagn, &token, &format!("/api/v1/vehicles/{id}")).await["id"], id.as_str());
    }
    let (_, ready) = vagn.ops("/readyz").await;
    assert!(!ready.contains("journal") && !ready.contains("lost"), "{ready}");
}

/// Returns the files of the census.
fn census(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(data.join("census")).into_iter().flatten().flatten();
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let whole = named.filter(|(name, _)| !name.ends_with(".tmp"));
    whole.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
}

#[tokio::test]
async fn a_stopped_service_is_copied_too_and_a_full_directory_is_refused() {
    let outer = tempfile::tempdir().unwrap();
    let [data, backup, to] = ["data", "backup", "restored"].map(|name| outer.path().join(name));
    let mut vagn = Vagn::start(&data, &[]);
    vagn.send(&report("bus-7", 59.33, 18.06, false));
    vagn.wait_settled(1).await;
    eventually("the census", async || !census(&data).is_empty()).await;
    vagn.kill();
    drop(vagn);
    let made = said(&["backup", text(&backup), "--data-dir", text(&data)], 0);
    assert!(made.contains("1 vehicle,"), "{made}");
    let refused = said(&["restore", text(&backup), "--data-dir", text(&data)], 64);
    assert!(refused.contains("is not empty"), "{refused}");
    said(&["restore", text(&backup), "--data-dir", text(&to)], 0);
    assert_eq!(census(&to), census(&data), "who is known in the copy is known there, and nobody else");
    let vagn = Vagn::start(&to, &[]);
    assert_eq!(vagn.json("/api/v1/vehicles/bus-7").await["id"], "bus-7");
    let none =
        said(&["backup", text(&outer.path().join("b")), "--data-dir", text(&outer.path().join("no"))], 64);
    assert!(none.contains("is no data directory"), "{none}");
}

#[tokio::test]
async fn a_backup_that_was_killed_is_not_restored() {
    let outer = tempfile::tempdir().unwrap();
    let data = outer.path().join("data");
    let vagn = Vagn::start(&data, &[]);
    vagn.send(&report("bus-7", 59.33, 18.06, false));
    vagn.wait_settled(1).await;
    let mut killed = 0;
    for number in 0..20 {
        let backup = outer.path().join(format!("backup-{number}"));
        let args = ["backup", text(&backup), "--data-dir", text(&data)];
        let mut making: std::process::Child =
            Command::stdout(command().args(args), Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It has ended where the service is still busy with the one before.
        eventually("its beginning", async || {
            backup.join("data").exists() || making.try_wait().unwrap().is_some()
        })
        .await;
        making.kill().ok();
        making.wait().unwrap();
        let to = outer.path().join(format!("restored-{number}"));
        let restored = run(&["restore", text(&backup), "--data-dir", text(&to)]);
        if backup.join("backup").exists() || !backup.exists() {
            continue;
        }
        killed += 1;
        let refused = String::from_utf8(restored.stderr).unwrap();
        assert_eq!(restored.status.code(), Some(1), "{refused}");
        assert!(refused.contains("no finished backup"), "{refused}");
        assert!(!to.exists());
    }
    assert!(killed > 0, "none was killed in time");
    let whole = outer.path().join("whole");
    eventually("the service to be free", async || {
        run(&["backup", text(&whole), "--data-dir", text(&data)]).status.success()
    })
    .await;
}
