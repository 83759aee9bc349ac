//! The registry: devices, tokens and shares are made while the service runs and while it does not, and stay over a restart.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use vagn_registry::{NewSecret, Registry};

use crate::vagn::{Vagn, command, settings};

/// Runs a command over a data directory.
fn run(data: &Path, words: &[&str]) -> Output {
    command().args(words).arg("--data-dir").arg(data).output().unwrap()
}

/// Runs a command that must succeed, and returns what it prints as JSON.
fn done(data: &Path, words: &[&str]) -> Value {
    let Output { status, stdout, stderr } = run(data, &[words, &["--json"]].concat());
    assert!(status.success(), "{words:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// Runs a command that must fail, and returns its exit code and what it says.
fn refused(data: &Path, words: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = run(data, words);
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Returns one field of each item of a list.
fn each(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}

fn names(data: &Path, of: &str, field: &str) -> Vec<String> {
    let mut names = each(&done(data, &[of, "list"]), field);
    names.sort();
    names
}

#[test]
fn devices_and_tokens_are_made_with_and_without_a_service_and_stay() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let before = done(&data, &["device", "add", "TAXI1"]);
    assert_eq!(
        before.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["epoch", "key_id", "secret", "vehicle_id"]
    );
    assert_eq!((&before["vehicle_id"], &before["epoch"]), (&json!("TAXI1"), &json!(0)));
    done(&data, &["token", "add", "eva", "--role", "operate", "--person", "--expires", "30d"]);

    let vagn = Vagn::start(&data, &[]);
    let gateway = done(&data, &["device", "add", "DEPOT", "--gateway", "--prefix", "BUS-"]);
    assert_eq!((&gateway["gateway"], &gateway["prefix"]), (&json!("DEPOT"), &json!("BUS-")));
    let token = done(&data, &["token", "add", "importer", "--role", "ingest"]);
    assert_eq!((&token["name"], &token["role"]), (&json!("importer"), &json!("ingest")));
    let rotated = done(&data, &["device", "rotate", "TAXI1"]);
    assert_eq!((&rotated["key_id"], &rotated["epoch"]), (&before["key_id"], &json!(1)));
    assert_ne!(rotated["secret"], before["secret"]);
    assert_eq!(names(&data, "token", "name"), ["eva", "importer"]);
    let log = vagn.log();
    assert!(log.contains("importer (ingest)"), "{log}");
    for secret in [&gateway["secret"], &rotated["secret"], &token["token"]] {
        assert!(!log.contains(secret.as_str().unwrap()));
    }

    let vagn = vagn.restart();
    assert_eq!(names(&data, "device", "vehicle_id"), ["", "TAXI1"]);
    done(&data, &["token", "revoke", "eva"]);
    vagn.stop();
    let tokens = done(&data, &["token", "list"]);
    assert_eq!(each(&tokens, "state"), ["revoked", "in_force"]);
    let devices = done(&data, &["device", "list"]);
    assert!(!devices.to_string().contains("secret"));
    assert!(devices.as_array().unwrap().iter().any(|device| device["epochs"] == json!([0, 1])));

    let registry = Registry::open(&data, None).unwrap();
    let kept = registry.tokens().unwrap();
    let digest = NewSecret::digest_of(token["token"].as_str().unwrap());
    assert!(kept.iter().any(|kept| kept.digest == digest));
}

#[test]
fn a_new_data_directory_is_named_and_what_root_makes_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let is_root = fs::metadata(&data).unwrap().uid() == 0;
    if is_root {
        chown(&data, Some(4321), Some(4322)).unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), data.join("link")).unwrap();
    }
    let add = |data: &Path, name: &str| run(data, &["token", "add", name, "--role", "read"]);
    let first = add(&data, "eva");
    let said = String::from_utf8(first.stderr).unwrap();
    assert!(first.status.success(), "{said}");
    assert!(said.contains("made a new data directory at") && said.contains(data.to_str().unwrap()), "{said}");
    assert!(said.contains("no service runs on it"), "{said}");
    let again = add(&data, "adam");
    assert!(again.status.success() && again.stderr.is_empty(), "{}", String::from_utf8_lossy(&again.stderr));
    if is_root {
        for name in ["manifest", "lock", "registry.redb", "fleet-1"] {
            let found = fs::symlink_metadata(data.join(name)).unwrap();
            assert_eq!((found.uid(), found.gid()), (4321, 4322), "{name}");
        }
    }
    let _vagn = Vagn::start(&data, &[]);
    assert!(add(&data, "ada").stderr.is_empty());
}

