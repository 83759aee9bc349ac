//! Keeps the directions between the crates, and between the modules inside them: a stage holds the handle of the next one
//! and never names an earlier one, nor its neighbour.

use std::collections::BTreeSet;
use std::fs;

use crate::source::{Graph, circle, graph, heads, modules, sources, workspace};

/// Crates of ours from the lowest to the highest, and which of the lower ones each may know.
const CRATES: [(&str, &[&str]); 19] = [
    ("vagn-fuzz", &[]),
    ("vagn-wire", &["vagn-fuzz"]),
    ("vagn-otp", &[]),
    ("vagn-schedules", &[]),
    ("vagn-store", &["vagn-wire", "vagn-fuzz"]),
    ("vagn-seal", &["vagn-wire", "vagn-fuzz"]),
    ("vagn-cluster", &["vagn-wire", "vagn-fuzz"]),
    ("vagn-nats", &["vagn-cluster", "vagn-wire"]),
    ("vagn-shard", &["vagn-cluster", "vagn-store", "vagn-wire", "vagn-fuzz"]),
    ("vagn-registry", &["vagn-seal", "vagn-wire", "vagn-fuzz"]),
    ("vagn-flow", &["vagn-seal", "vagn-wire", "vagn-otp"]),
    (
        "vagn-emergency",
        &[
            "vagn-flow",
            "vagn-cluster",
            "vagn-nats",
            "vagn-seal",
            "vagn-wire",
            "vagn-otp",
            "vagn-store",
            "vagn-fuzz",
        ],
    ),
    ("vagn-simulator", &["vagn-cluster", "vagn-emergency", "vagn-wire"]),
    ("vagn-live", &["vagn-flow", "vagn-wire", "vagn-otp", "vagn-store"]),
    ("vagn-http", &["vagn-flow", "vagn-registry", "vagn-otp", "vagn-fuzz"]),
    (
        "vagn-api",
        &[
            "vagn-http",
            "vagn-registry",
            "vagn-live",
            "vagn-emergency",
            "vagn-store",
            "vagn-flow",
            "vagn-otp",
            "vagn-wire",
            "vagn-fuzz",
        ],
    ),
    ("vagn-load", &["vagn-wire", "vagn-seal", "vagn-fuzz"]),
    (
        "vagn",
        &[
            "vagn-api",
            "vagn-cluster",
            "vagn-nats",
            "vagn-shard",
            "vagn-registry",
            "vagn-seal",
            "vagn-http",
            "vagn-registry",
            "vagn-live",
            "vagn-emergency",
            "vagn-flow",
            "vagn-store",
            "vagn-otp",
            "vagn-wire",
            "vagn-load",
            "vagn-fuzz",
        ],
    ),
    ("vagn-bench", &["vagn-wire", "vagn-seal", "vagn-load"]),
];

/// The modules of the service from the highest to the lowest, the stages in the order in which a report passes them. None
/// may name one of its own row or of a row above.
const ROWS: [&[&str]; 6] = [
    &["commands"],
    &["app"],
    &["door", "ops", "control", "demo", "dispatcher", "ingest", "keys", "query", "logging"],
    &["storage", "cluster"],
    &["sync", "teller"],
    &["write", "odd", "config", "visible", "backup"],
];

/// Crates whose modules must not know each other in a circle. The others are built around one tight core.
const WITHOUT_CIRCLES: [&str; 10] = [
    "vagn-cluster",
    "vagn-nats",
    "vagn-flow",
    "vagn-emergency",
    "vagn-live",
    "vagn-http",
    "vagn-api",
    "vagn-load",
    "vagn",
    "vagn-bench",
];

/// Crates that take reports in, and so must open them in the one place for that.
const OPENING: [&str; 3] = ["vagn", "vagn-api", "vagn-emergency"];

