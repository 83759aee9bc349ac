//! Content of the journal: what its two files tell together.

use std::io;

use super::entry::JournalEntry;
use super::frame::{FileHead, HEAD_LEN, RecordKind, read_record};
use super::{FILES, JournalFile};

/// What the journal has.
#[derive(Debug, Default)]
pub(crate) struct JournalContent {
    /// Head of the file that is written to; `None` when neither file has one.
    pub(super) newest: Option<(usize, FileHead)>,
    entries: Vec<RawEntry>,
    /// Number of the last save that was surely in the store.
    pub(crate) confirmed: u64,
    /// Faults of its files, in words.
    pub(crate) faults: Vec<String>,
    /// True when neither file has anything in it, not even damage.
    pub(crate) is_blank: bool,
}

/// An entry that is not decoded yet: most are in the store, and never are.
#[derive(Debug)]
struct RawEntry {
    number: u64,
    content: Vec<u8>,
    file: usize,
    /// End of it in its file, with the mark that confirms it.
    end: u64,
}

impl JournalContent {
    /// Reads both files.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(crate) fn read(files: &[JournalFile; 2]) -> io::Result<Self> {
        let read = |file: &JournalFile| -> io::Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
            file.read(0, &mut bytes)?;
            Ok(bytes)
        };
        Ok(Self::of([read(&files[0])?, read(&files[1])?]))
    }

    /// Returns the content of two files with these bytes.
    pub(crate) fn of(files: [Vec<u8>; 2]) -> Self {
        let mut content = Self { is_blank: true, ..Self::default() };
        let mut found: Vec<(usize, FileHead)> = Vec::new();
        for (at, bytes) in files.iter().enumerate() {
            content.is_blank &= bytes.iter().all(|byte| *byte == 0);
            match FileHead::read(bytes) {
                Ok(Some(head)) => found.push((at, head)),
                Ok(None) => {}
                Err(why) => content.faults.push(format!("{}: {why}", FILES[at])),
            }
        }
        found.sort_by_key(|(_, head)| head.turn);
        for (at, head) in found {
            content.take_in(at, head, &files[at]);
        }
        content
    }

    /// Takes in a file that is newer than those before it.
    fn take_in(&mut self, at: usize, head: FileHead, bytes: &[u8]) {
        // A journal that was begun anew has the last save once more.
        self.forget_behind(head.first.saturating_sub(1));
        if let Some((older, _)) = self.newest
            && self.next() != head.first
        {
            let last = self.last();
            let first = head.first;
            self.faults.push(format!(
                "{}: ends with save {last}, but {} begins with {first}",
                FILES[older], FILES[at]
            ));
            self.entries.clear();
        }
        self.newest = Some((at, head));
        // The turn comes only when all before it is in the store.
        self.confirmed = head.first.saturating_sub(1);
        let mut end = HEAD_LEN;
        while let Some(record) = bytes.get(end..).and_then(|rest| read_record(head, rest)) {
            end += record.len;
            match record.kind {
                RecordKind::Saved if Some(record.number) == self.last().checked_add(1) => {
                    self.entries.push(RawEntry {
                        number: record.number,
                        content: record.content.to_vec(),
                        file: at,
                        end: end as u64,
                    })
                }
                RecordKind::Confirmed if record.number == self.last() => {
                    self.confirmed = record.number;
                    if let Some(entry) = self.entries.last_mut() {
                        entry.end = end as u64;
                    }
                }
                _ => break,
            }
        }
    }

    /// Returns the id of the store that it belongs to.
    pub(crate) fn id(&self) -> Option<u128> {
        self.newest.map(|(_, head)| head.id)
    }

    /// Returns the number of the first save that it has, or would have.
    pub(crate) fn first(&self) -> u64 {
        self.entries.first().map_or_else(|| self.next(), |entry| entry.number)
    }

    /// Returns the number of the last save that it has, or that was in the store when it was begun.
    pub(crate) fn last(&self) -> u64 {
        let begun_behind = || self.newest.map_or(0, |(_, head)| head.first.saturating_sub(1));
        self.entries.last().map_or_else(begun_behind, |entry| entry.number)
    }

    fn next(&self) -> u64 {
        self.last().saturating_add(1)
    }

    /// Returns the content of save `number`, if it has that.
    pub(crate) fn content_of(&self, number: u64) -> Option<Vec<u8>> {
        self.entries.iter().find(|entry| entry.number == number).map(|entry| entry.content.clone())
    }

    /// Forgets the saves behind `number`.
    pub(crate) fn forget_behind(&mut self, number: u64) {
        self.entries.retain(|entry| entry.number <= number);
    }

    /// Returns the end of what counts in the file that is written to.
    pub(super) fn end(&self) -> u64 {
        let newest = self.newest.map(|(at, _)| at);
        let last = self.entries.last().filter(|entry| Some(entry.file) == newest);
        last.map_or(HEAD_LEN as u64, |entry| entry.end)
    }

    /// Counts the saves in the file that is written to.
    pub(super) fn in_newest(&self) -> usize {
        let newest = self.newest.map(|(at, _)| at);
        self.entries.iter().filter(|entry| Some(entry.file) == newest).count()
    }

    /// Returns the saves behind `number`, as far as they can be read; the first that cannot is a fault.
    pub(crate) fn behind(&mut self, number: u64) -> Vec<JournalEntry> {
        let mut entries = Vec::new();
        for raw in self.entries.iter().filter(|raw| raw.number > number) {
            match JournalEntry::read(raw.number, &raw.content) {
                Ok(entry) => entries.push(entry),
                Err(why) => self.faults.push(format!("save {} cannot be read: {why}", raw.number)),
            }
        }
        entries
    }
}