#[test]
fn refuses_with_a_reason_and_an_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (code, said) = refused(&data, &["device", "list"]);
    assert!(code == Some(64) && said.contains("there is no registry") && !data.exists(), "{code:?} {said}");
    done(&data, &["device", "add", "TAXI1"]);
    let check = || {
        let (code, said) = refused(&data, &["device", "add", "TAXI1"]);
        assert!(
            code == Some(1) && said.contains("TAXI1 has a key already") && said.contains("rotate it"),
            "{said}"
        );
        let (code, said) = refused(&data, &["device", "add", ""]);
        assert!(code == Some(64) && said.contains("is no vehicle id"), "{said}");
        let (code, said) = refused(&data, &["device", "revoke", "TAXI9"]);
        assert!(code == Some(1) && said.contains("no device TAXI9"), "{said}");
        let (code, said) = refused(&data, &["share", "add", "TAXI1", "--expires", "31d"]);
        assert!(code == Some(64) && said.contains("30 days"), "{said}");
    };
    check();
    let _vagn = Vagn::start(&data, &[]);
    check();
}

#[test]
fn the_registry_and_its_socket_are_for_the_services_user_alone_on_any_path() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&data).unwrap();
    let _vagn = Vagn::start(&data, &[]);
    for name in ["registry.redb", "control"] {
        let mode = fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let share = done(&data, &["share", "add", "TAXI1", "--expires", "12h"]);
    assert!(share["path"].as_str().unwrap().starts_with("/s/"));
    let number = share["number"].to_string();
    done(&data, &["share", "revoke", &number]);
    assert_eq!(done(&data, &["share", "list"]), json!([]));
}

#[test]
fn a_link_is_whole_where_the_public_address_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let add = ["share", "add", "TAXI1"];
    let vagn = Vagn::start(dir.path(), &["--public-url", "https://fleet.example"]);
    let share = done(dir.path(), &add);
    let path = share["path"].as_str().unwrap();
    assert_eq!(share["url"], format!("https://fleet.example{path}"));
    let said = String::from_utf8(run(dir.path(), &add).stdout).unwrap();
    assert!(said.contains("  https://fleet.example/s/") && !said.contains("Put it behind"), "{said}");
    vagn.stop();
    let said = String::from_utf8(run(dir.path(), &add).stdout).unwrap();
    assert!(said.contains("  /s/") && said.contains("Put it behind"), "{said}");
}

fn keys(dir: &Path, rows: &[(&str, u64)]) -> PathBuf {
    let secret = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let rows: String = rows.iter().map(|(id, key)| format!("{id},{key:016x},{secret}\n")).collect();
    let path = dir.join("keys.csv");
    fs::write(&path, format!("vehicle_id,key_id,secret\n{rows}")).unwrap();
    path
}

