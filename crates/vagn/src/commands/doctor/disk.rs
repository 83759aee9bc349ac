//! The disk under the data directory: can it be written, how long does a sync take, and how much space is free.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use vagn_store::disk::{Disk, RealDisk};
use vagn_store::private::{FILE_MODE, Rights, open_to_others};

use super::finding::Finding;

/// Number of syncs that are timed.
const SYNCS: usize = 20;

/// Bytes written before each sync.
const WRITE: [u8; 4096] = [0; 4096];

/// Longest time for which the first notice of an incident waits for the record to be synced. After that it goes out
/// without the record.
const PROMPT: Duration = Duration::from_millis(100);

pub(super) fn check(data_dir: &Path, free_floor_bytes: u64) -> Vec<Finding> {
    let dir = existing(data_dir);
    let named = if data_dir.is_dir() {
        format!("data directory {}", data_dir.display())
    } else {
        format!("data directory {} (not there yet; tried {})", data_dir.display(), dir.display())
    };
    let mut findings = vec![syncs(&dir, &named), room(&dir, &named, free_floor_bytes)];
    findings.extend(data_dir.is_dir().then(|| rights(data_dir, &named)));
    findings
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
            let remedy =
                "give the user of the service the right to write there, or choose another with --data-dir";
            return Finding::fail(format!("{named}: cannot be written: {err}"), remedy);
        }
    };
    times.sort_unstable();
    let median = times[times.len() / 2];
    let worst = times[times.len() - 1];
    let found = format!("{named}: a sync takes {median:.1?}, at worst {worst:.1?}");
    if worst < PROMPT {
        return Finding::ok(found);
    }
    let remedy =
        "a notice waits 100 ms for the record and then goes out without it; use a faster or less busy disk";
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

/// File for the timed writes; removed when dropped.
struct Trial(PathBuf);

impl Trial {
    fn new(dir: &Path) -> io::Result<(Self, File)> {
        let path = dir.join(format!(".vagn-doctor-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        Ok((Self(path), file))
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Fails only when the directory was removed meanwhile, and the file with it.
        fs::remove_file(&self.0).ok();
    }
}

/// Looks at what other users of the machine could read.
fn rights(dir: &Path, named: &str) -> Finding {
    let Rights { open, stuck } = open_to_others(dir);
    if let Some((path, why)) = stuck.first() {
        return Finding::warn(
            format!("{named}: {}: {why}", path.display()),
            "it holds where the vehicles have been",
        );
    }
    match open.first() {
        None => Finding::ok(format!("{named}: private")),
        Some(first) => Finding::warn(
            format!("{named}: other users can read it ({} files, {} first)", open.len(), first.display()),
            "a start of the service as the user that owns it makes it private",
        ),
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
    // Four times the floor leaves time to react before positions are refused.
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
    fn leaves_no_file_behind() {
        let dir = tempfile::tempdir().unwrap();
        let findings = check(dir.path(), 0);
        assert!(findings.iter().all(|finding| finding.level() != Level::Fail), "{findings:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_others_can_read_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let level = |mode| {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            check(dir.path(), 0)[2].level()
        };
        assert_eq!((level(0o700), level(0o750)), (Level::Ok, Level::Warn));
    }

    #[test]
    fn tries_the_parent_of_a_directory_that_does_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let found = check(&dir.path().join("a/b"), 0)[0].to_string();
        assert!(found.contains("not there yet") && found.contains(" a sync takes "), "{found}");
        assert_eq!(existing(Path::new("surely-not-here")), Path::new("."));
    }

    #[test]
    fn finds_an_existing_directory_by_its_relative_path() {
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
