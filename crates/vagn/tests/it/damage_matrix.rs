//! The damage matrix: every file of a data directory, changed in every way in which a disk, a restore or a person changes
//! files. It is named, or it is harmless: nothing that was acknowledged is lost without a word. `vagn repair` then brings the
//! service back.
//!
//! A row is a file and its sibling, a column a damage. A slice of it is tried, and all with `VAGN_LONG=1`.

use std::collections::BTreeSet;
use std::fs;
use std::future::poll_fn;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::task::{Context, Poll};

use crate::vagn::{Vagn, command, eventually, report, settings};

const VEHICLES: usize = 40;

/// One in so many cases is tried in a short run.
const SLICE: usize = 9;

/// Starts without a snapshot after which one is written.
const STARTS: u64 = 17;

/// The files: how each is found, and the one with which it changes places.
const ROWS: [(&str, Pick, Pick); 16] = [
    ("manifest", |dir| top(dir, "manifest"), |dir| top(dir, "clock")),
    ("lock", |dir| top(dir, "lock"), |dir| top(dir, "clock")),
    ("clock", |dir| top(dir, "clock"), |dir| top(dir, "lock")),
    ("cert.pem", |dir| top(dir, "cert.pem"), |dir| top(dir, "key.pem")),
    ("key.pem", |dir| top(dir, "key.pem"), |dir| top(dir, "cert.pem")),
    ("incidents.redb", |dir| top(dir, "incidents.redb"), |dir| top(dir, "clock")),
    ("incidents.journal.a", |dir| top(dir, "incidents.journal.a"), |dir| top(dir, "incidents.journal.b")),
    ("incidents.journal.b", |dir| top(dir, "incidents.journal.b"), |dir| top(dir, "clock")),
    ("the census", |dir| top(dir, "census/0-of-2"), |dir| top(dir, "census/1-of-2")),
    ("a partition's manifest", |dir| top(dir, "fleet-1/0/manifest"), |dir| top(dir, "fleet-1/1/manifest")),
    ("a partition", |dir| top(dir, "fleet-1/0"), |dir| top(dir, "fleet-1/1")),
    ("the oldest segment", |dir| nth(dir, ".log", 0), |dir| nth(dir, ".log", 1)),
    ("a segment in the middle", |dir| nth(dir, ".log", 3), |dir| last(dir, ".log")),
    ("the newest segment", |dir| last(dir, ".log"), |dir| nth(dir, ".log", 0)),
    ("the newest snapshot", |dir| last(dir, ".snap"), |dir| nth(dir, ".log", 0)),
    ("the set of partitions", |dir| top(dir, "fleet-1"), |dir| top(dir, "manifest")),
];

/// The file that the error asks the operator to remove where something else stands in its place.
const BY_HAND: &str = "clock";

type Pick = fn(&Path) -> PathBuf;

/// Damages a file, with a sibling at hand.
type Damage = fn(&Path, &Path);

const COLUMNS: [(&str, Damage); 8] = [
    ("a flipped bit", |file, _| {
        change(file, |bytes| {
            let middle = bytes.len() / 2;
            bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 0x10);
        })
    }),
    ("cut", |file, _| change(file, |bytes| bytes.truncate(bytes.len() / 2))),
    ("emptied", |file, _| change(file, Vec::clear)),
    ("zeroed", |file, _| change(file, |bytes| bytes.fill(0))),
    ("deleted", |file, _| delete(file)),
    ("swapped", |file, sibling| {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).unwrap();
        fs::rename(sibling, file).unwrap();
        fs::rename(&aside, sibling).unwrap();
    }),
    ("a link that leads nowhere", |file, _| {
        delete(file);
        symlink("/nowhere/at-all", file).unwrap();
    }),
    ("a directory in its place", |file, _| {
        delete(file);
        fs::create_dir(file).unwrap();
    }),
];

