//! The mark: a file in the data directory that says how late it was, and how far the receive sequence had come.
//!
//! ```text
//! time 00000001790000000000       ms since 1970
//! sequence 01790000000000000000
//! believed 00001780000000000000    ms since 1970
//! checksum 1a2b3c4d               CRC-32C of the lines above, hexadecimal
//! ```
//!
//! The text has a fixed length and lies within one sector, and it is written over in place: so a power loss leaves the old
//! text or the new one. The next run must not be misled by a mark, so one whose checksum is wrong counts as none.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the mark in the data directory.
const FILE: &str = "clock";

/// Name under which a damaged mark is kept.
const DAMAGED: &str = "clock.damaged";

/// More than any mark has, in bytes: a longer file is none.
const LONGEST: u64 = 512;

/// Content of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// Time, ms since 1970.
    pub time_ms: i64,
    /// Receive sequence from which the next run may number.
    pub next_seq: u64,
    /// Time since which the clock has been believed, ms since 1970.
    pub believed_since_ms: i64,
}

/// Result of looking for the mark of an earlier run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// There is none.
    Nothing,
    /// It is whole.
    Whole(Marked),
    /// It is damaged, and is kept under this path.
    Damaged(PathBuf),
}

impl Found {
    /// Returns the content of a whole mark.
    pub fn marked(&self) -> Option<Marked> {
        if let Self::Whole(marked) = self { Some(*marked) } else { None }
    }
}

/// A mark that the disk does not give.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the clock's mark {}; let the service's user read it, or remove it: it is made anew",
    path.display()
)]
pub struct MarkError {
    /// Path of the mark.
    pub path: PathBuf,
    /// Error of the system.
    pub source: io::Error,
}

/// The file of the mark, as this run writes it.
#[derive(Debug)]
pub(crate) struct MarkFile {
    path: PathBuf,
    /// Open once this run has written it.
    file: Option<File>,
}

impl MarkFile {
    /// Looks for the mark in `data_dir`, and puts a damaged one aside.
    ///
    /// # Errors
    /// There is one, and it cannot be read.
    pub(crate) fn open(data_dir: &Path) -> Result<(Self, Found), MarkError> {
        let path = data_dir.join(FILE);
        let found = match read(&path) {
            Ok(Some(text)) => match parse(&text) {
                Some(marked) => Found::Whole(marked),
                None => Found::Damaged(put_aside(&path)),
            },
            Ok(None) => Found::Nothing,
            Err(source) => return Err(MarkError { path, source }),
        };
        Ok((Self { path, file: None }, found))
    }

    /// Writes the mark: in place, if the file is still the one of this run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&mut self, marked: Marked) -> io::Result<()> {
        let text = text(marked);
        match self.file.as_ref().filter(|file| self.is_in_place(file)) {
            Some(file) => file.write_all_at(text.as_bytes(), 0),
            None => self.make(&text),
        }
    }

    /// Makes the file anew, aside, so that it is there as a whole or not at all.
    fn make(&mut self, text: &str) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        // For the service's user alone, as all in the data directory.
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.file = Some(file);
        Ok(())
    }

    /// Returns true if the path still leads to `file`.
    fn is_in_place(&self, file: &File) -> bool {
        let (Ok(ours), Ok(there)) = (file.metadata(), fs::symlink_metadata(&self.path)) else { return false };
        (ours.dev(), ours.ino()) == (there.dev(), there.ino())
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let read = File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut bytes).map(|_| bytes)
    });
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

/// Moves a damaged mark aside. Where that fails it is lost, which costs no more than a look at it.
fn put_aside(path: &Path) -> PathBuf {
    let aside = path.with_file_name(DAMAGED);
    match fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(_) => path.to_owned(),
    }
}

fn text(Marked { time_ms, next_seq, believed_since_ms }: Marked) -> String {
    let mut text = format!("time {time_ms:020}\nsequence {next_seq:020}\nbelieved {believed_since_ms:020}\n");
    let checksum = crc32c::crc32c(text.as_bytes());
    writeln!(text, "checksum {checksum:08x}").expect("a String takes everything that is written to it");
    text
}

fn parse(bytes: &[u8]) -> Option<Marked> {
    let read = std::str::from_utf8(bytes).ok()?;
    let mut lines = read.lines();
    let time_ms = lines.next()?.strip_prefix("time ")?.parse().ok()?;
    let next_seq = lines.next()?.strip_prefix("sequence ")?.parse().ok()?;
    let believed_since_ms = lines.next()?.strip_prefix("believed ")?.parse().ok()?;
    let marked = Marked { time_ms, next_seq, believed_since_ms };
    // Compared as a whole, so that no second spelling of a mark is one.
    (text(marked) == read).then_some(marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKED: Marked = Marked {
        time_ms: 1_790_000_000_000,
        next_seq: 1_790_000_000_000_000_017,
        believed_since_ms: 1_780_000_000_000,
    };

    fn written(dir: &Path) -> PathBuf {
        let (mut mark, found) = MarkFile::open(dir).unwrap();
        assert_eq!(found, Found::Nothing);
        mark.write(Marked { time_ms: 1, next_seq: 2, believed_since_ms: 3 }).unwrap();
        mark.write(MARKED).unwrap();
        dir.join(FILE)
    }

    #[test]
    fn is_read_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        assert_eq!(MarkFile::open(dir.path()).unwrap().1, Found::Whole(MARKED));
        for time_ms in [i64::MIN, -1, 0, i64::MAX] {
            let marked = Marked { time_ms, next_seq: u64::MAX, believed_since_ms: -time_ms.max(-9) };
            assert_eq!(parse(text(marked).as_bytes()), Some(marked));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed_and_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = fs::read(&path).unwrap();
        let flipped = (0..whole.len() * 8).map(|bit| {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let cut = (0..whole.len()).map(|length| whole[..length].to_vec());
        let longer = [[&whole[..], b"x"].concat(), [&whole[..], &whole].concat(), vec![0; 4096]];
        for bytes in flipped.chain(cut).chain(longer) {
            fs::write(&path, &bytes).unwrap();
            let (mut mark, found) = MarkFile::open(dir.path()).unwrap();
            assert_eq!(found, Found::Damaged(dir.path().join(DAMAGED)), "{bytes:?}");
            assert!(fs::read(dir.path().join(DAMAGED)).unwrap() == bytes && !path.exists());
            mark.write(MARKED).unwrap();
            assert_eq!(MarkFile::open(dir.path()).unwrap().1, Found::Whole(MARKED));
        }
    }

    #[test]
    fn a_mark_that_is_removed_or_replaced_while_the_service_runs_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (mut mark, _) = MarkFile::open(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        mark.write(MARKED).unwrap();
        fs::remove_file(&path).unwrap();
        mark.write(MARKED).unwrap();
        assert_eq!(MarkFile::open(dir.path()).unwrap().1, Found::Whole(MARKED));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        mark.write(MARKED).unwrap();
        assert_eq!(MarkFile::open(dir.path()).unwrap().1, Found::Whole(MARKED));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(FILE)).unwrap();
        let said = MarkFile::open(dir.path()).unwrap_err().to_string();
        assert!(said.contains("/clock;") && said.contains("remove it"), "{said}");
    }
}
