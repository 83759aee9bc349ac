//! Sequences of sealed datagrams, of which none is ever used twice.
//!
//! They begin above the clock and above the last one that was kept, as those of a device do. What is kept lies in a file beside the
//! key file, and is always ahead of what was sent, so that a sender that is killed never repeats one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Gap above the last one that was kept.
const GAP: u64 = 1_024;

/// Sequences that are kept ahead at once: a file is written so seldom that it costs nothing.
const AHEAD: u64 = 65_536;

/// Reason why there is no sequence to be had.
#[derive(Debug, Error)]
pub enum SequenceError {
    /// The file cannot be read or written.
    #[error("cannot keep the last sequence in {}; it must be possible to write beside the key file", .0.display())]
    Kept(PathBuf, #[source] io::Error),
    /// Another command uses it.
    #[error("{} is in use by another command; two that send under the same keys would repeat sequences", .0.display())]
    InUse(PathBuf),
    /// It holds something else.
    #[error("{} holds no number; if it is not of vagn, move it away", .0.display())]
    NoNumber(PathBuf),
}

/// Sequences of some keys.
#[derive(Debug)]
pub struct Sequences {
    path: PathBuf,
    file: File,
    /// Last sequence of each key.
    last: Vec<u64>,
    highest: u64,
    /// Highest that may be used before the file is written again.
    kept: u64,
}

impl Sequences {
    /// Begins for so many keys. The lock on the file lasts as long as this.
    ///
    /// # Errors
    /// When the file cannot be used, or another command uses it.
    pub fn open(key_file: &Path, keys: usize, now_ms: u64) -> Result<Self, SequenceError> {
        let mut path = key_file.as_os_str().to_owned();
        path.push(".sequence");
        let path = PathBuf::from(path);
        let named = |err| SequenceError::Kept(path.clone(), err);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(named)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(SequenceError::InUse(path)),
            locked => locked.map_err(|err| named(err.into()))?,
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(named)?;
        let kept = match text.trim() {
            "" => 0,
            text => {
                text.parse::<u64>().map_err(|_| SequenceError::NoNumber(path.clone()))?.saturating_add(GAP)
            }
        };
        let start = kept.max(now_ms);
        Ok(Self { path, file, last: vec![start; keys], highest: start, kept: start })
    }

    /// Takes the next sequence of a key.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub fn take(&mut self, key: usize) -> Result<u64, SequenceError> {
        let next = self.last[key] + 1;
        if next > self.kept {
            self.keep(next + AHEAD)?;
        }
        self.last[key] = next;
        self.highest = self.highest.max(next);
        Ok(next)
    }

    fn keep(&mut self, kept: u64) -> Result<(), SequenceError> {
        let written = self.write(kept);
        written.map_err(|err| SequenceError::Kept(self.path.clone(), err))?;
        self.kept = kept;
        Ok(())
    }

    /// Writes a number of always the same length, over the one before.
    fn write(&mut self, kept: u64) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(format!("{kept:020}\n").as_bytes())?;
        self.file.sync_data()
    }
}

impl Drop for Sequences {
    fn drop(&mut self) {
        // If it fails, the higher number that is there stays, and only some sequences are left out.
        if self.kept > self.highest {
            self.write(self.highest).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_above_the_clock_and_above_what_was_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let mut one = Sequences::open(&file, 2, 5_000).unwrap();
        assert_eq!([one.take(0).unwrap(), one.take(0).unwrap(), one.take(1).unwrap()], [5_001, 5_002, 5_001]);
        drop(one);
        // The clock went back.
        let mut two = Sequences::open(&file, 1, 3_000).unwrap();
        assert_eq!(two.take(0).unwrap(), 5_002 + GAP + 1);
        drop(two);
        assert_eq!(Sequences::open(&file, 1, 90_000).unwrap().take(0).unwrap(), 90_001);
    }

    #[test]
    fn repeats_none_after_it_was_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let mut killed = Sequences::open(&file, 1, 5_000).unwrap();
        let sent = (0..AHEAD * 2).map(|_| killed.take(0).unwrap()).max().unwrap();
        // As after a kill: the lock is gone, and nothing was tidied.
        killed.file.unlock().unwrap();
        assert!(Sequences::open(&file, 1, 5_000).unwrap().take(0).unwrap() > sent);
    }

    #[test]
    fn is_used_by_one_command_at_a_time_and_touches_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        let one = Sequences::open(&file, 1, 5_000).unwrap();
        assert!(matches!(Sequences::open(&file, 1, 5_000), Err(SequenceError::InUse(_))));
        drop(one);
        std::fs::write(dir.path().join("keys.sequence"), "a diary").unwrap();
        assert!(matches!(Sequences::open(&file, 1, 5_000), Err(SequenceError::NoNumber(_))));
        let nowhere = dir.path().join("no/keys");
        assert!(matches!(Sequences::open(&nowhere, 1, 5_000), Err(SequenceError::Kept(..))));
    }
}