fn top(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("fleet-1/0")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

fn nth(dir: &Path, ending: &str, at: usize) -> PathBuf {
    files(dir, ending).swap_remove(at)
}

fn last(dir: &Path, ending: &str) -> PathBuf {
    files(dir, ending).pop().unwrap()
}

fn change(file: &Path, change: fn(&mut Vec<u8>)) {
    // Of a directory every file.
    if file.is_dir() {
        return fs::read_dir(file).unwrap().for_each(|entry| self::change(&entry.unwrap().path(), change));
    }
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

fn delete(file: &Path) {
    if file.is_dir() { fs::remove_dir_all(file).unwrap() } else { fs::remove_file(file).unwrap() }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy(&entry.path(), &to);
        } else if kind.is_file() {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A service that had some starts, with positions, a snapshot and a call for help; stopped.
async fn whole(config: &str, data: &Path) {
    for start in 0..STARTS {
        let mut vagn = Vagn::start(data, &["--config", config]);
        for number in 0..VEHICLES {
            let lon = start as f64 + number as f64 / 100.0;
            vagn.send(&report(&format!("bus {number}"), 1.0, lon, false));
        }
        vagn.wait_settled(VEHICLES as u64).await;
        if start + 1 < STARTS {
            vagn.kill();
            continue;
        }
        vagn.send(&report("bus 0", 1.0, STARTS as f64, true));
        eventually("an incident", async || incidents(&vagn).await == Some(1)).await;
        eventually("a snapshot", async || !files(data, ".snap").is_empty()).await;
        vagn.stop();
    }
}

async fn incidents(vagn: &Vagn) -> Option<usize> {
    let (status, body) = vagn.get("/api/v1/incidents").await;
    let body: serde_json::Value = serde_json::from_str(&body).ok().filter(|_| status == 200)?;
    Some(body["incidents"].as_array()?.len())
}

/// What the service shows: the place of every vehicle.
async fn shown(vagn: &Vagn) -> BTreeSet<String> {
    let all = vagn.json("/api/v1/vehicles?bbox=-180,-90,180,90&limit=10000").await;
    let features = all["features"].as_array().unwrap();
    features.iter().map(|each| format!("{} {}", each["id"], each["geometry"])).collect()
}

/// Waits until it is ready with all there is, or names what is wrong.
async fn wait_whole_or_told(vagn: &Vagn, truth: &BTreeSet<String>, names: &[String], case: &str) {
    eventually(&format!("{case}: it to be ready, or to name the file"), async || {
        let (status, body) = vagn.ops("/readyz").await;
        let whole = status == 200 && shown(vagn).await == *truth && incidents(vagn).await == Some(1);
        whole || is_named(&body, names) || is_named(&vagn.log(), names)
    })
    .await;
}

fn is_named(said: &str, names: &[String]) -> bool {
    // The log names the data directory, and each file below it that something is wrong with.
    said.lines()
        .filter(|line| !line.contains(" INFO "))
        .any(|line| names.iter().any(|name| line.contains(name)))
}

async fn try_case(base: &Path, truth: &BTreeSet<String>, config: &str, row: usize, column: usize) {
    let ((file, find, sibling), (how, damage)) = (ROWS[row], COLUMNS[column]);
    let case = format!("{file}, {how}");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(base, &data);
    let (path, sibling) = (find(&data), sibling(&data));
    let name = |path: &Path| format!("/{}", path.strip_prefix(&data).unwrap().display());
    let names = [name(&path), name(&sibling)];
    damage(&path, &sibling);
    match Vagn::attempt(&data, &["--config", config]) {
        Ok(vagn) => {
            wait_whole_or_told(&vagn, truth, &names, &case).await;
            vagn.stop();
        }
        Err((said, code)) => {
            assert!(is_named(&said, &names), "{case}: {code:?} {said}");
        }
    }
    let repaired = command().arg("repair").arg("--data-dir").arg(&data).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&repaired.stdout), String::from_utf8_lossy(&repaired.stderr));
    assert!(repaired.status.success(), "{case}: {said}");
    if file == BY_HAND && path.is_dir() {
        delete(&path);
    }
    match Vagn::attempt(&data, &["--config", config]) {
        Ok(mut vagn) => vagn.wait_ready(),
        Err((log, code)) => panic!("{case}: after the repair, which said {said}: {code:?} {log}"),
    }
}

/// Returns false when the case panics, so that the others are tried all the same.
async fn holds(case: impl Future<Output = ()>) -> bool {
    let mut case = Box::pin(case);
    let poll =
        |context: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| case.as_mut().poll(context))) {
            Ok(polled) => polled.map(|()| true),
            Err(_) => Poll::Ready(false),
        };
    poll_fn(poll).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_a_file_it_is_named_or_harmless_and_can_be_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let (config, base) = (settings(dir.path(), "partitions = 2\n"), dir.path().join("base"));
    whole(&config, &base).await;
    let vagn = Vagn::start(&base, &["--config", &config]);
    let truth = shown(&vagn).await;
    assert_eq!(truth.len(), VEHICLES);
    vagn.stop();
    let step = if std::env::var_os("VAGN_LONG").is_some() { 1 } else { SLICE };
    let cases = (0..ROWS.len()).flat_map(|row| (0..COLUMNS.len()).map(move |column| (row, column)));
    let mut failed = Vec::new();
    for (row, column) in cases.step_by(step) {
        if !holds(try_case(&base, &truth, &config, row, column)).await {
            failed.push((ROWS[row].0, COLUMNS[column].0));
        }
    }
    assert!(failed.is_empty(), "each is explained above: {failed:?}");
}
