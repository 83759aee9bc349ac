//! The fuzz targets on stable Rust: every file of the corpus, complete, cut at every byte, and damaged.

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "it/mutate.rs"]
mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use mutate::{mutate, rounds, seeded};

/// Number of damaged variants of each file.
const VARIANTS: usize = 10_000;

/// Most changes to a variant.
const MUTATIONS_MAX: usize = 6;

#[test]
fn the_decode_target_holds_on_its_corpus() {
    check("decode", bodies::decode);
}

#[test]
fn the_datagram_target_holds_on_its_corpus() {
    check("datagram", bodies::datagram);
}

#[test]
fn the_json_target_holds_on_its_corpus() {
    check("json", bodies::json);
}

#[test]
fn the_object_len_target_holds_on_its_corpus() {
    check("object_len", bodies::object_len);
}

#[test]
fn the_ack_target_holds_on_its_corpus() {
    check("ack", bodies::ack);
}

fn check(target: &str, body: fn(&[u8])) {
    let mut chance = seeded();
    for file in corpus(target) {
        let bytes = fs::read(&file).expect("the corpus can be read");
        (0..=bytes.len()).for_each(|cut| run(&file, body, &bytes[..cut]));
        for _ in 0..rounds(VARIANTS) {
            let mut variant = bytes.clone();
            (0..chance.usize(1..=MUTATIONS_MAX)).for_each(|_| mutate(&mut variant, &mut chance));
            run(&file, body, &variant);
        }
    }
}

fn corpus(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&dir).expect("every target has a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the corpus can be listed").path()).collect();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files.sort();
    files
}

/// Runs the body; on a failure, names the file and the bytes.
fn run(file: &Path, body: fn(&[u8]), bytes: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(bytes))) {
        eprintln!("failed on a variant of {}: {bytes:02x?}", file.display());
        resume_unwind(panic);
    }
}