#[test]
fn crates_know_only_those_below_them() {
    for (at, (name, allowed)) in CRATES.iter().enumerate() {
        let lower = &CRATES[..at];
        assert!(
            allowed.iter().all(|other| lower.iter().any(|(lower, _)| lower == other)),
            "{name} may know one above itself"
        );
        let manifest = fs::read_to_string(workspace().join("crates").join(name).join("Cargo.toml")).unwrap();
        for (other, _) in CRATES.iter().filter(|(other, _)| other != name && !allowed.contains(other)) {
            let names_it = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            assert!(!names_it, "{name} depends on {other}");
        }
    }
}

#[test]
fn every_crate_is_watched() {
    let found = fs::read_dir(workspace().join("crates")).unwrap();
    let found = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let listed: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn a_module_of_the_service_names_only_lower_ones() {
    let graph = graph(&sources("vagn"));
    for (at, row) in ROWS.iter().enumerate() {
        let not_lower: Vec<&&str> = ROWS[..=at].iter().flat_map(|row| row.iter()).collect();
        for module in *row {
            for (named, file) in &graph[*module] {
                assert!(!not_lower.iter().any(|other| *other == named), "{} names {named}", file.display());
            }
        }
    }
}

#[test]
fn every_module_of_the_service_is_watched() {
    let listed: BTreeSet<String> =
        ROWS.iter().flat_map(|row| row.iter()).map(|name| (*name).to_owned()).collect();
    assert_eq!(modules(&sources("vagn")), listed);
}

#[test]
fn modules_of_a_crate_know_each_other_in_no_circle() {
    let circles: Vec<String> = WITHOUT_CIRCLES.iter().filter_map(|name| found(name)).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

/// The circle in a crate, with the files that make it.
fn found(name: &str) -> Option<String> {
    let graph: Graph = graph(&sources(name));
    let circle = circle(&graph)?;
    let arrows = circle.windows(2).map(|arrow| {
        let file = graph[&arrow[0]][&arrow[1]].display().to_string();
        format!("{} names {} in {file}", arrow[0], arrow[1])
    });
    Some(format!("{name}: {}", arrows.collect::<Vec<_>>().join(", ")))
}

#[test]
fn reports_are_opened_in_one_place() {
    for name in OPENING {
        for source in sources(name) {
            // The commands are clients of a running service.
            if source.path.starts_with("commands") {
                continue;
            }
            let named = heads(&source.text, "vagn_wire::");
            let opens = named.iter().find(|item| {
                matches!(
                    item.as_str(),
                    "decode" | "decode_at_once" | "decode_general" | "is_emergency" | "pieces" | "sole_piece"
                )
            });
            assert!(opens.is_none(), "{name}: {} uses vagn_wire::{opens:?}", source.path.display());
        }
    }
}

#[test]
fn only_supervisors_start_tasks_and_threads() {
    let spawns = ["tokio::spawn(", "thread::spawn(", "thread::Builder"];
    // A thread that syncs a second file, and has ended before the call returns.
    let scoped = "record/store/keeper.rs";
    for name in [
        "vagn",
        "vagn-api",
        "vagn-emergency",
        "vagn-flow",
        "vagn-http",
        "vagn-live",
        "vagn-shard",
        "vagn-store",
        "vagn-wire",
    ] {
        for source in sources(name).iter().filter(|source| !source.path.ends_with(scoped)) {
            for spawn in spawns {
                assert!(!source.text.contains(spawn), "{name}: {} has {spawn}", source.path.display());
            }
        }
    }
}

#[test]
fn time_and_chance_are_handed_in() {
    // The clock itself, the place that draws the seeds of a run, the clients of a running service, and progress lines.
    let may = ["clock.rs", "app", "commands", "main.rs"];
    for name in ["vagn", "vagn-api", "vagn-cluster", "vagn-simulator", "vagn-flow", "vagn-http", "vagn-live"]
    {
        for source in
            sources(name).iter().filter(|source| !may.iter().any(|path| source.path.starts_with(path)))
        {
            let clocks = heads(&source.text, "std::time::");
            let reads_clock = clocks.iter().any(|item| matches!(item.as_str(), "Instant" | "SystemTime"));
            let draws =
                ["fastrand::u64(", "fastrand::Rng::new("].iter().any(|call| source.text.contains(call));
            assert!(!reads_clock && !draws, "{name}: {}", source.path.display());
        }
    }
}
