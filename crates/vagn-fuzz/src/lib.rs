//! Feeds damaged inputs to whatever reads bytes from outside, on stable Rust and from a corpus in the tree.
//!
//! A target is a function of bytes that fails when something that must always hold does not. Its corpus are files in
//! `fuzz/corpus/<target>` of its crate, written by the real encoders; each is tried whole, cut, and damaged in many ways. All
//! inputs follow from one seed. Memory is held to account as well: no input may take much more than its own length.

mod damage;
mod meter;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

pub use damage::{mutate, rounds, seeded};
use fastrand::Rng;
pub use meter::Meter;

use damage::change;

/// Damaged inputs of a target in a usual run. `VAGN_FUZZ` gives another number.
const SLICE: usize = 20_000;

/// Most changes to an input.
const CHANGES_MAX: usize = 6;

/// Most places at which a file of the corpus is cut; a longer one is cut at so many, by chance.
const CUTS_MAX: usize = 2_000;

/// Bytes of memory that an input may take at a time, beside [`PER_BYTE`] for each of its own.
const MEMORY: usize = 4 << 20;

/// Bytes of memory that each byte of an input may take.
const PER_BYTE: usize = 256;

/// Bytes of a failed input that are shown.
const SHOWN_MAX: usize = 4_096;

/// What reads bytes from outside.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Directory of the crate: `env!("CARGO_MANIFEST_DIR")`.
    pub crate_dir: &'a str,
    /// Name, and that of the directory with its corpus.
    pub name: &'a str,
    /// Words with a meaning in its inputs. They are put in by chance.
    pub words: &'a [&'a str],
    /// Panics when something that must hold does not.
    pub body: fn(&[u8]),
}

impl Target<'_> {
    /// Tries the corpus, and as many damaged inputs as this run asks for.
    ///
    /// # Panics
    /// If one of them fails, or takes too much memory; the input is printed before.
    pub fn check(self) {
        Meter::assert_installed();
        let corpus = self.corpus();
        let mut chance = seeded();
        for (file, bytes) in &corpus {
            self.cut(file, bytes, &mut chance);
        }
        for _ in 0..count() {
            let (file, bytes) = &corpus[chance.usize(..corpus.len())];
            let (_, other) = &corpus[chance.usize(..corpus.len())];
            let mut variant = bytes.clone();
            for _ in 0..chance.usize(1..=CHANGES_MAX) {
                change(&mut variant, other, self.words, &mut chance);
            }
            self.run(file, &variant);
        }
    }

    fn cut(self, file: &str, bytes: &[u8], chance: &mut Rng) {
        self.run(file, bytes);
        match bytes.len() {
            len if len <= CUTS_MAX => (0..len).for_each(|cut| self.run(file, &bytes[..cut])),
            len => (0..CUTS_MAX).for_each(|_| self.run(file, &bytes[..chance.usize(..len)])),
        }
    }

    /// Returns the files of the corpus with their names, in order.
    fn corpus(self) -> Vec<(String, Vec<u8>)> {
        let dir = Path::new(self.crate_dir).join("fuzz/corpus").join(self.name);
        let entries = fs::read_dir(&dir).expect("every target has a corpus");
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.expect("the corpus can be listed").path();
                let bytes = fs::read(&path).expect("the corpus can be read");
                (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes)
            })
            .collect();
        assert!(!files.is_empty(), "{} is empty", dir.display());
        files.sort();
        files
    }

    /// Runs the body; on a failure, names the file and the bytes.
    fn run(self, file: &str, bytes: &[u8]) {
        let (result, peak) = Meter::measure(|| catch_unwind(AssertUnwindSafe(|| (self.body)(bytes))));
        let most = MEMORY + PER_BYTE * bytes.len();
        if result.is_ok() && peak <= most {
            return;
        }
        let shown = &bytes[..bytes.len().min(SHOWN_MAX)];
        eprintln!(
            "{}: a variant of {file} fails, {} bytes: {}",
            self.name,
            bytes.len(),
            shown.escape_ascii()
        );
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        panic!("it took {peak} bytes of memory, and {most} are allowed");
    }
}

/// Checks that an input of the corpus is what the encoders make today. With `VAGN_CORPUS=1` in the environment it is made anew.
///
/// # Panics
/// When it is another one, or cannot be written.
pub fn keep(crate_dir: &str, target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(crate_dir).join("fuzz/corpus").join(target);
    let path = folder.join(name);
    if std::env::var_os("VAGN_CORPUS").is_some() {
        fs::create_dir_all(&folder).expect("the folder of the corpus can be made");
        return fs::write(&path, bytes).expect("the corpus can be written");
    }
    let kept = fs::read(&path).unwrap_or_default();
    let path = path.display();
    assert!(
        kept == bytes,
        "{path} is of another format: VAGN_CORPUS=1 cargo test the_corpus_of makes it anew"
    );
}

fn count() -> usize {
    std::env::var("VAGN_FUZZ").map_or(SLICE, |asked| asked.parse().expect("VAGN_FUZZ is a number"))
}