#[test]
fn imports_a_file_whole_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let rows: Vec<_> = (0..51_000).map(|number| (format!("bus {number}"), number * 7_919 % 51_000)).collect();
    let rows: Vec<_> = rows.iter().map(|(id, key)| (id.as_str(), *key)).collect();
    let all = keys(dir.path(), &rows);
    let vagn = Vagn::start(&data, &[]);
    let imported = done(&data, &["device", "import", all.to_str().unwrap()]);
    assert_eq!(imported, json!({"added": 51_000, "unchanged": 0, "rotated": 0, "revoked": 0}));
    vagn.stop();
    let again = done(&data, &["device", "import", all.to_str().unwrap()]);
    assert_eq!(again, json!({"added": 0, "unchanged": 51_000, "rotated": 0, "revoked": 0}));
    done(&data, &["device", "rotate", "bus 1"]);
    done(&data, &["device", "revoke", "bus 2"]);
    let later = done(&data, &["device", "import", all.to_str().unwrap()]);
    assert_eq!(later, json!({"added": 0, "unchanged": 50_998, "rotated": 1, "revoked": 1}));
    let wrong = keys(dir.path(), &[("new", 99_999), ("new", 99_998)]);
    let (code, said) = refused(&data, &["device", "import", wrong.to_str().unwrap()]);
    assert!(code == Some(64) && said.contains("line 3") && said.contains("nothing was imported"), "{said}");
    assert_eq!(done(&data, &["device", "list"]).as_array().unwrap().len(), 51_000);
}

#[test]
fn wrapped_secrets_need_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let made = done(&data, &["device", "add", "TAXI1"]);
    let key = dir.path().join("registry.key");
    fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n").unwrap();
    let config = settings(dir.path(), &format!("[registry]\nkey_file = {:?}\n", key.to_str().unwrap()));
    let secret = made["secret"].as_str().unwrap().as_bytes();
    let is_clear = || {
        let file = fs::read(data.join("registry.redb")).unwrap();
        file.windows(secret.len()).any(|window| window == secret)
    };
    done(&data, &["device", "list", "--registry-key-file", key.to_str().unwrap()]);
    assert!(is_clear(), "a list changes nothing");
    Vagn::start(&data, &["--config", &config]).stop();
    assert!(!is_clear());

    let (code, said) = refused(&data, &["device", "list"]);
    assert!(code == Some(64) && said.contains("--registry-key-file"), "{said}");
    let listed = done(&data, &["device", "list", "--registry-key-file", key.to_str().unwrap()]);
    assert_eq!(each(&listed, "key_id"), [made["key_id"].as_str().unwrap()]);
    let (log, code) = Vagn::attempt(&data, &[]).err().expect("it does not start");
    assert!(code == Some(64) && log.contains("registry.key_file"), "{code:?} {log}");
    fs::write(&key, "too short\n").unwrap();
    let (log, code) = Vagn::attempt(&data, &["--config", &config]).err().expect("it does not start");
    assert!(code == Some(64) && log.contains("openssl rand -base64 32"), "{code:?} {log}");
}

#[test]
fn a_registry_that_is_lost_is_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    done(&data, &["token", "add", "eva", "--role", "admin"]);
    fs::rename(data.join("registry.redb"), dir.path().join("elsewhere")).unwrap();
    let (log, code) = Vagn::attempt(&data, &[]).err().expect("it does not start");
    assert!(
        code == Some(64) && log.contains("registry.redb is missing") && log.contains("vagn repair"),
        "{log}"
    );
    let (_, said) = refused(&data, &["token", "add", "max", "--role", "admin"]);
    assert!(said.contains("registry.redb is missing"), "{said}");
    fs::rename(dir.path().join("elsewhere"), data.join("registry.redb")).unwrap();
    assert_eq!(names(&data, "token", "name"), ["eva"]);
}

#[tokio::test]
async fn a_lost_registry_that_is_repaired_leaves_the_api_closed() {
    for lose in [
        |file: &Path| fs::remove_file(file).unwrap(),
        |file: &Path| fs::write(file, "").unwrap(),
        |file: &Path| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        done(&data, &["token", "add", "eva", "--role", "read"]);
        lose(&data.join("registry.redb"));
        let Output { status, stdout, stderr } = run(&data, &["repair"]);
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert!(status.success() && said.contains("registry: begun anew, and closed"), "{said}");
        assert!(said.contains("vagn token add"), "{said}");
        let vagn = Vagn::start(&data, &[]);
        assert_eq!(vagn.get("/api/v1/incidents").await.0, 401);
    }
}
