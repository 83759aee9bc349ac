//! The journal: the latest saves of the incident store once more, in files of their own.
//!
//! After a crash the database finds its last commit by a checksum, and falls back to the one before if that does not fit:
//! one flipped bit can so take back, without a word, what was answered as on disk. So every save is synced here too,
//! beside the commit, before it is answered; and a start that finds the store behind its journal makes the missing saves
//! again.
//!
//! Two files are written in turn. The turn passes on when one is full and all before is in the store, so the journal is
//! bounded, and always reaches back at least `TURN_MIN` saves.

mod content;
mod entry;
mod frame;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::io;

use redb::StorageBackend;

pub(crate) use content::JournalContent;
pub use entry::JournalEntry;
pub(crate) use entry::content_of;
use frame::{FileHead, HEAD_LEN, RecordKind};

/// Names of the journal's files in the data directory.
pub const FILES: [&str; 2] = ["incidents.journal.a", "incidents.journal.b"];

/// Size of a file, in bytes. It is filled with zeros when its turn comes, so that a disk that positions have filled still
/// takes a save, and so that a sync has no length to write. A larger save makes the file longer.
const SIZE: u64 = 1 << 20;

/// Saves that a file has at least when the turn passes on.
const TURN_MIN: usize = 8;

/// Storage of one file.
pub(crate) type JournalFile = Box<dyn StorageBackend>;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    files: [JournalFile; 2],
    /// Index of the file that is written to.
    current: usize,
    head: FileHead,
    /// End of the last record in it.
    end: u64,
    /// Saves in it.
    saves: usize,
}

impl Journal {
    /// Goes on behind what the files have.
    ///
    /// # Errors
    /// The files, when there is nothing in them to go on from.
    pub(crate) fn go_on(files: [JournalFile; 2], content: &JournalContent) -> Result<Self, [JournalFile; 2]> {
        match content.newest {
            Some((current, head)) => {
                Ok(Self { files, current, head, end: content.end(), saves: content.in_newest() })
            }
            None => Err(files),
        }
    }

    /// A journal of the store `id` that is still to be [begun](Self::begin_anew).
    pub(crate) fn of(files: [JournalFile; 2], id: u128) -> Self {
        let head = FileHead { id, turn: 1, first: 0 };
        Self { files, current: 0, head, end: HEAD_LEN as u64, saves: 0 }
    }

    /// Gives its files back.
    pub(crate) fn into_files(self) -> [JournalFile; 2] {
        self.files
    }

    /// Begins, or begins again: save `next` will be the next, and what the files have does not count any more. The content of
    /// the save before it, `latest`, is written once more, so that a store that loses it can have it again. All is
    /// synced when this returns.
    ///
    /// # Errors
    /// When the disk would not.
    pub(crate) fn begin_anew(&mut self, next: u64, latest: Option<&[u8]>) -> io::Result<()> {
        let first = if latest.is_some() { next - 1 } else { next };
        let head = FileHead { turn: self.head.turn + 1, first, ..self.head };
        write_blank(&*self.files[0], head)?;
        self.head = head;
        self.current = 0;
        self.end = HEAD_LEN as u64;
        self.saves = 0;
        if let Some(content) = latest {
            self.append(first, content)?;
            self.confirm(first)?;
        }
        self.files[0].sync_data()?;
        self.files[1].set_len(0)?;
        self.files[1].sync_data()
    }

    /// Writes a save. It is safe only after [`Journal::sync`].
    ///
    /// # Errors
    /// When the disk would not. The journal must begin anew before it is written to again.
    pub(crate) fn append(&mut self, number: u64, content: &[u8]) -> io::Result<()> {
        if self.end + content.len() as u64 > SIZE && self.saves >= TURN_MIN {
            self.turn(number)?;
        }
        self.write(RecordKind::Saved, number, content)?;
        self.saves += 1;
        Ok(())
    }

    /// Marks a save as being in the store. The mark is synced with the next save: without it, the save is made again.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(crate) fn confirm(&mut self, number: u64) -> io::Result<()> {
        self.write(RecordKind::Confirmed, number, &[])
    }

    /// Syncs what was written.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.files[self.current].sync_data()
    }

    fn write(&mut self, kind: RecordKind, number: u64, content: &[u8]) -> io::Result<()> {
        let record = frame::record(self.head, kind, number, content);
        let record = record.ok_or_else(|| io::Error::other("a save is too large for the journal"))?;
        self.files[self.current].write(self.end, &record)?;
        self.end += record.len() as u64;
        Ok(())
    }

    /// Passes the turn on to the other file, in which save `first` is the first. All in that file is in the store, in commits
    /// before the last one: there were [`TURN_MIN`] since.
    fn turn(&mut self, first: u64) -> io::Result<()> {
        let head = FileHead { turn: self.head.turn + 1, first, ..self.head };
        let other = 1 - self.current;
        // Synced together with the save; until then the file that was full has all that counts.
        write_blank(&*self.files[other], head)?;
        self.current = other;
        self.head = head;
        self.end = HEAD_LEN as u64;
        self.saves = 0;
        Ok(())
    }
}

/// Makes a file one with nothing but this head.
fn write_blank(file: &dyn StorageBackend, head: FileHead) -> io::Result<()> {
    let mut bytes = vec![0; SIZE as usize];
    bytes[..HEAD_LEN].copy_from_slice(&head.to_bytes());
    file.set_len(SIZE)?;
    file.write(0, &bytes)
}
