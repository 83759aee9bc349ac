//! Keeps the directions between the crates, and between the stages inside the service: a stage holds the handle of the
//! next one and never names an earlier one.

use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of ours each crate may know.
const CRATES: [(&str, &[&str]); 10] = [
    ("vagn-wire", &[]),
    ("vagn-otp", &[]),
    ("vagn-store", &["vagn-wire"]),
    ("vagn-flow", &["vagn-wire", "vagn-otp"]),
    ("vagn-emergency", &["vagn-flow", "vagn-wire", "vagn-otp", "vagn-store"]),
    ("vagn-http", &["vagn-flow", "vagn-otp"]),
    ("vagn-api", &["vagn-http", "vagn-emergency", "vagn-store", "vagn-flow", "vagn-otp", "vagn-wire"]),
    ("vagn-load", &["vagn-wire"]),
    (
        "vagn",
        &[
            "vagn-api",
            "vagn-http",
            "vagn-emergency",
            "vagn-flow",
            "vagn-store",
            "vagn-otp",
            "vagn-wire",
            "vagn-load",
        ],
    ),
    ("vagn-bench", &["vagn-wire", "vagn-load"]),
];

/// The stages in the order in which a report passes them. None may name one that stands before it.
const STAGES: [&[&str]; 5] =
    [&["app", "commands"], &["door", "ops", "demo"], &["dispatcher"], &["ingest", "query"], &["storage"]];

#[test]
fn crates_know_only_those_below_them() {
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(workspace().join("crates").join(name).join("Cargo.toml")).unwrap();
        for (other, _) in CRATES.iter().filter(|(other, _)| *other != name && !allowed.contains(other)) {
            let names_it = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            assert!(!names_it, "{name} depends on {other}");
        }
    }
}

#[test]
fn a_stage_never_names_an_earlier_one() {
    for (at, stages) in STAGES.iter().enumerate() {
        let earlier: Vec<_> = STAGES[..at].iter().flat_map(|stages| stages.iter()).collect();
        for stage in *stages {
            for (file, text) in sources(stage) {
                for earlier in &earlier {
                    let named = text.contains(&format!("crate::{earlier}"));
                    assert!(!named, "{} names the earlier stage {earlier}", file.display());
                }
            }
        }
    }
}

#[test]
fn every_stage_that_is_watched_exists() {
    for stage in STAGES.iter().flat_map(|stages| stages.iter()) {
        assert!(!sources(stage).is_empty(), "there is no stage {stage} any more");
    }
}

#[test]
fn only_supervisors_start_tasks_and_threads() {
    let spawns = ["tokio::spawn(", "thread::spawn(", "thread::Builder"];
    for name in ["vagn", "vagn-api", "vagn-emergency", "vagn-flow", "vagn-http", "vagn-store", "vagn-wire"] {
        for (file, text) in files_below(&workspace().join("crates").join(name).join("src")) {
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for spawn in spawns {
                assert!(!product.contains(spawn), "{} has {spawn}", file.display());
            }
        }
    }
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a stage: `stage.rs`, or all below `stage/`.
fn sources(stage: &str) -> Vec<(PathBuf, String)> {
    let src = workspace().join("crates/vagn/src");
    let single = src.join(format!("{stage}.rs"));
    let mut found = files_below(&src.join(stage));
    if let Ok(text) = fs::read_to_string(&single) {
        found.push((single, text));
    }
    found
}

fn files_below(dir: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => vec![(path.clone(), fs::read_to_string(&path).unwrap())],
        })
        .collect()
}
