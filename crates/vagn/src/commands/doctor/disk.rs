//! The disk under the data directory: whether it can be written, how fast it keeps its word, and how much room it has.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vagn_store::disk::{Disk, RealDisk};

use super::finding::Finding;

/// Syncs that are timed.
const SYNCS: usize = 20;

/// Bytes written before each.
const WRITE: [u8; 4096] = [0; 4096];

/// An emergency waits this long for its record to be synced, and is called in unrecorded after that.
const PROMPT: Duration = Duration::from_millis(100);

pub(super) fn check(data_dir: &Path, free_floor_bytes: u64) -> Vec<Finding> {
    let dir = existing(data_dir);
    let named = if data_dir.is_dir() {
        format!("data directory {}", data_dir.display())
    } else {
        format!("data directory {} (not there yet; tried {})", data_dir.display(), dir.display())
    };
    vec![syncs(&dir, &named), room(&dir, &named, free_floor_bytes)]
}

/// The directory, or the nearest one above it that exists.
fn existing(path: &Path) -> PathBuf {
    let whole = if path.is_absolute() { path.to_owned() } else { Path::new(".").join(path) };
    whole.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn syncs(dir: &Path, named: &str) -> Finding {
    let mut times = match time_syncs(dir) {
        Ok(times) => times,
        Err(err) => {
            let remedy = "let the user who runs the service write there, or choose another with --data-dir";
            return Finding::fail(format!("{named}: cannot be written: {err}"), remedy);
        }
    };
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let found = format!("{named}: a sync takes {median:.1?}, at worst {worst:.1?}");
    if worst < PROMPT {
        return Finding::ok(found);
    }
    let remedy = "an emergency waits 100 ms for its record and is then called in without; use a faster or a quieter disk";
    Finding::warn(found, remedy)
}

fn time_syncs(dir: &Path) -> io::Result<Vec<Duration>> {
    let (_trial, mut file) = Trial::new(dir)?;
    (0..SYNCS)
        .map(|_| {
            file.write_all(&WRITE)?;
            let start = Instant::now();
            file.sync_data()?;
            Ok(start.elapsed())
        })
        .collect()
}

/// A file that is gone when the trial is over.
struct Trial(PathBuf);

impl Trial {
    fn new(dir: &Path) -> io::Result<(Self, File)> {
        let path = dir.join(format!(".vagn-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((Self(path), file))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // What was made can be removed, unless the directory went away meanwhile, and the file with it.
        drop(fs::remove_file(&self.0));
    }
}

fn room(dir: &Path, named: &str, floor: u64) -> Finding {
    let free = match RealDisk.free_space(dir) {
        Ok(free) => free,
        Err(err) => {
            return Finding::warn(format!("{named}: free space is unknown: {err}"), "look at it with df");
        }
    };
    let found = format!("{named}: {} MiB free", free >> 20);
    if free > floor.saturating_mul(4) {
        return Finding::ok(found);
    }
    let remedy = format!("below {} MiB (free_floor_bytes) positions are refused; make room", floor >> 20);
    if free > floor { Finding::warn(found, remedy) } else { Finding::fail(found, remedy) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    #[test]
    fn leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let findings = check(dir.path(), 0);
        assert!(findings.iter().all(|finding| finding.level() != Level::Fail), "{findings:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn tries_the_parent_of_what_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let found = check(&dir.path().join("a/b"), 0)[0].to_string();
        assert!(found.contains("not there yet") && found.contains(" a sync takes "), "{found}");
        assert_eq!(existing(Path::new("surely-not-here")), Path::new("."));
    }

    #[test]
    fn a_relative_directory_that_exists_is_there() {
        let found = check(Path::new("src"), 0)[0].to_string();
        assert!(!found.contains("not there yet"), "{found}");
    }

    #[test]
    fn a_full_disk_fails() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(room(dir.path(), "it", u64::MAX).level(), Level::Fail);
        assert_eq!(room(dir.path(), "it", 0).level(), Level::Ok);
    }
}
