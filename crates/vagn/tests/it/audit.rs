//! The trail of incidents, checked with `vagn audit` and without it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use redb::Database;
use serde_json::Value;
use vagn_emergency::IncidentId;
use vagn_emergency::trail::{Event, EventKind, Head, SubjectId, append, create};

use crate::emergencies::Sink;
use crate::vagn::{Vagn, command, eventually, report};

fn audit(args: &[&str]) -> Output {
    command().arg("audit").args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs `vagn audit`, checks its exit code, and returns its output.
pub(crate) fn said(args: &[&str], code: i32) -> String {
    let output = audit(args);
    let said =
        format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "vagn audit {args:?}: {said}");
    said
}

/// Makes a data directory with a trail of `count` entries. Returns the directory and the head of the trail.
fn trail(dir: &Path, count: u32, kept: u64) -> (String, Head) {
    let db = Database::create(dir.join("incidents.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    create(&txn).unwrap();
    let notes: Vec<_> = (0..count)
        .map(|number| Event {
            at_ms: 1_790_000_000_120 + i64::from(number),
            subject: SubjectId::Incident(IncidentId::from_u128(u128::from(number / 3))),
            action: if number % 3 == 0 { EventKind::Opened } else { EventKind::Commented },
            by: "Åsa \"7\"".into(),
            reason: "line one\nline\u{2028}two \\ 🚑".into(),
        })
        .collect();
    let head = append(&txn, &notes, kept).unwrap();
    txn.commit().unwrap();
    (dir.to_str().unwrap().to_owned(), head)
}

fn write(dir: &Path, name: &str, lines: &[String]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_export_says_the_same_as_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let (data, head) = trail(dir.path(), 9, 100);
    assert_eq!(said(&["head", "--data-dir", &data], 0), format!("{head}\n"));
    let whole = said(&["verify", "--data-dir", &data, "--head", &head.to_string()], 0);
    assert_eq!(whole, format!("whole: 9 entries, 1 to 9\nhead {head}\nhas {head}\n"));
    let lines: Vec<_> = said(&["export", "--data-dir", &data], 0).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 11);
    let export = write(dir.path(), "trail.ndjson", &lines);
    assert_eq!(said(&["verify", &export, "--head", &head.to_string()], 0), whole);
    let store = dir.path().join("incidents.redb");
    assert_eq!(said(&["verify", store.to_str().unwrap(), "--head", &head.to_string()], 0), whole);
    assert!(said(&["verify", &export], 0).contains("no --head was given"));
}

#[test]
fn names_the_first_broken_link() {
    let dir = tempfile::tempdir().unwrap();
    let (data, head) = trail(dir.path(), 9, 100);
    let whole: Vec<_> = said(&["export", "--data-dir", &data], 0).lines().map(str::to_owned).collect();
    let broken = |what: &str, change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        let said = said(&["verify", &write(dir.path(), "changed.ndjson", &lines)], 1);
        assert!(said.starts_with("broken: ") && said.contains(what), "{said}");
    };
    broken("entry 4 is not what was written", &|lines| lines[4] = lines[4].replace("opened", "resolved"));
    broken("entry 4 is missing: entry 5", &|lines| {
        lines.remove(4);
    });
    broken("entry 4 is missing: entry 5", &|lines| lines.swap(4, 5));
    broken("with entry 7, but went on to 9:", &|lines| {
        lines.drain(8..10);
    });
    broken("may have been cut off", &|lines| lines.truncate(5));
    let longer = Head { seq: 12, hash: [7; 32] }.to_string();
    let cut = said(&["verify", "--data-dir", &data, "--head", &head.to_string(), "--head", &longer], 1);
    assert!(cut.contains("with entry 9, but went on to 12:"), "{cut}");
    let other = Head { seq: 2, hash: [7; 32] }.to_string();
    assert!(said(&["verify", "--data-dir", &data, "--head", &other], 1).contains("written anew"));
}

#[test]
fn a_trail_that_keeps_fewer_entries_than_are_ever_let_go_of_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let (data, head) = trail(dir.path(), 9, 4);
    let told = said(&["verify", "--data-dir", &data, "--head", &head.to_string()], 1);
    assert!(
        told.contains("broken: the trail begins behind 5:") && told.contains("oldest entries were cut off"),
        "{told}"
    );
}

#[test]
fn says_why_it_cannot_read_the_trail() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for args in [
        &["verify", "--data-dir", nowhere][..],
        &["export", "--data-dir", nowhere],
        &["head", "--data-dir", nowhere],
        &["verify", nowhere],
    ] {
        assert!(said(args, 64).contains("there is no"));
    }
    said(&["verify", "--head", "not a head"], 64);
    let (data, _) = trail(dir.path(), 3, 100);
    let held = std::fs::File::open(dir.path().join("incidents.redb")).unwrap();
    held.lock().unwrap();
    let busy = said(&["verify", "--data-dir", &data], 69);
    assert!(busy.contains("stop the service") && busy.contains("/api/v1/audit/trail"), "{busy}");
    drop(held);
    std::fs::write(dir.path().join("incidents.redb"), b"redb, but not really").unwrap();
    assert!(said(&["verify", "--data-dir", &data], 1).contains("cannot be read"));
}

/// Returns the Python program in the document, with which readers can check the trail without Vagn.
fn documented() -> String {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/emergencies.md");
    let document = std::fs::read_to_string(document).unwrap();
    let mut blocks = document.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.find(|block| block.contains("FIELDS")).expect("the document has it").to_owned()
}

#[test]
fn the_python_program_in_the_document_agrees() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let python = |file: &str, head: &Head| {
        let mut python = Command::new("python3");
        python.args(["-", file, &head.to_string()]).stdin(Stdio::piped());
        let mut child = python.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(documented().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    for kept in [100, 4] {
        let dir = tempfile::tempdir().unwrap();
        let (data, head) = trail(dir.path(), 9, kept);
        let mut lines: Vec<_> =
            said(&["export", "--data-dir", &data], 0).lines().map(str::to_owned).collect();
        let (whole, told) = python(&write(dir.path(), "trail.ndjson", &lines), &head);
        assert!(whole && told.contains(&format!("whole: {head} not found: none")), "{told}");
        lines[3] = lines[3].replace("two", "too");
        let (whole, told) = python(&write(dir.path(), "changed.ndjson", &lines), &head);
        assert!(!whole && told.contains("was changed"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trail_has_every_change_of_an_incident_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let sink = Sink::start(&[]);
    let mut vagn = Vagn::start(dir.path(), &["--emergency-url", &sink.url]);
    for number in 0..10 {
        vagn.send(&report(&format!("caller {number}"), 59.3, 18.0, true));
    }
    eventually("the notices to be accepted", async || {
        let listed = vagn.json("/api/v1/incidents?state=notified").await;
        sink.accepted().len() == 10 && listed["incidents"].as_array().is_some_and(|all| all.len() == 10)
    })
    .await;
    assert!(said(&["verify", "--data-dir", data], 69).contains("in use"));
    vagn.kill();
    let store = dir.path().join("incidents.redb");
    let before = std::fs::read(&store).unwrap();
    let notices = sink.heard();
    let heads = notices.iter().filter_map(|notice| notice["call"]["trail_head"].as_str());
    let heads: Vec<_> = heads.flat_map(|head| ["--head", head]).collect();
    assert!(!heads.is_empty(), "no notice has a head of the trail: {notices:?}");
    let whole = said(&[&["verify", "--data-dir", data], &heads[..]].concat(), 0);
    assert!(whole.starts_with("whole: "), "{whole}");
    let exported = said(&["export", "--data-dir", data], 0);
    let actions: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |word: &str| actions.iter().filter(|entry| entry["action"] == word).count();
    assert_eq!(count("opened"), 10, "{exported}");
    assert!((1..=10).contains(&count("notified")), "{exported}");
    assert!(std::fs::read(&store).unwrap() == before, "reading the trail has changed the store");
}

/// Sends alarms of vehicles, waits until all notices are accepted, stops the service, and returns a copy of its store.
async fn run(data_dir: &Path, sink: &Sink, callers: std::ops::Range<u32>) -> Vec<u8> {
    let vagn = Vagn::start(data_dir, &["--emergency-url", &sink.url]);
    for number in callers.clone() {
        vagn.send(&report(&format!("caller {number}"), 59.3, 18.0, true));
    }
    eventually("the notices", async || {
        sink.accepted().len() as u32 == callers.end && vagn.all_accepted().await
    })
    .await;
    let (status, log) = vagn.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    std::fs::read(data_dir.join("incidents.redb")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_of_a_node_is_not_said_to_lack_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &Sink::start(&[]), 0..1).await;
    let desk = dir.path().join("desk");
    std::fs::create_dir(&desk).unwrap();
    std::fs::copy(dir.path().join("incidents.redb"), desk.join("incidents.redb")).unwrap();
    for name in ["incidents.journal.a", "incidents.journal.b"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let data = dir.path().to_str().unwrap();
    let node = said(&["verify", "--data-dir", data], 0);
    assert!(node.starts_with("whole: ") && !node.contains("journal"), "{node}");
    std::fs::remove_dir_all(&desk).unwrap();
    let single = said(&["verify", "--data-dir", data], 0);
    assert!(single.contains("not compared with the journal"), "{single}");
}

fn put(dir: &Path, store: &[u8]) -> String {
    std::fs::write(dir.join("incidents.redb"), store).unwrap();
    dir.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heads_in_notices_reveal_an_older_store_a_shorter_one_and_a_flipped_byte() {
    let (data, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sink = Sink::start(&[]);
    let older = run(data.path(), &sink, 0..4).await;
    let early = sink.heads();
    let store = run(data.path(), &sink, 4..8).await;
    let late = sink.heads();
    let verify = |data_dir: &str, heads: &BTreeSet<String>, code| {
        let heads = heads.iter().flat_map(|head| ["--head", head]);
        said(&["verify", "--data-dir", data_dir].into_iter().chain(heads).collect::<Vec<_>>(), code)
    };
    assert!(early.len() < late.len(), "{early:?}, {late:?}");
    assert!(verify(data.path().to_str().unwrap(), &late, 0).starts_with("whole: "));
    let older = put(copy.path(), &older);
    assert!(verify(&older, &early, 0).starts_with("whole: "));
    assert!(verify(&older, &late, 1).contains("but went on to"), "an older store passes for the latest");

    let shorter = put(copy.path(), &store[..store.len() / 2]);
    assert!(verify(&shorter, &late, 1).contains("cannot be read"), "half of a store passes for a whole one");
    // The file keeps older pages too, so the reason of an entry stands in several places.
    let mut flipped = store.clone();
    let places = store.windows(8).enumerate().filter(|(_, word)| word == b"the flag");
    let places: Vec<_> = places.map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        flipped[at] ^= 1;
    }
    verify(&put(copy.path(), &flipped), &late, 1);
}
